//! `fairlead mirror`: what a mirror would do and does, whether both sides are the same, and how far it is. One file a verb.

mod apply;
mod groups;
mod plan;
mod run;
mod skip;
mod status;
mod verify;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Subcommand};

use super::reach::Reach;
use crate::app::provision;
use crate::mirror::provision::FlowConfig;
use crate::runtime::SchemaSource;

#[derive(Args)]
pub struct MirrorCommand {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Say what would be created and changed on the target, and all that stands against it; changes nothing
    Plan(plan::Plan),
    /// Create and change on the target what is missing there
    Apply(apply::Apply),
    /// Run one flow alone, until told to stop
    Run(run::Run),
    /// Read both sides again and compare them, range by range
    Verify(verify::Verify),
    /// Say how far each topic is copied
    Status(status::Status),
    /// Say how consumer groups stand on the target, or carry one over now
    Groups(groups::Groups),
    /// Go on behind source records that are gone before they were copied
    Skip(skip::Skip),
}

impl MirrorCommand {
    /// Whether it goes on until it is told to stop.
    pub fn runs(&self) -> bool {
        matches!(self.verb, Verb::Run(_))
    }

    pub async fn run(self) -> Result<ExitCode> {
        match self.verb {
            Verb::Plan(command) => command.run().await,
            Verb::Apply(command) => command.run().await,
            Verb::Run(command) => command.run().await.map(|()| ExitCode::SUCCESS),
            Verb::Verify(command) => command.run().await,
            Verb::Status(command) => command.run().await,
            Verb::Groups(command) => command.run().await,
            Verb::Skip(command) => command.run().await.map(|()| ExitCode::SUCCESS),
        }
    }
}

/// Which mirrors are meant, and where everything is.
#[derive(Args)]
struct Which {
    /// Only this mirror
    #[arg(long, value_name = "NAME")]
    flow: Option<String>,
    #[command(flatten)]
    reach: Reach,
}

impl Which {
    fn flows(&self) -> Result<(Vec<FlowConfig>, SchemaSource)> {
        let (topology, endpoints) = self.reach.endpoints()?;
        Ok((provision::flows(&topology, &endpoints, self.flow.as_deref())?, provision::schemas(&endpoints)?))
    }
}

fn exit(fine: bool) -> ExitCode {
    if fine { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
