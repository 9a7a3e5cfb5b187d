//! Says when the duty changes hands, and keeps a Slack user group to who is on call.
//!
//! ```text
//!  rotation ──► remembered; who is on call now is another than before ─┐
//!  a shift begins or ends ──► who is on call now is another than before ┴─► hand-over message, the group's members
//!  the calendar is known for a week only ──► said once
//! ```
//! *Remembers* the shifts as told last, who was on call when it last looked, and whom the group holds. *Forgets* what the next telling leaves out.
//! *Never* mentions anybody but who comes on, and only if the rotation's `mention` allows it; never tells the same hand-over twice; never
//! empties a group, which Slack would not take: with nobody on call it keeps whom it holds, and the message says so. A telling that is
//! older than what is known is ignored, so several processes may read the same calendar. Not here: which incidents are open, for
//! they are kept by service.

mod render;

use serde::{Deserialize, Serialize};

use super::{Operator, Port};
use crate::event::{Fact, FactKind, Level, Rotation, Shift, SlackAction, SlackActionKind};
use crate::record::EventTime;
use crate::rotation::duty::{self, OnCall};
use crate::rotation::{Rota, Rotations};

const DAY_MS: i64 = 86_400_000;
/// With less than this ahead the calendar is said to run out.
const AHEAD_MS: i64 = 7 * DAY_MS;
/// What the ids of its roots begin with, where an action names an incident.
const ROOT: &str = "handover-";

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HandOver {
    /// The topology's section of that name.
    #[serde(default)]
    pub rotations: Rotations,
}

#[derive(Debug)]
pub enum Event {
    Learned(Box<Rotation>),
    /// It was looked who is on call.
    Looked {
        at: EventTime,
        on_call: Vec<OnCall>,
    },
    Told(Box<SlackAction>),
    /// The calendar was said to run out.
    Warned,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    name: String,
    read_at_ms: i64,
    known_until_ms: i64,
    shifts: Vec<Shift>,
    /// When it was last looked who is on call, and who was.
    looked_at_ms: i64,
    on_call: Vec<OnCall>,
    /// Moment of the last message.
    told_at_ms: i64,
    warned: bool,
    group: String,
    members: Vec<String>,
    /// Of the members.
    version: i32,
}

impl Operator for HandOver {
    const KIND: &'static str = "rotation";
    const INPUTS: &'static [FactKind] = &[FactKind::Rotation];
    const PORTS: &'static [(Port, FactKind)] = &[("action", FactKind::SlackAction)];
    const STATE_SCHEMA: &'static str = include_str!("../../schemas/state/rotation.avsc");
    const SECTIONS: &'static [&'static str] = &["rotations"];

    type Input<'a> = Rotation;
    type Event = Event;
    type State = State;

    fn decide(&self, state: &State, rotation: &Rotation, at: EventTime) -> Vec<Event> {
        if rotation.read_at_ms < state.read_at_ms {
            return Vec::new();
        }
        let is_first = state.name.is_empty();
        let learned = Event::Learned(Box::new(rotation.clone()));
        let after = Self::evolve(state.clone(), &learned);
        let at = at.max(EventTime(state.looked_at_ms));
        let why = if is_first { Why::First } else { Why::Calendar };
        std::iter::once(learned).chain(self.look(&after, at, why)).collect()
    }

    fn evolve(state: State, event: &Event) -> State {
        match event {
            Event::Learned(rotation) => State {
                name: rotation.name.clone(),
                read_at_ms: rotation.read_at_ms,
                known_until_ms: rotation.known_until_ms,
                shifts: rotation.shifts.clone(),
                // It may run out again only after it was well.
                warned: state.warned && rotation.known_until_ms.saturating_sub(AHEAD_MS) <= rotation.read_at_ms,
                ..state
            },
            Event::Looked { at, on_call } => State { looked_at_ms: at.0, on_call: on_call.clone(), ..state },
            Event::Told(action) if action.kind == SlackActionKind::SetGroup => {
                State { group: action.channel.clone(), members: action.users.clone(), version: action.version, ..state }
            }
            Event::Told(action) => State { told_at_ms: action.created_at_ms, ..state },
            Event::Warned => State { warned: true, ..state },
        }
    }

    fn deadline(&self, state: &State) -> Option<EventTime> {
        self.rotations.get(&state.name)?;
        let boundary = duty::boundaries(&state.shifts).filter(|at| *at > state.looked_at_ms).min();
        let warning = Some(state.runs_out_at()).filter(|at| !state.warned && *at > state.looked_at_ms);
        boundary.into_iter().chain(warning).min().map(EventTime)
    }

    fn due(&self, state: &State, at: EventTime) -> Vec<Event> {
        self.look(state, at, Why::Boundary)
    }

    fn publish(event: Event) -> Option<(Port, Fact<'static>)> {
        match event {
            Event::Told(action) => Some(("action", Fact::SlackAction(*action))),
            Event::Learned(_) | Event::Looked { .. } | Event::Warned => None,
        }
    }
}

