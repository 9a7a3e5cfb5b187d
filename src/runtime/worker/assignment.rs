//! What a worker does when partitions come and go: where they start, and getting their stores ready.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Doubt, Parts, Worker};
use crate::log::{self, Committed, Polled};
use crate::record::{Offset, TopicPartition};
use crate::runtime::restore::{self, Site};
use crate::runtime::task::{LastCommit, Phase, Task};
use crate::runtime::{Error, Start, failpoint};
use crate::topology::journal::TaskId;

/// The next offset of each input.
type Starts = Vec<(TopicPartition, Offset)>;

impl Worker {
    /// After an unknown outcome a new producer ends the old transaction one way, and the offsets tell which.
    pub(super) fn settle(&mut self) -> Result<(), Error> {
        let partitions = match &self.doubt {
            Doubt::None => return Ok(()),
            Doubt::Assignment(partitions) => partitions.clone(),
            Doubt::Outcome => self.tasks.values().flat_map(Task::partitions).collect(),
        };
        self.start(&partitions)
    }

    /// Until it is settled where the tasks go on, records are of no use; but the group may have taken the tasks away, or the
    /// member may have joined anew.
    pub(super) fn hear_of_rebalances(&mut self) -> Result<(), Error> {
        self.polled.clear();
        match self.parts.log.poll(Duration::ZERO, 1, &mut self.polled)? {
            Polled::Records { .. } => Ok(()),
            Polled::Assigned(partitions) => {
                self.doubt = Doubt::Assignment(partitions);
                Ok(())
            }
            Polled::Revoked(_) | Polled::Lost(_) => self.lost(),
        }
    }

    /// Begins, or begins again, with these partitions at their committed offsets: those after the end of what was left open.
    fn start(&mut self, partitions: &[TopicPartition]) -> Result<(), Error> {
        self.renew_if_needed()?;
        let mut by_task: BTreeMap<TaskId, Vec<TopicPartition>> = BTreeMap::new();
        for partition in partitions {
            let Some(task) = self.parts.program.task_of(partition) else {
                return Err(Error::Other(format!("{partition} was assigned, but nothing here reads it")));
            };
            by_task.entry(task).or_default().push(partition.clone());
        }
        let (mut tasks, mut starts) = (BTreeMap::new(), Vec::new());
        for (id, inputs) in by_task {
            self.check_co_partitioned(&id, &inputs)?;
            let (at, last) = self.starts_of(inputs)?;
            tracing::debug!(task = %id, ?last, next = ?at.iter().map(|(_, next)| next.0).collect::<Vec<_>>(), "told where to go on");
            let topology = (self.parts.program.instantiate)(&id.sub_topology)
                .map_err(|error| Error::Other(format!("task {id}: {error}")))?;
            tasks.insert(id.clone(), Task::new(id, topology, &at, last));
            starts.push(at);
        }
        if let Doubt::Assignment(_) = self.doubt {
            self.parts.log.assign(&starts)?;
            self.assigned = true;
        } else {
            self.parts.log.seek(&starts.concat())?;
        }
        self.parts.log.pause(partitions)?;
        self.close_tasks();
        (self.tasks, self.doubt) = (tasks, Doubt::None);
        Ok(())
    }

    fn check_co_partitioned(&self, id: &TaskId, inputs: &[TopicPartition]) -> Result<(), Error> {
        let sources = &self.parts.program.sub_topologies[&id.sub_topology];
        match sources.iter().find(|source| inputs.iter().all(|input| input.topic != **source)) {
            None => Ok(()),
            Some(missing) => Err(Error::Other(format!(
                "task {id}: {missing} has no partition {} or it is another member's: topics that are joined need the same \
                 number of partitions, and every member the `range` assignor",
                id.partition.0
            ))),
        }
    }

