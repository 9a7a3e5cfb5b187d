//! The only broker is killed inside a transaction and comes back before its session is over. Apache Kafka 4.3.1 then ends the
//! transaction without markers (KAFKA-20734), and would show it with the next commit: what fairlead is to prevent.

use std::time::Duration;

use fairlead::log::admin::{TopicPlan, ensure_topics};
use fairlead::log::client::Connection;
use fairlead::log::kafka::{Identity, KafkaLog, KafkaReader};
use fairlead::log::{Log, Reader};
use fairlead::record::{Batch, Offset, Partition, Topic, TopicPartition};
use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use super::SLOW_COMMIT;
use super::load::Load;
use super::site::{SESSION_MS, Site};
use crate::harness::apache::Kafka;
use crate::harness::until;

const CALL: Duration = Duration::from_secs(30);
/// With what the transaction was held for before, longer than a transaction may take.
const AWAY: Duration = Duration::from_secs(8);

/// Writes a record and offsets in a transaction and leaves it open.
fn leave_open(connection: &Connection, identity: &Identity, input: &TopicPartition) {
    let member: BaseConsumer = connection.consumer(&identity.group).create().unwrap();
    let mut offsets = TopicPartitionList::new();
    offsets.add_partition_offset(input.topic.as_str(), input.partition.0, rdkafka::Offset::Offset(1)).unwrap();
    until("the group's coordinator", || member.committed_offsets(offsets.clone(), CALL).ok());
    let mut config = connection.producer();
    config.set("transactional.id", &identity.transactional_id).set("transaction.timeout.ms", "4000");
    let producer: BaseProducer = config.create().unwrap();
    producer.init_transactions(CALL).unwrap();
    producer.begin_transaction().unwrap();
    producer
        .send(BaseRecord::to("left").partition(0).key("k").payload("left open"))
        .map_err(|(error, _)| error)
        .unwrap();
    producer.flush(CALL).unwrap();
    producer.send_offsets_to_transaction(&offsets, &member.group_metadata().unwrap(), CALL).unwrap();
}

#[test]
fn what_a_killed_broker_left_open_is_ended_before_anything_is_written() {
    let mut kafka = Kafka::start_own(&[]);
    let (connection, topic) = (Connection::new(kafka.bootstrap()), Topic::from("left"));
    let place = TopicPartition::new(&topic, Partition(0));
    let plan = TopicPlan { name: "left".into(), partitions: 1, replication: Some(1), config: [].into() };
    tokio::runtime::Runtime::new().unwrap().block_on(ensure_topics(&connection, &[plan])).unwrap();
    let transactional_id = "group.a".to_owned();
    let identity = Identity { group: "group".into(), transactional_id, instance_id: None, writes: vec![topic.clone()] };
    leave_open(&connection, &identity, &place);
    kafka.kill();
    kafka.start();

    let mut log = KafkaLog::join(&connection, &identity, std::slice::from_ref(&topic)).unwrap();
    assert_eq!(log.committed(std::slice::from_ref(&place)).unwrap(), [None], "offsets of the aborted transaction");
    log.begin().unwrap();
    let record = fairlead::record::NewRecord {
        topic: topic.clone(),
        partition: Some(Partition(0)),
        timestamp: fairlead::clock::Clock::wall().now(),
        key: Some(b"k".to_vec()),
        value: Some(b"after".to_vec()),
        headers: Vec::new(),
    };
    log.produce(&record).unwrap();
    log.commit(&[]).unwrap();
    let mut reader = KafkaReader::new(&connection, "group").unwrap();
    let end = reader.watermarks(&place).unwrap().high;
    let (mut batch, mut next) = (Batch::default(), Offset(0));
    until("all of it", || {
        next = reader.read(&place, next, 1 << 20, Duration::from_millis(100), &mut batch).unwrap();
        (next >= end).then_some(())
    });
    let values: Vec<_> = batch.iter().map(|record| record.value.map(String::from_utf8_lossy)).collect();
    assert_eq!(values, [Some("after".into())], "a record of the aborted transaction is shown");
}

#[test]
fn a_broker_that_is_killed_inside_a_transaction_costs_nothing() {
    let mut kafka = Kafka::start_own(&[]);
    let site = Site::on(kafka.bootstrap(), SESSION_MS, "");
    let load = Load::start(&site, 23, 20);
    let mut process = site.start_with("a", "a", &SLOW_COMMIT);
    site.wait_for_a_held_transaction();
    kafka.kill();
    std::thread::sleep(AWAY);
    kafka.start();
    let committed = || site.ends(&site.topology.names.journal());
    let before = committed();
    site.wait_for("it goes on", || committed() > before + 10);
    let sent = load.finish();
    site.wait_until_all_is_committed();
    assert!(process.is_running(), "{}", site.logs());
    super::assert_model_saw(&site, sent);
    process.end();
    let log = site.log_of("a");
    let told = |what: &str| log.matches(what).count();
    assert_eq!((told("kafka is away"), told("AllBrokersDown")), (1, 0), "{log}");
}
