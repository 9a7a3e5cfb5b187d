//! Operators: keyed state machines that decide new facts from one key's state and remember them.
//!
//! Total, synchronous, no context object. `decide` says what happened, `evolve` remembers it; what must be remembered but
//! not told is an event that `publish` answers with `None`. Time comes from the record or is the deadline itself.
//! A join is an operator whose `Input` has several variants with the same key. What is *not* here: stores, clocks, topics,
//! encodings, other operators. An operator never sees the name of a topic, only kinds of facts.
#![deny(clippy::disallowed_methods, clippy::disallowed_types, clippy::disallowed_macros)]

pub mod alert_samples;
pub mod attention;
pub mod dependents;
pub mod incident;
pub mod level;
pub mod notify;
pub mod rotation;
#[cfg(test)]
mod script;
pub mod suspects;
pub mod trend;

use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::event::{Fact, FactKind};
use crate::record::EventTime;

/// An operator's named output; topology files map it to a topic or to another operator.
pub type Port = &'static str;

/// The value is its own validated configuration.
pub trait Operator: Send + 'static {
    /// As topology files spell it.
    const KIND: &'static str;
    /// The facts it reads, at most one input per kind.
    const INPUTS: &'static [FactKind];
    /// Its outputs and what they carry.
    const PORTS: &'static [(Port, FactKind)];
    /// Avro schema of the state, from `schemas/state/`.
    const STATE_SCHEMA: &'static str;
    /// Inputs from which nothing it says comes back to it without end, whatever way leads there: what it says because of them is
    /// no news to who says them.
    const COME_TO_REST: &'static [FactKind] = &[];
    /// Sections of the topology's files that it finds in its configuration, under their own names.
    const SECTIONS: &'static [&'static str] = &[];

    /// A closed enum with a variant for each of `INPUTS`; converting a fact of another kind is the only error.
    type Input<'a>: TryFrom<Fact<'a>>;
    /// A closed enum: what this operator can say.
    type Event;
    /// What it remembers of one key. A state equal to the default is forgotten, so the default must mean "nothing known".
    type State: Clone + Default + PartialEq + Serialize + DeserializeOwned + Send;

    /// What is wrong with this configuration: all of it, each with what to mend. Empty when it may run.
    fn problems(&self) -> Vec<String> {
        Vec::new()
    }

    /// What may run, but probably not as meant.
    fn warnings(&self) -> Vec<String> {
        Vec::new()
    }

    fn decide(&self, state: &Self::State, input: &Self::Input<'_>, at: EventTime) -> Vec<Self::Event>;

    /// No `self`: configuration never rewrites memory.
    fn evolve(state: Self::State, event: &Self::Event) -> Self::State;

    /// Whether the event may change the state. What changes none costs no write of it.
    fn remembers(_event: &Self::Event) -> bool {
        true
    }

    /// When this key wants to be woken, as a question to its state: nothing to cancel, nothing lost in a crash.
    fn deadline(&self, _state: &Self::State) -> Option<EventTime> {
        None
    }

    /// What happened because `at`, the key's own deadline, has passed. Must move the deadline, or end it.
    fn due(&self, _state: &Self::State, _at: EventTime) -> Vec<Self::Event> {
        Vec::new()
    }

    /// Which rule of its configuration made it say this, for the metrics.
    fn rule(_event: &Self::Event) -> Option<&Arc<str>> {
        None
    }

    /// `None`: remembered, not told.
    fn publish(event: Self::Event) -> Option<(Port, Fact<'static>)>;
}

/// Decides and remembers one input.
pub fn step<O: Operator>(
    operator: &O,
    state: O::State,
    input: &O::Input<'_>,
    at: EventTime,
) -> (O::State, Vec<O::Event>) {
    let events = operator.decide(&state, input, at);
    let state = events.iter().fold(state, O::evolve);
    (state, events)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::any::Maker;
    use crate::codec::{avro, ordered};

    fn reads_alike_by_name_and_by_order<O: Operator>() {
        let json = serde_json::from_str(O::STATE_SCHEMA).unwrap();
        let schema = O::STATE_SCHEMA.parse().unwrap();
        for seed in 0..2_000 {
            let body = Maker::body(&json, seed);
            let by_name: O::State = avro::decode(&schema, &body).unwrap_or_else(|error| panic!("{}: {error}", O::KIND));
            let by_order: O::State = ordered::decode(&body).unwrap_or_else(|error| panic!("{}: {error}", O::KIND));
            assert!(by_name == by_order, "{}: its fields are not in the schema's order", O::KIND);
            let mut bodies = [Vec::new(), Vec::new()];
            avro::encode(&schema, &by_name, &mut bodies[0]).unwrap();
            ordered::encode(&by_name, &mut bodies[1]).unwrap();
            assert_eq!(bodies[0], bodies[1], "{}: its fields are not in the schema's order", O::KIND);
        }
    }

    #[test]
    fn every_state_has_its_schemas_fields_in_their_order() {
        reads_alike_by_name_and_by_order::<alert_samples::AlertSamples>();
        reads_alike_by_name_and_by_order::<attention::Attend>();
        reads_alike_by_name_and_by_order::<dependents::Dependents>();
        reads_alike_by_name_and_by_order::<incident::Incidents>();
        reads_alike_by_name_and_by_order::<level::Levels>();
        reads_alike_by_name_and_by_order::<notify::Notify>();
        reads_alike_by_name_and_by_order::<rotation::HandOver>();
        reads_alike_by_name_and_by_order::<suspects::Suspects>();
        reads_alike_by_name_and_by_order::<trend::Trend>();
    }
}