    /// Where a task's inputs go on, and its last commit.
    fn starts_of(&mut self, inputs: Vec<TopicPartition>) -> Result<(Starts, Option<LastCommit>), Error> {
        let committed = self.parts.log.committed(&inputs)?;
        let last = LastCommit::of_offsets(&committed);
        let any = committed.iter().any(Option::is_some);
        let mut starts = Vec::new();
        for (input, committed) in inputs.into_iter().zip(committed) {
            let start = self.start_of(&input, committed)?;
            starts.push((input, start));
        }
        Ok((starts, last.or(any.then(LastCommit::default))))
    }

    fn start_of(&mut self, input: &TopicPartition, committed: Option<Committed>) -> Result<Offset, Error> {
        let ends = self.parts.log.watermarks(input)?;
        match committed {
            None if self.parts.config.start == Start::Latest => Ok(ends.high),
            None => Ok(ends.low),
            Some(Committed { offset, .. }) if offset < ends.low || offset > ends.high => {
                let (low, high) = (ends.low.0, ends.high.0);
                let mend = format!(
                    "the log holds {low}..{high}; records were deleted before they were read, or the topic was made anew: \
                     set the group's offset to where it is to go on"
                );
                Err(log::Error::OutOfRange { partition: input.clone(), offset, mend }.into())
            }
            Some(Committed { offset, .. }) => Ok(offset),
        }
    }

    pub(super) fn revoked(&mut self) -> Result<(), Error> {
        tracing::info!("revoked");
        let committed = failpoint::log("in revoke").map_err(Error::from).and_then(|()| self.commit(false));
        self.give_up()?;
        match committed {
            // The next owner starts from the committed offsets, whatever they are.
            Err(Error::Log(log::Error::Unavailable(why))) => {
                tracing::warn!(why, "not committed before the partitions went");
                Ok(())
            }
            committed => committed,
        }
    }

    pub(super) fn lost(&mut self) -> Result<(), Error> {
        tracing::warn!("the partitions are lost: another member may own them already");
        self.give_up()
    }

    fn give_up(&mut self) -> Result<(), Error> {
        self.close_tasks();
        (self.doubt, self.assigned) = (Doubt::None, false);
        Ok(self.parts.log.release()?)
    }

    /// Parks the stores. A transaction that is still open is resolved by the producer's renewal.
    pub(super) fn close_tasks(&mut self) {
        for (id, mut task) in std::mem::take(&mut self.tasks) {
            self.parts.metrics.forget(&task);
            if let Some(store) = task.close() {
                self.parts.stores.park(&id, store);
            }
        }
        (self.waiting, self.held) = (None, false);
    }

    /// Does one piece of restoring. True while there is more.
    pub(super) fn restore(&mut self) -> Result<bool, Error> {
        let Some(task) = self.tasks.values_mut().find(|task| !task.is_running()) else { return Ok(false) };
        let Parts { program, clock, stores, schemas, log, reader, metrics, .. } = &mut self.parts;
        let mut site = Site {
            log: log.as_mut(),
            reader: reader.as_mut(),
            stores,
            schemas,
            fingerprint: &program.fingerprint,
            now: clock.now(),
            elapsed: clock.elapsed(),
        };
        let advanced = match task.phase {
            Phase::Created => restore::open(task, &mut site),
            _ => restore::advance(task, &mut site, &mut self.polled).map(drop),
        };
        if let Err(error @ Error::Store(_)) = advanced {
            drop(task.close()); // after a failed write a store takes no other
            return Err(error);
        }
        advanced?;
        metrics.restoring(task);
        if task.is_running() {
            let log = &mut self.parts.log;
            let moved =
                if std::mem::take(&mut task.has_moved) { log.seek(&Vec::from_iter(task.committed())) } else { Ok(()) };
            let resumed = if self.held { Ok(()) } else { log.resume(&task.partitions()) };
            self.or_start_over(moved.and(resumed))?;
        }
        Ok(!self.tasks.values().all(Task::is_running))
    }
}
