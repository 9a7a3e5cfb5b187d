//! `fairlead verify`: proves from the topics that nothing was lost and nothing doubled, or says where.

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};

use super::problems;
use crate::app::{Endpoints, source};
use crate::topology::settings::Settings;
use crate::topology::template::Template;
use crate::verify::{Site, verify};

#[derive(Args)]
pub struct Verify {
    /// Directory of the topology's files
    #[arg(long, default_value = "topology", env = "FAIRLEAD_TOPOLOGY")]
    topology: PathBuf,
    /// How the result is told, on standard output
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
}

#[derive(Clone, Copy, ValueEnum)]
enum Output {
    Text,
    Json,
}

impl Verify {
    pub async fn run(self) -> Result<()> {
        let mut topology = problems::require(source::load(&self.topology)?)?;
        reach_embedded(&mut topology.settings)?;
        let endpoints = Endpoints::resolve(&topology.settings, None)?;
        let mut site = Site::connect(topology, &endpoints).await?;
        let report = tokio::task::spawn_blocking(move || verify(&mut site)).await??;
        match self.output {
            Output::Text => println!("{report}"),
            Output::Json => println!("{}", serde_json::to_string_pretty(&report)?),
        }
        if !report.is_sound() {
            bail!("{}: {} differences", report.application, report.differences_total);
        }
        Ok(())
    }
}

/// What no section names is the embedded one of a process that runs.
fn reach_embedded(settings: &mut Settings) -> Result<()> {
    let plain = |text: &str| Template::try_from(text.to_owned()).map_err(anyhow::Error::msg);
    settings.kafka.bootstrap_servers.get_or_insert(plain("127.0.0.1:9092")?);
    settings.registry.url.get_or_insert(plain("http://127.0.0.1:8081")?);
    Ok(())
}
