//! An application of its own on the shared Kafka: its topology's files, its registry, its processes, and its proof.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use fairlead::app::{Endpoints, Serving, schemas, source, topics};
use fairlead::embedded::registry::Registry;
use fairlead::log::admin::ensure_topics;
use fairlead::log::kafka::KafkaReader;
use fairlead::record::{Offset, Partition, Topic, TopicPartition};
use fairlead::topology::plan::Topology;
use fairlead::topology::template::Template;
use fairlead::verify::{Report, Site as Verified, verify};

use rdkafka::consumer::{BaseConsumer, Consumer};

use super::apache::{Kafka, unique};
use super::process::Process;
use super::registry;

pub const PARTITIONS: i32 = 4;
/// So that states come to the disk soon.
const LITTLE_MEMORY: u32 = 16 << 20;
/// Short, so that tests need not wait long for what is dead.
pub const SESSION_MS: u32 = 4_000;
const HELD: Duration = Duration::from_secs(3);
pub const PATIENCE: Duration = Duration::from_secs(120);

pub struct Site {
    pub application: String,
    pub topology: Topology,
    pub endpoints: Endpoints,
    pub formats: fairlead::codec::Formats,
    pub runtime: tokio::runtime::Runtime,
    dir: tempfile::TempDir,
    /// None while a test has it stopped.
    registry: Option<Registry>,
    pub registry_address: SocketAddr,
}

impl Site {
    pub fn new() -> Site {
        Site::on(Kafka::shared(), SESSION_MS, "")
    }

    /// On this Kafka, with `more` sections in its topology; in them `APP` stands for the application.
    pub fn on(bootstrap: &str, session_ms: u32, more: &str) -> Site {
        let (application, dir) = (unique("once"), tempfile::tempdir().unwrap());
        let registry = registry::start(&dir.path().join("registry"));
        let registry_address = registry.url().trim_start_matches("http://").parse().unwrap();
        let files = dir.path().join("topology");
        std::fs::create_dir(&files).unwrap();
        std::fs::write(files.join("app.yaml"), yaml(&application, bootstrap, session_ms, &registry.url())).unwrap();
        std::fs::write(files.join("more.yaml"), more.replace("APP", &application)).unwrap();
        let topology = source::load(&files).unwrap();
        let mut topology = topology.topology.unwrap_or_else(|| panic!("{:?}", topology.problems));
        topology.settings.engine.instance = Template::try_from("test".to_owned()).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let endpoints = Endpoints::resolve(&topology.settings, Serving::default()).unwrap();
        let formats = runtime.block_on(schemas::register(&topology, &endpoints)).unwrap().formats;
        runtime.block_on(ensure_topics(&endpoints.connection, &topics::plans(&topology))).unwrap();
        Site { application, topology, endpoints, formats, runtime, dir, registry: Some(registry), registry_address }
    }

    pub fn stop_registry(&mut self) {
        self.registry.take().expect("it runs").stop();
    }

    /// Where it was, with what it had.
    pub fn start_registry(&mut self) {
        self.registry = Some(registry::start_at(&self.dir.path().join("registry"), self.registry_address));
    }

    pub fn topic(&self, name: &str) -> Topic {
        Topic::from(format!("{}.{name}.v1", self.application).as_str())
    }

    /// Its files stay where they are, to be looked at, or go with it.
    #[allow(dead_code)] // for benches/longhaul
    pub fn keep_files(&mut self, keep: bool) {
        self.dir.disable_cleanup(keep);
    }

    pub fn topology_dir(&self) -> PathBuf {
        self.dir.path().join("topology")
    }

    pub fn start(&self, instance: &str) -> Process {
        self.start_with(instance, instance, &[])
    }

    /// `home` keeps the state of one process; `instance` is the name it has in the group.
    pub fn start_with(&self, instance: &str, home: &str, env: &[(&str, &str)]) -> Process {
        let home = self.home(home);
        std::fs::create_dir_all(&home).unwrap();
        Process::start(&home, &self.topology_dir(), instance, env)
    }

