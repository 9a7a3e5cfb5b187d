//! Watches series by rules and says, once an episode, what it sees coming: a detection is an alert like any other.
//!
//! ```text
//!  sample ──► rules whose selector fits the series ──► detector ──► episode ──► alert: began, recovering, resumed, goes on, ended
//!     └── late, stale, no number, from the future, unselected ──► dropped (the sample, counted by its reason)
//! ```
//!
//! *Remembers* of each series which rules watch it and what these remember; a series is read and matched only when it is new or the
//! rules' selectors are others, so a sample costs its detectors' steps and one copy of their memory. *Tells* an open detection again
//! every `retell_secs`, for whoever takes an alert that is not repeated for over. *Ends* it when its series is not told for
//! `silent_secs`, unless it is that silence which is told, or when its rule is no more. *Forgets* a series that was not told for
//! `forget_after_secs`. Samples have their own time and their records another: a rule sees the first, deadlines are in the second.
//! *Never* leaves a state of a series that no rule selects, nor reads what another rule remembered ([`Rule`] sees to that).

mod alert;
mod memory;
#[cfg(test)]
mod tests;
mod watch;

use std::sync::Arc;

use serde::Deserialize;

pub use memory::State;

use super::{Operator, Port};
use crate::event::words::short_hash;
use crate::event::{Alert, Fact, FactKind, Sample};
use crate::record::EventTime;
use crate::trend::rule::Rule;
use crate::trend::select::Selector;
use memory::Memory;
use watch::Watch;

/// A sample so much later than its record is nobody's measurement: it would make all that follow it late.
const FUTURE_MS: i64 = 600_000;

