//! Turns levelled alerts into incidents: one per service and group, told as a full snapshot each time something visible changes.
//!
//! ```text
//!  firing ──► Opened ──► AlertsChanged, Escalated … ──► all quiet for resolve_after ──► Resolved
//!                             ▲                                                            │
//!                             └────────────── Reopened, within reopen_within ◄─────────────┘──► forgotten
//! ```
//!
//! *Remembers* open and lately resolved incidents with their alerts. *Forgets* an incident `reopen_within_secs` after it
//! resolved. A repetition is only counted; an alert that goes and comes back within `resolve_after_secs` is a flap, counted and
//! told only when the count has doubled (2, 4, 8, …). That a trend recovers, or does so no more, is told. What its source neither repeats nor resolves for `stale_after_secs` expires. *Never* mentions anybody but at an
//! opening or an escalation, and never for a Low alert. *Never* takes the telling of an episode that is over, late or doubled,
//! for news: identity is fingerprint and start; of a source that tells no start, its episode's name and the first telling.

mod memory;
mod reading;

use std::borrow::Cow;

use serde::Deserialize;

pub use memory::State;

use super::{Operator, Port};
use crate::event::words::{clipped, identity};
use crate::event::{Alert, AlertStatus, Fact, FactKind, Incident, IncidentChange, Level, Mention};
use crate::record::EventTime;
use memory::{Ended, Phase, Tracked, TrackedAlert};
use reading::{began, bounded_url, is_over, next_telling, opened, reason_of, turned};

/// The group of whatever finds no room in a group of its own.
const OVERFLOW: &str = "*";
const GROUP_CHARS_MAX: usize = 200;

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Incidents {
    /// Besides the service: `environment`, `namespace`, or the name of a label.
    pub group_by: Vec<String>,
    pub resolve_after_secs: u32,
    pub reopen_within_secs: u32,
    pub stale_after_secs: u32,
    /// What is told again sooner than this is the same telling on another way, not a repetition.
    pub repeat_gap_secs: u32,
    /// Alerts told of one incident; what more of them fire is counted.
    pub alerts_max: u32,
    /// Open incidents of one service; the alerts of further groups share one more.
    pub incidents_max: u32,
}

impl Default for Incidents {
    fn default() -> Self {
        Self {
            group_by: vec!["environment".to_owned(), "namespace".to_owned()],
            resolve_after_secs: 300,
            reopen_within_secs: 1_800,
            stale_after_secs: 18_000,
            repeat_gap_secs: 30,
            alerts_max: 50,
            incidents_max: 20,
        }
    }
}

#[derive(Debug)]
pub enum Event {
    Told(Box<Incident>),
    Heard { incident: String, alert: Box<TrackedAlert>, flapped: bool, alerts_max: u32 },
    Settled { incident: String, quiet_before: EventTime, silent_before: EventTime },
    EndedUnknown(Ended),
    Forgot { incidents: Vec<String>, ended_before: EventTime },
}

impl Operator for Incidents {
    const KIND: &'static str = "incident";
    const INPUTS: &'static [FactKind] = &[FactKind::Alert];
    const PORTS: &'static [(Port, FactKind)] = &[("incident", FactKind::Incident)];
    const STATE_SCHEMA: &'static str = include_str!("../../schemas/state/incident.avsc");

    type Input<'a> = Alert<'a>;
    type Event = Event;
    type State = State;

    fn problems(&self) -> Vec<String> {
        let numbers = [
            ("resolve_after_secs", self.resolve_after_secs),
            ("stale_after_secs", self.stale_after_secs),
            ("alerts_max", self.alerts_max),
            ("incidents_max", self.incidents_max),
        ];
        let zero = numbers.iter().filter(|(_, number)| *number == 0);
        let mut problems: Vec<_> = zero.map(|(name, _)| format!("{name}: must be at least 1")).collect();
        if self.stale_after_secs <= self.resolve_after_secs {
            let longer = "must be longer than resolve_after_secs, and than the repeat interval of every source";
            problems.push(format!("stale_after_secs: {longer}"));
        }
        for (at, name) in self.group_by.iter().enumerate() {
            if name.trim().is_empty() || self.group_by[..at].contains(name) {
                problems.push(format!("group_by[{at}]: `{name}` is empty or named twice"));
            } else if name == "service" {
                problems.push(format!("group_by[{at}]: every incident is of one service already: leave it out"));
            }
        }
        problems
    }

