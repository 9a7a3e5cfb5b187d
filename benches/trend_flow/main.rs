//! Samples of many series through the whole way of a trend: `cargo bench --bench trend_flow -- --series 100000 --seconds 60`.
//!
//! ```text
//!  senders ─ remote write 1.0, snappy ─► fairlead run ─► Kafka ─► operator trend ─► changelog, alerts
//!  (this process)                          └──── one process, whose CPU is told ────┘     a real Apache Kafka
//! ```
//! Samples of a series are fifteen seconds apart and come as fast as they are taken. A first round makes each series known and is not
//! measured. Then: rounds of all series for `--seconds`, until the last sample is in a committed state; a second, shorter run in which
//! each request holds `--burst` samples of each of its series, to see that a state is written once per key and commit and not once
//! per sample; and the way back of a process whose store was deleted, beside one that has it. Not here: aims and verdicts.

#[path = "../backlog/broker.rs"]
#[allow(dead_code)] // of which others use more
mod broker;
#[path = "../backlog/process.rs"]
#[allow(dead_code)]
mod process;
mod senders;
mod site;

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use clap::Parser;

use senders::Senders;
use site::{Seen, Site};

const BURST_SECONDS: u64 = 5;

#[derive(Parser)]
pub struct Args {
    #[arg(long, default_value_t = 100_000)]
    series: usize,
    /// For which samples are sent
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Samples in one request, as Prometheus sends them
    #[arg(long, default_value_t = 2_000)]
    batch: usize,
    /// Connections, each of which has its part of the series
    #[arg(long, default_value_t = 4)]
    senders: usize,
    /// Samples of one series in one request of the second run
    #[arg(long, default_value_t = 10)]
    burst: usize,
    #[arg(long, default_value_t = 4)]
    partitions: u32,
    /// Threads of the engine
    #[arg(long, default_value_t = 1)]
    workers: u32,
    /// Between two commits of the engine
    #[arg(long, default_value_t = 100)]
    commit_interval_ms: u32,
    /// What the one rule detects, as in a topology
    #[arg(long, default_value = "{ forecast: { above: 1000, horizon_secs: 14400 } }")]
    detect: String,
    /// Processors of fairlead and of Kafka, as taskset takes them
    #[arg(long, default_value = "0,1")]
    engine_cores: String,
    #[arg(long, default_value = "0,1")]
    kafka_cores: String,
    /// Keeps the files of the last run
    #[arg(long)]
    keep: bool,
    /// Given by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<()> {
    let args = Args::parse();
    ensure!(args.series >= args.senders && args.senders > 0 && args.burst > 0, "a sender has at least one series");
    let mut site = Site::start(&args)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let mut senders = Senders::new(&args, &site);

    let began = Instant::now();
    let mut sent = runtime.block_on(senders.round(1))?;
    site.wait_until_read(sent)?;
    println!("{} series known after {:.1} s", args.series, began.elapsed().as_secs_f64());

    sent += measured("one sample of each series a request", &args, &mut site, sent, |until| {
        let mut all = 0;
        while Instant::now() < until {
            all += runtime.block_on(senders.round(1))?;
        }
        Ok(all)
    })?;
    let burst = format!("{} samples of each series a request", args.burst);
    measured(&burst, &Args { seconds: args.seconds.min(BURST_SECONDS), ..args }, &mut site, sent, |until| {
        let mut all = 0;
        while Instant::now() < until {
            all += runtime.block_on(senders.round(args.burst))?;
        }
        Ok(all)
    })?;

    let (kept, lost) = site.restarts()?;
    println!(
        "ready after a restart: {:.1} s with its store, {:.1} s when that was deleted",
        kept.as_secs_f64(),
        lost.as_secs_f64()
    );
    site.end(args.keep)
}

/// Sends for as long as is asked, waits until all is in committed states, and prints what it took.
fn measured(
    name: &str,
    args: &Args,
    site: &mut Site,
    sent_before: u64,
    send: impl FnOnce(Instant) -> Result<u64>,
) -> Result<u64> {
    let (began, before) = (Instant::now(), site.look()?);
    let sent = send(began + Duration::from_secs(args.seconds))?;
    let taken = began.elapsed();
    site.wait_until_read(sent_before + sent)?;
    let (wall, after) = (began.elapsed(), site.look()?);
    report(name, sent, (taken, wall), &before, &after, args.series);
    Ok(sent)
}

fn report(name: &str, sent: u64, (taken, wall): (Duration, Duration), before: &Seen, after: &Seen, series: usize) {
    let samples = sent as f64;
    let (engine, kafka) = (after.engine_cpu - before.engine_cpu, after.kafka_cpu - before.kafka_cpu);
    let changelog = (after.changelog_bytes - before.changelog_bytes) as f64;
    let written = (after.changelog_records - before.changelog_records) as f64;
    println!("\n{name}: {sent} samples\n\n| | |\n|---|---|");
    println!("| samples/s of a core of fairlead, the whole way | {:.0} |", samples / engine);
    println!(
        "| samples/s by the clock: taken, in committed states | {:.0}, {:.0} |",
        samples / taken.as_secs_f64(),
        samples / wall.as_secs_f64()
    );
    println!(
        "| CPU seconds of fairlead, of Kafka, by the clock | {engine:.1}, {kafka:.1}, {:.1} |",
        wall.as_secs_f64()
    );
    println!("| states written a sample | {:.3} |", written / samples);
    println!("| bytes of changelog a sample, on Kafka's disk | {:.0} |", changelog / samples);
    println!(
        "| bytes of topic of samples a sample, on Kafka's disk | {:.0} |",
        (after.samples_bytes - before.samples_bytes) as f64 / samples
    );
    println!("| bytes of store on disk a series | {:.0} |", after.store_bytes as f64 / series as f64);
    println!("| most memory of fairlead at once, MB | {:.0} |", after.peak_bytes as f64 / 1e6);
    println!();
}
