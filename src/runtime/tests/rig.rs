//! A program on a simulated Kafka, workers that come and go, and a checker that knows only inputs and outputs.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::ledger::{Counts, Ledger, QUIET, alert};
use crate::clock::Clock;
use crate::codec::{Format, Formats, SchemaId};
use crate::event::{Deploy, DeployKind, DeployOutcome, Fact, FactKind};
use crate::log::sim::{Faults, Sim};
use crate::operator::Operator;
use crate::record::{Batch, EventTime, Headers, NewRecord, Offset, Partition, Record, Topic, TopicPartition};
use crate::runtime::commit::LAST_COMMIT;
use crate::runtime::{Config, Error, Metrics, Parts, Program, SchemaAnswer, Schemas, Stores, Worker, Written, store};
use crate::topology::dead_letter;
use crate::topology::driver::MemoryView;
use crate::topology::engine::{Moment, Node, Route, Source, StageIndex, SubTopology};
use crate::topology::journal::{self, Journal, JournalPosition, TaskId};
use crate::topology::stage::stage;

pub const PARTITIONS: usize = 2;

pub fn topic(name: &str) -> Topic {
    Topic::from(name)
}

pub fn at(name: &str, partition: i32) -> TopicPartition {
    TopicPartition::new(&topic(name), Partition(partition))
}

pub fn formats() -> (Formats, [Format; 3]) {
    let mut formats = Formats::shipped();
    let schemas = [Ledger::STATE_SCHEMA, journal::SCHEMA, dead_letter::SCHEMA];
    let ours = [0, 1, 2].map(|n| Format::new(SchemaId(100 + n as u32), schemas[n]).unwrap());
    ours.iter().for_each(|format| formats.read_with(format.clone()));
    (formats, ours)
}

/// Two stages: everything is told to `out` and counted again by `again`.
pub fn sub_topology(state: &Format) -> SubTopology {
    let route = |routes: Vec<Route>| BTreeMap::from([("told", routes)]);
    let source = |fact| Source { fact, stages: vec![0] };
    SubTopology {
        name: "ledger".to_owned(),
        sources: [(topic("alerts"), source(FactKind::Alert)), (topic("deploys"), source(FactKind::Deploy))].into(),
        nodes: vec![
            Node {
                stage: stage("first", Ledger, state.clone()),
                changelog: topic("first-changelog"),
                routes: route(vec![Route::Topic(topic("out")), Route::Stage(1)]),
            },
            Node {
                stage: stage("again", Ledger, state.clone()),
                changelog: topic("again-changelog"),
                routes: route(vec![Route::Topic(topic("out-again"))]),
            },
        ],
    }
}

pub struct Rig {
    pub sim: Sim,
    pub clock: Clock,
    pub program: Arc<Program>,
    pub config: Config,
    dirs: tempfile::TempDir,
    /// What each key told, by source, in order.
    told: BTreeMap<(String, &'static str), Vec<String>>,
    rubbish: usize,
    formats: Formats,
    state: Format,
}

pub struct Seat {
    pub worker: Worker,
    pub lives: Rc<Cell<Option<u32>>>,
}

impl Rig {
    pub fn new(seed: u64, faults: Faults) -> Self {
        let clock = Clock::at(EventTime(1_000_000));
        let sim = Sim::new(seed, clock.clone(), faults);
        for (name, compacted) in [
            ("alerts", false),
            ("deploys", false),
            ("out", false),
            ("out-again", false),
            ("journal", false),
            ("dead-letters", false),
            ("first-changelog", true),
            ("again-changelog", true),
        ] {
            sim.create_topic(&topic(name), PARTITIONS, compacted);
        }
        let (formats, [state, journal, dead_letter]) = formats();
        let of_task = state.clone();
        let program = Program {
            fingerprint: "v1".to_owned(),
            sub_topologies: [("ledger".to_owned(), BTreeSet::from([topic("alerts"), topic("deploys")]))].into(),
            instantiate: Box::new(move |_| Ok(sub_topology(&of_task))),
            journal: Written { topic: topic("journal"), format: journal },
            dead_letters: Written { topic: topic("dead-letters"), format: dead_letter },
        };
        let dirs = tempfile::tempdir().unwrap();
        let (program, config) = (Arc::new(program), Config::default());
        Self { sim, clock, program, config, dirs, told: BTreeMap::new(), rubbish: 0, formats, state }
    }

