//! The exact map of one source partition: which offset on the target is the copy of which on the source, and the way back.
//!
//! ```text
//! source   0 1 2 . . 5 6 . 8 9        . compacted away, aborted, or the mark of a transaction
//!          │ │ │     │ │   │ │
//! target   0 1 2   4 5 6   8 9        3, 7 a mark, an aborted record, or native: written by somebody else
//! ```
//! A [`Span`] is a run of copies whose offsets follow each other on both sides; neighbours that do are one. A position `c` (the next to
//! be read) becomes that of the first copy at or after `c`: the *ceiling*. It is exact, since what lies between `c` and that copy is
//! no record, so that "all before it is read, nothing from it on is" holds on the other side just as before. Where no copy follows, the
//! position is the one after the last copy: whatever is copied later comes to lie at or after it.
//!
//! Invariants: facts are appended in order and without a gap, or refused; one that is known already changes nothing. Spans ascend
//! on both sides and do not overlap. [`Head::append`] touches nothing but the last span, and a look-up needs no more than the two
//! spans around a place ([`Near`]): so the same decisions serve the map in memory ([`Ranges`]) and the one on disk.
//! Not here: stores, clusters, and what native records mean for a group (`group.rs`).
#![deny(clippy::disallowed_methods, clippy::disallowed_types, clippy::disallowed_macros)]

pub mod encoding;
#[cfg(test)]
pub(super) mod simulated;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::event::MirrorRange;

/// Copies the offsets of which follow each other on both sides: the record at `source + i` is at `target + i`, for each `i` below `count`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Span {
    pub source: i64,
    pub target: i64,
    pub count: i64,
}

impl Span {
    pub fn source_end(&self) -> i64 {
        self.source + self.count
    }

    pub fn target_end(&self) -> i64 {
        self.target + self.count
    }

    /// The same, seen from the other side.
    #[must_use]
    pub fn swapped(self) -> Self {
        Self { source: self.target, target: self.source, count: self.count }
    }

    fn goes_on_with(&self, next: &Self) -> bool {
        self.source_end() == next.source && self.target_end() == next.target
    }
}

/// Offsets of the target that the ranges do not account for: aborted, native, or both. `from <= offset < to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Unexplained {
    pub from: i64,
    pub to: i64,
}

/// The two spans around a place, by the side it is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Near {
    /// The last that begins before it; it may reach past it.
    pub below: Option<Span>,
    /// The first that begins at it or after.
    pub above: Option<Span>,
}

impl Near {
    /// Where the first copy at or after `place` lies on the other side.
    pub fn at(&self, place: i64) -> Option<i64> {
        match self.below {
            Some(below) if place < below.source_end() => Some(below.target + (place - below.source)),
            _ => self.above.map(|above| above.target),
        }
    }

    /// Where the last copy before `place` lies on the other side.
    pub fn before(&self, place: i64) -> Option<i64> {
        self.below.map(|below| below.target + place.min(below.source_end()) - 1 - below.source)
    }
}

/// What a position on one side is on the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum Translation {
    /// The first copy at or after it.
    Exact { offset: i64 },
    /// No copy is: the place after the last one; `None` if there is none at all, and it is wherever the partition begins.
    AtEnd { offset: Option<i64> },
    /// It lies before the first offset that the mirror met, which was the oldest there; the first copy.
    BeforeStart { start: i64, offset: Option<i64> },
    /// The mirror has not come that far: it is to read `frontier` next.
    Waiting { frontier: i64 },
}

impl Translation {
    pub fn offset(&self) -> Option<i64> {
        match self {
            Self::Exact { offset } => Some(*offset),
            Self::AtEnd { offset } | Self::BeforeStart { offset, .. } => *offset,
            Self::Waiting { .. } => None,
        }
    }
}

