//! Positions against a look at every record of two clusters; commits by table.

use proptest::prelude::*;

use super::*;
use crate::mirror::ranges::simulated::{Slot, World, worlds};

/// By looking: what the group that stands at `place` on side 0 has read of side 1, and what not.
fn looked(world: &World, place: i64) -> (Vec<i64>, Vec<i64>) {
    let copies: Vec<(i64, i64)> = world
        .slots(0)
        .filter_map(|(at, slot)| match slot {
            Slot::Copy(of) => Some((of, at)),
            _ => None,
        })
        .collect();
    let is_read = |at: i64, slot: Slot| match slot {
        Slot::Copy(of) => of < place,
        Slot::Native => copies.iter().any(|(of, copy)| *of == at && *copy < place),
        Slot::Hole => false,
    };
    let records = world.slots(1).filter(|(_, slot)| *slot != Slot::Hole);
    let (read, unread): (Vec<_>, Vec<_>) = records.partition(|(at, slot)| is_read(*at, *slot));
    let offsets = |records: Vec<(i64, Slot)>| records.into_iter().map(|(at, _)| at).collect();
    (offsets(read), offsets(unread))
}

fn position(world: &World, place: i64, opposite: bool) -> Position {
    let (ranges, place) = (world.ranges(0), place.max(world.starts[0]));
    let copies = match ranges.head() {
        Some(head) => Copies::of(head, &ranges.near_source(place), place),
        None if world.end(0) == world.starts[0] => Copies::none(world.end(0)),
        None => return Position::Waiting(Why::NotCopied),
    };
    let natives = if opposite {
        let back = world.ranges(1);
        match back.head() {
            Some(head) => Natives::mirrored(head, &back.near_target(place), place),
            None if world.end(1) == world.starts[1] => Natives::none(world.end(1)),
            None => return Position::Waiting(Why::OppositeBehind),
        }
    } else {
        let last = ranges.head().and_then(|head| head.last).map_or(0, |last| last.target_end());
        let first = world.slots(1).find(|(at, slot)| *slot == Slot::Native && *at < last).map(|(at, _)| at);
        Natives::Unread { first }
    };
    Pair { copies, natives, target_low: world.starts[1], target_end: world.end(1) }.position(place)
}

/// Nothing before `offset` is unread, nothing from it on is read.
fn is_exact(world: &World, place: i64, offset: i64) -> bool {
    let (read, unread) = looked(world, place);
    read.iter().all(|at| *at < offset) && unread.iter().all(|at| *at >= offset)
}

