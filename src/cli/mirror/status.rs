//! `fairlead mirror status`: per topic lag, speed, what is left, and the last audit; with `--watch` again and again.

use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use serde_json::json;

use super::super::output::{Output, print, print_json};
use super::Which;
use crate::clock::Clock;
use crate::mirror::status::text;
use crate::mirror::watch::Watch;

/// Clears a terminal and goes to its corner.
const CLEAR: &str = "\x1b[2J\x1b[H";

#[derive(Args)]
pub struct Status {
    #[command(flatten)]
    which: Which,
    /// Look again and again
    #[arg(long)]
    watch: bool,
    /// With --watch: seconds between two looks
    #[arg(long, default_value_t = 2, requires = "watch")]
    every: u64,
    #[arg(long, short, value_enum, default_value_t)]
    output: Output,
}

impl Status {
    pub async fn run(self) -> Result<ExitCode> {
        let (flows, schemas) = self.which.flows()?;
        let watches = flows.into_iter().map(|flow| Watch::new(flow, schemas.clone(), Clock::wall()));
        let mut watches = watches.collect::<Result<Vec<_>, _>>()?;
        loop {
            self.look(&mut watches).await?;
            if !self.watch {
                return Ok(ExitCode::SUCCESS);
            }
            tokio::time::sleep(Duration::from_secs(self.every.max(1))).await;
        }
    }

    async fn look(&self, watches: &mut [Watch]) -> Result<()> {
        let (mut told, mut shown) = (Vec::new(), String::new());
        for watch in watches {
            let (rows, now_ms) = watch.look().await?;
            shown += &text(watch.flow(), &rows, now_ms);
            told.push(json!({ "flow": watch.flow(), "at_ms": now_ms, "topics": rows }));
        }
        match self.output {
            Output::Json => print_json(&json!({ "flows": told })),
            Output::Text if self.watch && std::io::stdout().is_terminal() => print(&format!("{CLEAR}{shown}")),
            Output::Text => print(&shown),
        }
    }
}
