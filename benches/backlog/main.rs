//! How fast a backlog of alerts and deploys drains through level, incident and suspects, at what cost, and how long the way back
//! takes: `make bench`, or `cargo bench --bench backlog -- --help`.
//!
//! ```text
//!  load (not timed) ─► topics ─► fairlead run, one worker, pinned to a core ─► incidents ─► judge, read_committed
//!                      a real Apache Kafka, pinned to another
//! ```
//! Three measurements on one state: the drain of the backlog; latency at a fixed rate, from the moment a record *should* have been
//! sent, so that a stall counts for all that waited behind it; and the ways back: after kill -9, and with the store lost.
//! What is *not* here: aims and verdicts. The program prints what it saw, people compare.

mod broker;
mod engine;
mod judge;
mod load;
mod mix;
mod process;
mod profile;
mod progress;
mod report;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;
use fairlead::embedded::registry::{Registry, RegistryConfig};
use fairlead::event::FactKind;

use broker::Broker;
use engine::{Engine, Place};
use load::{ALERTS, DEPLOYS};
use profile::Recording;
use report::Report;

const INCIDENTS: &str = "bench.incidents.v1";
/// What is on the topics.
const FACTS: [(&str, FactKind); 3] =
    [(ALERTS, FactKind::Alert), (DEPLOYS, FactKind::Deploy), (INCIDENTS, FactKind::Incident)];

#[derive(Parser)]
struct Args {
    /// Records of the backlog, alerts and deploys together
    #[arg(long, default_value_t = 2_000_000)]
    records: u64,
    /// Services: each is a key with a state of its own in three operators
    #[arg(long, default_value_t = 1_000_000)]
    keys: u64,
    /// Records a second while latency is measured
    #[arg(long, default_value_t = 1_000)]
    rate: u64,
    #[arg(long, default_value_t = 30)]
    latency_seconds: u64,
    /// Where broker and state live; a memory file system keeps the disk out of it
    #[arg(long, default_value = "/dev/shm")]
    scratch: PathBuf,
    /// Only the drain, and where its CPU goes, by `perf`
    #[arg(long)]
    profile: bool,
    /// The report as JSON, besides the table
    #[arg(long)]
    json: Option<PathBuf>,
    /// Given by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let scratch = tempfile::Builder::new().prefix("fairlead-bench-").tempdir_in(&args.scratch)?;
    let broker = Broker::start(&scratch.path().join("kafka"), "0")?;
    let registry = Registry::start(RegistryConfig {
        data_dir: scratch.path().join("registry"),
        listen: "127.0.0.1:0".parse()?,
        allow_non_loopback: false,
    })?;
    let place = Place::new(scratch.path(), &broker.bootstrap, &registry.url());

    // The first start makes the topics and registers the schemas, as it does for everybody.
    Engine::start(&place)?.stop()?;
    eprintln!("loading {} records of {} keys", args.records, args.keys);
    let formats = load::formats(&load::schemas(&registry.url(), &FACTS)?)?;
    load::backlog(&broker.bootstrap, &formats, args.records, args.keys)?;

    let mut report = Report::new(args.records, args.keys);
    let mut engine = Engine::start(&place)?;
    let recording = args.profile.then(|| Recording::start(&engine.pid(), scratch.path())).transpose()?;
    report.drain = Some(engine::drain(&mut engine, &place, &broker.pid()?, args.records)?);
    eprintln!("{}", report.drained());
    if let Some(recording) = recording {
        println!("{}", recording.finish()?);
        return engine.stop();
    }

    eprintln!("latency at {} records/s for {} s", args.rate, args.latency_seconds);
    let seconds = Duration::from_secs(args.latency_seconds);
    report.latency = Some(judge::latency(&broker.bootstrap, INCIDENTS, &formats, args.rate, seconds)?);
    report.state_bytes = engine.state_bytes()?;

    engine.kill()?;
    let (engine, to_ready, to_output) = restart(&place, &broker.bootstrap, &formats, "after-kill")?;
    (report.killed_to_ready, report.killed_to_output) = (to_ready, to_output);
    engine.stop()?;
    std::fs::remove_dir_all(scratch.path().join("state")).context("the state directory")?;
    let (engine, to_ready, to_output) = restart(&place, &broker.bootstrap, &formats, "after-loss")?;
    (report.lost_to_ready, report.lost_to_output) = (to_ready, to_output);
    report.restore_peak_bytes = engine.peak_bytes()?;
    engine.stop()?;

    println!("{report}");
    if let Some(path) = args.json {
        std::fs::write(path, serde_json::to_string_pretty(&report)?)?;
    }
    Ok(())
}

/// From the start of a process until it is ready, and until an alert sent before that start has become an incident.
fn restart(
    place: &Place,
    bootstrap: &str,
    formats: &fairlead::codec::Formats,
    service: &str,
) -> Result<(Engine, Duration, Duration)> {
    let mut judge = judge::Judge::new(bootstrap, INCIDENTS)?;
    load::one(bootstrap, formats, service)?;
    let mut engine = Engine::start_unready(place)?;
    let output = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| judge.until_incident_of(service, Duration::from_secs(600)));
        let ready = engine.until_ready()?;
        waiting.join().expect("the judge does not panic")?;
        anyhow::Ok((ready, engine.age()))
    })?;
    Ok((engine, output.0, output.1))
}
