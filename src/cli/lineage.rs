//! `fairlead lineage`: the input records behind an output.

use anyhow::Result;
use clap::Args;

use super::output::{Output, print, print_json};
use super::reach::Reach;
use crate::lineage;
use crate::record::{Offset, Partition, Topic};

#[derive(Args)]
pub struct LineageCommand {
    /// Topic of the output
    topic: String,
    #[arg(value_parser = clap::value_parser!(i32).range(0..))]
    partition: i32,
    #[arg(value_parser = clap::value_parser!(i64).range(0..))]
    offset: i64,
    /// Show every record of its commit, not only those that can have made it
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    reach: Reach,
    #[arg(long, short, value_enum, default_value_t)]
    output: Output,
}

impl LineageCommand {
    pub async fn run(self) -> Result<()> {
        let mut cluster = self.reach.cluster().await?;
        let partition = cluster.partition(&Topic::from(&*self.topic), Partition(self.partition))?;
        let lineage = lineage::trace(&mut cluster, &partition, Offset(self.offset), self.all).await?;
        match self.output {
            Output::Text => print(&lineage.text()),
            Output::Json => print_json(&lineage),
        }
    }
}
