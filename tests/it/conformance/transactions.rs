//! Transactions: atomic, isolated, fenced.

use super::client::*;
use crate::harness::apache::unique;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerGroupMetadata};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::producer::Producer;
use rdkafka::{Offset, TopicPartitionList};
use std::time::Duration;

fn run(producer: &TestProducer, topic: &str, values: &[&str], commits: bool) {
    producer.begin_transaction().unwrap();
    values.iter().for_each(|value| send(producer, topic, 0, value));
    if commits { commit(producer).unwrap() } else { abort(producer) }
}

pub fn read_committed_sees_only_what_was_committed(cluster: &Cluster) {
    let topic = cluster.topic(1, &[]);
    let producer = cluster.transactional(&unique("tx"), &[]);
    run(&producer, &topic, &["a1", "a2", "a3", "a4", "a5"], true);
    run(&producer, &topic, &["b1", "b2", "b3", "b4", "b5"], false);
    run(&producer, &topic, &["c1", "c2", "c3", "c4", "c5"], true);
    let committed = cluster.read_all(&topic, 1, "read_committed");
    assert_eq!(values(&committed), ["a1", "a2", "a3", "a4", "a5", "c1", "c2", "c3", "c4", "c5"]);
    assert_eq!(cluster.read_all(&topic, 1, "read_uncommitted").len(), 15);
    // 15 records and 3 markers.
    assert_eq!(cluster.watermarks(&topic, 0), (0, 18));
    assert_eq!(committed[5].offset, 12, "five records, a marker, five aborted ones and their marker lie before");
}

pub fn a_plain_record_waits_behind_an_open_transaction(cluster: &Cluster) {
    let topic = cluster.topic(1, &[]);
    let producer = cluster.transactional(&unique("tx"), &[]);
    producer.begin_transaction().unwrap();
    send(&producer, &topic, 0, "open");
    drain(&producer);
    cluster.send_all(&topic, 0, &["plain"]);
    assert_eq!(cluster.read_all(&topic, 1, "read_committed"), []);
    assert_eq!(values(&cluster.read_all(&topic, 1, "read_uncommitted")), ["open", "plain"]);
    abort(&producer);
    assert_eq!(values(&cluster.read_all(&topic, 1, "read_committed")), ["plain"]);
}

pub fn transactions_interleave_on_one_partition(cluster: &Cluster) {
    let topic = cluster.topic(1, &[]);
    let (one, two) = (cluster.transactional(&unique("tx"), &[]), cluster.transactional(&unique("tx"), &[]));
    one.begin_transaction().unwrap();
    two.begin_transaction().unwrap();
    for round in 0..3 {
        for (name, producer) in [("one", &one), ("two", &two)] {
            send(producer, &topic, 0, &format!("{name} {round}"));
            drain(producer);
        }
    }
    commit(&two).unwrap();
    // The first transaction is still open and began earlier, so nothing is stable yet.
    assert_eq!(cluster.read_all(&topic, 1, "read_committed"), []);
    abort(&one);
    assert_eq!(values(&cluster.read_all(&topic, 1, "read_committed")), ["two 0", "two 1", "two 2"]);
}

pub fn a_transaction_covers_several_partitions(cluster: &Cluster) {
    let topic = cluster.topic(3, &[]);
    let producer = cluster.transactional(&unique("tx"), &[]);
    for (round, commits) in [(0, true), (1, false), (2, true)] {
        producer.begin_transaction().unwrap();
        (0..3).for_each(|partition| send(&producer, &topic, partition, &format!("{round} {partition}")));
        if commits { commit(&producer).unwrap() } else { abort(&producer) }
    }
    let got = cluster.read_all(&topic, 3, "read_committed");
    assert_eq!(values(&got), ["0 0", "2 0", "0 1", "2 1", "0 2", "2 2"]);
}

/// A member of a group of its own, with its assignment.
fn member(cluster: &Cluster, group: &str, topic: &str) -> (BaseConsumer, ConsumerGroupMetadata) {
    let consumer = cluster.consumer(group, &[]);
    consumer.subscribe(&[topic]).unwrap();
    until("the member has its partition", || {
        let _ = consumer.poll(Duration::from_millis(20));
        consumer.assignment().unwrap().count() == 1
    });
    let metadata = consumer.group_metadata().unwrap();
    (consumer, metadata)
}

fn offsets(topic: &str, offset: i64) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, 0, Offset::Offset(offset)).unwrap();
    list
}

/// The committed offset; `Invalid` if there is none.
fn committed(cluster: &Cluster, group: &str, topic: &str, timeout: Duration) -> KafkaResult<Offset> {
    let reader = cluster.consumer(group, &[]);
    let list = reader.committed_offsets(offsets(topic, 0), timeout)?;
    Ok(list.elements()[0].offset())
}

