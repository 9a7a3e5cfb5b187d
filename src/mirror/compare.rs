//! Both sides of ranges, read again, against what the ranges say: equal, different, or no longer to be told.
//!
//! Invariants: a record that is gone is only excused where retention or compaction may have taken it; what is there is compared record
//! by record even then. A record of the source that a range passed over is a difference, unless the flow copies native records alone.
#![deny(clippy::disallowed_methods, clippy::disallowed_types, clippy::disallowed_macros)]

use super::checksum::Checksum;
use crate::event::{AuditVerdict, MirrorRange};

/// How far a side may have lost records since, without anybody's fault.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Side {
    /// The first offset that is kept.
    pub low: i64,
    /// Whether records may be gone anywhere.
    pub compacts: bool,
}

/// What a comparison came to, of one range or of several that follow each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub ranges: i32,
    /// How many the ranges speak of, and how many of them each side has.
    pub records: i64,
    pub source_records: i64,
    pub target_records: i64,
    pub verdict: AuditVerdict,
    /// The first difference, or why nothing can be said.
    pub difference: Option<String>,
}

/// Ranges of one partition that follow each other, and what was read of them so far.
pub struct Comparison<'a> {
    ranges: Vec<Reading<'a>>,
    /// In the order of both sides' offsets.
    runs: Vec<Run>,
    /// Whether every record of the source was to be copied.
    whole: bool,
    at_source: usize,
    at_target: usize,
    /// A record of the source that is in no run.
    passed_over: Option<i64>,
}

/// `count` records from `source` on lie from `target` on, as the range at this index says.
struct Run {
    source: i64,
    target: i64,
    count: i64,
    range: usize,
}

struct Reading<'a> {
    range: &'a MirrorRange,
    source: Half,
    target: Half,
}

/// Of each record that was read: the offset on the source, and its checksum.
#[derive(Default)]
struct Half {
    sum: Checksum,
    each: Vec<(i64, u32)>,
}

/// A record as it goes into a checksum.
pub struct Content<'a, H> {
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    pub timestamp_ms: i64,
    pub headers: H,
}

impl<'a> Comparison<'a> {
    /// `whole`: every record of the source was to be copied. `ranges` are of one partition, in order.
    pub fn new(ranges: &'a [MirrorRange], whole: bool) -> Self {
        let mut runs = Vec::new();
        for (index, range) in ranges.iter().enumerate() {
            let (mut source, mut target) = (range.source_start, range.target_start.unwrap_or_default());
            for run in &range.runs {
                (source, target) = (source + run.skip, target + run.shift);
                runs.push(Run { source, target, count: run.count, range: index });
                (source, target) = (source + run.count, target + run.count);
            }
        }
        let reading = |range| Reading { range, source: Half::default(), target: Half::default() };
        let ranges = ranges.iter().map(reading).collect();
        Self { ranges, runs, whole, at_source: 0, at_target: 0, passed_over: None }
    }

    /// Source offsets to be read: from, and to before.
    pub fn source(&self) -> Option<(i64, i64)> {
        let (first, last) = (self.ranges.first()?, self.ranges.last()?);
        Some((first.range.source_start, last.range.source_end))
    }

    /// Target offsets to be read; `None` if nothing was copied.
    pub fn target(&self) -> Option<(i64, i64)> {
        let (first, last) = (self.runs.first()?, self.runs.last()?);
        Some((first.target, last.target + last.count))
    }

    /// A record of the source; offsets rise.
    pub fn take_source<'b, H>(&mut self, offset: i64, content: Content<'b, H>)
    where
        H: ExactSizeIterator<Item = (&'b [u8], Option<&'b [u8]>)> + Clone,
    {
        while self.runs.get(self.at_source).is_some_and(|run| run.source + run.count <= offset) {
            self.at_source += 1;
        }
        match self.runs.get(self.at_source).filter(|run| run.source <= offset) {
            Some(run) => self.ranges[run.range].source.add(offset, content),
            None => _ = self.passed_over.get_or_insert(offset),
        }
    }

    /// A record of the target; offsets rise. Those of others are none of ours.
    pub fn take_target<'b, H>(&mut self, offset: i64, content: Content<'b, H>)
    where
        H: ExactSizeIterator<Item = (&'b [u8], Option<&'b [u8]>)> + Clone,
    {
        while self.runs.get(self.at_target).is_some_and(|run| run.target + run.count <= offset) {
            self.at_target += 1;
        }
        if let Some(run) = self.runs.get(self.at_target).filter(|run| run.target <= offset) {
            self.ranges[run.range].target.add(run.source + (offset - run.target), content);
        }
    }

    /// One side cannot be read any more.
    pub fn gone(&self, why: &str) -> Found {
        let mut found = Found::none();
        for reading in &self.ranges {
            found.ranges += 1;
            found.records += reading.range.records;
        }
        found.tell(AuditVerdict::Unknown, why.to_owned());
        found
    }

    /// What it came to, all ranges together.
    pub fn found(&self, source: Side, target: Side) -> Found {
        let mut found = Found::none();
        for (index, reading) in self.ranges.iter().enumerate() {
            let runs = || self.runs.iter().filter(move |run| run.range == index);
            found.add(reading.found(runs, source, target));
        }
        if let Some(offset) = self.passed_over.filter(|_| self.whole) {
            found.tell(AuditVerdict::Different, format!("source offset {offset} was never copied"));
        }
        found
    }
}

