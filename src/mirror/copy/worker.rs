//! A shard's thread: takes what is there, relays it, and commits by time and bytes.
//!
//! Invariants: nothing is taken between the settling of a transaction and its end; a worker that has failed does nothing more. Memory is
//! bounded by what the source's queue, a transaction and the producer hold, whatever the number of partitions.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

pub use super::recover::Memory;

use super::lane::Lane;
use super::metrics::OfTopic;
use super::{Ended, Shared};
use crate::event::Fact;
use crate::log::Error;
use crate::log::kafka::{KafkaRelay, Message, Slot, Taken};
use crate::mirror::checksum::time_of_copy;
use crate::mirror::ranges::Span;
use crate::mirror::shard::{Frontier, Stop, out_of_range};
use crate::record::{EventTime, NewRecord, TopicPartition};
use crate::runtime::failpoint;

/// A busy shard commits so often; a record waits for that at most.
const COMMIT_INTERVAL: Duration = Duration::from_millis(100);
/// When nothing more came for so long, what is there is committed, unless a commit was just now.
const LINGER: Duration = Duration::from_millis(5);
const COMMITS_APART: Duration = Duration::from_millis(25);
/// Of keys, values and headers.
const COMMIT_BYTES: usize = 16 << 20;
/// More is not handed to the producer before some of it is delivered: what has to arrive once the transaction is to end.
const ON_THEIR_WAY: u64 = 8 << 20;
/// That only marks and gaps were passed is told when there is nothing else to tell.
const PASSED: Duration = Duration::from_secs(1);
const IDLE: Duration = Duration::from_millis(100);
const LAGS_APART: Duration = Duration::from_secs(1);

pub struct Worker<'a> {
    pub shared: &'a Shared,
    pub number: i32,
    stop: &'a AtomicBool,
    offsets: TopicPartition,
    relay: KafkaRelay,
    lanes: Vec<(Lane, OfTopic)>,
    by_key: BTreeMap<String, Slot>,
    /// Lanes that have something to tell.
    moved: BTreeSet<Slot>,
    transaction: Option<Transaction>,
    committed: Instant,
    refreshed: Instant,
    lags: Instant,
    /// Nothing is taken before: the rate is used up.
    paced: Option<Instant>,
}

/// Of one lane, in what is being committed.
struct Tally {
    records: i64,
    bytes: i64,
    moved_times: u64,
    last_ms: Option<i64>,
}

struct Transaction {
    began: Instant,
    bytes: usize,
    last: Instant,
}

impl<'a> Worker<'a> {
    pub fn new(
        (shared, stop): (&'a Shared, &'a AtomicBool),
        number: i32,
        offsets: TopicPartition,
        relay: KafkaRelay,
    ) -> Self {
        let (lanes, by_key, moved, now) = (Vec::new(), BTreeMap::new(), BTreeSet::new(), Instant::now());
        let (transaction, paced) = (None, None);
        let (committed, refreshed, lags) = (now, now, now);
        Self {
            shared,
            number,
            stop,
            offsets,
            relay,
            lanes,
            by_key,
            moved,
            transaction,
            committed,
            refreshed,
            lags,
            paced,
        }
    }

    pub fn lanes(&self) -> usize {
        self.lanes.len()
    }

    pub fn frontier(&self, key: &str) -> Option<&Frontier> {
        self.by_key.get(key).map(|slot| &self.lanes[*slot].0.frontier)
    }

    pub fn add(&mut self, lanes: Vec<Lane>) -> Result<(), Ended> {
        let start = |lane: &Lane| (lane.from.clone(), crate::record::Offset(lane.frontier.next), lane.to.clone());
        let starts: Vec<_> = lanes.iter().map(start).collect();
        self.relay.add(&starts)?;
        for lane in lanes {
            self.by_key.insert(lane.key.clone(), self.lanes.len());
            let metrics = self.shared.metrics.topic(lane.from.topic.as_str(), self.number);
            self.lanes.push((lane, metrics));
        }
        Ok(())
    }

    /// Until told to stop, or until something fails.
    pub fn run(&mut self) -> Result<(), Ended> {
        while !self.stop.load(Ordering::Relaxed) {
            self.turn()?;
        }
        self.commit()
    }

    fn turn(&mut self) -> Result<(), Ended> {
        self.relay.source().serve()?;
        if self.transaction.is_none() {
            self.tend()?;
        }
        let took = self.take()?;
        let now = Instant::now();
        match &self.transaction {
            Some(open) if open.is_due(now) => self.commit()?,
            Some(open) if !took && now - open.last >= LINGER && now - self.committed >= COMMITS_APART => {
                self.commit()?
            }
            None if !self.moved.is_empty() && now - self.committed >= PASSED => self.commit()?,
            Some(_) if !took => self.relay.source().wait(LINGER)?,
            None if !took => {
                let paced = self.paced.map_or(IDLE, |until| until.saturating_duration_since(now));
                self.relay.source().wait(paced.clamp(Duration::from_millis(1), IDLE))?;
            }
            _ => {}
        }
        Ok(())
    }