pub fn offsets_count_with_the_transaction(cluster: &Cluster) {
    let (topic, group) = (cluster.topic(1, &[]), unique("group"));
    cluster.send_all(&topic, 0, &["a", "b", "c"]);
    let (_consumer, metadata) = member(cluster, &group, &topic);
    let producer = cluster.transactional(&unique("tx"), &[]);
    for (offset, commits, expected) in
        [(1, true, Offset::Offset(1)), (2, false, Offset::Offset(1)), (3, true, Offset::Offset(3))]
    {
        producer.begin_transaction().unwrap();
        send(&producer, &topic, 0, "out");
        producer.send_offsets_to_transaction(&offsets(&topic, offset), &metadata, PATIENCE).unwrap();
        if commits {
            commit(&producer).unwrap()
        } else {
            abort(&producer)
        }
        assert_eq!(committed(cluster, &group, &topic, PATIENCE).unwrap(), expected);
    }
    // A member of a generation that is over may not commit (KIP-447).
    drop(_consumer);
    let (_successor, _) = member(cluster, &group, &topic);
    producer.begin_transaction().unwrap();
    let refused = producer.send_offsets_to_transaction(&offsets(&topic, 2), &metadata, PATIENCE).unwrap_err();
    let KafkaError::Transaction(refused) = refused else { panic!("{refused:?}") };
    assert!(refused.txn_requires_abort(), "{refused:?}");
    abort(&producer);
    assert_eq!(committed(cluster, &group, &topic, PATIENCE).unwrap(), Offset::Offset(3));
}

pub fn unstable_offsets_are_waited_for(cluster: &Cluster) {
    let (topic, group) = (cluster.topic(1, &[]), unique("group"));
    let (_consumer, metadata) = member(cluster, &group, &topic);
    let producer = cluster.transactional(&unique("tx"), &[]);
    producer.begin_transaction().unwrap();
    producer.send_offsets_to_transaction(&offsets(&topic, 5), &metadata, PATIENCE).unwrap();
    // librdkafka asks for stable offsets only, and asks again until its patience ends.
    let waited = committed(cluster, &group, &topic, Duration::from_millis(1_500));
    assert!(waited.is_err(), "an offset that may still change was told: {waited:?}");
    commit(&producer).unwrap();
    assert_eq!(committed(cluster, &group, &topic, PATIENCE).unwrap(), Offset::Offset(5));
}

pub fn a_zombie_is_fenced(cluster: &Cluster) {
    let (topic, id) = (cluster.topic(1, &[]), unique("tx"));
    let zombie = cluster.transactional(&id, &[]);
    zombie.begin_transaction().unwrap();
    send(&zombie, &topic, 0, "zombie 1");
    drain(&zombie);
    let heir = cluster.transactional(&id, &[]);
    send(&zombie, &topic, 0, "zombie 2");
    drain(&zombie);
    let outcome = zombie.context().0.lock().unwrap().pop().unwrap();
    assert!(outcome.is_err(), "the zombie's record was taken");
    let KafkaError::Transaction(refused) = zombie.commit_transaction(PATIENCE).unwrap_err() else { panic!() };
    assert!(refused.is_fatal(), "{refused:?}");
    assert_eq!(refused.code(), RDKafkaErrorCode::Fenced);
    run(&heir, &topic, &["heir"], true);
    assert_eq!(values(&cluster.read_all(&topic, 1, "read_committed")), ["heir"]);
}

pub fn an_overdue_transaction_is_aborted(cluster: &Cluster) {
    let topic = cluster.topic(1, &[]);
    let producer = cluster.transactional(&unique("tx"), &[("transaction.timeout.ms", "1000")]);
    producer.begin_transaction().unwrap();
    send(&producer, &topic, 0, "late");
    drain(&producer);
    cluster.send_all(&topic, 0, &["plain"]);
    // Kafka looks for overdue transactions every ten seconds.
    until("the coordinator aborts", || cluster.read_all(&topic, 1, "read_committed").len() == 1);
    let KafkaError::Transaction(refused) = producer.commit_transaction(PATIENCE).unwrap_err() else { panic!() };
    assert!(refused.is_fatal(), "{refused:?}");
    assert_eq!(values(&cluster.read_all(&topic, 1, "read_committed")), ["plain"]);
}

pub fn the_next_holder_of_an_id_aborts_the_last_ones_transaction(cluster: &Cluster) {
    let (topic, id) = (cluster.topic(1, &[]), unique("tx"));
    let dead = cluster.transactional(&id, &[]);
    dead.begin_transaction().unwrap();
    send(&dead, &topic, 0, "dead");
    drain(&dead);
    // As a process that is killed: no abort is sent.
    std::mem::forget(dead);
    let next = cluster.transactional(&id, &[]);
    cluster.send_all(&topic, 0, &["plain"]);
    assert_eq!(values(&cluster.read_all(&topic, 1, "read_committed")), ["plain"], "aborted at once, not by time-out");
    run(&next, &topic, &["next"], true);
    assert_eq!(values(&cluster.read_all(&topic, 1, "read_committed")), ["plain", "next"]);
}

pub fn a_hundred_transactions_are_whole(cluster: &Cluster) {
    let topic = cluster.topic(1, &[]);
    let producer = cluster.transactional(&unique("tx"), &[]);
    for number in 0..100 {
        let values: Vec<String> = (0..10).map(|at| format!("{number} {at}")).collect();
        let values: Vec<&str> = values.iter().map(String::as_str).collect();
        run(&producer, &topic, &values, number % 3 != 0);
    }
    let expected: Vec<String> = (0..100)
        .filter(|number| number % 3 != 0)
        .flat_map(|number| (0..10).map(move |at| format!("{number} {at}")))
        .collect();
    assert_eq!(values(&cluster.read_all(&topic, 1, "read_committed")), expected);
}
