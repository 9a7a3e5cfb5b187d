//! Why an output is what it is: the commit that wrote it and the input records behind it.
//!
//! ```text
//! output ── header fairlead-journal ──► journal record ── input ranges ──► records of the same state
//!    └── an incident names alerts and deploys ──────────────────────────► their tellings, in earlier commits too
//! ```
//! What is shown is sound: an operator sees its input and the state of one key, so of a commit's records only those with that
//! key can have made the output; where the key cannot be told, every record of the commit is shown and the reason with it.
//! Nothing is written, joined or committed.

mod named;
mod origin;
mod text;

use std::ops::ControlFlow;

use anyhow::{Context, Result, bail};
use serde::Serialize;

use crate::app::cluster::Cluster;
use crate::app::decoded::Decoded;
use crate::codec::generic;
use crate::event::{FactKind, Incident};
use crate::record::{Batch, EventTime, Offset, Partition, Topic, TopicPartition};
use crate::topology::engine::Route;
use crate::topology::journal::{HEADER, InputRange, Journal, JournalPosition, TaskId};
use named::{Named, Wanted};
use origin::{Origin, Sought};

/// Clocks of two processes that have owned a task may differ by so much.
const SKEW_MS: i64 = 10 * 60 * 1_000;
const END: Offset = Offset(i64::MAX);

#[derive(Debug, Serialize)]
pub struct Lineage {
    /// What was asked for.
    pub record: Decoded,
    pub commit: Commit,
    /// Which records of the commit are shown.
    pub shown: Shown,
    pub inputs: Vec<Decoded>,
    /// Records of the commit that are not shown.
    pub others: usize,
    /// Parts of the commit's inputs that are no longer retained.
    pub gone: Vec<InputRange>,
    /// What an incident names, as it was told up to then.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub named: Vec<Named>,
}

