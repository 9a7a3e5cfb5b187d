//! Positions carried over between two Kafkas: 1,000 random commits a kind of topic, and what a reader finds on the other side.
//!
//! What a group has not read on the source is the rest of the log from its position on; what it is given on the target is the rest from
//! the position that was committed for it there. The copy is proven to be the same records in the same order, so the rests are the
//! same if they have the same first record and the same length; what is too much was re-delivered, what is missing skipped.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use fairlead::clock::Clock;
use fairlead::codec::Formats;
use fairlead::event::{GroupOffset, GroupOffsetState};
use fairlead::log::client::Connection;
use fairlead::mirror::groups::{Chosen, Groups, GroupsConfig, Opposite};
use fairlead::mirror::offsets::{Offsets, OffsetsConfig};
use fairlead::record::{Partition, Topic, TopicPartition};
use fairlead::runtime::SchemaAnswer;
use fairlead::runtime::store::Memory;
use fairlead::wire::{Admin, Committed};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};

use super::pair::{Pairing, Seen, all, record};
use crate::harness::apache::Kafka;
use crate::harness::load::Random;
use crate::harness::until;

const COMMITS: usize = 1000;

fn two() -> (&'static str, &'static str) {
    static OTHER: std::sync::OnceLock<Kafka> = std::sync::OnceLock::new();
    (Kafka::shared(), OTHER.get_or_init(|| Kafka::start_own(&["--set", "log.cleaner.backoff.ms=200"])).bootstrap())
}

/// Follows the ranges of a flow, in a store of its own.
pub fn follow(pairing: &Pairing, dir: &tempfile::TempDir) -> Arc<Offsets> {
    let config = OffsetsConfig {
        flow: pairing.flow.clone(),
        connection: pairing.target.clone(),
        group: "it.offsets".into(),
        topic: pairing.offsets.clone(),
        topic_id: None,
        path: dir.path().join(&pairing.flow),
        memory: Memory::new(16 << 20),
        formats: Formats::shipped(),
        schemas: Arc::new(|_| SchemaAnswer::NotFound),
        clock: Clock::wall(),
    };
    Arc::new(Offsets::start(config).unwrap())
}

pub struct Carried {
    pub groups: Groups,
    pub runtime: tokio::runtime::Runtime,
    pub source: Admin,
    pub target: Admin,
}

impl Carried {
    pub fn new(pairing: &Pairing, offsets: &Arc<Offsets>, opposite: Option<&Arc<Offsets>>) -> Self {
        let topics: BTreeMap<String, String> =
            pairing.topics.iter().map(|(from, to, _)| (from.to_string(), to.to_string())).collect();
        let config = GroupsConfig {
            flow: pairing.flow.clone(),
            from: pairing.source.clone(),
            to: pairing.target.clone(),
            reader: "it.groups".into(),
            names: Arc::new(move |topic| topics.get(topic).cloned()),
            chosen: Chosen::new(&[format!("{}\\..*", pairing.flow)], &[]).unwrap(),
            merge: false,
            offsets: Arc::clone(offsets),
            opposite: opposite
                .map(|offsets| Opposite {
                    offsets: Arc::clone(offsets),
                    names: Arc::new(|topic| Some(topic.to_owned())),
                })
                .into_iter()
                .collect(),
            clock: Clock::wall(),
        };
        Self {
            groups: Groups::new(config).unwrap(),
            runtime: tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap(),
            source: Admin::new(&pairing.source).unwrap(),
            target: Admin::new(&pairing.target).unwrap(),
        }
    }

    pub fn commit(&self, admin: &Admin, group: &str, place: (&Topic, i32), offset: i64) {
        let committed = Committed { offset, leader_epoch: None, metadata: String::new() };
        let offsets = BTreeMap::from([((place.0.to_string(), place.1), committed)]);
        let outcomes = self.runtime.block_on(admin.commit_group_offsets(group, &offsets)).unwrap();
        outcomes.into_values().for_each(|outcome| outcome.unwrap());
    }

    pub fn round(&self, force: bool) -> Vec<GroupOffset> {
        self.runtime.block_on(self.groups.round(force)).unwrap()
    }

    pub fn committed(&self, admin: &Admin, groups: &[String]) -> BTreeMap<String, i64> {
        let told = self.runtime.block_on(admin.group_offsets(groups)).unwrap();
        told.into_iter().filter_map(|(group, offsets)| Some((group, offsets.into_values().next()?.offset))).collect()
    }
}

/// What a consumer that goes on there is given first.
fn first_read(consumer: &BaseConsumer, topic: &Topic, offset: i64, has_more: bool) -> Option<(i64, Vec<u8>)> {
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic.as_str(), 0, Offset::Offset(offset)).unwrap();
    consumer.assign(&list).unwrap();
    let read = || {
        let message = consumer.poll(Duration::from_millis(if has_more { 200 } else { 50 }))?.ok()?;
        Some((message.offset(), message.payload().unwrap_or_default().to_vec()))
    };
    if has_more { Some(until("a record from the committed offset", read)) } else { read() }
}