    /// Between two transactions.
    fn tend(&mut self) -> Result<(), Ended> {
        if self.relay.is_suspect() {
            return Err(Error::UnknownOutcome("a connection broke during a transaction, or since".to_owned()).into());
        }
        self.relay.refresh()?;
        if self.refreshed.elapsed() >= self.shared.flow.refresh {
            self.refreshed = Instant::now();
            match (self.shared.flow.pairs)(self.stop) {
                Ok(pairs) => self.take_up(&pairs, &BTreeMap::new())?,
                Err(Error::Unavailable(why)) => tracing::debug!(why, "which topics there are is not known just now"),
                Err(error) => return Err(error.into()),
            }
        }
        if self.lags.elapsed() >= LAGS_APART {
            self.lags = Instant::now();
            self.tell_lags();
        }
        Ok(())
    }

    /// Whether something was there.
    fn take(&mut self) -> Result<bool, Ended> {
        if self.paced.is_some_and(|until| Instant::now() < until) {
            return Ok(false);
        }
        let mut took = false;
        // The clock is asked now and then only.
        for turn in 1_u32.. {
            let Some(taken) = self.relay.take()? else { break };
            took = true;
            match taken {
                Taken::Record(slot, message) => self.copy(slot, message)?,
                Taken::End(slot, next) => {
                    let lane = &mut self.lanes[slot].0;
                    lane.end(next.0);
                    if lane.has_moved() {
                        self.moved.insert(slot);
                    }
                }
                Taken::Lost(slot, told) => self.lost(slot, &told)?,
            }
            if self.paced.is_some() || self.transaction.as_ref().is_some_and(|open| open.bytes >= COMMIT_BYTES) {
                break;
            }
            if turn.is_multiple_of(256) && self.transaction.as_ref().is_some_and(|open| open.is_due(Instant::now())) {
                break;
            }
        }
        if let Some(open) = self.transaction.as_mut().filter(|_| took) {
            open.last = Instant::now();
        }
        Ok(took)
    }

    fn copy(&mut self, slot: Slot, message: Message) -> Result<(), Ended> {
        let lane = &mut self.lanes[slot].0;
        if !lane.has_moved() {
            self.moved.insert(slot);
        }
        if let Some(is_native) = &self.shared.flow.native
            && !is_native(&lane.from, message.offset())?
        {
            return Ok(lane.pass(&message)?);
        }
        let bytes = lane.read(&message)?;
        if self.transaction.is_none() {
            failpoint::log("mirror: before begin")?;
            self.relay.begin()?;
        }
        let begin = || {
            let now = Instant::now();
            Transaction { began: now, bytes: 0, last: now }
        };
        self.transaction.get_or_insert_with(begin).bytes += bytes;
        if self.shared.pace.is_some() {
            let wait = self.shared.pace(bytes);
            // Less than this is not worth a pause.
            self.paced = (wait > Duration::from_millis(20)).then(|| Instant::now() + wait);
        }
        let at = EventTime(time_of_copy(message.timestamp().0));
        Ok(self.relay.relay(slot, message, at, ON_THEIR_WAY)?)
    }

    /// What is to be read next is not there, as is said.
    fn lost(&mut self, slot: Slot, told: &str) -> Result<(), Ended> {
        let bounds = self.look()?.bounds(std::slice::from_ref(&self.lanes[slot].0.from))?;
        let Some(bounds) = bounds.first() else { return Ok(()) };
        let lane = &mut self.lanes[slot].0;
        let next = match out_of_range(&lane.key, lane.frontier.next, bounds.low.0, bounds.high.0, told) {
            None => lane.frontier.next,
            // Nothing was copied yet: it begins with what is kept by now.
            Some(Stop::Truncated { low, .. }) if !lane.is_known && lane.taken().0 == 0 => {
                lane.begin_at(low);
                low
            }
            Some(stop) => return Err(stop.into()),
        };
        tracing::debug!(partition = lane.key, next, told, "goes on");
        Ok(self.relay.source().go_on(slot, crate::record::Offset(next))?)
    }

