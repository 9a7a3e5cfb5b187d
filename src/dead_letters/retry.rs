//! Puts letters back, exactly once: the original and its mark in one transaction.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use anyhow::{Result, bail};
use serde::Serialize;

use super::{Choice, Letter, MARK_HEADER, ORIGIN_HEADER, Shelf};
use crate::app::cluster::Cluster;
use crate::app::schemas;
use crate::ingest::kafka::records::Records;
use crate::log;
use crate::log::kafka::{Identity, KafkaWriter};
use crate::record::{EventTime, Header, NewRecord, Offset, Partition, Topic, TopicPartition};
use crate::runtime::failpoint;
use crate::topology::dead_letter::DeadLetter;
use crate::topology::graph::acls::written;

/// Of one transaction: what is more is cut into several, each whole.
const LETTERS_MAX: usize = 500;
const BYTES_MAX: usize = 4 << 20;
/// A transaction that failed so often in a row will not do better.
const TRIES: u32 = 5;

/// What is to be put back.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    /// These, or all that the choice takes.
    pub ids: Vec<String>,
    pub choice: Choice,
    /// Those too that were put back before.
    pub again: bool,
    pub dry_run: bool,
}

#[derive(Debug, Default, Serialize)]
pub struct Outcome {
    /// Nothing was written.
    pub dry_run: bool,
    pub retried: Vec<Retried>,
    /// Asked for by name, but put back before.
    pub skipped: Vec<Retried>,
    /// Letters that cannot be put back, and records that are no letters: where, and why.
    pub failed: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Retried {
    pub id: String,
    /// Where it lies again; of a skipped one, when it was put back.
    pub told: String,
}

/// Letters of one transaction, each with what is written for it.
#[derive(Default)]
struct Chunk {
    letters: Vec<(Letter, Vec<NewRecord>)>,
    bytes: usize,
}

/// What reads letters of topics of others again: to these nothing is written.
type Sources = BTreeMap<String, Records>;

/// `progress` is told how many are put back.
pub async fn retry(cluster: &mut Cluster, wish: &Wish, now: EventTime, progress: impl Fn(usize)) -> Result<Outcome> {
    failpoint::arm_by_environment();
    // The id before the marks: what an earlier one had committed is read, and it can commit no more.
    let mut writer = match wish.dry_run {
        true => None,
        false => {
            let identity = Identity {
                group: cluster.topology.names.reader_group(),
                transactional_id: cluster.topology.names.retry_transactional_id(),
                instance_id: None,
                writes: written(&cluster.topology, "retry"),
            };
            Some(KafkaWriter::new(&cluster.endpoints.connection, &identity)?)
        }
    };
    let run = format!("{}-{}", now.0, std::process::id());
    let shelf = Shelf::read(cluster).await?;
    let sources = sources(cluster).await?;
    let mut outcome = Outcome { dry_run: wish.dry_run, ..Outcome::default() };
    let mut seen = BTreeSet::new();
    require_ids(cluster, &shelf, &wish.ids)?;
    for (partition, end) in shelf.partitions() {
        let mut next = cluster.reader.watermarks(&partition)?.low;
        while next < end {
            let mut search = Search { shelf: &shelf, sources: &sources, wish, seen: &mut seen };
            let chunk = chunk(cluster, &mut search, &partition, (&mut next, end), &mut outcome)?;
            if let Some(writer) = writer.as_mut().filter(|_| !chunk.letters.is_empty()) {
                put_back(cluster, writer, &chunk, &run, now).await?;
            }
            outcome.retried.extend(chunk.letters.iter().map(|(Letter { letter, .. }, records)| Retried {
                id: letter.id(),
                told: match sources.get(&letter.topic) {
                    Some(_) if records.len() == 1 => "1 fact".to_owned(),
                    Some(_) => format!("{} facts", records.len()),
                    None => format!("{}-{}", letter.topic, letter.partition),
                },
            }));
            progress(outcome.retried.len());
        }
    }
    Ok(outcome)
}

async fn sources(cluster: &Cluster) -> Result<Sources> {
    if cluster.topology.settings.sources().is_empty() {
        return Ok(Sources::default());
    }
    let registered = schemas::look_up(&cluster.topology, &cluster.endpoints).await?;
    let sources = cluster.endpoints.sources(&cluster.topology, &registered).into_iter();
    Ok(sources.map(|source| (source.topic.to_string(), source.records)).collect())
}

/// Before anything is written: a name that is wrong is told at once.
fn require_ids(cluster: &mut Cluster, shelf: &Shelf, ids: &[String]) -> Result<()> {
    let mut missing: BTreeSet<&str> = ids.iter().map(String::as_str).collect();
    if missing.is_empty() {
        return Ok(());
    }
    shelf.letters(cluster, |letter| {
        if let Ok(Letter { letter, .. }) = letter {
            missing.remove(letter.id().as_str());
        }
        if missing.is_empty() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    if !missing.is_empty() {
        let missing: Vec<_> = missing.into_iter().collect();
        bail!("there is no dead letter {}; `fairlead dead-letter list` shows them", missing.join(", "));
    }
    Ok(())
}

/// The next letters that are wished for; `next` moves past what was read.
fn chunk(
    cluster: &mut Cluster,
    search: &mut Search<'_>,
    partition: &TopicPartition,
    (next, end): (&mut Offset, Offset),
    outcome: &mut Outcome,
) -> Result<Chunk> {
    let (mut chunk, mut reached, mut found) = (Chunk::default(), end, Vec::new());
    cluster.scan(partition, (*next, end), |record| {
        found.extend(search.shelf.letter(record));
        chunk.bytes += record.value.map_or(0, <[u8]>::len);
        if found.len() < LETTERS_MAX && chunk.bytes < BYTES_MAX {
            return ControlFlow::Continue(());
        }
        reached = Offset(record.offset.0 + 1);
        ControlFlow::Break(())
    })?;
    *next = reached;
    for letter in found {
        match letter {
            Ok(letter) => search.sort(cluster, letter, &mut chunk, outcome),
            Err(none) if search.wish.ids.is_empty() => outcome.failed.push(format!("{}: {}", none.place, none.why)),
            Err(_) => {}
        }
    }
    Ok(chunk)
}

/// What is looked for, and where.
struct Search<'s> {
    shelf: &'s Shelf,
    sources: &'s Sources,
    wish: &'s Wish,
    seen: &'s mut BTreeSet<String>,
}

impl Search<'_> {
    /// Two readers may have put the same record aside: it is put back once.
    fn sort(&mut self, cluster: &Cluster, letter: Letter, chunk: &mut Chunk, outcome: &mut Outcome) {
        let (id, wish) = (letter.letter.id(), self.wish);
        let wanted = if wish.ids.is_empty() { wish.choice.takes(&letter) } else { wish.ids.contains(&id) };
        if !wanted || !self.seen.insert(id.clone()) {
            return;
        }
        if letter.retried.times > 0 && !wish.again {
            if !wish.ids.is_empty() {
                let told = letter.retried.at_ms.map(crate::app::decoded::time).unwrap_or_default();
                outcome.skipped.push(Retried { id, told });
            }
            return;
        }
        match self.records(cluster, &letter) {
            Ok(records) => chunk.letters.push((letter, records)),
            Err(error) => outcome.failed.push(format!("{id}: {error}")),
        }
    }

    /// What is written for a letter: itself, where it came from; or the facts of what others wrote, read again.
    fn records(&self, cluster: &Cluster, letter: &Letter) -> Result<Vec<NewRecord>, String> {
        let DeadLetter { topic, partition, reader, .. } = &letter.letter;
        if let Some(source) = self.sources.get(topic) {
            return source.again(&letter.letter);
        }
        if *reader == cluster.topology.names.ingest_group(topic) {
            return Err(
                "others write this topic, and it is no longer read; name it under `ingest.kafka` again".to_owned()
            );
        }
        let found = cluster.partition(&Topic::from(&**topic), Partition(*partition));
        found.map(|_| vec![original(letter)]).map_err(|error| error.to_string())
    }
}

/// All of the chunk, or nothing; an outcome that is not known is looked up.
async fn put_back(
    cluster: &mut Cluster,
    writer: &mut KafkaWriter,
    chunk: &Chunk,
    run: &str,
    now: EventTime,
) -> Result<()> {
    let letters = cluster.topology.names.dead_letters();
    let marked = |(letter, records): &(Letter, Vec<NewRecord>)| {
        records.iter().cloned().chain([mark(&letters, letter, run, now)]).collect::<Vec<_>>()
    };
    let records: Vec<_> = chunk.letters.iter().flat_map(marked).collect();
    for attempt in 1.. {
        let error = match transact(writer, &records) {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        match error {
            log::Error::Abort(_) if attempt < TRIES => tracing::warn!(%error, "the transaction was aborted; once more"),
            log::Error::UnknownOutcome(_) | log::Error::Unavailable(_) if attempt < TRIES => {
                tracing::warn!(%error, "it is not known whether the transaction took place; looking");
                writer.renew()?;
                // A chunk is whole: one of its marks tells of all.
                let shelf = Shelf::read(cluster).await?;
                let ours = |letter: &Letter| shelf.marks(&letter.letter.id()).run.as_deref() == Some(run);
                if chunk.letters.first().is_some_and(|(letter, _)| ours(letter)) {
                    return Ok(());
                }
            }
            log::Error::Fenced(_) => bail!(
                "another `fairlead dead-letter retry` of this application took over; this one wrote nothing more. Letters \
                 that are put back are marked: `fairlead dead-letter list`"
            ),
            error => return Err(error.into()),
        }
    }
    Ok(())
}

fn transact(writer: &mut KafkaWriter, records: &[NewRecord]) -> Result<(), log::Error> {
    failpoint::log("retry: before begin")?;
    writer.begin()?;
    let written = write(writer, records);
    if matches!(written, Err(log::Error::Abort(_) | log::Error::Fatal(_))) {
        writer.abort()?;
    }
    written
}

fn write(writer: &mut KafkaWriter, records: &[NewRecord]) -> Result<(), log::Error> {
    records.iter().try_for_each(|record| writer.produce(record))?;
    failpoint::log("retry: before commit")?;
    writer.commit()?;
    failpoint::log("retry: after commit")
}

/// As it was: key, value, headers, time, partition; one header more says which letter it was.
fn original(Letter { letter, .. }: &Letter) -> NewRecord {
    let headers =
        letter.headers.iter().map(|header| Header { name: Arc::from(&*header.name), value: header.value.clone() });
    let origin = Header { name: Arc::from(ORIGIN_HEADER), value: Some(letter.id().into_bytes()) };
    NewRecord {
        topic: Topic::from(&*letter.topic),
        partition: Some(Partition(letter.partition)),
        timestamp: EventTime(letter.timestamp_ms),
        key: letter.key.clone(),
        value: letter.value.clone(),
        headers: headers.chain([origin]).collect(),
    }
}

fn mark(topic: &Topic, letter: &Letter, run: &str, now: EventTime) -> NewRecord {
    NewRecord {
        topic: topic.clone(),
        partition: Some(letter.partition),
        timestamp: now,
        key: Some(letter.letter.id().into_bytes()),
        value: None,
        headers: vec![Header { name: Arc::from(MARK_HEADER), value: Some(run.as_bytes().to_vec()) }],
    }
}
