//! Where recorded series come from: files, or a topic of samples; and the rules that are tried on them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail, ensure};
use clap::Args;
use serde_json::Value;

use crate::cli::progress::Steps;
use crate::cli::reach::Reach;
use crate::clock::Clock;
use crate::dead_letters::Moment;
use crate::event::{Fact, FactKind};
use crate::record::{EventTime, Topic};
use crate::replay::{self, Held, Recorded as Record, Topical, Topics};
use crate::topology::plan::{Content, Topology};
use crate::trend::Sample;
use crate::trend::csv::{self, Recorded, Row};
use crate::trend::select::Selector;
use crate::trend::series::Series;

/// All are held in memory: 32 bytes each.
const SAMPLES_MAX: usize = 20_000_000;

#[derive(Args)]
pub struct Data {
    /// Lines of timestamp,value or timestamp,value,label; with headings also a column `series`
    #[arg(long, value_name = "FILE.csv", num_args = 1.., required_unless_present = "topic", conflicts_with = "topic")]
    data: Vec<PathBuf>,
    /// The samples that lie on a topic of the cluster; without a name on the topology's `ingest.samples`
    #[arg(long, value_name = "TOPIC", num_args = 0..=1)]
    topic: Option<Option<String>>,
    /// Only these series: `http_errors_ratio{service="checkout"}`
    #[arg(long, value_name = "SELECTOR", value_parser = Selector::parse)]
    select: Option<Selector>,
    /// With --topic: records of this time or later: -24h, -7d, or a time such as 2026-11-23T08:00:00Z
    #[arg(long, default_value = "-24h", allow_hyphen_values = true)]
    from: Moment,
    /// With --topic: records before this time; without it now
    #[arg(long, allow_hyphen_values = true)]
    to: Option<Moment>,
    #[command(flatten)]
    reach: Reach,
}

impl Data {
    /// By name. Fails if there is none.
    pub async fn read(&self) -> Result<Vec<Recorded>> {
        let mut all = match self.named()? {
            Some(topic) => self.on(&topic).await?,
            None => self.in_files()?,
        };
        if let Some(select) = &self.select {
            all.retain(|one| one.named && Series::parse(&one.series).is_ok_and(|series| select.matches(&series)));
        }
        ensure!(!all.is_empty(), "no series: is --select right, and do --from and --to enclose what was told?");
        Ok(all)
    }

    /// What it is called in a picture.
    pub fn title(&self) -> Result<String> {
        let file = |path: &PathBuf| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let files = || self.data.iter().map(file).collect::<Vec<_>>().join(", ");
        Ok(self.named()?.unwrap_or_else(files))
    }

    /// The topic, if it is one that is read.
    fn named(&self) -> Result<Option<String>> {
        match &self.topic {
            Some(None) => of_topology(&self.reach.topology()?).map(Some),
            Some(topic) => Ok(topic.clone()),
            None => Ok(None),
        }
    }

    fn in_files(&self) -> Result<Vec<Recorded>> {
        let mut all: Vec<Recorded> = Vec::new();
        for path in &self.data {
            let name = path.file_stem().unwrap_or_default().to_string_lossy();
            let read =
                csv::series(&name, &text_of(path)?).map_err(|problem| anyhow!("{}: {problem}", path.display()))?;
            for one in read {
                // Files of one night each may hold the same series.
                match all.iter_mut().find(|known| known.named && one.named && known.series == one.series) {
                    Some(known) => known.rows.extend(one.rows),
                    None => all.push(one),
                }
            }
        }
        let samples: usize = all.iter().map(|one| one.rows.len()).sum();
        ensure!(
            samples <= SAMPLES_MAX,
            "{samples} samples are more than the {SAMPLES_MAX} that are held: give fewer files"
        );
        Ok(all)
    }

