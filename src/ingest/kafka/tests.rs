//! A reader of a topic of others on the simulated log: it dies at every step, everything goes wrong, and each event is one fact.

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use prometheus::Registry;
use serde_json::json;

use super::metrics::{Metrics, Sources};
use super::records::Records;
use super::worker::Worker;
use crate::clock::Clock;
use crate::codec::{Format, Formats, SchemaId};
use crate::current::Silences;
use crate::event::{Fact, FactKind, Silence, SilenceMatcher};
use crate::ingest::{Rules, TopicFormat};
use crate::log::sim::{Faults, Sim, SimLog};
use crate::log::{Committed, Error};
use crate::record::{EventTime, Header, NewRecord, Offset, Partition, Topic, TopicPartition};
use crate::topology::dead_letter::{self, DeadLetter};
use crate::topology::settings::Start;

const NOW: EventTime = EventTime(1_795_424_400_000);
const SOURCE: &str = "argo.cdevents";
const PARTITIONS: i32 = 2;
const ID: &str = "fairlead.ingest.argo.cdevents.1";
const MEMBER: &str = "reader";
/// More half calls than any of the runs below makes.
const ENOUGH: u32 = 4_000;

static LETTERS: LazyLock<Formats> = LazyLock::new(|| {
    let mut formats = Formats::default();
    formats.read_with(Format::new(SchemaId(900), dead_letter::SCHEMA).unwrap());
    formats
});

/// A topic of others on a simulated log, and all that survives its reader.
struct World {
    sim: Sim,
    clock: Clock,
    records: Records,
    metrics: Metrics,
    from: Start,
    written: usize,
}

fn topic(name: &str) -> Topic {
    Topic::from(name)
}

impl World {
    fn new(seed: u64, from: Start, faults: Faults) -> Self {
        let clock = Clock::at(NOW);
        let sim = Sim::new(seed, clock.clone(), faults);
        for (name, partitions) in [(SOURCE, PARTITIONS), ("alerts", 3), ("deploys", 3), ("raw", 1), ("letters", 1)] {
            sim.create_topic(&topic(name), partitions as usize, false);
        }
        let records = Records {
            formats: Formats::shipped(),
            alerts: topic("alerts"),
            deploys: topic("deploys"),
            samples: None,
            raw: Some(topic("raw")),
            dead_letters: topic("letters"),
            dead_letter_format: Format::new(SchemaId(900), dead_letter::SCHEMA).unwrap(),
            reader: "fairlead.ingest.argo.cdevents".to_owned(),
            format: TopicFormat::CloudEvents,
            rules: Rules { topics: [(SOURCE.to_owned(), TopicFormat::CloudEvents)].into(), ..Rules::default() },
        };
        let metrics = Sources::register(&Registry::new()).unwrap().of(SOURCE);
        Self { sim, clock, records, metrics, from, written: 0 }
    }

    fn member(&self) -> SimLog {
        self.sim.member(MEMBER, ID, &[topic(SOURCE)])
    }