/// What made it look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    First,
    Calendar,
    Boundary,
}

impl HandOver {
    fn look(&self, state: &State, at: EventTime, why: Why) -> Vec<Event> {
        let on_call = duty::on_call(&state.shifts, at.0);
        let looked = Event::Looked { at, on_call: on_call.clone() };
        let Some(rota) = self.rotations.get(&state.name) else { return vec![looked] };
        let mut events = vec![looked];
        let mut told_at_ms = state.told_at_ms;
        let mut message = |text: String, events: &mut Vec<Event>| {
            let Some(channel) = &rota.channel else { return };
            // Never twice the same id, were a calendar to change in the very moment of a hand-over.
            told_at_ms = at.0.max(told_at_ms.saturating_add(1));
            events.push(Event::Told(Box::new(told(&state.name, channel, text, told_at_ms))));
        };
        if on_call != state.on_call || why == Why::First {
            message(render::hand_over(state, rota, &on_call, at.0, why), &mut events);
        }
        events.extend(members(state, rota, &on_call, at).map(|action| Event::Told(Box::new(action))));
        if !state.warned && state.runs_out_at() <= at.0 {
            message(render::runs_out(state), &mut events);
            events.push(Event::Warned);
        }
        events
    }
}

impl State {
    fn runs_out_at(&self) -> i64 {
        self.known_until_ms.saturating_sub(AHEAD_MS)
    }
}

/// The rotation that tells this root; `None`: a root of an incident.
pub fn of_root(incident_id: &str) -> Option<&str> {
    incident_id.strip_prefix(ROOT)?.rsplit_once('-').map(|(rotation, _)| rotation)
}

/// Its own root, so that each hand-over wakes who comes on.
fn told(rotation: &str, channel: &str, text: String, at_ms: i64) -> SlackAction {
    let incident_id = format!("{ROOT}{rotation}-{at_ms}");
    SlackAction {
        id: format!("{incident_id}-post"),
        incident_id,
        version: 1,
        kind: SlackActionKind::PostRoot,
        channel: channel.to_owned(),
        level: Level::Medium,
        blocks: render::blocks(&text),
        text,
        terminal: true,
        broadcast: false,
        created_at_ms: at_ms,
        users: Vec::new(),
    }
}

/// The group's whole list, if it is to be another. All of one rotation's have one key, so they are told in their order.
fn members(state: &State, rota: &Rota, on_call: &[OnCall], at: EventTime) -> Option<SlackAction> {
    let group = rota.group.as_ref()?;
    let mut users: Vec<_> = on_call.iter().map(|on| on.person.clone()).filter(|person| !person.is_empty()).collect();
    users.dedup();
    if users.is_empty() || users == state.members && *group == state.group {
        return None;
    }
    let version = state.version.saturating_add(1);
    let incident_id = format!("group-{}", state.name);
    Some(SlackAction {
        id: format!("{incident_id}-v{version}"),
        incident_id,
        version,
        kind: SlackActionKind::SetGroup,
        channel: group.clone(),
        level: Level::Medium,
        text: String::new(),
        blocks: String::new(),
        terminal: false,
        broadcast: false,
        created_at_ms: at.0,
        users,
    })
}

#[cfg(test)]
mod tests;