    /// All that was taken, and the ranges that say so.
    fn commit(&mut self) -> Result<(), Ended> {
        if self.transaction.is_none() {
            if self.moved.is_empty() {
                return Ok(());
            }
            self.relay.begin()?;
        }
        failpoint::log("mirror: after produce")?;
        self.same_topics()?;
        for (slot, delivered) in self.relay.settle()? {
            let span = Span { source: delivered.source, target: delivered.target, count: delivered.count };
            self.lanes[slot].0.delivered(span).map_err(|refused| Error::Abort(refused.to_string()))?;
        }
        let now_ms = self.shared.flow.clock.now().0;
        let mut told = Vec::with_capacity(self.moved.len());
        for slot in &self.moved {
            let lane = &mut self.lanes[*slot].0;
            let mut tally = Tally { records: 0, bytes: 0, moved_times: lane.moved_times(), last_ms: lane.last_ms() };
            (tally.records, tally.bytes) = lane.taken();
            let range =
                lane.range(&self.shared.flow.name, now_ms).map_err(|refused| Error::Abort(refused.to_string()))?;
            let key = range.flow_partition.clone().into_bytes();
            let mut value = Vec::new();
            let encoded = self.shared.flow.formats.encode_fact(&Fact::MirrorRange(range), &mut value);
            encoded.map_err(|error| Error::Fatal(error.to_string()))?;
            self.relay.produce(&NewRecord {
                topic: self.offsets.topic.clone(),
                partition: Some(self.offsets.partition),
                timestamp: EventTime(now_ms),
                key: Some(key),
                value: Some(value),
                headers: Vec::new(),
            })?;
            told.push((*slot, tally));
        }
        failpoint::log("mirror: before commit")?;
        self.relay.commit()?;
        failpoint::log("mirror: after commit")?;
        self.done(&told);
        Ok(())
    }

    /// What was taken is of the topics that were copied so far.
    fn same_topics(&self) -> Result<(), Ended> {
        let taken = self.moved.iter().map(|slot| &self.lanes[*slot].0);
        let known = taken.filter(|lane| lane.taken().0 > 0 && lane.frontier.topic_id.is_some());
        let mut lanes: BTreeMap<&str, Vec<&Lane>> = BTreeMap::new();
        known.for_each(|lane| lanes.entry(lane.from.topic.as_str()).or_default().push(lane));
        if lanes.is_empty() {
            return Ok(());
        }
        let names: Vec<String> = lanes.keys().map(|name| (*name).to_owned()).collect();
        for (name, id) in (self.shared.flow.ids)(&names, self.stop)? {
            let mut lanes = lanes.get(&*name).into_iter().flatten();
            lanes.try_for_each(|lane| lane.frontier.same_topic(&lane.key, Some(&id)))?;
        }
        Ok(())
    }

    fn done(&mut self, told: &[(Slot, Tally)]) {
        for (slot, tally) in told {
            let (lane, metrics) = &mut self.lanes[*slot];
            lane.is_known = true;
            lane.newest_ms = tally.last_ms.or(lane.newest_ms);
            metrics.records.inc_by(u64::try_from(tally.records).unwrap_or_default());
            metrics.bytes.inc_by(u64::try_from(tally.bytes).unwrap_or_default());
            metrics.moved_times.inc_by(tally.moved_times);
            if tally.moved_times > 0 && !self.shared.told_of_times.swap(true, Ordering::Relaxed) {
                let (flow, partition) = (&self.shared.flow.name, &lane.key);
                tracing::warn!(
                    flow,
                    partition,
                    "records of the time 0 are copied with the time 1 ms: librdkafka cannot write 0"
                );
            }
        }
        self.shared.metrics.commits.inc();
        if let Some(open) = self.transaction.take() {
            self.shared.metrics.commit_seconds.observe(open.began.elapsed().as_secs_f64());
        }
        self.moved.clear();
        self.committed = Instant::now();
    }
}

impl Worker<'_> {
    /// By topic; of what was never read nothing is known.
    fn tell_lags(&mut self) {
        let now_ms = self.shared.flow.clock.now().0;
        let mut lags: BTreeMap<&str, (i64, i64)> = BTreeMap::new();
        for (slot, (lane, _)) in self.lanes.iter().enumerate() {
            let end = self.relay.end(slot).map_or(0, |end| end.0);
            let records = if lane.at_end { 0 } else { (end - lane.frontier.next).max(0) };
            let ms = lane.newest_ms.filter(|_| records > 0).map_or(0, |newest| (now_ms - newest).max(0));
            let topic = lags.entry(lane.from.topic.as_str()).or_default();
            *topic = (topic.0 + records, topic.1.max(ms));
        }
        for (topic, (records, ms)) in lags {
            let metrics = self.shared.metrics.topic(topic, self.number);
            metrics.lag_records.set(records);
            metrics.lag_ms.set(ms);
        }
    }
}

impl Drop for Worker<'_> {
    /// Whoever has the shard now tells them.
    fn drop(&mut self) {
        for (_, metrics) in &self.lanes {
            metrics.lag_records.set(0);
            metrics.lag_ms.set(0);
        }
    }
}

impl Transaction {
    fn is_due(&self, now: Instant) -> bool {
        self.bytes >= COMMIT_BYTES || now - self.began >= COMMIT_INTERVAL
    }
}
