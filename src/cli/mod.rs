//! The commands: what each takes, and which function it calls. One file a command.
//!
//! Exit codes: 0 fine, 1 failed or problems found, 2 wrong usage.

mod demo;
mod embedded;
mod problems;
mod run;
mod verify;

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
}

impl Cli {
    pub fn run(self) -> ExitCode {
        start_logs(self.log_json, matches!(self.command, Command::Demo(_)));
        let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => return fail(&error.into()),
        };
        let outcome = runtime.block_on(async {
            match self.command {
                Command::Run(command) => command.run().await,
                Command::Demo(command) => command.run().await,
                Command::Verify(command) => command.run().await,
                Command::Embedded(command) => command.run().await,
            }
        });
        // Threads that block on Kafka must not hold the exit up.
        runtime.shutdown_background();
        outcome.map_or_else(|error| fail(&error), |()| ExitCode::SUCCESS)
    }
}

fn fail(error: &anyhow::Error) -> ExitCode {
    eprintln!("error: {error:#}");
    ExitCode::FAILURE
}

/// To standard error; `RUST_LOG` says more or less. The demo shows only what is wrong.
fn start_logs(json: bool, quiet: bool) {
    let default = if quiet { "warn" } else { "info" };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if json { logs.json().init() } else { logs.init() }
}
