//! Positions carried over between two Kafkas: 1,000 random commits a kind of topic, states with their reasons, edges.

use std::collections::BTreeMap;
use std::time::Duration;

use fairlead::event::{GroupOffset, GroupOffsetState};
use fairlead::log::client::Connection;
use fairlead::record::{Partition, TopicPartition};
use fairlead::wire::{Admin, At};
use rdkafka::consumer::{BaseConsumer, Consumer};

use super::carry::{Carried, follow};
use super::cases::{COMMITS, COMPACTED, compacted, plain, positions, switched, transactional};
use super::pair::{Pairing, record};
use crate::harness::apache::Kafka;
use crate::harness::until;

fn two() -> (&'static str, &'static str) {
    static OTHER: std::sync::OnceLock<Kafka> = std::sync::OnceLock::new();
    (Kafka::shared(), OTHER.get_or_init(|| Kafka::start_own(&["--set", "log.cleaner.backoff.ms=200"])).bootstrap())
}

/// 1,000 groups with a random position each, carried over: all exact, nothing again, nothing skipped.
fn switch(pairing: &Pairing, kind: &str) {
    let dir = tempfile::tempdir().unwrap();
    let offsets = follow(pairing, &dir);
    until("the ranges are read", || offsets.problem().is_none().then_some(()));
    offsets.settle(Duration::from_secs(30)).unwrap();
    let carried = Carried::new(pairing, &offsets, None);
    let (from, to, _) = pairing.topics[0].clone();
    let mut positions = positions(pairing);
    // Behind the mark of the last transaction, as a Java consumer commits it; the end without one.
    let ends =
        carried.runtime.block_on(carried.source.offsets(&[(from.to_string(), 0)], At::Latest { committed: true }));
    positions.insert(format!("{}.1", pairing.flow), ends.unwrap().into_values().next().unwrap().offset);
    for (group, position) in &positions {
        carried.commit(&carried.source, group, (&from, 0), *position);
    }
    carried.round(false);
    // What is past the frontier is looked at when that does not move any more.
    let findings = carried.round(false);
    let states = findings.iter().filter(|fact| fact.state != GroupOffsetState::Exact).collect::<Vec<_>>();
    assert_eq!(states, Vec::<&GroupOffset>::new(), "{kind}");
    let committed = carried.committed(&carried.target, &positions.keys().cloned().collect::<Vec<_>>());
    let switched = switched(pairing, (&pairing.target, &to), &positions, &committed);
    println!("{kind:<14} commits {}  re-delivered {}  skipped {}", switched.groups, switched.again, switched.skipped);
    assert_eq!((switched.groups, switched.again, switched.skipped), (COMMITS, 0, 0), "{kind}");
}

#[test]
fn groups_of_a_plain_topic_go_on_where_they_were() {
    let (source, target) = two();
    let pairing = Pairing::new(source, target, &[("plain", 1)], &[]);
    let copies = pairing.start();
    plain(&pairing);
    pairing.prove();
    copies.stop().unwrap();
    switch(&pairing, "plain");
}

#[test]
fn groups_of_a_transactional_topic_go_on_where_they_were() {
    let (source, target) = two();
    let pairing = Pairing::new(source, target, &[("transactional", 1)], &[]);
    let copies = pairing.start();
    transactional(&pairing);
    pairing.prove();
    copies.stop().unwrap();
    switch(&pairing, "transactional");
}

#[test]
fn groups_of_a_compacted_topic_go_on_where_they_were() {
    let (target, source) = two();
    let pairing = Pairing::new(source, target, &[("compacted", 1)], &COMPACTED);
    compacted(&pairing);
    let copies = pairing.start();
    pairing.prove();
    copies.stop().unwrap();
    switch(&pairing, "compacted");
}

