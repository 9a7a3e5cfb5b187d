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
mod outputs;
#[path = "../backlog/process.rs"]
mod process;
#[path = "../backlog/progress.rs"]
mod progress;
mod report;
mod site;
mod story;

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Parser;

use application::{Application, Engine};
use outputs::{Equality, Outputs};
use process::Process;
use report::{AtScale, Machine, Report, Run};
use site::{Cores, Peer, Site};

const PINNINGS: [Cores; 2] = [Cores { broker: "0", engine: "1" }, Cores { broker: "1", engine: "0" }];
/// Kinds of changes of an incident.
const CHANGES: usize = 6;

#[derive(Parser)]
struct Args {
    /// Prove that both engines say the same, and measure nothing
    #[arg(long)]
    only_equality: bool,
    /// Records of the story that proves it, about
    #[arg(long, default_value_t = 100_000)]
    story_records: u64,
    /// Records of the backlog that is drained, alerts and deploys together
    #[arg(long, default_value_t = 400_000)]
    records: u64,
    /// Services of that backlog
    #[arg(long, default_value_t = 80_000)]
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
    /// No further drain is begun once so much time is gone
    #[arg(long, default_value_t = 10)]
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

fn main() -> Result<()> {
    let args = Args::parse();
    let peer = Peer { class_path: build_streams()?, java: args.java.clone(), properties: args.streams.clone() };
    let bench = Bench { peer, began: Instant::now(), args };
    let mut report = Report { machine: Machine::this(), equality: None, drains: Vec::new(), at_scale: Vec::new() };
    let ran = bench.run(&mut report);
    // What was measured before something failed is measured.
    println!("{report}");
    if let Some(path) = &bench.args.json {
        std::fs::write(path, serde_json::to_string_pretty(&report)?)?;
    }
    ran
}

/// The class path of the Kafka Streams application.
fn build_streams() -> Result<String> {
    eprintln!("building the Kafka Streams application");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/peers/streams/build.sh");
    let built = Command::new(script).stderr(std::process::Stdio::inherit()).output().context("build.sh")?;
    ensure!(built.status.success(), "the Kafka Streams application cannot be built; the lines above say why");
    Ok(String::from_utf8(built.stdout)?.trim().to_owned())
}

struct Bench {
    args: Args,
    peer: Peer,
    began: Instant,
}

impl Bench {
    fn run(&self, report: &mut Report) -> Result<()> {
        let equality = self.story()?;
        ensure!(
            equality.different_keys == 0,
            "{equality}; {}",
            equality.first_difference.as_deref().unwrap_or_default()
        );
        report.equality = Some(equality);
        if self.args.only_equality {
            return Ok(());
        }
        for cores in PINNINGS {
            self.drains(cores, &mut report.drains)?;
        }
        let engines = [Engine::Fairlead, Engine::Streams, Engine::StreamsTransactional];
        for engine in engines.into_iter().filter(|_| self.args.scale_keys > 0) {
            report.at_scale.push(self.at_scale(engine)?);
        }
        Ok(())
    }

    fn site(&self, cores: Cores) -> Result<Site> {
        Site::start(&self.args.scratch, cores, &self.peer)
    }

    fn say(&self, what: &str) {
        eprintln!("[{:>5.0} s] {what}", self.began.elapsed().as_secs_f64());
    }

    /// Both engines read the same story at the same time.
    fn story(&self) -> Result<Equality> {
        let site = self.site(PINNINGS[0])?;
        let ours = Application::new(&site, Engine::Fairlead, "fairlead-story")?;
        let theirs = Application::new(&site, Engine::Streams, "streams-story")?;
        let (mut our_process, mut their_process) = (ours.start(&site)?, theirs.start(&site)?);
        let keys = self.args.story_records / story::rounds();
        self.say(&format!("telling both a story of {} rounds of {keys} services", story::rounds()));
        story::tell(&site, keys, &[ours.group(), theirs.group()], &mut [&mut our_process, &mut their_process])?;
        let read = |application: &Application| Outputs::read(site.bootstrap(), &application.incidents(), i64::MAX);
        let (our_outputs, their_outputs) = (read(&ours)?, read(&theirs)?);
        let equality = our_outputs.compare(&their_outputs, &site.formats);
        let changes = our_outputs.changes(&site.formats);
        self.say(&format!("{equality}: {changes:?}"));
        ensure!(changes.len() == CHANGES, "the story does not lead to every change of an incident that there is");
        our_process.stop()?;
        their_process.stop()?;
        Ok(equality)
    }

