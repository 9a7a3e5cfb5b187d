//! The long haul: an application under load that is disturbed in every way for as long as it takes, and then the proof:
//! `make longhaul`, or `cargo bench --bench longhaul -- --help`.
//!
//! ```text
//!  seed ─► plan ─► fleet: kill, pause, join, leave, broker, disk, clocks ─┐
//!    └───► load ─► Apache Kafka ◄─► fairlead run, twice or three times ◄──┘
//!                       └─► verify: lost, doubled, order ─► report ◄─ memory of the process that never ends
//! ```
//! After each round of the plan all that had been sent until then must be committed before the next one begins.
//!
//! What is *not* here: the application, its load and its proof, which are those of the tests (`tests/it/harness/`). As a test does,
//! the program fails by panicking.
#![allow(clippy::unwrap_used)]

mod fleet;
mod harness;
mod memory;
mod plan;
mod report;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use clap::Parser;

use fleet::Fleet;
use harness::apache::Kafka;
use harness::load::Load;
use harness::site::{SESSION_MS, Site};
use memory::Watch;
use plan::{Disturbance, Kind, Member, Round, plan};
use report::{Memory, Report, Tally};

/// Between two records, on average: a hundred a second.
const LOAD_PAUSE_MS: u64 = 10;
/// Longer than the broker is away: members keep their places, and are not taken for their own twins.
const KILLS_SESSION_MS: u32 = 45_000;
const BETWEEN_KILLS: Duration = Duration::from_millis(2_500);

#[derive(Parser)]
struct Args {
    /// What the plan and the load are drawn from; the time, if none is given
    #[arg(long)]
    seed: Option<u64>,
    /// How long it is disturbed; every kind of disturbance needs three
    #[arg(long, default_value_t = 30.0)]
    minutes: f64,
    /// Instead of the plan: the broker alone is killed so many times, and all is proved after each time, under load
    #[arg(long, conflicts_with = "minutes")]
    kills: Option<u32>,
    /// The report as JSON, besides the table
    #[arg(long)]
    json: Option<PathBuf>,
    /// Given by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let (seed, minutes) = (args.seed.unwrap_or_else(now), args.minutes);
    let again = match args.kills {
        Some(kills) => format!("as many again: make longhaul SEED={seed} LONGHAUL='--kills {kills}'"),
        None => format!("the same plan again: make longhaul SEED={seed} MINUTES={minutes}"),
    };
    match args.kills {
        Some(kills) => println!("seed {seed}, {kills} kills of the broker"),
        None => println!("seed {seed}, {minutes} minutes"),
    }
    let (told, panics) = (again.clone(), std::panic::take_hook());
    std::panic::set_hook(Box::new(move |panic| {
        panics(panic);
        eprintln!("{told}");
    }));
    let report = run(seed, minutes, args.kills);
    println!("{report}");
    if let Some(path) = args.json {
        std::fs::write(path, serde_json::to_string_pretty(&report).unwrap()).unwrap();
    }
    if report.is_sound() {
        return ExitCode::SUCCESS;
    }
    eprintln!("NOT SOUND; {again}");
    ExitCode::FAILURE
}

fn run(seed: u64, minutes: f64, kills: Option<u32>) -> Report {
    let kafka = Kafka::start_own(&[]);
    let session_ms = if kills.is_some() { KILLS_SESSION_MS } else { SESSION_MS };
    let mut site = Site::on(kafka.bootstrap(), session_ms, "");
    site.keep_files(true);
    println!("logs: {}", site.topology_dir().parent().unwrap().display());
    let mut fleet = Fleet::start(&site, kafka);
    fleet.keep_files(true);
    let load = Load::start(&site, seed, LOAD_PAUSE_MS);
    site.wait_for("incidents", || site.ends(&site.topic("incidents")) > 0);
    let watch = Watch::start(fleet.process_id(Member::A));

    let mut tallies = BTreeMap::new();
    let began = Instant::now();
    match kills {
        Some(kills) => kill(&site, &mut fleet, began, kills, &mut tallies),
        None => {
            for round in &plan(seed, (minutes * 60.0) as u64) {
                disturb(&site, &mut fleet, began, round, &mut tallies);
            }
        }
    }
    let sent = load.finish();
    site.wait_until_all_is_committed();
    let peak_kib = memory::kib(fleet.process_id(Member::A), "VmHWM:").unwrap();
    let memory = Memory::of(&watch.finish(), peak_kib);
    fleet.assert_running();
    say(began, "all that was sent is committed; the proof");
    let proof = site.prove_at_rest();
    println!("{proof}");
    let minutes = kills.map_or(minutes, |_| began.elapsed().as_secs_f64() / 60.0);
    let report = Report::new((seed, minutes), tallies, sent, &proof, memory);
    fleet.keep_files(!report.is_sound());
    drop(fleet);
    site.keep_files(!report.is_sound());
    report
}

fn disturb(site: &Site, fleet: &mut Fleet<'_>, began: Instant, round: &Round, tallies: &mut BTreeMap<Kind, Tally>) {
    std::thread::sleep(Duration::from_secs(round.at_secs).saturating_sub(began.elapsed()));
    for disturbance in &round.disturbances {
        say(began, &format!("{disturbance}; held for {} s", round.held_secs));
        fleet.begin(*disturbance);
    }
    std::thread::sleep(Duration::from_secs(round.held_secs));
    // A broker comes first and comes back first: who is started without one ends, and says so.
    for disturbance in &round.disturbances {
        fleet.end(*disturbance);
    }
    let ended = Instant::now();
    site.wait_until_so_far_all_is_committed();
    fleet.assert_running();
    let seconds = ended.elapsed().as_secs_f64();
    say(began, &format!("all that had been sent is committed after {seconds:.1} s"));
    for disturbance in &round.disturbances {
        let tally = tallies.entry(disturbance.kind()).or_default();
        (tally.times, tally.slowest_seconds) = (tally.times + 1, tally.slowest_seconds.max(seconds));
    }
}

/// Back at once, so that the processes meet what the broker left of the transactions that it ended.
fn kill(site: &Site, fleet: &mut Fleet<'_>, began: Instant, kills: u32, tallies: &mut BTreeMap<Kind, Tally>) {
    let tally = tallies.entry(Kind::BrokerKilled).or_default();
    for _ in 0..kills {
        std::thread::sleep(BETWEEN_KILLS);
        fleet.begin(Disturbance::KillBroker);
        fleet.end(Disturbance::KillBroker);
        let ended = Instant::now();
        site.wait_until_so_far_all_is_committed();
        fleet.assert_running();
        let seconds = ended.elapsed().as_secs_f64();
        (tally.times, tally.slowest_seconds) = (tally.times + 1, tally.slowest_seconds.max(seconds));
        let proof = site.prove();
        say(began, &format!("killed; committed after {seconds:.1} s; {} differences", proof.differences_total));
        assert!(proof.is_sound(), "{proof}");
    }
}

fn say(began: Instant, what: &str) {
    println!("[{:>5.0} s] {what}", began.elapsed().as_secs_f64());
}
