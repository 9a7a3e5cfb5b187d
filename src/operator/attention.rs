//! Knows what people do about an incident, decides whether they are told of it, and tells somebody further when nobody has it in hand.
//!
//! ```text
//!  incident ───► with what people did ────────────────────► incident
//!  alert ──────► whether all of an incident have ended       (remembered)
//!  response ───► acknowledged, assigned, muted, unmuted … ► incident; run: a request once ► run
//!  action_run ─► how far it is ───────────────────────────► incident, Noted
//!  cause ──────► symptoms muted, and unmuted ─────────────► incident
//!  (time) ─────► Unmuted; Unattended, step by step ───────► incident
//! ```
//!
//! *Acknowledged*: the escalation chain stands still until it is given back or the incident reopens; when it gets worse the alerts'
//! own mention still wakes. The assignee stays over a reopening. A double, an answer to what is resolved or unknown, says nothing.
//! *Muted*: nobody is woken and the chain stands still; in this order by a planned window, a snooze (a week at most, over a reopening
//! too; a higher level ends it), silences of all its firing alerts, or because what it depends on is down. When that ends and it is
//! still open: `Unmuted`, with the widest mention its alerts asked for since it opened, unless somebody has it in hand. An incident
//! that resolves muted stays so.
//! *The chain* counts from the opening, reopening, unmuting, the giving back, or the reaching of its level, and rests while all alerts
//! have ended (`attention/ends.rs`). *A run* of an action is
//! asked for once while it runs; what is read back as requested is no news. *What helped*: see `attention/helped.rs`.
//!
//! *Remembers* incidents as told last, silences, causes, answers heard (a day), how incidents ended (90 days). *Forgets* a resolved
//! incident after a day, an open one that is not muted after a week without news. *Never* tells a lower version than before, never
//! wakes otherwise than `attention/policy.rs` says, and never mutes what it does not know to be quiet.

mod ends;
mod helped;
mod log;
mod memory;
mod mute;
mod policy;
mod respond;
mod window;

use serde::Deserialize;

pub use memory::State;
pub use policy::{Step, Ways};
pub use window::Window;

use super::{Operator, Port};
use crate::event::{
    ActionRun, Alert, Cause, Deploy, Fact, FactKind, Incident, IncidentChange, IncidentState, Level, MuteKind, Response,
};
use crate::record::EventTime;
use ends::Heard;
use memory::{Answered, Ending, Known, KnownCause, Rollout, Silence, with_cause};
use mute::Quiet;

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Attend {
    /// Whom to tell, and when, while nobody has it in hand; the soonest first.
    pub escalation: Vec<Step>,
    pub escalation_level_at_least: Level,
    pub maintenance: Vec<Window>,
    /// A cause that began so much later still hides its symptom.
    pub inhibit_within_secs: u32,
    /// Remembered incidents of one service.
    pub incidents_max: u32,
}

impl Default for Attend {
    fn default() -> Self {
        Self {
            escalation: Vec::new(),
            escalation_level_at_least: Level::High,
            maintenance: Vec::new(),
            inhibit_within_secs: 600,
            incidents_max: 60,
        }
    }
}

#[derive(Clone, Debug)]
pub enum Input<'a> {
    Incident(Incident),
    Alert(Alert<'a>),
    Response(Response),
    ActionRun(ActionRun),
    Cause(Cause),
    Deploy(Deploy<'a>),
}

impl<'a> TryFrom<Fact<'a>> for Input<'a> {
    type Error = FactKind;
    fn try_from(fact: Fact<'a>) -> Result<Self, FactKind> {
        match fact {
            Fact::Incident(incident) => Ok(Input::Incident(incident)),
            Fact::Alert(alert) => Ok(Input::Alert(alert)),
            Fact::Response(response) => Ok(Input::Response(response)),
            Fact::ActionRun(run) => Ok(Input::ActionRun(run)),
            Fact::Cause(cause) => Ok(Input::Cause(cause)),
            Fact::Deploy(deploy) => Ok(Input::Deploy(deploy)),
            other => Err(other.kind()),
        }
    }
}