/// Why a fact is not taken. None of these can come from one sound mirror.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Refused {
    #[error(
        "{key}: the ranges end at source offset {expected}, and the next one begins at {found}: ranges are missing between"
    )]
    Gap { key: String, expected: i64, found: i64 },
    #[error(
        "{key}: the ranges end at source offset {expected}, and another one from {found} reaches past it: two mirrors wrote"
    )]
    Overlap { key: String, expected: i64, found: i64 },
    #[error(
        "{key}: its copies lie on {before}, and now on {now}: the name of the copy was changed under a running flow"
    )]
    Moved { key: String, before: String, now: String },
    #[error("{key}: the range from {start} is none: {why}")]
    Malformed { key: String, start: i64, why: &'static str },
}

/// Where the knowledge of one source partition begins and ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    pub source_topic: String,
    pub source_partition: i32,
    pub target_topic: String,
    pub target_partition: i32,
    /// The first source offset that the ranges speak of.
    pub start: i64,
    /// The first that they do not: the next to be read.
    pub frontier: i64,
    /// The last copies; the only span that can still grow.
    pub last: Option<Span>,
}

/// What one fact adds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Appended {
    /// In order. The first may be the last of before, grown: it has the same beginning and takes its place.
    pub spans: Vec<Span>,
    pub unexplained: Vec<Unexplained>,
}

impl Head {
    /// With nothing appended yet.
    pub fn of(fact: &MirrorRange) -> Self {
        Self {
            source_topic: fact.source_topic.clone(),
            source_partition: fact.source_partition,
            target_topic: fact.target_topic.clone(),
            target_partition: fact.target_partition,
            start: fact.source_start,
            frontier: fact.source_start,
            last: None,
        }
    }

    /// Takes the next fact in. `None`: it was known. After a refusal nothing has changed.
    pub fn append(&mut self, fact: &MirrorRange) -> Result<Option<Appended>, Refused> {
        let (key, expected, found) = (fact.flow_partition.clone(), self.frontier, fact.source_start);
        if (&fact.target_topic, fact.target_partition) != (&self.target_topic, self.target_partition) {
            let place = |topic: &str, partition: i32| format!("{topic}/{partition}");
            let before = place(&self.target_topic, self.target_partition);
            return Err(Refused::Moved { key, before, now: place(&fact.target_topic, fact.target_partition) });
        }
        if fact.source_end <= expected && found != expected {
            return Ok(None);
        }
        if found != expected {
            let gap = found > expected;
            return Err(if gap {
                Refused::Gap { key, expected, found }
            } else {
                Refused::Overlap { key, expected, found }
            });
        }
        let malformed = |why| Refused::Malformed { key: key.clone(), start: found, why };
        let added = self.spans(fact).map_err(malformed)?;
        self.frontier = fact.source_end;
        self.last = added.spans.last().copied().or(self.last);
        Ok(Some(added))
    }

