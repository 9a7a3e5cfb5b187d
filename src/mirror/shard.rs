//! The parts of a flow's work, where each source partition stands, and why a flow stops.
//!
//! Invariants: a source partition belongs to one shard for good, as long as the number of shards stays; a frontier only rises. What
//! would lose records, or copy some twice, is a [`Stop`]: a value that says what to do, never something to go on after.
#![deny(clippy::disallowed_methods, clippy::disallowed_types, clippy::disallowed_macros)]

use thiserror::Error;

use crate::event::MirrorRange;
use crate::record::partition;

/// Which shard copies a source partition: the partition of the offsets topic that Kafka's default partitioner gives this key
/// (`event::migration::flow_partition`), so that whoever writes with the key alone writes to the right one.
pub fn shard_of(flow_partition: &str, shards: u16) -> u16 {
    let partition = partition(flow_partition.as_bytes(), shards.into());
    u16::try_from(partition.0).unwrap_or_default()
}

/// How far a source partition is copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frontier {
    /// The next source offset to be read: marks and gaps lie behind it too.
    pub next: i64,
    /// Of the topic that was read, where the cluster tells one.
    pub topic_id: Option<String>,
    /// Leader epoch of the last record that was read.
    pub epoch: Option<i32>,
}

impl Frontier {
    /// After this range, which must join what is known.
    pub fn after(before: Option<&Self>, range: &MirrorRange) -> Result<Self, Stop> {
        match before {
            Some(before) if before.next != range.source_start => {
                let (partition, next) = (range.flow_partition.clone(), before.next);
                Err(Stop::Gap { partition, next, start: range.source_start })
            }
            _ => Ok(Self {
                next: range.source_end,
                topic_id: range.source_topic_id.clone().or_else(|| before.and_then(|before| before.topic_id.clone())),
                epoch: range.source_epoch.or_else(|| before.and_then(|before| before.epoch)),
            }),
        }
    }

    /// Whether the topic that is there now is the one that was copied so far.
    pub fn same_topic(&self, partition: &str, id: Option<&str>) -> Result<(), Stop> {
        match (self.topic_id.as_deref(), id) {
            (Some(was), Some(is)) if was != is => {
                Err(Stop::Recreated { partition: partition.to_owned(), was: was.to_owned(), is: is.to_owned() })
            }
            _ => Ok(()),
        }
    }

    /// A record was read, of this leader epoch.
    pub fn read(&mut self, partition: &str, offset: i64, epoch: Option<i32>) -> Result<(), Stop> {
        if let (Some(was), Some(is)) = (self.epoch, epoch)
            && is < was
        {
            return Err(Stop::EpochBackwards { partition: partition.to_owned(), offset, was, is });
        }
        (self.next, self.epoch) = (offset + 1, epoch.or(self.epoch));
        Ok(())
    }
}

/// Why a flow does not go on: records would be missing on the target, or be there twice. `partition` is a flow partition.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Stop {
    #[error(
        "{partition}: the source begins at {low}, but {next} is to be copied next: retention or a deletion took {gone} offsets before they \
         were copied. To go on without them: fairlead mirror skip --flow <flow> --topic <topic> --partition <n> --to {low}",
        gone = low - next
    )]
    Truncated { partition: String, next: i64, low: i64 },
    #[error(
        "{partition}: the source ends at {high}, but {next} is to be copied next: records that were copied are gone from the source (an \
         unclean leader election, or the topic was created anew). Compare both sides with `fairlead mirror verify`; to go on, copy the topic \
         under another name by a new flow"
    )]
    CutOff { partition: String, next: i64, high: i64 },
    #[error(
        "{partition}: the source topic was created anew (its id was {was}, is {is}): its offsets begin again. Leave it out by `exclude`, or copy \
         it under another name by a new flow; the old copy stays as it is"
    )]
    Recreated { partition: String, was: String, is: String },
    #[error(
        "{partition}: the record at {offset} has leader epoch {is}, what was copied before has {was}: the source's log was replaced by \
         an older one. Compare both sides with `fairlead mirror verify`; to go on, copy the topic under another name by a new flow"
    )]
    EpochBackwards { partition: String, offset: i64, was: i32, is: i32 },
    #[error(
        "{partition}: partition {number} of the target topic {topic} is not there. Create it (`fairlead mirror plan` says what is missing) and \
         start again"
    )]
    TargetMissing { partition: String, topic: String, number: i32 },
    #[error(
        "{partition}: the ranges on the target do not join: one ends at {next}, the next starts at {start}. Another program writes to the offsets \
         topic, or facts of it were deleted: it may have neither retention nor compaction"
    )]
    Gap { partition: String, next: i64, start: i64 },
}

