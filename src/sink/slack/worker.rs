//! The sink's thread: actions in, calls out, and a transaction before and after each call.
//!
//! One turn: poll; take in what came and what was answered; choose what goes next; commit outcomes, new intents and input
//! offsets in one transaction; only then make the calls. So an intent is durable before its call, an offset never passes
//! an action without an outcome, and a member that has lost its partitions cannot commit an intent: its offsets are
//! refused, and the call is not made. After any failure the sink starts over from the journal, as after a restart.
//!
//! What a death leaves, step by step:
//!
//! | it dies               | Slack                     | journal         | the successor                                  |
//! |-----------------------|---------------------------|-----------------|------------------------------------------------|
//! | before the intent     | nothing                   | nothing         | reads the action again, tells it               |
//! | after it, no call     | nothing                   | intent          | looks up, twice a settle delay apart, posts    |
//! | after the call        | the message, now or late  | intent          | finds it: outcome done; a rewriting is repeated |
//! | before the outcome    | the message               | intent          | the same                                       |
//! | after the outcome     | the message               | intent, outcome | knows it                                       |
//!
//! A process that was paused between commit and call, and wakes when a successor has taken over, does not make the call any
//! more ([`Calls`]); what little time is left between that check and the wire is the janitor's.
//!
//! Not here: a broker that forgets a commit which it has confirmed. Then an intent is gone whose call was made.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::calls::{Answered, Calls};
use super::ledger::{Ledger, Slots, Work};
use super::metrics::Metrics;
use super::records::{self, Records};
use crate::clock::Clock;
use crate::event::{SlackAction, SlackOutcome, SlackStatus};
use crate::log::{Committed, Error, Log, Polled, Reader};
use crate::record::{Batch, NewRecord, Offset, Partition, Topic, TopicPartition};
use crate::runtime::failpoint;

pub struct Worker<L, R> {
    pub log: L,
    pub reader: R,
    pub actions: Topic,
    pub records: Records,
    pub calls: Calls,
    pub ledger: Ledger,
    pub clock: Clock,
    pub metrics: Metrics,
    pub assigned: BTreeSet<Partition>,
    pub hold: Hold,
    pub paused: BTreeSet<Partition>,
    /// For the next transaction.
    pub to_write: Vec<NewRecord>,
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
/// While nothing is to be done: how long until the sink looks whether it shall stop.
const IDLE: Duration = Duration::from_millis(200);
/// While calls are under way: how long an answer may lie there.
const BUSY: Duration = Duration::from_millis(5);
const PAUSE: Duration = Duration::from_secs(1);
/// With so many unfinished actions, shared by all partitions, a partition is read no further until half of its share is finished.
/// What is urgent goes first only among what was read, so this is far more than a storm leaves waiting; some 4 KiB each.
const UNFINISHED_MAX: usize = 16_000;
/// The least share of a partition.
const UNFINISHED_LEAST: usize = 500;
/// How long a rebalance may wait for answers that are on their way.
const DRAIN: Duration = Duration::from_secs(10);

impl<L: Log, R: Reader> Worker<L, R> {
    /// Until told to stop, or until something is wrong that starting over does not mend.
    pub fn run(&mut self, stop: &AtomicBool) -> Result<(), Error> {
        loop {
            let stopping = stop.load(Ordering::Relaxed);
            if stopping && self.calls.in_flight() == 0 && self.to_write.is_empty() {
                return self.log.release();
            }
            match self.turn(stopping) {
                Ok(()) => {}
                Err(error) if stopping => return Err(error),
                Err(error) => self.start_over(error, stop)?,
            }
        }
    }

    fn turn(&mut self, stopping: bool) -> Result<(), Error> {
        self.poll()?;
        while let Some(answered) = self.calls.answered(Duration::ZERO) {
            self.take_answer(answered)?;
        }
        self.read_again()?;
        let work = if stopping { Vec::new() } else { self.choose()? };
        let intended = Instant::now();
        self.commit()?;
        work.into_iter().for_each(|work| self.calls.start(work, intended));
        self.throttle()?;
        self.metrics.waiting.set(i64::try_from(self.ledger.waiting()).unwrap_or(i64::MAX));
        Ok(())
    }

    fn poll(&mut self) -> Result<(), Error> {
        let now = self.clock.now();
        let wake = self.ledger.wake_at(now).filter(|_| self.calls.free() > 0);
        let wait = wake.map_or(IDLE, |at| self.clock.until(at)).min(match self.calls.in_flight() {
            0 => IDLE,
            _ => BUSY,
        });
        let mut batch = Batch::default();
        match self.log.poll(wait, POLL_BYTES_MAX, &mut batch)? {
            Polled::Records { .. } => self.take_in(&batch),
            Polled::Assigned(partitions) => {
                self.told(partitions);
                self.restart()
            }
            Polled::Revoked(_) => {
                let handed_over = self.hand_over();
                self.forget();
                self.log.release()?;
                handed_over
            }
            Polled::Lost(_) => {
                self.forget();
                self.log.release()
            }
        }
    }

