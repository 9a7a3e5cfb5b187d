//! `fairlead mirror apply`: does what `plan` says, and says each call. 0 if everything can be copied then, 1 if there are problems.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use serde_json::json;

use super::super::output::{Output, print, print_json};
use super::{Which, exit};
use crate::mirror::plan::Step;
use crate::mirror::provision::Provision;

#[derive(Args)]
pub struct Apply {
    #[command(flatten)]
    which: Which,
    #[arg(long, short, value_enum, default_value_t)]
    output: Output,
}

impl Apply {
    pub async fn run(self) -> Result<ExitCode> {
        let (flows, schemas) = self.which.flows()?;
        let (mut told, mut fine) = (Vec::new(), true);
        for flow in flows {
            let (name, to) = (flow.name.clone(), flow.target.name.clone());
            let mut provision = Provision::new(flow, schemas.clone())?;
            let tell = |step: &Step| {
                if self.output == Output::Text {
                    // Whoever reads no further does not stop what is being done.
                    _ = print(&format!("{name} on {to}: {step}\n"));
                }
            };
            let done = provision.refresh_telling(tell).await?;
            fine &= done.problems.is_empty() && done.refused.is_empty();
            if self.output == Output::Text {
                let topics = done.topics.len();
                done.warnings.iter().try_for_each(|warning| print(&format!("{name}: warning: {warning}\n")))?;
                done.problems.iter().try_for_each(|problem| print(&format!("{name}: problem: {problem}\n")))?;
                done.refused
                    .iter()
                    .try_for_each(|refused| print(&format!("{name}: the target refuses {refused}\n")))?;
                print(&format!("{name}: {} calls, {topics} topics can be copied\n", done.done.len()))?;
            }
            told.push(json!({
                "flow": name,
                "to": to,
                "calls": done.done.iter().map(Step::json).collect::<Vec<_>>(),
                "topics": done.topics,
                "warnings": done.warnings,
                "problems": done.problems,
                "refused": done.refused,
            }));
        }
        if self.output == Output::Json {
            print_json(&json!({ "fine": fine, "flows": told }))?;
        }
        Ok(exit(fine))
    }
}
