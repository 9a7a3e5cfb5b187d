//! What each position is on the other side: asks the ranges of both directions, and where they do not say all, the records.
//!
//! Two things are looked up in the topics themselves, read committed: whether there is a record between the mirror's frontier and a
//! position past it (often there is only the mark of the last transaction), and whether target offsets that no range accounts for
//! hold native records. The latter is remembered in the store. Blocks on Kafka; never decides what may be committed.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use anyhow::Result;

use super::{GroupsConfig, Opposite, Place};
use crate::log::client::Connection;
use crate::log::kafka::KafkaReader;
use crate::log::{Error, scan};
use crate::mirror::group::{Copies, Natives, Pair, Position, Why};
use crate::mirror::offsets::{Offsets, Unknown, answer};
use crate::mirror::ranges::Head;
use crate::record::{Offset, Partition, Topic, TopicPartition};

/// Where both sides of a partition begin, and how far they can be read; `None`: it is not there.
pub struct Bounds {
    pub target: Place,
    pub of_source: Option<(i64, i64)>,
    pub of_target: Option<(i64, i64)>,
}

pub struct Judge {
    offsets: Arc<Offsets>,
    opposite: Vec<Opposite>,
    merge: bool,
    reader: String,
    from: (Connection, Option<KafkaReader>),
    to: (Connection, Option<KafkaReader>),
    /// The frontier of the last round: one that moves needs no look.
    frontiers: BTreeMap<Place, i64>,
    /// Where both sides began when the store was pruned last.
    pruned: BTreeMap<Place, (i64, i64)>,
}

type Positions = BTreeMap<String, Vec<(Place, i64, Place, Position)>>;

impl Judge {
    pub fn new(config: &GroupsConfig) -> Self {
        Self {
            offsets: Arc::clone(&config.offsets),
            opposite: config.opposite.clone(),
            merge: config.merge,
            reader: config.reader.clone(),
            from: (config.from.clone(), None),
            to: (config.to.clone(), None),
            frontiers: BTreeMap::new(),
            pruned: BTreeMap::new(),
        }
    }

    /// Of each group and partition: the position asked for, where it is looked for, and what it is there.
    pub fn positions(
        &mut self,
        asked: &BTreeMap<String, BTreeMap<Place, i64>>,
        bounds: &BTreeMap<Place, Bounds>,
    ) -> Result<Positions> {
        // After the groups were asked, so that each copy before a position has its range at hand.
        let settled = self.opposite.iter().try_for_each(|opposite| opposite.offsets.settle(answer::PATIENCE));
        let mut positions = Positions::new();
        for (group, places) in asked {
            for (source, place) in places {
                let Some(bounds) = bounds.get(source) else { continue };
                let position = match &settled {
                    Ok(()) => self.position(source, *place, bounds)?,
                    Err(_) => Position::Waiting(Why::OppositeBehind),
                };
                positions.entry(group.clone()).or_default().push((
                    source.clone(),
                    *place,
                    bounds.target.clone(),
                    position,
                ));
            }
        }
        self.prune(bounds)?;
        self.frontiers = self.offsets.all_known().into_iter().map(|known| frontier(&known.head)).collect();
        Ok(positions)
    }

    fn position(&mut self, source: &Place, place: i64, bounds: &Bounds) -> Result<Position> {
        let (Some((source_low, source_end)), Some((target_low, target_end))) = (bounds.of_source, bounds.of_target)
        else {
            return Ok(Position::Waiting(Why::NotCopied));
        };
        if self.merge && self.offsets.known_of_target(&bounds.target.0, bounds.target.1).len() > 1 {
            return Ok(Position::Blocked { why: Why::Merged, nothing_skipped: target_low });
        }
        // What is no longer there is not to be read any more, wherever the group stands.
        let place = place.max(source_low);
        let known = match self.offsets.known(&source.0, source.1) {
            Ok(known) => Some(known.head),
            Err(Unknown::NotThere(_)) if source_low == source_end => None,
            Err(Unknown::NotThere(_) | Unknown::NotYet(_)) => return Ok(Position::Waiting(Why::NotCopied)),
            Err(Unknown::Broken(why)) => {
                return Ok(Position::Blocked { why: Why::Broken(why), nothing_skipped: target_low });
            }
        };
        let copies = match &known {
            None => Copies::none(source_end),
            Some(head) if place < head.start => {
                let why = Why::Uncopied { start: head.start };
                return Ok(Position::Blocked { why, nothing_skipped: target_low });
            }
            Some(head) => {
                let mut copies = Copies::of(head, &self.offsets.near_source(head, place)?, place);
                if self.is_drained(source, copies.frontier, place, source_end)? {
                    copies.frontier = place;
                }
                copies
            }
        };
        let copies_it = |opposite: &&Opposite| (opposite.names)(&bounds.target.0).is_some();
        let natives = match self.opposite.iter().find(copies_it) {
            Some(opposite) => mirrored(&opposite.offsets, place, &bounds.target, (target_low, target_end))?,
            None => self.looked(known.as_ref(), &copies, target_low)?,
        };
        let Some(natives) = natives else { return Ok(Position::Waiting(Why::OppositeBehind)) };
        Ok(Pair { copies, natives, target_low, target_end }.position(place))
    }

