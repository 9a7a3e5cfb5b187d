//! Repeats the tasks' commits in memory, batch by batch as the journal says, and holds every byte against what is there.
//!
//! A task whose journal does not reach back to its first commit, or that ran with another topology, has states that nobody
//! can rebuild: its commits are counted against the journal only, and that is noted.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, anyhow};

use super::Site;
use super::live::{Digest, Live, Seen, digest};
use super::report::{Kind, Report, TaskReport};
use super::stretch::{Stretch, each_record};
use super::words;
use crate::record::{Batch, EventTime, NewRecord, Offset, Partition, Topic, TopicPartition};
use crate::runtime::{CommitRecord, LAST_COMMIT, LastCommit};
use crate::topology::driver::{FollowedTask, partition};
use crate::topology::engine::{Effects, journal_header};
use crate::topology::journal::{InputRange, Journal, JournalPosition, TaskId};
use crate::topology::plan::SubTopologyPlan;

/// One task's commits, in order.
pub struct Commits<'a> {
    pub id: &'a TaskId,
    pub entries: &'a [Journal],
    /// Whether the journal begins with the task's very first commit.
    pub is_whole: bool,
}

struct Expected {
    place: TopicPartition,
    digest: Digest,
    record: NewRecord,
}

pub fn task(
    site: &mut Site,
    commits: &Commits<'_>,
    live: &mut Live,
    report: &mut Report,
    of: &mut TaskReport,
) -> Result<()> {
    let plan = site.topology.sub_topologies.get(&commits.id.sub_topology);
    let plan = plan.with_context(|| format!("task {} is of no sub-topology of this topology", commits.id))?.clone();
    let mut following = match commits.is_whole {
        true => Some(Following::new(site, &plan)?),
        false => {
            let first = commits.entries.first().map_or(0, |entry| entry.sequence);
            report.notes.push(format!(
                "{}: its journal goes back to commit {first} only: from there on inputs and counts are checked, bytes are not",
                commits.id
            ));
            None
        }
    };
    for entry in commits.entries {
        let position = entry.position().map_err(|error| anyhow!(error))?;
        if following.is_some() && entry.topology != site.topology.fingerprint {
            report.notes.push(format!(
                "{}: commit {} was made with another topology ({}): from there on inputs and counts are checked, bytes are not",
                commits.id, entry.sequence, entry.topology
            ));
            following = None;
        }
        let found = live.by_commit.remove(&position).unwrap_or_default();
        let letters = found.iter().filter(|seen| seen.place.topic == site.topology.names.dead_letters()).count() as u64;
        (of.outputs, of.dead_letters) = (of.outputs + found.len() as u64 - letters, of.dead_letters + letters);
        match &mut following {
            Some(followed) => {
                let expected = followed.step(site, &position, entry, report)?;
                compare(site, live, &position, expected, found, report)?;
                of.recomputed += 1;
            }
            None => count(site, live, &position, entry, found.len() as u64 - letters, report),
        }
    }
    if let Some(followed) = following {
        of.states = followed.compare_states(site, commits, &plan, report)?;
    }
    Ok(())
}

struct Following {
    task: FollowedTask,
    inputs: BTreeMap<TopicPartition, Stretch>,
}

impl Following {
    fn new(site: &Site, plan: &SubTopologyPlan) -> Result<Self> {
        let task = FollowedTask::new(plan, &site.states).map_err(|name| anyhow!("{name}: its state has no schema"))?;
        Ok(Self { task, inputs: BTreeMap::new() })
    }

