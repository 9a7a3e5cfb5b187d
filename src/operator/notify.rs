//! Turns incidents into what Slack shall be told: one root message per incident, rewritten with every version, and replies in
//! its thread for what is notable.
//!
//! ```text
//!  first snapshot ──► PostRoot, with the mention
//!  later ones ──────► UpdateRoot, and a Reply when it escalated, reopened, resolved, or has a new top suspect
//! ```
//!
//! *Remembers* which incidents have a root, where, and what it shows. *Forgets* a day after an incident resolved, a week after
//! anybody told of it. *Never* mentions twice in one version, never in a rewriting, and never otherwise than its `mentions`
//! policy allows: what alerts and deploys say is escaped text. A version told before is ignored.

mod policy;
mod render;
mod text;

use serde::{Deserialize, Serialize};

pub use policy::{ChannelRule, Channels, Mentions};

use super::{Operator, Port};
use crate::event::{Fact, FactKind, Incident, IncidentChange, IncidentState, SlackAction, SlackActionKind};
use crate::record::EventTime;
use render::Message;

const DAY_MS: i64 = 86_400_000;

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Notify {
    pub channels: Channels,
    pub mentions: Mentions,
    /// Incidents remembered of one service.
    #[serde(default = "incidents_max")]
    pub incidents_max: u32,
}

fn incidents_max() -> u32 {
    100
}

#[derive(Debug)]
pub enum Event {
    Told(Box<SlackAction>),
    Shown { posted: Posted, incidents_max: u32 },
    Forgot { incidents: Vec<String> },
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    posted: Vec<Posted>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Posted {
    incident_id: String,
    version: i32,
    channel: String,
    #[serde(default)]
    top_suspect: Option<String>,
    resolved: bool,
    changed_at_ms: i64,
}

impl Operator for Notify {
    const KIND: &'static str = "notify";
    const INPUTS: &'static [FactKind] = &[FactKind::Incident];
    const PORTS: &'static [(Port, FactKind)] = &[("action", FactKind::SlackAction)];
    const STATE_SCHEMA: &'static str = include_str!("../../schemas/state/notify.avsc");

    type Input<'a> = Incident;
    type Event = Event;
    type State = State;

    fn problems(&self) -> Vec<String> {
        let zero = (self.incidents_max == 0).then(|| "incidents_max: must be at least 1".to_owned());
        [self.channels.problems(), self.mentions.problems(), Vec::from_iter(zero)].concat()
    }

    fn decide(&self, state: &State, incident: &Incident, _at: EventTime) -> Vec<Event> {
        let before = state.posted.iter().find(|posted| posted.incident_id == incident.id);
        if before.is_some_and(|before| incident.version <= before.version) {
            return Vec::new();
        }
        let channel = before.map_or_else(|| self.channels.of(incident), |before| &before.channel);
        let mention = self.mentions.token(incident);
        let action = |kind, message| Event::Told(Box::new(action(incident, channel, kind, message)));
        let mut events = Vec::with_capacity(3);
        match before {
            None => events.push(action(SlackActionKind::PostRoot, render::root(incident, mention.as_deref()))),
            Some(before) => {
                events.push(action(SlackActionKind::UpdateRoot, render::root(incident, None)));
                let notable = notable(before, incident);
                if !notable.is_empty() {
                    events.push(action(SlackActionKind::Reply, render::reply(&notable, mention.as_deref())));
                }
            }
        }
        let posted = Posted {
            incident_id: incident.id.clone(),
            version: incident.version,
            channel: channel.to_owned(),
            top_suspect: incident.suspects.first().map(|top| top.deploy_id.clone()),
            resolved: incident.state == IncidentState::Resolved,
            changed_at_ms: incident.changed_at_ms,
        };
        events.push(Event::Shown { posted, incidents_max: self.incidents_max });
        events
    }

    fn evolve(mut state: State, event: &Event) -> State {
        match event {
            Event::Told(_) => {}
            Event::Shown { posted, incidents_max } => {
                state.posted.retain(|other| other.incident_id != posted.incident_id);
                state.posted.push(posted.clone());
                while state.posted.len() > (*incidents_max).max(1) as usize {
                    let order = |(_, posted): &(usize, &Posted)| (!posted.resolved, posted.changed_at_ms);
                    let Some((least, _)) = state.posted.iter().enumerate().min_by_key(order) else { break };
                    state.posted.remove(least);
                }
            }
            Event::Forgot { incidents } => state.posted.retain(|posted| !incidents.contains(&posted.incident_id)),
        }
        state
    }

    fn deadline(&self, state: &State) -> Option<EventTime> {
        state.posted.iter().map(Posted::forgotten_at).min()
    }

    fn due(&self, state: &State, at: EventTime) -> Vec<Event> {
        let over = state.posted.iter().filter(|posted| posted.forgotten_at() <= at);
        vec![Event::Forgot { incidents: over.map(|posted| posted.incident_id.clone()).collect() }]
    }

    fn publish(event: Event) -> Option<(Port, Fact<'static>)> {
        match event {
            Event::Told(action) => Some(("action", Fact::SlackAction(*action))),
            Event::Shown { .. } | Event::Forgot { .. } => None,
        }
    }
}

impl Posted {
    fn forgotten_at(&self) -> EventTime {
        EventTime(self.changed_at_ms).plus_ms(if self.resolved { DAY_MS } else { 7 * DAY_MS })
    }
}

/// What deserves a line in the thread; a change that only the root shows deserves none.
fn notable(before: &Posted, incident: &Incident) -> Vec<String> {
    let mut lines: Vec<_> = match incident.change {
        IncidentChange::Escalated => vec![render::escalated(incident)],
        IncidentChange::Reopened => vec![render::reopened(incident)],
        IncidentChange::Resolved => vec![render::resolved(incident)],
        IncidentChange::Opened | IncidentChange::AlertsChanged | IncidentChange::SuspectsChanged => Vec::new(),
    };
    let top = incident.suspects.first().filter(|top| Some(&top.deploy_id) != before.top_suspect.as_ref());
    if incident.state == IncidentState::Open {
        lines.extend(top.map(render::new_top_suspect));
    }
    lines
}

fn action(incident: &Incident, channel: &str, kind: SlackActionKind, message: Message) -> SlackAction {
    let suffix = match kind {
        SlackActionKind::PostRoot => "post",
        SlackActionKind::UpdateRoot => "update",
        SlackActionKind::Reply => "reply",
    };
    SlackAction {
        id: format!("{}-v{}-{suffix}", incident.id, incident.version),
        incident_id: incident.id.clone(),
        version: incident.version,
        kind,
        channel: channel.to_owned(),
        level: incident.level,
        text: message.text,
        blocks: message.blocks,
        terminal: kind != SlackActionKind::Reply && incident.state == IncidentState::Resolved,
        created_at_ms: incident.changed_at_ms,
    }
}

#[cfg(test)]
mod tests;
