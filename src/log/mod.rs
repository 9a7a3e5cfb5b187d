//! The log port: everything below the operators is written against the narrow traits here, not against rdkafka.
//!
//! A [`Log`] is one group member with one transactional producer. It answers polls with values: records, or a change of
//! assignment, which the caller acknowledges. It knows nothing of operators, facts or stores.

pub mod admin;
pub mod client;
pub mod kafka;
pub mod outage;
pub mod reach;
pub mod scan;
pub mod sim;
pub mod token;

use std::time::Duration;

use thiserror::Error;

use crate::record::{Batch, NewRecord, Offset, TopicPartition};

/// What came of one poll.
#[derive(Debug)]
pub enum Polled {
    /// Records were appended to the batch, or none were ready in time. `drained` is true when every assigned, unpaused
    /// partition has been read to its end.
    Records { drained: bool },
    /// These partitions are this member's now, in full. Nothing of them is read before [`Log::assign`].
    Assigned(Vec<TopicPartition>),
    /// These partitions are about to go. The caller commits what it has, then calls [`Log::release`].
    Revoked(Vec<TopicPartition>),
    /// These partitions are gone already: another member may own them. The caller aborts, then calls [`Log::release`].
    Lost(Vec<TopicPartition>),
}

/// Where to go on, and what is remembered with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The next offset to read.
    pub offset: Offset,
    /// Free text kept with the offset, in the same transaction.
    pub metadata: String,
}

/// Offsets of a partition: the first that is kept, and one past the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watermarks {
    pub low: Offset,
    pub high: Offset,
}

/// What a failed call asks of its caller; each variant is another way on.
#[derive(Debug, Error)]
pub enum Error {
    /// The transaction must be aborted; the producer stays usable.
    #[error("the transaction must be aborted: {0}")]
    Abort(String),
    /// It is not known whether the commit took place: the producer is to be replaced, then the committed offsets read.
    #[error("the outcome of the commit is unknown: {0}")]
    UnknownOutcome(String),
    /// A newer producer with the same transactional id, or member with the same instance id, exists: this worker is a zombie and
    /// must stop.
    #[error("fenced by a newer one with the same id: {0}")]
    Fenced(String),
    /// The group's committed offset, or the changelog, points where the log no longer is.
    #[error("{partition}: offset {offset:?} is out of range: {mend}")]
    OutOfRange { partition: TopicPartition, offset: Offset, mend: String },
    /// Worth trying again after a pause.
    #[error("kafka does not answer: {0}")]
    Unavailable(String),
    /// Not worth trying again: configuration, authorisation, a missing topic.
    #[error("{0}")]
    Fatal(String),
}

/// What an administrator is to be asked for.
pub fn denied(operation: &str, resource: &str) -> String {
    format!("kafka denies {operation} on {resource}; grant it (`fairlead explain --acls` lists all that is needed)")
}

/// One group member and its transactional producer.
///
/// Order of calls: `poll` until records or an assignment; `begin`, any `produce`, then `commit` or `abort`; again.
pub trait Log {
    /// Appends what is ready to `batch`, up to about `bytes_max` bytes, waiting at most `wait` for the first record.
    fn poll(&mut self, wait: Duration, bytes_max: usize, batch: &mut Batch) -> Result<Polled, Error>;

    /// Accepts an assignment and starts each partition at the given offset. Partitions of a group are read abreast: of a backlog none
    /// is handed out while another of them still has older records.
    fn assign(&mut self, groups: &[Vec<(TopicPartition, Offset)>]) -> Result<(), Error>;

    /// Gives the revoked or lost partitions up.
    fn release(&mut self) -> Result<(), Error>;

    /// While paused, `poll` brings no records but keeps the member alive and tells of rebalances.
    fn pause(&mut self, partitions: &[TopicPartition]) -> Result<(), Error>;
    fn resume(&mut self, partitions: &[TopicPartition]) -> Result<(), Error>;

    /// Reads on from here: after an abort.
    fn seek(&mut self, starts: &[(TopicPartition, Offset)]) -> Result<(), Error>;

    /// The group's stable committed offsets, in the order asked; `None` where there is none yet.
    fn committed(&mut self, partitions: &[TopicPartition]) -> Result<Vec<Option<Committed>>, Error>;

    /// Read uncommitted: the true end, whatever transaction is open.
    fn watermarks(&mut self, partition: &TopicPartition) -> Result<Watermarks, Error>;

    fn begin(&mut self) -> Result<(), Error>;

    /// Hands a record to the producer; it may be sent before the commit but is seen only after it.
    fn produce(&mut self, record: &NewRecord) -> Result<(), Error>;

    /// Commits what was produced together with the input offsets, or says what is to be done.
    fn commit(&mut self, offsets: &[(TopicPartition, Committed)]) -> Result<(), Error>;

    fn abort(&mut self) -> Result<(), Error>;

    /// Throws the producer away and initialises a new one: resolves a transaction of unknown outcome, fences twins.
    fn renew_producer(&mut self) -> Result<(), Error>;

    /// Whether a transport error or time-out was seen inside a transaction since the producer was made, even if the commit
    /// succeeded: a late repetition of its end could then end the next transaction; or since the last commit, which may not be whole
    /// then. The caller renews before it begins.
    fn must_renew(&self) -> bool;

    /// Whether a connection broke since the last commit, so that what was told of it may not hold: a broker that is killed may come
    /// back without its markers (KAFKA-20734), and its offsets would be waited for without end. If so, the next renewal ends what is
    /// left of it, and the caller starts over from the committed offsets. Who acts on a commit elsewhere at once, and could not take
    /// that back, does not ask: it must renew, and what was committed is so to the end.
    fn in_doubt(&mut self) -> bool;
}

/// Reads partitions from given offsets outside any group: restore, replay, lineage, dead letters.
pub trait Reader {
    /// Appends records from `from` on, up to `bytes_max`; returns the next position, which control records move too.
    fn read(
        &mut self,
        partition: &TopicPartition,
        from: Offset,
        bytes_max: usize,
        wait: Duration,
        batch: &mut Batch,
    ) -> Result<Offset, Error>;
}
