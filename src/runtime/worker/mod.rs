//! One thread's worth of work: a group member, its tasks and their stores, driven step by step.
//!
//! A step does one thing and returns: resolve a doubt, restore a piece, or poll once and perhaps commit. Nothing in here
//! starts threads or reads the machine's clock, so that a simulation can drive it. An error that a step returns is final;
//! all that can be waited out is, with a growing pause, for as long as it takes.

mod assignment;
mod committing;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::metrics::Metrics;
use super::schemas::Schemas;
use super::stores::Stores;
use super::task::Task;
use super::{Config, Error, Program, store};
use crate::clock::Clock;
use crate::log::{self, Log, Polled, Reader};
use crate::record::{Batch, TopicPartition};
use crate::topology::journal::TaskId;

/// A poll of an idle worker lasts at most this long.
const IDLE: Duration = Duration::from_secs(1);
/// Input that brings nothing for this long is taken for quiet: what was polled is committed.
const QUIET: Duration = Duration::from_millis(2);
/// What waits is committed once it has waited so many times as long as the last commit took: input that trickles in without a pause
/// is answered in milliseconds, and commits take half of the time at most.
const COMMITS_WAITED: u32 = 1;
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// How often the ends of the logs are asked for.
const MEASURE: Duration = Duration::from_secs(10);

/// What a worker is made of.
pub struct Parts {
    pub program: Arc<Program>,
    pub config: Config,
    pub clock: Clock,
    pub stores: Arc<Stores>,
    pub schemas: Schemas,
    pub metrics: Arc<Metrics>,
    pub log: Box<dyn Log>,
    pub reader: Box<dyn Reader>,
}

pub struct Worker {
    parts: Parts,
    tasks: BTreeMap<TaskId, Task>,
    doubt: Doubt,
    /// Since when records wait for their commit.
    waiting: Option<Duration>,
    /// How long the last commit took.
    commit_took: Duration,
    /// All inputs are paused until the registry answers.
    held: bool,
    /// The producer left a transaction behind, committed or not.
    renew: bool,
    assigned: bool,
    measured: Duration,
    pause: Duration,
    polled: Batch,
}

/// What must be settled before anything else.
#[derive(Debug, PartialEq)]
enum Doubt {
    None,
    /// Assigned, but the committed offsets could not be read yet.
    Assignment(Vec<TopicPartition>),
    /// The last transaction may be committed or not.
    Outcome,
}

impl Worker {
    pub fn new(parts: Parts) -> Self {
        Self {
            parts,
            tasks: BTreeMap::new(),
            doubt: Doubt::None,
            waiting: None,
            commit_took: Duration::ZERO,
            held: false,
            renew: false,
            assigned: false,
            measured: Duration::ZERO,
            pause: PAUSE_MIN,
            polled: Batch::default(),
        }
    }

    /// There is an assignment, if only of nothing, and every task of it runs.
    pub fn is_ready(&self) -> bool {
        self.assigned && self.doubt == Doubt::None && self.tasks.values().all(Task::is_running)
    }

    pub fn tasks(&self) -> impl Iterator<Item = &Task> {
        self.tasks.values()
    }

    pub fn step(&mut self) -> Result<(), Error> {
        let stepped = self.try_step();
        self.wait_out(stepped)
    }

    /// Commits what was polled and gives the tasks up; leaving the group is dropping the worker.
    pub fn stop(&mut self) -> Result<(), Error> {
        if self.parts.log.in_doubt() {
            // Who reads on from here must not have to wait for it.
            self.renew_if_needed()?;
        } else if self.doubt == Doubt::None {
            self.commit(false)?;
        }
        self.close_tasks();
        Ok(())
    }