/// 1,000 groups with a random position each; re-delivered and skipped, over all of them.
fn switch(pairing: &Pairing, kind: &str) -> (usize, usize) {
    let dir = tempfile::tempdir().unwrap();
    let offsets = follow(pairing, &dir);
    until("the ranges are read", || offsets.problem().is_none().then_some(()));
    offsets.settle(Duration::from_secs(30)).unwrap();
    let carried = Carried::new(pairing, &offsets, None);
    let (from, to, _) = pairing.topics[0].clone();
    let (source, target) = (all(&pairing.source, &from, 0).unwrap(), all(&pairing.target, &to, 0).unwrap());
    let end = source.last().unwrap().offset + 2;
    let mut random = Random(7);
    let mut positions = BTreeMap::new();
    for number in 0..COMMITS {
        let position = match number {
            0 => 0,
            1 => end - 1,
            // With the mark of the last transaction: as a Java consumer commits it.
            2 => end,
            _ => i64::try_from(random.below(u64::try_from(end).unwrap())).unwrap(),
        };
        let group = format!("{}.{number}", pairing.flow);
        carried.commit(&carried.source, &group, (&from, 0), position);
        positions.insert(group, position);
    }
    carried.round(false);
    // What is past the frontier is looked at when it does not move any more.
    let findings = carried.round(false);
    let states = findings.iter().filter(|fact| fact.state != GroupOffsetState::Exact).collect::<Vec<_>>();
    assert_eq!(states, Vec::<&GroupOffset>::new(), "{kind}");
    let names: Vec<String> = positions.keys().cloned().collect();
    let committed = carried.committed(&carried.target, &names);
    assert_eq!(committed.len(), COMMITS);
    let consumer: BaseConsumer = pairing.target.consumer("it.switched").create().unwrap();
    let (mut again, mut skipped) = (0, 0);
    for (group, position) in &positions {
        let rest = |seen: &[Seen], from: i64| seen.len() - seen.partition_point(|record| record.offset < from);
        let (unread, given) = (rest(&source, *position), rest(&target, committed[group]));
        again += given.saturating_sub(unread);
        skipped += unread.saturating_sub(given);
        let next = source.len().checked_sub(unread).and_then(|at| source.get(at));
        let read = first_read(&consumer, &to, committed[group], next.is_some());
        let expected = next.map(|next| next.value.clone().unwrap_or_default());
        assert_eq!(read.map(|(_, value)| value), expected, "{kind}: {group} at {position} -> {}", committed[group]);
    }
    println!("{kind:<14} commits {COMMITS}  re-delivered {again}  skipped {skipped}");
    (again, skipped)
}

#[test]
fn a_plain_topic_s_groups_go_on_where_they_were() {
    let (source, target) = two();
    let pairing = Pairing::new(source, target, &[("plain", 1)], &[]);
    let topic = pairing.topics[0].0.clone();
    let producer: rdkafka::producer::BaseProducer = pairing.source.producer().create().unwrap();
    let copies = pairing.start();
    for number in 0..3000 {
        let value = format!("value-{number}");
        let record = rdkafka::producer::BaseRecord::<str, str>::to(topic.as_str()).partition(0).payload(&value);
        producer.send(record).map_err(|(error, _)| error).unwrap();
        if number % 300 == 0 {
            rdkafka::producer::Producer::flush(&producer, Duration::from_secs(30)).unwrap();
        }
    }
    rdkafka::producer::Producer::flush(&producer, Duration::from_secs(30)).unwrap();
    pairing.prove();
    copies.stop().unwrap();
    assert_eq!(switch(&pairing, "plain"), (0, 0));
}

#[test]
fn a_transactional_topic_s_groups_go_on_where_they_were() {
    let (source, target) = two();
    let pairing = Pairing::new(source, target, &[("transactional", 1)], &[]);
    let topic = pairing.topics[0].0.clone();
    let mut writer = pairing.writer("w");
    let copies = pairing.start();
    for turn in 0..100 {
        writer.begin().unwrap();
        (0..30).for_each(|number| writer.produce(&record(&topic, 0, turn * 30 + number)).unwrap());
        if turn % 4 == 2 { writer.abort().unwrap() } else { writer.commit().unwrap() }
    }
    pairing.prove();
    copies.stop().unwrap();
    assert_eq!(switch(&pairing, "transactional"), (0, 0));
}

#[test]
fn a_compacted_topic_s_groups_go_on_where_they_were() {
    let (target, source) = two();
    let config = [
        ("cleanup.policy", "compact"),
        ("segment.ms", "200"),
        ("min.cleanable.dirty.ratio", "0.01"),
        ("max.compaction.lag.ms", "500"),
    ];
    let pairing = Pairing::new(source, target, &[("compacted", 1)], &config);
    let topic = pairing.topics[0].0.clone();
    let mut writer = pairing.writer("w");
    for turn in 0..10 {
        writer.begin().unwrap();
        for number in turn * 300..(turn + 1) * 300 {
            let mut record = record(&topic, 0, number);
            record.key = Some(format!("key-{}", number % (37 + turn * 100)).into_bytes());
            writer.produce(&record).unwrap();
        }
        writer.commit().unwrap();
        std::thread::sleep(Duration::from_millis(300));
    }
    let mut last = usize::MAX;
    until("the source is compacted, and comes to rest", || {
        std::thread::sleep(Duration::from_secs(2));
        let seen = all(&pairing.source, &topic, 0).ok()?.len();
        let rests = seen < 2000 && seen == last;
        last = seen;
        rests.then_some(())
    });
    let copies = pairing.start();
    pairing.prove();
    copies.stop().unwrap();
    assert_eq!(switch(&pairing, "compacted"), (0, 0));
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
