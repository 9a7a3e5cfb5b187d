//! The map against a look at every offset.

use proptest::prelude::*;

use super::simulated::{Slot, Step, World, fact, worlds};
use super::*;

fn copies(world: &World) -> Vec<(i64, i64)> {
    let copy = |(target, slot)| match slot {
        Slot::Copy(source) => Some((source, target)),
        _ => None,
    };
    world.slots(1).filter_map(copy).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_position_is_what_a_look_at_every_record_says(world in worlds(0..1)) {
        let (ranges, copies) = (world.ranges(0), copies(&world));
        let Some(first) = world.facts[0].first() else {
            prop_assert_eq!(ranges.translate(0), None);
            return Ok(());
        };
        let frontier = world.frontiers[0];
        for place in 0..world.end(0) + 3 {
            let ceiling = copies.iter().find(|(source, _)| *source >= place).map(|(_, target)| *target);
            let expected = match ceiling {
                _ if place > frontier => Translation::Waiting { frontier },
                offset if place < first.source_start => Translation::BeforeStart { start: first.source_start, offset },
                Some(offset) => Translation::Exact { offset },
                None => Translation::AtEnd { offset: copies.last().map(|(_, target)| target + 1) },
            };
            prop_assert_eq!(ranges.translate(place), Some(expected), "at {}", place);
        }
        for place in 0..world.end(1) + 3 {
            let ceiling = copies.iter().find(|(_, target)| *target >= place).map(|(source, _)| *source);
            let expected = match ceiling {
                Some(offset) => Translation::Exact { offset },
                None => Translation::AtEnd { offset: Some(frontier) },
            };
            prop_assert_eq!(ranges.back(place), Some(expected), "back at {}", place);
            let native = !copies.iter().any(|(_, target)| *target == place);
            prop_assert_eq!(ranges.is_native(place), native, "native at {}", place);
        }
    }

    #[test]
    fn what_no_range_accounts_for_has_every_native_record(world in worlds(0..1)) {
        let (mut head, mut found) = (None, Vec::new());
        for fact in &world.facts[0] {
            let head = head.get_or_insert_with(|| Head::of(fact));
            found.extend(head.append(fact).unwrap().unwrap().unexplained);
        }
        let last = copies(&world).last().map_or(0, |(_, target)| *target);
        for (offset, slot) in world.slots(1).filter(|(offset, _)| *offset < last) {
            let told = found.iter().any(|gap| (gap.from..gap.to).contains(&offset));
            prop_assert!(told || slot != Slot::Native, "{} is native", offset);
            prop_assert!(!told || !matches!(slot, Slot::Copy(_)), "{} is a copy", offset);
        }
    }

    #[test]
    fn spans_are_as_few_as_can_be_and_known_facts_change_nothing(world in worlds(0..1), again in 0..9_usize) {
        let mut ranges = world.ranges(0);
        let before: Vec<Span> = ranges.spans().copied().collect();
        for fact in world.facts[0].iter().skip(again) {
            ranges.insert(fact).unwrap();
        }
        prop_assert_eq!(&before, &ranges.spans().copied().collect::<Vec<_>>());
        prop_assert!(before.windows(2).all(|two| !two[0].goes_on_with(&two[1])));
        prop_assert_eq!(before.iter().map(|span| span.count).sum::<i64>(), copies(&world).len() as i64);
    }

    #[test]
    fn what_is_still_there_is_found_after_pruning(world in worlds(0..1), lows in (0..60_i64, 0..60_i64)) {
        let (whole, mut pruned) = (world.ranges(0), world.ranges(0));
        pruned.prune(lows.0, lows.1);
        for place in lows.0..world.end(0) + 2 {
            prop_assert_eq!(whole.translate(place), pruned.translate(place));
        }
        for place in lows.1..world.end(1) + 2 {
            prop_assert_eq!(whole.back(place), pruned.back(place));
            prop_assert_eq!(whole.is_native(place), pruned.is_native(place));
        }
        let is_gone = |span: &Span| span.source_end() <= lows.0 && span.target_end() <= lows.1;
        prop_assert!(!pruned.spans().any(is_gone));
    }
}

