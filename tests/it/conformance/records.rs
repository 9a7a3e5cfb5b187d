//! Producing and reading plain records.

use super::client::*;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::time::Duration;

/// A time that no retention has reached.
pub fn recent() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    now.as_millis() as i64 - 3_600_000
}

pub fn everything_in_a_record_is_kept(cluster: &Cluster) {
    let topic = cluster.topic(1, &[]);
    let producer = cluster.producer(&[("enable.idempotence", "true")]);
    let time = recent();
    let headers = OwnedHeaders::new()
        .insert(Header { key: "a", value: Some("1") })
        .insert(Header { key: "null", value: None::<&str> })
        .insert(Header { key: "a", value: Some("2") });
    producer.send(BaseRecord::to(&topic).key("k").payload("v").timestamp(time + 1_234).headers(headers)).unwrap();
    producer.send(BaseRecord::<str, str>::to(&topic).key("k").timestamp(time + 1_235)).unwrap();
    producer.send(BaseRecord::to(&topic).key("").payload("").timestamp(time + 1_236)).unwrap();
    drain(&producer);
    let outcomes: Vec<_> = producer.context().0.lock().unwrap().drain(..).map(Result::unwrap).collect();
    assert_eq!(outcomes, [(0, 0), (0, 1), (0, 2)]);
    let record = |offset, key: &str, value: Option<&str>, timestamp| Got {
        partition: 0,
        offset,
        key: Some(key.into()),
        value: value.map(Into::into),
        headers: Vec::new(),
        timestamp,
    };
    let header = |key: &str, value: Option<&str>| (key.to_owned(), value.map(str::to_owned));
    let with_headers = vec![header("a", Some("1")), header("null", None), header("a", Some("2"))];
    let expected = [
        Got { headers: with_headers, ..record(0, "k", Some("v"), time + 1_234) },
        record(1, "k", None, time + 1_235),
        record(2, "", Some(""), time + 1_236),
    ];
    assert_eq!(cluster.read_all(&topic, 1, "read_committed"), expected);
}

pub fn every_compression_is_read_back(cluster: &Cluster) {
    let topic = cluster.topic(1, &[]);
    let mut sent = Vec::new();
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let producer = cluster.producer(&[("compression.type", codec), ("linger.ms", "20")]);
        for number in 0..50 {
            let value = format!("{codec} {number} {}", "compressible ".repeat(20));
            send(&producer, &topic, 0, &value);
            sent.push(value);
        }
        drain(&producer);
    }
    assert_eq!(values(&cluster.read_all(&topic, 1, "read_committed")), sent);
}

pub fn keyed_records_keep_their_order(cluster: &Cluster) {
    let topic = cluster.topic(4, &[]);
    let producer = cluster.producer(&[("partitioner", "murmur2_random")]);
    for number in 0..400 {
        let (key, value) = (format!("key-{}", number % 20), number.to_string());
        producer.send(BaseRecord::to(&topic).key(&key).payload(&value)).map_err(|(error, _)| error).unwrap();
    }
    drain(&producer);
    let got = cluster.read_all(&topic, 4, "read_committed");
    assert_eq!(got.len(), 400);
    let mut by_key: BTreeMap<String, Vec<(i32, u32)>> = BTreeMap::new();
    for record in got {
        let number = record.value.unwrap().parse().unwrap();
        by_key.entry(record.key.unwrap()).or_default().push((record.partition, number));
    }
    for (key, records) in &by_key {
        assert!(records.iter().all(|(partition, _)| *partition == records[0].0), "{key} is on two partitions");
        assert!(records.is_sorted(), "{key} is out of order: {records:?}");
    }
    assert_eq!(by_key.len(), 20);
}

