//! Proves from outside, from nothing but topics and committed offsets, that an application lost nothing and doubled nothing.
//!
//! ```text
//! committed offsets ─► journal ─► coverage ──────────────────────────────► inputs lost, doubled
//!                        └─► recompute (the engine in memory) ─┐
//! outputs, dead letters ─► live (digests by commit) ───────────┴─ equal? ─► outputs lost, doubled, different
//! inputs, incidents ─► model (knows neither journal nor engine) ─────────► what the model disagrees with
//! ```
//! Order of reading: offsets first, then the journal, then what commits wrote, each up to its end at that moment. So whatever a
//! journal record says must be there, even while the application runs on; what came later is left to the next check.
//!
//! Memory: 150 bytes a journal record, 32 an output, all states of one task, and what `model` says of itself. Nothing is written
//! anywhere, no group is joined, no schema registered.

mod coverage;
mod live;
mod model;
mod put_back;
mod recompute;
mod report;
mod stretch;
mod words;

use std::collections::BTreeMap;

use anyhow::{Context, Result, anyhow};

pub use report::{Difference, Kind, ModelReport, Report, TaskReport};

use crate::app::Endpoints;
use crate::app::schemas::{self, Registered};
use crate::clock::Clock;
use crate::codec::Format;
use crate::log::client::Connection;
use crate::log::kafka::KafkaReader;
use crate::record::{Batch, Offset, Partition, TopicPartition};
use crate::runtime::{LastCommit, Schemas};
use crate::topology::journal::{Journal, JournalPosition, TaskId};
use crate::topology::plan::{StateFormats, Topology};

use coverage::Coverage;
use live::Live;
use recompute::Commits;

/// What is checked, and how it is reached.
pub struct Site {
    topology: Topology,
    connection: Connection,
    group: String,
    reader: KafkaReader,
    schemas: Schemas,
    states: StateFormats,
    journal: Format,
    dead_letter: Format,
    clock: Clock,
}

impl Site {
    /// Looks up every schema that the topology writes with; registers none.
    pub async fn connect(topology: Topology, endpoints: &Endpoints) -> Result<Self> {
        let Registered { mut formats, states, journal, dead_letter, source } =
            schemas::look_up(&topology, endpoints).await?;
        [&journal, &dead_letter].into_iter().for_each(|format| formats.read_with(format.clone()));
        let (connection, group) = (endpoints.connection.clone(), topology.names.engine_group());
        let reader = KafkaReader::new(&connection, &group)?;
        let (schemas, clock) = (Schemas::new(formats, source), Clock::wall());
        Ok(Self { topology, connection, group, reader, schemas, states, journal, dead_letter, clock })
    }

    fn tasks(&self) -> Vec<TaskId> {
        let of_plan = |plan: &crate::topology::plan::SubTopologyPlan| {
            let name = plan.name.clone();
            let id = move |number| TaskId { sub_topology: name.clone(), partition: Partition(number) };
            (0..plan.partitions).map(id).collect::<Vec<_>>()
        };
        self.topology.sub_topologies.values().flat_map(of_plan).collect()
    }

    fn inputs_of(&self, task: &TaskId) -> Vec<TopicPartition> {
        let plan = self.topology.sub_topologies.get(&task.sub_topology);
        let sources = plan.into_iter().flat_map(|plan| plan.sources.keys());
        sources.map(|topic| TopicPartition::new(topic, task.partition)).collect()
    }

    fn journal_place(&self) -> TopicPartition {
        TopicPartition::new(&self.topology.names.journal(), Partition(0))
    }

    fn difference(
        &self,
        kind: Kind,
        (place, offset): (&TopicPartition, Option<Offset>),
        expected: String,
        found: String,
    ) -> Difference {
        let (topic, partition) = (place.topic.to_string(), place.partition.0);
        Difference { kind, topic, partition, offset: offset.map(|offset| offset.0), expected, found }
    }

