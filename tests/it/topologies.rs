//! The laws that every operator of the shipped topology gets for free, over the cases in `cases/topology/` and every example of
//! a fact in `schemas/examples/`: a new operator needs no line here, a new case or example is a file.

use std::collections::BTreeMap;
use std::path::Path;

use fairlead::event::{Fact, FactKind};
use fairlead::record::{EventTime, Topic};
use fairlead::topology::catalog::catalog;
use fairlead::topology::compile::compile;
use fairlead::topology::driver::{Log, TopologyDriver};
use fairlead::topology::plan::{Content, Topology};
use fairlead::topology::spec::SourceFile;
use fairlead::topology::yaml::{self, Node};
use serde_json::Value;

/// Records of one commit, when it does not matter.
const BATCH: usize = 3;
const HOUR_MS: i64 = 3_600_000;

struct Case {
    name: String,
    until: EventTime,
    given: Vec<(EventTime, FactKind, Value)>,
    then: Vec<(Topic, FactKind, Value)>,
}

fn files(folder: &str) -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let entries = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let read = |path: std::path::PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        (name, std::fs::read_to_string(&path).unwrap())
    };
    let mut files: Vec<_> = entries.filter(|path| path.extension().is_some_and(|e| e == "yaml")).map(read).collect();
    files.sort();
    files
}

/// The topology that ships, every topic with so many partitions.
fn topology(partitions: usize) -> Topology {
    let files = files("topology").into_iter().map(|(name, text)| SourceFile {
        name,
        text: text.replace("partitions: 4,", &format!("partitions: {partitions},")),
    });
    let compiled = compile(&files.collect::<Vec<_>>(), &catalog());
    compiled.topology.unwrap_or_else(|| panic!("{:#?}", compiled.problems))
}

fn cases() -> Vec<Case> {
    let written = files("tests/it/cases/topology").into_iter().map(|(name, text)| case(name, &text));
    let cases: Vec<_> = written.chain([examples()]).collect();
    assert!(cases.len() > 1);
    cases
}

/// Every example of a fact that the topology reads, a minute apart and in its file's name's order: extremes, nonsense and all.
fn examples() -> Case {
    /// Where the examples stand in time, so that a case begins at zero like the others.
    const BEGIN_MS: i64 = 1_795_420_800_000;
    use FactKind::{ActionRun, Alert, Cause, Deploy, Response, Sample};
    let read = [Alert, Deploy, Response, ActionRun, Cause, Sample];
    let examples = read.into_iter().flat_map(|kind| {
        let texts = crate::examples::of(kind.name()).into_iter();
        texts.map(move |(_, text)| (kind, later(&serde_json::from_str(&text).unwrap(), -BEGIN_MS)))
    });
    let given = examples.zip(0..).map(|((kind, body), minute)| (EventTime(minute * 60_000), kind, body));
    Case {
        name: "schemas/examples".to_owned(),
        until: EventTime(2 * HOUR_MS),
        given: given.collect(),
        then: Vec::new(),
    }
}

fn case(name: String, text: &str) -> Case {
    let mut problems = Vec::new();
    let root: Node = yaml::parse(&name, text, &mut problems).unwrap();
    assert!(problems.is_empty(), "{problems:?}");
    let root = root.canonical();
    let list = |name: &str| root[name].as_array().cloned().unwrap_or_default();
    let secs = |value: &Value| EventTime(value.as_i64().expect("seconds") * 1_000);
    let kind = |name: &str| FactKind::ALL.into_iter().find(|kind| kind.name() == name);
    let given = |line: Value| {
        let fields = line.as_object().unwrap();
        let (fact, body) = fields.iter().find_map(|(name, body)| Some((kind(name)?, body.clone()))).expect("a fact");
        (secs(&line["at_secs"]), fact, body)
    };
    let then = |line: Value| {
        let fact = kind(line["fact"].as_str().unwrap()).unwrap();
        (Topic::from(line["topic"].as_str().unwrap()), fact, line["of"].clone())
    };
    Case {
        name,
        until: secs(&root["until_secs"]),
        given: list("given").into_iter().map(given).collect(),
        then: list("then").into_iter().map(then).collect(),
    }
}

impl Case {
    /// A driver with the case's facts sent, `times` in a row, each round later than the one before.
    fn sent(&self, topology: &Topology, batch: usize, times: i64) -> TopologyDriver {
        let mut driver = TopologyDriver::new(topology, batch).unwrap();
        for round in 0..times {
            for (at, kind, body) in &self.given {
                let later_ms = round * self.until.0;
                let text = later(body, later_ms).to_string();
                let fact = fact(*kind, &text);
                driver.send(source_of(topology, *kind), &fact, at.plus_ms(later_ms)).unwrap();
            }
        }
        driver
    }