    fn told(&mut self, partitions: Vec<TopicPartition>) {
        self.assigned = partitions.into_iter().map(|partition| partition.partition).collect();
        self.paused.clear();
        self.hold = Hold::Told;
    }

    /// What keeps the sink from starting over may be that its partitions were taken away. Records are read again afterwards.
    fn hear_of_rebalances(&mut self) -> Result<(), Error> {
        match self.log.poll(Duration::ZERO, 1, &mut Batch::default())? {
            Polled::Records { .. } => Ok(()),
            Polled::Assigned(partitions) => {
                self.told(partitions);
                Ok(())
            }
            Polled::Revoked(_) | Polled::Lost(_) => {
                self.forget();
                self.log.release()
            }
        }
    }

    fn take_in(&mut self, batch: &Batch) -> Result<(), Error> {
        for record in batch.iter() {
            let now = self.clock.now();
            match records::action(&self.records.formats, &record) {
                Ok(action) => {
                    let superseded = self.ledger.accept(record.partition, record.offset, action, now);
                    superseded.map_or(Ok(()), |outcome| self.write(record.partition, outcome))?;
                }
                Err(why) => {
                    tracing::warn!(
                        partition = record.partition.0,
                        offset = record.offset.0,
                        error = why.1,
                        "dead letter"
                    );
                    self.metrics.dead_letters.inc();
                    let letter = self.records.of_dead_letter(&record, why, now).map_err(fatal)?;
                    self.to_write.push(letter);
                    self.ledger.skip(record.partition, record.offset);
                }
            }
        }
        Ok(())
    }

    fn take_answer(&mut self, answered: Answered) -> Result<(), Error> {
        let Answered { work, answer, seconds } = answered;
        self.metrics.call(work.call.method(), &answer, seconds);
        tracing::debug!(incident = work.key.incident_id, method = work.call.method().name(), ?answer, "slack answered");
        let outcome = self.ledger.answered(&work, answer, self.clock.now());
        outcome.map_or(Ok(()), |outcome| self.write(work.key.partition, outcome))
    }

    fn choose(&mut self) -> Result<Vec<Work>, Error> {
        let slots = Slots { free: self.calls.free(), spare: Calls::SPARE };
        let mut chosen = self.ledger.choose(slots, self.clock.now());
        for work in &mut chosen {
            if let Some(intent) = work.intent.take() {
                self.write(work.key.partition, intent)?;
            }
        }
        Ok(chosen)
    }

    /// Actions that were told before and are needed once more.
    fn read_again(&mut self) -> Result<(), Error> {
        let now = self.clock.now();
        for (key, offset) in self.ledger.missing(now) {
            let action = self.read_action(key.partition, offset)?;
            if action.is_none() {
                let (incident, offset) = (&key.incident_id, offset.0);
                tracing::warn!(incident, offset, "an action that should be told again is gone from its topic");
            }
            self.ledger.supply(&key, offset, action, now);
        }
        Ok(())
    }

    fn read_action(&mut self, partition: Partition, offset: Offset) -> Result<Option<SlackAction>, Error> {
        let place = TopicPartition::new(&self.actions, partition);
        let (mut next, mut batch) = (offset, Batch::default());
        while next <= offset && next < self.log.watermarks(&place)?.high {
            next = match self.reader.read(&place, next, 1, PAUSE, &mut batch) {
                Err(Error::OutOfRange { .. }) => return Ok(None),
                read => read?,
            };
        }
        let found = batch.iter().find(|record| record.offset == offset);
        Ok(found.and_then(|record| records::action(&self.records.formats, &record).ok()))
    }

    fn write(&mut self, partition: Partition, outcome: SlackOutcome) -> Result<(), Error> {
        if matches!(outcome.status, SlackStatus::Rejected | SlackStatus::Unknown) {
            let SlackOutcome { action_id, incident_id, status, error, .. } = &outcome;
            tracing::error!(action_id, incident_id, ?status, error, "slack was not told, or may not have been");
        }
        if let (SlackStatus::Done, Some(why)) = (outcome.status, &outcome.error) {
            let SlackOutcome { action_id, incident_id, .. } = &outcome;
            tracing::warn!(action_id, incident_id, why, "slack took less than was to be told");
        }
        self.metrics.outcome(&outcome);
        self.to_write.push(self.records.of_outcome(partition, outcome).map_err(fatal)?);
        Ok(())
    }

    fn commit(&mut self) -> Result<(), Error> {
        let offsets: Vec<_> = self.assigned.iter().filter_map(|partition| self.offset_of(*partition)).collect();
        if self.to_write.is_empty() && offsets == self.committed {
            return Ok(());
        }
        if self.log.must_renew() {
            self.log.renew_producer()?;
        }
        self.log.begin()?;
        for record in &self.to_write {
            self.log.produce(record)?;
        }
        failpoint::log("slack: before commit")?;
        self.log.commit(&offsets)?;
        self.to_write.clear();
        self.committed = offsets;
        failpoint::log("slack: after commit")
    }