    /// Where a process has its log and, in `state`, its stores.
    pub fn home(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// What a process has logged.
    pub fn log_of(&self, home: &str) -> String {
        std::fs::read_to_string(self.home(home).join("log")).unwrap_or_default()
    }

    /// How often the group took a process for its own twin, and it joined anew.
    pub fn joined_anew(&self, home: &str) -> usize {
        self.log_of(home).matches("it joins anew").count()
    }

    /// Waits until one and the same transaction has been open for some seconds, as only one that is held up is.
    pub fn wait_for_a_held_transaction(&self) {
        let mut since: Option<(i64, Instant)> = None;
        self.wait_for("a transaction that is held up", || {
            let open = self.open_transaction();
            if since.map(|(at, _)| at) != open {
                since = open.map(|at| (at, Instant::now()));
            }
            since.is_some_and(|(_, since)| since.elapsed() > HELD)
        });
    }

    /// Where the first open transaction begins: there the readable end lies before the true one.
    pub fn open_transaction(&self) -> Option<i64> {
        let journal = TopicPartition::new(&self.topology.names.journal(), Partition(0));
        let reader: BaseConsumer = self.endpoints.connection.consumer("watch").create().unwrap();
        let until = Instant::now() + PATIENCE;
        loop {
            let readable = reader.fetch_watermarks(journal.topic.as_str(), 0, Duration::from_secs(10));
            let end = KafkaReader::new(&self.endpoints.connection, "watch").unwrap().watermarks(&journal);
            match (readable, end) {
                (Ok((_, readable)), Ok(end)) => return (readable < end.high.0).then_some(readable),
                told => assert!(Instant::now() < until, "{told:?}"),
            }
        }
    }

    /// What is on a topic, all partitions together: records, or rather offsets.
    pub fn ends(&self, topic: &Topic) -> i64 {
        let reader = KafkaReader::new(&self.endpoints.connection, "watch").unwrap();
        let end =
            |number| reader.watermarks(&TopicPartition::new(topic, Partition(number))).map_or(0, |ends| ends.high.0);
        (0..PARTITIONS).map(end).sum()
    }

    /// Where the inputs end now, if the broker says so.
    fn input_ends(&self) -> Option<Vec<(TopicPartition, Offset)>> {
        let reader = KafkaReader::new(&self.endpoints.connection, "watch").unwrap();
        let topics = [self.topic("alerts"), self.topic("deploys")];
        let places = topics.iter().flat_map(|topic| (0..PARTITIONS).map(|n| TopicPartition::new(topic, Partition(n))));
        places.map(|place| reader.watermarks(&place).ok().map(|ends| (place, ends.high))).collect()
    }

    fn is_committed(&self, ends: &[(TopicPartition, Offset)]) -> bool {
        let reader = KafkaReader::new(&self.endpoints.connection, &self.topology.names.engine_group()).unwrap();
        let places: Vec<_> = ends.iter().map(|(place, _)| place.clone()).collect();
        // While a transaction is open the offsets are not stable.
        let Ok(committed) = reader.committed(&places) else { return false };
        let offsets = committed.into_iter().map(|committed| committed.map_or(Offset(0), |committed| committed.offset));
        ends.iter().zip(offsets).all(|((_, end), offset)| offset >= *end)
    }

    pub fn wait_until_all_is_committed(&self) {
        let is_all = || self.input_ends().is_some_and(|ends| self.is_committed(&ends));
        self.wait_for("everything is committed", is_all);
    }

    /// While more is sent: waits until what was there at first is committed, in every partition.
    #[allow(dead_code)] // for benches/longhaul
    pub fn wait_until_so_far_all_is_committed(&self) {
        let mut ends = None;
        self.wait_for("what was sent so far is committed", || {
            ends = ends.take().or_else(|| self.input_ends());
            ends.as_ref().is_some_and(|ends| self.is_committed(ends))
        });
    }

    pub fn wait_for(&self, what: &str, mut is_so: impl FnMut() -> bool) {
        let until = Instant::now() + PATIENCE;
        while !is_so() {
            assert!(Instant::now() < until, "not within {PATIENCE:?}: {what}\n{}", self.logs());
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// The last lines of every process.
    pub fn logs(&self) -> String {
        let mut told = String::new();
        for entry in std::fs::read_dir(self.dir.path()).unwrap().map(Result::unwrap) {
            let Ok(log) = std::fs::read_to_string(entry.path().join("log")) else { continue };
            let lines: Vec<_> = log.lines().collect();
            let last = lines[lines.len().saturating_sub(40)..].join("\n");
            told += &format!("--- {}\n{last}\n", entry.path().display());
        }
        told
    }

    pub fn prove(&self) -> Report {
        let connected = Verified::connect(self.topology.clone(), &self.endpoints);
        let mut site = self.runtime.block_on(connected).unwrap();
        verify(&mut site).unwrap()
    }

    /// Proves it, over and over until the tasks are at rest and nothing is left that could not be checked, or something is wrong.
    pub fn prove_at_rest(&self) -> Report {
        let mut report = self.prove();
        self.wait_for("every state is compared", || {
            !report.is_sound() || report.notes.is_empty() || {
                report = self.prove();
                false
            }
        });
        report
    }

    pub fn prove_sound(&self) -> Report {
        let report = self.prove_at_rest();
        assert!(report.is_sound(), "{report}\n{}", self.logs());
        println!("{report}");
        assert!(report.tasks.iter().all(|task| task.recomputed > 0 && task.last == task.recomputed as i64), "{report}");
        report
    }
}

fn yaml(application: &str, bootstrap: &str, session_ms: u32, registry: &str) -> String {
    let retention = 86_400_000;
    let topic = |name: &str, fact: &str| {
        format!("  {application}.{name}.v1: {{ fact: {fact}, partitions: {PARTITIONS}, retention_ms: {retention} }}\n")
    };
    let topics = [
        topic("alerts", "alert"),
        topic("deploys", "deploy"),
        topic("incidents", "incident"),
        topic("actions", "slack_action"),
    ]
    .concat();
    format!(
        "application: {application}
kafka:
  bootstrap_servers: {bootstrap}
  replication_factor: 1
  properties: {{ session.timeout.ms: '{session_ms}', heartbeat.interval.ms: '500' }}
registry: {{ url: {registry} }}
engine: {{ workers: 1, instance: '${{env:FAIRLEAD_TEST_INSTANCE}}', state_dir: state, commit_interval_ms: 50, memory_bytes_max: {LITTLE_MEMORY} }}
topics:
{topics}
operators:
  level:
    sub_topology: oncall
    inputs: {{ alert: {application}.alerts.v1 }}
    outputs: {{ dropped: null }}
  incident:
    inputs: {{ alert: level.alert }}
    config: {{ resolve_after_secs: 1, reopen_within_secs: 2, stale_after_secs: 3600, repeat_gap_secs: 1, alerts_max: 20 }}
  suspects:
    inputs: {{ incident: incident.incident, deploy: {application}.deploys.v1 }}
    outputs: {{ incident: {application}.incidents.v1 }}
  notify:
    inputs: {{ incident: suspects.incident }}
    outputs: {{ action: {application}.actions.v1 }}
    config: {{ channels: {{ default: '#oncall' }}, mentions: {{ sre: S0SRE }} }}
"
    )
}
