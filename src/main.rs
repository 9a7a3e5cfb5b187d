//! Sets the allocators, parses arguments, calls the command, sets the exit code. No logic.
#![allow(unsafe_code)] // Calls of the C library's allocator.

use std::process::ExitCode;

use clap::Parser;
use fairlead::cli::Cli;

/// Facts and states are many small texts that live for one batch: glibc's allocator took a third of the engine's time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[cfg(target_env = "gnu")]
const LARGE_BYTES: libc::c_int = 128 << 10;
#[cfg(target_env = "gnu")]
const TRIM_EVERY: std::time::Duration = std::time::Duration::from_secs(30);

/// RocksDB and librdkafka stay with the C library's. Their memory is allocated in one thread and freed in another, which an arena
/// a thread keeps apart: with one arena `make bench` takes less memory, and no more time. What is fetched in a backlog comes in large
/// pieces, for which malloc would soon stop to ask the kernel, and then finds ever less room between small ones: after each outage of the
/// broker the heap was some megabytes larger, with nothing in them. So large pieces stay the kernel's.
fn set_up_malloc() {
    #[cfg(target_env = "gnu")]
    // SAFETY: they take two integers and change a setting of malloc's; no other thread runs yet.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
        libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE_BYTES);
    }
}

/// What was freed between pieces still in use goes back to the kernel only when it is asked for.
fn trim_heap_now_and_then() {
    #[cfg(target_env = "gnu")]
    std::thread::spawn(|| {
        loop {
            std::thread::sleep(TRIM_EVERY);
            // SAFETY: it takes an integer and locks the heap itself.
            unsafe { libc::malloc_trim(0) };
        }
    });
}

fn main() -> ExitCode {
    set_up_malloc();
    trim_heap_now_and_then();
    Cli::parse().run()
}
