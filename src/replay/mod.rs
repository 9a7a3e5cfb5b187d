//! What a topology would have said: recorded alerts and deploys run through it again, in memory.
//!
//! ```text
//! cluster ─┐ topics, all partitions            ┌► stories (incidents, levels, mentions, messages) ─► text, JSON, HTML
//!          ├──────────────────────► player ────┤
//! file ────┘ `export`              (the engine)└► episodes (alerts, and the rule that decided) ────► diff, noise
//!                 └── what was told ───────────► stories ─────────────────────────────────────────► diff
//! ```
//! The engine is the one that runs live. Where the given topology itself made the commits, its journal is followed, batch by batch;
//! another topology gets the records in the order of event time, and its deadlines fire in between at their own times. Same records,
//! same topology, same window: the same bytes, from a cluster or from a file.
//!
//! What lies before the window is processed but not told, as far back as the warm-up reaches: an incident that opened before that is
//! unknown to the replay. Nothing is written to the cluster, no group is joined, no schema registered, nobody is told anything.
//!
//! Memory: all states of the topology, 4,000 records, 300 bytes an episode of an alert, 150 a commit of the journal, and what is told of
//! the window with its rendered texts, about a kilobyte a message.

mod cluster;
mod diff;
mod episode;
mod file;
mod html;
mod noise;
mod player;
mod recorded;
mod report;
mod story;
mod task;
mod text;

use std::collections::BTreeMap;

use anyhow::{Result, bail};

pub use cluster::Topical;
pub use diff::Diff;
pub use episode::{Episode, Episodes};
pub use file::{Recording, Writer};
pub use html::{Page, page};
pub use noise::{Noise, noise};
pub use player::Player;
pub use recorded::{Held, Recorded, Topics, Value, chosen, inputs, journal, required, sources, told};
pub use report::{Replay, Told, Totals, replay};
pub use story::{Message, Step, Stories, Story};
pub use text::{diff as diff_text, head, replay as text};

use crate::record::EventTime;
use crate::topology::journal::{Journal, TaskId};
use crate::topology::plan::Topology;

/// What was committed before the window's end may be in a commit that acted this much later.
pub const JOURNAL_AFTER_MS: i64 = 10 * 60 * 1_000;

/// `from..to` is told; what is older, down to `begin`, is only processed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    pub begin: EventTime,
    pub from: EventTime,
    pub to: EventTime,
}

/// Where recorded records are read from.
pub enum Source {
    Cluster(Box<Topical>),
    File(Recording),
}

impl Source {
    /// Fails if one of these is not there.
    pub fn check(&self, wanted: &Topics) -> Result<()> {
        match self {
            Self::Cluster(cluster) => match wanted.keys().find(|topic| !cluster.has(topic)) {
                Some(topic) => bail!("the cluster has no topic {topic}"),
                None => Ok(()),
            },
            Self::File(file) => file.check(wanted),
        }
    }

    /// Every record of `wanted` in `from..to`: of all partitions the oldest next one first. Topics that are not there are left out.
    pub fn each(
        &mut self,
        wanted: &Topics,
        range: (EventTime, EventTime),
        visit: &mut dyn FnMut(Recorded) -> Result<()>,
    ) -> Result<()> {
        match self {
            Self::Cluster(cluster) => cluster.each(wanted, range, visit),
            Self::File(file) => file.each(wanted, range, visit),
        }
    }

    /// What this topology's tasks committed since `begin`, as far as its journal tells.
    pub fn journals(&mut self, topology: &Topology, window: &Window) -> Result<BTreeMap<TaskId, Vec<Journal>>> {
        let mut journals: BTreeMap<TaskId, Vec<Journal>> = BTreeMap::new();
        let until = window.to.plus_ms(JOURNAL_AFTER_MS);
        self.each(&journal(topology), (window.begin, until), &mut |record| {
            if let Value::Journal(journal) = record.value
                && let Ok(position) = journal.position()
            {
                journals.entry(position.task).or_default().push(journal);
            }
            Ok(())
        })?;
        Ok(journals)
    }
}