    pub fn dir(&self, seat: usize) -> PathBuf {
        self.dirs.path().join(seat.to_string())
    }

    /// A copy of a running worker's files, as a kill would leave them.
    pub fn image_of_disk(&self, seat: usize) -> PathBuf {
        let image = self.dirs.path().join("image");
        copy(&self.dir(seat), &image);
        image
    }

    pub fn put_image(&self, seat: usize, image: PathBuf) {
        std::fs::remove_dir_all(self.dir(seat)).unwrap();
        std::fs::rename(image, self.dir(seat)).unwrap();
    }

    pub fn parts(&self, seat: usize) -> (Parts, Rc<Cell<Option<u32>>>) {
        let log = self.sim.member(&format!("m{seat}"), &format!("t{seat}"), &[topic("alerts"), topic("deploys")]);
        let lives = log.lives();
        let parts = Parts {
            program: self.program.clone(),
            config: self.config.clone(),
            clock: self.clock.clone(),
            stores: Arc::new(stores(&self.dir(seat))),
            schemas: Schemas::new(self.formats.clone(), Arc::new(|_| SchemaAnswer::NotFound)),
            metrics: Arc::new(Metrics::register(&prometheus::Registry::new()).unwrap()),
            log: Box::new(log),
            reader: Box::new(self.sim.reader()),
        };
        (parts, lives)
    }

    pub fn seat(&self, seat: usize) -> Seat {
        let (parts, lives) = self.parts(seat);
        Seat { worker: Worker::new(parts), lives }
    }

    /// A key tells something; `deploy` says on which topic.
    pub fn tell(&mut self, key: &str, deploy: bool) {
        let source = if deploy { "deploys" } else { "alerts" };
        let told = self.told.entry((key.to_owned(), source)).or_default();
        let id = format!("{source}-{key}-{}", told.len() + 1);
        told.push(id.clone());
        let fact = if deploy { Fact::Deploy(self::deploy(key, &id)) } else { Fact::Alert(alert(key, &id, None)) };
        let mut value = Vec::new();
        self.formats.encode_fact(&fact, &mut value).unwrap();
        self.append(source, key, value);
    }

    pub fn tell_rubbish(&mut self, key: &str) {
        self.rubbish += 1;
        self.append("alerts", key, b"\0\0\0\0\x63rubbish".to_vec());
    }

    fn append(&self, topic: &str, key: &str, value: Vec<u8>) {
        // Equal for all within a millisecond: the order within a partition must hold all the same.
        let (key, timestamp) = (Some(key.as_bytes().to_vec()), self.clock.now());
        let (topic, value) = (Topic::from(topic), Some(value));
        self.sim.append(NewRecord { topic, partition: None, timestamp, key, value, headers: Vec::new() });
    }

    /// Steps until every input is committed and nothing is due any more.
    pub fn drain(&self, seats: &mut [Seat]) -> Result<(), Error> {
        for round in 0.. {
            assert!(round < 20_000, "the workers do not come to rest");
            for seat in seats.iter_mut() {
                seat.worker.step()?;
            }
            let idle = seats.iter().flat_map(|seat| seat.worker.tasks()).all(|task| task.first_timer().is_none());
            if round > 20 && idle && seats.iter().all(|seat| seat.worker.is_ready()) && self.all_committed() {
                return Ok(());
            }
        }
        Ok(())
    }