fn check(world: &World, opposite: bool) -> Result<(), TestCaseError> {
    for place in 0..=world.end(0) {
        match position(world, place, opposite) {
            Position::Exact(offset) => prop_assert!(is_exact(world, place, offset), "{place} -> {offset}"),
            Position::Blocked { nothing_skipped, .. } => {
                prop_assert!((0..=world.end(1)).all(|offset| !is_exact(world, place, offset)), "{place} is blocked");
                prop_assert!(looked(world, place).1.iter().all(|at| *at >= nothing_skipped));
            }
            Position::Waiting(_) => {
                let is_behind = |side: usize, of: i64| world.frontiers[side] < of || world.facts[side].is_empty();
                prop_assert!(
                    is_behind(0, place) || opposite && is_behind(1, world.end(1)),
                    "{place} waits for nothing"
                );
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn one_way_what_is_exact_is_and_what_is_blocked_has_no_offset(world in worlds(0..1)) {
        check(&world, false)?;
    }

    #[test]
    fn both_ways_what_is_exact_is_and_what_is_blocked_has_no_offset(mut world in worlds(0..2)) {
        check(&world, true)?;
        world.settle();
        check(&world, true)?;
        for place in 0..=world.end(0) {
            let waits = matches!(position(&world, place, true), Position::Waiting(_));
            prop_assert!(!waits, "{place} waits though both mirrors are at rest");
        }
    }

    #[test]
    fn what_was_exact_stays_so_whatever_is_written_later(mut world in worlds(0..2), writes in 1..9_u8) {
        let before: Vec<_> = (0..=world.end(0)).map(|place| position(&world, place, true)).collect();
        for side in [0, 1] {
            world.apply(&crate::mirror::ranges::simulated::Step::Write { side, records: writes });
        }
        world.settle();
        for (place, position) in (0..).zip(before) {
            if let Position::Exact(offset) = position {
                prop_assert!(is_exact(&world, place, offset), "{place} -> {offset}");
            }
        }
    }
}

fn pair(read: Option<i64>, unread: Option<i64>, natives: Natives) -> Pair {
    Pair { copies: Copies { frontier: 10, read, unread }, natives, target_low: 3, target_end: 20 }
}

#[test]
fn the_end_is_after_the_last_copy_and_after_its_mark_if_that_is_all() {
    let none = Natives::Unread { first: None };
    assert_eq!(pair(Some(17), None, none).position(10), Position::Exact(18));
    assert_eq!(pair(Some(18), None, none).position(10), Position::Exact(20));
    assert_eq!(pair(Some(19), None, none).position(10), Position::Exact(20));
    assert_eq!(pair(None, None, none).position(10), Position::Exact(3));
    // The one offset may be a record, if it does not follow a copy.
    let native = Natives::Mirrored { frontier: 20, read: Some(18), unread: None };
    assert_eq!(pair(Some(5), None, native).position(10), Position::Exact(19));
    assert_eq!(pair(None, None, none).position(11), Position::Waiting(Why::Behind));
}

#[test]
fn what_is_deleted_already_is_not_skipped_in_silence() {
    let none = Natives::Unread { first: None };
    let Position::Blocked { why, nothing_skipped: 3 } = pair(Some(0), Some(1), none).position(2) else { panic!() };
    assert!(why.to_string().contains("deleted already"), "{why}");
    assert_eq!(pair(Some(1), Some(3), none).position(2), Position::Exact(3));
    assert_eq!(pair(Some(1), None, none).position(2), Position::Exact(3));
}

fn decided(position: &Position, place: i64, goes_on: bool, stands: Option<(i64, &str)>, force: bool) -> Action {
    let mark = Mark { flow_partition: "f/t/0", place };
    let group = TargetGroup { members: Members::None, is_share: false };
    let committed = stands.map(|(offset, metadata)| Committed { offset, metadata: metadata.to_owned() });
    decide(position, &mark, goes_on, &group, committed.as_ref(), force)
}

#[test]
fn it_is_committed_forwards_and_backwards_only_with_the_source() {
    let at = |offset| Position::Exact(offset);
    let commit = |offset| Action::Commit { offset, rewound: None };
    let ours = Mark { flow_partition: "f/t/0", place: 50 }.to_string();
    assert_eq!(Mark::parse(&ours), Some(Mark { flow_partition: "f/t/0", place: 50 }));
    assert_eq!(decided(&at(7), 50, false, None, false), commit(7));
    assert_eq!(decided(&at(7), 50, false, Some((7, "")), false), Action::Stays { offset: 7 });
    assert_eq!(decided(&at(9), 60, false, Some((7, &ours)), false), commit(9));
    assert_eq!(decided(&at(4), 40, false, Some((7, &ours)), false), Action::Commit { offset: 4, rewound: Some(50) });
    // Not rewound: the group went on here.
    let backwards = Action::Blocked(Why::Backwards { committed: 7 });
    assert_eq!(decided(&at(4), 40, true, Some((7, "")), false), backwards);
    assert_eq!(decided(&at(4), 50, true, Some((7, &ours)), false), backwards);
    assert_eq!(decided(&at(4), 40, true, Some((7, "fairlead f/t/1@50")), false), backwards);
    assert_eq!(decided(&at(4), 40, true, Some((7, "")), true), commit(4));
}

#[test]
fn what_others_committed_is_moved_on_only_while_the_group_goes_on_at_the_source() {
    let at = Position::Exact(9);
    assert_eq!(decided(&at, 60, false, Some((7, "theirs")), false), Action::Blocked(Why::Others { committed: 7 }));
    assert_eq!(decided(&at, 60, true, Some((7, "theirs")), false), Action::Commit { offset: 9, rewound: None });
    assert_eq!(decided(&at, 60, false, Some((7, "theirs")), true), Action::Commit { offset: 9, rewound: None });
}

#[test]
fn members_and_share_groups_block_even_by_force() {
    let mark = Mark { flow_partition: "f/t/0", place: 1 };
    let of =
        |members, is_share| decide(&Position::Exact(1), &mark, true, &TargetGroup { members, is_share }, None, true);
    let members = Members::Some(vec!["app-1 (10.0.0.7)".to_owned()]);
    let Action::Blocked(why) = of(members, false) else { panic!() };
    assert!(why.to_string().ends_with("stop them first: app-1 (10.0.0.7)"), "{why}");
    assert_eq!(of(Members::None, true), Action::Blocked(Why::Share));
    let blocked = Position::Blocked { why: Why::Merged, nothing_skipped: 4 };
    assert_eq!(decided(&blocked, 1, true, None, false), Action::Blocked(Why::Merged));
    assert_eq!(decided(&blocked, 1, true, None, true), Action::Commit { offset: 4, rewound: None });
}
