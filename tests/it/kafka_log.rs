//! The log port on a real Apache Kafka: what the runtime relies on, call by call.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use fairlead::clock::Clock;
use fairlead::log::admin::{self, TopicPlan};
use fairlead::log::client::Connection;
use fairlead::log::kafka::{Identity, KafkaLog, KafkaReader};
use fairlead::log::{Committed, Error, Log, Polled, Reader};
use fairlead::record::{Batch, EventTime, Header, NewRecord, Offset, Partition, Topic, TopicPartition};

use crate::harness::apache::{Kafka, unique};

const PATIENCE: Duration = Duration::from_secs(60);

struct Fixture {
    connection: Connection,
    topic: Topic,
    group: String,
    /// Of all records. Recent: the broker deletes what is older than its retention, however it came.
    at: EventTime,
}

impl Fixture {
    fn new(partitions: i32) -> Self {
        let connection = Connection::new(Kafka::shared());
        let name = unique("log-port");
        let config = BTreeMap::from([("cleanup.policy".to_owned(), "delete".to_owned())]);
        let plan = TopicPlan { name: name.clone(), partitions, replication: Some(1), config };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let created = runtime.block_on(admin::ensure_topics(&connection, std::slice::from_ref(&plan))).unwrap();
        assert_eq!(created, std::slice::from_ref(&name));
        let again = runtime.block_on(admin::ensure_topics(&connection, std::slice::from_ref(&plan))).unwrap();
        assert_eq!(again, Vec::<String>::new());
        let grown = TopicPlan { partitions: partitions + 1, ..plan };
        let refused = runtime.block_on(admin::ensure_topics(&connection, &[grown]));
        assert!(matches!(refused, Err(admin::Error::Partitions { .. })), "{refused:?}");
        let group = format!("{name}.group");
        Self { connection, topic: Topic::from(name.as_str()), group, at: Clock::wall().now() }
    }

    fn join(&self, worker: &str) -> KafkaLog {
        let transactional_id = format!("{}.{worker}", self.group);
        let writes = vec![self.topic.clone()];
        let identity = Identity { group: self.group.clone(), transactional_id, instance_id: None, writes };
        KafkaLog::join(&self.connection, &identity, std::slice::from_ref(&self.topic)).unwrap()
    }

    fn partition(&self, number: i32) -> TopicPartition {
        TopicPartition::new(&self.topic, Partition(number))
    }

    fn record(&self, partition: i32, value: &str) -> NewRecord {
        NewRecord {
            topic: self.topic.clone(),
            partition: Some(Partition(partition)),
            timestamp: self.at,
            key: Some(b"k".to_vec()),
            value: Some(value.as_bytes().to_vec()),
            headers: vec![
                Header { name: "h".into(), value: Some(b"1".to_vec()) },
                Header { name: "null".into(), value: None },
            ],
        }
    }
}

/// Polls until an assignment of `count` partitions comes, giving up what is revoked meanwhile, and starts each at `from`.
fn wait_assigned(log: &mut KafkaLog, count: usize, from: Offset) -> Vec<TopicPartition> {
    let until = Instant::now() + PATIENCE;
    let mut batch = Batch::default();
    while Instant::now() < until {
        match log.poll(Duration::from_millis(50), 1 << 20, &mut batch).unwrap() {
            Polled::Assigned(partitions) => {
                let starts: Vec<_> = partitions.iter().map(|partition| vec![(partition.clone(), from)]).collect();
                log.assign(&starts).unwrap();
                if partitions.len() == count {
                    return partitions;
                }
            }
            Polled::Revoked(_) | Polled::Lost(_) => log.release().unwrap(),
            Polled::Records { .. } => {}
        }
    }
    panic!("no assignment of {count} partitions within {PATIENCE:?}");
}

/// Polls until `count` records have come and the input is drained.
fn wait_records(log: &mut KafkaLog, count: usize) -> Batch {
    let until = Instant::now() + PATIENCE;
    let mut batch = Batch::default();
    while Instant::now() < until {
        let polled = log.poll(Duration::from_millis(50), 1 << 20, &mut batch).unwrap();
        if let Polled::Records { drained: true } = polled
            && batch.len() >= count
        {
            return batch;
        }
    }
    panic!("{} of {count} records came within {PATIENCE:?}", batch.len());
}

fn values(batch: &Batch) -> Vec<String> {
    batch.iter().map(|record| String::from_utf8_lossy(record.value.unwrap_or(b"<null>")).into_owned()).collect()
}

