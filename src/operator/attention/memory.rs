//! What is remembered of a service: its incidents as told last, and what keeps them quiet.
//!
//! Invariants: every list is bounded, and what makes room is first what may be told anew without harm: a resolved incident before
//! an open one, an ended silence before a live one. Fingerprints and ids of responses are remembered as hashes.

use serde::{Deserialize, Serialize};

use super::ends::Heard;
use super::mute::Quiet;
use crate::event::words::short_hash;
use crate::event::{Attention, DeployKind, Incident, IncidentChange, IncidentState, Level, Mention};
use crate::record::EventTime;

pub const HOUR_MS: i64 = 3_600_000;
pub const DAY_MS: i64 = 24 * HOUR_MS;
const SILENCES_MAX: usize = 50;
const CAUSES_MAX: usize = 100;
const ANSWERED_MAX: usize = 200;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    pub(super) incidents: Vec<Known>,
    pub(super) silences: Vec<Silence>,
    pub(super) causes: Vec<KnownCause>,
    pub(super) endings: Vec<Ending>,
    pub(super) answered: Vec<Answered>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Known {
    /// Of the snapshot that came last.
    pub told_version: i32,
    /// The widest mention its alerts asked for since it last opened.
    pub mention: Mention,
    /// When it last opened.
    pub began_at_ms: i64,
    /// Since when nobody has it in hand: what the escalation chain counts from.
    pub waits_since_ms: i64,
    /// Steps of the chain gone since then.
    pub steps: i32,
    /// When it was last asked whether people are told of it.
    pub judged_at_ms: i64,
    #[serde(default)]
    pub snooze: Option<Snooze>,
    #[serde(default)]
    pub rollout: Option<Rollout>,
    /// Of its alerts, since the snapshot.
    #[serde(default)]
    pub heard: Vec<Heard>,
    /// When one fired again after all had ended.
    #[serde(default)]
    pub resumed_at_ms: i64,
    pub snapshot: Incident,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Snooze {
    pub until_ms: i64,
    /// A higher one ends it.
    pub level: Level,
    pub reason: String,
}

/// The last deploy or rollback that finished well while an incident was open.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rollout {
    pub kind: DeployKind,
    pub version: String,
    pub finished_at_ms: i64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Silence {
    pub id: String,
    pub until_ms: i64,
    pub reason: String,
    /// Hashes of those that it was told to cover; an alert that names it is covered too.
    #[serde(default)]
    pub fingerprints: Vec<i64>,
    /// When it was ended before its time: an alert may still name it.
    #[serde(default)]
    pub ended_at_ms: Option<i64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KnownCause {
    pub service: String,
    pub incident_id: String,
    pub version: i32,
    pub open: bool,
    pub level: Level,
    /// When it opened.
    pub since_ms: i64,
    pub told_at_ms: i64,
}

/// What came before the end of an incident.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ending {
    pub incident_id: String,
    pub resolved_at_ms: i64,
    pub text: String,
    /// Hashes of its alerts' fingerprints.
    #[serde(default)]
    pub fingerprints: Vec<i64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answered {
    pub response: i64,
    pub at_ms: i64,
}

impl State {
    pub fn incident(&self, id: &str) -> Option<&Known> {
        self.incidents.iter().find(|known| known.snapshot.id == id)
    }

    pub fn open(&self) -> impl Iterator<Item = &Known> {
        self.incidents.iter().filter(|known| known.is_open())
    }

    pub fn quiet(&self) -> Quiet<'_> {
        Quiet { silences: &self.silences, causes: &self.causes }
    }

    pub fn first_forgotten_at(&self) -> Option<EventTime> {
        let incidents = self.incidents.iter().filter_map(Known::forgotten_at);
        let silences = self.silences.iter().map(Silence::forgotten_at);
        let causes = self.causes.iter().map(KnownCause::forgotten_at);
        let endings = self.endings.iter().map(Ending::forgotten_at);
        let answered = self.answered.iter().map(Answered::forgotten_at);
        incidents.chain(silences).chain(causes).chain(endings).chain(answered).min()
    }

    pub fn forget(&mut self, at: EventTime) {
        self.incidents.retain(|known| known.forgotten_at().is_none_or(|forgotten| forgotten > at));
        self.silences.retain(|silence| silence.forgotten_at() > at);
        self.causes.retain(|cause| cause.forgotten_at() > at);
        self.endings.retain(|ending| ending.forgotten_at() > at);
        self.answered.retain(|answered| answered.forgotten_at() > at);
    }

    pub fn has_answered(&self, response: &str) -> bool {
        let response = short_hash(response);
        self.answered.iter().any(|answered| answered.response == response)
    }

    pub fn remember(&mut self, known: &Known, incidents_max: usize) {
        self.incidents.retain(|other| other.snapshot.id != known.snapshot.id);
        let mut known = known.clone();
        if !known.is_open() && !known.awaits_a_run() {
            // Remembered for a reopening; what it said is not told again.
            known.snapshot.alerts.clear();
            known.snapshot.suspects.clear();
        }
        self.incidents.push(known);
        let least = |known: &Known| (known.is_open(), known.is_muted(), known.snapshot.changed_at_ms);
        crowd_out(&mut self.incidents, incidents_max, least);
    }

    pub fn silence(&mut self, silence: &Silence) {
        self.silences.retain(|other| other.id != silence.id);
        self.silences.push(silence.clone());
        crowd_out(&mut self.silences, SILENCES_MAX, |silence| (silence.ended_at_ms.is_none(), silence.until_ms));
    }

    pub fn answer(&mut self, answered: Answered) {
        self.answered.push(answered);
        crowd_out(&mut self.answered, ANSWERED_MAX, |answered| answered.at_ms);
    }
}

/// The causes once they have heard this one.
pub fn with_cause(mut causes: Vec<KnownCause>, cause: &KnownCause) -> Vec<KnownCause> {
    causes.retain(|other| other.incident_id != cause.incident_id);
    causes.push(cause.clone());
    crowd_out(&mut causes, CAUSES_MAX, |cause| (cause.open, cause.told_at_ms));
    causes
}

fn crowd_out<T, K: Ord>(list: &mut Vec<T>, max: usize, rank: impl Fn(&T) -> K) {
    while list.len() > max.max(1) {
        let least = list.iter().enumerate().min_by_key(|(_, one)| rank(one)).map(|(at, _)| at);
        let Some(least) = least else { break };
        list.remove(least);
    }
}

impl Known {
    /// The next snapshot on its way: what people did about it goes along.
    pub fn following(before: Option<&Known>, incident: &Incident, at: EventTime) -> Self {
        let version = before.map_or(0, |before| before.snapshot.version).saturating_add(1).max(incident.version);
        let attention = before.and_then(|before| before.snapshot.attention.clone()).unwrap_or_default();
        let snapshot = Incident { version, attention: Some(attention), ..incident.clone() };
        let mut next = match before {
            Some(before) => Self {
                told_version: incident.version,
                snapshot,
                snooze: before.snooze.clone(),
                rollout: before.rollout.clone(),
                heard: before.heard.clone(),
                ..*before
            },
            None => Self {
                told_version: incident.version,
                mention: Mention::Nobody,
                began_at_ms: incident.opened_at_ms,
                waits_since_ms: at.0,
                steps: 0,
                judged_at_ms: at.0,
                snooze: None,
                rollout: None,
                heard: Vec::new(),
                resumed_at_ms: at.0,
                snapshot,
            },
        };
        if matches!(incident.change, IncidentChange::Opened | IncidentChange::Reopened) {
            next.begin(at);
        }
        next.mention = next.mention.max(incident.mention);
        next.forget_what_is_told();
        next
    }

    /// The next snapshot, of what people do or do not.
    pub fn anew(&self) -> Self {
        let mut next = self.clone();
        next.snapshot.version = next.snapshot.version.saturating_add(1);
        next
    }

    /// Opened, or opened again: nobody has it in hand.
    fn begin(&mut self, at: EventTime) {
        self.mention = Mention::Nobody;
        self.began_at_ms = at.0;
        self.rollout = None;
        self.wait_anew(at);
        let attention = self.attention_mut();
        attention.escalations = 0;
        attention.acknowledged_by = None;
        attention.acknowledged_at_ms = None;
    }

    /// The escalation chain begins anew.
    pub fn wait_anew(&mut self, at: EventTime) {
        self.waits_since_ms = at.0;
        self.steps = 0;
    }

    /// The next snapshot of it, told at this time.
    pub fn told(mut self, change: IncidentChange, at: EventTime) -> Self {
        self.snapshot.change = change;
        self.snapshot.changed_at_ms = self.snapshot.changed_at_ms.max(at.0);
        self
    }

    pub fn attention(&self) -> Option<&Attention> {
        self.snapshot.attention.as_ref()
    }

    pub fn attention_mut(&mut self) -> &mut Attention {
        self.snapshot.attention.get_or_insert_default()
    }

    pub fn is_open(&self) -> bool {
        self.snapshot.state == IncidentState::Open
    }

    pub fn is_muted(&self) -> bool {
        self.attention().is_some_and(|attention| attention.muted.is_some())
    }

    pub fn is_acknowledged(&self) -> bool {
        self.attention().is_some_and(|attention| attention.acknowledged_at_ms.is_some())
    }

    /// `None` while it is open and muted: then its mute ends first.
    pub fn forgotten_at(&self) -> Option<EventTime> {
        let after = if self.is_open() { 7 * DAY_MS } else { DAY_MS };
        (!self.is_open() || !self.is_muted()).then(|| EventTime(self.snapshot.changed_at_ms).plus_ms(after))
    }
}

impl Silence {
    pub fn is_live(&self, at: EventTime) -> bool {
        self.ended_at_ms.is_none() && self.until_ms > at.0
    }

    /// Whoever tells an alert that names an ended silence has told it long before.
    pub fn forgotten_at(&self) -> EventTime {
        self.ended_at_ms.map_or(EventTime(self.until_ms), |ended| EventTime(ended).plus_ms(7 * DAY_MS))
    }
}

impl KnownCause {
    /// Longer than who tells of it remembers it: a cause of which nothing is heard for so long hides nothing.
    pub fn forgotten_at(&self) -> EventTime {
        EventTime(self.told_at_ms).plus_ms(if self.open { 8 * DAY_MS } else { DAY_MS })
    }
}

impl Ending {
    pub fn forgotten_at(&self) -> EventTime {
        EventTime(self.resolved_at_ms).plus_ms(90 * DAY_MS)
    }
}

impl Answered {
    pub fn forgotten_at(&self) -> EventTime {
        EventTime(self.at_ms).plus_ms(DAY_MS)
    }
}
