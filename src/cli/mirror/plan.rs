//! `fairlead mirror plan`: a dry run. 0 if everything can be copied, 1 if there are problems.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use serde_json::json;

use super::super::output::{Output, print, print_json};
use super::{Which, exit};
use crate::mirror::provision::Provision;

#[derive(Args)]
pub struct Plan {
    #[command(flatten)]
    which: Which,
    #[arg(long, short, value_enum, default_value_t)]
    output: Output,
}

impl Plan {
    pub async fn run(self) -> Result<ExitCode> {
        let (flows, schemas) = self.which.flows()?;
        let (mut told, mut text, mut fine) = (Vec::new(), String::new(), true);
        for flow in flows {
            let (from, to) = (flow.source.name.clone(), flow.target.name.clone());
            let plan = Provision::new(flow, schemas.clone())?.plan().await?;
            fine &= plan.problems.is_empty();
            told.push(plan.json(&from, &to));
            text += &plan.text(&from, &to);
        }
        match self.output {
            Output::Text => print(&text)?,
            Output::Json => print_json(&json!({ "fine": fine, "flows": told }))?,
        }
        Ok(exit(fine))
    }
}