    fn learn(&mut self, batch: &Batch) -> Result<()> {
        self.schemas.learn(batch, self.clock.elapsed()).map_err(|error| anyhow!(error))
    }

    /// The sequence of the task's last commit, as the group has it.
    fn last_commit(&self, task: &TaskId) -> Result<Option<i64>> {
        let committed = self.reader.committed(&self.inputs_of(task))?;
        Ok(LastCommit::of_offsets(&committed).map(|last| last.sequence))
    }
}

/// What the group had committed before anything else was read.
struct Standing {
    sequence: Option<i64>,
    offsets: BTreeMap<TopicPartition, Offset>,
}

/// One task's journal.
#[derive(Default)]
struct Chronicle {
    coverage: Coverage,
    entries: Vec<Journal>,
    /// Where the inputs stood at the commit that the group tells of.
    at_standing: Option<Coverage>,
}

/// Reads and compares everything. Blocks; to be called outside the async runtime.
pub fn verify(site: &mut Site) -> Result<Report> {
    let mut report = Report { application: site.topology.names.application().to_owned(), ..Report::default() };
    let now = site.clock.now();
    let standings = standings(site)?;
    let mut chronicles = read_journal(site, &standings, &mut report)?;
    tracing::info!(commits = chronicles.values().map(|one| one.entries.len()).sum::<usize>(), "the journal is read");
    let (topology, formats) = (&site.topology, &site.schemas.formats);
    let mut live = Live::read(topology, formats, &site.dead_letter, &mut site.reader)?;
    tracing::info!(commits = live.by_commit.len(), "outputs and dead letters are read");
    std::mem::take(&mut live.differences).into_iter().for_each(|difference| report.differs(difference));
    for id in site.tasks() {
        let Some(chronicle) = chronicles.remove(&id) else {
            if standings.get(&id).is_some_and(|standing| standing.sequence.is_some()) {
                report.notes.push(format!("{id}: nothing of it is left in the journal: it cannot be checked"));
            }
            continue;
        };
        check_task(site, &id, &chronicle, &standings, &mut live, &mut report)?;
    }
    check_left_over(site, &live, &mut report)?;
    let processed = standings.into_values().flat_map(|standing| standing.offsets).collect();
    model::check(site, &processed, now, &mut report)?;
    Ok(report)
}

fn standings(site: &Site) -> Result<BTreeMap<TaskId, Standing>> {
    let mut standings = BTreeMap::new();
    for id in site.tasks() {
        let inputs = site.inputs_of(&id);
        let committed = site.reader.committed(&inputs).context("the group's committed offsets")?;
        let sequence = LastCommit::of_offsets(&committed).map(|last| last.sequence);
        let offsets =
            inputs.into_iter().zip(committed).filter_map(|(input, committed)| Some((input, committed?.offset)));
        standings.insert(id, Standing { sequence, offsets: offsets.collect() });
    }
    Ok(standings)
}

fn read_journal(
    site: &mut Site,
    standings: &BTreeMap<TaskId, Standing>,
    report: &mut Report,
) -> Result<BTreeMap<TaskId, Chronicle>> {
    let mut lows = BTreeMap::new();
    for input in site.tasks().iter().flat_map(|task| site.inputs_of(task)) {
        lows.insert(input.clone(), site.reader.watermarks(&input)?.low);
    }
    let mut chronicles: BTreeMap<TaskId, Chronicle> = BTreeMap::new();
    let place = site.journal_place();
    let (formats, name) = (&site.schemas.formats, &site.journal.name);
    stretch::each_record(&mut site.reader, &place, |record| {
        let value = record.value.unwrap_or_default();
        let entry: Journal =
            formats.decode(value, name).with_context(|| format!("{place}@{}: no journal record", record.offset.0))?;
        let position = entry.position().map_err(|error| anyhow!("{place}@{}: {error}", record.offset.0))?;
        let chronicle = chronicles.entry(position.task.clone()).or_default();
        let restarts = chronicle.coverage.restarts;
        for (difference, count) in chronicle.coverage.take((&place, record.offset), &entry, &lows) {
            report.differs_by(difference, count);
        }
        if chronicle.coverage.restarts > restarts {
            report.notes.push(format!(
                "{}: it was begun anew at {place}@{}: what came before is not checked",
                position.task, record.offset.0
            ));
            chronicle.entries.clear();
        }
        if standings.get(&position.task).and_then(|standing| standing.sequence) == Some(entry.sequence) {
            let Coverage { first, last, next, .. } = &chronicle.coverage;
            chronicle.at_standing =
                Some(Coverage { first: *first, last: *last, next: next.clone(), ..Coverage::default() });
        }
        chronicle.entries.push(entry);
        Ok(())
    })?;
    Ok(chronicles)
}

