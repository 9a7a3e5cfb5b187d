//! The copy on two Kafkas: sources of every kind, growth, a pace, and what stops it.

use std::time::{Duration, Instant};

use fairlead::record::{Partition, Topic, TopicPartition};
use fairlead::wire::Admin;

use super::cases::{COMPACTED, until_compacted};
use super::pair::{Pairing, all, create, record};
use crate::conformance::wire::{Wire, batch_at, produce};
use crate::harness::apache::{Kafka, tool};
use crate::harness::{until, within};

fn two() -> (&'static str, &'static str) {
    static OTHER: std::sync::OnceLock<Kafka> = std::sync::OnceLock::new();
    // The administrator's listener of the broker with logins: it is there for other tests anyway.
    (Kafka::shared(), OTHER.get_or_init(|| Kafka::start_own(&[])).bootstrap())
}

#[test]
fn a_plain_topic_is_copied_as_it_is_while_it_grows_and_over_a_restart() {
    let (source, target) = two();
    let pairing = Pairing::new(source, target, &[("plain", 4), ("empty", 1)], &[]);
    let (topic, _, partitions) = pairing.topics[0].clone();
    let mut writer = pairing.writer("w");
    let mut write = |numbers: std::ops::Range<i64>| {
        writer.begin().unwrap();
        for number in numbers {
            writer.produce(&record(&topic, i32::try_from(number).unwrap() % partitions, number)).unwrap();
        }
        writer.commit().unwrap();
    };
    write(0..2000);
    let copies = pairing.start();
    write(2000..2500);
    until("ready", || copies.ready().then_some(()));
    pairing.prove();
    copies.stop().unwrap();
    write(2500..2600);
    let copies = pairing.start();
    write(2600..3000);
    let ranges = pairing.prove();
    copies.stop().unwrap();
    assert_eq!(ranges.iter().map(|range| range.records).sum::<i64>(), 3000);
    assert!(ranges.iter().all(|range| range.source_topic_id.is_some() && range.source_epoch.is_some()));
}

#[test]
fn aborted_records_and_marks_of_transactions_are_in_no_run() {
    let (source, target) = two();
    let pairing = Pairing::new(source, target, &[("transactional", 2)], &[]);
    let (topic, ..) = pairing.topics[0].clone();
    let mut writer = pairing.writer("w");
    let copies = pairing.start();
    for turn in 0..40 {
        writer.begin().unwrap();
        for number in 0..20 {
            writer.produce(&record(&topic, number % 2, (turn * 20 + number).into())).unwrap();
        }
        if turn % 3 == 2 { writer.abort().unwrap() } else { writer.commit().unwrap() }
    }
    let ranges = pairing.prove();
    copies.stop().unwrap();
    assert_eq!(ranges.iter().map(|range| range.records).sum::<i64>(), 27 * 20);
}

#[test]
fn gaps_of_a_compacted_topic_are_kept_apart() {
    let (source, target) = two();
    let pairing = Pairing::new(source, target, &[("compacted", 1)], &COMPACTED);
    let (topic, ..) = pairing.topics[0].clone();
    let mut writer = pairing.writer("w");
    let mut write = |from: i64| {
        writer.begin().unwrap();
        for number in from..from + 300 {
            let mut record = record(&topic, 0, number);
            // Every third stays; of the others only the newest of each of five keys.
            let key = if number % 3 == 0 { number } else { -number % 5 };
            record.key = Some(format!("key-{key}").into_bytes());
            writer.produce(&record).unwrap();
        }
        writer.commit().unwrap();
    };
    write(0);
    std::thread::sleep(Duration::from_millis(500)); // longer than a segment lasts: the second mark rolls what is before it
    write(300);
    until_compacted(&pairing);
    let copies = pairing.start();
    let ranges = pairing.prove();
    copies.stop().unwrap();
    assert!(ranges.iter().any(|range| range.runs.len() > 1), "nothing was compacted away between records");
}