#[derive(Debug)]
pub enum Event {
    Told {
        known: Box<Known>,
        incidents_max: u32,
    },
    Requested(Box<ActionRun>),
    /// An alert of it ended, or fires anew.
    Heard {
        incident: String,
        heard: Heard,
        at: EventTime,
    },
    /// Nothing came of it.
    Judged {
        incident: String,
        at: EventTime,
    },
    Answered(Answered),
    Silenced(Silence),
    Caused(KnownCause),
    RolledOut {
        incident: String,
        rollout: Rollout,
    },
    Learned(Ending),
    /// It did not last.
    Unlearned {
        incident: String,
    },
    Forgot {
        at: EventTime,
    },
}

impl Operator for Attend {
    const KIND: &'static str = "attention";
    const INPUTS: &'static [FactKind] = &[
        FactKind::Incident,
        FactKind::Alert,
        FactKind::Response,
        FactKind::ActionRun,
        FactKind::Cause,
        FactKind::Deploy,
    ];
    const PORTS: &'static [(Port, FactKind)] = &[("incident", FactKind::Incident), ("run", FactKind::ActionRun)];
    // That a run is requested is no news. A cause mutes, or no longer mutes, what is muted by nothing else, and neither makes or ends a
    // cause.
    const COME_TO_REST: &'static [FactKind] = &[FactKind::ActionRun, FactKind::Cause];
    const STATE_SCHEMA: &'static str = include_str!("../../schemas/state/attention.avsc");

    type Input<'a> = Input<'a>;
    type Event = Event;
    type State = State;

    fn problems(&self) -> Vec<String> {
        let zero = (self.incidents_max == 0).then(|| "incidents_max: must be at least 1".to_owned());
        let mut problems: Vec<_> = zero.into_iter().chain(self.chain_problems()).collect();
        for (at, window) in self.maintenance.iter().enumerate() {
            problems.extend(window.problems().into_iter().map(|problem| format!("maintenance[{at}].{problem}")));
            if self.maintenance[..at].iter().any(|before| before.name == window.name) {
                problems.push(format!("maintenance[{at}].name: `{}` is there twice", window.name));
            }
        }
        problems
    }

    fn warnings(&self) -> Vec<String> {
        let everything = self.maintenance.iter().enumerate().filter(|(_, window)| window.is_for_everything());
        let warning = "mutes every incident; say which services, environments or alerts";
        everything.map(|(at, _)| format!("maintenance[{at}]: {warning}")).collect()
    }

    fn decide(&self, state: &State, input: &Input<'_>, at: EventTime) -> Vec<Event> {
        match input {
            Input::Incident(incident) => self.pass(state, incident, at),
            Input::Alert(alert) => Self::heard(state, alert, at),
            Input::Response(response) => self.respond(state, response, at),
            Input::ActionRun(run) => self.ran(state, run, at),
            Input::Cause(cause) => self.caused(state, cause, at),
            Input::Deploy(deploy) => {
                let rolled_out = state.rolled_out(deploy).into_iter();
                rolled_out.map(|(incident, rollout)| Event::RolledOut { incident, rollout }).collect()
            }
        }
    }

    fn evolve(mut state: State, event: &Event) -> State {
        let of = |known: &&mut Known, id: &str| known.snapshot.id == id;
        match event {
            Event::Told { known, incidents_max } => state.remember(known, *incidents_max as usize),
            Event::Requested(_) => {}
            Event::Heard { incident, heard, at } => {
                if let Some(known) = state.incidents.iter_mut().find(|known| of(known, incident)) {
                    known.hear(*heard, *at);
                }
            }
            Event::Judged { incident, at } => {
                if let Some(known) = state.incidents.iter_mut().find(|known| of(known, incident)) {
                    known.judged_at_ms = at.0;
                }
            }
            Event::Answered(answered) => state.answer(answered.clone()),
            Event::Silenced(silence) => state.silence(silence),
            Event::Caused(cause) => state.causes = with_cause(state.causes, cause),
            Event::RolledOut { incident, rollout } => {
                if let Some(known) = state.incidents.iter_mut().find(|known| of(known, incident)) {
                    known.rollout = Some(rollout.clone());
                }
            }
            Event::Learned(ending) => state.learn(ending),
            Event::Unlearned { incident } => state.unlearn(incident),
            Event::Forgot { at } => state.forget(*at),
        }
        state
    }

    fn deadline(&self, state: &State) -> Option<EventTime> {
        let open = state.open().filter_map(|known| self.wakes_at(known, state));
        open.chain(state.first_forgotten_at()).min()
    }

    fn due(&self, state: &State, at: EventTime) -> Vec<Event> {
        let woken = state.open().filter(|known| self.wakes_at(known, state).is_some_and(|wakes_at| wakes_at <= at));
        let mut events: Vec<_> = woken.map(|known| self.woken(known, state, at)).collect();
        if state.first_forgotten_at().is_some_and(|first| first <= at) {
            events.push(Event::Forgot { at });
        }
        events
    }

    fn publish(event: Event) -> Option<(Port, Fact<'static>)> {
        match event {
            Event::Told { known, .. } => Some(("incident", Fact::Incident(known.snapshot))),
            Event::Requested(run) => Some(("run", Fact::ActionRun(*run))),
            _ => None,
        }
    }
}

