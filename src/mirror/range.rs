//! Ranges: what one commit copied of one source partition, and which offset each copy has.
//!
//! ```text
//! source   10 11 12  .  .  15 16  M            what lies between was compacted away, aborted, or is a mark
//! target   70 71 72     90 91                  others write there too
//! runs     ├─ 3 ──┤     ├ 2 ┤                  (skip 0, shift 0, count 3), (skip 2, shift 17, count 2)
//! ```
//! Invariants: the offsets of both sides rise along the runs; a range starts where the one before ends; each record that was read is in
//! exactly one run. What contradicts them is refused: its transaction is aborted, never mended.
#![deny(clippy::disallowed_methods, clippy::disallowed_types, clippy::disallowed_macros)]

use thiserror::Error;

use super::ranges::Span;
use crate::event::{MirrorRange, MirrorRun};

/// Why a delivery is none: the transaction that it is part of is to be aborted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Refused {
    /// librdkafka tells no offset of a record that the broker says it has already.
    #[error("no offset was told of the copy of source offset {source_offset}")]
    NoOffset { source_offset: i64 },
    #[error("the copy of source offset {source_offset} was delivered to {target}, behind {after}")]
    Order { source_offset: i64, target: i64, after: i64 },
    #[error("source offset {source_offset} was delivered after {after} had been")]
    Twice { source_offset: i64, after: i64 },
    #[error("{taken} records were taken from the source, {delivered} copies were delivered")]
    Count { taken: i64, delivered: i64 },
}

/// Deliveries of one partition on their way to become a range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Runs {
    source_start: i64,
    /// After the last delivery: what may come next at the earliest.
    source_next: i64,
    target_start: Option<i64>,
    target_next: i64,
    records: i64,
    runs: Vec<MirrorRun>,
}

impl Runs {
    /// Of a range that starts at this source offset.
    pub fn from(source_start: i64) -> Self {
        let (source_next, target_start, target_next, records, runs) = (source_start, None, 0, 0, Vec::new());
        Self { source_start, source_next, target_start, target_next, records, runs }
    }

    /// Where the range starts.
    pub fn source_start(&self) -> i64 {
        self.source_start
    }

    /// Records that lie side by side on both sides were delivered.
    pub fn push(&mut self, Span { source, target, count }: Span) -> Result<(), Refused> {
        if target < 0 {
            return Err(Refused::NoOffset { source_offset: source });
        }
        if source < self.source_next {
            return Err(Refused::Twice { source_offset: source, after: self.source_next - 1 });
        }
        if self.target_start.is_some() && target < self.target_next {
            return Err(Refused::Order { source_offset: source, target, after: self.target_next - 1 });
        }
        let shift = if self.target_start.is_some() { target - self.target_next } else { 0 };
        let skip = source - self.source_next;
        self.target_start.get_or_insert(target);
        match self.runs.last_mut().filter(|_| skip == 0 && shift == 0) {
            Some(last) => last.count += count,
            None => self.runs.push(MirrorRun { skip, shift, count }),
        }
        (self.source_next, self.target_next) = (source + count, target + count);
        self.records += count;
        Ok(())
    }

    /// All that was taken was delivered; the runs, and the target offset of the first copy.
    pub fn finish(self, taken: i64) -> Result<(Option<i64>, Vec<MirrorRun>), Refused> {
        if self.records != taken {
            return Err(Refused::Count { taken, delivered: self.records });
        }
        Ok((self.target_start, self.runs))
    }
}

