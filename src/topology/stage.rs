//! The one `dyn` seam: a [`Stage`] is any operator with the states of the keys at hand.
//!
//! A stage holds the states that a batch touches, decoded, so that a key met twice in a batch reads what the first meeting
//! left, and its state is encoded once per commit. States stay for the next batch as a cache. Invariant: what a stage holds
//! between batches is what was committed; after an abort the caller says [`Stage::discard`].

use std::hash::{BuildHasherDefault, DefaultHasher};
use std::sync::Arc;

use indexmap::IndexMap;

use crate::codec::{self, Format, Formats};
use crate::event::{Fact, FactKind};
use crate::operator::{Operator, Port};
use crate::record::EventTime;

pub type Key = Vec<u8>;

/// States kept decoded between batches; above this the cache starts anew.
const CACHE_KEYS_MAX: usize = 512;

/// What an operator told, at which event time.
#[derive(Debug)]
pub struct Emission {
    pub port: Port,
    pub fact: Fact<'static>,
    /// The operator's rule that made it say this, if it goes by rules.
    pub rule: Option<Arc<str>>,
}

/// What one fact, or a deadline that has passed, made of a key.
#[derive(Debug, Default)]
pub struct Step {
    pub emissions: Vec<Emission>,
    /// The key's deadline before and after.
    pub deadline_before: Option<EventTime>,
    pub deadline: Option<EventTime>,
}

/// A key whose state is another than the one stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateChange {
    pub key: Key,
    /// `None`: forgotten.
    pub state: Option<Vec<u8>>,
    /// To be noted in the index of deadlines. A deadline that only moved later needs no note: the old one wakes the key, and
    /// finds that it is not time yet.
    pub wakes_at: Option<EventTime>,
}

pub trait Stage: Send {
    /// The name topology files gave it.
    fn name(&self) -> &str;
    fn inputs(&self) -> &'static [FactKind];
    fn ports(&self) -> &'static [(Port, FactKind)];

    fn holds(&self, key: &[u8]) -> bool;

    /// Takes a key's stored state in.
    fn load(&mut self, key: &[u8], stored: Option<&[u8]>, formats: &Formats) -> Result<(), codec::Error>;

    /// Decides one fact. The key must be held.
    fn step(&mut self, key: &[u8], fact: Fact<'_>, at: EventTime) -> Step;

    /// Tells the key that its deadline has passed. The key must be held.
    fn due(&mut self, key: &[u8], deadline: EventTime) -> Step;

    fn deadline(&self, key: &[u8]) -> Option<EventTime>;

    /// The deadline within a stored state: the timer index is rebuilt from states.
    fn stored_deadline(&self, stored: &[u8], formats: &Formats) -> Result<Option<EventTime>, codec::Error>;

    /// What changed since the last call, in the order of keys.
    fn changes(&mut self) -> Result<Vec<StateChange>, codec::Error>;

    /// Forgets everything held.
    fn discard(&mut self);
}

/// Builds a stage from an operator. `state_format` is the registered schema of its state.
pub fn stage<O: Operator>(name: &str, operator: O, state_format: Format) -> Box<dyn Stage> {
    Box::new(OperatorStage {
        name: name.to_owned(),
        operator,
        state_format,
        held: IndexMap::default(),
        touched: Vec::new(),
    })
}

struct OperatorStage<O: Operator> {
    name: String,
    operator: O,
    state_format: Format,
    /// Hashed without a seed. Its order is that of loading and decides nothing: what leaves is sorted.
    held: IndexMap<Key, Held<O::State>, BuildHasherDefault<DefaultHasher>>,
    /// Places in `held` of what changed since the last call of [`Stage::changes`].
    touched: Vec<usize>,
}

struct Held<S> {
    state: S,
    deadline: Option<EventTime>,
    /// As committed: the index wakes the key no later.
    committed_deadline: Option<EventTime>,
    touched: bool,
}

impl<O: Operator> OperatorStage<O> {
    /// Folds what the operator says into the key's state and turns what is told into emissions.
    fn remember(&mut self, key: &[u8], decide: impl FnOnce(&O, &O::State) -> Vec<O::Event>) -> Step {
        let Some((place, _, held)) = self.held.get_full_mut(key) else { return Step::default() };
        let events = decide(&self.operator, &held.state);
        let deadline_before = held.deadline;
        if events.iter().any(O::remembers) {
            if !std::mem::replace(&mut held.touched, true) {
                self.touched.push(place);
            }
            held.state = events.iter().fold(std::mem::take(&mut held.state), O::evolve);
            held.deadline = self.operator.deadline(&held.state);
        }
        let deadline = held.deadline;
        let emission = |event| {
            let rule = O::rule(&event).cloned();
            O::publish(event).map(|(port, fact)| Emission { port, fact, rule })
        };
        Step { emissions: events.into_iter().filter_map(emission).collect(), deadline_before, deadline }
    }

