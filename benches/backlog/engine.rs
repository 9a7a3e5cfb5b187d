//! `fairlead run` as it is benchmarked.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};

use crate::load::{ALERTS, DEPLOYS};
use crate::process::{Process, cpu_seconds, disk_bytes};
use crate::progress::Progress;
use crate::report::Drain;

const HTTP: &str = "http://127.0.0.1:18080";
const PATIENCE: Duration = Duration::from_secs(1_200);

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
    process: Process,
    state: PathBuf,
}

impl Engine {
    pub fn start(place: &Place) -> Result<Self> {
        let mut engine = Self::start_unready(place)?;
        engine.until_ready()?;
        Ok(engine)
    }

    pub fn start_unready(place: &Place) -> Result<Self> {
        let topology = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/backlog/topology");
        let program = [env!("CARGO_BIN_EXE_fairlead"), "run", "--topology", topology].map(str::to_owned);
        let environment = [
            ("BENCH_KAFKA", &*place.bootstrap),
            ("BENCH_REGISTRY", &place.registry),
            ("BENCH_TOKEN", "bench-token-0000000000"),
        ];
        let process = Process::start("1", &program, &place.dir, &environment)?;
        Ok(Self { process, state: place.dir.join("state") })
    }

    /// How long it took from the start of the process.
    pub fn until_ready(&mut self) -> Result<Duration> {
        let client = reqwest::Client::new();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        while self.age() < PATIENCE {
            self.process.ensure_alive()?;
            let asked = runtime.block_on(client.get(format!("{HTTP}/readyz")).send());
            if asked.is_ok_and(|answer| answer.status().is_success()) {
                return Ok(self.age());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        bail!("the engine is not ready after {PATIENCE:?}; see engine.log")
    }

    pub fn pid(&self) -> String {
        self.process.pid()
    }

    pub fn age(&self) -> Duration {
        self.process.age()
    }

    pub fn stop(self) -> Result<()> {
        let status = self.process.stop()?;
        ensure!(status.success(), "the engine ended with {status}; see engine.log");
        Ok(())
    }

    pub fn kill(self) -> Result<()> {
        self.process.kill()?;
        Ok(())
    }

    pub fn peak_bytes(&self) -> Result<u64> {
        self.process.peak_bytes()
    }

    pub fn state_bytes(&self) -> Result<u64> {
        disk_bytes(&self.state)
    }
}

/// Until the group has committed the end of both topics. Time and CPU count from the first record that is read: what was polled
/// before the engine was ready belongs to it, for a backlog is read at once.
pub fn drain(engine: &mut Engine, place: &Place, broker: &str, records: u64) -> Result<Drain> {
    let (pid, began) = (engine.pid(), Instant::now());
    let (cpu, broker_cpu) = (cpu_seconds(&pid)?, cpu_seconds(broker)?);
    let progress = Progress::of(&place.bootstrap, "bench.engine", [ALERTS, DEPLOYS])?;
    let end = progress.end()?;
    let mut left = end - progress.committed()?;
    let first = left;
    while left > 0 {
        engine.process.ensure_alive()?;
        ensure!(began.elapsed() < PATIENCE, "{left} records are still not processed after {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(100));
        left = end - progress.committed()?;
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
