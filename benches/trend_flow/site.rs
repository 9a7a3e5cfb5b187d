//! An application of one rule on a Kafka of its own, and what can be seen of it from outside.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use fairlead::embedded::registry::{Registry, RegistryConfig};
use fairlead::log::client::Connection;
use rdkafka::consumer::{BaseConsumer, Consumer};

use crate::Args;
use crate::broker::Broker;
use crate::process::{Process, cpu_seconds, disk_bytes};

const APPLICATION: &str = "flow";
const SAMPLES: &str = "flow.samples.v1";
const CHANGELOG: &str = "flow.trend-changelog.v1";
const PATIENCE: Duration = Duration::from_secs(600);

pub struct Site {
    // Dropped in this order: the engine before its broker, that before its files.
    engine: Option<Process>,
    broker: Broker,
    /// Ends with this process.
    _registry: Registry,
    dir: tempfile::TempDir,
    address: String,
    cores: String,
    partitions: u32,
    runtime: tokio::runtime::Runtime,
    http: reqwest::Client,
}

/// Since the process began.
pub struct Seen {
    pub engine_cpu: f64,
    pub kafka_cpu: f64,
    pub changelog_records: i64,
    pub changelog_bytes: u64,
    pub samples_bytes: u64,
    pub store_bytes: u64,
    pub peak_bytes: u64,
}

