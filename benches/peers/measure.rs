//! The measurements, the same for every engine: none asks the engine anything, all look at the broker, the output and the kernel.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde::Serialize;

use crate::application::Application;
use crate::judge::{self, Judge, Latency};
use crate::load;
use crate::process::{Process, cpu_seconds};
use crate::progress::Progress;
use crate::site::Site;

const PATIENCE: Duration = Duration::from_secs(300);
const SAMPLE: Duration = Duration::from_millis(100);

#[derive(Serialize)]
pub struct Drain {
    /// From the start of the process until its first output was read: what a cold start costs.
    pub first_output_seconds: f64,
    /// CPU until then.
    pub first_output_cpu_seconds: f64,
    /// From the first commit that was seen to the last.
    pub whole: Stretch,
    /// From when half of it was left: a JVM has compiled by then what it will compile.
    pub later_half: Stretch,
    pub peak_bytes: u64,
}

#[derive(Clone, Copy, Serialize)]
pub struct Stretch {
    pub records: i64,
    pub seconds: f64,
    pub cpu_seconds: f64,
    pub broker_cpu_seconds: f64,
}

#[derive(Clone, Copy)]
struct Mark {
    at: Instant,
    left: i64,
    cpu: f64,
    broker_cpu: f64,
}

impl Mark {
    fn until(&self, later: &Mark) -> Stretch {
        Stretch {
            records: self.left - later.left,
            seconds: later.at.duration_since(self.at).as_secs_f64(),
            cpu_seconds: later.cpu - self.cpu,
            broker_cpu_seconds: later.broker_cpu - self.broker_cpu,
        }
    }
}

impl Stretch {
    pub fn rate(&self) -> f64 {
        self.records as f64 / self.seconds
    }

    pub fn cpu_per_million(&self) -> f64 {
        self.cpu_seconds * 1e6 / self.records as f64
    }

    pub fn broker_cpu_per_million(&self) -> f64 {
        self.broker_cpu_seconds * 1e6 / self.records as f64
    }
}

/// Starts a new application on the backlog that waits for it, and follows it to the end. The process is left running.
pub fn drain(site: &Site, application: &Application) -> Result<(Process, Drain)> {
    let judge = Judge::new(site.bootstrap(), &application.output())?;
    let progress = Progress::of(site.bootstrap(), &application.group(), site.workload.topics())?;
    let end = progress.end()?;
    let broker = site.broker.pid()?;
    let mut process = application.start(site)?;
    while judge.next(Duration::from_millis(20))?.is_none() {
        process.ensure_alive()?;
        ensure!(process.age() < PATIENCE, "no output within {PATIENCE:?}; see engine.log");
    }
    let first_output_seconds = process.age().as_secs_f64();
    drop(judge);
    let mark = || {
        let left = end - progress.committed()?;
        let (cpu, broker_cpu) = (cpu_seconds(&process.pid())?, cpu_seconds(&broker)?);
        anyhow::Ok(Mark { at: Instant::now(), left, cpu, broker_cpu })
    };
    let first = mark()?;
    let (mut half, mut last) = (None, first);
    while last.left > 0 {
        ensure!(first.at.elapsed() < PATIENCE, "{} records are left after {PATIENCE:?}", last.left);
        std::thread::sleep(SAMPLE);
        last = mark()?;
        if last.left <= first.left / 2 {
            half.get_or_insert(last);
        }
    }
    let drain = Drain {
        first_output_seconds,
        first_output_cpu_seconds: first.cpu,
        whole: first.until(&last),
        later_half: half.unwrap_or(first).until(&last),
        peak_bytes: process.peak_bytes()?,
    };
    Ok((process, drain))
}

#[derive(Serialize)]
pub struct Paced {
    pub latency: Latency,
    /// Of one core, while records came at this rate.
    pub cpu_share: f64,
    pub broker_cpu_share: f64,
}

/// Latency at a fixed rate, and what that costs.
pub fn paced(site: &Site, application: &Application, process: &Process, rate: u64, length: Duration) -> Result<Paced> {
    let (began, broker) = (Instant::now(), site.broker.pid()?);
    let (cpu, broker_cpu) = (cpu_seconds(&process.pid())?, cpu_seconds(&broker)?);
    let latency = judge::latency(site.bootstrap(), &application.output(), &site.formats, rate, length)?;
    let seconds = began.elapsed().as_secs_f64();
    Ok(Paced {
        latency,
        cpu_share: (cpu_seconds(&process.pid())? - cpu) / seconds,
        broker_cpu_share: (cpu_seconds(&broker)? - broker_cpu) / seconds,
    })
}

/// From the start of a process until an alert that was sent before has become an incident.
pub fn back(site: &Site, application: &Application, service: &str) -> Result<(Process, f64)> {
    let mut judge = Judge::new(site.bootstrap(), &application.output())?;
    load::one(site.bootstrap(), &site.formats, service)?;
    let process = application.start(site)?;
    judge.until_incident_of(service, PATIENCE)?;
    let seconds = process.age().as_secs_f64();
    Ok((process, seconds))
}
