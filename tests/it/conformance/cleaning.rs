//! What a topic's `cleanup.policy` promises happens: records that are too old or too many go, of each key the newest stays, and a
//! reader gets to the end over what is gone. Both brokers are told to look often; a segment is begun with every later time.

use super::client::{Cluster, PATIENCE, TestProducer, abort, commit, drain, taken, until, values};
use fairlead::embedded::broker::{Broker, BrokerConfig};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};
use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::harness::apache::{Kafka, unique};

const CHECKS: [fn(&Cluster); 6] = [
    of_each_key_the_newest_stays,
    a_deletion_goes_when_it_was_seen,
    aborted_records_go_and_later_ones_are_seen,
    what_a_transaction_has_open_is_not_touched,
    old_records_go,
    of_too_many_the_newest_stay,
];

/// Each check has topics of its own, and waits most of its time.
fn all(cluster: &Cluster) {
    std::thread::scope(|scope| {
        for check in CHECKS {
            scope.spawn(move || check(cluster));
        }
    });
}

#[test]
fn on_embedded() {
    let dir = tempfile::tempdir().unwrap();
    let (listen, housekeeping_every) = (SocketAddr::from(([127, 0, 0, 1], 0)), Duration::from_millis(50));
    let broker = Broker::start(BrokerConfig { listen, housekeeping_every, ..BrokerConfig::new(dir.path()) }).unwrap();
    all(&Cluster { bootstrap: broker.addr().to_string() });
}

#[test]
fn on_apache() {
    let often = ["log.cleaner.backoff.ms=50", "log.retention.check.interval.ms=50", "log.initial.task.delay.ms=50"];
    let kafka = Kafka::start_own(&often.map(|setting| ["--set", setting]).concat());
    all(&Cluster { bootstrap: kafka.bootstrap().to_owned() });
}

const COMPACT: [(&str, &str); 3] =
    [("cleanup.policy", "compact"), ("segment.ms", "1"), ("min.cleanable.dirty.ratio", "0")];

/// Records with a time of their own each, so that each begins a segment.
struct Writer<'a> {
    topic: &'a str,
    producer: TestProducer,
    time: i64,
}

impl<'a> Writer<'a> {
    fn new(topic: &'a str, producer: TestProducer) -> Writer<'a> {
        let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
        Writer { topic, producer, time }
    }

    fn write(&mut self, key: &str, value: Option<&str>) {
        self.time += 10;
        let record = BaseRecord::to(self.topic).key(key).partition(0).timestamp(self.time);
        let record = value.into_iter().fold(record, BaseRecord::payload);
        self.producer.send(record).map_err(|(error, _)| error).unwrap();
        drain(&self.producer);
    }

    /// Ends the segment of what was written before.
    fn write_filler(&mut self) {
        self.write("filler", Some("filler"));
    }

    /// Values that begin with their key.
    fn write_all(&mut self, values: &[&str]) {
        values.iter().for_each(|value| self.write(&value[..1], Some(value)));
    }
}

/// The offsets of what a reader gets that begins at `from` and goes to the end.
fn offsets_from(cluster: &Cluster, topic: &str, from: i64, isolation: &str) -> Vec<i64> {
    let consumer: BaseConsumer = cluster.consumer("nobody", &[("isolation.level", isolation)]);
    let (_, end) = consumer.fetch_watermarks(topic, 0, PATIENCE).unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, 0, Offset::Offset(from)).unwrap();
    consumer.assign(&list).unwrap();
    let mut offsets = Vec::new();
    until("the end is reached", || {
        while let Some(message) = consumer.poll(Duration::from_millis(20)) {
            offsets.push(taken(&message.unwrap()).offset);
        }
        matches!(consumer.position().unwrap().elements()[0].offset(), Offset::Offset(at) if at >= end)
    });
    offsets
}

fn of_each_key_the_newest_stays(cluster: &Cluster) {
    let topic = cluster.topic(1, &COMPACT);
    let mut writer = Writer::new(&topic, cluster.producer(&[]));
    writer.write_all(&["a1", "b1", "c1", "c2", "c3", "c4", "c5", "a2", "b2", "c6", "a3", "d1"]);
    // The last one is in the segment that is written to.
    until("only the newest of each key is left", || {
        values(&cluster.read_all(&topic, 1, "read_committed")) == ["b2", "c6", "a3", "d1"]
    });
    assert_eq!(cluster.watermarks(&topic, 0), (0, 12), "offsets never change");
    for isolation in ["read_committed", "read_uncommitted"] {
        for (from, expected) in [(0, &[8, 9, 10, 11][..]), (4, &[8, 9, 10, 11]), (9, &[9, 10, 11]), (11, &[11])] {
            assert_eq!(offsets_from(cluster, &topic, from, isolation), expected, "{isolation} from {from}");
        }
    }
}

