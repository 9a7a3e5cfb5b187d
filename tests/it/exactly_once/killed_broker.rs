//! The only broker is killed inside a transaction and comes back before its session is over. Apache Kafka 4.3.1 then ends the
//! transaction without markers (KAFKA-20734), and would show it with the next commit: what fairlead is to prevent.

use std::time::Duration;

use fairlead::clock::Clock;
use fairlead::log::admin::{TopicPlan, ensure_topics};
use fairlead::log::client::Connection;
use fairlead::log::kafka::{Identity, KafkaLog, KafkaReader};
use fairlead::log::{Committed, Error, Log, Reader};
use fairlead::record::{Batch, NewRecord, Offset, Partition, Topic, TopicPartition};
use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use super::SLOW_COMMIT;
use crate::harness::apache::Kafka;
use crate::harness::load::Load;
use crate::harness::site::{SESSION_MS, Site};
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

/// A topic, mostly of one partition, on a broker of its own, a member that writes to it, and what is on it at last.
struct Left {
    kafka: Kafka,
    connection: Connection,
    place: TopicPartition,
    identity: Identity,
}

impl Left {
    fn new() -> Left {
        Left::on(1)
    }

    fn on(partitions: i32) -> Left {
        let kafka = Kafka::start_own(&[]);
        let (connection, topic) = (Connection::new(kafka.bootstrap()), Topic::from("left"));
        let plan = TopicPlan { name: "left".into(), partitions, replication: Some(1), config: [].into() };
        tokio::runtime::Runtime::new().unwrap().block_on(ensure_topics(&connection, &[plan])).unwrap();
        let (group, transactional_id, writes) = ("group".into(), "group.a".into(), vec![topic.clone()]);
        let identity = Identity { group, transactional_id, instance_id: None, writes };
        Left { kafka, connection, place: TopicPartition::new(&topic, Partition(0)), identity }
    }

    fn join(&self) -> KafkaLog {
        let topics = std::slice::from_ref(&self.place.topic);
        until("a broker that tells how the last transaction ended", || {
            KafkaLog::join(&self.connection, &self.identity, topics)
                .inspect_err(|error| eprintln!("join: {error}"))
                .ok()
        })
    }

    fn record(&self, value: &str) -> NewRecord {
        NewRecord {
            topic: self.place.topic.clone(),
            partition: Some(self.place.partition),
            timestamp: Clock::wall().now(),
            key: Some(b"k".to_vec()),
            value: Some(value.into()),
            headers: Vec::new(),
        }
    }

    fn values(&self) -> Vec<String> {
        values(&mut self.reader(), &self.place)
    }

    fn reader(&self) -> KafkaReader {
        KafkaReader::new(&self.connection, "group").unwrap()
    }
}

/// All that is on a partition.
fn values(reader: &mut KafkaReader, place: &TopicPartition) -> Vec<String> {
    let end = reader.watermarks(place).unwrap().high;
    let (mut batch, mut next) = (Batch::default(), Offset(0));
    until("all of it", || {
        next = reader.read(place, next, 1 << 20, Duration::from_millis(100), &mut batch).unwrap();
        (next >= end).then_some(())
    });
    batch.iter().map(|record| String::from_utf8_lossy(record.value.unwrap_or_default()).into_owned()).collect()
}

#[test]
fn what_a_killed_broker_left_open_is_ended_before_anything_is_written() {
    let mut left = Left::new();
    leave_open(&left.connection, &left.identity, &left.place);
    left.kafka.kill();
    left.kafka.start();

    let mut log = left.join();
    assert_eq!(log.committed(std::slice::from_ref(&left.place)).unwrap(), [None], "offsets of the aborted transaction");
    log.begin().unwrap();
    log.produce(&left.record("after")).unwrap();
    log.commit(&[]).unwrap();
    assert_eq!(left.values(), ["after"], "a record of the aborted transaction is shown");
}

/// Apache Kafka would commit it: a transaction outlives its broker.
#[test]
fn a_transaction_in_which_a_connection_broke_is_not_committed() {
    let mut left = Left::new();
    let mut log = left.join();
    log.begin().unwrap();
    log.produce(&left.record("before")).unwrap();
    until("the record is on the broker", || {
        let reader = KafkaReader::new(&left.connection, "group").unwrap();
        (reader.watermarks(&left.place).unwrap().high > Offset(0)).then_some(())
    });
    left.kafka.stop();
    left.kafka.start();
    log.produce(&left.record("behind")).unwrap();
    // On a slow machine the broker has ended it for its age besides.
    let is_void = |error: &Error| matches!(error, Error::Abort(_) | Error::UnknownOutcome(_));
    let refused = log.commit(&[]).unwrap_err();
    assert!(is_void(&refused), "{refused:?}");
    assert!(log.abort().err().as_ref().is_none_or(is_void));
    log.renew_producer().unwrap();
    log.begin().unwrap();
    log.produce(&left.record("after")).unwrap();
    log.commit(&[]).unwrap();
    assert_eq!(left.values(), ["after"]);
}

/// It may have died before its markers were written. Here they were, and the doubt costs nothing.
#[test]
fn a_commit_after_which_the_connection_broke_is_in_doubt_and_holds() {
    let mut left = Left::new();
    let mut log = left.join();
    log.begin().unwrap();
    log.produce(&left.record("told")).unwrap();
    log.commit(&[]).unwrap();
    assert!(!log.in_doubt());
    left.kafka.stop();
    until("the broken connection", || log.in_doubt().then_some(()));
    assert!(log.must_renew());
    left.kafka.start();
    until("a new producer", || log.renew_producer().ok());
    assert!(!log.must_renew() && !log.in_doubt());
    assert_eq!(left.values(), ["told"]);
}

/// A commit is told before its markers are written. A broker that is killed over them, and back at once, writes the rest on those
/// partitions only that have a leader by then.
#[test]
fn a_commit_that_was_told_is_whole_although_its_broker_was_killed_over_it() {
    const PARTITIONS: i32 = 200;
    let mut left = Left::on(PARTITIONS);
    let places: Vec<_> = (0..PARTITIONS).map(|n| TopicPartition::new(&left.place.topic, Partition(n))).collect();
    let mut log = left.join();
    log.begin().unwrap();
    for place in &places {
        log.produce(&NewRecord { partition: Some(place.partition), ..left.record("told") }).unwrap();
    }
    let committed = Committed { offset: Offset(1), metadata: "first".to_owned() };
    log.commit(&[(left.place.clone(), committed.clone())]).unwrap();
    left.kafka.kill();
    left.kafka.start();

    drop(log);
    let mut log = left.join();
    assert_eq!(log.committed(std::slice::from_ref(&left.place)).unwrap(), [Some(committed)]);
    log.begin().unwrap();
    log.produce(&left.record("after")).unwrap();
    log.commit(&[]).unwrap();
    assert_eq!(left.values(), ["told", "after"]);
    let mut reader = left.reader();
    let lost: Vec<_> = places[1..].iter().filter(|place| values(&mut reader, place) != ["told"]).collect();
    assert!(lost.is_empty(), "the record is lost or doubled: {lost:?}");
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