#[test]
fn neighbours_join_where_both_sides_go_on() {
    let mut ranges = Ranges::default();
    ranges.insert(&fact(10, 12, &[(10, 0), (11, 1)])).unwrap();
    // No mark between: as a mirror without transactions leaves it.
    ranges.insert(&fact(12, 14, &[(12, 2), (13, 3)])).unwrap();
    ranges.insert(&fact(14, 20, &[(14, 5), (18, 6)])).unwrap();
    let spans: Vec<_> = ranges.spans().map(|span| (span.source, span.target, span.count)).collect();
    assert_eq!(spans, [(10, 0, 4), (14, 5, 1), (18, 6, 1)]);
    assert_eq!(ranges.translate(16), Some(Translation::Exact { offset: 6 }));
    assert_eq!(ranges.translate(19), Some(Translation::AtEnd { offset: Some(7) }));
    assert_eq!(ranges.translate(3), Some(Translation::BeforeStart { start: 10, offset: Some(0) }));
    assert_eq!(ranges.translate(21), Some(Translation::Waiting { frontier: 20 }));
    assert_eq!(ranges.back(4), Some(Translation::Exact { offset: 14 }));
    assert_eq!(ranges.back(7), Some(Translation::AtEnd { offset: Some(20) }));
}

#[test]
fn a_partition_without_records_has_its_end_where_the_copy_begins() {
    let mut ranges = Ranges::default();
    ranges.insert(&fact(7, 7, &[])).unwrap();
    ranges.insert(&fact(7, 9, &[])).unwrap();
    assert_eq!(ranges.translate(7), Some(Translation::AtEnd { offset: None }));
    assert_eq!(ranges.translate(2), Some(Translation::BeforeStart { start: 7, offset: None }));
    assert_eq!(ranges.translate(10), Some(Translation::Waiting { frontier: 9 }));
}

#[test]
fn what_cannot_be_is_refused_and_changes_nothing() {
    let mut ranges = Ranges::default();
    ranges.insert(&fact(0, 5, &[(0, 0), (4, 1)])).unwrap();
    let refusals = [
        (fact(6, 7, &[(6, 3)]), "missing between"),
        (fact(4, 7, &[(6, 3)]), "two mirrors wrote"),
        (fact(5, 7, &[(6, 1)]), "before those"),
        (fact(5, 6, &[(6, 3)]), "past its end"),
        (MirrorRange { records: 2, ..fact(5, 7, &[(6, 3)]) }, "as many records"),
        (MirrorRange { target_start: None, ..fact(5, 7, &[(6, 3)]) }, "without a place"),
        (MirrorRange { target_topic: "other".into(), ..fact(5, 7, &[(6, 3)]) }, "new/0, and now on other/0"),
    ];
    for (bad, words) in refusals {
        let refused = ranges.insert(&bad).unwrap_err().to_string();
        assert!(refused.contains(words) && refused.starts_with("f/old/0: "), "{refused}");
        assert_eq!(ranges.head().map(|head| head.frontier), Some(5));
    }
}

#[test]
fn the_mark_between_two_facts_needs_no_explanation_and_more_does() {
    let mut world = World::new([0, 0]);
    let copy = |offsets| Step::Copy { from: 0, offsets, others: Vec::new() };
    for step in [Step::Write { side: 0, records: 4 }, copy(2), copy(1), Step::Write { side: 1, records: 1 }, copy(1)] {
        world.apply(&step);
    }
    let mut head = Head::of(&world.facts[0][0]);
    let told = world.facts[0].iter().map(|fact| head.append(fact).unwrap().unwrap().unexplained).collect::<Vec<_>>();
    // Copies at 0, 1; a mark; a copy at 3; a mark and the native one at 5; a copy at 6.
    assert_eq!(told, [vec![], vec![], vec![Unexplained { from: 4, to: 6 }]]);
}