    fn decide(&self, state: &State, alert: &Alert<'_>, at: EventTime) -> Vec<Event> {
        let fingerprint = identity(&alert.fingerprint);
        let before = state.knowing(&fingerprint).and_then(|incident| incident.alert(&fingerprint));
        let alert = match before.and_then(|before| began(before, alert)) {
            Some(starts_at_ms) => Cow::Owned(Alert { starts_at_ms, ..alert.clone() }),
            None => Cow::Borrowed(alert),
        };
        match alert.status {
            AlertStatus::Firing => self.fires(state, &alert, fingerprint, at),
            AlertStatus::Resolved => self.resolves(state, &alert, fingerprint, at),
        }
    }

    fn evolve(mut state: State, event: &Event) -> State {
        match event {
            Event::Told(told) => state.tell(told),
            Event::Heard { incident, alert, flapped, alerts_max } => {
                if let Some(known) = state.incidents.iter_mut().find(|known| known.id == *incident) {
                    known.flaps = known.flaps.saturating_add(i32::from(*flapped));
                    known.hear(alert, *alerts_max as usize);
                }
            }
            Event::Settled { incident, quiet_before, silent_before } => {
                if let Some(known) = state.incidents.iter_mut().find(|known| known.id == *incident) {
                    known.settle(*quiet_before, *silent_before);
                }
            }
            Event::EndedUnknown(ended) => state.end(ended),
            Event::Forgot { incidents, ended_before } => {
                state.incidents.retain(|known| !incidents.contains(&known.id));
                state.ended.retain(|ended| ended.told_at_ms > ended_before.0);
            }
        }
        state
    }

    fn deadline(&self, state: &State) -> Option<EventTime> {
        let ended = state.ended.iter().map(|ended| self.after(ended.told_at_ms, self.reopen_within_secs));
        state.incidents.iter().map(|known| self.wakes_at(known)).chain(ended).min()
    }

    fn due(&self, state: &State, at: EventTime) -> Vec<Event> {
        let mut events = Vec::new();
        let mut forgotten = Vec::new();
        for known in state.incidents.iter().filter(|known| self.wakes_at(known) <= at) {
            if known.is_open() {
                events.extend(self.settled(known, at));
            } else {
                forgotten.push(known.id.clone());
            }
        }
        let ended_before = at.plus_ms(-millis(self.reopen_within_secs));
        if !forgotten.is_empty() || state.ended.iter().any(|ended| ended.told_at_ms <= ended_before.0) {
            events.push(Event::Forgot { incidents: forgotten, ended_before });
        }
        events
    }

    fn publish(event: Event) -> Option<(Port, Fact<'static>)> {
        match event {
            Event::Told(incident) => Some(("incident", Fact::Incident(*incident))),
            _ => None,
        }
    }
}

impl Incidents {
    fn fires(&self, state: &State, alert: &Alert<'_>, fingerprint: String, at: EventTime) -> Vec<Event> {
        let group = self.group_of(alert);
        let incident = state.knowing(&fingerprint).or_else(|| state.of_group(&group)).or_else(|| self.overflow(state));
        let before = incident.and_then(|incident| incident.alert(&fingerprint));
        let level = alert.level.unwrap_or(Level::Medium);
        let mention = if level == Level::Low { Mention::Nobody } else { alert.mention };
        let escalates = incident.is_some_and(|one| one.is_open() && (level > one.level || mention > one.mention));
        let has_ended = state.has_ended(&fingerprint, alert.starts_at_ms);
        let heard = next_telling(before, alert, fingerprint, level, at);
        let turned = before.is_some_and(|before| turned(before, &heard));
        let is_news = |before| self.is_news(before, alert, at) || escalates || turned;
        if has_ended || before.is_some_and(|before| !is_news(before) || is_over(before, alert)) {
            return Vec::new();
        }
        // It went and came back: told as gone, or its end was missed.
        let flapped = before.is_some_and(|before| before.phase.is_live() && before.starts_at_ms < alert.starts_at_ms);

        let Some(incident) = incident else {
            let room = state.incidents.iter().filter(|one| one.is_open()).count() < self.incidents_max as usize;
            let group = if room { group } else { vec![OVERFLOW.to_owned()] };
            let next = opened(alert, group, at);
            let told = self.told(next, alert, (IncidentChange::Opened, mention), &heard, at);
            let forgotten = self.resolved_too_many(state);
            let heard = self.heard(&told.id, heard, flapped);
            return [Event::Told(Box::new(told)), heard].into_iter().chain(forgotten).collect();
        };
        let change = if !incident.is_open() {
            Some((IncidentChange::Reopened, mention))
        } else if escalates {
            Some((IncidentChange::Escalated, mention))
        } else if turned || flapped && is_doubling(incident.flaps.saturating_add(1)) {
            Some((IncidentChange::AlertsChanged, Mention::Nobody))
        } else if before.is_some_and(|before| before.phase.is_live())
            || self.joins_the_omitted(incident, before, &heard)
        {
            None
        } else {
            Some((IncidentChange::AlertsChanged, Mention::Nobody))
        };
        let told = change.map(|change| {
            let mut next = incident.clone();
            next.flaps = next.flaps.saturating_add(i32::from(flapped));
            Event::Told(Box::new(self.told(next, alert, change, &heard, at)))
        });
        told.into_iter().chain([self.heard(&incident.id, heard, flapped)]).collect()
    }

