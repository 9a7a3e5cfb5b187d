//! A task's store in memory: states and the index of their deadlines.

use std::collections::{BTreeMap, BTreeSet};

use super::super::engine::{Effects, StageIndex, StateError, StateView, Timer, Woken};
use super::super::stage::Key;
use crate::record::EventTime;

#[derive(Debug, Default, PartialEq)]
pub struct MemoryView {
    states: BTreeMap<(StageIndex, Key), Vec<u8>>,
    timers: BTreeSet<Timer>,
}

impl MemoryView {
    /// What the store does with the effects of a commit.
    pub fn apply(&mut self, effects: &Effects) {
        for Woken { timer, deadline } in &effects.woken {
            self.timers.remove(timer);
            let (_, stage, key) = timer;
            self.timers.extend(deadline.map(|deadline| (deadline, *stage, key.clone())));
        }
        for (stage, change) in &effects.changes {
            self.put(*stage, change.key.clone(), change.state.clone(), change.wakes_at);
        }
    }

    /// Puts back what a changelog holds; a later record of the key takes the place of an earlier one.
    pub fn put(&mut self, stage: StageIndex, key: Key, state: Option<Vec<u8>>, deadline: Option<EventTime>) {
        self.timers.extend(deadline.map(|deadline| (deadline, stage, key.clone())));
        match state {
            Some(state) => self.states.insert((stage, key), state),
            None => self.states.remove(&(stage, key)),
        };
    }

    pub fn first_timer(&self) -> Option<EventTime> {
        self.timers.first().map(|(deadline, ..)| *deadline)
    }

    pub fn states(&self) -> impl Iterator<Item = (StageIndex, &[u8], &[u8])> {
        self.states.iter().map(|((stage, key), state)| (*stage, &key[..], &state[..]))
    }

    pub fn bytes(&self) -> usize {
        self.states.iter().map(|((_, key), state)| key.len() + state.len()).sum()
    }
}

impl StateView for MemoryView {
    fn get_many(&self, keys: &[(&[u8], StageIndex)]) -> Result<Vec<Option<Vec<u8>>>, StateError> {
        Ok(keys.iter().map(|(key, stage)| self.states.get(&(*stage, key.to_vec())).cloned()).collect())
    }

    fn due(&self, until: EventTime) -> Result<Vec<Timer>, StateError> {
        Ok(self.timers.iter().take_while(|(deadline, ..)| *deadline <= until).cloned().collect())
    }
}
