//! The journal: which input ranges a commit consumed and when it acted, so that it can be repeated byte for byte.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::record::Partition;

pub const SCHEMA: &str = include_str!("../../schemas/journal.avsc");

/// Header on every output record that says which journal record it came from.
pub const HEADER: &str = "fairlead-journal";

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Journal {
    pub task: String,
    pub sequence: i64,
    pub acted_at_ms: i64,
    #[serde(default)]
    pub tick: bool,
    #[serde(default)]
    pub inputs: Vec<InputRange>,
    #[serde(default)]
    pub outputs: i32,
    #[serde(default)]
    pub topology: String,
}

/// Offsets `from..to` of one partition; gaps (control records, compaction) are inside.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct InputRange {
    pub topic: String,
    pub partition: i32,
    pub from: i64,
    pub to: i64,
}

/// One partition of one sub-topology.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TaskId {
    pub sub_topology: String,
    pub partition: Partition,
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.sub_topology, self.partition.0)
    }
}

impl Journal {
    /// What the records of this commit carry in their [`HEADER`]. Fails if the task's name is none.
    pub fn position(&self) -> Result<JournalPosition, String> {
        format!("{}/{}@{}", self.task, self.sequence, self.acted_at_ms).parse()
    }
}

/// Where a commit stands in its task's journal; printed as `oncall/3/128@1700000000000` in [`HEADER`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct JournalPosition {
    pub task: TaskId,
    pub sequence: i64,
    /// Wall time of the commit: finds the record in the journal by time.
    pub acted_at_ms: i64,
}

impl fmt::Display for JournalPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}@{}", self.task, self.sequence, self.acted_at_ms)
    }
}

impl FromStr for JournalPosition {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parse = || {
            let (position, acted_at) = text.rsplit_once('@')?;
            let (task, sequence) = position.rsplit_once('/')?;
            let (sub_topology, partition) = task.rsplit_once('/')?;
            Some(Self {
                task: TaskId { sub_topology: sub_topology.to_owned(), partition: Partition(partition.parse().ok()?) },
                sequence: sequence.parse().ok()?,
                acted_at_ms: acted_at.parse().ok()?,
            })
        };
        parse().ok_or_else(|| format!("`{text}` is no journal position: expected name/partition/sequence@milliseconds"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_read_as_it_is_printed() {
        let position = JournalPosition {
            task: TaskId { sub_topology: "oncall".into(), partition: Partition(3) },
            sequence: 128,
            acted_at_ms: 1_700,
        };
        assert_eq!(position.to_string(), "oncall/3/128@1700");
        assert_eq!("oncall/3/128@1700".parse(), Ok(position));
        assert!("oncall/3@1700".parse::<JournalPosition>().is_err());
    }
}
