//! OSPBench's sliding window: how flow and speed of a measurement point changed against one interval before, and against two.
//!
//! An aggregate is told once, with both changes: as soon as both earlier aggregates are there, or else when the intervals of those
//! that are missing close. So the order in which aggregates come decides when one is told, and not what.
//!
//! *Remembers* flow and speed of an aggregate, and all of it while it waits. *Forgets* them once no aggregate can look back to it any
//! more: with the next that comes, or when that holds for the newest. *Never* tells a change anew: what an aggregate is compared with
//! is in its place, or will never be.

use fairlead::event::{Fact, FactKind};
use fairlead::operator::{Operator, Port};
use fairlead::record::EventTime;
use serde::{Deserialize, Serialize};

use super::facts::{
    AGGREGATE, Aggregate, CHANGE, Change, LONG_TERM_MS, Relative, SHORT_TERM_MS, Twin, closes_at_ms, is_late,
};

#[derive(Clone)]
pub struct RelativeChange;

pub struct Input(Aggregate);

impl TryFrom<Fact<'_>> for Input {
    type Error = FactKind;
    fn try_from(fact: Fact<'_>) -> Result<Self, FactKind> {
        Aggregate::of_fact(&fact).map(Input)
    }
}

pub enum Event {
    Came(Earlier, EventTime),
    Waits(Aggregate),
    Told(Change),
    Closed(EventTime),
}

/// What later aggregates need of one.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Earlier {
    timestamp_ms: i64,
    flow: i32,
    speed: f64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    earlier: Vec<Earlier>,
    waiting: Vec<Aggregate>,
}

impl Operator for RelativeChange {
    const KIND: &'static str = "change";
    const INPUTS: &'static [FactKind] = &[FactKind::Own(AGGREGATE)];
    const PORTS: &'static [(Port, FactKind)] = &[("change", FactKind::Own(CHANGE))];
    const STATE_SCHEMA: &'static str = include_str!("schemas/change_state.avsc");

    type Input<'a> = Input;
    type Event = Event;
    type State = State;

    /// Whoever waited for this one may be complete now.
    fn decide(&self, state: &State, Input(aggregate): &Input, at: EventTime) -> Vec<Event> {
        let Aggregate { timestamp_ms, accumulated_flow: flow, average_speed: speed, .. } = *aggregate;
        let came = Earlier { timestamp_ms, flow, speed };
        let earlier: Vec<_> = state.earlier.iter().copied().chain([came]).collect();
        let mut events = vec![Event::Came(came, at)];
        let complete = state.waiting.iter().filter(|waiting| waits_until_ms(waiting, &earlier).is_none());
        events.extend(complete.map(|waiting| Event::Told(change(waiting, &earlier))));
        events.push(match waits_until_ms(aggregate, &earlier) {
            Some(_) => Event::Waits(aggregate.clone()),
            None => Event::Told(change(aggregate, &earlier)),
        });
        events
    }

    fn evolve(mut state: State, event: &Event) -> State {
        match event {
            Event::Came(came, at) => {
                state.earlier.retain(|earlier| !is_passed(earlier, *at));
                state.earlier.push(*came);
            }
            Event::Waits(aggregate) => state.waiting.push(aggregate.clone()),
            Event::Told(told) => state.waiting.retain(|waiting| waiting.timestamp_ms != told.aggregate.timestamp_ms),
            Event::Closed(at) => state.earlier.retain(|earlier| !is_passed(earlier, *at)),
        }
        state
    }

    /// Of what is remembered only the newest asks to be forgotten; as long as more comes, that forgets the older ones.
    fn deadline(&self, state: &State) -> Option<EventTime> {
        let newest_ms = state.earlier.iter().map(|earlier| earlier.timestamp_ms).max();
        let forgotten_at_ms = newest_ms.map(|newest_ms| closes_at_ms(newest_ms + LONG_TERM_MS));
        let waits = state.waiting.iter().filter_map(|waiting| waits_until_ms(waiting, &state.earlier));
        waits.chain(forgotten_at_ms).min().map(EventTime)
    }

    fn due(&self, state: &State, at: EventTime) -> Vec<Event> {
        let waits = |waiting: &&Aggregate| waits_until_ms(waiting, &state.earlier).is_some_and(|until| until > at.0);
        let overdue = state.waiting.iter().filter(|waiting| !waits(waiting));
        let told = overdue.map(|waiting| Event::Told(change(waiting, &state.earlier)));
        told.chain([Event::Closed(at)]).collect()
    }

    fn publish(event: Event) -> Option<(Port, Fact<'static>)> {
        match event {
            Event::Told(change) => Some(("change", change.to_fact())),
            Event::Came(..) | Event::Waits(_) | Event::Closed(_) => None,
        }
    }
}

/// No aggregate that looks back to it can come any more.
fn is_passed(earlier: &Earlier, at: EventTime) -> bool {
    is_late(earlier.timestamp_ms + LONG_TERM_MS, at)
}

/// When the last of the intervals that it misses closes: the later of both is looked at first. `None` if it misses none.
fn waits_until_ms(aggregate: &Aggregate, earlier: &[Earlier]) -> Option<i64> {
    let befores = [SHORT_TERM_MS, LONG_TERM_MS].map(|term_ms| aggregate.timestamp_ms - term_ms);
    befores.into_iter().find(|before_ms| at(earlier, *before_ms).is_none()).map(closes_at_ms)
}

fn at(earlier: &[Earlier], timestamp_ms: i64) -> Option<&Earlier> {
    earlier.iter().find(|earlier| earlier.timestamp_ms == timestamp_ms)
}

fn change(aggregate: &Aggregate, earlier: &[Earlier]) -> Change {
    let against = |term_ms| at(earlier, aggregate.timestamp_ms - term_ms).map(|before| relative(aggregate, before));
    Change {
        measurement_id: aggregate.measurement_id.clone(),
        published_at_ms: aggregate.published_at_ms,
        aggregate: aggregate.clone(),
        short_term: against(SHORT_TERM_MS),
        long_term: against(LONG_TERM_MS),
    }
}

/// The difference, of flows as a whole number, and then one division: who computes in another order rounds to other bits.
fn relative(now: &Aggregate, before: &Earlier) -> Relative {
    let flow = f64::from(now.accumulated_flow - before.flow) / f64::from(before.flow);
    let speed = (now.average_speed - before.speed) / before.speed;
    Relative { flow: (before.flow != 0).then_some(flow), speed: (before.speed != 0.0).then_some(speed) }
}