#[test]
fn new_topics_and_grown_ones_are_taken_up_while_it_runs() {
    let (source, target) = two();
    let mut pairing = Pairing::new(source, target, &[("grows", 1), ("later", 2)], &[]);
    let (grows, grows_copy, _) = pairing.topics[0].clone();
    let (later, later_copy, _) = pairing.topics[1].clone();
    let newest = (Topic::from(&*format!("{later}.newest")), Topic::from(&*format!("{later_copy}.newest")), 1);
    pairing.topics.push(newest.clone());
    let copies = pairing.start();
    until("ready", || copies.ready().then_some(()));
    for (server, topic) in [(target, &grows_copy), (source, &grows)] {
        tool(
            "kafka-topics",
            &["--bootstrap-server", server, "--alter", "--topic", topic.as_str(), "--partitions", "3"],
        );
    }
    create(&pairing.target, &newest.1, 1, &[]);
    create(&pairing.source, &newest.0, 1, &[]);
    pairing.topics[0].2 = 3;
    let mut writer = pairing.writer("w");
    writer.begin().unwrap();
    for number in 0..300 {
        writer.produce(&record(&grows, number % 3, number.into())).unwrap();
        writer.produce(&record(&newest.0, 0, number.into())).unwrap();
    }
    writer.commit().unwrap();
    let ranges = pairing.prove();
    copies.stop().unwrap();
    assert_eq!(ranges.iter().map(|range| range.records).sum::<i64>(), 600);
}

/// librdkafka cannot write the time 0, and so cannot say it here.
#[test]
fn a_record_of_the_time_0_is_copied_as_of_the_time_1_ms_and_counted() {
    let (source, target) = two();
    // Else they are too old to be kept.
    let pairing = Pairing::new(source, target, &[("old", 1)], &[("retention.ms", "-1")]);
    let (topic, copy, _) = pairing.topics[0].clone();
    let kept =
        ["--alter", "--entity-type", "topics", "--entity-name", copy.as_str(), "--add-config", "retention.ms=-1"];
    tool("kafka-configs", &[&["--bootstrap-server", target], &kept[..]].concat());
    let times = [0, 1, 7, 0, -1];
    for (number, time) in times.into_iter().enumerate() {
        let batch = batch_at(time, &number.to_string());
        assert_eq!(produce(&mut Wire::to(source), None, topic.as_str(), batch).0, 0);
    }
    let seen = |connection, topic| all(connection, topic, 0).unwrap().iter().map(|seen| seen.at).collect::<Vec<_>>();
    assert_eq!(seen(&pairing.source, &topic), times);
    let registry = prometheus::Registry::new();
    let copies = fairlead::mirror::copy::Copies::start(vec![pairing.flow()], &registry).unwrap();
    pairing.prove();
    copies.stop().unwrap();
    assert_eq!(seen(&pairing.target, &copy), [1, 1, 7, 1, -1]);
    // The same is found on either side: what an audit compares.
    let sum = |seen: Vec<i64>| {
        let mut sum = fairlead::mirror::checksum::Checksum::default();
        (0..).zip(seen).for_each(|(number, at): (i32, i64)| {
            sum.add(None, Some(number.to_string().as_bytes()), at, [].into_iter());
        });
        sum
    };
    assert_eq!(sum(seen(&pairing.source, &topic)), sum(seen(&pairing.target, &copy)));
    let told = registry.gather().into_iter().find(|family| family.name() == "fairlead_mirror_moved_times_total");
    assert_eq!(told.unwrap().get_metric()[0].get_counter().get_value(), 2.0);
}