    /// Turns of both engines on one backlog, each with an application of its own.
    fn drains(&self, cores: Cores, runs: &mut Vec<Run>) -> Result<()> {
        let site = self.site(cores)?;
        self.say(&format!("loading {} records of {} services", self.args.records, self.args.keys));
        let until_ms = load::backlog(site.bootstrap(), &site.formats, self.args.records, self.args.keys)?;
        let began = Instant::now();
        for number in 1..=self.args.runs {
            // Half of the time for each pinning.
            if number > 1 && began.elapsed() > Duration::from_secs(self.args.drain_minutes * 30) {
                self.say("no time is left for further drains on these cores");
                break;
            }
            let mut engines = [Engine::Fairlead, Engine::Streams];
            if number % 2 == 0 {
                engines.reverse();
            }
            let mut before: Option<Outputs> = None;
            for engine in engines {
                let (drain, outputs) = self.drained(&site, engine, number, mix::signed(until_ms))?;
                let equality = before.as_ref().map(|before| before.compare(&outputs, &site.formats));
                equality.iter().for_each(|equality| self.say(&equality.to_string()));
                before = Some(outputs);
                runs.push(Run { engine, cores, number, drain, equality });
            }
        }
        Ok(())
    }

    fn drained(&self, site: &Site, engine: Engine, number: usize, until_ms: i64) -> Result<(measure::Drain, Outputs)> {
        let application = Application::new(site, engine, &format!("{}-{number}", engine.name()))?;
        let (process, drain) = measure::drain(site, &application)?;
        let name = engine.name();
        self.say(&format!(
            "{name} {number}: {:.0} records/s, engine on core {}",
            drain.whole.rate(),
            site.cores.engine
        ));
        let outputs = Outputs::read(site.bootstrap(), &application.incidents(), until_ms)?;
        process.stop()?;
        application.remove(site)?;
        Ok((drain, outputs))
    }

    /// One engine on a broker of its own, with many keys.
    fn at_scale(&self, engine: Engine) -> Result<AtScale> {
        let Args { scale_keys: keys, ways_back, latency_seconds, .. } = self.args;
        let site = self.site(PINNINGS[0])?;
        self.say(&format!("loading {keys} services for {}", engine.name()));
        load::backlog(site.bootstrap(), &site.formats, keys, keys)?;
        let application = Application::new(&site, engine, engine.name())?;
        let (mut process, drain) = measure::drain(&site, &application)?;
        self.say(&format!("drained at {:.0} records/s", drain.whole.rate()));
        let mut paced = Vec::new();
        for rate in &self.args.rates {
            let length = Duration::from_secs(latency_seconds);
            let measured = measure::paced(&site, &application, &process, *rate, length)?;
            self.say(&format!("latency at {rate} records/s: p99 {:.1} ms", measured.latency.p99_ms));
            paced.push(measured);
        }
        let state_bytes = application.state_bytes()?;
        let (mut killed_seconds, mut lost_seconds) = (Vec::new(), Vec::new());
        for number in 0..ways_back {
            process.kill()?;
            process = self.back(&site, &application, &format!("killed-{number}"), &mut killed_seconds)?;
        }
        for number in 0..ways_back {
            process.stop()?;
            application.lose_state()?;
            process = self.back(&site, &application, &format!("lost-{number}"), &mut lost_seconds)?;
        }
        let restore_peak_bytes = process.peak_bytes()?;
        process.stop()?;
        Ok(AtScale { engine, keys, drain, state_bytes, paced, killed_seconds, lost_seconds, restore_peak_bytes })
    }

    fn back(&self, site: &Site, application: &Application, name: &str, took: &mut Vec<f64>) -> Result<Process> {
        let (process, seconds) = measure::back(site, application, name)?;
        self.say(&format!("{name}: back after {seconds:.2} s"));
        took.push(seconds);
        Ok(process)
    }
}