/// librdkafka said that there is nothing at the frontier, and why. The log's ends, by a question of our own, decide what that means;
/// `None`: nothing, the place is as it should be. librdkafka counts the end of a partition as one more record when it asks a new
/// leader whether the log was cut off; so only what it asked about the frontier itself is heard.
pub fn out_of_range(partition: &str, next: i64, low: i64, high: i64, told: &str) -> Option<Stop> {
    let partition = partition.to_owned();
    if next < low {
        return Some(Stop::Truncated { partition, next, low });
    }
    if next > high {
        return Some(Stop::CutOff { partition, next, high });
    }
    let number = |after: &str| told.split_once(after).and_then(|(_, rest)| rest.split(' ').next()?.parse::<i64>().ok());
    let high = number("broker end offset is ").unwrap_or(high);
    (number("truncation detected at offset ") == Some(next)).then_some(Stop::CutOff { partition, next, high })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_is_where_kafkas_partitioner_puts_the_key() {
        assert_eq!(u32::from(shard_of("abc", 4)), 479_470_107_u32 % 4); // of Kafka's own test vectors
        assert_eq!(shard_of("abc", 1), 0);
    }

    fn range(start: i64, end: i64) -> MirrorRange {
        let mut range: MirrorRange =
            serde_json::from_str(include_str!("../../schemas/examples/mirror_range/minimal.json")).unwrap();
        (range.source_start, range.source_end) = (start, end);
        range
    }

    #[test]
    fn ranges_join_or_the_flow_stops() {
        let first = Frontier::after(None, &range(7, 12)).unwrap();
        assert_eq!(first.next, 12);
        assert_eq!(Frontier::after(Some(&first), &range(12, 12)).unwrap().next, 12);
        let gap = Frontier::after(Some(&first), &range(13, 14));
        assert!(matches!(gap, Err(Stop::Gap { next: 12, start: 13, .. })), "{gap:?}");
        assert!(matches!(Frontier::after(Some(&first), &range(11, 14)), Err(Stop::Gap { .. })));
    }

    #[test]
    fn another_topic_and_an_older_log_are_told() {
        let mut frontier = Frontier { next: 5, topic_id: Some("a".into()), epoch: Some(3) };
        assert_eq!(frontier.same_topic("f/t/0", Some("a")), Ok(()));
        assert_eq!(frontier.same_topic("f/t/0", None), Ok(()));
        assert!(matches!(frontier.same_topic("f/t/0", Some("b")), Err(Stop::Recreated { .. })));
        frontier.read("f/t/0", 8, Some(4)).unwrap();
        assert_eq!((frontier.next, frontier.epoch), (9, Some(4)));
        assert!(matches!(frontier.read("f/t/0", 9, Some(3)), Err(Stop::EpochBackwards { was: 4, is: 3, .. })));
        frontier.read("f/t/0", 9, None).unwrap();
        assert_eq!(frontier.epoch, Some(4));
    }

    #[test]
    fn what_is_gone_at_either_end_is_told_apart_from_a_false_alarm() {
        let judge = |next, told| out_of_range("f/t/0", next, 9, 20, told);
        assert!(matches!(judge(5, ""), Some(Stop::Truncated { next: 5, low: 9, .. })));
        assert!(matches!(judge(25, ""), Some(Stop::CutOff { next: 25, high: 20, .. })));
        assert_eq!((judge(9, "Broker: Offset out of range"), judge(20, "")), (None, None));
        let told = "Partition log truncation detected at offset 15 (leader epoch 0): broker end offset is 12 (offset leader epoch 1).";
        assert!(matches!(judge(15, told), Some(Stop::CutOff { next: 15, high: 12, .. })));
        assert_eq!(judge(14, told), None, "of its end, counted as a record");
    }
}