impl Attend {
    /// A snapshot goes on with what people did; nothing if it is an old one.
    fn pass(&self, state: &State, incident: &Incident, at: EventTime) -> Vec<Event> {
        let before = state.incident(&incident.id);
        if before.is_some_and(|before| incident.version <= before.told_version) {
            return Vec::new();
        }
        let mut next = Known::following(before, incident, at);
        if let Some(before) = before {
            self.note(before, &mut next, at);
        }
        let reopened = incident.change == IncidentChange::Reopened;
        let mut events = Vec::with_capacity(2);
        if reopened {
            events.push(Event::Unlearned { incident: incident.id.clone() });
        }
        if incident.state == IncidentState::Resolved {
            if incident.change == IncidentChange::Resolved {
                events.push(Event::Learned(next.ending()));
            }
        } else if !state.endings.is_empty() {
            next.attention_mut().helped = state.helped(incident);
        }
        events.push(self.tell(self.settled(next, incident.change, state.quiet(), at)));
        events
    }

    /// What is new since the snapshot before it, for the log; and what that means for the snooze and the chain.
    fn note(&self, before: &Known, next: &mut Known, at: EventTime) {
        let (change, level) = (next.snapshot.change, next.snapshot.level);
        if change == IncidentChange::Reopened {
            next.log("it came back", at);
        } else if level > before.snapshot.level {
            let text = format!("it got worse, now {level:?}: {}", next.snapshot.level_reason);
            next.log(&text, at);
            if before.snapshot.level < self.escalation_level_at_least && level >= self.escalation_level_at_least {
                next.wait_anew(at);
            }
        }
        if next.snooze.take_if(|snooze| level > snooze.level).is_some() {
            next.log("the snooze is over, for it is worse than when it was snoozed", at);
        }
        let doublings = |flaps: i32| flaps.max(1).ilog2();
        if doublings(next.snapshot.flaps) > doublings(before.snapshot.flaps) {
            let text = format!("it is flapping: alerts went and came back {} times", next.snapshot.flaps);
            next.log(&text, at);
        }
    }