#[test]
fn a_group_is_blocked_or_waits_with_the_reason() {
    let (source, target) = two();
    let pairing = Pairing::new(source, target, &[("states", 1), ("empty", 1)], &[]);
    let (from, to, _) = pairing.topics[0].clone();
    let mut writer = pairing.writer("w");
    let write = |writer: &mut fairlead::log::kafka::KafkaWriter| {
        writer.begin().unwrap();
        (0..50).for_each(|number| writer.produce(&record(&from, 0, number)).unwrap());
        writer.commit().unwrap();
    };
    write(&mut writer);
    let copies = pairing.start();
    pairing.prove();
    copies.stop().unwrap();
    write(&mut writer);
    let dir = tempfile::tempdir().unwrap();
    let offsets = follow(&pairing, &dir);
    until("the ranges are read", || offsets.problem().is_none().then_some(()));
    let carried = Carried::new(&pairing, &offsets, None);
    let name = |group: &str| format!("{}.{group}", pairing.flow);
    let state = |group: &str| {
        let found = carried.round(false).into_iter().find(|fact| fact.group == name(group)).unwrap();
        (found.state, found.target_offset, found.reason.unwrap_or_default())
    };
    let at_source = |group: &str, offset| carried.commit(&carried.source, &name(group), (&from, 0), offset);

    at_source("ahead", 80);
    let (waiting, _, why) = state("ahead");
    assert_eq!(waiting, GroupOffsetState::Waiting);
    assert!(why.contains("has not read that far"), "{why}");

    at_source("moves", 10);
    assert_eq!(state("moves").1, Some(10));
    at_source("moves", 30);
    assert_eq!(state("moves").1, Some(30));
    at_source("moves", 20);
    let (exact, offset, why) = state("moves");
    assert_eq!((exact, offset), (GroupOffsetState::Exact, Some(20)));
    assert!(why.contains("rewound on the source, from 30"), "{why}");

    // It went on on the target; the source stays behind.
    carried.commit(&carried.target, &name("moves"), (&to, 0), 25);
    let (blocked, _, why) = state("moves");
    assert!(blocked == GroupOffsetState::Blocked && why.contains("stands at 25"), "{why}");
    at_source("moves", 40);
    let (blocked, _, why) = state("moves");
    assert!(blocked == GroupOffsetState::Blocked && why.contains("somebody else has committed 25"), "{why}");
    let forced = carried.round(true).into_iter().find(|fact| fact.group == name("moves")).unwrap();
    assert_eq!((forced.state, forced.target_offset), (GroupOffsetState::Exact, Some(40)));

    // A position on an empty partition of which no range speaks.
    carried.commit(&carried.source, &name("empty"), (&pairing.topics[1].0, 0), 0);
    assert_eq!(state("empty").1, Some(0));

    at_source("active", 10);
    let member: BaseConsumer = pairing.target.consumer(&name("active")).create().unwrap();
    member.subscribe(&[to.as_str()]).unwrap();
    until("a member on the target", || {
        let _ = member.poll(Duration::from_millis(100));
        (member.assignment().unwrap().count() > 0).then_some(())
    });
    let (blocked, _, why) = state("active");
    assert!(blocked == GroupOffsetState::Blocked && why.contains("stop them first: fairlead ("), "{why}");
    drop(member);
    until("the member has left", || (state("active").0 == GroupOffsetState::Exact).then_some(()));
}

#[test]
fn positions_before_the_start_and_at_the_end_and_the_way_back() {
    let (source, target) = two();
    let pairing = Pairing::new(source, target, &[("edges", 2)], &[]);
    let (from, to, _) = pairing.topics[0].clone();
    let mut writer = pairing.writer("w");
    writer.begin().unwrap();
    (0..20).for_each(|number| writer.produce(&record(&from, 0, number)).unwrap());
    writer.commit().unwrap();
    let carried = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let admin = Admin::new(&pairing.source).unwrap();
    carried.block_on(admin.delete_records(&BTreeMap::from([((from.to_string(), 0), 5)]))).unwrap();
    let copies = pairing.start();
    pairing.prove();
    copies.stop().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let offsets = follow(&pairing, &dir);
    until("the ranges are read", || offsets.problem().is_none().then_some(()));
    let at = |place| offsets.translate(from.as_str(), 0, place).unwrap();
    let told = |place| serde_json::to_value(at(place)).unwrap();
    assert_eq!((told(0)["state"].clone(), at(0).answer.offset), ("before_start".into(), Some(0)));
    assert_eq!((told(7)["state"].clone(), at(7).answer.offset), ("exact".into(), Some(2)));
    assert_eq!((told(20)["state"].clone(), at(20).answer.offset), ("at_end".into(), Some(15)));
    assert_eq!((told(22)["state"].clone(), at(22).answer.offset), ("waiting".into(), None));
    let back = offsets.back(to.as_str(), 0, 3).unwrap();
    assert_eq!((back.asked.topic.as_str(), back.answer.offset), (to.as_str(), Some(8)));
    assert!(offsets.back(to.as_str(), 0, 15).unwrap().answer.offset.unwrap() >= 20);
    assert!(offsets.translate("nobody", 0, 1).is_err());
    // A second follower begins where the store of the first ended.
    drop(offsets);
    let again = follow(&pairing, &dir);
    assert_eq!(again.translate(from.as_str(), 0, 7).unwrap().answer.offset, Some(2));
    let copied = TopicPartition::new(&to, Partition(0));
    let native = fairlead::mirror::offsets::native::Natives::new(again, Connection::new(target), "it".into());
    assert!(!native.is_native(&copied, 3).unwrap());
}