    fn resolves(&self, state: &State, alert: &Alert<'_>, fingerprint: String, at: EventTime) -> Vec<Event> {
        let Some(incident) = state.knowing(&fingerprint) else {
            return vec![Event::EndedUnknown(Ended {
                fingerprint,
                starts_at_ms: alert.starts_at_ms,
                told_at_ms: at.0,
            })];
        };
        let before = incident.alert(&fingerprint);
        let phase = match before {
            Some(before) if alert.starts_at_ms < before.starts_at_ms => return Vec::new(),
            Some(before) if before.phase == Phase::Firing => Phase::Quiet,
            Some(before) if before.phase == Phase::Expired => Phase::Resolved,
            Some(before) if alert.starts_at_ms == before.starts_at_ms => return Vec::new(),
            // The end of an episode whose beginning was missed.
            Some(before) => before.phase,
            None => Phase::Resolved,
        };
        let level = before.map_or(Level::Low, |before| before.level);
        let mut heard = next_telling(before, alert, fingerprint, level, at);
        heard.phase = phase;
        if let Some(trend) = &mut heard.trend {
            // An end that is not believed yet.
            trend.recovering = phase == Phase::Quiet;
        }
        heard.ends_at_ms = Some(alert.ends_at_ms.unwrap_or(at.0));
        heard.repeats = before.map_or(0, |before| before.repeats);
        heard.value = before.and_then(|before| before.value);
        if let Some(before) = before.filter(|_| alert.episode.is_some()) {
            // Such a source may end by name alone what it told at length.
            heard.name.clone_from(&before.name);
            heard.summary.clone_from(&before.summary);
            heard.generator_url = heard.generator_url.or_else(|| before.generator_url.clone());
        }
        vec![self.heard(&incident.id, heard, false)]
    }

    /// Whether a firing of a known alert says anything: another episode, or a repetition after the gap.
    fn is_news(&self, before: &TrackedAlert, alert: &Alert<'_>, at: EventTime) -> bool {
        before.starts_at_ms < alert.starts_at_ms
            || before.phase == Phase::Expired
            || at.since_ms(EventTime(before.told_at_ms)) >= millis(self.repeat_gap_secs)
    }

    /// A snapshot of `next` once it has heard the alert.
    fn told(
        &self,
        mut next: Tracked,
        alert: &Alert<'_>,
        (change, mention): (IncidentChange, Mention),
        heard: &TrackedAlert,
        at: EventTime,
    ) -> Incident {
        let anew = matches!(change, IncidentChange::Opened | IncidentChange::Reopened);
        next.hear(heard, self.alerts_max as usize);
        next.reopened = next.reopened.saturating_add(i32::from(change == IncidentChange::Reopened));
        if anew || change == IncidentChange::Escalated && heard.level >= next.level {
            next.level = heard.level;
            next.level_reason = reason_of(alert);
        }
        let link = |name| alert.annotations.get(name).and_then(bounded_url);
        next.runbook_url = next.runbook_url.or_else(|| link("runbook_url"));
        next.dashboard_url = next.dashboard_url.or_else(|| link("dashboard_url"));
        next.snapshot(change, mention, at)
    }