fn check_task(
    site: &mut Site,
    id: &TaskId,
    chronicle: &Chronicle,
    standings: &BTreeMap<TaskId, Standing>,
    live: &mut Live,
    report: &mut Report,
) -> Result<()> {
    let Chronicle { coverage, entries, at_standing } = chronicle;
    if let Some(standing) = standings.get(id).filter(|standing| standing.sequence.is_some()) {
        match at_standing {
            Some(at) => {
                let compared = standing.offsets.iter().filter_map(|(input, offset)| at.compare(input, *offset));
                compared.for_each(|(difference, count)| report.differs_by(difference, count));
            }
            None => {
                let expected = format!("commit {} of {id}, as the group says", standing.sequence.unwrap_or_default());
                let found = format!("commits {}..{}", coverage.first, coverage.last);
                report.differs(site.difference(Kind::InputLost, (&site.journal_place(), None), expected, found));
            }
        }
    }
    let (first, last, inputs) = (coverage.first, coverage.last, coverage.inputs);
    let mut of = TaskReport { task: id.to_string(), first, last, inputs, ..TaskReport::default() };
    // Begun anew, it may have gone on from states that were there before.
    let commits = Commits { id, entries, is_whole: first == 1 && coverage.restarts == 0 };
    recompute::task(site, &commits, live, report, &mut of)?;
    live.reached.insert(id.clone(), (entries.first().map_or(0, |entry| entry.acted_at_ms), first, last));
    report.tasks.push(of);
    Ok(())
}

/// What no journal record that was read has written.
fn check_left_over(site: &Site, live: &Live, report: &mut Report) -> Result<()> {
    let (mut before, mut later) = (0, BTreeMap::new());
    for (position, seen) in &live.by_commit {
        let JournalPosition { task, sequence, acted_at_ms } = position;
        match live.reached.get(task) {
            // Of a journal record that retention took, or of a life before the task was begun anew.
            Some((since, first, _)) if *sequence < *first || acted_at_ms < since => before += seen.len(),
            None => before += seen.len(),
            Some((_, _, last)) if sequence > last => later.entry(task).or_insert_with(Vec::new).push((position, seen)),
            Some(_) => report_strays(site, position, seen, report),
        }
    }
    if before > 0 {
        report.notes.push(format!("{before} outputs are older than the journal: they were not checked"));
    }
    for (task, commits) in later {
        let last = site.last_commit(task)?.unwrap_or_default();
        for (position, seen) in commits.into_iter().filter(|(position, _)| position.sequence > last) {
            report_strays(site, position, seen, report);
        }
    }
    Ok(())
}

fn report_strays(site: &Site, position: &JournalPosition, seen: &[live::Seen], report: &mut Report) {
    for seen in seen {
        let expected = format!("no output of commit {position}: the journal has no such commit");
        let place = (&seen.place, Some(seen.offset));
        report.differs(site.difference(Kind::OutputDoubled, place, expected, "a record".to_owned()));
    }
}
