//! What a copy that keeps compressed batches as they are would bring over consuming and producing with librdkafka: CPU of this process
//! and of the broker per GB of records, one partition to another. `cargo bench --bench shallow -- --help`.
//!
//! ```text
//!  bare     consume (decompress) ─► produce (compress)                    librdkafka, idempotent, acks=all
//!  shallow  Fetch ─► new producer id, epoch, sequence, checksum ─► Produce   raw, idempotent, acks=all, five in flight
//! ```
//! A measurement, no path of the product: no transactions, no ranges, no audit; every record of the source is copied. Both topics are on
//! one Apache Kafka, whose CPU is told beside ours. The copies are read back and compared with the source, record by record. Source batches
//! are of two sizes, for a Produce request carries one batch a partition: what a producer made small stays small.

#[path = "../../tests/it/harness/apache.rs"]
#[allow(dead_code, unused_imports)] // of which tests use more, and which holds a few tests of itself
mod apache;
mod bare;
mod raw;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use fairlead::log::client::Connection;
use fairlead::wire::{Admin, At, NewTopic};
use rdkafka::config::ClientConfig;

const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Parser)]
struct Args {
    /// Of records, uncompressed
    #[arg(long, default_value_t = 500)]
    megabytes: usize,
    /// Of one value
    #[arg(long, default_value_t = 1_024)]
    record_bytes: usize,
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// Given by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

/// What one copy took.
struct Run {
    wall: Duration,
    /// CPU seconds, of this process and of the broker.
    ours: f64,
    brokers: f64,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let kafka = apache::Kafka::start_own(&[]);
    let broker = kafka.process();
    let admin = Admin::new(&Connection::new(kafka.bootstrap()))?;
    let bytes = args.megabytes * 1_000_000;
    println!(
        "{} MB of records of {} B, lz4, one partition; medians of {} runs",
        args.megabytes, args.record_bytes, args.runs
    );
    println!("| source batches | copy | MB/s | CPU-s/GB, copy | CPU-s/GB, broker | requests |");
    println!("|---|---|---|---|---|---|");
    for (batches, batch_bytes) in [("1 MB (librdkafka's default)", 1_000_000), ("16 KB (Java's default)", 16_384)] {
        let source = create(&admin, &format!("source-{batch_bytes}"))?;
        bare::fill(kafka.bootstrap(), &source, bytes, args.record_bytes, batch_bytes)?;
        let end = end(&admin, &source)?;
        let expected = bare::digest(kafka.bootstrap(), &source, end)?;
        for (name, shallow) in [("bare", false), ("shallow", true)] {
            let mut runs = Vec::new();
            let mut requests = 0;
            for number in 0..args.runs {
                let target = create(&admin, &format!("{name}-{batch_bytes}-{number}"))?;
                let run = measure(broker, || {
                    requests = match shallow {
                        true => raw::copy(kafka.bootstrap(), &source, &target, end)?,
                        false => bare::copy(kafka.bootstrap(), &source, &target, end)?,
                    };
                    Ok(())
                })?;
                ensure!(bare::digest(kafka.bootstrap(), &target, end)? == expected, "{target} is no copy of {source}");
                runs.push(run);
                pollster(admin.delete_topics(&[target]))?;
            }
            report(batches, name, bytes, &runs, requests);
        }
    }
    Ok(())
}

fn measure(broker: u32, work: impl FnOnce() -> Result<()>) -> Result<Run> {
    let (began, ours, brokers) = (Instant::now(), cpu("self")?, cpu(&broker.to_string())?);
    work()?;
    Ok(Run { wall: began.elapsed(), ours: cpu("self")? - ours, brokers: cpu(&broker.to_string())? - brokers })
}

fn report(batches: &str, name: &str, bytes: usize, runs: &[Run], requests: u64) {
    let gigabytes = bytes as f64 / 1e9;
    let median = |of: fn(&Run) -> f64| {
        let mut all: Vec<f64> = runs.iter().map(of).collect();
        all.sort_by(f64::total_cmp);
        all[all.len() / 2]
    };
    let speed = bytes as f64 / 1e6 / median(|run| run.wall.as_secs_f64());
    let (ours, brokers) = (median(|run| run.ours) / gigabytes, median(|run| run.brokers) / gigabytes);
    let requests = if requests == 0 { "-".to_owned() } else { requests.to_string() };
    println!("| {batches} | {name} | {speed:.0} | {ours:.2} | {brokers:.2} | {requests} |");
}

/// User and system time of a process, in seconds.
fn cpu(process: &str) -> Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The name, which may hold anything, ends with the last parenthesis.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok()).context("no such field");
    Ok((ticks(11)? + ticks(12)?) / 100.0)
}

fn create(admin: &Admin, name: &str) -> Result<String> {
    let topic = NewTopic { name: name.into(), partitions: 1, replication: None, configs: BTreeMap::new() };
    let outcomes = pollster(admin.create_topics(&[topic], false))?;
    ensure!(outcomes.values().all(Result::is_ok), "{outcomes:?}");
    let until = Instant::now() + PATIENCE;
    while pollster(admin.topics(Some(&[name.to_owned()])))?.is_empty() {
        ensure!(Instant::now() < until, "{name} does not come into being");
    }
    Ok(name.to_owned())
}

fn end(admin: &Admin, topic: &str) -> Result<i64> {
    let offsets = pollster(admin.offsets(&[(topic.to_owned(), 0)], At::Latest { committed: true }))?;
    Ok(offsets.values().next().context("no such partition")?.offset)
}

/// One call at a time, on this thread.
fn pollster<T, E>(work: impl Future<Output = Result<T, E>>) -> Result<T>
where
    E: std::error::Error + Send + Sync + 'static,
{
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)?)
}

fn client(bootstrap: &str, more: &[(&str, &str)]) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap);
    for (name, value) in more {
        config.set(*name, *value);
    }
    config
}