    fn all_committed(&self) -> bool {
        let inputs =
            ["alerts", "deploys"].into_iter().flat_map(|name| (0..PARTITIONS).map(move |p| at(name, p as i32)));
        inputs.into_iter().all(|input| {
            let next = self.sim.committed_offset(&input).map_or(Offset(0), |committed| committed.offset);
            next == self.sim.high(&input)
        })
    }

    /// Nothing lost, nothing doubled, each key in its order; states equal the changelog and the count; replay equals.
    pub fn check(&self, seats: &[Seat]) {
        for out in ["out", "out-again"] {
            self.check_outputs(out);
        }
        let letters: usize =
            (0..PARTITIONS).map(|p| self.sim.committed_records(&at("dead-letters", p as i32)).len()).sum();
        assert_eq!(letters, self.rubbish, "dead letters");
        for (stage, changelog) in ["first-changelog", "again-changelog"].into_iter().enumerate() {
            self.check_states(seats, stage, changelog);
        }
        for partition in 0..PARTITIONS {
            self.check_replay(partition as i32);
        }
    }

    fn check_outputs(&self, out: &str) {
        let mut seen: BTreeMap<(String, &str), Vec<(String, f64)>> = BTreeMap::new();
        for record in self.records(out) {
            let Fact::Alert(told) =
                self.formats.decode_fact(FactKind::Alert, record.value.as_deref().unwrap()).unwrap()
            else {
                panic!("an alert")
            };
            if *told.fingerprint == *QUIET {
                continue;
            }
            // The second stage numbers alerts and deploys together; only the order of ids is compared there.
            let source = if told.fingerprint.starts_with("deploys") { "deploys" } else { "alerts" };
            let entry = seen.entry((told.service.to_string(), source)).or_default();
            entry.push((told.fingerprint.to_string(), told.value.unwrap()));
        }
        let ids = |told: &[(String, f64)]| told.iter().map(|(id, _)| id.clone()).collect::<Vec<_>>();
        let found: BTreeMap<_, _> = seen.iter().map(|(key, told)| (key.clone(), ids(told))).collect();
        assert_eq!(found, self.told, "{out}");
        if out == "out" {
            for told in seen.values() {
                let numbers: Vec<_> = told.iter().map(|(_, number)| *number as usize).collect();
                assert_eq!(numbers, (1..=told.len()).collect::<Vec<_>>());
            }
        }
    }

    fn check_states(&self, seats: &[Seat], stage: StageIndex, changelog: &str) {
        let mut materialised = BTreeMap::new();
        for record in self.records(changelog) {
            materialised.insert(record.key.unwrap(), record.value);
        }
        materialised.remove(LAST_COMMIT);
        materialised.retain(|_, value| value.is_some());
        let stores = seats.iter().flat_map(|seat| seat.worker.tasks()).map(|task| task.store().unwrap());
        let states = stores.flat_map(|store| store.states().map(Result::unwrap));
        let stored: BTreeMap<_, _> =
            states.filter(|(of, ..)| *of == stage).map(|(_, key, state)| (key, Some(state))).collect();
        assert_eq!(stored, materialised, "store and {changelog}");
        for (key, state) in stored {
            let counts: Counts = self.formats.decode(&state.unwrap(), "Counts").unwrap();
            let key = String::from_utf8(key).unwrap();
            let told = |source| self.told.get(&(key.clone(), source)).map_or(0, Vec::len) as i64;
            if stage == 0 {
                assert_eq!((counts.alerts, counts.deploys), (told("alerts"), told("deploys")), "{key}");
            }
        }
    }

