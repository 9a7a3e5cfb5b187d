//! Turns incidents into what Slack shall be told: one root message per incident, rewritten with every version, and replies in
//! its thread for what is notable.
//!
//! ```text
//!  first snapshot ──► PostRoot, with the mention
//!  later ones ──────► UpdateRoot, and a Reply when it escalated, reopened, resolved, nobody has it in hand, its quiet is over,
//!                     or it has a new top suspect
//!  new log entries ─► Log: one message in the thread, rewritten
//! ```
//!
//! What is muted since its first moment has no root before it is no longer; while one is muted, its thread hears but its end.
//!
//! *Remembers* which incidents have a root, where, and what it shows. *Forgets* a day after an incident resolved, a week after
//! anybody told of it. *Never* mentions twice in one version, never in a rewriting, and never otherwise than its `mentions`
//! policy allows: what alerts and deploys say is escaped text. A version told before is ignored.

mod attention;
mod buttons;
mod policy;
mod render;
mod text;
mod trend;

use serde::{Deserialize, Serialize};

pub use policy::{ChannelRule, Channels, Mentions, tokens_that_wake};

use super::{Operator, Port};
use crate::actions::Actions;
use crate::event::{Fact, FactKind, Incident, IncidentChange, IncidentState, SlackAction, SlackActionKind};
use crate::record::EventTime;
use crate::services::Services;
use render::{Known, Message};

const DAY_MS: i64 = 86_400_000;

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Notify {
    pub channels: Channels,
    pub mentions: Mentions,
    /// The topology's section of that name.
    #[serde(default)]
    pub services: Services,
    /// Whether a reply that calls somebody, for it is worse or nobody has it in hand, is shown in the channel too: who does not
    /// follow the thread would not see it.
    #[serde(default = "yes")]
    pub broadcast_escalations: bool,
    #[serde(default)]
    pub actions: Actions,
    /// Where answers go, `slack.responses`: if they go anywhere, open incidents have buttons.
    #[serde(default)]
    pub responses: Option<String>,
    /// Where pictures of trends are to be had, `slack.charts`; without it messages have none.
    #[serde(default)]
    pub charts: Option<String>,
    /// Incidents remembered of one service.
    #[serde(default = "incidents_max")]
    pub incidents_max: u32,
}

fn yes() -> bool {
    true
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
    /// Muted since its first moment: it has no root yet.
    #[serde(default)]
    unheard: bool,
    /// How many entries its log had when it was told last.
    #[serde(default)]
    logged: i32,
}

