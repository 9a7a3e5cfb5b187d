//! `fairlead run` as a process of its own, pinned to one core, and what the kernel says of it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Offset, TopicPartitionList};

use crate::load::{ALERTS, DEPLOYS};
use crate::report::Drain;
use fairlead::log::client::Connection;

const HTTP: &str = "http://127.0.0.1:18080";
const PATIENCE: Duration = Duration::from_secs(1_200);
const TICKS_PER_SECOND: f64 = 100.0;

/// Where it runs and what it talks to.
pub struct Place {
    dir: PathBuf,
    bootstrap: String,
    registry: String,
}

impl Place {
    pub fn new(dir: &Path, bootstrap: &str, registry: &str) -> Self {
        Self { dir: dir.to_owned(), bootstrap: bootstrap.to_owned(), registry: registry.to_owned() }
    }
}

pub struct Engine {
    process: Child,
    started: Instant,
    state: PathBuf,
}

impl Engine {
    pub fn start(place: &Place) -> Result<Self> {
        let engine = Self::start_unready(place)?;
        engine.until_ready()?;
        Ok(engine)
    }

    pub fn start_unready(place: &Place) -> Result<Self> {
        let topology = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/backlog/topology");
        let log = std::fs::OpenOptions::new().create(true).append(true).open(place.dir.join("engine.log"))?;
        let started = Instant::now();
        let process = Command::new("taskset")
            .args(["-c", "1", env!("CARGO_BIN_EXE_fairlead"), "run", "--topology", topology])
            .current_dir(&place.dir)
            .env("BENCH_KAFKA", &place.bootstrap)
            .env("BENCH_REGISTRY", &place.registry)
            .env("BENCH_TOKEN", "bench-token-0000000000")
            .stderr(Stdio::from(log))
            .spawn()
            .context("taskset, of the package util-linux")?;
        Ok(Self { process, started, state: place.dir.join("state") })
    }

    /// How long it took from the start of the process.
    pub fn until_ready(&self) -> Result<Duration> {
        let client = reqwest::Client::new();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        while self.age() < PATIENCE {
            let asked = runtime.block_on(client.get(format!("{HTTP}/readyz")).send());
            if asked.is_ok_and(|answer| answer.status().is_success()) {
                return Ok(self.age());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        bail!("the engine is not ready after {PATIENCE:?}; see engine.log")
    }

    pub fn age(&self) -> Duration {
        self.started.elapsed()
    }

    pub fn stop(self) -> Result<()> {
        self.end("TERM")
    }

    pub fn kill(self) -> Result<()> {
        self.end("KILL")
    }

    fn end(mut self, signal: &str) -> Result<()> {
        let pid = self.process.id().to_string();
        ensure!(Command::new("kill").args([&format!("-{signal}"), &pid]).status()?.success(), "no process {pid}");
        let status = self.process.wait()?;
        ensure!(signal == "KILL" || status.success(), "the engine ended with {status}; see engine.log");
        Ok(())
    }

    pub fn peak_bytes(&self) -> Result<u64> {
        status_bytes(self.process.id(), "VmHWM")
    }

    /// Of its directory on disk.
    pub fn state_bytes(&self) -> Result<u64> {
        let told = Command::new("du").args(["-sb"]).arg(&self.state).output()?;
        let text = String::from_utf8(told.stdout)?;
        text.split_whitespace().next().context("du prints a number")?.parse().context("a number of bytes")
    }
}

/// Until the group has committed the end of both topics. Time and CPU count from the first record that is read: what was polled
/// before the engine was ready belongs to it, for a backlog is read at once.
pub fn drain(engine: &Engine, place: &Place, broker: &str, records: u64) -> Result<Drain> {
    let (pid, began) = (engine.process.id().to_string(), Instant::now());
    let (cpu, broker_cpu) = (cpu_seconds(&pid)?, cpu_seconds(broker)?);
    let consumer: BaseConsumer = Connection::new(&place.bootstrap).consumer("bench.engine").create()?;
    let mut left = backlog(&consumer)?;
    let first = left;
    while left > 0 {
        ensure!(began.elapsed() < PATIENCE, "{left} records are still not processed after {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(100));
        left = backlog(&consumer)?;
    }
    let seconds = began.elapsed().as_secs_f64();
    Ok(Drain {
        records: records.min(u64::try_from(first)?),
        seconds,
        cpu_seconds: cpu_seconds(&pid)? - cpu,
        broker_cpu_seconds: cpu_seconds(broker)? - broker_cpu,
        peak_bytes: engine.peak_bytes()?,
    })
}

/// Offsets between what the group has committed and the ends.
fn backlog(consumer: &BaseConsumer) -> Result<i64> {
    let mut asked = TopicPartitionList::new();
    let mut left = 0;
    for topic in [ALERTS, DEPLOYS] {
        for partition in 0..4 {
            asked.add_partition(topic, partition);
            left += consumer.fetch_watermarks(topic, partition, Duration::from_secs(10))?.1;
        }
    }
    let committed = consumer.committed_offsets(asked, Duration::from_secs(10))?;
    let offset = |offset: Offset| if let Offset::Offset(offset) = offset { offset } else { 0 };
    Ok(left - committed.elements().iter().map(|element| offset(element.offset())).sum::<i64>())
}

/// User and system time of a process so far.
fn cpu_seconds(pid: &str) -> Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, fields) = stat.rsplit_once(')').context("/proc/<pid>/stat has a name in parentheses")?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let ticks: f64 = fields[11].parse::<f64>()? + fields[12].parse::<f64>()?;
    Ok(ticks / TICKS_PER_SECOND)
}

fn status_bytes(pid: u32, name: &str) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find(|line| line.starts_with(name)).context("/proc/<pid>/status has no such line")?;
    let kib: u64 = line.split_whitespace().nth(1).context("a number of KiB")?.parse()?;
    Ok(kib * 1024)
}
