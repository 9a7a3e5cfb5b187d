//! Where a consumer group goes on, on the other cluster: the one offset that re-delivers nothing and skips nothing, or why there is none.
//!
//! A position `c` says of a partition that everything before it is read and nothing from it on is. On the other side there lie
//! copies and *native* records, those that somebody wrote there. What the group has read of it:
//!
//! - a copy, if the record it is a copy of lies before `c`: the ranges of the flow tell;
//! - a native record, if its own copy lies on the source, before `c`: the ranges of the opposite flow tell. Without an opposite flow
//!   none is read.
//!
//! A target offset `t` is exact if every read record there lies before it and every unread one at it or after. So with `last` the
//! last read one and `first` the first unread one: **if `last < first`, then `first` is exact; if not, no offset is**, for an exact
//! one would have to lie after `last` and not after `first`. Both maps keep order, so `last` and `first` are the later and the earlier
//! of what the two maps answer, each from one look-up. Where nothing is unread, the offset after `last` is exact, and stays so: what
//! is written later, by the flow or by others, comes to lie at or after it. What is not known yet must not matter: native records at or
//! after the opposite flow's frontier may be unread, so `t` must not lie past it; source records at or after the flow's frontier may
//! be uncopied, so `c` must not. A rollback is the same with the two flows exchanged.
//!
//! Invariants: total, no clock, no cluster. [`decide`] never answers with an offset past an unread record, unless somebody forces it.
//! Not here: who is asked (`groups/`).
#![deny(clippy::disallowed_methods, clippy::disallowed_types, clippy::disallowed_macros)]

mod commit;
#[cfg(test)]
mod tests;

pub use commit::{Action, Committed, Mark, Members, TargetGroup, decide};

use super::ranges::{Head, Near};

/// All that is known of one partition pair when a group's position is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// Of the flow along which the group moves.
    pub copies: Copies,
    pub natives: Natives,
    /// The first offset that is still there.
    pub target_low: i64,
    /// The stable end.
    pub target_end: i64,
}

/// What the flow's ranges tell of a source position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copies {
    /// Up to where the source was read, or is proven to hold no record that was not.
    pub frontier: i64,
    /// Target offset of the last copy before the position, and of the first at or after it.
    pub read: Option<i64>,
    pub unread: Option<i64>,
}

/// What is known of the target's native records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Natives {
    /// The opposite flow tells: target offset of the last one whose copy lies before the position, and of the first other one.
    /// From `frontier` on it has not read. All its copies before the position are known.
    Mirrored { frontier: i64, read: Option<i64>, unread: Option<i64> },
    /// No flow takes them to the source: none is read. The first one before the last copy.
    Unread { first: Option<i64> },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Position {
    Exact(i64),
    Waiting(Why),
    /// There is none; `nothing_skipped` is the last from which nothing is.
    Blocked {
        why: Why,
        nothing_skipped: i64,
    },
}

/// Why there is no offset, or none may be committed. The words hold no number that moves by itself, for they are told when they change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    NotCopied,
    /// Records before it are on the source, and were never copied.
    Uncopied {
        start: i64,
    },
    Broken(String),
    Behind,
    OppositeBehind,
    Interleaved {
        unread: i64,
        read: i64,
    },
    Deleted {
        unread: i64,
        low: i64,
    },
    Merged,
    Share,
    Active(Vec<String>),
    Backwards {
        committed: i64,
    },
    Others {
        committed: i64,
    },
    Refused(String),
}