impl Operator for Notify {
    const KIND: &'static str = "notify";
    const INPUTS: &'static [FactKind] = &[FactKind::Incident];
    const PORTS: &'static [(Port, FactKind)] = &[("action", FactKind::SlackAction)];
    const STATE_SCHEMA: &'static str = include_str!("../../schemas/state/notify.avsc");
    const SECTIONS: &'static [&'static str] = &["actions", "services", "slack.charts", "slack.responses"];

    type Input<'a> = Incident;
    type Event = Event;
    type State = State;

    fn problems(&self) -> Vec<String> {
        let zero = (self.incidents_max == 0).then(|| "incidents_max: must be at least 1".to_owned());
        let owners = self.mentions.all_owners(&self.services);
        [self.channels.problems(&owners), self.mentions.problems(&self.services), Vec::from_iter(zero)].concat()
    }

    fn decide(&self, state: &State, incident: &Incident, _at: EventTime) -> Vec<Event> {
        let before = state.posted.iter().find(|posted| posted.incident_id == incident.id);
        if before.is_some_and(|before| incident.version <= before.version) {
            return Vec::new();
        }
        let rooted = before.filter(|before| !before.unheard);
        let channel = rooted.map_or_else(|| self.channel(incident), |before| before.channel.as_str());
        let resolved = incident.state == IncidentState::Resolved;
        // What ends before anybody heard of it stays unheard, and what is noted long after its end wakes no new root.
        let late = resolved && (before.is_some() || incident.change != IncidentChange::Resolved);
        let unheard = rooted.is_none() && (is_muted(incident) || late);
        let logged = if unheard { 0 } else { attention::logged(incident) };
        let mut events = Vec::with_capacity(4);
        if !unheard {
            let told = self.told(incident, rooted).into_iter();
            let broadcast = self.broadcasts(incident);
            events.extend(told.map(|(kind, message)| {
                let broadcast = kind == SlackActionKind::Reply && broadcast;
                Event::Told(Box::new(SlackAction { broadcast, ..action(incident, channel, kind, message) }))
            }));
        }
        let posted = Posted {
            incident_id: incident.id.clone(),
            version: incident.version,
            channel: channel.to_owned(),
            top_suspect: incident.suspects.first().map(|top| top.deploy_id.clone()),
            resolved,
            changed_at_ms: incident.changed_at_ms,
            unheard,
            logged,
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

impl Notify {
    /// The root first, for the others are in its thread.
    fn told(&self, incident: &Incident, before: Option<&Posted>) -> Vec<(SlackActionKind, Message)> {
        let mention = self.mentions.token(incident, &self.services);
        let root = |mention| render::root(incident, self.known(incident), mention);
        let mut told = Vec::with_capacity(3);
        match before {
            None => told.push((SlackActionKind::PostRoot, root(mention.as_deref()))),
            Some(before) => {
                told.push((SlackActionKind::UpdateRoot, root(None)));
                let notable = notable(before, incident);
                if !notable.is_empty() {
                    told.push((SlackActionKind::Reply, render::reply(&notable, mention.as_deref())));
                }
            }
        }
        let logged = attention::logged(incident);
        if logged > 0 && logged != before.map_or(0, |before| before.logged) {
            told.push((SlackActionKind::Log, attention::log(incident)));
        }
        told
    }

    fn broadcasts(&self, incident: &Incident) -> bool {
        let further = matches!(incident.change, IncidentChange::Escalated | IncidentChange::Unattended);
        self.broadcast_escalations && further && self.mentions.token(incident, &self.services).is_some()
    }

    fn channel(&self, incident: &Incident) -> &str {
        self.channels.of(incident, self.mentions.owner_named(&incident.service, &self.services))
    }

    fn known(&self, incident: &Incident) -> Known<'_> {
        let service = self.services.get(&incident.service);
        Known {
            owner: self.mentions.owner_named(&incident.service, &self.services),
            runbook: service.and_then(|service| service.runbook.as_deref()),
            dashboard: service.and_then(|service| service.dashboard.as_deref()),
            actions: self.responses.as_ref().map(|_| &self.actions),
            charts: self.charts.as_deref(),
        }
    }
}

fn is_muted(incident: &Incident) -> bool {
    incident.attention.as_ref().is_some_and(|attention| attention.muted.is_some())
}

impl Posted {
    fn forgotten_at(&self) -> EventTime {
        EventTime(self.changed_at_ms).plus_ms(if self.resolved { DAY_MS } else { 7 * DAY_MS })
    }
}

/// What deserves a line in the thread; a change that only the root shows deserves none.
fn notable(before: &Posted, incident: &Incident) -> Vec<String> {
    if is_muted(incident) && incident.state == IncidentState::Open {
        return Vec::new();
    }
    let mut lines: Vec<_> = match incident.change {
        IncidentChange::Escalated => vec![render::escalated(incident)],
        IncidentChange::Reopened => vec![render::reopened(incident)],
        IncidentChange::Resolved => vec![render::resolved(incident)],
        IncidentChange::Unattended => vec![render::unattended(incident)],
        IncidentChange::Unmuted => vec![render::unmuted(incident)],
        IncidentChange::Opened
        | IncidentChange::AlertsChanged
        | IncidentChange::SuspectsChanged
        | IncidentChange::Acknowledged
        | IncidentChange::Unacknowledged
        | IncidentChange::Assigned
        | IncidentChange::Muted
        | IncidentChange::Noted => Vec::new(),
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
        SlackActionKind::Log => "log",
        SlackActionKind::SetGroup => "group",
    };
    let is_root = matches!(kind, SlackActionKind::PostRoot | SlackActionKind::UpdateRoot);
    SlackAction {
        id: format!("{}-v{}-{suffix}", incident.id, incident.version),
        incident_id: incident.id.clone(),
        version: incident.version,
        kind,
        channel: channel.to_owned(),
        level: incident.level,
        text: message.text,
        blocks: message.blocks,
        broadcast: false,
        terminal: is_root && incident.state == IncidentState::Resolved,
        created_at_ms: incident.changed_at_ms,
        users: Vec::new(),
    }
}

#[cfg(test)]
mod tests;
