//! How a worker commits, and how it goes on when that fails.

use std::time::Duration;

use super::{Doubt, MEASURE, Parts, Worker};
use crate::codec;
use crate::log;
use crate::record::{EventTime, Offset, TopicPartition};
use crate::runtime::commit::{self, Aftermath};
use crate::runtime::schemas::Schemas;
use crate::runtime::task::{Pending, Task};
use crate::runtime::{Error, failpoint};
use crate::topology::engine::{self, StageIndex};
use crate::topology::journal::TaskId;

impl Worker {
    /// Processes and commits what every running task has taken. `tick`: fire what is due by the clock too.
    pub(super) fn commit(&mut self, tick: bool) -> Result<(), Error> {
        self.hold_until_schemas_are_known()?;
        self.renew_if_needed()?;
        let began = self.parts.clock.elapsed();
        let processed = match self.process(tick) {
            Ok(processed) => processed,
            Err(error) => {
                self.tasks.values_mut().for_each(|task| task.topology.discard());
                return Err(error);
            }
        };
        self.waiting = None;
        if processed.is_empty() {
            return Ok(());
        }
        if processed.iter().all(|(_, pending)| pending.is_silent()) {
            return self.roll_forward(&processed);
        }
        let due = began.saturating_sub(self.measured) >= MEASURE;
        let ends = if due { self.ends_of_changelogs() } else { Vec::new() };
        let spoken = processed.iter().filter(|(_, pending)| !pending.is_silent());
        let work: Vec<_> = spoken.filter_map(|(id, pending)| Some((self.tasks.get(id)?, pending))).collect();
        if let Err(error) = commit::transact(self.parts.log.as_mut(), &self.parts.program, &work) {
            return self.roll_back(error);
        }
        self.commit_took = self.parts.clock.elapsed().saturating_sub(began);
        self.parts.metrics.commit_seconds.observe(self.commit_took.as_secs_f64());
        // The commit proves that until then nobody else has written to the changelogs.
        for (id, stage, end) in ends {
            self.tasks.get_mut(&id).into_iter().for_each(|task| task.note_changelog(stage, end));
        }
        self.roll_forward(&processed)?;
        if due {
            self.measure();
        }
        Ok(())
    }

    fn process(&mut self, tick: bool) -> Result<Vec<(TaskId, Pending)>, Error> {
        let (at, elapsed) = (self.parts.clock.now(), self.parts.clock.elapsed());
        let mut processed = Vec::new();
        for (id, task) in &mut self.tasks {
            let pending = process(task, at, tick, &mut self.parts.schemas, elapsed, &self.parts.program.fingerprint)?;
            processed.extend(pending.map(|pending| (id.clone(), pending)));
        }
        Ok(processed)
    }

    /// Schemas not known yet are asked for; without an answer the inputs are paused and what was polled waits.
    fn hold_until_schemas_are_known(&mut self) -> Result<(), Error> {
        let elapsed = self.parts.clock.elapsed();
        let schemas = &mut self.parts.schemas;
        let learnt = self.tasks.values().try_for_each(|task| schemas.learn(&task.batch, elapsed));
        let running: Vec<_> = self.tasks.values().filter(|task| task.is_running()).flat_map(Task::partitions).collect();
        match learnt {
            Ok(()) if self.held => {
                self.held = false;
                let resumed = self.parts.log.resume(&running);
                self.or_start_over(resumed)
            }
            Ok(()) => Ok(()),
            Err(why) => {
                if !std::mem::replace(&mut self.held, true) {
                    let paused = self.parts.log.pause(&running);
                    self.or_start_over(paused)?;
                }
                Err(log::Error::Unavailable(why).into())
            }
        }
    }

    fn roll_forward(&mut self, processed: &[(TaskId, Pending)]) -> Result<(), Error> {
        let mut failed = Ok(());
        for (id, pending) in processed {
            let Some(task) = self.tasks.get_mut(id) else { continue };
            self.parts.metrics.committed(task, pending);
            tracing::debug!(position = %pending.position, inputs = pending.journal.inputs.len(), "committed");
            if let Err(error) = task.roll_forward(pending) {
                // The changelog has it: the store is opened anew and caught up.
                drop(task.close());
                failed = Err(error);
            }
        }
        failpoint::log("after store write")?;
        if failed.is_err() {
            let closed = self.tasks.values().filter(|task| !task.is_running()).flat_map(Task::partitions);
            let paused = self.parts.log.pause(&closed.collect::<Vec<_>>());
            self.or_start_over(paused)?;
            return Ok(failed?);
        }
        Ok(())
    }

