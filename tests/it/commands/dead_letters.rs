//! Letters on a real Kafka: listed, shown, and put back exactly once whatever happens between the steps.

use std::process::Stdio;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use fairlead::clock::Clock;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};
use serde_json::Value;

use super::{Home, PATIENCE};
use crate::harness::apache::{Kafka, unique};
use crate::harness::registry;

const VALUES: [&str; 4] = ["no avro, 0", "no avro, 1", "no avro, 2", "no avro, 3"];
/// Of the originals: an hour ago, which is no time of putting back.
static TIME: LazyLock<i64> = LazyLock::new(|| Clock::wall().now().0 - 3_600_000);

/// A committed record: value, headers by name, timestamp.
type Told = (String, Vec<(String, String)>, i64);

#[test]
fn a_letter_is_put_back_exactly_once_whatever_happens_between_the_steps() {
    let kafka = Kafka::shared();
    let data = tempfile::tempdir().unwrap();
    let registry = registry::start(data.path());
    let home = Home::new(&unique("letters"), kafka, &registry.url());
    let id = |offset: usize| format!("{}/0/{offset}", home.alerts);
    let ids: Vec<_> = (0..VALUES.len()).map(id).collect();

    let running = home.run();
    home.until(&["dead-letter", "list"], |answer| answer.fine.then_some(()));
    produce(kafka, &home.alerts);
    let listed = home.until(&["dead-letter", "list", "-o", "json"], |answer| {
        Some(answer.json()).filter(|letters| letters.as_array().map(Vec::len) == Some(VALUES.len()))
    });
    running.stop();
    looked_at(&home, &listed, &ids);

    let retry =
        |id: &str, failpoints: Option<&str>| home.fairlead_at(&["dead-letter", "retry", id, "-o", "json"], failpoints);
    // It dies before the commit: nothing is put back. Then after it: the next one sees what was done.
    assert!(!retry(&ids[0], Some("retry: before commit=return(die)")).fine);
    assert!(!retry(&ids[0], Some("retry: after commit=return(die)")).fine);
    let third = retry(&ids[0], None).json();
    assert_eq!(
        (&third["retried"], &third["skipped"][0]["id"]),
        (&Value::Array(Vec::new()), &(*ids[0]).into()),
        "{third}"
    );
    assert_eq!(retried(kafka, &home), [VALUES[0]]);
    // The answer is lost, after the commit and before it.
    assert_eq!(retry(&ids[1], Some("retry: after commit=1*return(unknown)")).json()["retried"][0]["id"], *ids[1]);
    assert_eq!(retry(&ids[2], Some("retry: before commit=1*return(unknown)")).json()["retried"][0]["id"], *ids[2]);
    assert_eq!(retried(kafka, &home), VALUES[..3]);
    twins(kafka, &home, &ids[3]);
    assert_eq!(retried(kafka, &home), VALUES);

    let rest = home.fairlead(&["dead-letter", "retry", "--all"]);
    assert_eq!((rest.fine, &*rest.out), (true, "nothing to put back\n"), "{}", rest.err);
    let again = home.fairlead(&["dead-letter", "retry", &ids[1], "--again"]);
    assert!(again.fine, "{}", again.err);
    assert_eq!(retried(kafka, &home).len(), VALUES.len() + 1);
    what_dies_again_is_a_new_letter(kafka, &home);
    registry.stop();
}

/// list, show and a dry run, which writes nothing.
fn looked_at(home: &Home, listed: &Value, ids: &[String]) {
    let told: Vec<_> = listed.as_array().unwrap().iter().map(|letter| letter["id"].as_str().unwrap()).collect();
    assert_eq!(told, ids);
    let count = |args: &[&str]| {
        let list = ["dead-letter", "list", "-o", "json"];
        home.fairlead(&[&list[..], args].concat()).json().as_array().map(Vec::len)
    };
    assert_eq!(
        count(&["--reason", "no_envelope", "--topic", &home.alerts, "--since", "1h", "--open"]),
        Some(VALUES.len())
    );
    assert_eq!((count(&["--reason", "no_key"]), count(&["--limit", "1"])), (Some(0), Some(1)));
    let shown = home.fairlead(&["dead-letter", "show", &ids[0], "-o", "json"]).json();
    assert_eq!((&shown[0]["value"]["text"], &shown[0]["reason"]), (&VALUES[0].into(), &"no_envelope".into()));
    assert_eq!((&shown[0]["timestamp_ms"], &shown[0]["retried"]["times"]), (&(*TIME).into(), &0.into()));
    let dry = home.fairlead(&["dead-letter", "retry", "--all", "--dry-run", "-o", "json"]).json();
    assert_eq!(dry["retried"].as_array().map(Vec::len), Some(VALUES.len()));
    let wrong = home.fairlead(&["dead-letter", "retry", "nowhere/0/0"]);
    assert!(!wrong.fine && wrong.err.contains("there is no dead letter nowhere/0/0"), "{}", wrong.err);
}

