//! Gives every alert its level and whom it may wake, by ordered rules; or drops it and says why.
//!
//! ```text
//!  alert ──► rules, the first that holds ──► raises ──► alert (level, mention, level_reason)
//!                     └── drop ─────────────────────► dropped (the alert, with the rule's reason)
//! ```
//!
//! *Remembers* of each firing episode how often it was told and its last values. *Forgets* an episode when it is resolved, when
//! it was not told for `forget_after_secs`, and the one told longest ago when there are more than `alerts_max`.
//! *Never* lets a resolve or a Low alert mention anybody, whatever the rules say ([`policy`]). A resolve is judged only by what
//! rules say of names and labels, so a rule that drops small values cannot swallow the end of an incident.

mod condition;
mod matcher;
mod policy;
mod rule;
mod trace;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use condition::Condition;
pub use policy::Ways;
pub use rule::{Raise, Rule, When, Worsening};
pub use trace::{Trace, Tried};

use super::{Operator, Port};
use crate::event::{Alert, AlertStatus, Fact, FactKind, Level, Mention, Text};
use crate::record::EventTime;
use rule::Told;

/// So many values are kept of an episode: enough to see a third repetition grow.
const VALUES_MAX: usize = 3;

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Levels {
    #[serde(default)]
    pub rules: Vec<Rule>,
    #[serde(default)]
    pub raises: Vec<Raise>,
    #[serde(default)]
    pub otherwise: Otherwise,
    /// Episodes remembered of one service.
    #[serde(default = "alerts_max")]
    pub alerts_max: u32,
    #[serde(default = "forget_after_secs")]
    pub forget_after_secs: u32,
    /// What is told again sooner than this is the same telling on another way, not a repetition.
    #[serde(default = "repeat_gap_secs")]
    pub repeat_gap_secs: u32,
}

/// What an alert gets that no rule holds for.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Otherwise {
    pub level: Level,
    #[serde(default)]
    pub mention: Mention,
    pub reason: String,
}

impl Default for Otherwise {
    fn default() -> Self {
        Self { level: Level::Medium, mention: Mention::Nobody, reason: "no rule holds for it".to_owned() }
    }
}

fn alerts_max() -> u32 {
    1_000
}

fn forget_after_secs() -> u32 {
    86_400
}

fn repeat_gap_secs() -> u32 {
    30
}