impl std::fmt::Display for Why {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotCopied => write!(f, "nothing is known of this partition: the mirror has not begun with it"),
            Self::Uncopied { start } => write!(
                f,
                "the mirror began at {start}, and the source still has records from before, which are not copied"
            ),
            Self::Broken(why) => write!(f, "the ranges are not to be trusted: {why}"),
            Self::Behind => write!(f, "the mirror has not read that far"),
            Self::OppositeBehind => {
                write!(f, "the opposite mirror has not read that far: native records may lie before")
            }
            Self::Interleaved { unread, read } => write!(
                f,
                "both clusters were written to at the same time, in different orders: the record at {unread} is not read and the \
                 one at {read} is; --force goes on at {unread} and delivers some again"
            ),
            Self::Deleted { unread, low } => write!(
                f,
                "the next record's copy, at {unread}, is deleted already, for the copy begins at {low}: hold its retention back; \
                 --force goes on at {low}"
            ),
            Self::Merged => write!(f, "several partitions become this one: their positions cannot be one"),
            Self::Share => write!(f, "a share group has no single position: let it finish on the source"),
            Self::Active(members) => {
                write!(f, "the group has members on the target, stop them first: {}", members.join(", "))
            }
            Self::Backwards { committed } => write!(
                f,
                "it stands at {committed} on the target already, which is further, and was not rewound on the source; --force \
                 moves it back"
            ),
            Self::Others { committed } => write!(
                f,
                "somebody else has committed {committed} on the target, and the group has no members on the source that go on: \
                 --force moves it"
            ),
            Self::Refused(why) => write!(f, "the target refused the commit: {why}"),
        }
    }
}

impl Copies {
    /// `near` is what lies around `place` on the source.
    pub fn of(head: &Head, near: &Near, place: i64) -> Self {
        // What is pruned lies before the target's beginning; the last copy is known for ever.
        let last = head.last.map(|last| last.target_end() - 1);
        let read = near.before(place).or_else(|| near.above.is_none().then_some(last).flatten());
        Self { frontier: head.frontier, read, unread: near.at(place) }
    }

    /// Of a source partition that has no records, and of which no range speaks.
    pub fn none(end: i64) -> Self {
        Self { frontier: end, read: None, unread: None }
    }
}

impl Natives {
    /// Of a target partition that has no records, and of which no range of the opposite flow speaks.
    pub fn none(end: i64) -> Self {
        Self::Mirrored { frontier: end, read: None, unread: None }
    }

    /// By the opposite flow's map: `near` is what lies around `place` on *its* target, seen from there.
    pub fn mirrored(head: &Head, near: &Near, place: i64) -> Self {
        let last = head.last.map(|last| last.source_end() - 1);
        let read = near.before(place).or_else(|| near.above.is_none().then_some(last).flatten());
        Self::Mirrored { frontier: head.frontier, read, unread: near.at(place) }
    }
}

impl Pair {
    /// What the source position `place` is on the target. `place` is not before the first source offset that is still there.
    pub fn position(&self, place: i64) -> Position {
        let Copies { frontier, read, unread } = self.copies;
        if place > frontier {
            return Position::Waiting(Why::Behind);
        }
        let (known_to, native_read, native_unread) = match self.natives {
            Natives::Mirrored { frontier, read, unread } => (frontier, read, unread),
            Natives::Unread { first } => (i64::MAX, None, first),
        };
        let last = read.max(native_read);
        let first = [unread, native_unread].into_iter().flatten().min();
        match (last, first) {
            (Some(last), Some(first)) if last > first => {
                let why = Why::Interleaved { unread: first, read: last };
                Position::Blocked { why, nothing_skipped: first.max(self.target_low) }
            }
            (_, Some(first)) if first > known_to => Position::Waiting(Why::OppositeBehind),
            (_, Some(first)) if first < self.target_low => {
                let why = Why::Deleted { unread: first, low: self.target_low };
                Position::Blocked { why, nothing_skipped: self.target_low }
            }
            (_, Some(first)) => Position::Exact(first),
            (last, None) => {
                let after = last.map_or(self.target_low, |last| last + 1);
                if after.min(self.target_end) > known_to {
                    return Position::Waiting(Why::OppositeBehind);
                }
                // One offset after a copy that can be read is the mark of its transaction.
                let is_mark = read.is_some() && read == last && self.target_end - after == 1;
                Position::Exact(if is_mark { self.target_end } else { after.max(self.target_low) })
            }
        }
    }
}
