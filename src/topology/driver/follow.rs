//! A task that repeats what another did: the batches that the journal names, at the moments that it names.

use super::super::engine::{self, Effects, Moment, SubTopology};
use super::super::journal::{Journal, JournalPosition};
use super::super::plan::{StateFormats, SubTopologyPlan};
use super::view::MemoryView;
use crate::codec::Formats;
use crate::record::Batch;

pub struct FollowedTask {
    engine: SubTopology,
    view: MemoryView,
}

impl FollowedTask {
    /// With empty states. Fails with the name of an operator whose state has no format.
    pub fn new(plan: &SubTopologyPlan, states: &StateFormats) -> Result<Self, String> {
        Ok(Self { engine: plan.instantiate(states)?, view: MemoryView::default() })
    }

    /// Processes the records of `journal`'s ranges as its task did. Journal records are to come in the order of sequences.
    pub fn follow(
        &mut self,
        position: &JournalPosition,
        journal: &Journal,
        batch: &mut Batch,
        formats: &Formats,
    ) -> Result<Effects, engine::Error> {
        self.act(&Moment { position: position.clone(), tick: journal.tick }, batch, formats)
    }

    /// Processes these records at this moment.
    pub fn act(&mut self, moment: &Moment, batch: &mut Batch, formats: &Formats) -> Result<Effects, engine::Error> {
        let effects = self.engine.process(batch, moment, &self.view, formats)?;
        self.view.apply(&effects);
        Ok(effects)
    }

    /// Every state: the stage's number, the key, the state's bytes.
    pub fn states(&self) -> impl Iterator<Item = (engine::StageIndex, &[u8], &[u8])> {
        self.view.states()
    }
}