    fn worker<'w>(&'w self, log: SimLog) -> Worker<'w, SimLog> {
        Worker { log, from: self.from, records: &self.records, view: None, clock: &self.clock, metrics: &self.metrics }
    }

    /// An event; every third of them cannot be read.
    fn write(&mut self) {
        let number = self.written;
        self.written += 1;
        let id = if number % 3 == 2 { "another".to_owned() } else { format!("e{number}") };
        let event = "dev.cdevents.service.deployed.0.2.0";
        let body = json!({"context": {"id": id, "source": "/argo", "type": event},
                          "subject": {"id": format!("service-{}", number % 5), "content": {"artifactId": "v1"}}});
        let header = |name: &str, value: &str| Header { name: name.into(), value: Some(value.as_bytes().to_vec()) };
        let headers = vec![
            header("ce_specversion", "1.0"),
            header("ce_id", &format!("e{number}")),
            header("ce_source", "/argo"),
            header("ce_type", event),
        ];
        self.sim.append(NewRecord {
            topic: topic(SOURCE),
            partition: Some(Partition((number % PARTITIONS as usize) as i32)),
            timestamp: NOW,
            key: None,
            value: Some(serde_json::to_vec(&body).unwrap()),
            headers,
        });
    }

    /// One life after the other, until all that was written is committed; answers with how many it took.
    fn run(&mut self, lives: impl Fn(u32) -> Option<u32>) -> u32 {
        for life in 0..500 {
            let log = self.member();
            log.lives().set(lives(life));
            let mut worker = self.worker(log);
            let mut ended = Ok(());
            for turn in 1..200 {
                ended = worker.turn();
                // To look delivers what is late, so it is done rarely.
                if ended.is_err() || turn % 10 == 0 && self.is_done() {
                    break;
                }
            }
            if ended.is_ok() && self.is_done() {
                return life + 1;
            }
            assert!(!matches!(&ended, Err(Error::Fatal(why)) if why != "killed"), "{ended:?}");
            self.clock.sleep(Duration::from_secs(2));
        }
        panic!("it does not come to an end");
    }

    fn is_done(&self) -> bool {
        let next = |partition| self.sim.committed_offset(&partition).map_or(0, |committed| committed.offset.0);
        partitions(SOURCE, PARTITIONS).all(|partition| {
            let high = self.sim.high(&partition).0;
            next(partition) == high
        })
    }

    fn read(&self, name: &str, count: i32) -> Vec<NewRecord> {
        partitions(name, count)
            .flat_map(|partition| self.sim.committed_records(&partition))
            .map(|(_, record)| record)
            .collect()
    }

    fn deploys(&self) -> BTreeMap<String, usize> {
        let mut found = BTreeMap::new();
        for record in self.read("deploys", 3) {
            let fact = self.records.formats.decode_fact(FactKind::Deploy, record.value.as_deref().unwrap()).unwrap();
            let Fact::Deploy(deploy) = fact else { panic!("no deploy") };
            assert_eq!(record.key.as_deref(), Some(deploy.service.as_bytes()));
            *found.entry(deploy.id.to_string()).or_default() += 1;
        }
        found
    }

    fn letters(&self) -> Vec<DeadLetter> {
        let decode = |record: NewRecord| LETTERS.decode(&record.value.unwrap(), "fairlead.engine.DeadLetter").unwrap();
        self.read("letters", 1).into_iter().map(decode).collect()
    }

    /// Of each event exactly one fact or one dead letter, and one payload.
    fn check(&self, about: &str) {
        let readable = (0..self.written).filter(|number| number % 3 != 2);
        let expected: BTreeMap<_, _> = readable.map(|number| (format!("e{number}"), 1)).collect();
        assert_eq!(self.deploys(), expected, "{about}");
        let mut ids: Vec<_> = self.letters().iter().map(DeadLetter::id).collect();
        ids.sort();
        let refused = (0..self.written).filter(|number| number % 3 == 2);
        let mut expected: Vec<_> = refused.map(|number| format!("{SOURCE}/{}/{}", number % 2, number / 2)).collect();
        expected.sort();
        assert_eq!(ids, expected, "{about}");
        assert_eq!(self.read("raw", 1).len(), self.written, "{about}");
    }
}

fn partitions(name: &str, count: i32) -> impl Iterator<Item = TopicPartition> {
    let name = topic(name);
    (0..count).map(move |number| TopicPartition::new(&name, Partition(number)))
}

#[test]
fn each_event_is_one_fact_wherever_the_reader_dies() {
    let steps = (0..ENOUGH).find(|step| {
        let mut world = World::new(7, Start::Earliest, Faults::default());
        (0..12).for_each(|_| world.write());
        let lives = world.run(|life| (life == 0).then_some(*step));
        world.check(&format!("killed after {step} half calls"));
        lives == 1
    });
    let steps = steps.expect("a reader that lives long enough ends");
    assert!(steps > 20, "only {steps} places to die at: the loop was over before it began");
}

#[test]
fn each_event_is_one_fact_whatever_goes_wrong() {
    let faults = Faults {
        unavailable: 10,
        undelivered: 20,
        lost_request: 60,
        lost_answer: 60,
        repeated_end: 60,
        late_marker: 200,
        dropped_markers: 40,
        rebalance: 20,
        expelled: 10,
        ..Faults::default()
    };
    let mut lives = 0;
    for seed in 0..200 {
        let mut world = World::new(seed, Start::Earliest, faults);
        (0..30).for_each(|_| world.write());
        lives += world.run(|life| (life < 20).then(|| 30 + (seed as u32 * 7 + life * 11) % 60));
        world.check(&format!("seed {seed}"));
    }
    assert!(lives > 400, "only {lives} lives: nothing went wrong");
}

