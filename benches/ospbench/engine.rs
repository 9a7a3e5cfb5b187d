//! fairlead with OSPBench's operators, as a process of its own: this very program under another first argument.

use std::path::PathBuf;

use anyhow::{Context, Result};
use fairlead::app::{App, Options};
use fairlead::clock::Clock;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use super::OSPBENCH;
use super::topology::topology;

pub const ENGINE: &str = "ospbench-engine";

/// With the settings of malloc that the program itself has.
pub fn command() -> Result<Vec<String>> {
    let program =
        std::env::current_exe()?.into_os_string().into_string().ok().context("the program's path is no text")?;
    Ok(["env", "MALLOC_ARENA_MAX=1", "MALLOC_MMAP_THRESHOLD_=131072", &program, ENGINE].map(str::to_owned).to_vec())
}

/// Runs what the topology file of the working directory sets, until it is told to stop.
pub fn run_engine() -> Result<()> {
    tracing_subscriber::fmt().with_env_filter(EnvFilter::new("info")).with_writer(std::io::stderr).init();
    let settings = std::fs::read_to_string("topology/app.yaml").context("topology/app.yaml")?;
    let topology = topology(&settings, OSPBENCH.output_name);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let options = Options { clock: Clock::wall(), embedded_dir: PathBuf::from("data") };
        let app = App::start(topology, options).await?;
        terminate.recv().await;
        app.stop().await
    })
}