    fn ran(&self, topology: &Topology, batch: usize) -> TopologyDriver {
        let mut driver = self.sent(topology, batch, 1);
        driver.run(self.until).unwrap();
        driver
    }
}

/// The same fact, `ms` later.
fn later(body: &Value, ms: i64) -> Value {
    let mut body = body.clone();
    for (name, value) in body.as_object_mut().unwrap() {
        let is_time = name.ends_with("_at_ms") || ["at_ms", "until_ms"].contains(&name.as_str());
        if let (true, Some(at)) = (is_time, value.as_i64()) {
            *value = at.saturating_add(ms).into();
        }
    }
    body
}

fn fact(kind: FactKind, json: &str) -> Fact<'static> {
    match kind {
        FactKind::Alert => Fact::Alert(serde_json::from_str(json).unwrap()).into_owned(),
        FactKind::Deploy => Fact::Deploy(serde_json::from_str(json).unwrap()).into_owned(),
        FactKind::Incident => Fact::Incident(serde_json::from_str(json).unwrap()),
        FactKind::SlackAction => Fact::SlackAction(serde_json::from_str(json).unwrap()),
        FactKind::SlackOutcome => Fact::SlackOutcome(serde_json::from_str(json).unwrap()),
        FactKind::Payload => Fact::Payload(serde_json::from_str(json).unwrap()),
        FactKind::Response => Fact::Response(serde_json::from_str(json).unwrap()),
        FactKind::ActionRun => Fact::ActionRun(serde_json::from_str(json).unwrap()),
        FactKind::Cause => Fact::Cause(serde_json::from_str(json).unwrap()),
        FactKind::Silence => Fact::Silence(serde_json::from_str(json).unwrap()),
        FactKind::Rotation => Fact::Rotation(serde_json::from_str(json).unwrap()),
        FactKind::MirrorRange => Fact::MirrorRange(serde_json::from_str(json).unwrap()),
        FactKind::GroupOffset => Fact::GroupOffset(serde_json::from_str(json).unwrap()),
        FactKind::Audit => Fact::Audit(serde_json::from_str(json).unwrap()),
        FactKind::Sample => Fact::Sample(serde_json::from_str(json).unwrap()).into_owned(),
        FactKind::Own(_) => panic!("no example is of an own fact"),
    }
}

fn json(fact: &Fact<'_>) -> Value {
    match fact {
        Fact::Alert(fact) => serde_json::to_value(fact),
        Fact::Deploy(fact) => serde_json::to_value(fact),
        Fact::Incident(fact) => serde_json::to_value(fact),
        Fact::SlackAction(fact) => serde_json::to_value(fact),
        Fact::SlackOutcome(fact) => serde_json::to_value(fact),
        Fact::Payload(fact) => serde_json::to_value(fact),
        Fact::Response(fact) => serde_json::to_value(fact),
        Fact::ActionRun(fact) => serde_json::to_value(fact),
        Fact::Cause(fact) => serde_json::to_value(fact),
        Fact::Silence(fact) => serde_json::to_value(fact),
        Fact::Rotation(fact) => serde_json::to_value(fact),
        Fact::MirrorRange(fact) => serde_json::to_value(fact),
        Fact::GroupOffset(fact) => serde_json::to_value(fact),
        Fact::Audit(fact) => serde_json::to_value(fact),
        Fact::Sample(fact) => serde_json::to_value(fact),
        Fact::Own(_) => panic!("no example is of an own fact"),
    }
    .unwrap()
}

/// The source that carries this fact.
fn source_of(topology: &Topology, kind: FactKind) -> &Topic {
    let mut sources = topology.sub_topologies.values().flat_map(|plan| &plan.sources);
    sources.find(|(_, source)| source.fact == kind).expect("something reads it").0
}

/// Event times and values, by topic and key.
type Told = BTreeMap<(Topic, Vec<u8>), Vec<(EventTime, Vec<u8>)>>;

/// What was told downstream: by topic and key, in order, without what names the commit.
fn told(topology: &Topology, log: &Log) -> Told {
    let mut told = Told::new();
    for (partition, records) in log {
        if matches!(topology.topics[&partition.topic].content, Content::Fact(_)) {
            for record in records {
                let key = (partition.topic.clone(), record.key.clone().unwrap());
                told.entry(key).or_default().push((record.timestamp, record.value.clone().unwrap()));
            }
        }
    }
    told
}

fn contains(whole: &Value, part: &Value) -> bool {
    match (whole, part) {
        (Value::Object(whole), Value::Object(part)) => {
            part.iter().all(|(name, part)| whole.get(name).is_some_and(|whole| contains(whole, part)))
        }
        _ => whole == part,
    }
}

