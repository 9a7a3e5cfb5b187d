//! `fairlead mirror`: topics of one cluster, copied to another under new names.

mod run;
mod skip;

use anyhow::Result;
use clap::{Args, Subcommand};

#[derive(Args)]
pub struct MirrorCommand {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Run one flow alone, until told to stop
    Run(run::Run),
    /// Go on behind source records that are gone before they were copied
    Skip(skip::Skip),
}

impl MirrorCommand {
    pub async fn run(self) -> Result<()> {
        match self.what {
            What::Run(command) => command.run().await,
            What::Skip(command) => command.run().await,
        }
    }
}