impl Half {
    fn add<'b, H>(&mut self, source_offset: i64, content: Content<'b, H>)
    where
        H: ExactSizeIterator<Item = (&'b [u8], Option<&'b [u8]>)> + Clone,
    {
        let Content { key, value, timestamp_ms, headers } = content;
        let mut one = Checksum::default();
        one.add(key, value, timestamp_ms, headers.clone());
        self.sum.add(key, value, timestamp_ms, headers);
        self.each.push((source_offset, one.crc32c));
    }

    fn get(&self, source_offset: i64) -> Option<u32> {
        let at = self.each.binary_search_by_key(&source_offset, |(offset, _)| *offset).ok()?;
        Some(self.each[at].1)
    }

    fn is_what(&self, range: &MirrorRange) -> bool {
        let Checksum { crc32c, records, bytes } = self.sum;
        (i64::from(crc32c), records, bytes) == (range.crc32c, range.records, range.bytes)
    }
}

impl Reading<'_> {
    fn found<'b, R: Iterator<Item = &'b Run>>(&self, runs: impl Fn() -> R, source: Side, target: Side) -> Found {
        let mut found = Found {
            ranges: 1,
            records: self.range.records,
            source_records: self.source.sum.records,
            target_records: self.target.sum.records,
            ..Found::none()
        };
        if self.source.is_what(self.range) && self.target.is_what(self.range) {
            return found;
        }
        for (at_source, at_target) in runs().flat_map(|run| (0..run.count).map(|i| (run.source + i, run.target + i))) {
            match (self.source.get(at_source), self.target.get(at_source)) {
                (Some(one), Some(other)) if one != other => {
                    let message =
                        format!("source offset {at_source} and target offset {at_target} hold different records");
                    found.tell(AuditVerdict::Different, message);
                }
                (Some(_), Some(_)) => {}
                (here, there) => {
                    for (is_there, side, name, at) in
                        [(here, source, "source", at_source), (there, target, "target", at_target)]
                    {
                        if is_there.is_none() {
                            found.miss(side, name, at);
                        }
                    }
                }
            }
        }
        // All records are there and alike on both sides, and yet not what was counted when they were copied.
        let complete = found.source_records == found.records && found.target_records == found.records;
        if complete && found.verdict == AuditVerdict::Equal {
            let message = format!(
                "the records from source offset {} on are alike on both sides, but not those that were copied: the checksum then was {:08x}, \
                 is {:08x}",
                self.range.source_start, self.range.crc32c, self.source.sum.crc32c
            );
            found.tell(AuditVerdict::Different, message);
        }
        found
    }
}

impl Found {
    /// Of no range.
    pub fn none() -> Self {
        let (records, source_records, target_records) = (0, 0, 0);
        Self { ranges: 0, records, source_records, target_records, verdict: AuditVerdict::Equal, difference: None }
    }

    pub fn add(&mut self, other: Found) {
        self.ranges += other.ranges;
        self.records += other.records;
        self.source_records += other.source_records;
        self.target_records += other.target_records;
        if let Some(difference) = other.difference {
            self.tell(other.verdict, difference);
        }
    }

    fn miss(&mut self, side: Side, name: &str, offset: i64) {
        match side.compacts || offset < side.low {
            true => {
                self.tell(AuditVerdict::Unknown, format!("{name} offset {offset} is gone, by retention or compaction"))
            }
            false => self.tell(AuditVerdict::Different, format!("{name} offset {offset} is missing")),
        }
    }