pub fn offsets_are_found_by_time(cluster: &Cluster) {
    let topic = cluster.topic(1, &[]);
    let hour_ago = recent();
    // Two batches; within each, several times.
    for times in [[1_000, 2_000, 3_000], [4_000, 6_000, 5_000]] {
        let producer = cluster.producer(&[("linger.ms", "50")]);
        for time in times {
            producer
                .send(BaseRecord::<(), str>::to(&topic).payload("v").timestamp(hour_ago + time))
                .map_err(|(e, _)| e)
                .unwrap();
        }
        drain(&producer);
    }
    assert_eq!(cluster.watermarks(&topic, 0), (0, 6));
    let consumer = cluster.consumer("nobody", &[]);
    for (time, expected) in [
        (0, Offset::Offset(0)),
        (1_001, Offset::Offset(1)),
        (3_000, Offset::Offset(2)),
        (3_001, Offset::Offset(3)),
        (4_001, Offset::Offset(4)),
        (6_000, Offset::Offset(4)),
        (6_001, Offset::End),
    ] {
        let mut asked = TopicPartitionList::new();
        asked.add_partition_offset(&topic, 0, Offset::Offset(hour_ago + time)).unwrap();
        let found = consumer.offsets_for_times(asked, PATIENCE).unwrap();
        assert_eq!(found.elements()[0].offset(), expected, "time {time}");
    }
}

pub fn a_fetch_outside_the_log_is_an_error(cluster: &Cluster) {
    let topic = cluster.topic(1, &[]);
    cluster.send_all(&topic, 0, &["a", "b"]);
    let consumer = cluster.consumer("nobody", &[("auto.offset.reset", "error")]);
    assign(&consumer, &topic, Offset::Offset(7));
    let mut error = None;
    until("the consumer is told", || {
        match consumer.poll(Duration::from_millis(20)) {
            Some(Err(told)) => error = Some(told),
            Some(Ok(record)) => panic!("{record:?}"),
            None => {}
        }
        error.is_some()
    });
    let Some(KafkaError::MessageConsumption(code)) = error else { panic!("{error:?}") };
    assert!(matches!(code, RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange), "{code:?}");
}

fn assign(consumer: &BaseConsumer, topic: &str, offset: Offset) {
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, 0, offset).unwrap();
    consumer.assign(&list).unwrap();
}

pub fn a_record_of_five_megabytes_passes(cluster: &Cluster) {
    let topic = cluster.topic(1, &[("max.message.bytes", "8000000")]);
    let value: String = (0..5_000_000u32).map(|at| char::from(b'a' + (at % 26) as u8)).collect();
    let producer = cluster.producer(&[("message.max.bytes", "8000000")]);
    send(&producer, &topic, 0, &value);
    drain(&producer);
    assert_eq!(values(&cluster.read_all(&topic, 1, "read_committed")), [value]);
    // What is larger than the topic allows is refused.
    let small = cluster.topic(1, &[("max.message.bytes", "1000")]);
    send(&producer, &small, 0, &"x".repeat(2_000));
    drain(&producer);
    let outcome = producer.context().0.lock().unwrap().pop().unwrap();
    assert_eq!(code(&outcome.unwrap_err()), RDKafkaErrorCode::MessageSizeTooLarge);
}

pub fn twenty_megabytes_are_read_in_order_in_small_fetches(cluster: &Cluster) {
    let topic = cluster.topic(1, &[]);
    let producer = cluster.producer(&[("queue.buffering.max.kbytes", "100000"), ("linger.ms", "5")]);
    let filler = "x".repeat(1_000);
    for number in 0..20_000 {
        send(&producer, &topic, 0, &format!("{number} {filler}"));
    }
    drain(&producer);
    let limits = [("fetch.message.max.bytes", "50000"), ("fetch.max.bytes", "60000"), ("message.max.bytes", "60000")];
    let consumer = cluster.consumer("nobody", &limits);
    let got = read_partition(&consumer, &topic, 0);
    assert_eq!(got.len(), 20_000);
    for (number, record) in got.iter().enumerate() {
        assert_eq!(record.offset, number as i64);
        assert!(record.value.as_ref().unwrap().starts_with(&format!("{number} ")));
    }
}

pub fn an_unknown_topic_is_refused(cluster: &Cluster) {
    let topic = crate::harness::apache::unique("never-created");
    let producer = cluster.producer(&[("message.timeout.ms", "20000"), ("topic.metadata.propagation.max.ms", "1000")]);
    send(&producer, &topic, 0, "v");
    drain(&producer);
    let outcome = producer.context().0.lock().unwrap().pop().unwrap();
    let code = code(&outcome.unwrap_err());
    assert!(matches!(code, RDKafkaErrorCode::UnknownTopic | RDKafkaErrorCode::UnknownTopicOrPartition), "{code:?}");
}
