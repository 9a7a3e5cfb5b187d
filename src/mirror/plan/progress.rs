//! How far each source partition of a flow was copied, and who copied to which target: the ranges, folded.
//!
//! Invariant: bounded by partitions and flows, however many ranges there are. The ranges of one source partition come in their order.
#![deny(clippy::disallowed_methods, clippy::disallowed_types, clippy::disallowed_macros)]

use std::collections::{BTreeMap, BTreeSet};

use super::Frontier;
use crate::event::MirrorRange;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Of one flow, by source topic and partition.
    pub frontiers: BTreeMap<String, BTreeMap<i32, Frontier>>,
    /// Flows that have copied to a target topic.
    pub writers: BTreeMap<String, BTreeSet<String>>,
}

impl Progress {
    /// `flow` is the one whose frontiers are kept.
    pub fn take(&mut self, flow: &str, range: &MirrorRange) {
        if !self.writers.get(&range.target_topic).is_some_and(|flows| flows.contains(&range.flow)) {
            self.writers.entry(range.target_topic.clone()).or_default().insert(range.flow.clone());
        }
        if range.flow != flow {
            return;
        }
        let partitions = self.frontiers.entry(range.source_topic.clone()).or_default();
        let before = partitions.get(&range.source_partition);
        let end = |start: i64| range.runs.iter().fold(start, |end, run| end + run.shift + run.count);
        let frontier = Frontier {
            source_id: range.source_topic_id.clone().or_else(|| before?.source_id.clone()),
            source_end: range.source_end,
            target_topic: range.target_topic.clone(),
            target_partition: range.target_partition,
            // A range of marks and gaps has put nothing there.
            target_end: range.target_start.map_or(before.map_or(0, |before| before.target_end), end),
        };
        partitions.insert(range.source_partition, frontier);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::MirrorRun;

    fn range(flow: &str, source: (i64, i64), target_start: Option<i64>, runs: &[(i64, i64, i64)]) -> MirrorRange {
        MirrorRange {
            flow_partition: format!("{flow}/a/0"),
            flow: flow.into(),
            source_topic: "a".into(),
            source_topic_id: target_start.map(|_| "id".into()),
            source_partition: 0,
            source_start: source.0,
            source_end: source.1,
            source_epoch: None,
            target_topic: "b".into(),
            target_partition: 0,
            target_start,
            runs: runs
                .iter()
                .map(|(skip, shift, count)| MirrorRun { skip: *skip, shift: *shift, count: *count })
                .collect(),
            records: runs.iter().map(|run| run.2).sum(),
            bytes: 0,
            crc32c: 0,
            first_timestamp_ms: None,
            last_timestamp_ms: None,
            copied_at_ms: 0,
        }
    }

    #[test]
    fn the_last_range_tells_how_far_it_is_on_both_sides() {
        let mut progress = Progress::default();
        progress.take("f", &range("f", (10, 20), Some(70), &[(0, 0, 3), (2, 17, 2)]));
        progress.take("f", &range("g", (0, 99), Some(0), &[(0, 0, 99)]));
        // Marks and gaps only: the copies end where they did.
        progress.take("f", &range("f", (20, 25), None, &[]));
        let frontier = &progress.frontiers["a"][&0];
        assert_eq!((frontier.source_end, frontier.target_end, frontier.source_id.as_deref()), (25, 92, Some("id")));
        assert_eq!(progress.writers["b"], ["f", "g"].map(str::to_owned).into());
        assert_eq!(progress.frontiers.len(), 1);
    }
}
