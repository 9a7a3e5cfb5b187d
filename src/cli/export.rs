//! `fairlead export`: recorded facts to a file, for a replay elsewhere or after the topics have forgotten them.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::Args;

use super::output::print;
use super::progress::Progress;
use super::reach::Reach;
use crate::clock::Clock;
use crate::dead_letters::Moment;
use crate::replay::{self, JOURNAL_AFTER_MS, Source, Topical, Writer};

#[derive(Args)]
pub struct Export {
    /// Where to write: lines of JSON, in its place only once it is whole
    file: PathBuf,
    /// Which topics; without it all that a replay reads: inputs, incidents, Slack actions and the journal
    #[arg(long, value_delimiter = ',')]
    topics: Vec<String>,
    /// Records of this time or later: -24h, -7d, or a time such as 2026-11-23T08:00:00Z
    #[arg(long, default_value = "-24h", allow_hyphen_values = true)]
    from: Moment,
    /// Records before this time; without it now
    #[arg(long, allow_hyphen_values = true)]
    to: Option<Moment>,
    #[command(flatten)]
    reach: Reach,
}

impl Export {
    pub async fn run(self) -> Result<()> {
        let now = Clock::wall().now();
        let (from, to) = (self.from.from(now), self.to.map_or(now, |to| to.from(now)));
        ensure!(from < to, "--from must be before --to");
        let cluster = self.reach.cluster().await?;
        let (topics, topology) = (replay::chosen(&cluster.topology, &self.topics)?, cluster.topology.clone());
        let mut source = Source::Cluster(Box::new(Topical::of(cluster, &topics)?));
        source.check(&topics)?;
        let (file, mut progress) = (self.file, Progress::start());
        let written = tokio::task::spawn_blocking(move || {
            let mut writer = Writer::create(&file, topology.names.application(), &topics, (from, to))?;
            // What was told last may be in a commit that acted later.
            let journal = replay::journal(&topology);
            source.each(&topics, (from, to.plus_ms(JOURNAL_AFTER_MS)), &mut |record| {
                if record.timestamp < to || journal.contains_key(&record.topic) {
                    progress.read(&record);
                    writer.write(&record)?;
                }
                Ok(())
            })?;
            let records = writer.end()?;
            progress.end();
            anyhow::Ok(format!("{records} records in {}\n", file.display()))
        });
        print(&written.await??)
    }
}