/// A second operator runs the same command while the first is about to commit.
fn twins(kafka: &str, home: &Home, id: &str) {
    let before = high(kafka, &home.alerts);
    let args = ["dead-letter", "retry", id];
    let mut first = home.command(&args, Some("retry: before commit=1*sleep(5000)"));
    let mut first = first.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let until = Instant::now() + PATIENCE;
    // Its record lies on the topic, not yet committed.
    while high(kafka, &home.alerts) == before {
        assert!(Instant::now() < until, "the first one wrote nothing");
        std::thread::sleep(Duration::from_millis(50));
    }
    let second = home.fairlead(&args);
    assert!(second.fine, "{}", second.err);
    first.wait().unwrap();
}

fn what_dies_again_is_a_new_letter(kafka: &str, home: &Home) {
    let records = committed(kafka, &home.alerts).len();
    let running = home.run();
    let letters = home.until(&["dead-letter", "list", "--limit", "1000", "-o", "json"], |answer| {
        Some(answer.json()).filter(|letters| letters.as_array().map(Vec::len) == Some(records))
    });
    running.stop();
    let last = letters[records - 1]["id"].as_str().unwrap();
    let shown = home.fairlead(&["dead-letter", "show", last, "-o", "json"]).json();
    let origin = shown[0]["headers"].as_array().unwrap().iter().find(|header| header[0] == "fairlead-dead-letter");
    assert!(origin.is_some_and(|header| header[1]["text"] == format!("{}/0/1", home.alerts)), "{shown}");
}

/// What was put back, in the order of values: each with all that the original had, and its origin.
fn retried(kafka: &str, home: &Home) -> Vec<String> {
    let mut values = Vec::new();
    for (value, headers, timestamp) in committed(kafka, &home.alerts) {
        let header = |name: &str| headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.clone());
        assert_eq!((header("trace"), timestamp), (Some("t1".to_owned()), *TIME), "{value}");
        if let Some(origin) = header("fairlead-dead-letter") {
            assert!(value.ends_with(origin.split('/').next_back().unwrap_or("?")), "{value} from {origin}");
            values.push(value);
        }
    }
    values.sort();
    values
}

fn produce(kafka: &str, topic: &str) {
    let producer: BaseProducer = ClientConfig::new().set("bootstrap.servers", kafka).create().unwrap();
    for value in VALUES {
        let headers = OwnedHeaders::new().insert(Header { key: "trace", value: Some("t1") });
        let record =
            BaseRecord::to(topic).partition(0).key("checkout").payload(value).timestamp(*TIME).headers(headers);
        producer.send(record).map_err(|(error, _)| error).unwrap();
    }
    producer.flush(PATIENCE).unwrap();
}

fn consumer(kafka: &str, isolation: &str) -> BaseConsumer {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", kafka).set("group.id", "looks").set("enable.auto.commit", "false");
    config.set("enable.partition.eof", "true").set("isolation.level", isolation).create().unwrap()
}

/// Of partition 0, whatever is open.
fn high(kafka: &str, topic: &str) -> i64 {
    consumer(kafka, "read_uncommitted").fetch_watermarks(topic, 0, PATIENCE).unwrap().1
}

/// All that is committed on partition 0; nothing is open when this is asked.
fn committed(kafka: &str, topic: &str) -> Vec<Told> {
    let consumer = consumer(kafka, "read_committed");
    let mut start = TopicPartitionList::new();
    start.add_partition_offset(topic, 0, Offset::Beginning).unwrap();
    consumer.assign(&start).unwrap();
    let (mut told, until) = (Vec::new(), Instant::now() + PATIENCE);
    loop {
        assert!(Instant::now() < until, "{topic} has no end");
        match consumer.poll(Duration::from_secs(1)) {
            None => {}
            Some(Err(rdkafka::error::KafkaError::PartitionEOF(_))) => return told,
            Some(Err(error)) => panic!("{error}"),
            Some(Ok(message)) => {
                let text = |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
                let headers = message.headers().into_iter().flat_map(|headers| headers.iter());
                let headers = headers.map(|header| (header.key.to_owned(), text(header.value))).collect();
                told.push((text(message.payload()), headers, message.timestamp().to_millis().unwrap_or(-1)));
            }
        }
    }
}