#[test]
fn what_docker_compose_mounts_compiles_too() {
    let mut files = files("topology");
    let app = files.iter_mut().find(|(name, _)| name == "app.yaml").expect("compose mounts another one over it");
    app.1 = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/.ci/compose/app.yaml")).unwrap();
    let files: Vec<_> = files.into_iter().map(|(name, text)| SourceFile { name, text }).collect();
    let compiled = compile(&files, &catalog());
    let theirs = compiled.topology.unwrap_or_else(|| panic!("{:#?}", compiled.problems));
    let shipped = topology(4);
    assert!(theirs.topics.keys().eq(shipped.topics.keys()));
}

#[test]
fn what_is_given_leads_to_what_is_expected() {
    let topology = topology(4);
    for case in cases() {
        let driver = case.ran(&topology, BATCH);
        let mut position: BTreeMap<&Topic, usize> = BTreeMap::new();
        for (topic, kind, expected) in &case.then {
            let facts: Vec<Value> = driver.facts(topic, *kind).unwrap().iter().map(|(_, fact)| json(fact)).collect();
            let from = position.entry(topic).or_default();
            let found = facts[*from..].iter().position(|fact| contains(fact, expected));
            let found =
                found.unwrap_or_else(|| panic!("{}: no {expected} after the first {from} of\n{facts:#?}", case.name));
            *from += found + 1;
        }
        let letters = topology.names.dead_letters();
        assert!(!driver.written().keys().any(|partition| partition.topic == letters), "{}", case.name);
    }
}

#[test]
fn a_crash_after_any_commit_changes_nothing() {
    let topology = topology(4);
    for case in cases() {
        for batch in [1, BATCH] {
            let calm = case.ran(&topology, batch).written();
            let mut driver = case.sent(&topology, batch, 1);
            while driver.step(case.until).unwrap() {
                driver.crash().unwrap();
            }
            assert_eq!(driver.written(), calm, "{}", case.name);
        }
    }
}

#[test]
fn two_runs_and_a_replay_of_the_journal_say_the_same_bytes() {
    let topology = topology(4);
    for case in cases() {
        let driver = case.ran(&topology, BATCH);
        assert!(!driver.written().is_empty());
        assert_eq!(driver.written(), case.ran(&topology, BATCH).written(), "{}", case.name);
        assert_eq!(driver.written(), driver.replay().unwrap(), "{}", case.name);
    }
}

#[test]
fn one_partition_tells_each_key_what_four_do() {
    let (one, four) = (topology(1), topology(4));
    for case in cases() {
        let [by_one, by_four] = [&one, &four].map(|topology| told(topology, &case.ran(topology, BATCH).written()));
        assert!(by_one.len() > 1);
        assert_eq!(by_one, by_four, "{}", case.name);
    }
}

#[test]
fn how_the_input_is_cut_into_batches_is_irrelevant() {
    let topology = topology(4);
    for case in cases() {
        let single = told(&topology, &case.ran(&topology, 1).written());
        for batch in [2, BATCH, 1_000] {
            assert_eq!(told(&topology, &case.ran(&topology, batch).written()), single, "{} by {batch}", case.name);
        }
    }
}

#[test]
fn state_stays_bounded_when_all_repeats_ten_times_and_every_deadline_passes() {
    let topology = topology(4);
    for case in cases() {
        let after = |times: i64| {
            let mut driver = case.sent(&topology, BATCH, times);
            let end = EventTime(case.until.0 * times);
            driver.run(end).unwrap();
            (driver, end)
        };
        // Thirty rounds are longer than any memory: from there on nothing may grow.
        let (settled, _) = after(30);
        let (mut ten_fold, end) = after(300);
        let [before, now] = [&settled, &ten_fold].map(TopologyDriver::state_bytes);
        assert!(before > 0 && now <= before * 3 / 2, "{}: {before} bytes grew to {now}", case.name);
        let later = end.plus_ms(24 * 90 * HOUR_MS);
        ten_fold.run(later).unwrap();
        assert!(ten_fold.first_timer().is_none_or(|first| first > later), "{}", case.name);
    }
}

#[test]
fn what_cannot_be_read_becomes_a_dead_letter_and_stops_nothing() {
    let topology = topology(4);
    let case = &cases()[0];
    let calm = told(&topology, &case.ran(&topology, BATCH).written());
    let mut driver = case.sent(&topology, BATCH, 1);
    let alerts = source_of(&topology, FactKind::Alert);
    driver.send_bytes(alerts, Some(b"checkout".to_vec()), Some(b"{}".to_vec()), EventTime(61_000));
    driver.send_bytes(alerts, None, Some(b"x".to_vec()), EventTime(61_000));
    driver.run(case.until).unwrap();
    let mut written = driver.written();
    assert_eq!(driver.replay().unwrap(), written);
    let letters: usize = written
        .extract_if(.., |partition, _| partition.topic == topology.names.dead_letters())
        .map(|(_, records)| records.len())
        .sum();
    assert_eq!(letters, 2);
    assert_eq!(told(&topology, &written), calm);
}