/// The runs of a range with their offsets, in order.
pub fn runs(range: &MirrorRange) -> impl Iterator<Item = Span> + '_ {
    let (mut source, mut target) = (range.source_start, range.target_start.unwrap_or_default());
    range.runs.iter().map(move |run| {
        let at = Span { source: source + run.skip, target: target + run.shift, count: run.count };
        (source, target) = (at.source_end(), at.target_end());
        at
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(source: i64, target: i64, count: i64) -> Span {
        Span { source, target, count }
    }

    fn range(source_start: i64, source_end: i64, delivered: &[Span]) -> MirrorRange {
        let mut made = Runs::from(source_start);
        delivered.iter().for_each(|run| made.push(*run).unwrap());
        let taken = delivered.iter().map(|run| run.count).sum();
        let (target_start, runs) = made.finish(taken).unwrap();
        MirrorRange {
            flow_partition: "f/t/0".into(),
            flow: "f".into(),
            source_topic: "t".into(),
            source_topic_id: None,
            source_partition: 0,
            source_start,
            source_end,
            source_epoch: None,
            target_topic: "u".into(),
            target_partition: 0,
            target_start,
            runs,
            records: taken,
            bytes: 0,
            crc32c: 0,
            first_timestamp_ms: None,
            last_timestamp_ms: None,
            copied_at_ms: 0,
        }
    }

    #[test]
    fn neighbours_on_both_sides_are_one_run() {
        let delivered = [run(10, 70, 1), run(11, 71, 2), run(13, 73, 1)];
        let range = range(10, 14, &delivered);
        assert_eq!(range.runs, [MirrorRun { skip: 0, shift: 0, count: 4 }]);
        assert_eq!(runs(&range).collect::<Vec<_>>(), [run(10, 70, 4)]);
    }

    #[test]
    fn gaps_of_the_source_and_others_on_the_target_part_runs() {
        // Compacted: 13, 14. A mark, then an aborted range before 15. Others wrote 73 to 89, and 91.
        let delivered = [run(10, 70, 3), run(15, 90, 1), run(16, 92, 2), run(18, 94, 1)];
        let range = range(8, 25, &delivered);
        assert_eq!(
            range.runs,
            [
                MirrorRun { skip: 2, shift: 0, count: 3 },
                MirrorRun { skip: 2, shift: 17, count: 1 },
                MirrorRun { skip: 0, shift: 1, count: 3 },
            ]
        );
        assert_eq!(runs(&range).collect::<Vec<_>>(), [run(10, 70, 3), run(15, 90, 1), run(16, 92, 3)]);
    }

    #[test]
    fn a_range_without_a_record_has_no_target() {
        let range = range(5, 9, &[]);
        assert_eq!((range.target_start, runs(&range).count()), (None, 0));
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        let mut made = Runs::from(10);
        assert_eq!(made.push(run(10, -1001, 1)), Err(Refused::NoOffset { source_offset: 10 }));
        assert_eq!(made.push(run(9, 5, 1)), Err(Refused::Twice { source_offset: 9, after: 9 }));
        made.push(run(10, 70, 2)).unwrap();
        assert_eq!(made.push(run(11, 72, 1)), Err(Refused::Twice { source_offset: 11, after: 11 }));
        assert_eq!(made.push(run(12, 71, 1)), Err(Refused::Order { source_offset: 12, target: 71, after: 71 }));
        assert_eq!(made.finish(3), Err(Refused::Count { taken: 3, delivered: 2 }));
    }

    #[test]
    fn what_was_delivered_comes_back_out_of_its_range_whatever_lies_between() {
        let step = (0i64..4, 0i64..4, 1i64..5);
        let steps = proptest::collection::vec(step, 0..20);
        proptest::test_runner::TestRunner::default()
            .run(&steps, |steps| {
                let (mut source, mut target, mut each) = (100, 900, Vec::new());
                for (skip, shift, count) in steps {
                    (source, target) = (source + skip, target + shift);
                    each.extend((0..count).map(|i| run(source + i, target + i, 1)));
                    (source, target) = (source + count, target + count);
                }
                let range = range(100, source + 3, &each);
                let single = |run: Span| (0..run.count).map(move |i| (run.source + i, run.target + i));
                let back: Vec<_> = runs(&range).flat_map(single).collect();
                proptest::prop_assert_eq!(back, each.iter().map(|run| (run.source, run.target)).collect::<Vec<_>>());
                Ok(())
            })
            .unwrap();
    }
}
