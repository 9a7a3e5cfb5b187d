//! `fairlead report`: what recorded facts say of the alerting itself.

use anyhow::Result;
use clap::{Args, Subcommand};

use super::output::{Output, print, print_json};
use super::progress::Progress;
use super::replay::Records;
use crate::replay;

#[derive(Args)]
pub struct ReportCommand {
    #[command(subcommand)]
    of: Of,
}

#[derive(Subcommand)]
enum Of {
    /// Which alerts fire most, end by themselves, flap, and what a rule for each would change
    Noise(Noise),
}

#[derive(Args)]
struct Noise {
    #[command(flatten)]
    records: Records,
    /// So many alerts, the noisiest
    #[arg(long, default_value_t = 10)]
    top: usize,
    #[arg(long, short, value_enum, default_value_t)]
    output: Output,
}

impl ReportCommand {
    pub async fn run(self) -> Result<()> {
        let Of::Noise(Noise { records, top, output }) = self.of;
        let (topology, mut source, window) = records.open(replay::inputs).await?;
        let mut progress = Progress::start();
        let told = tokio::task::spawn_blocking(move || {
            let noise = replay::noise(&mut source, &topology, window, top, &mut |record| progress.read(record));
            progress.end();
            noise
        });
        let noise = told.await??;
        match output {
            Output::Text => print(&noise.text(&window)),
            Output::Json => print_json(&noise),
        }
    }
}
