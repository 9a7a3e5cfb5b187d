//! Partitions read front to back, up to where they ended when the reading began.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::log::client::Connection;
use crate::log::kafka::KafkaReader;
use crate::log::{Reader, Watermarks};
use crate::record::{Batch, Offset, Record, TopicPartition};

const PIECE_BYTES: usize = 1 << 20;
const PIECE_WAIT: Duration = Duration::from_millis(500);
/// Longer than any transaction of fairlead stays open.
const PATIENCE: Duration = Duration::from_secs(60);
const REPORT: Duration = Duration::from_secs(5);

/// Calls `visit` with every committed record that is in the partition now; answers with the offsets it looked at.
pub fn each_record(
    reader: &mut KafkaReader,
    partition: &TopicPartition,
    mut visit: impl FnMut(&Record<'_>) -> Result<()>,
) -> Result<Watermarks> {
    let ends = reader.watermarks(partition).with_context(|| partition.to_string())?;
    let (mut next, mut piece, mut told) = (ends.low, Batch::default(), Instant::now());
    while next < ends.high {
        piece.clear();
        next = read(reader, partition, next, &mut piece)?;
        piece.iter().filter(|record| record.offset < ends.high).try_for_each(|record| visit(&record))?;
        if told.elapsed() > REPORT {
            told = Instant::now();
            tracing::info!(%partition, at = next.0, end = ends.high.0, "reading");
        }
    }
    Ok(ends)
}

/// The next records, or at least the next position.
fn read(reader: &mut KafkaReader, partition: &TopicPartition, from: Offset, piece: &mut Batch) -> Result<Offset> {
    let until = Instant::now() + PATIENCE;
    loop {
        let next = reader.read(partition, from, PIECE_BYTES, PIECE_WAIT, piece)?;
        if next > from {
            return Ok(next);
        }
        if Instant::now() > until {
            bail!("{partition}: nothing can be read at {} for {PATIENCE:?}: a transaction stays open", from.0);
        }
    }
}

/// One partition from which growing ranges are taken; holds one piece of it in memory.
pub struct Stretch {
    reader: KafkaReader,
    partition: TopicPartition,
    next: Offset,
    piece: Batch,
    /// Records of the piece that were taken already.
    taken: usize,
}

impl Stretch {
    pub fn new(connection: &Connection, group: &str, partition: &TopicPartition, from: Offset) -> Result<Self> {
        let (reader, partition) = (KafkaReader::new(connection, group)?, partition.clone());
        Ok(Self { reader, partition, next: from, piece: Batch::default(), taken: 0 })
    }

    /// Copies the records below `to` that were not taken yet.
    pub fn take_until(&mut self, to: Offset, batch: &mut Batch) -> Result<()> {
        loop {
            while self.taken < self.piece.len() {
                let record = self.piece.get(self.taken);
                if record.offset >= to {
                    return Ok(());
                }
                batch.push(&record);
                self.taken += 1;
            }
            if self.next >= to {
                return Ok(());
            }
            (self.taken, self.next) = (0, {
                self.piece.clear();
                read(&mut self.reader, &self.partition, self.next, &mut self.piece)?
            });
        }
    }
}