    /// What the commit must have written.
    fn step(
        &mut self,
        site: &mut Site,
        position: &JournalPosition,
        entry: &Journal,
        report: &mut Report,
    ) -> Result<Vec<Expected>> {
        let mut batch = Batch::default();
        for range in &entry.inputs {
            self.read(site, range, &mut batch)?;
        }
        site.learn(&batch)?;
        let effects = self.task.follow(position, entry, &mut batch, &site.schemas.formats);
        let effects = effects.with_context(|| format!("commit {position} cannot be repeated"))?;
        let outputs = i32::try_from(effects.outputs.len()).unwrap_or(i32::MAX);
        if outputs != entry.outputs {
            let expected = format!("{outputs} outputs of commit {position}");
            let found = format!("the journal says {}", entry.outputs);
            report.differs(site.difference(Kind::OutputDiffers, (&site.journal_place(), None), expected, found));
        }
        site.expected(position, effects)
    }

    fn read(&mut self, site: &Site, range: &InputRange, batch: &mut Batch) -> Result<()> {
        let input = TopicPartition::new(&Topic::from(&*range.topic), Partition(range.partition));
        if !self.inputs.contains_key(&input) {
            let stretch = Stretch::new(&site.connection, &site.group, &input, Offset(range.from))?;
            self.inputs.insert(input.clone(), stretch);
        }
        let stretch = self.inputs.get_mut(&input).context("it was just put there")?;
        stretch.take_until(Offset(range.to), batch).with_context(|| format!("{input}, the records of a commit"))
    }

    /// Holds the states against the changelogs; answers with how many. Not while the task works on.
    fn compare_states(
        &self,
        site: &mut Site,
        commits: &Commits<'_>,
        plan: &SubTopologyPlan,
        report: &mut Report,
    ) -> Result<u64> {
        let (mut stored, mut told) = (BTreeMap::new(), None);
        for (stage, node) in plan.nodes.iter().enumerate() {
            let changelog = TopicPartition::new(&node.changelog, commits.id.partition);
            each_record(&mut site.reader, &changelog, |record| {
                if record.key == Some(LAST_COMMIT) {
                    let read: CommitRecord = serde_json::from_slice(record.value.unwrap_or_default())?;
                    told = Some((record.offset, read.last()));
                    return Ok(());
                }
                let key = (stage, record.key.unwrap_or_default().to_vec());
                match record.value {
                    Some(state) => stored.insert(key, (record.offset, state.to_vec())),
                    None => stored.remove(&key),
                };
                Ok(())
            })?;
        }
        let last = commits.entries.last().map_or(0, |entry| entry.sequence);
        if site.last_commit(commits.id)? != Some(last) {
            report.notes.push(format!("{}: it works on, so its states were not compared", commits.id));
            return Ok(0);
        }
        if let (Some(entry), Some((offset, found))) = (commits.entries.last(), told) {
            let expected = LastCommit { sequence: entry.sequence, acted_at_ms: entry.acted_at_ms };
            if found != expected {
                let (expected, found) = (format!("{expected:?}"), format!("{found:?}"));
                let place = TopicPartition::new(&plan.nodes[0].changelog, commits.id.partition);
                report.differs(site.difference(Kind::State, (&place, Some(offset)), expected, found));
            }
        }
        let (mut count, mut differ) = (0, Vec::new());
        for (stage, key, state) in self.task.states() {
            count += 1;
            let found = stored.remove(&(stage, key.to_vec()));
            if found.as_ref().is_none_or(|(_, found)| found != state) {
                differ.push((stage, key.to_vec(), found.map(|(offset, _)| offset), "the recomputed state"));
            }
        }
        differ.extend(stored.into_iter().map(|((stage, key), (offset, _))| (stage, key, Some(offset), "no state")));
        for (stage, key, offset, expected) in differ {
            let place = TopicPartition::new(&plan.nodes[stage].changelog, commits.id.partition);
            let key = String::from_utf8_lossy(&key).into_owned();
            let found = if offset.is_some() { "another one" } else { "none" };
            let expected = format!("{expected} of `{key}`");
            report.differs(site.difference(Kind::State, (&place, offset), expected, found.to_owned()));
        }
        Ok(count)
    }
}

