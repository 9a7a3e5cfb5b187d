//! A topic's thread: what one poll brought becomes one transaction, with its facts, its dead letters and the next offsets.
//!
//! | it dies            | facts      | offsets  | the successor                      |
//! |--------------------|------------|----------|------------------------------------|
//! | before the commit  | aborted    | as before | reads the records again, tells them |
//! | within the commit  | both or neither, when it asks | | goes on from what is committed |
//! | after the commit   | there      | behind   | goes on                            |
//!
//! There is no other way to go on after a failure than that of a successor: the worker ends, and whoever started it starts the next,
//! which begins at the committed offsets. Memory is bounded by the poll; what is not polled waits on the topic.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::metrics::Metrics;
use super::records::{Records, Told};
use crate::clock::Clock;
use crate::ingest::view::View;
use crate::log::{Committed, Error, Log, Polled, Watermarks};
use crate::record::{Batch, Offset, TopicPartition};
use crate::runtime::failpoint;
use crate::topology::settings::Start;

const POLL_BYTES_MAX: usize = 1 << 20;
/// How long until it looks whether it shall stop.
const IDLE: Duration = Duration::from_millis(200);

pub struct Worker<'a, L> {
    pub log: L,
    pub from: Start,
    pub records: &'a Records,
    pub view: Option<&'a View>,
    pub clock: &'a Clock,
    pub metrics: &'a Metrics,
}

impl<L: Log> Worker<'_, L> {
    /// Until told to stop, or until something fails.
    pub fn run(&mut self, stop: &AtomicBool) -> Result<(), Error> {
        while !stop.load(Ordering::Relaxed) {
            self.turn()?;
        }
        self.log.release()
    }

    pub fn turn(&mut self) -> Result<(), Error> {
        if self.log.in_doubt() || self.log.must_renew() {
            return Err(Error::UnknownOutcome("a connection broke during a transaction, or since".to_owned()));
        }
        let mut batch = Batch::default();
        match self.log.poll(IDLE, POLL_BYTES_MAX, &mut batch)? {
            Polled::Records { .. } if batch.is_empty() => Ok(()),
            Polled::Records { .. } => self.tell(&batch),
            Polled::Assigned(partitions) => self.begin(partitions),
            // All that was read is committed.
            Polled::Revoked(_) | Polled::Lost(_) => self.log.release(),
        }
    }

    /// A place that had to be chosen is committed before anything is read: `latest` means the same after a crash.
    fn begin(&mut self, partitions: Vec<TopicPartition>) -> Result<(), Error> {
        let committed = self.log.committed(&partitions)?;
        // A partition that was added to a topic that is read already is new as a whole.
        let is_known = committed.iter().any(Option::is_some);
        let (mut starts, mut chosen) = (Vec::new(), BTreeMap::new());
        for (partition, committed) in partitions.into_iter().zip(committed) {
            let ends = self.log.watermarks(&partition)?;
            let start = match committed {
                Some(Committed { offset, .. }) if (ends.low..=ends.high).contains(&offset) => offset,
                Some(Committed { offset, .. }) => self.lost(&partition, offset, ends),
                None if self.from == Start::Latest && !is_known => chosen_at(&mut chosen, &partition, ends.high),
                None => chosen_at(&mut chosen, &partition, ends.low),
            };
            starts.push(vec![(partition, start)]);
        }
        self.log.assign(&starts)?;
        if chosen.is_empty() { Ok(()) } else { self.commit(&[], chosen) }
    }

    /// It is their topic and their retention: what is gone is told, and the rest is read.
    fn lost(&self, partition: &TopicPartition, next: Offset, ends: Watermarks) -> Offset {
        let (next, low, high) = (next.0, ends.low.0, ends.high.0);
        tracing::error!(%partition, next, low, high, "records were gone before they were read; going on with the first that is kept");
        self.metrics.gaps.inc();
        ends.low
    }

    fn tell(&mut self, batch: &Batch) -> Result<(), Error> {
        let now = self.clock.now();
        let silences = self.view.map(View::silences).transpose().map_err(Error::UnknownOutcome)?;
        let (mut told, mut next) = (Vec::with_capacity(batch.len()), BTreeMap::new());
        for record in batch.iter() {
            let of_record =
                self.records.of(&record, silences.as_deref(), now).map_err(|error| Error::Fatal(error.to_string()))?;
            if of_record.refused > 0 {
                let (partition, offset) = (record.partition.0, record.offset.0);
                tracing::warn!(topic = %record.topic, partition, offset, "dead letter");
            }
            told.push(of_record);
            next.insert(TopicPartition::new(record.topic, record.partition), Offset(record.offset.0 + 1));
        }
        self.commit(&told, next)?;
        told.iter().for_each(|told| self.metrics.told(told));
        Ok(())
    }

    fn commit(&mut self, told: &[Told], next: BTreeMap<TopicPartition, Offset>) -> Result<(), Error> {
        let committed = |(partition, offset)| (partition, Committed { offset, metadata: String::new() });
        let offsets: Vec<_> = next.into_iter().map(committed).collect();
        self.log.begin()?;
        for record in told.iter().flat_map(|told| &told.records) {
            self.log.produce(record)?;
        }
        failpoint::log("ingest: before commit")?;
        self.log.commit(&offsets)?;
        failpoint::log("ingest: after commit")
    }
}

fn chosen_at(chosen: &mut BTreeMap<TopicPartition, Offset>, partition: &TopicPartition, at: Offset) -> Offset {
    chosen.insert(partition.clone(), at);
    at
}