#[derive(Debug, Serialize)]
pub struct Commit {
    pub journal_topic: Topic,
    pub journal_offset: Offset,
    #[serde(flatten)]
    pub journal: Journal,
    /// Whether the topology at hand is the one that acted.
    pub same_topology: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Shown {
    /// Those of this state.
    Key(String),
    /// The one that could not be processed.
    Original(String),
    /// Every one, and why.
    All(String),
}

/// `all`: show every record of the commit.
pub async fn trace(cluster: &mut Cluster, partition: &TopicPartition, offset: Offset, all: bool) -> Result<Lineage> {
    let found = cluster.record(partition, offset)?;
    let record = cluster.decode(&found.get(0)).await;
    let (journal_offset, journal) = match origin::of(&cluster.topology, &record).map_err(anyhow::Error::msg)? {
        Origin::Commit(position) => journal(cluster, &position).await?,
        Origin::Journal(journal) => (record.offset, journal),
    };
    let (task, position) = position(&journal)?;
    let (batch, gone) = inputs(cluster, &journal)?;
    let inputs = cluster.decode_all(&batch).await;
    let (shown, incident) = narrow(cluster, &record, &task, &position, &inputs).await?;
    let shown = if all { Shown::All("you asked for all".to_owned()) } else { shown };
    let named = match incident {
        Some(incident) => told(cluster, &task, &journal, &incident).await?,
        None => Vec::new(),
    };
    let count = inputs.len();
    let inputs: Vec<_> = inputs.into_iter().filter(|input| shown.holds(input)).collect();
    let commit = Commit {
        journal_topic: cluster.topology.names.journal(),
        journal_offset,
        same_topology: journal.topology == cluster.topology.fingerprint,
        journal,
    };
    Ok(Lineage { record, commit, shown, others: count - inputs.len(), inputs, gone, named })
}

impl Shown {
    fn holds(&self, input: &Decoded) -> bool {
        match self {
            Shown::Key(key) => input.key.as_ref() == Some(key),
            Shown::Original(place) => input.place() == *place,
            Shown::All(_) => true,
        }
    }
}

fn position(journal: &Journal) -> Result<(TaskId, String)> {
    let text = format!("{}/{}@{}", journal.task, journal.sequence, journal.acted_at_ms);
    let position: JournalPosition = text.parse().map_err(anyhow::Error::msg)?;
    Ok((position.task, text))
}

/// The journal record of a position: found by its time, for the journal is kept in the order of commits.
async fn journal(cluster: &mut Cluster, position: &JournalPosition) -> Result<(Offset, Journal)> {
    let topic = cluster.topology.names.journal();
    let (task, at) = (position.task.to_string(), position.acted_at_ms);
    for partition in cluster.partitions(&topic)? {
        let from = cluster.reader.offset_at(&partition, EventTime(at))?;
        let mut candidates = Batch::default();
        cluster.scan(&partition, (from, END), |record| {
            let same_task = record.key == Some(task.as_bytes());
            if same_task && record.timestamp.0 == at {
                candidates.push(record);
            }
            let passed = same_task && record.timestamp.0 > at.saturating_add(SKEW_MS);
            if passed { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        for record in candidates.iter() {
            let decoded = cluster.decode(&record).await;
            let journal: Journal = serde_json::from_value(decoded.value.clone())
                .with_context(|| format!("{} is no journal record", decoded.place()))?;
            if journal.sequence == position.sequence {
                return Ok((record.offset, journal));
            }
        }
        if cluster.reader.watermarks(&partition)?.low == from && from.0 > 0 {
            bail!(
                "the journal of that commit ({position}) is no longer retained: {partition} begins later; keep it longer by \
                 engine.journal_retention_ms"
            );
        }
    }
    bail!(
        "{topic} has no commit {position}; was the record written by another application, or copied from another cluster?"
    )
}

/// What the commit consumed, and the parts of it that are gone.
fn inputs(cluster: &mut Cluster, journal: &Journal) -> Result<(Batch, Vec<InputRange>)> {
    let (mut batch, mut gone) = (Batch::default(), Vec::new());
    for range in &journal.inputs {
        let partition = cluster.partition(&Topic::from(&*range.topic), Partition(range.partition))?;
        let low = cluster.scan(&partition, (Offset(range.from), Offset(range.to)), |record| {
            batch.push(record);
            ControlFlow::Continue(())
        })?;
        if low.0 > range.from {
            gone.push(InputRange { to: low.0.min(range.to), ..range.clone() });
        }
    }
    batch.sort();
    Ok((batch, gone))
}

/// Which of the inputs can have contributed; and the incident that the record is, or is about.
async fn narrow(
    cluster: &mut Cluster,
    record: &Decoded,
    task: &TaskId,
    position: &str,
    inputs: &[Decoded],
) -> Result<(Shown, Option<Incident>)> {
    match origin::sought(&cluster.topology, task, record) {
        Sought::Shown(shown) => Ok((shown, origin::incident(record))),
        Sought::KeyOfIncident(id) => {
            let of_input =
                inputs.iter().find(|input| origin::incident(input).is_some_and(|found| found.id == id)).cloned();
            let found = match of_input {
                Some(input) => Some(input),
                None => incident(cluster, task, position, record.timestamp_ms, &id).await?,
            };
            let incident = found.as_ref().and_then(origin::incident);
            let shown = match found.and_then(|found| found.key) {
                Some(key) => Shown::Key(key),
                None => Shown::All(format!(
                    "incident {id} is on no topic that this commit wrote, so its key cannot be told"
                )),
            };
            Ok((shown, incident))
        }
    }
}

/// A snapshot of the incident that the same commit wrote. Its time is the action's, for one made the other.
async fn incident(
    cluster: &mut Cluster,
    task: &TaskId,
    position: &str,
    at_ms: i64,
    id: &str,
) -> Result<Option<Decoded>> {
    let plan = cluster.topology.sub_topologies.get(&task.sub_topology);
    let routes = plan.into_iter().flat_map(|plan| &plan.nodes).flat_map(|node| {
        let ports = node.ports.iter().filter(|(_, fact)| *fact == FactKind::Incident);
        ports.flat_map(|(port, _)| node.routes.get(port).into_iter().flatten())
    });
    let topics = routes.filter_map(|route| if let Route::Topic(topic) = route { Some(topic.clone()) } else { None });
    for topic in topics.collect::<Vec<_>>() {
        for partition in cluster.partitions(&topic)? {
            let from = cluster.reader.offset_at(&partition, EventTime(at_ms))?;
            let mut candidates = Batch::default();
            cluster.scan(&partition, (from, END), |record| {
                let header = record.headers.get(HEADER);
                if header == Some(position.as_bytes()) {
                    candidates.push(record);
                }
                // Commits of one task lie in their order: after a later one there is none of ours.
                if is_later(header, position) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })?;
            for candidate in cluster.decode_all(&candidates).await {
                if origin::incident(&candidate).is_some_and(|found| found.id == id) {
                    return Ok(Some(candidate));
                }
            }
        }
    }
    Ok(None)
}

/// Whether the header is of a later commit of the same task.
fn is_later(header: Option<&[u8]>, position: &str) -> bool {
    let parse = |text: &str| text.parse::<JournalPosition>().ok();
    let header = header.and_then(|header| std::str::from_utf8(header).ok()).and_then(parse);
    match (header, parse(position)) {
        (Some(header), Some(ours)) => header.task == ours.task && header.sequence > ours.sequence,
        _ => false,
    }
}

/// The tellings of what an incident names, on the partitions that the task reads: up to the commit, never after it.
async fn told(cluster: &mut Cluster, task: &TaskId, journal: &Journal, incident: &Incident) -> Result<Vec<Named>> {
    let Some(plan) = cluster.topology.sub_topologies.get(&task.sub_topology) else { return Ok(Vec::new()) };
    let sources: Vec<_> = plan.sources.iter().map(|(topic, source)| (topic.clone(), source.fact)).collect();
    let mut wanted = Wanted::of(incident);
    for (topic, fact) in sources {
        let Some(since) = wanted.since(fact) else { continue };
        let partition = cluster.partition(&topic, task.partition)?;
        let range = journal.inputs.iter().find(|range| range.topic == topic.as_str());
        let to = range.map_or(END, |range| Offset(range.to));
        let from = cluster.reader.offset_at(&partition, since)?;
        let tellings = cluster.collect(&partition, (from, to), |record| {
            record.timestamp.0 <= journal.acted_at_ms
                && record.key.map(generic::text).as_ref() == Some(&incident.service)
        })?;
        for telling in cluster.decode_all(&tellings).await {
            wanted.take(fact, telling);
        }
    }
    Ok(wanted.named())
}
