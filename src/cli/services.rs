//! `fairlead services import`: the service catalogue out of Backstage's files, as a section of a topology file.

use std::path::PathBuf;

use anyhow::{Context, Result, anyhow};
use clap::{Args, Subcommand};

use super::output::print;
use crate::services::{Services, backstage};

#[derive(Args)]
pub struct ServicesCommand {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Print the section `services` from catalog-info.yaml files of Backstage
    Import {
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
}

impl ServicesCommand {
    pub fn run(self) -> Result<()> {
        let What::Import { files } = self.what;
        let mut services = Services::new();
        for file in files {
            let text = std::fs::read_to_string(&file).with_context(|| format!("{} cannot be read", file.display()))?;
            backstage::import(&text, &mut services).map_err(|problem| anyhow!("{}: {problem}", file.display()))?;
        }
        print(&backstage::yaml(&services))
    }
}