    fn roll_back(&mut self, error: Error) -> Result<(), Error> {
        self.parts.metrics.aborts.inc();
        match commit::aftermath(&error) {
            Aftermath::Stop => Err(error),
            Aftermath::Void => {
                tracing::warn!(%error, "the transaction is aborted");
                let mut starts = Vec::new();
                for task in self.tasks.values_mut().filter(|task| task.is_running()) {
                    task.roll_back();
                    starts.extend(task.committed());
                }
                let aborted = self.parts.log.abort().and_then(|()| self.parts.log.seek(&starts));
                self.or_start_over(aborted)?;
                if self.parts.log.must_renew() {
                    // Kafka may end the transaction before this one another way than it told.
                    (self.doubt, self.renew) = (Doubt::Outcome, true);
                }
                Err(log::Error::Unavailable(error.to_string()).into())
            }
            Aftermath::Unknown => {
                (self.doubt, self.renew) = (Doubt::Outcome, true);
                Err(log::Error::Unavailable(error.to_string()).into())
            }
        }
    }

    /// When it is not known where the log stands, the tasks start over from the committed offsets.
    pub(super) fn or_start_over(&mut self, done: Result<(), log::Error>) -> Result<(), Error> {
        let Err(error) = done else { return Ok(()) };
        let error = Error::from(error);
        if let Aftermath::Stop = commit::aftermath(&error) {
            return Err(error);
        }
        tracing::warn!(%error, "starting over from the committed offsets");
        (self.doubt, self.renew) = (Doubt::Outcome, true);
        Ok(())
    }

    pub(super) fn renew_if_needed(&mut self) -> Result<(), Error> {
        // Asked first: what is in doubt is only then taken back.
        if self.parts.log.in_doubt() || self.renew || self.parts.log.must_renew() {
            tracing::info!("the producer is renewed: something failed inside a transaction, or since");
            self.parts.log.renew_producer()?;
            self.renew = false;
        }
        Ok(())
    }

    /// Where the changelogs end that were written to: noted from time to time, to keep a later restore short.
    fn ends_of_changelogs(&mut self) -> Vec<(TaskId, StageIndex, Offset)> {
        let mut ends = Vec::new();
        for task in self.tasks.values() {
            for stage in task.stale_changelogs() {
                let changelog = TopicPartition::new(&task.topology.nodes[stage].changelog, task.id.partition);
                match self.parts.log.watermarks(&changelog) {
                    Ok(found) => ends.push((task.id.clone(), stage, found.high)),
                    Err(error) => tracing::debug!(%error, "the changelog's end is asked for later"),
                }
            }
        }
        ends
    }

    /// How things stand, from time to time.
    fn measure(&mut self) {
        self.measured = self.parts.clock.elapsed();
        let Parts { log, metrics, stores, .. } = &mut self.parts;
        for task in self.tasks.values() {
            for (input, next) in task.committed() {
                if let Ok(ends) = log.watermarks(&input) {
                    metrics.lag(&input, (ends.high.0 - next.0).max(0));
                }
            }
            metrics.sizes(task, stores.memory_used());
        }
    }
}

/// Processes a task's batch; a stored state whose schema is not known yet is tried again once it is learnt.
fn process(
    task: &mut Task,
    at: EventTime,
    tick: bool,
    schemas: &mut Schemas,
    elapsed: Duration,
    fingerprint: &str,
) -> Result<Option<Pending>, Error> {
    loop {
        let error = match task.process(at, tick, &schemas.formats, fingerprint) {
            Ok(pending) => return Ok(pending),
            Err(error) => error,
        };
        if let engine::Error::Stored { error: codec::Error::UnknownSchema(id), .. } = &error {
            let id = *id;
            task.topology.discard();
            if schemas.learn_id(id, elapsed).map_err(log::Error::Unavailable)? {
                continue;
            }
        }
        return Err(Error::Engine { task: task.id.to_string(), error });
    }
}
