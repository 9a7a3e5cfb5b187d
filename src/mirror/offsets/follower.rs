//! The thread that follows a flow's topic of ranges into its store.
//!
//! Invariants: the store takes in what was read and how far in one write, so the thread may die anywhere. A place in the topic that is
//! gone, or was never there, means another topic: the store is made anew from what there is. Whatever fails is tried again, and told.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{RANGE, Shared};
use crate::codec::Formats;
use crate::event::MirrorRange;
use crate::log::Watermarks;
use crate::log::kafka::{Follow, KafkaReader};
use crate::record::{Batch, Offset, Partition, TopicPartition};
use crate::runtime::{SchemaSource, Schemas};

/// How long the thread may take to see that it shall stop.
const WAIT: Duration = Duration::from_millis(100);
/// Taken in at once.
const PIECE_BYTES: usize = 4 << 20;
/// Before the topic, or the registry, is tried again.
const PAUSE: Duration = Duration::from_millis(500);

pub struct Follower {
    shared: Arc<Shared>,
    schemas: Schemas,
}

impl Follower {
    pub fn new(shared: Arc<Shared>, formats: Formats, schemas: SchemaSource) -> Self {
        Self { shared, schemas: Schemas::new(formats, schemas) }
    }

    pub fn run(mut self) {
        while !self.stops() {
            if let Err(error) = self.follow() {
                self.failed(error.to_string());
                std::thread::sleep(PAUSE);
            }
        }
    }

    fn stops(&self) -> bool {
        self.shared.stop.load(Ordering::Relaxed)
    }

    /// Until it is stopped, or something fails.
    fn follow(&mut self) -> anyhow::Result<()> {
        let shared = Arc::clone(&self.shared);
        let mut reader = KafkaReader::new(&shared.connection, &shared.group)?;
        let partitions = reader.partitions(&shared.topic)?;
        let ends = reader.true_ends(&partitions)?;
        self.fit(&reader, &partitions)?;
        let mut starts = Vec::with_capacity(partitions.len());
        for partition in &partitions {
            let low = reader.watermarks(partition)?.low;
            starts.push(shared.store.position(partition.partition)?.unwrap_or(low));
        }
        drop(reader);
        let start = |partition: Partition| starts.get(usize::try_from(partition.0).unwrap_or(usize::MAX)).copied();
        let start = |partition| start(partition).unwrap_or(Offset(0));
        let mut follow = Follow::new(&shared.connection, &shared.group, &shared.topic, start)?;
        self.moved(&follow, &ends);
        let mut batch = Batch::default();
        while !self.stops() {
            batch.clear();
            if follow.poll(WAIT, PIECE_BYTES, &mut batch)? {
                self.schemas.learn(&batch, shared.clock.elapsed()).map_err(anyhow::Error::msg)?;
                shared.store.apply(&self.facts(&batch), follow.positions())?;
                self.moved(&follow, &ends);
            }
        }
        Ok(())
    }

    /// Makes the store anew if it stands where the topic is not.
    fn fit(&self, reader: &KafkaReader, partitions: &[TopicPartition]) -> anyhow::Result<()> {
        for partition in partitions {
            let Some(next) = self.shared.store.position(partition.partition)? else { continue };
            let Watermarks { low, high } = reader.watermarks(partition)?;
            if next < low || next > high {
                let (at, low, high) = (next.0, low.0, high.0);
                tracing::warn!(%partition, at, low, high, "the store of offsets does not fit its topic: it is made anew");
                self.shared.store.clear()?;
                return Ok(());
            }
        }
        Ok(())
    }

    fn facts(&self, batch: &Batch) -> Vec<MirrorRange> {
        let mut facts = Vec::with_capacity(batch.len());
        for record in batch.iter() {
            match record.value.map(|value| self.schemas.formats.decode::<MirrorRange>(value, RANGE)) {
                Some(Ok(fact)) if fact.flow == self.shared.flow => facts.push(fact),
                // Of another flow, or a key that somebody has deleted.
                Some(Ok(_)) | None => {}
                // If it was of this flow the next one does not join, and that is told where it is asked for.
                Some(Err(error)) => {
                    tracing::error!(%error, topic = %record.topic, partition = record.partition.0, offset = record.offset.0,
                        "a range cannot be read");
                }
            }
        }
        facts
    }

    fn moved(&self, follow: &Follow, ends: &[Offset]) {
        let mut progress = self.shared.progress();
        progress.next = follow.positions().collect();
        progress.is_read |= progress.next.values().zip(ends).all(|(next, end)| next >= end);
        progress.failed = None;
        drop(progress);
        self.shared.moved.notify_all();
    }

    fn failed(&self, why: String) {
        let mut progress = self.shared.progress();
        let is_news = progress.failed.as_ref() != Some(&why);
        progress.failed = Some(why.clone());
        drop(progress);
        if is_news {
            tracing::warn!(flow = self.shared.flow, topic = %self.shared.topic, "the ranges of a mirror are not followed: {why}");
        }
    }
}
