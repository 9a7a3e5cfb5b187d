//! Reads a range of one partition to its end, however the log is laid out: gaps, markers, open transactions.
//!
//! A reader of committed records stands still before an open transaction; [`scan`] waits for it to end, which the
//! transaction's time-out bounds, and fails rather than leave records out.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use super::{Error, Reader};
use crate::record::{Batch, Offset, Record, TopicPartition};

/// Read at once.
const PIECE_BYTES: usize = 1 << 20;
const WAIT: Duration = Duration::from_millis(500);
/// A transaction that is still open after this long is nobody's: every one of fairlead's ends sooner.
const PATIENCE: Duration = Duration::from_secs(30);

/// Gives every record of `from..to` to `take`, until it breaks.
pub fn scan(
    reader: &mut dyn Reader,
    partition: &TopicPartition,
    from: Offset,
    to: Offset,
    mut take: impl FnMut(&Record<'_>) -> ControlFlow<()>,
) -> Result<(), Error> {
    let (mut next, mut moved, mut piece) = (from, Instant::now(), Batch::default());
    while next < to {
        piece.clear();
        let reached = reader.read(partition, next, PIECE_BYTES, WAIT, &mut piece)?;
        for record in piece.iter().filter(|record| record.offset < to) {
            if take(&record).is_break() {
                return Ok(());
            }
        }
        if reached > next {
            (next, moved) = (reached, Instant::now());
        } else if moved.elapsed() > PATIENCE {
            let at = next.0;
            return Err(Error::Unavailable(format!("{partition}: an open transaction holds back what follows {at}")));
        }
    }
    Ok(())
}
