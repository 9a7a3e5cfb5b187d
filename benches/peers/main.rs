//! fairlead beside Kafka Streams, on the same broker, records and core: `make peers`, or `cargo bench --bench peers -- --help`.
//!
//! ```text
//!                         ┌─► fairlead run ────────────────────► its incidents ─┐
//!  load ─► input topics ──┤                                                     ├─► compared, key by key
//!                         └─► benches/peers/streams (Java, RocksDB, EOS v2) ──► its incidents ─┘
//! ```
//! First the proof that both say the same (`story`); then drains of a backlog, turn by turn, with the cores swapped half way; then,
//! one engine after the other with many keys: latency at fixed rates, and the ways back. Nothing is measured before it is proven
//! that the outputs are equal, and each turn's outputs are compared again. How it is made fair: benches/README.md.
//!
//! What is *not* here: verdicts. The program prints what it saw, people compare.

mod application;
#[path = "../backlog/broker.rs"]
mod broker;
#[path = "../backlog/judge.rs"]
mod judge;
#[path = "../backlog/load.rs"]
mod load;
mod measure;
#[path = "../backlog/mix.rs"]
mod mix;
#[path = "../ospbench/mod.rs"]
mod ospbench;
mod outputs;
#[path = "../backlog/process.rs"]
mod process;
#[path = "../backlog/progress.rs"]
mod progress;
mod report;
mod site;
mod story;
mod turns;
mod workload;

use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use clap::Parser;

use application::Engine;
use report::{Machine, Report};
use site::{Cores, Peer};
use turns::Bench;

const PINNINGS: [Cores; 2] = [Cores { broker: "0", engine: "1" }, Cores { broker: "1", engine: "0" }];

#[derive(Parser)]
pub struct Args {
    /// Prove that both engines say the same, and measure nothing
    #[arg(long)]
    only_equality: bool,
    /// OSPBench's join, tumbling and sliding window, drained, instead of the on-call topology
    #[arg(long)]
    ospbench: bool,
    /// Its measurement points
    #[arg(long, default_value_t = 500)]
    points: u32,
    /// Records of the story that proves it, about
    #[arg(long, default_value_t = 100_000)]
    story_records: u64,
    /// Records of the backlog that is drained, both topics together
    #[arg(long, default_value_t = 300_000)]
    records: u64,
    /// Services of that backlog
    #[arg(long, default_value_t = 60_000)]
    keys: u64,
    /// Drains of each engine on each pinning
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// Services, with one record each, for the latencies and the ways back; 0 leaves these out
    #[arg(long, default_value_t = 1_000_000)]
    scale_keys: u64,
    /// Records a second at which latency is measured
    #[arg(long, value_delimiter = ',', default_value = "100,1000,4000")]
    rates: Vec<u64>,
    #[arg(long, default_value_t = 15)]
    latency_seconds: u64,
    /// Ways back of each kind
    #[arg(long, default_value_t = 3)]
    ways_back: usize,
    /// A property of Kafka Streams, name=value, over those of streams.properties; may be given again
    #[arg(long)]
    streams: Vec<String>,
    /// An option of its Java, over the ones that are given; may be given again
    #[arg(long, allow_hyphen_values = true)]
    java: Vec<String>,
    /// No further drain is begun once so much time is gone, half of it on each pinning
    #[arg(long, default_value_t = 9)]
    drain_minutes: u64,
    /// Where broker and state live; a memory file system keeps the disk out of it
    #[arg(long, default_value = "/dev/shm")]
    scratch: PathBuf,
    /// The report as JSON, with every run, besides the table
    #[arg(long)]
    json: Option<PathBuf>,
    /// Given by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

/// As in the program itself: OSPBench's operators run in this one.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<()> {
    if std::env::args().nth(1).as_deref() == Some(ospbench::ENGINE) {
        return ospbench::run_engine();
    }
    let args = Args::parse();
    let peer = Peer { class_path: build_streams()?, java: args.java.clone(), properties: args.streams.clone() };
    let bench = Bench { peer, began: Instant::now(), args };
    let mut report = Report { machine: Machine::this(), equality: None, drains: Vec::new(), at_scale: Vec::new() };
    let ran = run(&bench, &mut report);
    // What was measured before something failed is measured.
    println!("{report}");
    if let Some(path) = &bench.args.json {
        std::fs::write(path, serde_json::to_string_pretty(&report)?)?;
    }
    ran
}

fn run(bench: &Bench, report: &mut Report) -> Result<()> {
    let Args { ospbench: only_ospbench, only_equality, .. } = bench.args;
    if only_equality {
        ospbench::equality(bench)?;
    }
    match (only_ospbench, only_equality) {
        (true, true) => return Ok(()),
        (true, false) => {
            return PINNINGS.into_iter().try_for_each(|cores| ospbench::drains(bench, cores, &mut report.drains));
        }
        (false, _) => {}
    }
    let equality = bench.story()?;
    ensure!(equality.different_keys == 0, "{equality}; {}", equality.first_difference.as_deref().unwrap_or_default());
    report.equality = Some(equality);
    if bench.args.only_equality {
        return Ok(());
    }
    for cores in PINNINGS {
        bench.drains(cores, &mut report.drains)?;
    }
    let engines = [Engine::Fairlead, Engine::Streams, Engine::StreamsTransactional];
    for engine in engines.into_iter().filter(|_| bench.args.scale_keys > 0) {
        report.at_scale.push(bench.at_scale(engine)?);
    }
    Ok(())
}

/// The class path of the Kafka Streams application.
fn build_streams() -> Result<String> {
    eprintln!("building the Kafka Streams application");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/peers/streams/build.sh");
    let built = Command::new(script).stderr(std::process::Stdio::inherit()).output().context("build.sh")?;
    ensure!(built.status.success(), "the Kafka Streams application cannot be built; the lines above say why");
    Ok(String::from_utf8(built.stdout)?.trim().to_owned())
}