impl Site {
    fn expected(&self, position: &JournalPosition, effects: Effects) -> Result<Vec<Expected>> {
        let mut records = effects.outputs;
        for letter in effects.dead_letters {
            let mut value = Vec::new();
            self.dead_letter.encode(&letter, &mut value)?;
            records.push(NewRecord {
                topic: self.topology.names.dead_letters(),
                partition: None,
                timestamp: EventTime(position.acted_at_ms),
                key: Some(letter.id().into_bytes()),
                value: Some(value),
                headers: vec![journal_header(position)],
            });
        }
        let expected = |record: NewRecord| {
            let partitions = self.topology.topics.get(&record.topic).map_or(1, |planned| planned.partitions);
            let chosen = partition(record.key.as_deref().unwrap_or_default(), partitions);
            let headers = record.headers.iter().map(|header| (&*header.name, header.value.as_deref()));
            let digest = digest(record.key.as_deref(), record.value.as_deref(), record.timestamp.0, headers);
            Expected { place: TopicPartition::new(&record.topic, chosen), digest, record }
        };
        Ok(records.into_iter().map(expected).collect())
    }
}

/// Partition by partition, in order.
fn compare(
    site: &mut Site,
    live: &Live,
    position: &JournalPosition,
    expected: Vec<Expected>,
    found: Vec<Seen>,
    report: &mut Report,
) -> Result<()> {
    let places: BTreeSet<_> =
        expected.iter().map(|one| one.place.clone()).chain(found.iter().map(|seen| seen.place.clone())).collect();
    for place in places {
        let here: Vec<_> = expected.iter().filter(|one| one.place == place).collect();
        let mut there: Vec<_> = found.iter().filter(|seen| seen.place == place).collect();
        there.sort_by_key(|seen| seen.offset);
        if here.iter().map(|one| one.digest).eq(there.iter().map(|seen| seen.digest)) {
            continue;
        }
        let mut missing = Vec::new();
        for one in &here {
            match there.iter().position(|seen| seen.digest == one.digest) {
                Some(at) => drop(there.remove(at)),
                None => missing.push(*one),
            }
        }
        if missing.is_empty() && there.is_empty() {
            let told = format!("the {} records of commit {position} in the order they were told", here.len());
            report.differs(site.difference(Kind::Order, (&place, None), told, "another order".to_owned()));
        }
        while !missing.is_empty() || !there.is_empty() {
            let one = (!missing.is_empty()).then(|| missing.remove(0));
            let seen = (!there.is_empty()).then(|| there.remove(0));
            let (kind, words) = match (one, seen) {
                (Some(one), None) if live.may_have_forgotten(&one.place, position) => continue,
                (Some(one), None) => (Kind::OutputLost, (words::of_new(site, &one.record), "nothing".to_owned())),
                (None, Some(seen)) => {
                    let found = words::of_record(site, &seen.place, seen.offset)?;
                    (Kind::OutputDoubled, ("nothing more".to_owned(), found))
                }
                (Some(one), Some(seen)) => (Kind::OutputDiffers, words::apart(site, &one.record, seen)?),
                (None, None) => break,
            };
            let expected = format!("of commit {position}: {}", words.0);
            report.differs(site.difference(kind, (&place, seen.map(|seen| seen.offset)), expected, words.1));
        }
    }
    Ok(())
}

/// Where bytes cannot be known: as many outputs as the journal says.
fn count(site: &Site, live: &Live, position: &JournalPosition, entry: &Journal, found: u64, report: &mut Report) {
    let said = u64::try_from(entry.outputs).unwrap_or_default();
    let kind = match found.cmp(&said) {
        std::cmp::Ordering::Less if live.forgets() => return,
        std::cmp::Ordering::Equal => return,
        std::cmp::Ordering::Less => Kind::OutputLost,
        std::cmp::Ordering::Greater => Kind::OutputDoubled,
    };
    let expected = format!("{said} outputs of commit {position}");
    let difference = site.difference(kind, (&site.journal_place(), None), expected, found.to_string());
    report.differs_by(difference, found.abs_diff(said));
}