    /// Follows a task's journal with a fresh topology in memory: the same outputs, byte for byte.
    fn check_replay(&self, partition: i32) {
        let task = TaskId { sub_topology: "ledger".into(), partition: Partition(partition) };
        let mut journals: Vec<Journal> = Vec::new();
        for record in self.records("journal").into_iter().filter(|record| record.key == Some(task.to_string().into())) {
            journals.push(self.formats.decode(&record.value.unwrap(), "fairlead.engine.Journal").unwrap());
        }
        journals.sort_by_key(|journal| journal.sequence);
        let (mut topology, mut memory) = (sub_topology(&self.state), MemoryView::default());
        let mut replayed: BTreeMap<Topic, Vec<NewRecord>> = BTreeMap::new();
        let mut next: BTreeMap<(String, i32), i64> = BTreeMap::new();
        for (index, journal) in journals.iter().enumerate() {
            assert_eq!(journal.sequence, index as i64 + 1, "no commit without a journal record, and none twice");
            let mut batch = Batch::default();
            for range in &journal.inputs {
                let expected = next.insert((range.topic.clone(), range.partition), range.to).unwrap_or_default();
                assert_eq!(range.from, expected, "ranges follow one another");
                self.read_range(&at(&range.topic, range.partition), range.from, range.to, &mut batch);
            }
            let position =
                JournalPosition { task: task.clone(), sequence: journal.sequence, acted_at_ms: journal.acted_at_ms };
            let moment = Moment { position, tick: journal.tick };
            let effects = topology.process(&mut batch, &moment, &memory, &self.formats).unwrap();
            memory.apply(&effects);
            for output in effects.outputs {
                replayed.entry(output.topic.clone()).or_default().push(output);
            }
        }
        for out in ["out", "out-again"].map(topic) {
            let mine = format!("{task}/");
            let of_task = |record: &NewRecord| record.headers[0].value.as_deref().unwrap().starts_with(mine.as_bytes());
            let key = |record: &NewRecord| record.key.clone();
            let mut live: Vec<_> = self.records(out.as_str()).into_iter().filter(of_task).collect();
            let mut replayed = replayed.remove(&out).unwrap_or_default();
            // Keys lie in any partition: each key's own order is compared.
            live.sort_by_key(key);
            replayed.sort_by_key(key);
            live.iter_mut().for_each(|record| record.partition = None);
            assert_eq!(live, replayed, "replay of {task}");
        }
    }

    fn read_range(&self, input: &TopicPartition, from: i64, to: i64, batch: &mut Batch) {
        for (offset, record) in self.sim.committed_records(input) {
            if (from..to).contains(&offset.0) {
                batch.push(&Record {
                    topic: &input.topic,
                    partition: input.partition,
                    offset,
                    timestamp: record.timestamp,
                    key: record.key.as_deref(),
                    value: record.value.as_deref(),
                    headers: Headers::NONE,
                });
            }
        }
    }

    pub fn records(&self, name: &str) -> Vec<NewRecord> {
        let partitions = (0..PARTITIONS).map(|partition| at(name, partition as i32));
        partitions.flat_map(|partition| self.sim.committed_records(&partition)).map(|(_, record)| record).collect()
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        match path.is_dir() {
            true => copy(&path, &target),
            // A compaction may remove a file meanwhile: the copy is damaged then, and restored.
            false => drop(std::fs::copy(&path, &target)),
        }
    }
}

fn deploy(service: &str, id: &str) -> Deploy<'static> {
    Deploy {
        id: id.to_owned().into(),
        source: "test".into(),
        service: service.to_owned().into(),
        environment: None,
        kind: DeployKind::Deploy,
        outcome: DeployOutcome::Succeeded,
        version: "1".into(),
        revision: None,
        actor: None,
        url: None,
        started_at_ms: None,
        finished_at_ms: None,
    }
}

/// A process that another test starts holds a copy of the lock of whoever was here before, until it is what it shall be.
fn stores(dir: &Path) -> Stores {
    for _ in 0..500 {
        match Stores::open(dir, 0) {
            Err(store::Error::Locked { .. }) => std::thread::sleep(Duration::from_millis(10)),
            opened => return opened.unwrap(),
        }
    }
    panic!("{} stays locked", dir.display());
}