fn a_deletion_goes_when_it_was_seen(cluster: &Cluster) {
    for (retention, goes) in [("1", true), ("86400000", false)] {
        let topic = cluster.topic(1, &[&COMPACT[..], &[("delete.retention.ms", retention)]].concat());
        let mut writer = Writer::new(&topic, cluster.producer(&[]));
        writer.write("a", Some("a1"));
        writer.write("a", None);
        let has = |value: Option<&str>| {
            let got = cluster.read_all(&topic, 1, "read_committed");
            got.iter().any(|got| got.key.as_deref() == Some("a") && got.value.as_deref() == value)
        };
        let mut passes = 0;
        until("the value is gone, and the deletion if it was seen", || {
            writer.write_filler();
            passes += 1;
            !has(Some("a1")) && (passes > 20 || goes) && has(None) != goes
        });
    }
}

fn aborted_records_go_and_later_ones_are_seen(cluster: &Cluster) {
    let topic = cluster.topic(1, &COMPACT);
    let mut writer = Writer::new(&topic, cluster.transactional(&unique("cleaning"), &[]));
    writer.producer.begin_transaction().unwrap();
    writer.write_all(&["a1", "b1"]);
    commit(&writer.producer).unwrap();
    writer.producer.begin_transaction().unwrap();
    writer.write_all(&["a2", "c1"]);
    abort(&writer.producer);
    let mut plain = Writer::new(&topic, cluster.producer(&[]));
    until("what was aborted is gone", || {
        plain.write_filler();
        let got = cluster.read_all(&topic, 1, "read_uncommitted");
        values(&got)[..2] == ["a1", "b1"] && !values(&got).contains(&"c1")
    });
    // Nothing of the abort is left that would hide what its producer commits later.
    writer.producer.begin_transaction().unwrap();
    writer.write_all(&["e1"]);
    commit(&writer.producer).unwrap();
    let seen = cluster.read_all(&topic, 1, "read_committed");
    let seen: Vec<&str> = values(&seen).into_iter().filter(|value| *value != "filler").collect();
    assert_eq!(seen, ["a1", "b1", "e1"]);
}

fn what_a_transaction_has_open_is_not_touched(cluster: &Cluster) {
    let topic = cluster.topic(1, &COMPACT);
    let mut writer = Writer::new(&topic, cluster.transactional(&unique("cleaning"), &[]));
    let mut plain = Writer::new(&topic, cluster.producer(&[]));
    plain.write_all(&["a1", "a2"]);
    writer.time = plain.time;
    writer.producer.begin_transaction().unwrap();
    writer.write_all(&["a3", "a4"]);
    plain.time = writer.time;
    plain.write_all(&["a5", "a6"]);
    until("what is before the transaction is compacted", || {
        values(&cluster.read_all(&topic, 1, "read_uncommitted")) == ["a2", "a3", "a4", "a5", "a6"]
    });
    commit(&writer.producer).unwrap();
    until("what was in it is compacted when it has ended", || {
        plain.write_filler();
        let got = cluster.read_all(&topic, 1, "read_committed");
        values(&got).iter().filter(|value| **value != "filler").eq([&"a6"])
    });
}

fn old_records_go(cluster: &Cluster) {
    let policies = [&[][..], &[("cleanup.policy", "compact,delete"), ("min.cleanable.dirty.ratio", "0")]];
    for policy in policies {
        let topic = cluster.topic(1, &[policy, &[("retention.ms", "60000"), ("segment.ms", "1")]].concat());
        let mut writer = Writer::new(&topic, cluster.producer(&[]));
        let now = writer.time;
        writer.time -= 120_000;
        writer.write_all(&["a1", "b1", "b2"]);
        until("all is gone, and the offsets go on", || cluster.watermarks(&topic, 0) == (3, 3));
        writer.time = now;
        writer.write_all(&["c1", "d1"]);
        assert_eq!(values(&cluster.read_all(&topic, 1, "read_committed")), ["c1", "d1"]);
        assert_eq!(cluster.watermarks(&topic, 0), (3, 5), "what is young stays");
    }
}

fn of_too_many_the_newest_stay(cluster: &Cluster) {
    // The largest number of segments that leaves as much as is to be kept: three of a little more than 1,000 bytes.
    let topic = cluster.topic(1, &[("retention.bytes", "2500"), ("segment.ms", "1")]);
    let mut writer = Writer::new(&topic, cluster.producer(&[]));
    let value = "x".repeat(1_000);
    (0..10).for_each(|_| writer.write("k", Some(&value)));
    until("the oldest are gone", || cluster.watermarks(&topic, 0) == (7, 10));
    assert_eq!(offsets_from(cluster, &topic, 7, "read_committed"), [7, 8, 9]);
}