    /// Where both sides have lost records since the last time.
    fn prune(&mut self, bounds: &BTreeMap<Place, Bounds>) -> Result<()> {
        for (source, bounds) in bounds {
            let (Some((source_low, _)), Some((target_low, _))) = (bounds.of_source, bounds.of_target) else { continue };
            let before = self.pruned.insert(source.clone(), (source_low, target_low)).unwrap_or_default();
            if let Ok(known) = self.offsets.known(&source.0, source.1)
                && (source_low, target_low) != before
            {
                self.offsets.store().prune(&known.head, source_low, target_low)?;
            }
        }
        Ok(())
    }

    /// Whether a position past the frontier is at the end of what there is: no record lies between.
    fn is_drained(&mut self, source: &Place, frontier: i64, place: i64, end: i64) -> Result<bool> {
        if place <= frontier || place > end || self.frontiers.get(source) != Some(&frontier) {
            return Ok(false);
        }
        Ok(first_record(&mut self.from, &self.reader, source, (frontier, place))?.is_none())
    }

    /// By looking at what no range accounts for, before the first copy that is not read, or after the last that is.
    fn looked(&mut self, head: Option<&Head>, copies: &Copies, low: i64) -> Result<Option<Natives>> {
        let none = Natives::Unread { first: None };
        let to = copies.unread.or(copies.read.map(|read| read + 1));
        let (Some(head), Some(to)) = (head, to) else { return Ok(Some(none)) };
        let store = self.offsets.store();
        let target = (head.target_topic.clone(), head.target_partition);
        for (gap, native) in store.unexplained(&target.0, target.1, to)? {
            let native = match native {
                Some(native) if native >= low => Some(native),
                _ => {
                    let found = first_record(&mut self.to, &self.reader, &target, (gap.from, gap.to))?;
                    store.explain(head, &gap, found)?;
                    found
                }
            };
            if native.is_some() {
                return Ok(Some(Natives::Unread { first: native }));
            }
        }
        Ok(Some(none))
    }
}

/// As the opposite flow tells it; `None`: it has not read this partition.
fn mirrored(opposite: &Offsets, place: i64, target: &Place, (low, end): (i64, i64)) -> Result<Option<Natives>> {
    // Its source is our target.
    match opposite.known(&target.0, target.1) {
        Ok(known) if known.head.start > low => Ok(None),
        Ok(known) => {
            let near = opposite.near_target(&known.head, place)?;
            Ok(Some(Natives::mirrored(&known.head, &near, place)))
        }
        Err(Unknown::NotThere(_)) if low == end => Ok(Some(Natives::none(end))),
        Err(Unknown::NotThere(_) | Unknown::NotYet(_)) => Ok(None),
        Err(broken) => Err(broken.into()),
    }
}

fn frontier(head: &Head) -> (Place, i64) {
    ((head.source_topic.clone(), head.source_partition), head.frontier)
}

/// The first record that is still kept of `from..to`.
fn first_record(
    (connection, reader): &mut (Connection, Option<KafkaReader>),
    name: &str,
    place: &Place,
    (from, to): (i64, i64),
) -> Result<Option<i64>, Error> {
    let reader = match reader {
        Some(reader) => reader,
        none => none.insert(KafkaReader::new(connection, name)?),
    };
    let partition = TopicPartition::new(&Topic::from(place.0.as_str()), Partition(place.1));
    let from = reader.watermarks(&partition)?.low.0.max(from);
    let mut first = None;
    scan::scan(reader, &partition, Offset(from), Offset(to), |record| {
        first = Some(record.offset.0);
        ControlFlow::Break(())
    })?;
    Ok(first)
}
