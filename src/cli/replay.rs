//! `fairlead replay`: what a topology would have told, and in what that differs from what was told, or from another topology.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde::Serialize;

use super::output::{Output, print, print_json};
use super::problems;
use super::progress::Progress;
use super::reach::Reach;
use crate::app::source;
use crate::clock::Clock;
use crate::dead_letters::Moment;
use crate::record::EventTime;
use crate::replay::{self, Diff, Page, Recording, Replay, Source, Topical, Topics, Window};
use crate::topology::plan::Topology;

/// Where recorded facts are, and which of them.
#[derive(Args)]
pub struct Records {
    /// A file of `fairlead export` instead of a cluster; without --from and --to all that it holds
    #[arg(long)]
    file: Option<PathBuf>,
    /// Tell what happened from here on: -24h (the default of a cluster), -7d, or a time such as 2026-11-23T08:00:00Z
    #[arg(long, allow_hyphen_values = true)]
    from: Option<Moment>,
    /// Up to here; without it now, or the end of the file
    #[arg(long, allow_hyphen_values = true)]
    to: Option<Moment>,
    /// How much before --from is processed without being told, so that states are there: 24h, 7d
    #[arg(long, default_value = "24h")]
    warm_up: Moment,
    #[command(flatten)]
    reach: Reach,
}

#[derive(Args)]
pub struct ReplayCommand {
    #[command(flatten)]
    records: Records,
    /// Only what differs from what was told, or from what another topology would have told
    #[arg(long, value_name = "OTHER_DIR", num_args = 0..=1)]
    #[expect(clippy::option_option, reason = "clap's way to say: absent, without a value, with one")]
    diff: Option<Option<PathBuf>>,
    /// Write a page with a timeline, too
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    #[arg(long, short, value_enum, default_value_t)]
    output: Output,
}

#[derive(Serialize)]
struct Answer<'a> {
    begin_ms: i64,
    from_ms: i64,
    to_ms: i64,
    replay: &'a Replay,
    #[serde(skip_serializing_if = "Option::is_none")]
    other: Option<&'a Replay>,
    #[serde(skip_serializing_if = "Option::is_none")]
    diff: Option<&'a Diff>,
}

impl Records {
    pub fn directory(&self) -> &Path {
        self.reach.directory()
    }

    /// The topology, and what is to be read of `wanted`.
    pub async fn open(&self, wanted: impl Fn(&Topology) -> Topics) -> Result<(Topology, Source, Window)> {
        let now = Clock::wall().now();
        match &self.file {
            Some(file) => {
                let (topology, recording) = (self.reach.topology()?, Recording::open(file)?);
                let (first, end) = (EventTime(recording.head.from_ms), EventTime(recording.head.to_ms));
                let from = self.from.map_or(first, |from| from.from(now));
                let window = self.window(from, self.to.map_or(end, |to| to.from(now)))?;
                let window = Window { begin: window.begin.max(first), ..window };
                Ok((topology, Source::File(recording), window))
            }
            None => {
                let from = self.from.unwrap_or(Moment::Ago(86_400_000)).from(now);
                let window = self.window(from, self.to.map_or(now, |to| to.from(now)))?;
                let cluster = self.reach.cluster().await?;
                let (topology, wanted) = (cluster.topology.clone(), wanted(&cluster.topology));
                Ok((topology, Source::Cluster(Box::new(Topical::of(cluster, &wanted)?)), window))
            }
        }
    }

    fn window(&self, from: EventTime, to: EventTime) -> Result<Window> {
        ensure!(from < to, "--from must be before --to");
        let Moment::Ago(warm_up_ms) = self.warm_up else {
            anyhow::bail!("--warm-up is a span such as 24h or 7d");
        };
        Ok(Window { begin: from.plus_ms(-warm_up_ms), from, to })
    }
}

impl ReplayCommand {
    pub async fn run(self) -> Result<()> {
        let other = match &self.diff {
            Some(Some(directory)) => Some(problems::require(source::load(directory)?)?),
            _ => None,
        };
        let wanted = |topology: &Topology| {
            let all = [Some(topology), other.as_ref()].into_iter().flatten();
            all.flat_map(|one| [replay::inputs(one), replay::told(one), replay::journal(one)]).flatten().collect()
        };
        let (topology, source, window) = self.records.open(wanted).await?;
        tokio::task::spawn_blocking(move || self.tell(&topology, other.as_ref(), source, window)).await?
    }

    fn tell(self, topology: &Topology, other: Option<&Topology>, mut source: Source, window: Window) -> Result<()> {
        let topologies: Vec<&Topology> = [Some(topology), other].into_iter().flatten().collect();
        let (recorded, mut progress) = (self.diff == Some(None), Progress::start());
        let replays = replay::replay(&mut source, &topologies, window, recorded, &mut |record| progress.read(record))?;
        progress.end();
        let name = self.records.directory().display().to_string();
        let other_name = match &self.diff {
            Some(Some(directory)) => directory.display().to_string(),
            _ => "as told".to_owned(),
        };
        let replay = replays.first().context("there is one replay at least")?;
        let other = replays.get(1);
        let diff = other.map(|other| Diff::of((&other_name, other), (&name, replay), window.begin));
        if let Some(file) = &self.html {
            let sides: Vec<_> =
                other.map(|other| (&*other_name, other)).into_iter().chain([(&*name, replay)]).collect();
            let title = match &diff {
                Some(_) if recorded => format!("What {name} would have told, against what was told"),
                Some(_) => format!("What {name} would have told, against {other_name}"),
                None => format!("What {name} would have told"),
            };
            let head = replay::head(&name, replay, &window);
            let page = Page { title: &title, head: &head, window: &window, sides: &sides, diff: diff.as_ref() };
            let written = std::fs::write(file, replay::page(&page));
            written.with_context(|| format!("{} cannot be written", file.display()))?;
        }
        match (self.output, &diff) {
            (Output::Text, None) => print(&replay::text(&name, replay, &window)),
            (Output::Text, Some(diff)) => print(&replay::diff_text(diff, &replay::head(&name, replay, &window))),
            (Output::Json, diff) => {
                let Window { begin, from, to } = window;
                let (begin_ms, from_ms, to_ms) = (begin.0, from.0, to.0);
                print_json(&Answer { begin_ms, from_ms, to_ms, replay, other, diff: diff.as_ref() })
            }
        }
    }
}
