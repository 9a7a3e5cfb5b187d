//! Mirroring beside MirrorMaker 2 and a bare librdkafka loop: one cluster to another on this machine. `cargo bench --bench mirror -- --help`.
//!
//! ```text
//!  bare       consume ─► produce                                         librdkafka, idempotent, no offsets kept: the limit
//!  fairlead   as `fairlead mirror run`: exactly once, a range an offset
//!  mm2        MirrorMaker 2, dedicated, at least once
//!  mm2-eos    the same, exactly once (KIP-618)
//! ```
//! Each is a process of its own, started on a source that is full, and ends when the target has all. Told are the whole, from the start of the
//! process, and the later half of the records: a JVM has compiled by then what it will compile. Then the same process follows a source
//! that is written to at a steady rate: how old a record is when a reader of committed records on the target gets it. All four copy with
//! lz4, the same partitions, the same clusters; the brokers' CPU is no part of the figures.

#[path = "../../tests/it/harness/apache.rs"]
#[allow(dead_code, unused_imports)] // of which tests use more
mod apache;
mod load;
mod measure;
mod systems;

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::{Parser, ValueEnum as _};

use measure::{Drain, Lag};
use systems::System;

#[derive(Parser)]
pub struct Args {
    /// Of records, uncompressed, for each size of record
    #[arg(long, default_value_t = 300)]
    megabytes: usize,
    /// Bytes of a value
    #[arg(long, value_delimiter = ',', default_value = "100,1024,10240")]
    records: Vec<usize>,
    #[arg(long, value_delimiter = ',', default_value = "bare,fairlead,mm2,mm2-eos")]
    systems: Vec<System>,
    #[arg(long, default_value_t = 1)]
    runs: usize,
    #[arg(long, default_value_t = 8)]
    partitions: i32,
    /// MB a second while the lag is measured; 0: it is not
    #[arg(long, default_value_t = 5)]
    steady: usize,
    /// How long the lag is measured
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Where brokers keep their data, e.g. /dev/shm
    #[arg(long)]
    data: Option<PathBuf>,
    /// Be one of the systems: source, target, topic, copy's topic
    #[arg(long, hide = true, num_args = 5)]
    as_system: Option<Vec<String>>,
    /// Given by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<()> {
    let args = Args::parse();
    if let Some(all) = &args.as_system {
        let system = System::from_str(&all[0], true).map_err(anyhow::Error::msg)?;
        return systems::be(system, &all[1], &all[2], &all[3], &all[4], args.partitions);
    }
    if let Some(data) = &args.data {
        // Nothing else runs yet: the brokers make their directories there.
        ensure!(data.is_dir(), "{} is no directory", data.display());
        tempfile::env::override_temp_dir(data)
            .map_err(|_| anyhow::anyhow!("the place of temporary files is set already"))?;
    }
    println!("{} MB a size, {} partitions, lz4, {} run(s)", args.megabytes, args.partitions, args.runs);
    println!(
        "| record | system | MB/s | CPU-s/GB | later half: MB/s | CPU-s/GB | peak MB | lag p50 ms | p99 ms | CPU % at {} MB/s |",
        args.steady
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    for bytes in &args.records {
        for system in &args.systems {
            let mut runs = Vec::new();
            for _ in 0..args.runs {
                runs.push(measure::run(*system, *bytes, &args).with_context(|| format!("{system:?}"))?);
            }
            report(*bytes, *system, &runs);
        }
    }
    Ok(())
}

fn report(bytes: usize, system: System, runs: &[(Drain, Option<Lag>)]) {
    let median = |of: fn(&Drain) -> f64| {
        let mut all: Vec<f64> = runs.iter().map(|(drain, _)| of(drain)).collect();
        all.sort_by(f64::total_cmp);
        all[all.len() / 2]
    };
    let lag = |of: fn(&Lag) -> f64| {
        let mut all: Vec<f64> = runs.iter().filter_map(|(_, lag)| lag.as_ref().map(of)).collect();
        all.sort_by(f64::total_cmp);
        all.get(all.len() / 2).map_or_else(|| "-".to_owned(), |median| format!("{median:.0}"))
    };
    println!(
        "| {bytes} B | {} | {:.0} | {:.2} | {:.0} | {:.2} | {:.0} | {} | {} | {} |",
        system.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned()),
        median(|drain| drain.whole.megabytes_per_second()),
        median(|drain| drain.whole.cpu_per_gigabyte()),
        median(|drain| drain.later.megabytes_per_second()),
        median(|drain| drain.later.cpu_per_gigabyte()),
        median(|drain| drain.peak_bytes / 1e6),
        lag(|lag| lag.p50_ms),
        lag(|lag| lag.p99_ms),
        lag(|lag| lag.cpu_percent),
    );
}