#[derive(Clone, Debug, Deserialize)]
#[serde(from = "Written")]
pub struct Trend {
    pub rules: Vec<Rule>,
    pub retell_secs: u32,
    pub silent_secs: u32,
    pub forget_after_secs: u32,
    /// Of names and selectors: series that were matched by others are matched anew.
    fingerprint: i64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Written {
    rules: Vec<Rule>,
    retell_secs: u32,
    silent_secs: u32,
    forget_after_secs: u32,
}

impl Default for Written {
    fn default() -> Self {
        Self { rules: Vec::new(), retell_secs: 3_600, silent_secs: 3_600, forget_after_secs: 604_800 }
    }
}

impl From<Written> for Trend {
    fn from(written: Written) -> Self {
        let Written { rules, retell_secs, silent_secs, forget_after_secs } = written;
        let said: Vec<_> =
            rules.iter().map(|rule| (&rule.name, rule.select.as_ref().map(Selector::to_string))).collect();
        let fingerprint = short_hash(&format!("{said:?}"));
        Self { rules, retell_secs, silent_secs, forget_after_secs, fingerprint }
    }
}

#[derive(Debug)]
pub enum Event {
    /// By the rule of this name.
    Told(Box<Alert<'static>>, Arc<str>),
    /// With the reason.
    Dropped(Box<Sample<'static>>, Arc<str>),
    Remembered(Arc<Memory>),
    Forgot,
}

impl Operator for Trend {
    const KIND: &'static str = "trend";
    const INPUTS: &'static [FactKind] = &[FactKind::Sample];
    const PORTS: &'static [(Port, FactKind)] = &[("detection", FactKind::Alert), ("dropped", FactKind::Sample)];
    const STATE_SCHEMA: &'static str = include_str!("../../schemas/state/trend.avsc");

    type Input<'a> = Sample<'a>;
    type Event = Event;
    type State = State;

    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        for (at, rule) in self.rules.iter().enumerate() {
            let mut refuse = |problem: String| problems.push(format!("rules[{at}]: {problem}"));
            rule.problems().into_iter().for_each(&mut refuse);
            if self.rules[..at].iter().any(|earlier| earlier.name == rule.name) {
                refuse(format!("rule `{}`: the name is taken by an earlier rule; name them apart", rule.name));
            }
            match &rule.select {
                None => {
                    refuse(format!("rule `{}`: says of no series: add `select: metric{{label=\"value\"}}`", rule.name))
                }
                Some(select) if rule.service.is_none() && select.forbids("service") && select.forbids("job") => {
                    let why = "selects series without `service` and without `job`: nobody knows whose they are; add `service`";
                    refuse(format!("rule `{}`: {why}", rule.name));
                }
                Some(_) => {}
            }
        }
        let times = [
            ("retell_secs", self.retell_secs),
            ("silent_secs", self.silent_secs),
            ("forget_after_secs", self.forget_after_secs),
        ];
        problems
            .extend(times.iter().filter(|(_, secs)| *secs == 0).map(|(name, _)| format!("{name}: must be at least 1")));
        if self.forget_after_secs < self.silent_secs {
            problems.push("forget_after_secs: must not be shorter than silent_secs".to_owned());
        }
        problems
    }

    fn decide(&self, state: &State, sample: &Sample<'_>, at: EventTime) -> Vec<Event> {
        let dropped = |reason: &str| vec![Event::Dropped(Box::new(sample.clone().into_owned()), reason.into())];
        if EventTime(sample.at_ms).since_ms(at) > FUTURE_MS {
            return dropped("future");
        }
        let mut watch = match state.known() {
            Some(known) if known.chosen_by == self.fingerprint => Watch::of(self, &sample.series, known.clone()),
            known => match Watch::choose(self, &sample.series, known, at) {
                Ok(watch) => watch,
                Err(unreadable) => return dropped(unreadable),
            },
        };
        if watch.memory.watched.is_empty() {
            let forgot = state.known().map(|_| Event::Forgot);
            return watch.told.into_iter().chain(forgot).chain(dropped("unselected")).collect();
        }
        let taken = watch.observe(sample, at);
        let mut events = watch.told;
        events.extend(taken.err().into_iter().flat_map(dropped));
        // What was only dropped changes nothing.
        if taken.is_ok() || state.known().is_some_and(|known| known.chosen_by != self.fingerprint) {
            events.push(Event::Remembered(Arc::new(watch.memory)));
        }
        events
    }

    fn evolve(state: State, event: &Event) -> State {
        match event {
            Event::Told(..) | Event::Dropped(..) => state,
            Event::Remembered(memory) => State::of(memory),
            Event::Forgot => State::default(),
        }
    }

    fn remembers(event: &Event) -> bool {
        matches!(event, Event::Remembered(_) | Event::Forgot)
    }

    fn deadline(&self, state: &State) -> Option<EventTime> {
        let known = state.known()?;
        let woken_at = known.woken_at.unwrap_or(EventTime(i64::MIN));
        let later = |deadline: &EventTime| *deadline > woken_at;
        let deadlines = known.watched.iter().flat_map(|watched| watch::deadlines(self, known, watched)).filter(later);
        deadlines.chain([watch::forgotten_at(self, known)]).min()
    }

    fn due(&self, state: &State, at: EventTime) -> Vec<Event> {
        let Some(known) = state.known() else { return Vec::new() };
        let mut watch = Watch::of(self, &known.series, known.clone());
        if watch::forgotten_at(self, known) <= at {
            watch.end_all(at);
            return watch.told.into_iter().chain([Event::Forgot]).collect();
        }
        watch.wake(at);
        watch.told.into_iter().chain([Event::Remembered(Arc::new(watch.memory))]).collect()
    }

    fn rule(event: &Event) -> Option<&Arc<str>> {
        match event {
            Event::Told(_, rule) => Some(rule),
            Event::Dropped(_, reason) => Some(reason),
            Event::Remembered(_) | Event::Forgot => None,
        }
    }

    fn publish(event: Event) -> Option<(Port, Fact<'static>)> {
        match event {
            Event::Told(alert, _) => Some(("detection", Fact::Alert(*alert))),
            Event::Dropped(sample, _) => Some(("dropped", Fact::Sample(*sample))),
            Event::Remembered(_) | Event::Forgot => None,
        }
    }
}

impl Trend {
    fn rule_named(&self, name: &str) -> Option<&Rule> {
        self.rules.iter().find(|rule| rule.name == name)
    }
}
