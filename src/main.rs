//! Sets the allocators, parses arguments, calls the command, sets the exit code. No logic.
#![allow(unsafe_code)] // One call of the C library, before there is a second thread.

use std::process::ExitCode;

use clap::Parser;
use fairlead::cli::Cli;

/// Facts and states are many small texts that live for one batch: glibc's allocator took a third of the engine's time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// RocksDB and librdkafka stay with the C library's. Their memory is allocated in one thread and freed in another, which an arena
/// a thread keeps apart: with one arena `make bench` takes less memory, and no more time.
fn share_one_arena() {
    #[cfg(target_env = "gnu")]
    // SAFETY: takes two integers and changes a setting of malloc's; no other thread runs yet.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

fn main() -> ExitCode {
    share_one_arena();
    Cli::parse().run()
}