impl Site {
    pub fn start(args: &Args) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("fairlead-trend-flow-").tempdir()?;
        let broker = Broker::start(&dir.path().join("kafka"), &args.kafka_cores)?;
        let registry = Registry::start(RegistryConfig {
            data_dir: dir.path().join("registry"),
            listen: "127.0.0.1:0".parse()?,
            allow_non_loopback: false,
        })?;
        let address = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
        std::fs::create_dir(dir.path().join("topology"))?;
        std::fs::write(
            dir.path().join("topology/flow.yaml"),
            topology(args, [&broker.bootstrap, &registry.url(), &address]),
        )?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (cores, partitions) = (args.engine_cores.clone(), args.partitions);
        let http = reqwest::Client::new();
        let mut site =
            Self { engine: None, broker, _registry: registry, dir, address, cores, partitions, runtime, http };
        site.start_engine()?;
        Ok(site)
    }

    pub fn write_url(&self) -> String {
        format!("http://{}/api/v1/write", self.address)
    }

    /// Until it is ready.
    fn start_engine(&mut self) -> Result<Duration> {
        let topology = self.dir.path().join("topology").display().to_string();
        let program = [env!("CARGO_BIN_EXE_fairlead"), "run", "--topology", &topology].map(str::to_owned);
        let mut engine = Process::start(&self.cores, &program, self.dir.path(), &[])?;
        while self.get("/readyz").is_err() {
            engine.ensure_alive()?;
            if engine.age() > PATIENCE {
                bail!("the engine is not ready after {PATIENCE:?}; see engine.log");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let took = engine.age();
        self.engine = Some(engine);
        Ok(took)
    }

    fn get(&self, path: &str) -> Result<String> {
        let url = format!("http://{}{path}", self.address);
        self.runtime.block_on(async { Ok(self.http.get(url).send().await?.error_for_status()?.text().await?) })
    }

    /// A counter or a gauge, all its series together.
    fn metric(&self, name: &str) -> Result<f64> {
        let text = self.get("/metrics")?;
        let of_name = |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']));
        let values = text.lines().filter(of_name).filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
        Ok(values.sum())
    }

    /// Until so many samples are in states that are committed.
    pub fn wait_until_read(&mut self, samples: u64) -> Result<()> {
        let began = Instant::now();
        loop {
            self.engine.as_mut().context("the engine runs")?.ensure_alive()?;
            let read = self.metric("fairlead_records_total")?;
            if read as u64 >= samples {
                return Ok(());
            }
            if began.elapsed() > PATIENCE {
                bail!("{read} of {samples} samples were read after {PATIENCE:?}; see engine.log");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub fn look(&self) -> Result<Seen> {
        let engine = self.engine.as_ref().context("the engine runs")?;
        let kafka = self.dir.path().join("kafka");
        Ok(Seen {
            engine_cpu: cpu_seconds(&engine.pid())?,
            kafka_cpu: cpu_seconds(&self.broker.pid()?)?,
            changelog_records: self.records(CHANGELOG)?,
            changelog_bytes: logs_bytes(&kafka, CHANGELOG)?,
            samples_bytes: logs_bytes(&kafka, SAMPLES)?,
            store_bytes: disk_bytes(&self.dir.path().join("state"))?,
            peak_bytes: engine.peak_bytes()?,
        })
    }

    /// Offsets, of which one a transaction and partition is a mark of its end.
    fn records(&self, topic: &str) -> Result<i64> {
        let consumer: BaseConsumer = Connection::new(&self.broker.bootstrap).consumer("flow.looks").create()?;
        let end = |partition: u32| {
            let partition = i32::try_from(partition)?;
            anyhow::Ok(consumer.fetch_watermarks(topic, partition, Duration::from_secs(30))?.1)
        };
        (0..self.partitions).map(end).sum()
    }

    /// How long until ready, with the store and without it.
    pub fn restarts(&mut self) -> Result<(Duration, Duration)> {
        self.engine.take().context("the engine runs")?.stop()?;
        let kept = self.start_engine()?;
        self.engine.take().context("the engine runs")?.stop()?;
        std::fs::remove_dir_all(self.dir.path().join("state"))?;
        Ok((kept, self.start_engine()?))
    }

    pub fn end(mut self, keep: bool) -> Result<()> {
        self.engine.take().context("the engine runs")?.stop()?;
        if keep {
            self.dir.disable_cleanup(true);
            println!("the files are in {}", self.dir.path().display());
        }
        Ok(())
    }
}

/// Of all partitions of a topic, without indexes.
fn logs_bytes(kafka: &Path, topic: &str) -> Result<u64> {
    let (mut bytes, mut folders) = (0, vec![PathBuf::from(kafka)]);
    while let Some(folder) = folders.pop() {
        let of_topic = folder.file_name().and_then(|name| name.to_str()).is_some_and(|name| {
            name.strip_prefix(topic)
                .and_then(|rest| rest.strip_prefix('-'))
                .is_some_and(|rest| rest.parse::<u32>().is_ok())
        });
        for entry in std::fs::read_dir(&folder)? {
            let entry = entry?;
            // A segment may be gone by now.
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.is_dir() {
                folders.push(entry.path());
            } else if of_topic && entry.path().extension().is_some_and(|kind| kind == "log") {
                bytes += metadata.len();
            }
        }
    }
    Ok(bytes)
}

fn topology(args: &Args, [bootstrap, registry, address]: [&str; 3]) -> String {
    let Args { partitions, workers, commit_interval_ms, detect, .. } = args;
    format!(
        "application: {APPLICATION}
kafka: {{ bootstrap_servers: '{bootstrap}', replication_factor: 1 }}
registry: {{ url: '{registry}' }}
engine: {{ workers: {workers}, state_dir: state, commit_interval_ms: {commit_interval_ms} }}
http: {{ listen: '{address}' }}
ingest: {{ alerts: flow.told.v1, deploys: flow.deploys.v1, samples: {SAMPLES}, open: true }}
topics:
  {SAMPLES}: {{ fact: sample, partitions: {partitions} }}
  flow.alerts.v1: {{ fact: alert, partitions: {partitions} }}
  flow.told.v1: {{ fact: alert, partitions: 1 }}
  flow.deploys.v1: {{ fact: deploy, partitions: 1 }}
operators:
  trend:
    sub_topology: flow
    inputs: {{ sample: {SAMPLES} }}
    outputs: {{ detection: flow.alerts.v1, dropped: null }}
    config:
      rules:
        - {{ name: flow, select: 'http_request_errors_ratio', detect: {detect} }}
"
    )
}
