//! Catching a store up with its changelogs: after a crash, a move to another machine, or an unknown outcome.
//!
//! The target is the changelog's end read *uncommitted*, taken after the stable committed offsets; records are read
//! *committed* until the position reaches it. Positions are compared, never records: a control record may be the last.
//! Applying a state twice is harmless, so where a stage's changelog was noted may be older than what is stored.
//!
//! The group may tell of an old commit, or of none: its offsets expired, or its coordinator is wrong. That of Apache Kafka 4.3.1 was seen
//! to tell offsets of ten minutes ago after its only broker had restarted, and to stay with them: elected twice within a second, it had
//! read its log a second time, half of it, into what it had already read. To go on from there would do everything since again. So the
//! changelog, which is written in the same transactions, tells the last commit too ([`LAST_COMMIT`](super::LAST_COMMIT)), with its input
//! offsets, and the task goes on from the later of the two. A store that stands at a commit that neither knows is wiped: that one went with
//! a broker (KAFKA-20734). Not seen is a store that was left behind exactly at the old commit that is told.
//!
//! The first stage's changelog is read first, and where the others end is asked after that: whatever commit it told of, they hold all
//! of it. Somebody else may be committing meanwhile, for a member learns late that its partitions are another's.

use std::time::Duration;

use super::Error;
use super::schemas::Schemas;
use super::store::{Standing, Store};
use super::stores::Stores;
use super::task::{CommitRecord, LastCommit, Phase, Task};
use crate::log::{self, Log, Reader};
use crate::record::{Batch, EventTime, Offset, Partition, Topic, TopicPartition};
use crate::topology::engine::{self, StageIndex, SubTopology};

/// Read and stored at a time.
const PIECE_BYTES: usize = 4 << 20;
const PIECE_WAIT: Duration = Duration::from_millis(50);
/// Progress is logged this often.
const REPORT: Duration = Duration::from_secs(5);
/// A store older than this may have missed a tombstone that compaction removed since (Kafka keeps them for 24 hours).
const CATCH_UP_MS_MAX: i64 = 12 * 60 * 60 * 1000;

pub struct Restore {
    tails: Vec<Tail>,
    records: u64,
    bytes: usize,
    started: Duration,
    reported: Duration,
}

/// What of one stage's changelog is not in the store yet.
struct Tail {
    stage: StageIndex,
    changelog: TopicPartition,
    from: Offset,
    next: Offset,
    target: Offset,
    /// The target was asked for after the changelogs before this one were read.
    is_asked: bool,
}

impl Tail {
    fn is_read(&self) -> bool {
        self.is_asked && self.next >= self.target
    }
}

/// What a task needs of its worker to get its store ready.
pub struct Site<'a> {
    pub log: &'a mut dyn Log,
    pub reader: &'a mut dyn Reader,
    pub stores: &'a Stores,
    pub schemas: &'a mut Schemas,
    pub fingerprint: &'a str,
    pub now: EventTime,
    pub elapsed: Duration,
}

/// Opens a created task's store: it runs at once if the store is what was committed, else it restores.
pub fn open(task: &mut Task, site: &mut Site<'_>) -> Result<(), Error> {
    let stages = task.stage_names();
    let mut store = site.stores.take(&task.id, &stages)?;
    let mut tails = plan(&store, task, site)?;
    if let Err(reason) = &tails {
        tracing::error!(task = %task.id, reason, "the store is wiped and restored from its changelog");
        site.stores.wipe(&task.id, store)?;
        store = site.stores.take(&task.id, &stages)?;
        tails = plan(&store, task, site)?;
    }
    let tails = tails.map_err(|reason| Error::Other(format!("task {}: {reason}", task.id)))?;
    // Without timers they are built once, after the restore.
    if store.meta().topology != site.fingerprint && (store.has_timers() || tails.is_none()) {
        let (topology, schemas, elapsed) = (&task.topology, &mut *site.schemas, site.elapsed);
        let deadline = |stage: StageIndex, state: &[u8]| deadline_of(topology, schemas, elapsed, stage, state);
        store.rebuild_timers(site.fingerprint, deadline)?;
    }
    let Some(tails) = tails else {
        task.phase = Phase::Running(store);
        return Ok(());
    };
    store.begin_restore()?;
    let (started, reported) = (site.elapsed, site.elapsed);
    task.phase = Phase::Restoring(store, Restore { tails, records: 0, bytes: 0, started, reported });
    Ok(())
}

type Plan = Result<Option<Vec<Tail>>, String>;

/// The tails to read; `None` if the store is current, or the reason why it must not be believed.
fn plan(store: &Store, task: &mut Task, site: &mut Site<'_>) -> Result<Plan, Error> {
    let meta = store.meta();
    let (stored, told) = (meta.last(), task.last);
    let is_another = stored.sequence == told.sequence && stored != told;
    if stored.sequence > told.sequence || is_another {
        return Ok(Err(format!("it is at a commit that the group does not know: {stored:?}, not {told:?}")));
    }
    let noted: Vec<_> = (0..task.topology.nodes.len()).map(|stage| store.changelog(stage)).collect();
    // That nothing is committed yet is believed only if there is nothing in the changelogs either.
    let settled = task.has_committed && stored == told && meta.inputs() == task.committed();
    if settled && noted.iter().all(Option::is_some) {
        return Ok(Ok(None));
    }
    if meta.written_at_ms > 0 && site.now.0.saturating_sub(meta.written_at_ms) > CATCH_UP_MS_MAX {
        return Ok(Err("it was last written more than 12 hours ago and may miss deletions".to_owned()));
    }
    let mut tails = Vec::new();
    for (stage, noted) in noted.into_iter().enumerate() {
        let changelog = TopicPartition::new(&task.topology.nodes[stage].changelog, task.id.partition);
        let ends = site.log.watermarks(&changelog)?;
        let from = noted.unwrap_or(ends.low);
        if from < ends.low || from > ends.high {
            let (low, high) = (ends.low.0, ends.high.0);
            return Ok(Err(format!("{changelog} holds {low}..{high}, the store is at {}", from.0)));
        }
        tails.push(Tail { stage, changelog, from, next: from, target: ends.high, is_asked: stage == 0 });
    }
    Ok(Ok(Some(tails)))
}