    fn caused(&self, state: &State, cause: &Cause, at: EventTime) -> Vec<Event> {
        let before = state.causes.iter().find(|before| before.incident_id == cause.incident_id);
        if before.is_some_and(|before| cause.version <= before.version) {
            return Vec::new();
        }
        let since_ms = before.filter(|before| before.open).map_or(cause.at_ms, |before| before.since_ms);
        let cause = KnownCause {
            service: cause.cause_service.clone(),
            incident_id: cause.incident_id.clone(),
            version: cause.version,
            open: cause.open,
            level: cause.level,
            since_ms,
            told_at_ms: at.0,
        };
        let causes = with_cause(state.causes.clone(), &cause);
        let judged = self.judged(state, Quiet { causes: &causes, ..state.quiet() }, at);
        std::iter::once(Event::Caused(cause)).chain(judged).collect()
    }

    /// Open incidents of which people are told otherwise now that their service is quiet by something else.
    fn judged(&self, state: &State, quiet: Quiet<'_>, at: EventTime) -> Vec<Event> {
        let changed = state.open().filter_map(|known| {
            let at = at.max(EventTime(known.judged_at_ms));
            let muted = self.muted(known, quiet, at);
            let is_new = known.attention().is_none_or(|attention| attention.muted != muted);
            is_new.then(|| self.tell(self.settled(known.anew(), IncidentChange::Noted, quiet, at)))
        });
        changed.collect()
    }

    /// With what is due: the end or beginning of a mute before a step of the chain.
    fn woken(&self, known: &Known, state: &State, at: EventTime) -> Event {
        let muted = self.muted(known, state.quiet(), at);
        if known.attention().is_some_and(|attention| attention.muted != muted) {
            return self.tell(self.settled(known.anew(), IncidentChange::Noted, state.quiet(), at));
        }
        match &self.steps_due(known, at)[..] {
            [] => Event::Judged { incident: known.snapshot.id.clone(), at },
            steps => self.tell(Self::unattended(known, steps, at)),
        }
    }

    fn wakes_at(&self, known: &Known, state: &State) -> Option<EventTime> {
        self.judged_anew_at(known, &state.causes).into_iter().chain(self.next_step_at(known)).min()
    }

    /// The snapshot once it is known whether people are told: with the change that says most, and whom that wakes.
    fn settled(&self, mut next: Known, mut change: IncidentChange, quiet: Quiet<'_>, at: EventTime) -> Known {
        let judged = at.max(EventTime(next.judged_at_ms));
        next.judged_at_ms = judged.0;
        if !next.is_open() {
            next.snapshot.mention = policy::mention(change, next.standing(), next.snapshot.mention);
            return next.told(change, at);
        }
        let was = next.attention_mut().muted.take();
        let muted = self.muted(&next, quiet, judged);
        let says_more = matches!(change, IncidentChange::Opened | IncidentChange::Reopened | IncidentChange::Escalated);
        match (was.as_ref().map(|was| was.kind), &muted) {
            (Some(kind), None) => {
                if let Some(text) = next.quiet_is_over(kind) {
                    next.log(text, at);
                }
                next.wait_anew(at);
                change = if says_more { change } else { IncidentChange::Unmuted };
            }
            (before, Some(now)) => {
                if before != Some(now.kind) && now.kind != MuteKind::Snoozed {
                    next.log(&format!("nobody is told: {}", now.reason), at);
                }
                let is_news = before != Some(now.kind) || change == IncidentChange::Noted && was != muted;
                change = if says_more || !is_news { change } else { IncidentChange::Muted };
            }
            (None, None) => {}
        }
        next.snooze.take_if(|snooze| snooze.until_ms <= judged.0);
        // Whoever was quiet until now is told all that was asked for meanwhile.
        let asked = if was.is_some() { next.mention } else { next.snapshot.mention };
        next.attention_mut().muted = muted;
        next.snapshot.mention = policy::mention(change, next.standing(), asked);
        next.told(change, at)
    }

    fn tell(&self, known: Known) -> Event {
        Event::Told { known: Box::new(known), incidents_max: self.incidents_max }
    }
}

#[cfg(test)]
mod tests;
