//! `fairlead mirror groups`: how consumer groups stand on the target, as it was told last; `commit` carries one over now.
//!
//! `commit` reads the ranges by itself, into a store that goes with the command: a mirror that runs is not asked and not disturbed.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Args, Subcommand};

use super::super::output::{Output, print, print_json};
use super::super::reach::Reach;
use super::exit;
use crate::app::carried::{self, Carried};
use crate::app::provision;
use crate::clock::Clock;
use crate::event::{GroupOffset, GroupOffsetState};
use crate::log::kafka::KafkaReader;
use crate::mirror::groups::{Chosen, Groups as Rounds, recorded};
use crate::record::Topic;

/// To read all ranges of a flow.
const READ_WITHIN: Duration = Duration::from_secs(600);

#[derive(Args)]
pub struct Groups {
    #[command(subcommand)]
    verb: Option<Verb>,
    /// Only this mirror
    #[arg(long, value_name = "NAME", global = true)]
    flow: Option<String>,
    #[command(flatten)]
    reach: Reach,
    #[arg(long, short, value_enum, default_value_t, global = true)]
    output: Output,
}

#[derive(Subcommand)]
enum Verb {
    /// Carry one group over now, whatever the topology says of groups
    Commit {
        #[arg(long)]
        group: String,
        /// Also backwards, over what somebody else has committed, and where no offset is exact: then nothing is skipped, but some is
        /// delivered again. Never while the group has members on the target
        #[arg(long)]
        force: bool,
    },
}

impl Groups {
    pub async fn run(self) -> Result<ExitCode> {
        let told = match &self.verb {
            None => self.recorded().await?,
            Some(Verb::Commit { group, force }) => self.commit(group, *force).await?,
        };
        match self.output {
            Output::Json => print_json(&told)?,
            Output::Text => print(&text(&told))?,
        }
        let all_exact = told.iter().all(|fact| fact.state == GroupOffsetState::Exact);
        Ok(exit(self.verb.is_none() || all_exact))
    }

    async fn recorded(&self) -> Result<Vec<GroupOffset>> {
        let (topology, endpoints) = self.reach.endpoints()?;
        let mut told = Vec::new();
        for flow in provision::flows(&topology, &endpoints, self.flow.as_deref())? {
            let Some(groups) = &flow.mirror.groups else { continue };
            let read = carried::readable(&endpoints)?;
            let (topic, connection, name) =
                (Topic::from(&*groups.offsets), flow.target.connection.clone(), flow.name.clone());
            let group = flow.reader_group.clone();
            let asked = tokio::task::spawn_blocking(move || {
                let found = recorded(&mut KafkaReader::new(&connection, &group)?, &topic, read)?;
                anyhow::Ok(found.into_iter().filter(|fact| fact.flow == name).collect::<Vec<_>>())
            });
            told.extend(asked.await??);
        }
        Ok(told)
    }

    async fn commit(&self, group: &str, force: bool) -> Result<Vec<GroupOffset>> {
        let (mut topology, endpoints) = self.reach.endpoints()?;
        let dir = Scratch::new()?;
        topology.settings.engine.state_dir = dir.0.clone();
        let clock = Clock::wall();
        let carried = Carried::follow(&topology, &endpoints, self.flow.as_deref(), &clock).await?;
        let followed = std::sync::Arc::clone(&carried.followed);
        let read = tokio::task::spawn_blocking(move || {
            let until = std::time::Instant::now() + READ_WITHIN;
            while let Some(problem) = followed.values().find_map(|offsets| offsets.problem()) {
                anyhow::ensure!(std::time::Instant::now() < until, problem);
                std::thread::sleep(Duration::from_millis(50));
            }
            Ok(())
        });
        read.await?.context("the ranges cannot be read")?;
        let mut told = Vec::new();
        for flow in provision::flows(&topology, &endpoints, self.flow.as_deref())? {
            let rounds = Rounds::new(carried.groups(&flow.name, Chosen::one(group)?, &clock)?)?;
            let mut found = rounds.round(force).await?;
            if found.iter().any(|fact| fact.state == GroupOffsetState::Waiting) {
                // A position past the frontier is looked at once that stands.
                found = rounds.round(force).await?;
            }
            told.extend(found);
        }
        anyhow::ensure!(!told.is_empty(), "the group `{group}` has committed nothing on a topic that is mirrored");
        Ok(told)
    }
}

/// A directory that goes with the command.
struct Scratch(std::path::PathBuf);

impl Scratch {
    fn new() -> Result<Self> {
        let path = std::env::temp_dir().join(format!("fairlead-offsets-{}", std::process::id()));
        std::fs::create_dir_all(&path).with_context(|| path.display().to_string())?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // It is for the system to clear what cannot be removed.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn text(told: &[GroupOffset]) -> String {
    let mut lines = String::new();
    for fact in told {
        let state = match fact.state {
            GroupOffsetState::Exact => "EXACT",
            GroupOffsetState::Waiting => "WAITING",
            GroupOffsetState::Blocked => "BLOCKED",
        };
        let offset = fact.target_offset.map_or_else(|| "?".to_owned(), |offset| offset.to_string());
        let GroupOffset {
            group, source_topic, source_partition, source_offset, target_topic, target_partition, ..
        } = fact;
        lines += &format!(
            "{state:<8} {group}  {source_topic}/{source_partition} {source_offset} -> {target_topic}/{target_partition} {offset}"
        );
        if let Some(reason) = &fact.reason {
            lines += &format!("  ({reason})");
        }
        lines.push('\n');
    }
    lines
}