#[test]
fn a_rate_is_kept() {
    let (source, target) = two();
    let pairing = Pairing::new(source, target, &[("paced", 1)], &[]);
    let mut writer = pairing.writer("w");
    writer.begin().unwrap();
    for number in 0..3000 {
        let mut record = record(&pairing.topics[0].0, 0, number);
        record.value = Some(vec![b'x'; 1000]);
        writer.produce(&record).unwrap();
    }
    writer.commit().unwrap();
    let mut flow = pairing.flow();
    flow.rate_bytes_max = Some(1_000_000);
    let began = Instant::now();
    let copies = fairlead::mirror::copy::Copies::start(vec![flow], &prometheus::Registry::new()).unwrap();
    pairing.prove();
    copies.stop().unwrap();
    assert!(began.elapsed() > Duration::from_millis(2500), "3 MB at 1 MB/s took {:?}", began.elapsed());
}

fn stopped(copies: &fairlead::mirror::copy::Copies) -> String {
    let why = within(Duration::from_secs(240), "the flow stops", || copies.stopped());
    assert!(!copies.ready());
    why
}

#[test]
fn records_that_are_gone_before_they_were_copied_stop_it_loudly() {
    let (source, target) = two();
    let pairing = Pairing::new(source, target, &[("truncated", 1)], &[]);
    let (topic, ..) = pairing.topics[0].clone();
    let mut writer = pairing.writer("w");
    let mut write = |from: i64| {
        writer.begin().unwrap();
        (from..from + 100).for_each(|number| writer.produce(&record(&topic, 0, number)).unwrap());
        writer.commit().unwrap();
    };
    write(0);
    let copies = pairing.start();
    pairing.prove();
    copies.stop().unwrap();
    write(100);
    let admin = Admin::new(&pairing.source).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let before = [((topic.to_string(), 0), 150)].into_iter().collect();
    runtime.block_on(admin.delete_records(&before)).unwrap();
    let copies = pairing.start();
    let why = stopped(&copies);
    assert!(
        why.contains("begins at 150, but 101 is to be copied next") && why.contains("fairlead mirror skip"),
        "{why}"
    );
    copies.stop().unwrap();
    let copied = || all(&pairing.target, &pairing.topics[0].1, 0).unwrap().len();
    assert_eq!(copied(), 100);
    let skipped = fairlead::mirror::copy::skip(&pairing.flow(), topic.as_str(), 0, 150).unwrap();
    assert_eq!((skipped.from, skipped.to), (101, 150));
    assert!(fairlead::mirror::copy::skip(&pairing.flow(), topic.as_str(), 0, 150).is_err());
    let copies = pairing.start();
    until("what is kept is copied", || (copied() == 151).then_some(()));
    copies.stop().unwrap();
}

#[test]
fn a_source_topic_that_was_created_anew_stops_it_loudly() {
    let (source, target) = two();
    let pairing = Pairing::new(source, target, &[("anew", 1)], &[]);
    let (topic, ..) = pairing.topics[0].clone();
    let write = |name: &str, count: i64| {
        let mut writer = pairing.writer(name);
        writer.begin().unwrap();
        (0..count).for_each(|number| writer.produce(&record(&topic, 0, number)).unwrap());
        writer.commit().unwrap();
    };
    write("a", 50);
    let copies = pairing.start();
    pairing.prove();
    let admin = Admin::new(&pairing.source).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(admin.delete_topics(&[topic.to_string()])).unwrap();
    until("it is gone", || {
        let there = runtime.block_on(admin.topics(None)).ok()?;
        (!there.iter().any(|there| there.name == topic.as_str())).then_some(())
    });
    create(&pairing.source, &topic, 1, &[]);
    write("b", 80);
    let why = stopped(&copies);
    copies.stop().unwrap();
    assert!(why.contains("created anew") || why.contains("ends at"), "{why}");
    // With a restart the id alone tells.
    let copies = pairing.start();
    let why = stopped(&copies);
    copies.stop().unwrap();
    assert!(why.contains("created anew"), "{why}");
    let at = TopicPartition::new(&pairing.topics[0].1, Partition(0));
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(
        all(&pairing.target, &at.topic, 0).unwrap().len(),
        50,
        "a record of the new topic passed for one of the old"
    );
}
