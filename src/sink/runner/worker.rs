//! The runner's thread: requests in, runs out, and a transaction before and after each.
//!
//! After any failure it starts over from the topic, as after a restart, but for what it runs or has just ended itself.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::ledger::{Ledger, unknown};
use super::metrics::Metrics;
use super::records::{self, Records};
use super::runs::Runs;
use crate::clock::Clock;
use crate::event::{ActionRun, RunStatus};
use crate::log::{Committed, Error, Log, Polled, Reader};
use crate::record::{Batch, NewRecord, Offset, Partition, TopicPartition};
use crate::runtime::failpoint;

pub struct Worker<L, R> {
    pub log: L,
    pub reader: R,
    pub records: Records,
    pub ledger: Ledger,
    pub runs: Runs,
    pub clock: Clock,
    pub metrics: Metrics,
    pub assigned: BTreeSet<Partition>,
    pub hold: Hold,
    pub paused: bool,
    /// How long a rebalance, or a stop, waits for runs to end; then they are ended.
    pub drain: Duration,
    /// For the next transaction.
    pub to_tell: Vec<(Partition, ActionRun)>,
    pub letters: Vec<NewRecord>,
    /// What the last transaction committed.
    pub committed: Vec<(TopicPartition, Committed)>,
}

/// How far the last assignment has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    Nothing,
    /// It was told, and wants an answer, even an empty one.
    Told,
    Reading,
}

const POLL_BYTES_MAX: usize = 256 << 10;
const IDLE: Duration = Duration::from_millis(200);
/// While something runs: how long its end may lie there.
const BUSY: Duration = Duration::from_millis(20);
const PAUSE: Duration = Duration::from_secs(1);
/// With so many requests waiting no more are read.
const WAITING_MAX: usize = 1_000;

impl<L: Log, R: Reader> Worker<L, R> {
    /// Until told to stop, or until something is wrong that starting over does not mend.
    pub fn run(&mut self, stop: &AtomicBool) -> Result<(), Error> {
        loop {
            if stop.load(Ordering::Relaxed) {
                let ended = if self.hold == Hold::Reading { self.hand_over() } else { Ok(()) };
                return ended.and(self.log.release());
            }
            if let Err(error) = self.turn() {
                self.start_over(error, stop)?;
            }
        }
    }

    pub fn turn(&mut self) -> Result<(), Error> {
        self.poll()?;
        while let Some((partition, ended)) = self.runs.ended(Duration::ZERO, self.clock.now()) {
            self.tell(partition, ended);
        }
        let chosen = self.ledger.choose(self.runs.free(), self.clock.now());
        self.to_tell.extend(chosen.iter().cloned());
        self.commit()?;
        failpoint::log("runner: before execution")?;
        for (partition, run) in chosen {
            let ActionRun { id, action, service, by, .. } = &run;
            tracing::info!(id, action, service, by, "a run starts");
            self.runs.start(partition, run);
        }
        self.metrics.running.set(i64::try_from(self.runs.len()).unwrap_or(i64::MAX));
        self.throttle()
    }

    fn poll(&mut self) -> Result<(), Error> {
        let wait = if self.runs.len() > 0 { BUSY } else { IDLE };
        let mut batch = Batch::default();
        match self.log.poll(wait, POLL_BYTES_MAX, &mut batch)? {
            Polled::Records { .. } => self.take_in(&batch),
            Polled::Assigned(partitions) => {
                self.assigned = partitions.into_iter().map(|partition| partition.partition).collect();
                (self.hold, self.paused) = (Hold::Told, false);
                self.restart()
            }
            Polled::Revoked(_) => {
                let handed_over = self.hand_over();
                self.forget();
                self.log.release()?;
                handed_over
            }
            Polled::Lost(_) => {
                // Whoever owns them now says that nobody knows how these ended.
                drop(self.runs.cancel());
                self.forget();
                self.log.release()
            }
        }
    }

    fn take_in(&mut self, batch: &Batch) -> Result<(), Error> {
        for record in batch.iter() {
            let now = self.clock.now();
            let run = match records::run(&self.records.formats, &record) {
                Ok(run) => Some(run),
                Err(why) => {
                    let (partition, offset) = (record.partition.0, record.offset.0);
                    tracing::warn!(partition, offset, error = why.1, "dead letter");
                    self.metrics.dead_letters.inc();
                    self.letters.push(self.records.of_dead_letter(&record, why, now).map_err(fatal)?);
                    None
                }
            };
            if let Some(refused) = self.ledger.accept(record.partition, record.offset, run, now) {
                self.to_tell.push((record.partition, refused));
            }
        }
        Ok(())
    }

    fn tell(&mut self, partition: Partition, run: ActionRun) {
        let ActionRun { id, action, service, status, result, .. } = &run;
        match status {
            RunStatus::Succeeded => tracing::info!(id, action, service, result, "a run succeeded"),
            _ => tracing::warn!(id, action, service, ?status, result, "a run did not succeed"),
        }
        self.ledger.note(partition, &run);
        self.to_tell.push((partition, run));
    }

    fn commit(&mut self) -> Result<(), Error> {
        let offsets: Vec<_> = self.assigned.iter().filter_map(|partition| self.offset_of(*partition)).collect();
        if self.to_tell.is_empty() && self.letters.is_empty() && offsets == self.committed {
            return Ok(());
        }
        if self.log.must_renew() {
            self.log.renew_producer()?;
        }
        self.log.begin()?;
        for (partition, run) in &self.to_tell {
            self.log.produce(&self.records.of_run(*partition, run).map_err(fatal)?)?;
        }
        for letter in &self.letters {
            self.log.produce(letter)?;
        }
        failpoint::log("runner: before commit")?;
        self.log.commit(&offsets)?;
        self.letters.clear();
        for (_, run) in self.to_tell.drain(..) {
            self.metrics.run(&run.action, run.status);
        }
        self.committed = offsets;
        failpoint::log("runner: after commit")
    }