    fn try_step(&mut self) -> Result<(), Error> {
        if self.doubt == Doubt::None && (self.parts.log.in_doubt() || self.renew) {
            // Not with the next commit: others may wait for what is left of the last one.
            (self.doubt, self.renew) = (Doubt::Outcome, true);
        }
        if let Err(error) = self.settle() {
            if is_waited_out(&error) {
                self.hear_of_rebalances()?;
            }
            return Err(error);
        }
        let restoring = self.restore()?;
        let wait = if restoring { Duration::ZERO } else { self.poll_wait() };
        self.polled.clear();
        let room = self.parts.config.batch_bytes_max.saturating_sub(self.waiting_bytes());
        match self.parts.log.poll(wait, room, &mut self.polled)? {
            Polled::Records { drained } => self.take(drained, self.polled.bytes() < room),
            Polled::Assigned(partitions) => {
                tracing::info!(partitions = partitions.len(), "assigned");
                self.doubt = Doubt::Assignment(partitions);
                Ok(())
            }
            Polled::Revoked(_) => self.revoked(),
            Polled::Lost(_) => self.lost(),
        }
    }

    fn wait_out(&mut self, stepped: Result<(), Error>) -> Result<(), Error> {
        let error = match stepped {
            Ok(()) => {
                self.pause = PAUSE_MIN;
                return Ok(());
            }
            Err(error) => error,
        };
        if !is_waited_out(&error) {
            return Err(error);
        }
        self.parts.metrics.waits.inc();
        tracing::warn!(%error, pause_ms = self.pause.as_millis(), "trying again after a pause");
        self.parts.clock.sleep(self.pause);
        self.pause = (self.pause * 2).min(PAUSE_MAX);
        Ok(())
    }

    fn poll_wait(&self) -> Duration {
        if self.held {
            return PAUSE_MIN;
        }
        if let Some(since) = self.waiting {
            let left = (since + self.parts.config.commit_interval).saturating_sub(self.parts.clock.elapsed());
            return left.min(QUIET);
        }
        let first = self.tasks.values().filter_map(Task::first_timer).min();
        first.map_or(IDLE, |first| self.parts.clock.until(first).min(IDLE))
    }

    fn waiting_bytes(&self) -> usize {
        self.tasks.values().map(|task| task.batch.bytes()).sum()
    }

    /// `caught_up`: the poll took all that was fetched.
    fn take(&mut self, drained: bool, caught_up: bool) -> Result<(), Error> {
        let quiet = self.polled.is_empty();
        let mut rest = 0..self.polled.len();
        while let Some(first) = rest.next() {
            let record = self.polled.get(first);
            let partition = TopicPartition::new(record.topic, record.partition);
            let same = |at: &usize| {
                let other = self.polled.get(*at);
                other.partition == partition.partition && other.topic == record.topic
            };
            let end = rest.clone().find(|at| !same(at)).unwrap_or(rest.end);
            rest = end..rest.end;
            let task = self.parts.program.task_of(&partition).and_then(|id| self.tasks.get_mut(&id));
            if let Some(task) = task {
                task.take(&partition, (first..end).map(|at| self.polled.get(at)));
            }
        }
        self.parts.metrics.records.inc_by(self.polled.len() as u64);
        let elapsed = self.parts.clock.elapsed();
        if self.waiting.is_none() && self.waiting_bytes() > 0 {
            self.waiting = Some(elapsed);
        }
        let due = match self.waiting {
            None => drained && self.timer_is_due(),
            Some(since) => {
                let waited = elapsed.saturating_sub(since);
                let worth_it = caught_up && waited >= self.commit_took * COMMITS_WAITED;
                let late = waited >= self.parts.config.commit_interval;
                drained || quiet || worth_it || late || self.waiting_bytes() >= self.parts.config.batch_bytes_max
            }
        };
        if due { self.commit(drained) } else { Ok(()) }
    }

    fn timer_is_due(&self) -> bool {
        let now = self.parts.clock.now();
        self.tasks.values().filter_map(Task::first_timer).any(|first| first <= now)
    }
}

fn is_waited_out(error: &Error) -> bool {
    let of_store = matches!(error, Error::Store(store::Error::Locked { .. } | store::Error::Full { .. }));
    of_store || matches!(error, Error::Log(log::Error::Unavailable(_)))
}