    fn decode(&self, stored: &[u8], formats: &Formats) -> Result<O::State, codec::Error> {
        formats.decode(stored, &self.state_format.name)
    }
}

impl<O: Operator> Stage for OperatorStage<O> {
    fn name(&self) -> &str {
        &self.name
    }

    fn inputs(&self) -> &'static [FactKind] {
        O::INPUTS
    }

    fn ports(&self) -> &'static [(Port, FactKind)] {
        O::PORTS
    }

    fn holds(&self, key: &[u8]) -> bool {
        self.held.contains_key(key)
    }

    fn load(&mut self, key: &[u8], stored: Option<&[u8]>, formats: &Formats) -> Result<(), codec::Error> {
        let state = stored.map(|stored| self.decode(stored, formats)).transpose()?.unwrap_or_default();
        let deadline = self.operator.deadline(&state);
        self.held.insert(key.to_vec(), Held { state, deadline, committed_deadline: deadline, touched: false });
        Ok(())
    }

    fn step(&mut self, key: &[u8], fact: Fact<'_>, at: EventTime) -> Step {
        // `compile` lets only kinds of `O::INPUTS` come here.
        let Ok(input) = O::Input::try_from(fact) else { return Step::default() };
        self.remember(key, |operator, state| operator.decide(state, &input, at))
    }

    fn due(&mut self, key: &[u8], deadline: EventTime) -> Step {
        self.remember(key, |operator, state| operator.due(state, deadline))
    }

    fn deadline(&self, key: &[u8]) -> Option<EventTime> {
        self.held.get(key)?.deadline
    }

    fn stored_deadline(&self, stored: &[u8], formats: &Formats) -> Result<Option<EventTime>, codec::Error> {
        Ok(self.operator.deadline(&self.decode(stored, formats)?))
    }

    fn changes(&mut self) -> Result<Vec<StateChange>, codec::Error> {
        let nothing = O::State::default();
        let mut changes = Vec::with_capacity(self.touched.len());
        // Grown once; each state is then copied to where it just fits.
        let mut encoded = Vec::new();
        for place in self.touched.drain(..) {
            let Some((key, held)) = self.held.get_index_mut(place) else { continue };
            let state = if held.state == nothing {
                None
            } else {
                encoded.clear();
                self.state_format.encode(&held.state, &mut encoded)?;
                Some(encoded.to_vec())
            };
            let earlier = |at: &EventTime| held.committed_deadline.is_none_or(|before| *at < before);
            changes.push(StateChange { key: key.clone(), state, wakes_at: held.deadline.filter(earlier) });
            held.committed_deadline = held.deadline;
            held.touched = false;
        }
        changes.sort_unstable_by(|one, other| one.key.cmp(&other.key));
        if self.held.len() > CACHE_KEYS_MAX {
            self.held.clear();
        }
        Ok(changes)
    }

    fn discard(&mut self) {
        self.held.clear();
        self.touched.clear();
    }
}