    fn offset_of(&self, partition: Partition) -> Option<(TopicPartition, Committed)> {
        let offset = self.ledger.committable(partition)?;
        Some((TopicPartition::new(&self.actions, partition), Committed { offset, metadata: String::new() }))
    }

    /// Reads the journals of all assigned partitions to their ends; answers with where to read actions from.
    fn restore(&mut self) -> Result<Vec<(TopicPartition, Offset)>, Error> {
        let partitions: Vec<_> =
            self.assigned.iter().map(|partition| TopicPartition::new(&self.actions, *partition)).collect();
        let committed = self.log.committed(&partitions)?;
        self.committed.clear();
        let mut starts = Vec::new();
        for (partition, committed) in partitions.into_iter().zip(committed) {
            let start = match committed {
                Some(committed) => committed.offset,
                None => self.log.watermarks(&partition)?.low,
            };
            self.ledger.open(partition.partition, start);
            let began = Instant::now();
            let read = self.read_journal(partition.partition)?;
            let (number, seconds) = (partition.partition.0, began.elapsed().as_secs_f64());
            tracing::info!(partition = number, outcomes = read, seconds, "slack journal read");
            starts.push((partition, start));
        }
        Ok(starts)
    }

    fn read_journal(&mut self, partition: Partition) -> Result<usize, Error> {
        let journal = TopicPartition::new(&self.records.outcomes, partition);
        let ends = self.log.watermarks(&journal)?;
        let (mut next, mut read) = (ends.low, 0);
        let mut batch = Batch::default();
        while next < ends.high {
            batch.clear();
            next = self.reader.read(&journal, next, POLL_BYTES_MAX, PAUSE, &mut batch)?;
            for outcome in batch.iter().filter_map(|record| records::outcome(&self.records.formats, &record)) {
                self.ledger.restore(partition, &outcome);
                read += 1;
            }
        }
        Ok(read)
    }

    /// Answers that are on their way still become outcomes, as far as they come in time.
    fn hand_over(&mut self) -> Result<(), Error> {
        let until = Instant::now() + DRAIN;
        while let Some(answered) = self.calls.answered(until.saturating_duration_since(Instant::now())) {
            self.take_answer(answered)?;
        }
        self.commit()
    }

    fn forget(&mut self) {
        for partition in std::mem::take(&mut self.assigned) {
            self.ledger.close(partition);
        }
        self.hold = Hold::Nothing;
        self.paused.clear();
        self.to_write.clear();
        self.committed.clear();
    }

    fn start_over(&mut self, error: Error, stop: &AtomicBool) -> Result<(), Error> {
        if matches!(error, Error::Fenced(_) | Error::OutOfRange { .. } | Error::Fatal(_)) {
            return Err(error);
        }
        tracing::warn!(%error, "the slack sink starts over from its journal");
        self.metrics.restarts.inc();
        self.to_write.clear();
        loop {
            std::thread::sleep(PAUSE);
            match self.reset().or_else(|error| self.hear_of_rebalances().and(Err(error))) {
                Err(error @ (Error::Fenced(_) | Error::OutOfRange { .. } | Error::Fatal(_))) => return Err(error),
                Err(error) if stop.load(Ordering::Relaxed) => return Err(error),
                Err(error) => tracing::warn!(%error, "the slack sink cannot start over yet"),
                Ok(()) => return Ok(()),
            }
        }
    }

    fn reset(&mut self) -> Result<(), Error> {
        self.log.renew_producer()?;
        self.restart()
    }

    /// Everything that is known comes from the journal anew.
    fn restart(&mut self) -> Result<(), Error> {
        if self.hold == Hold::Nothing {
            return Ok(());
        }
        let starts = self.restore()?;
        match self.hold {
            Hold::Told => self.log.assign(&starts.into_iter().map(|start| vec![start]).collect::<Vec<_>>())?,
            Hold::Reading if !starts.is_empty() => self.log.seek(&starts)?,
            _ => {}
        }
        self.hold = Hold::Reading;
        Ok(())
    }

    fn throttle(&mut self) -> Result<(), Error> {
        let share = (UNFINISHED_MAX / self.assigned.len().max(1)).max(UNFINISHED_LEAST);
        for partition in self.assigned.clone() {
            let unfinished = self.ledger.unfinished(partition);
            let of_log = [TopicPartition::new(&self.actions, partition)];
            if unfinished >= share && self.paused.insert(partition) {
                self.log.pause(&of_log)?;
            } else if unfinished <= share / 2 && self.paused.remove(&partition) {
                self.log.resume(&of_log)?;
            }
        }
        Ok(())
    }
}

fn fatal(error: crate::codec::Error) -> Error {
    Error::Fatal(error.to_string())
}
