//! Parses arguments, calls the command, sets the exit code. No logic.

use std::process::ExitCode;

use clap::Parser;
use fairlead::cli::Cli;

/// Facts and states are many small texts that live for one batch: glibc's allocator took a third of the engine's time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    Cli::parse().run()
}