    fn spans(&self, fact: &MirrorRange) -> Result<Appended, &'static str> {
        let mut added = Appended::default();
        if fact.source_end < fact.source_start {
            return Err("it ends before it begins");
        }
        let (mut last, mut source, mut copied) = (self.last, fact.source_start, 0);
        let mut target = match (fact.target_start, fact.runs.is_empty()) {
            (Some(start), false) => start,
            (None, true) if fact.records == 0 => return Ok(added),
            _ => return Err("there are copies without a place, or a place without copies"),
        };
        for (index, run) in fact.runs.iter().enumerate() {
            if run.skip < 0 || run.shift < 0 || run.count <= 0 {
                return Err("a run of it goes backwards");
            }
            let span = Span { source: source + run.skip, target: target + run.shift, count: run.count };
            let end = last.map_or(0, |last| last.target_end());
            if span.target < end {
                return Err("its copies lie before those of the range before");
            }
            // The mark of the transaction before lies between two facts, and no record then can.
            let is_mark = index == 0 && last.is_some() && span.target - end <= 1;
            if span.target > end && !is_mark {
                added.unexplained.push(Unexplained { from: end, to: span.target });
            }
            match (last, added.spans.last_mut()) {
                (Some(before), Some(grown)) if before.goes_on_with(&span) => grown.count += span.count,
                (Some(before), None) if before.goes_on_with(&span) => {
                    added.spans.push(Span { count: before.count + span.count, ..before });
                }
                _ => added.spans.push(span),
            }
            last = added.spans.last().copied();
            (source, target, copied) = (span.source_end(), span.target_end(), copied + run.count);
        }
        if source > fact.source_end {
            return Err("its copies reach past its end");
        }
        if copied != fact.records {
            return Err("its runs do not hold as many records as it says");
        }
        Ok(added)
    }

    /// `near` is what lies around `place` on the source.
    pub fn translate(&self, near: &Near, place: i64) -> Translation {
        if place > self.frontier {
            return Translation::Waiting { frontier: self.frontier };
        }
        let offset = near.at(place);
        match offset {
            _ if place < self.start => Translation::BeforeStart { start: self.start, offset },
            Some(offset) => Translation::Exact { offset },
            None => Translation::AtEnd { offset: self.last.map(|last| last.target_end()) },
        }
    }

    /// `near` is what lies around `place` on the target, seen from there. What is copied after the ranges at hand is not known here:
    /// the caller has read as far as `place`.
    pub fn back(&self, near: &Near, place: i64) -> Translation {
        match near.at(place) {
            Some(offset) => Translation::Exact { offset },
            // All that was read of the source is before it.
            None => Translation::AtEnd { offset: Some(self.frontier) },
        }
    }
}

/// The map of one source partition, in memory.
#[derive(Clone, Debug, Default)]
pub struct Ranges {
    head: Option<Head>,
    by_source: BTreeMap<i64, Span>,
    /// As seen from the target.
    by_target: BTreeMap<i64, Span>,
}

impl Ranges {
    pub fn insert(&mut self, fact: &MirrorRange) -> Result<(), Refused> {
        let mut head = self.head.clone().unwrap_or_else(|| Head::of(fact));
        let added = head.append(fact)?;
        self.head = Some(head);
        for span in added.unwrap_or_default().spans {
            self.by_source.insert(span.source, span);
            self.by_target.insert(span.target, span.swapped());
        }
        Ok(())
    }

    pub fn head(&self) -> Option<&Head> {
        self.head.as_ref()
    }

    pub fn spans(&self) -> impl Iterator<Item = &Span> {
        self.by_source.values()
    }

    /// What lies around a source offset.
    pub fn near_source(&self, place: i64) -> Near {
        near(&self.by_source, place)
    }

    /// What lies around a target offset, seen from there.
    pub fn near_target(&self, place: i64) -> Near {
        near(&self.by_target, place)
    }

    /// `None`: nothing is known of this partition.
    pub fn translate(&self, place: i64) -> Option<Translation> {
        self.head.as_ref().map(|head| head.translate(&self.near_source(place), place))
    }

    pub fn back(&self, place: i64) -> Option<Translation> {
        self.head.as_ref().map(|head| head.back(&self.near_target(place), place))
    }

    /// Whether what lies there on the target is no copy.
    pub fn is_native(&self, target: i64) -> bool {
        self.near_target(target + 1).below.is_none_or(|below| target >= below.source_end())
    }

    /// Forgets spans of which neither records nor copies are kept: the sides begin at these offsets. While one side has them a group
    /// may still stand there, and is to be told what is gone on the other.
    pub fn prune(&mut self, source_low: i64, target_low: i64) {
        let is_gone = |span: &Span| span.source_end() <= source_low && span.target_end() <= target_low;
        while let Some(first) = self.by_source.first_entry().filter(|first| is_gone(first.get())) {
            self.by_target.remove(&first.remove().target);
        }
    }
}

fn near(spans: &BTreeMap<i64, Span>, place: i64) -> Near {
    let below = spans.range(..place).next_back().map(|(_, span)| *span);
    Near { below, above: spans.range(place..).next().map(|(_, span)| *span) }
}