    /// A difference counts for more than what is not known; of each the first is told.
    fn tell(&mut self, verdict: AuditVerdict, difference: String) {
        let weight = |verdict| match verdict {
            AuditVerdict::Equal => 0,
            AuditVerdict::Unknown => 1,
            AuditVerdict::Different => 2,
        };
        if weight(verdict) > weight(self.verdict) {
            (self.verdict, self.difference) = (verdict, Some(difference));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::MirrorRun;

    const KEPT: Side = Side { low: 0, compacts: false };

    /// Two ranges: source 10..13 and 15..17 lie at target 70..73 and 90..92; then 20..22 at 95..97.
    fn ranges() -> Vec<MirrorRange> {
        let range = |start: i64, end: i64, target: i64, runs: &[(i64, i64, i64)]| {
            let mut sum = Checksum::default();
            let mut at = start;
            for (skip, _, count) in runs {
                at += skip;
                (at..at + count)
                    .for_each(|offset| sum.add(Some(b"k"), Some(&offset.to_be_bytes()), offset, [].into_iter()));
                at += count;
            }
            MirrorRange {
                flow_partition: "f/a/0".into(),
                flow: "f".into(),
                source_topic: "a".into(),
                source_topic_id: None,
                source_partition: 0,
                source_start: start,
                source_end: end,
                source_epoch: None,
                target_topic: "b".into(),
                target_partition: 0,
                target_start: Some(target),
                runs: runs
                    .iter()
                    .map(|(skip, shift, count)| MirrorRun { skip: *skip, shift: *shift, count: *count })
                    .collect(),
                records: sum.records,
                bytes: sum.bytes,
                crc32c: sum.crc32c.into(),
                first_timestamp_ms: None,
                last_timestamp_ms: None,
                copied_at_ms: 0,
            }
        };
        vec![range(10, 20, 70, &[(0, 0, 3), (2, 17, 2)]), range(20, 25, 95, &[(0, 0, 2)])]
    }

    const COPIES: [(i64, i64); 7] = [(10, 70), (11, 71), (12, 72), (15, 90), (16, 91), (20, 95), (21, 96)];

    type Headers<'a> = std::vec::IntoIter<(&'a [u8], Option<&'a [u8]>)>;

    fn content(value: &[u8], at: i64) -> Content<'_, Headers<'_>> {
        Content { key: Some(b"k"), value: Some(value), timestamp_ms: at, headers: Vec::new().into_iter() }
    }

    /// What was found where the sides hold this: pairs of offset and what the record says.
    fn found(whole: bool, source: &[(i64, i64)], target: &[(i64, i64)], sides: (Side, Side)) -> Found {
        let ranges = ranges();
        let mut comparison = Comparison::new(&ranges, whole);
        assert_eq!((comparison.source(), comparison.target()), (Some((10, 25)), Some((70, 97))));
        for (offset, says) in source {
            comparison.take_source(*offset, content(&says.to_be_bytes(), *says));
        }
        for (offset, says) in target {
            comparison.take_target(*offset, content(&says.to_be_bytes(), *says));
        }
        comparison.found(sides.0, sides.1)
    }

    fn source() -> Vec<(i64, i64)> {
        COPIES.iter().map(|(source, _)| (*source, *source)).collect()
    }

    fn target() -> Vec<(i64, i64)> {
        COPIES.iter().map(|(source, target)| (*target, *source)).collect()
    }

    #[test]
    fn both_sides_as_they_were_are_equal_whatever_others_wrote_between() {
        let mut others = target();
        others.extend([(73, 1), (92, 2)]);
        others.sort_unstable();
        let found = found(true, &source(), &others, (KEPT, KEPT));
        assert_eq!((found.verdict, found.difference, found.ranges), (AuditVerdict::Equal, None, 2));
        assert_eq!((found.records, found.source_records, found.target_records), (7, 7, 7));
    }

    #[test]
    fn a_changed_lost_or_passed_over_record_is_a_difference_with_its_place() {
        let mut changed = target();
        changed[3].1 = 999;
        let told = found(true, &source(), &changed, (KEPT, KEPT));
        assert_eq!(told.verdict, AuditVerdict::Different);
        assert_eq!(told.difference.as_deref(), Some("source offset 15 and target offset 90 hold different records"));
        let mut lost = target();
        lost.remove(6);
        let told = found(true, &source(), &lost, (KEPT, KEPT));
        assert_eq!((told.difference.as_deref(), told.target_records), (Some("target offset 96 is missing"), 6));
        let mut more = source();
        more.insert(3, (13, 13));
        let told = found(true, &more, &target(), (KEPT, KEPT));
        assert_eq!(told.difference.as_deref(), Some("source offset 13 was never copied"));
        assert_eq!(
            found(false, &more, &target(), (KEPT, KEPT)).verdict,
            AuditVerdict::Equal,
            "natives alone are copied"
        );
    }

    #[test]
    fn two_records_that_changed_places_are_a_difference() {
        let mut swapped = target();
        (swapped[0].1, swapped[1].1) = (swapped[1].1, swapped[0].1);
        assert_eq!(found(true, &source(), &swapped, (KEPT, KEPT)).verdict, AuditVerdict::Different);
    }

    #[test]
    fn what_retention_or_compaction_took_leaves_nothing_to_tell_but_of_what_is_left() {
        let expired = Side { low: 12, compacts: false };
        let told = found(true, &source()[2..], &target(), (expired, KEPT));
        assert_eq!((told.verdict, told.source_records), (AuditVerdict::Unknown, 5));
        assert_eq!(told.difference.as_deref(), Some("source offset 10 is gone, by retention or compaction"));
        let compacts = Side { low: 0, compacts: true };
        let mut some = target();
        some.remove(4);
        assert_eq!(found(true, &source(), &some, (KEPT, compacts)).verdict, AuditVerdict::Unknown);
        some[0].1 = 5;
        assert_eq!(
            found(true, &source(), &some, (KEPT, compacts)).verdict,
            AuditVerdict::Different,
            "what is left is compared"
        );
    }

    #[test]
    fn records_that_changed_alike_on_both_sides_are_not_those_that_were_copied() {
        let change = |mut side: Vec<(i64, i64)>| {
            side[0].1 = 5;
            side
        };
        let told = found(true, &change(source()), &change(target()), (KEPT, KEPT));
        assert_eq!(told.verdict, AuditVerdict::Different);
        assert!(told.difference.unwrap().contains("not those that were copied"));
    }
}