    fn offset_of(&self, partition: Partition) -> Option<(TopicPartition, Committed)> {
        let offset = self.ledger.committable(partition)?;
        Some((self.place(partition), Committed { offset, metadata: String::new() }))
    }

    fn place(&self, partition: Partition) -> TopicPartition {
        TopicPartition::new(&self.records.runs, partition)
    }

    /// Runs under way may end in time; what does not is ended, and told to be unknown.
    fn hand_over(&mut self) -> Result<(), Error> {
        let until = Instant::now() + self.drain;
        while let Some((partition, ended)) =
            self.runs.ended(until.saturating_duration_since(Instant::now()), self.clock.now())
        {
            self.tell(partition, ended);
        }
        let now = self.clock.now();
        for (partition, run) in self.runs.cancel() {
            self.tell(partition, unknown(&run, now));
        }
        self.commit()
    }

    fn forget(&mut self) {
        self.assigned.clear();
        self.ledger.clear();
        self.hold = Hold::Nothing;
        self.paused = false;
        self.to_tell.clear();
        self.letters.clear();
        self.committed.clear();
    }

    pub(super) fn start_over(&mut self, error: Error, stop: &AtomicBool) -> Result<(), Error> {
        let ends = |error: &Error| matches!(error, Error::Fenced(_) | Error::OutOfRange { .. } | Error::Fatal(_));
        if ends(&error) {
            return Err(error);
        }
        tracing::warn!(%error, "the runner starts over from its topic");
        self.metrics.restarts.inc();
        loop {
            self.clock.sleep(PAUSE);
            match self.log.renew_producer().and_then(|()| self.restart()) {
                Err(error) if ends(&error) || stop.load(Ordering::Relaxed) => return Err(error),
                Err(error) => {
                    tracing::warn!(%error, "the runner cannot start over yet");
                    self.hear_of_rebalances()?;
                }
                Ok(()) => return Ok(()),
            }
        }
    }

    /// What keeps the runner from starting over may be that its partitions were taken away. Records are read again afterwards.
    fn hear_of_rebalances(&mut self) -> Result<(), Error> {
        match self.log.poll(Duration::ZERO, 1, &mut Batch::default()) {
            Ok(Polled::Assigned(partitions)) => {
                self.assigned = partitions.into_iter().map(|partition| partition.partition).collect();
                (self.hold, self.paused) = (Hold::Told, false);
                Ok(())
            }
            Ok(Polled::Revoked(_) | Polled::Lost(_)) => {
                drop(self.runs.cancel());
                self.forget();
                self.log.release()
            }
            Ok(Polled::Records { .. }) | Err(Error::Unavailable(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Everything that is known comes from the topic anew, but for what runs or has ended here.
    fn restart(&mut self) -> Result<(), Error> {
        if self.hold == Hold::Nothing {
            return Ok(());
        }
        self.letters.clear();
        self.committed.clear();
        self.ledger.clear();
        let starts = self.restore()?;
        let told = std::mem::take(&mut self.to_tell);
        for (partition, run) in told.into_iter().filter(|(_, run)| run.status != RunStatus::Started) {
            if self.ledger.owns(partition) && !self.ledger.has_ended(partition, &run.id) {
                self.ledger.note(partition, &run);
                self.to_tell.push((partition, run));
            }
        }
        let lost = self.ledger.abandoned(|id| self.runs.knows(id), self.clock.now());
        for (partition, run) in lost {
            self.tell(partition, run);
        }
        match self.hold {
            Hold::Told => self.log.assign(&starts.into_iter().map(|start| vec![start]).collect::<Vec<_>>())?,
            Hold::Reading if !starts.is_empty() => self.log.seek(&starts)?,
            _ => {}
        }
        self.hold = Hold::Reading;
        Ok(())
    }

    /// Reads all assigned partitions to their ends; answers with where to read on from.
    fn restore(&mut self) -> Result<Vec<(TopicPartition, Offset)>, Error> {
        let partitions: Vec<_> = self.assigned.iter().map(|partition| self.place(*partition)).collect();
        let committed = self.log.committed(&partitions)?;
        let mut starts = Vec::new();
        for (place, committed) in partitions.into_iter().zip(committed) {
            let ends = self.log.watermarks(&place)?;
            let start = committed.map_or(ends.low, |committed| committed.offset);
            self.ledger.open(place.partition, start);
            let (mut next, mut batch) = (ends.low, Batch::default());
            while next < ends.high {
                batch.clear();
                next = self.reader.read(&place, next, POLL_BYTES_MAX, PAUSE, &mut batch)?;
                for run in batch.iter().filter_map(|record| records::run(&self.records.formats, &record).ok()) {
                    self.ledger.note(place.partition, &run);
                }
            }
            starts.push((place, start));
        }
        Ok(starts)
    }

    fn throttle(&mut self) -> Result<(), Error> {
        let all: Vec<_> = self.assigned.iter().map(|partition| self.place(*partition)).collect();
        let waiting = self.ledger.waiting();
        if !self.paused && waiting >= WAITING_MAX {
            self.log.pause(&all)?;
            self.paused = true;
        } else if self.paused && waiting <= WAITING_MAX / 2 {
            self.log.resume(&all)?;
            self.paused = false;
        }
        Ok(())
    }
}

fn fatal(error: crate::codec::Error) -> Error {
    Error::Fatal(error.to_string())
}
