//! A storm of alerts into Slack: whether all of it is told, how soon the worst of it, and how long it takes until every thread shows
//! its end. `cargo bench --bench slackstorm -- --help`.
//!
//! ```text
//!  alerts ─► level, incident, suspects, notify ─► actions ─► the sink's ledger ─► calls ─► the stand-in, with Slack's limits
//! ```
//! On a clock that is only counted, so half an hour takes seconds, and a run is its seed. What decides is what ships: the operators,
//! the sink's ledger with its token buckets, its coalescing and its priorities. What is assumed: a commit of the operators every 100 ms,
//! one of the sink in 15 ms, 20 to 150 ms to Slack and as much back. *Not* here: Kafka, HTTP, CPU.
//!
//! The program fails if anything is lost, doubled or later than the bounds, which are computed from the limits alone.

mod bounds;
mod pipeline;
mod report;
#[path = "../../tests/it/slack/sim.rs"]
#[allow(dead_code)] // of which the randomised test uses more
mod sim;

use anyhow::{Result, ensure};
use clap::Parser;

use pipeline::Storm;
use report::Report;
use sim::Sim;

#[derive(Parser)]
struct Args {
    #[arg(long, default_value_t = 5_000)]
    alerts_per_minute: u64,
    #[arg(long, default_value_t = 3)]
    minutes: u64,
    /// Each has one incident in the storm
    #[arg(long, default_value_t = 1_000)]
    services: u64,
    #[arg(long, default_value_t = 20)]
    channels: u64,
    /// Of a hundred services, whose alerts are critical
    #[arg(long, default_value_t = 5)]
    critical_percent: u64,
    /// As if people did something about each version of each incident: its log is rewritten with it
    #[arg(long)]
    logs: bool,
    /// Of a thousand calls, how many meet a fault; then the bounds are told but not held
    #[arg(long, default_value_t = 0)]
    faults_per_mille: u32,
    #[arg(long, default_value_t = 20_261_127)]
    seed: u64,
    /// Given by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let storm = Storm {
        alerts_per_minute: args.alerts_per_minute,
        minutes: args.minutes,
        services: args.services,
        channels: args.channels,
        critical_percent: args.critical_percent,
    };
    let mut told = storm.run(args.seed)?;
    if args.logs {
        told.log_everything();
    }
    let channels: Vec<_> = (0..args.channels).map(|number| format!("c{number}")).collect();
    let mut sim = Sim::new(args.seed, &channels);
    if args.faults_per_mille > 0 {
        sim.weather(args.faults_per_mille);
    }
    for (at, action) in &told.actions {
        sim.run(Some(*at));
        sim.tell(action.clone());
    }
    sim.run(None);
    let report = Report::of(&storm, &told, &mut sim);
    println!("{report}");
    ensure!(report.is_whole(), "something was lost or doubled");
    ensure!(args.faults_per_mille > 0 || report.is_within_bounds(), "a bound does not hold");
    Ok(())
}