#[test]
fn a_transaction_shows_its_records_and_offsets_together_or_not_at_all() {
    let fixture = Fixture::new(1);
    let mut log = fixture.join("a");
    wait_assigned(&mut log, 1, Offset(0));
    assert_eq!(log.committed(&[fixture.partition(0)]).unwrap(), [None]);

    log.begin().unwrap();
    log.produce(&fixture.record(0, "aborted")).unwrap();
    log.abort().unwrap();
    log.begin().unwrap();
    log.produce(&fixture.record(0, "one")).unwrap();
    log.produce(&NewRecord { value: None, ..fixture.record(0, "") }).unwrap();
    let committed = Committed { offset: Offset(7), metadata: "sequence=3".to_owned() };
    log.commit(&[(fixture.partition(0), committed.clone())]).unwrap();

    assert_eq!(log.committed(&[fixture.partition(0)]).unwrap(), [Some(committed)]);
    let batch = wait_records(&mut log, 2);
    assert_eq!(values(&batch), ["one", "<null>"]);
    let first = batch.get(0);
    assert_eq!((first.key, first.timestamp), (Some(&b"k"[..]), fixture.at));
    assert_eq!(first.headers.iter().collect::<Vec<_>>(), [("h", Some(&b"1"[..])), ("null", None)]);
    assert_eq!(batch.get(1).value, None);
    // Where the aborted record and the markers lie depends on batching, but the true end is past all of them.
    assert!(log.watermarks(&fixture.partition(0)).unwrap().high > batch.get(1).offset);
}

#[test]
fn a_commit_of_a_few_records_takes_milliseconds_not_a_flush_floor() {
    let fixture = Fixture::new(1);
    let mut log = fixture.join("a");
    wait_assigned(&mut log, 1, Offset(0));
    let mut times: Vec<Duration> = (0..20)
        .map(|n| {
            let began = Instant::now();
            log.begin().unwrap();
            log.produce(&fixture.record(0, &n.to_string())).unwrap();
            let next = Committed { offset: Offset(n), metadata: String::new() };
            log.commit(&[(fixture.partition(0), next)]).unwrap();
            began.elapsed()
        })
        .collect();
    times.sort();
    println!("transaction of one record with offsets: median {:?}, slowest {:?}", times[10], times[19]);
    // Not a benchmark: the crate's own path cannot be below 100 ms, whatever the machine.
    assert!(times[0] < Duration::from_millis(100), "even the fastest took {:?}", times[0]);
}

#[test]
fn a_seek_reads_again_and_a_pause_keeps_the_place() {
    let fixture = Fixture::new(2);
    let mut log = fixture.join("a");
    wait_assigned(&mut log, 2, Offset(0));
    log.begin().unwrap();
    for (partition, value) in [(0, "a"), (0, "b"), (1, "x"), (1, "y")] {
        log.produce(&fixture.record(partition, value)).unwrap();
    }
    log.commit(&[]).unwrap();
    let mut all = values(&wait_records(&mut log, 4));
    all.sort();
    assert_eq!(all, ["a", "b", "x", "y"]);

    log.seek(&[(fixture.partition(0), Offset(1))]).unwrap();
    assert_eq!(values(&wait_records(&mut log, 1)), ["b"]);

    log.pause(&[fixture.partition(1)]).unwrap();
    log.begin().unwrap();
    log.produce(&fixture.record(0, "c")).unwrap();
    log.produce(&fixture.record(1, "z")).unwrap();
    log.commit(&[]).unwrap();
    assert_eq!(values(&wait_records(&mut log, 1)), ["c"]);
    log.resume(&[fixture.partition(1)]).unwrap();
    assert_eq!(values(&wait_records(&mut log, 1)), ["z"]);
}

/// More than one fetch of either, written one after the other.
#[test]
fn of_a_backlog_partitions_of_a_group_are_read_abreast() {
    const RECORDS: i64 = 12_000;
    let fixture = Fixture::new(2);
    let mut log = fixture.join("a");
    let filling = "x".repeat(400);
    log.begin().unwrap();
    for partition in [0, 1] {
        for n in 0..RECORDS {
            let timestamp = fixture.at.plus_ms(2 * n + i64::from(partition));
            log.produce(&NewRecord { timestamp, ..fixture.record(partition, &filling) }).unwrap();
        }
    }
    log.commit(&[]).unwrap();
    let until = Instant::now() + PATIENCE;
    let mut batch = Batch::default();
    let mut seen = Vec::new();
    let start = |number| (fixture.partition(number), Offset(0));
    while seen.len() < 2 * RECORDS as usize {
        assert!(Instant::now() < until, "{} records came within {PATIENCE:?}", seen.len());
        batch.clear();
        if let Polled::Assigned(_) = log.poll(Duration::from_millis(50), 1 << 20, &mut batch).unwrap() {
            log.assign(&[vec![start(0), start(1)]]).unwrap();
        }
        seen.extend(batch.iter().map(|record| record.timestamp.since_ms(fixture.at)));
    }
    assert_eq!(seen, (0..2 * RECORDS).collect::<Vec<_>>());
}