#[test]
fn latest_begins_with_what_comes_after_the_first_start_and_stays_there_after_a_crash() {
    let mut world = World::new(3, Start::Latest, Faults::default());
    (0..3).for_each(|_| world.write());
    let mut worker = world.worker(world.member());
    while world.sim.offsets().is_empty() {
        worker.turn().unwrap();
    }
    drop(worker);
    (0..3).for_each(|_| world.write());
    world.run(|_| None);
    assert_eq!(world.deploys().into_keys().collect::<Vec<_>>(), ["e3", "e4"]);
    assert_eq!(world.letters().len(), 1);
}

#[test]
fn what_is_gone_before_it_was_read_is_counted_and_the_rest_is_read() {
    let mut world = World::new(3, Start::Latest, Faults::default());
    (0..4).for_each(|_| world.write());
    // A topic that was created anew: the group's offset lies behind its end.
    let told =
        partitions(SOURCE, 2).map(|partition| (partition, Committed { offset: Offset(50), metadata: String::new() }));
    world.sim.tell_offsets(Some(told.collect()));
    let mut worker = world.worker(world.member());
    (0..20).for_each(|_| worker.turn().unwrap());
    drop(worker);
    assert_eq!(world.metrics.gaps.get(), 2);
    world.sim.tell_offsets(None);
    world.check("from the first that is kept");
}

#[test]
fn it_stops_when_told_and_what_it_read_is_committed() {
    let mut world = World::new(5, Start::Earliest, Faults::default());
    (0..6).for_each(|_| world.write());
    world.run(|_| None);
    world.worker(world.member()).run(&AtomicBool::new(true)).unwrap();
    world.check("stopped");
}

#[test]
fn a_record_of_the_future_is_of_now_and_one_that_is_too_large_is_put_aside_without_its_bytes() {
    let world = World::new(1, Start::Earliest, Faults::default());
    let of = |timestamp: i64, value: &[u8]| {
        let source = topic(SOURCE);
        let mut batch = crate::record::Batch::default();
        batch.push(&crate::record::Record {
            topic: &source,
            partition: Partition(1),
            offset: Offset(9),
            timestamp: EventTime(timestamp),
            key: None,
            value: Some(value),
            headers: crate::record::Headers::NONE,
        });
        let records = &world.records;
        let told = records.of(&batch.get(0), None, NOW).unwrap();
        (told.refused, told.not_kept, told.records)
    };
    let (refused, not_kept, records) = of(NOW.0 + 5_000, b"{}");
    assert_eq!((refused, not_kept, records.len()), (1, false, 2));
    assert!(records.iter().all(|record| record.timestamp == NOW));
    let (refused, not_kept, records) = of(7, &vec![b' '; 1_000_000]);
    assert_eq!((refused, not_kept, records.len()), (1, true, 1));
    let letter: DeadLetter =
        LETTERS.decode(records[0].value.as_deref().unwrap(), "fairlead.engine.DeadLetter").unwrap();
    assert!(letter.value.is_none() && letter.error.ends_with("it lies at argo.cdevents/1/9"), "{}", letter.error);
    assert!(world.records.again(&letter).unwrap_err().contains("too many to be kept"));
}

#[test]
fn a_letter_is_read_again_by_the_rules_of_now() {
    let mut world = World::new(2, Start::Earliest, Faults::default());
    (0..3).for_each(|_| world.write());
    world.run(|_| None);
    let mut letter = world.letters().remove(0);
    assert!(world.records.again(&letter).unwrap_err().contains("make envelope and event agree"));
    // As if a later parser took it.
    letter.headers.iter_mut().find(|header| header.name == "ce_id").unwrap().value = Some(b"another".to_vec());
    let records = world.records.again(&letter).unwrap();
    assert_eq!((records.len(), &records[0].topic, records[0].timestamp), (1, &topic("deploys"), NOW));
}