#[derive(Debug)]
pub enum Event {
    /// By the rule of this name, if any held.
    Levelled(Box<Alert<'static>>, Option<Arc<str>>),
    Dropped(Box<Alert<'static>>, Arc<str>),
    Heard {
        episode: Episode,
        evicts: Option<String>,
    },
    Forgot {
        fingerprints: Vec<String>,
    },
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    alerts: Vec<Episode>,
}

impl State {
    fn episode(&self, alert: &Alert<'_>) -> Option<&Episode> {
        self.alerts.iter().find(|known| *known.fingerprint == *alert.fingerprint)
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Episode {
    fingerprint: String,
    starts_at_ms: i64,
    repeats: i32,
    told_at_ms: i64,
    #[serde(default)]
    values: Vec<f64>,
    #[serde(default)]
    episode: Option<String>,
}

impl Episode {
    /// Whether the alert is told of this episode, which fires.
    fn is_of(&self, alert: &Alert<'_>) -> bool {
        let named = alert.episode.is_some() && self.episode.as_deref() == alert.episode.as_deref();
        self.starts_at_ms == alert.starts_at_ms || named && self.starts_at_ms < alert.starts_at_ms
    }
}

/// What the rules decided, and which of them.
struct Judged {
    rule: Option<usize>,
    verdict: Verdict,
}

enum Verdict {
    Level { level: Level, mention: Mention, reason: String, raise: Option<usize> },
    Drop { reason: String },
}

impl Operator for Levels {
    const KIND: &'static str = "level";
    const INPUTS: &'static [FactKind] = &[FactKind::Alert];
    const PORTS: &'static [(Port, FactKind)] = &[("alert", FactKind::Alert), ("dropped", FactKind::Alert)];
    const STATE_SCHEMA: &'static str = include_str!("../../schemas/state/level.avsc");

    type Input<'a> = Alert<'a>;
    type Event = Event;
    type State = State;

    fn problems(&self) -> Vec<String> {
        let mut problems = rule::problems(&self.rules, &self.raises);
        problems.extend(policy::problems(self));
        for (name, number) in [("alerts_max", self.alerts_max), ("forget_after_secs", self.forget_after_secs)] {
            if number == 0 {
                problems.push(format!("{name}: must be at least 1"));
            }
        }
        problems
    }

    fn warnings(&self) -> Vec<String> {
        [rule::warnings(&self.rules, &self.raises), policy::warnings(self)].concat()
    }

    fn decide(&self, state: &State, alert: &Alert<'_>, at: EventTime) -> Vec<Event> {
        let known = state.episode(alert);
        let mut events = Vec::with_capacity(2);
        let over = alert.status == AlertStatus::Resolved;
        if over && known.is_some_and(|known| known.starts_at_ms <= alert.starts_at_ms) {
            events.push(Event::Forgot { fingerprints: vec![alert.fingerprint.to_string()] });
        }
        let heard = if over { None } else { self.hear(known, alert, at) };
        events.push(self.judged(&told(alert, known, heard.as_ref())));
        if let Some(episode) = heard {
            let full = known.is_none() && state.alerts.len() >= self.alerts_max as usize;
            let oldest = || state.alerts.iter().min_by_key(|known| known.told_at_ms);
            let evicts = if full { oldest().map(|oldest| oldest.fingerprint.clone()) } else { None };
            events.push(Event::Heard { episode, evicts });
        }
        events
    }

    fn evolve(mut state: State, event: &Event) -> State {
        match event {
            Event::Levelled(..) | Event::Dropped(..) => {}
            Event::Heard { episode, evicts } => {
                state.alerts.retain(|known| Some(&known.fingerprint) != evicts.as_ref());
                match state.alerts.iter_mut().find(|known| known.fingerprint == episode.fingerprint) {
                    Some(known) => *known = episode.clone(),
                    None => state.alerts.push(episode.clone()),
                }
            }
            Event::Forgot { fingerprints } => state.alerts.retain(|known| !fingerprints.contains(&known.fingerprint)),
        }
        state
    }

    fn deadline(&self, state: &State) -> Option<EventTime> {
        state.alerts.iter().map(|known| self.forgotten_at(known)).min()
    }

    fn due(&self, state: &State, at: EventTime) -> Vec<Event> {
        let idle = state.alerts.iter().filter(|known| self.forgotten_at(known) <= at);
        vec![Event::Forgot { fingerprints: idle.map(|known| known.fingerprint.clone()).collect() }]
    }

    fn publish(event: Event) -> Option<(Port, Fact<'static>)> {
        match event {
            Event::Levelled(alert, _) => Some(("alert", Fact::Alert(*alert))),
            Event::Dropped(alert, _) => Some(("dropped", Fact::Alert(*alert))),
            Event::Heard { .. } | Event::Forgot { .. } => None,
        }
    }

    fn rule(event: &Event) -> Option<&Arc<str>> {
        match event {
            Event::Levelled(_, rule) => rule.as_ref(),
            Event::Dropped(_, rule) => Some(rule),
            Event::Heard { .. } | Event::Forgot { .. } => None,
        }
    }
}

impl Levels {
    /// The episode with this telling counted; `None` when it is a duplicate, or of an episode that is over.
    fn hear(&self, known: Option<&Episode>, alert: &Alert<'_>, at: EventTime) -> Option<Episode> {
        let mut episode = match known {
            Some(known) if known.starts_at_ms > alert.starts_at_ms => return None,
            Some(known) if known.is_of(alert) => {
                if at.since_ms(EventTime(known.told_at_ms)) < i64::from(self.repeat_gap_secs) * 1_000 {
                    return None;
                }
                known.clone()
            }
            _ => Episode {
                fingerprint: alert.fingerprint.to_string(),
                starts_at_ms: alert.starts_at_ms,
                repeats: 0,
                told_at_ms: at.0,
                values: Vec::new(),
                episode: alert.episode.as_ref().map(|name| name.to_string()),
            },
        };
        episode.repeats = episode.repeats.saturating_add(1);
        episode.told_at_ms = at.0;
        if let Some(value) = alert.value.filter(|value| value.is_finite()) {
            if episode.values.len() == VALUES_MAX {
                episode.values.remove(0);
            }
            episode.values.push(value);
        }
        Some(episode)
    }

    fn judged(&self, told: &Told<'_>) -> Event {
        let mut alert = Box::new(told.alert.clone().into_owned());
        let Judged { rule, verdict } = self.judge(told);
        let rule = rule.map(|at| self.rules[at].name.clone());
        let (level, mention, reason) = match verdict {
            Verdict::Level { level, mention, reason, .. } => (Some(level), mention, reason),
            Verdict::Drop { reason } => (None, Mention::Nobody, reason),
        };
        (alert.level, alert.mention, alert.level_reason) = (level, mention, Some(Text::from(reason)));
        match rule {
            Some(rule) if level.is_none() => Event::Dropped(alert, rule),
            rule => Event::Levelled(alert, rule),
        }
    }

    fn judge(&self, told: &Told<'_>) -> Judged {
        let at = self.rules.iter().position(|rule| rule.when.holds(told));
        let rule = at.map(|at| &self.rules[at]);
        let (level, mention, mut reason) = match rule {
            Some(Rule { name, drop: Some(why), .. }) => {
                return Judged { rule: at, verdict: Verdict::Drop { reason: format!("{why} (rule {name})") } };
            }
            Some(rule) => {
                let why = rule
                    .reason
                    .as_ref()
                    .map_or_else(|| format!("rule {}", rule.name), |why| format!("{why} (rule {})", rule.name));
                (rule.level.unwrap_or(self.otherwise.level), rule.mention.unwrap_or_default(), why)
            }
            None => (self.otherwise.level, self.otherwise.mention, self.otherwise.reason.clone()),
        };
        let raise = if policy::may_mention(level, told.alert.status) {
            self.raises.iter().position(|raise| raise.when.holds(told))
        } else {
            None
        };
        if let Some(raise) = raise.map(|at| &self.raises[at]) {
            reason = format!("{reason}; mention raised: {} (rule {})", raise.reason, raise.name);
        }
        let mention = policy::mention(level, mention, raise.is_some(), told.alert.status);
        Judged { rule: at, verdict: Verdict::Level { level, mention, reason, raise } }
    }

    fn forgotten_at(&self, known: &Episode) -> EventTime {
        EventTime(known.told_at_ms).plus_ms(i64::from(self.forget_after_secs) * 1_000)
    }
}

/// The alert with its episode, this telling included; a duplicate or an older telling adds nothing to it.
fn told<'a>(alert: &'a Alert<'a>, known: Option<&'a Episode>, heard: Option<&'a Episode>) -> Told<'a> {
    let same = known.filter(|known| known.is_of(alert));
    match heard.or(same) {
        Some(episode) => Told { alert, repeats: episode.repeats, values: &episode.values },
        None => Told { alert, repeats: 1, values: &[] },
    }
}

#[cfg(test)]
mod tests;