#[test]
fn a_second_member_takes_its_share_and_a_leaver_gives_it_back() {
    let fixture = Fixture::new(4);
    let mut first = fixture.join("a");
    wait_assigned(&mut first, 4, Offset(0));
    let other = std::thread::scope(|scope| {
        let second = scope.spawn(|| {
            let mut second = fixture.join("b");
            wait_assigned(&mut second, 2, Offset(0))
        });
        let kept = wait_assigned(&mut first, 2, Offset(0));
        let taken = second.join().unwrap();
        assert!(kept.iter().all(|partition| !taken.contains(partition)), "{kept:?} and {taken:?}");
        taken
    });
    assert_eq!(other.len(), 2);
    // The second member is gone with its thread: it left the group when it was dropped.
    wait_assigned(&mut first, 4, Offset(0));
}

#[test]
fn a_newer_producer_of_the_same_id_fences_the_older() {
    let fixture = Fixture::new(1);
    let mut zombie = fixture.join("same");
    wait_assigned(&mut zombie, 1, Offset(0));
    zombie.begin().unwrap();
    zombie.produce(&fixture.record(0, "from a zombie")).unwrap();
    let mut twin = fixture.join("same");
    let refused = zombie.commit(&[]).unwrap_err();
    assert!(matches!(refused, Error::Fenced(_)), "{refused:?}");
    drop(zombie);

    wait_assigned(&mut twin, 1, Offset(0));
    twin.begin().unwrap();
    twin.produce(&fixture.record(0, "from the living")).unwrap();
    twin.commit(&[]).unwrap();
    assert_eq!(values(&wait_records(&mut twin, 1)), ["from the living"]);
}

#[test]
fn an_offset_that_is_gone_stops_loudly() {
    let fixture = Fixture::new(1);
    let mut log = fixture.join("a");
    wait_assigned(&mut log, 1, Offset(99));
    let until = Instant::now() + PATIENCE;
    let error = loop {
        match log.poll(Duration::from_millis(50), 1 << 20, &mut Batch::default()) {
            Err(error) => break error,
            Ok(_) => assert!(Instant::now() < until, "no error within {PATIENCE:?}"),
        }
    };
    assert!(matches!(&error, Error::OutOfRange { offset: Offset(99), .. }), "{error:?}");
}

#[test]
fn a_reader_reads_committed_records_to_the_end_past_control_records() {
    let fixture = Fixture::new(1);
    let mut log = fixture.join("a");
    wait_assigned(&mut log, 1, Offset(0));
    for value in ["one", "two", "three"] {
        log.begin().unwrap();
        log.produce(&fixture.record(0, value)).unwrap();
        log.commit(&[]).unwrap();
    }
    let partition = fixture.partition(0);
    let mut reader = KafkaReader::new(&fixture.connection, &fixture.group).unwrap();
    let end = reader.watermarks(&partition).unwrap().high;
    assert_eq!(end, Offset(6), "three records and three markers");
    let (mut next, mut batch) = (Offset(0), Batch::default());
    let until = Instant::now() + PATIENCE;
    while next < end && Instant::now() < until {
        next = reader.read(&partition, next, 1 << 20, Duration::from_millis(500), &mut batch).unwrap();
    }
    assert_eq!((next, values(&batch)), (end, vec!["one".to_owned(), "two".into(), "three".into()]));

    let mut again = Batch::default();
    let next = reader.read(&partition, Offset(2), 1, PATIENCE, &mut again).unwrap();
    assert_eq!((next, values(&again)), (Offset(3), vec!["two".to_owned()]));
    assert_eq!(reader.offset_at(&partition, fixture.at.plus_ms(3_600_000)).unwrap(), end);
    assert_eq!(reader.offset_at(&partition, fixture.at.plus_ms(-1)).unwrap(), Offset(0));
}

#[test]
fn a_session_that_the_broker_refuses_is_told_once_and_for_good() {
    let mut fixture = Fixture::new(1);
    // Shorter than the shared broker's group.min.session.timeout.ms.
    for (name, value) in [("session.timeout.ms", "500"), ("heartbeat.interval.ms", "100")] {
        fixture.connection.properties.insert(name.to_owned(), value.to_owned());
    }
    let mut log = fixture.join("a");
    let until = Instant::now() + PATIENCE;
    let told = loop {
        assert!(Instant::now() < until, "nothing was told within {PATIENCE:?}");
        if let Err(error) = log.poll(Duration::from_millis(50), 1 << 20, &mut Batch::default()) {
            break error;
        }
    };
    assert!(matches!(&told, Error::Fatal(why) if why.starts_with("kafka.properties.session.timeout.ms: ")), "{told}");
}
