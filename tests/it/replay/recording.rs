//! The recorded night, lived through by the brokerless driver, as an export of its topics.

use std::path::Path;

use fairlead::codec::{Format, SchemaId};
use fairlead::event::{Fact, FactKind};
use fairlead::ingest::{Endpoint, Rules};
use fairlead::record::{EventTime, Offset, Partition, Topic};
use fairlead::replay::{self, Held, Recorded, Value, Writer};
use fairlead::topology::catalog::catalog;
use fairlead::topology::compile::compile;
use fairlead::topology::driver::{Log, TopologyDriver, partition};
use fairlead::topology::journal::{self, Journal};
use fairlead::topology::plan::Topology;
use fairlead::topology::spec::SourceFile;

const NIGHT: &str = include_str!("../cases/night/night.jsonl");
pub const SHIPPED: [(&str, &str); 3] = [
    ("app.yaml", include_str!("../../../topology/app.yaml")),
    ("topics.yaml", include_str!("../../../topology/topics.yaml")),
    ("oncall.yaml", include_str!("../../../topology/oncall.yaml")),
];
/// 2026-11-02T22:00:00Z
pub const BEGIN_MS: i64 = 1_793_656_800_000;
const HOURS_MS: i64 = 10 * 3_600_000;

pub fn shipped() -> Topology {
    let file = |(name, text): (&str, &str)| SourceFile { name: name.to_owned(), text: text.to_owned() };
    compile(&SHIPPED.map(file), &catalog()).topology.unwrap()
}

/// What lies on the topics after a night.
#[derive(Clone)]
pub struct Night {
    pub inputs: Vec<Recorded>,
    pub told: Vec<Recorded>,
    pub journal: Vec<Recorded>,
}

/// When each fact of the night was received.
pub fn facts() -> Vec<(EventTime, Fact<'static>)> {
    let mut facts = Vec::new();
    for line in NIGHT.lines().skip(1) {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let at = EventTime(BEGIN_MS + line["at_secs"].as_i64().unwrap() * 1_000);
        let endpoint = Endpoint::ALL.into_iter().find(|one| line["endpoint"] == one.path()).unwrap();
        let content_type = line["headers"]["content-type"].as_str().unwrap_or("application/json");
        let format = endpoint.format(endpoint.path(), |name| (name == "content-type").then_some(content_type)).unwrap();
        let read = format.read(line["body"].to_string().as_bytes(), &Rules::default(), at).unwrap();
        facts.extend(read.facts.into_iter().map(|fact| (at, fact)));
    }
    facts
}

pub fn topic_of(fact: &Fact<'_>) -> Topic {
    Topic::from(match fact.kind() {
        FactKind::Alert => "oncall.alerts.v1",
        FactKind::Deploy => "delivery.deploys.v1",
        FactKind::Response => "oncall.responses.v1",
        other => panic!("a {other} is no input of the night"),
    })
}

impl Night {
    pub fn lived() -> Self {
        Self::of(facts())
    }

    pub fn of(facts: Vec<(EventTime, Fact<'static>)>) -> Self {
        let topology = shipped();
        let mut driver = TopologyDriver::new(&topology, 100).unwrap();
        let mut inputs = Vec::new();
        for (at, fact) in facts {
            let topic = topic_of(&fact);
            driver.send(&topic, &fact, at).unwrap();
            // What was due before is told when it is due, as by a quiet worker.
            driver.run(at).unwrap();
            inputs.push(input(&topology, &inputs, at, fact));
        }
        driver.run(EventTime(BEGIN_MS + HOURS_MS)).unwrap();
        let written = driver.written();
        let told = read(&topology, &written, &replay::told(&topology));
        Self { inputs, told, journal: read(&topology, &written, &replay::journal(&topology)) }
    }

    /// As `fairlead export` would.
    pub fn write(&self, file: &Path) {
        let topology = shipped();
        let topics = replay::chosen(&topology, &[]).unwrap();
        let range = (EventTime(BEGIN_MS), EventTime(BEGIN_MS + HOURS_MS));
        let mut writer = Writer::create(file, topology.names.application(), &topics, range).unwrap();
        let mut all: Vec<_> = [&self.inputs, &self.told, &self.journal].into_iter().flatten().collect();
        all.sort_by_key(|record| (record.timestamp, record.topic.clone(), record.partition, record.offset));
        all.into_iter().for_each(|record| writer.write(record).unwrap());
        writer.end().unwrap();
    }
}

fn input(topology: &Topology, before: &[Recorded], timestamp: EventTime, fact: Fact<'static>) -> Recorded {
    let topic = topic_of(&fact);
    let partition = partition(fact.key().as_bytes(), topology.topics[&topic].partitions);
    let of_place = before.iter().filter(|record| record.topic == topic && record.partition == partition);
    let offset = Offset(i64::try_from(of_place.count()).unwrap());
    let key = Some(fact.key().as_bytes().to_vec());
    Recorded { topic, partition, offset, timestamp, key, headers: Vec::new(), value: Value::Fact(fact) }
}

fn read(topology: &Topology, log: &Log, topics: &replay::Topics) -> Vec<Recorded> {
    let (mut formats, _) = topology.shipped_formats().unwrap();
    let journal = Format::new(SchemaId(u32::MAX), journal::SCHEMA).unwrap();
    formats.read_with(journal.clone());
    let mut all = Vec::new();
    for (place, records) in log.iter().filter(|(place, _)| topics.contains_key(&place.topic)) {
        for (offset, record) in (0..).zip(records) {
            let bytes = record.value.as_deref().unwrap();
            let value = match topics[&place.topic] {
                Held::Fact(kind) => Value::Fact(formats.decode_fact(kind, bytes).unwrap().into_owned()),
                Held::Journal => Value::Journal(formats.decode::<Journal>(bytes, &journal.name).unwrap()),
            };
            all.push(Recorded {
                topic: place.topic.clone(),
                partition: Partition(place.partition.0),
                offset: Offset(offset),
                timestamp: record.timestamp,
                key: record.key.clone(),
                headers: record.headers.clone(),
                value,
            });
        }
    }
    all
}
