//! What could not be processed, looked at and put back: `fairlead dead-letter`.
//!
//! ```text
//! <app>.dead-letters.v1:  letter ─ letter ─ mark ─ letter     mark: key of a letter, no value, header fairlead-retried
//!                                            │ one transaction
//!                         original topic: ─ original bytes, header fairlead-dead-letter ─► read as any other record
//! ```
//! **Where the mark lives.** On the dead-letter topic, in the partition of its letter, written in the transaction that puts
//! the original back. So letter and mark are totally ordered; retention takes the front of a log first, so a mark outlives its
//! letter whatever the retention is; under compaction it takes the letter's place; and no other topic, group or right is
//! needed. Offsets of a group would not do: letters are retried in any order.
//!
//! **Exactly once.** One transactional id for the application: whoever starts later fences the earlier, and what that had
//! committed is seen, for marks are read *after* the producer has its id, up to the true end. A commit of unknown outcome is
//! resolved by a renewed producer and reading again. Only who asks for a letter `again` has it put back twice.
//!
//! **Topics of others** (`ingest.kafka`) are not written to: their letters are read again here, by the parsers and rules as they are
//! now, and it is their facts that stand in the transaction with the mark. One that is still refused stays as it is, and is told.
//!
//! What dies again is a new letter: the record has a new offset, and its header leads back to the first.

mod choice;
mod retry;
mod shelf;
mod show;

use serde::Serialize;

use crate::record::{Offset, Partition};
use crate::topology::dead_letter::DeadLetter;

pub use choice::{Choice, Moment};
pub use retry::{Outcome, Retried, Wish, retry};
pub use shelf::Shelf;
pub use show::{Full, Line, lines};

/// On a mark: which run of `retry` put the letter back.
pub const MARK_HEADER: &str = "fairlead-retried";
/// On a record that was put back: the letter that it was, `topic/partition/offset` of its first telling.
pub const ORIGIN_HEADER: &str = "fairlead-dead-letter";

/// A letter as it lies on its topic.
#[derive(Clone, Debug, PartialEq)]
pub struct Letter {
    pub partition: Partition,
    pub offset: Offset,
    pub letter: DeadLetter,
    /// How often it was put back.
    pub retried: Marks,
}

/// What is known of the retries of one letter.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Marks {
    pub times: u32,
    /// Of the last one.
    pub at_ms: Option<i64>,
    #[serde(skip)]
    pub run: Option<String>,
}
