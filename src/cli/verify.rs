//! `fairlead verify`: proves from the topics that nothing was lost and nothing doubled, or says where.

use anyhow::{Result, bail};
use clap::Args;

use super::output::{Output, print, print_json};
use super::reach::Reach;
use crate::verify::{Site, verify};

#[derive(Args)]
pub struct Verify {
    #[command(flatten)]
    reach: Reach,
    #[arg(long, short, value_enum, default_value_t)]
    output: Output,
}

impl Verify {
    pub async fn run(self) -> Result<()> {
        let cluster = self.reach.cluster().await?;
        let mut site = Site::connect(cluster.topology, &cluster.endpoints).await?;
        let report = tokio::task::spawn_blocking(move || verify(&mut site)).await??;
        match self.output {
            Output::Text => print(&format!("{report}\n"))?,
            Output::Json => print_json(&report)?,
        }
        if !report.is_sound() {
            bail!("{}: {} differences", report.application, report.differences_total);
        }
        Ok(())
    }
}
