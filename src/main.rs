//! Parses arguments, calls the command, sets the exit code. No logic.

use std::process::ExitCode;

use clap::Parser;
use fairlead::cli::Cli;

fn main() -> ExitCode {
    Cli::parse().run()
}