#[test]
fn an_alert_of_others_bears_the_silence_in_force_that_ends_last() {
    let world = World::new(1, Start::Earliest, Faults::default());
    let records = Records { format: TopicFormat::AlertmanagerEvents, ..world.records.clone() };
    let silence = |id: &str, label: &str, ends_in_ms: i64| Silence {
        id: id.to_owned(),
        matchers: vec![SilenceMatcher { name: label.to_owned(), value: ".+".into(), is_regex: true, is_equal: true }],
        starts_at_ms: 0,
        ends_at_ms: NOW.0 + ends_in_ms,
        updated_at_ms: 0,
        created_by: "ann".into(),
        comment: "a disk".into(),
    };
    let mut silences = Silences::default();
    for silence in [silence("s-1", "alertname", 5), silence("s-2", "alertname", 6), silence("s-3", "cluster", 7)] {
        silences.apply(&silence.id.clone(), Some(silence), Offset(0)).unwrap();
    }
    let event = json!({"@timestamp": "2026-11-23T08:59:05Z", "instance": "am-0", "data": {"alertCreated": {"alert": {
        "fingerprint": "7", "name": "A", "labels": {"alertname": "A"}, "annotations": {},
        "startsAt": "2026-11-23T08:59:00Z", "endsAt": "2999-11-23T09:03:00Z"}}}});
    let (source, mut batch) = (topic(SOURCE), crate::record::Batch::default());
    batch.push(&crate::record::Record {
        topic: &source,
        partition: Partition(0),
        offset: Offset(0),
        timestamp: NOW,
        key: None,
        value: Some(event.to_string().as_bytes()),
        headers: crate::record::Headers::NONE,
    });
    let marks = |silences, now| {
        let told = records.of(&batch.get(0), silences, now).unwrap();
        let value = told.records[0].value.clone().unwrap();
        let Ok(Fact::Alert(alert)) = Formats::shipped().decode_fact(FactKind::Alert, &value) else {
            panic!("an alert")
        };
        (alert.muted_by.as_ref().map(|id| id.to_string()), alert.muted_until_ms)
    };
    assert_eq!(marks(None, NOW), (None, None));
    assert_eq!(marks(Some(&silences), NOW), (Some("s-2".to_owned()), Some(NOW.0 + 6)));
    assert_eq!(marks(Some(&silences), NOW.plus_ms(6)), (None, None));
}

#[test]
fn samples_of_selected_series_go_to_their_topic_and_a_malformed_one_is_put_aside() {
    let world = World::new(1, Start::Earliest, Faults::default());
    let selectors = vec![crate::trend::select::Selector::parse("errors").unwrap()];
    let records = Records {
        format: TopicFormat::PrometheusJson,
        samples: Some(topic("samples")),
        rules: Rules { selectors, ..Rules::default() },
        raw: None,
        ..world.records.clone()
    };
    assert!(records.writes().contains(&topic("samples")));
    let sample = |name: &str, value: &str| {
        json!({"timestamp": "2026-11-23T09:00:00Z", "value": value, "name": name, "labels": {"job": "api"}}).to_string()
    };
    let lines = [sample("errors", "0.5"), sample("up", "1"), sample("errors", "high")].join("\n");
    let (source, mut batch) = (topic(SOURCE), crate::record::Batch::default());
    batch.push(&crate::record::Record {
        topic: &source,
        partition: Partition(0),
        offset: Offset(0),
        timestamp: NOW,
        key: None,
        value: Some(lines.as_bytes()),
        headers: crate::record::Headers::NONE,
    });
    let told = records.of(&batch.get(0), None, NOW).unwrap();
    assert_eq!((told.facts.as_slice(), told.refused, told.ignored), (&[FactKind::Sample][..], 1, 1));
    let [fact, letter] = &told.records[..] else { panic!("a fact and a dead letter: {:?}", told.records) };
    assert_eq!((&fact.topic, fact.key.as_deref()), (&topic("samples"), Some(&br#"errors{job="api"}"#[..])));
    let Ok(Fact::Sample(read)) = Formats::shipped().decode_fact(FactKind::Sample, fact.value.as_deref().unwrap())
    else {
        panic!("a sample")
    };
    assert_eq!((read.at_ms, read.value), (NOW.0, 0.5));
    assert_eq!(letter.topic, topic("letters"));
}