/// Stores one piece of a restoring task's changelogs. True when the task runs.
pub fn advance(task: &mut Task, site: &mut Site<'_>, piece: &mut Batch) -> Result<bool, Error> {
    let inputs = task.committed();
    let Phase::Restoring(store, restore) = &mut task.phase else { return Ok(task.is_running()) };
    if let Some(tail) = restore.tails.iter_mut().find(|tail| !tail.is_read()) {
        super::failpoint::log("in restore")?;
        if !tail.is_asked {
            (tail.target, tail.is_asked) = (site.log.watermarks(&tail.changelog)?.high, true);
        }
        if tail.next < tail.target {
            piece.clear();
            read_piece(tail, &task.topology, store, site, piece)?;
            restore.records += piece.len() as u64;
            restore.bytes += piece.bytes();
        }
    }
    if restore.tails.iter().any(|tail| !tail.is_read()) {
        restore.report(&task.id.to_string(), site.elapsed);
        return Ok(false);
    }
    let told = task.has_committed.then_some(task.last);
    let ahead = store.meta().commit_read.clone().filter(|read| is_ahead(read, told));
    if let Some(read) = &ahead {
        tracing::warn!(task = %task.id, ?told, ?read, "the group does not tell of the last commit: it goes on from the changelog's");
    }
    if !store.has_timers() {
        let (topology, schemas, elapsed) = (&task.topology, &mut *site.schemas, site.elapsed);
        let deadline = |stage: StageIndex, state: &[u8]| deadline_of(topology, schemas, elapsed, stage, state);
        store.rebuild_timers(site.fingerprint, deadline)?;
    }
    for tail in &restore.tails {
        store.note_changelog(tail.stage, tail.next.max(tail.target));
    }
    let read = ahead.as_ref().map(|read| (read.last(), read.inputs.iter().map(place).collect()));
    let (last, inputs) = read.unwrap_or((task.last, inputs));
    store.finish_restore(&Standing { last, inputs: &inputs, at: site.now })?;
    let took_ms = site.elapsed.saturating_sub(restore.started).as_millis();
    let (records, bytes) = (restore.records, restore.bytes);
    tracing::info!(task = %task.id, records, bytes, took_ms, "restored");
    if let Phase::Restoring(store, _) = std::mem::replace(&mut task.phase, Phase::Created) {
        task.phase = Phase::Running(store);
    }
    ahead.iter().for_each(|read| task.move_to(read));
    Ok(true)
}

fn read_piece(
    tail: &mut Tail,
    topology: &SubTopology,
    store: &mut Store,
    site: &mut Site<'_>,
    piece: &mut Batch,
) -> Result<(), Error> {
    let next = site.reader.read(&tail.changelog, tail.next, PIECE_BYTES, PIECE_WAIT, piece)?;
    if store.has_timers() {
        let (schemas, elapsed) = (&mut *site.schemas, site.elapsed);
        let deadline = |stage: StageIndex, state: &[u8]| deadline_of(topology, schemas, elapsed, stage, state);
        store.restore(tail.stage, piece, deadline, next)?;
    } else {
        store.fill(tail.stage, piece, next)?;
    }
    tail.next = next;
    Ok(())
}

/// Offsets that somebody else committed are where the task is to go on, and begin a new count.
fn is_ahead(read: &CommitRecord, told: Option<LastCommit>) -> bool {
    told != Some(LastCommit::default()) && read.sequence > told.unwrap_or_default().sequence
}

fn place((topic, partition, next): &(Topic, Partition, Offset)) -> (TopicPartition, Offset) {
    (TopicPartition::new(topic, *partition), *next)
}

impl Restore {
    /// Records of all changelogs that are still to be read; offsets, so compacted ones count too.
    pub fn left(&self) -> i64 {
        self.tails.iter().map(|tail| (tail.target.0 - tail.next.0).max(0)).sum()
    }

    fn report(&mut self, task: &str, elapsed: Duration) {
        if elapsed.saturating_sub(self.reported) < REPORT {
            return;
        }
        self.reported = elapsed;
        let took = elapsed.saturating_sub(self.started).as_secs_f64();
        let done: i64 = self.tails.iter().map(|tail| tail.next.0 - tail.from.0).sum();
        let (rate, left) = (done as f64 / took, self.left());
        let eta_s = if rate > 0.0 { (left as f64 / rate).ceil() } else { f64::INFINITY };
        tracing::info!(task, done, left, rate = rate.round(), eta_s, "restoring");
    }
}

/// What a state asks for; the schema it was written with may have to be asked for first.
fn deadline_of(
    topology: &SubTopology,
    schemas: &mut Schemas,
    elapsed: Duration,
    stage: StageIndex,
    state: &[u8],
) -> Result<Option<EventTime>, Error> {
    schemas.learn_of(state, elapsed).map_err(log::Error::Unavailable)?;
    let stage = &topology.nodes[stage].stage;
    stage.stored_deadline(state, &schemas.formats).map_err(|error| Error::Engine {
        task: topology.name.clone(),
        error: engine::Error::Stored { stage: stage.name().to_owned(), error },
    })
}
