//! `fairlead mirror verify`: both sides read again and compared, range by range. 0 unless something differs.

use std::fmt::Write;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use serde_json::json;

use super::super::output::{Output, print, print_json};
use super::{Which, exit};
use crate::app::provision;
use crate::clock::Clock;
use crate::event::{Audit, AuditVerdict};
use crate::mirror::audit::{Auditor, Wanted};

#[derive(Args)]
pub struct Verify {
    #[command(flatten)]
    which: Which,
    /// Only this topic of the source
    #[arg(long, value_name = "NAME")]
    topic: Option<String>,
    /// Go on with what is copied from now on, and tell it on the flow's topic of audits
    #[arg(long, requires = "flow", conflicts_with = "topic")]
    watch: bool,
    /// With --watch: seconds between two looks
    #[arg(long, default_value_t = 10, requires = "watch")]
    every: u64,
    #[arg(long, short, value_enum, default_value_t)]
    output: Output,
}

impl Verify {
    pub async fn run(self) -> Result<ExitCode> {
        if self.watch {
            return self.watch().await;
        }
        let (flows, schemas) = self.which.flows()?;
        let mut audits = Vec::new();
        for flow in flows {
            let wanted = Wanted { topic: self.topic.clone(), shards: None };
            audits.extend(Auditor::new(flow, schemas.clone(), Clock::wall())?.round(&wanted).await?);
        }
        let fine = !audits.iter().any(|audit| audit.verdict == AuditVerdict::Different);
        match self.output {
            Output::Text => print(&text(&audits))?,
            Output::Json => print_json(&json!({ "fine": fine, "audits": audits }))?,
        }
        Ok(exit(fine))
    }

    /// Until it is told to stop, or something differs: that is for people to look at, and told again by the next start.
    async fn watch(self) -> Result<ExitCode> {
        let (topology, endpoints) = self.which.reach.endpoints()?;
        let mut flows = provision::flows(&topology, &endpoints, self.which.flow.as_deref())?;
        let flow = flows.pop().context("no mirror is named")?;
        let mut watched = provision::Audited::new(&topology, &endpoints, flow).await?;
        loop {
            let audits = watched.round(None).await?;
            match self.output {
                Output::Text => print(&text(&audits))?,
                Output::Json => audits.iter().try_for_each(print_json)?,
            }
            tokio::time::sleep(Duration::from_secs(self.every)).await;
        }
    }
}

fn text(audits: &[Audit]) -> String {
    let mut out = String::new();
    for audit in audits {
        let Audit { flow_partition, source_start, source_end, target_topic, target_partition, .. } = audit;
        let verdict = match audit.verdict {
            AuditVerdict::Equal => "equal",
            AuditVerdict::Different => "DIFFERENT",
            AuditVerdict::Unknown => "unknown",
        };
        _ = write!(
            out,
            "{verdict:<9}  {flow_partition}  offsets {source_start} to {source_end}, {} records in {} ranges, on {target_topic}/{target_partition}",
            audit.records, audit.ranges
        );
        if let Some(difference) = &audit.difference {
            _ = write!(out, ": {difference}");
        }
        out.push('\n');
    }
    let count = |verdict| audits.iter().filter(|audit| audit.verdict == verdict).count();
    _ = writeln!(
        out,
        "{} partitions: {} equal, {} different, {} unknown",
        audits.len(),
        count(AuditVerdict::Equal),
        count(AuditVerdict::Different),
        count(AuditVerdict::Unknown)
    );
    out
}
