//! Two clusters, one partition on each, and a mirror each way, offset by offset: what the maps are tried against.
//!
//! A record stands in its log with where it came from, so that every question can be answered by looking.

use proptest::prelude::*;

use super::Ranges;
use crate::event::migration::flow_partition;
use crate::event::{MirrorRange, MirrorRun};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    Native,
    /// Of that offset on the other side.
    Copy(i64),
    /// A mark, an aborted record, or what was compacted away.
    Hole,
}

#[derive(Clone, Debug)]
pub enum Step {
    /// Somebody writes to that side.
    Write {
        side: usize,
        records: u8,
    },
    Hole {
        side: usize,
        offsets: u8,
    },
    /// The mirror from that side reads so many offsets on, and commits. Where it says so, somebody else writes in between.
    Copy {
        from: usize,
        offsets: u8,
        others: Vec<bool>,
    },
    /// The same, but it is aborted.
    Abort {
        from: usize,
        records: u8,
    },
}

#[derive(Clone, Debug, Default)]
pub struct World {
    pub logs: [Vec<Slot>; 2],
    /// Of the mirror that reads this side.
    pub facts: [Vec<MirrorRange>; 2],
    pub frontiers: [i64; 2],
    /// Where the sides begin.
    pub starts: [i64; 2],
}

impl World {
    /// The sides begin at these offsets; what was before is gone, and nobody has seen it.
    pub fn new(starts: [u8; 2]) -> Self {
        let logs = starts.map(|start| vec![Slot::Hole; usize::from(start)]);
        let starts = starts.map(i64::from);
        Self { logs, facts: Default::default(), frontiers: starts, starts }
    }

    pub fn apply(&mut self, step: &Step) {
        match step {
            Step::Write { side, records } => self.push(*side, Slot::Native, *records),
            Step::Hole { side, offsets } => self.push(*side, Slot::Hole, *offsets),
            Step::Abort { from, records } => self.push(1 - from, Slot::Hole, records + 1),
            Step::Copy { from, offsets, others } => self.copy(*from, (*offsets).into(), others),
        }
    }

    fn push(&mut self, side: usize, slot: Slot, count: u8) {
        self.logs[side].extend(std::iter::repeat_n(slot, count.into()));
    }

    pub fn end(&self, side: usize) -> i64 {
        i64::try_from(self.logs[side].len()).unwrap()
    }

    pub fn slots(&self, side: usize) -> impl Iterator<Item = (i64, Slot)> + '_ {
        (0..).take(self.logs[side].len()).zip(self.logs[side].iter().copied())
    }

    fn copy(&mut self, from: usize, offsets: i64, others: &[bool]) {
        let (start, mut pairs) = (self.frontiers[from], Vec::new());
        let end = (start + offsets).min(self.end(from));
        let natives: Vec<i64> = self.slots(from).filter(|(_, slot)| *slot == Slot::Native).map(|(at, _)| at).collect();
        let mut others = others.iter().copied();
        for source in natives.into_iter().filter(|at| (start..end).contains(at)) {
            if others.next() == Some(true) {
                self.push(1 - from, Slot::Native, 1);
            }
            pairs.push((source, self.end(1 - from)));
            self.push(1 - from, Slot::Copy(source), 1);
        }
        if !pairs.is_empty() {
            self.push(1 - from, Slot::Hole, 1);
        }
        self.frontiers[from] = end;
        self.facts[from].push(fact(start, end, &pairs));
    }

    /// Both mirrors come to rest.
    pub fn settle(&mut self) {
        for from in [0, 1, 0, 1] {
            self.apply(&Step::Copy { from, offsets: u8::MAX, others: Vec::new() });
        }
    }

    /// The map of the mirror that reads `side`.
    pub fn ranges(&self, side: usize) -> Ranges {
        let mut ranges = Ranges::default();
        self.facts[side].iter().for_each(|fact| ranges.insert(fact).unwrap());
        ranges
    }
}

/// `pairs`: source and target offset of each copy.
pub fn fact(source_start: i64, source_end: i64, pairs: &[(i64, i64)]) -> MirrorRange {
    let target_start = pairs.first().map(|(_, target)| *target);
    let (mut runs, mut source, mut target) = (Vec::<MirrorRun>::new(), source_start, target_start.unwrap_or_default());
    for (at, to) in pairs {
        match runs.last_mut() {
            Some(run) if (*at, *to) == (source, target) => run.count += 1,
            _ => runs.push(MirrorRun { skip: at - source, shift: to - target, count: 1 }),
        }
        (source, target) = (at + 1, to + 1);
    }
    MirrorRange {
        flow_partition: flow_partition("f", "old", 0),
        flow: "f".into(),
        source_topic: "old".into(),
        source_topic_id: None,
        source_partition: 0,
        source_start,
        source_end,
        source_epoch: None,
        target_topic: "new".into(),
        target_partition: 0,
        target_start,
        runs,
        records: i64::try_from(pairs.len()).unwrap(),
        bytes: 0,
        crc32c: 0,
        first_timestamp_ms: None,
        last_timestamp_ms: None,
        copied_at_ms: 0,
    }
}

fn step(sides: std::ops::Range<usize>) -> impl Strategy<Value = Step> {
    let side = 0..2_usize;
    prop_oneof![
        3 => (side.clone(), 1..6_u8).prop_map(|(side, records)| Step::Write { side, records }),
        2 => (side, 1..4_u8).prop_map(|(side, offsets)| Step::Hole { side, offsets }),
        4 => (sides.clone(), 0..9_u8, proptest::collection::vec(proptest::bool::weighted(0.1), 0..9))
            .prop_map(|(from, offsets, others)| Step::Copy { from, offsets, others }),
        1 => (sides, 0..3_u8).prop_map(|(from, records)| Step::Abort { from, records }),
    ]
}

/// Worlds in which mirrors run from these sides.
pub fn worlds(mirrors: std::ops::Range<usize>) -> impl Strategy<Value = World> {
    let steps = proptest::collection::vec(step(mirrors), 0..40);
    ([0..4_u8, 0..4_u8], steps).prop_map(|(starts, steps)| {
        let mut world = World::new(starts);
        steps.iter().for_each(|step| world.apply(step));
        world
    })
}
