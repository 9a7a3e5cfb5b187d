//! The store against the map in memory, reopened at any point.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::mirror::ranges::simulated::{Slot, World, fact, worlds};

fn identity() -> Identity {
    Identity { flow: "f".into(), topic: "ranges".into(), topic_id: Some("a".into()) }
}

fn memory() -> Memory {
    Memory::new(16 << 20)
}

fn at(offset: usize) -> impl Iterator<Item = (Partition, Offset)> {
    std::iter::once((Partition(0), Offset(offset as i64)))
}

fn natives(world: &World) -> BTreeSet<i64> {
    world.slots(1).filter(|(_, slot)| *slot == Slot::Native).map(|(at, _)| at).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_store_answers_as_the_map_in_memory_does(world in worlds(0..1), cut in 0..9_usize, low in 0..30_i64) {
        let dir = tempfile::tempdir().unwrap();
        let facts = &world.facts[0];
        let cut = cut.min(facts.len());
        let store = Store::open(dir.path(), &identity(), &memory()).unwrap();
        store.apply(&facts[..cut], at(cut)).unwrap();
        drop(store);
        let store = Store::open(dir.path(), &identity(), &memory()).unwrap();
        prop_assert_eq!(store.position(Partition(0)).unwrap(), Some(Offset(cut as i64)));
        // What was taken in before a crash is read once more.
        store.apply(&facts[cut.saturating_sub(2)..], at(facts.len())).unwrap();
        let ranges = world.ranges(0);
        prop_assert_eq!(store.known("old", 0).map(|known| known.head), ranges.head().cloned());
        for place in 0..world.end(0).max(world.end(1)) + 2 {
            prop_assert_eq!(store.near(Side::Source, "old", 0, place).unwrap(), ranges.near_source(place));
            prop_assert_eq!(store.near(Side::Target, "new", 0, place).unwrap(), ranges.near_target(place));
        }
        let (from, to) = (low, low + 20);
        let runs = store.copies("new", 0, from, to).unwrap();
        let is_in = |offset: i64| runs.iter().any(|(start, end)| (*start..*end).contains(&offset));
        prop_assert!((from..to).all(|offset| is_in(offset) != ranges.is_native(offset)), "{:?}", runs);
        let gaps = store.unexplained("new", 0, i64::MAX).unwrap();
        let last = ranges.head().and_then(|head| head.last).map_or(0, |last| last.target_end());
        for native in natives(&world).into_iter().filter(|at| *at < last) {
            prop_assert!(gaps.iter().any(|(gap, _)| (gap.from..gap.to).contains(&native)));
        }
        if let Some(head) = ranges.head() {
            let mut pruned = ranges.clone();
            pruned.prune(low, low + 5);
            store.prune(head, low, low + 5).unwrap();
            for place in 0..world.end(0).max(world.end(1)) + 2 {
                prop_assert_eq!(store.near(Side::Source, "old", 0, place).unwrap(), pruned.near_source(place));
                prop_assert_eq!(store.near(Side::Target, "new", 0, place).unwrap(), pruned.near_target(place));
            }
        }
    }
}

#[test]
fn partitions_do_not_see_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), &identity(), &memory()).unwrap();
    for (topic, target) in [("old", "new"), ("old2", "new2"), ("ol", "ne")] {
        let told = MirrorRange { source_topic: topic.into(), target_topic: target.into(), ..fact(4, 9, &[(5, 7)]) };
        store.apply(&[told], at(1)).unwrap();
    }
    let span = Some(Span { source: 5, target: 7, count: 1 });
    for place in [0, 5, 6, 100] {
        let near = store.near(Side::Source, "old", 0, place).unwrap();
        assert_eq!((near.below, near.above), if place > 5 { (span, None) } else { (None, span) });
        assert_eq!(store.near(Side::Source, "old", 1, place).unwrap(), Near::default());
        assert_eq!(store.near(Side::Source, "o", 0, place).unwrap(), Near::default());
    }
}

#[test]
fn a_fact_that_does_not_join_ends_the_answers_of_its_partition_alone() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), &identity(), &memory()).unwrap();
    let other = |fact| MirrorRange { source_topic: "other".into(), ..fact };
    let facts = [fact(0, 2, &[(0, 0)]), fact(3, 4, &[(3, 2)]), other(fact(0, 2, &[(0, 5)])), fact(2, 3, &[(2, 1)])];
    store.apply(&facts, at(4)).unwrap();
    drop(store);
    let store = Store::open(dir.path(), &identity(), &memory()).unwrap();
    let problem = store.known("old", 0).unwrap().problem.unwrap();
    assert!(problem.contains("missing between"), "{problem}");
    assert_eq!(store.known("other", 0).unwrap().problem, None);
}

#[test]
fn a_store_of_another_topic_is_made_anew_and_a_look_is_remembered() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), &identity(), &memory()).unwrap();
    store.apply(&[fact(0, 3, &[(0, 4), (1, 6), (2, 9)])], at(1)).unwrap();
    let head = store.known("old", 0).unwrap().head;
    let gap = |from, to| Unexplained { from, to };
    let (first, second, third) = (gap(0, 4), gap(5, 6), gap(7, 9));
    assert_eq!(store.unexplained("new", 0, 10).unwrap(), [(first, None), (second, None), (third, None)]);
    assert_eq!(store.unexplained("new", 0, 6).unwrap(), [(first, None), (second, None)]);
    store.explain(&head, &first, None).unwrap();
    store.explain(&head, &second, Some(5)).unwrap();
    assert_eq!(store.unexplained("new", 0, 10).unwrap(), [(second, Some(5))]);
    drop(store);
    let store = Store::open(dir.path(), &Identity { topic_id: Some("b".into()), ..identity() }, &memory()).unwrap();
    assert_eq!((store.all_known(), store.position(Partition(0)).unwrap()), (vec![], None));
    store.apply(&[fact(0, 3, &[(0, 4)])], at(1)).unwrap();
    store.clear().unwrap();
    assert_eq!(store.near(Side::Source, "old", 0, 0).unwrap(), Near::default());
    assert_eq!((store.all_known(), store.position(Partition(0)).unwrap()), (vec![], None));
}