    async fn on(&self, topic: &str) -> Result<Vec<Recorded>> {
        let now = Clock::wall().now();
        let range = (self.from.from(now), self.to.as_ref().map_or(now, |to| to.from(now)));
        ensure!(range.0 < range.1, "--from must be before --to");
        let cluster = self.reach.cluster().await?;
        let topics: Topics = [(Topic::from(topic), Held::Fact(FactKind::Sample))].into();
        let mut source = Topical::of(cluster, &topics)?;
        ensure!(topics.keys().all(|topic| source.has(topic)), "the cluster has no topic {topic}");
        let select = self.select.clone();
        tokio::task::spawn_blocking(move || samples(&mut source, &topics, range, select.as_ref())).await?
    }
}

/// Where its samples go.
fn of_topology(topology: &Topology) -> Result<String> {
    let named = topology.settings.ingest.as_ref().and_then(|ingest| ingest.samples.as_ref());
    let of_samples = |content: &Content| matches!(content, Content::Fact(FactKind::Sample));
    let others = topology.topics.iter().filter(|(_, planned)| of_samples(&planned.content));
    let others: Vec<_> = others.map(|(name, _)| format!("`--topic {name}`")).collect();
    named.map(|topic| topic.value.clone()).ok_or_else(|| {
        let or = if others.is_empty() { String::new() } else { format!("; it declares {}", others.join(", ")) };
        anyhow!(
            "the topology names no topic for samples: name one after --topic, or write `samples:` under `ingest`{or}"
        )
    })
}

/// Every series' samples in the order in which they were written: a series is in one partition.
fn samples(
    source: &mut Topical,
    topics: &Topics,
    range: (EventTime, EventTime),
    select: Option<&Selector>,
) -> Result<Vec<Recorded>> {
    let mut all: BTreeMap<String, Vec<Row>> = BTreeMap::new();
    let (mut steps, mut count, mut others) = (Steps::start("records"), 0, 0_u64);
    source.each(topics, range, &mut |record: Record| {
        steps.step(None);
        let replay::Value::Fact(Fact::Sample(sample)) = record.value else {
            others += 1;
            return Ok(());
        };
        let wanted = |select: &Selector| Series::parse(&sample.series).is_ok_and(|series| select.matches(&series));
        if !select.is_none_or(wanted) {
            return Ok(());
        }
        count += 1;
        if count > SAMPLES_MAX {
            bail!("more than the {SAMPLES_MAX} samples that are held: narrow --select, --from and --to");
        }
        let row = Row { sample: Sample { at: EventTime(sample.at_ms), value: sample.value }, label: None };
        match all.get_mut(&*sample.series) {
            Some(rows) => rows.push(row),
            None => drop(all.insert(sample.series.to_string(), vec![row])),
        }
        Ok(())
    })?;
    steps.end();
    if others > 0 {
        eprintln!("left out {others} records that are no samples");
    }
    Ok(all.into_iter().map(|(series, rows)| Recorded { series, named: true, rows }).collect())
}

#[derive(Args)]
pub struct Rules {
    /// A list of rules; the detector `unusual` if no rule is given
    #[arg(long, value_name = "FILE.yaml")]
    rules: Option<PathBuf>,
    /// One rule, as in --rules: `{name: full, detect: {forecast: {above: 90, horizon_secs: 14400}}}`
    #[arg(long, value_name = "YAML")]
    rule: Vec<String>,
}

impl Rules {
    /// As they were written.
    pub fn read(&self) -> Result<Vec<Value>> {
        let mut rules: Vec<Value> = match &self.rules {
            Some(path) => {
                serde_saphyr::from_str(&text_of(path)?).map_err(|problem| anyhow!("{}: {problem}", path.display()))?
            }
            None => Vec::new(),
        };
        for rule in &self.rule {
            rules.push(serde_saphyr::from_str(rule).map_err(|problem| anyhow!("--rule {rule}: {problem}"))?);
        }
        if rules.is_empty() {
            rules.push(serde_saphyr::from_str("{ name: unusual, detect: { unusual: {} } }")?);
        }
        Ok(rules)
    }
}

fn text_of(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))
}
