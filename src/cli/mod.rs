//! The commands: what each takes, and which function it calls. One file a command.
//!
//! Exit codes: 0 fine, 1 failed or problems found, 2 wrong usage.

mod check;
mod dead_letter;
mod demo;
mod embedded;
mod explain;
mod export;
mod lineage;
mod mirror;
mod offsets;
mod oncall;
mod output;
mod problems;
mod progress;
mod reach;
mod replay;
mod report;
mod respond;
mod route;
mod run;
mod send;
mod services;
mod template;
mod trend;
mod verify;

use std::io::IsTerminal as _;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

#[derive(Parser)]
#[command(
    name = "fairlead",
    version,
    about = "Event-sourced stream processor for on-call and topic migration on Kafka"
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Logs as lines of JSON
    #[arg(long, global = true, env = "FAIRLEAD_LOG_JSON")]
    log_json: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Run all that the topology declares
    Run(run::Run),
    /// Replay a recorded night through the whole of it, with nothing installed
    Demo(demo::Demo),
    /// Prove from the topics that nothing was lost and nothing doubled
    Verify(verify::Verify),
    /// Run the single-node broker and the registry alone
    Embedded(embedded::EmbeddedCommand),
    /// Say all that is wrong with a topology, without starting anything
    Check(check::Check),
    /// Draw a topology, show one operator, or list what Kafka must allow
    Explain(explain::Explain),
    /// Show which rules hold for an alert and why, and what Slack would be told
    Route(route::Route),
    /// Say who is on call, now and next, from the topology's calendars
    Oncall(oncall::OncallCommand),
    /// Make the service catalogue out of another one
    Services(services::ServicesCommand),
    /// Copy topics of one cluster to another under new names: plan, apply, compare, watch
    Mirror(mirror::MirrorCommand),
    /// Say what an offset of a mirrored topic is on the other side
    Offsets(offsets::OffsetsCommand),
    /// Show the input records behind an output
    Lineage(lineage::LineageCommand),
    /// Write recorded facts to a file
    Export(export::Export),
    /// Say what a topology would have told, and in what it differs from what was told
    Replay(replay::ReplayCommand),
    /// Say which alerts make noise, and what a rule for each would change
    Report(report::ReportCommand),
    /// Send an alert or a deploy straight to its topic
    Send(send::Send),
    /// Answer to an incident: acknowledge, snooze, assign, or run an action
    Respond(respond::Respond),
    /// Print what to paste into a system that sends no format of its own
    Template(template::Template),
    /// Try rules of trends on recorded series, and tune them
    Trend(trend::TrendCommand),
    /// List, show and put back what could not be processed
    DeadLetter(dead_letter::DeadLetterCommand),
}

impl Cli {
    pub fn run(self) -> ExitCode {
        start_logs(self.log_json, self.command.logged());
        let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => return fail(&error.into()),
        };
        let outcome = runtime.block_on(async {
            let done = match self.command {
                Command::Run(command) => command.run().await,
                Command::Demo(command) => command.run().await,
                Command::Verify(command) => command.run().await,
                Command::Embedded(command) => command.run().await,
                Command::Check(command) => return command.run(),
                Command::Explain(command) => command.run(),
                Command::Route(command) => command.run(),
                Command::Services(command) => command.run(),
                Command::Oncall(command) => command.run().await,
                Command::Mirror(command) => return command.run().await,
                Command::Offsets(command) => return command.run().await,
                Command::Lineage(command) => command.run().await,
                Command::Export(command) => command.run().await,
                Command::Replay(command) => command.run().await,
                Command::Report(command) => command.run().await,
                Command::Send(command) => command.run().await,
                Command::Respond(command) => command.run().await,
                Command::Template(command) => command.run(),
                Command::Trend(command) => command.run().await,
                Command::DeadLetter(command) => return command.run().await,
            };
            done.map(|()| ExitCode::SUCCESS)
        });
        // Threads that block on Kafka must not hold the exit up.
        runtime.shutdown_background();
        outcome.unwrap_or_else(|error| fail(&error))
    }
}

fn fail(error: &anyhow::Error) -> ExitCode {
    eprintln!("error: {error:#}");
    ExitCode::FAILURE
}

impl Command {
    /// What is logged unless `RUST_LOG` says otherwise. A command that answers a question tells itself why it cannot.
    fn logged(&self) -> &'static str {
        match self {
            Command::Run(_) | Command::Embedded(_) => "info",
            Command::Mirror(command) if command.runs() => "info",
            Command::Demo(_) => "warn",
            _ => "warn,librdkafka=off,rdkafka=off",
        }
    }
}

/// To standard error; in colour where a person looks.
fn start_logs(json: bool, default: &str) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let colour = std::io::stderr().is_terminal();
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colour).with_writer(std::io::stderr);
    if json { logs.json().init() } else { logs.init() }
}
