//! The facts of a migration: what a mirror copied, where a group's position lies on the other side, and what an audit found.
//!
//! Topics `migration.mirror-offsets.v1` and `migration.audits.v1`, keyed by [`flow_partition`]; `migration.group-offsets.v1`, keyed by
//! group. They lie on the cluster that is copied to.

use serde::{Deserialize, Serialize};

/// One source partition of one mirror, as keys spell it.
pub fn flow_partition(flow: &str, topic: &str, partition: i32) -> String {
    format!("{flow}/{topic}/{partition}")
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MirrorRange {
    pub flow_partition: String,
    pub flow: String,
    pub source_topic: String,
    #[serde(default)]
    pub source_topic_id: Option<String>,
    pub source_partition: i32,
    /// The `source_end` of the range before.
    pub source_start: i64,
    /// The next to be read.
    pub source_end: i64,
    #[serde(default)]
    pub source_epoch: Option<i32>,
    pub target_topic: String,
    pub target_partition: i32,
    /// Of the first copy.
    #[serde(default)]
    pub target_start: Option<i64>,
    /// In the order of offsets. What lies between them on the source was compacted away, aborted, or a mark of a transaction.
    #[serde(default)]
    pub runs: Vec<MirrorRun>,
    pub records: i64,
    /// Of keys, values and headers, uncompressed.
    pub bytes: i64,
    pub crc32c: i64,
    #[serde(default)]
    pub first_timestamp_ms: Option<i64>,
    #[serde(default)]
    pub last_timestamp_ms: Option<i64>,
    pub copied_at_ms: i64,
}

/// Records the offsets of which follow each other on both sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MirrorRun {
    /// Source offsets since the end of the run before, or since `source_start`.
    pub skip: i64,
    /// Target offsets since the end of the run before, or since `target_start`.
    pub shift: i64,
    pub count: i64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupOffset {
    pub group: String,
    pub flow: String,
    pub source_topic: String,
    pub source_partition: i32,
    /// The next to be read, as the group has committed it.
    pub source_offset: i64,
    pub target_topic: String,
    pub target_partition: i32,
    #[serde(default)]
    pub target_offset: Option<i64>,
    pub state: GroupOffsetState,
    #[serde(default)]
    pub reason: Option<String>,
    pub at_ms: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GroupOffsetState {
    /// It is committed on the target.
    Exact,
    /// The mirror is not that far.
    Waiting,
    /// It may not be committed.
    Blocked,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audit {
    pub flow_partition: String,
    pub flow: String,
    pub source_topic: String,
    pub source_partition: i32,
    pub source_start: i64,
    pub source_end: i64,
    pub target_topic: String,
    pub target_partition: i32,
    pub ranges: i32,
    pub records: i64,
    #[serde(default)]
    pub source_records: Option<i64>,
    #[serde(default)]
    pub target_records: Option<i64>,
    pub verdict: AuditVerdict,
    #[serde(default)]
    pub difference: Option<String>,
    pub at_ms: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuditVerdict {
    Equal,
    Different,
    /// Retention or compaction has taken records since.
    Unknown,
}
