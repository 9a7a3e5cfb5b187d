//! `fairlead run`: all that the topology declares, until it is told to stop.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use super::problems;
use crate::app::{App, Options, source};
use crate::clock::Clock;

#[derive(Args)]
pub struct Run {
    /// Directory of the topology's files
    #[arg(long, default_value = "topology", env = "FAIRLEAD_TOPOLOGY")]
    topology: PathBuf,
    /// Where the embedded broker and registry keep their data, if the topology names no cluster
    #[arg(long, default_value = "data", env = "FAIRLEAD_DATA")]
    data: PathBuf,
}

impl Run {
    pub async fn run(self) -> Result<()> {
        let topology = problems::require_and_warn(source::load(&self.topology)?)?;
        let start = App::start(topology, Options { clock: Clock::wall(), embedded_dir: self.data });
        let app = tokio::select! {
            app = start => app?,
            // Nothing was taken in yet: what has begun may end as in a crash.
            () = signalled()? => {
                tracing::info!("told to stop before the start was over");
                return Ok(());
            }
        };
        if let Some(address) = app.address() {
            tracing::info!(%address, "fairlead runs");
        }
        let failed = until_stopped(&app).await?;
        tracing::info!("stopping: what was read is committed first");
        app.stop().await?;
        if failed {
            bail!("a part ended by itself; the log says why");
        }
        Ok(())
    }
}

/// Ends when the process is told to.
pub fn signalled() -> Result<impl Future<Output = ()>> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
    })
}

/// Waits for a signal; true if a part failed before one came.
pub async fn until_stopped(app: &App) -> Result<bool> {
    let signalled = signalled()?;
    tokio::pin!(signalled);
    loop {
        tokio::select! {
            () = &mut signalled => return Ok(false),
            () = tokio::time::sleep(Duration::from_millis(500)) => if app.failed() { return Ok(true) },
        }
    }
}
