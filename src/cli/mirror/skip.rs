//! `fairlead mirror skip`: goes on behind source records that are lost.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};
use clap::Args;

use crate::app::{Endpoints, Serving, mirrors, provision, source};
use crate::cli::output::print;
use crate::cli::problems;
use crate::clock::Clock;
use crate::mirror::copy::{self, IsNative};

#[derive(Args)]
pub struct Skip {
    /// Directory of the topology's files
    #[arg(long, default_value = "topology", env = "FAIRLEAD_TOPOLOGY")]
    topology: PathBuf,
    /// Name of the mirror, as the topology has it
    #[arg(long)]
    flow: String,
    /// Of the source
    #[arg(long)]
    topic: String,
    #[arg(long)]
    partition: i32,
    /// The next source offset that is to be copied
    #[arg(long)]
    to: i64,
}

impl Skip {
    pub async fn run(self) -> Result<()> {
        let topology = problems::require_and_warn(source::load(&self.topology)?)?;
        let endpoints = Endpoints::resolve(&topology.settings, Serving::default())?;
        // No record is copied, so nothing will be asked of one.
        let unasked: IsNative = Arc::new(|_, _| Ok(true));
        let (only, clock) = (Some(self.flow.as_str()), Clock::wall());
        let configs = provision::flows(&topology, &endpoints, only)?;
        let flows = mirrors::flows(&topology, &endpoints, configs, &clock, |_| Some(unasked.clone())).await?;
        let flow = flows.into_iter().next().context("no such mirror")?;
        let Skip { topic, partition, to, .. } = self;
        let done = tokio::task::spawn_blocking(move || copy::skip(&flow, &topic, partition, to)).await??;
        print(&format!("offsets {} to {} will not be copied\n", done.from, done.to - 1))
    }
}