    fn heard(&self, incident: &str, alert: TrackedAlert, flapped: bool) -> Event {
        let alerts_max = self.alerts_max;
        Event::Heard { incident: incident.to_owned(), alert: Box::new(alert), flapped, alerts_max }
    }

    /// Whether the alert finds no room and the count of such alerts grew by less than a doubling: a storm is not told one by one.
    fn joins_the_omitted(&self, incident: &Tracked, before: Option<&TrackedAlert>, heard: &TrackedAlert) -> bool {
        if before.is_some() || incident.alerts.len() < self.alerts_max as usize {
            return false;
        }
        let mut next = incident.clone();
        next.hear(heard, self.alerts_max as usize);
        next.alert(&heard.fingerprint).is_none()
            && (next.omitted.len() == incident.omitted.len() || !next.omitted.len().is_power_of_two())
    }

    fn settled(&self, known: &Tracked, at: EventTime) -> Vec<Event> {
        let quiet_before = at.plus_ms(-millis(self.resolve_after_secs));
        let silent_before = at.plus_ms(-millis(self.stale_after_secs));
        let mut next = known.clone();
        next.settle(quiet_before, silent_before);
        let change = if next.is_live() { IncidentChange::AlertsChanged } else { IncidentChange::Resolved };
        let told = next.snapshot(change, Mention::Nobody, at);
        vec![Event::Settled { incident: known.id.clone(), quiet_before, silent_before }, Event::Told(Box::new(told))]
    }

    fn wakes_at(&self, known: &Tracked) -> EventTime {
        if !known.is_open() {
            return self.after(known.changed_at_ms, self.reopen_within_secs);
        }
        let alerts = known.alerts.iter().filter_map(|alert| match alert.phase {
            Phase::Firing => Some(self.after(alert.told_at_ms, self.stale_after_secs)),
            Phase::Quiet => Some(self.after(alert.told_at_ms, self.resolve_after_secs)),
            Phase::Resolved | Phase::Expired => None,
        });
        let omitted = (!known.omitted.is_empty()).then(|| self.after(known.omitted_told_at_ms, self.stale_after_secs));
        // The last that fired were omitted ones, and have ended.
        alerts.chain(omitted).min().unwrap_or_else(|| self.after(known.omitted_told_at_ms, self.resolve_after_secs))
    }

    fn after(&self, at_ms: i64, secs: u32) -> EventTime {
        EventTime(at_ms).plus_ms(millis(secs))
    }

    fn group_of(&self, alert: &Alert<'_>) -> Vec<String> {
        let mut group: Vec<_> = self
            .group_by
            .iter()
            .filter_map(|name| {
                let field = match name.as_str() {
                    "environment" => alert.environment.as_deref(),
                    "namespace" => alert.namespace.as_deref(),
                    _ => None,
                };
                let value = field.or_else(|| alert.labels.get(name))?;
                Some(format!("{name}={}", clipped(value, GROUP_CHARS_MAX)))
            })
            .collect();
        group.sort();
        group
    }

    /// The shared incident, when there is no room for one more group.
    fn overflow<'s>(&self, state: &'s State) -> Option<&'s Tracked> {
        let full = state.incidents.iter().filter(|one| one.is_open()).count() >= self.incidents_max as usize;
        if full { state.of_group(&[OVERFLOW.to_owned()]) } else { None }
    }

    /// Resolved incidents are remembered for reopening only, and no more of them than may be open.
    fn resolved_too_many(&self, state: &State) -> Option<Event> {
        let mut resolved: Vec<_> = state.incidents.iter().filter(|one| !one.is_open()).collect();
        let too_many = (resolved.len() + 1).checked_sub(self.incidents_max as usize).filter(|count| *count > 0)?;
        resolved.sort_by_key(|one| one.changed_at_ms);
        let incidents = resolved.into_iter().take(too_many).map(|one| one.id.clone()).collect();
        Some(Event::Forgot { incidents, ended_before: EventTime(i64::MIN) })
    }
}

/// 2, 4, 8, …: what goes back and forth without end is told less and less often.
fn is_doubling(flaps: i32) -> bool {
    flaps > 1 && flaps.count_ones() == 1
}

fn millis(secs: u32) -> i64 {
    i64::from(secs) * 1_000
}

#[cfg(test)]
mod tests;
