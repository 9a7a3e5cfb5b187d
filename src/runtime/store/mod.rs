//! The store of one task: its states, their timers, and where in the logs they stand. One RocksDB.
//!
//! Invariants:
//! - One [`WriteBatch`] per commit, written after the transaction is committed: the store may be behind the changelog,
//!   never ahead of it.
//! - Everything lies in *one* column family. The log ahead of writes is off (the changelog is that log), and a memtable is
//!   flushed whole and in order, so what survives a crash is a prefix of the batches written, positions included. With
//!   several column families the same would rest on an option (`atomic_flush`).
//! - After any failed write the store takes no other: it is closed, opened again and caught up.
//!
//! Not here: Kafka, what a state means, when to write.

pub mod layout;
mod memory;
mod meta;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use rocksdb::{
    ColumnFamilyDescriptor, DB, DEFAULT_COLUMN_FAMILY_NAME, Direction, ErrorKind, IteratorMode, ReadOptions,
    WriteBatch, WriteOptions,
};
use thiserror::Error;

use layout::Slot;
pub use memory::Memory;
pub use meta::Meta;
use meta::UNSETTLED;

use super::failpoint;
use crate::record::{Batch, EventTime, Offset, TopicPartition};
use crate::runtime;
use crate::topology::engine::{StageIndex, StateError, StateView, Timer};
use crate::topology::stage::{Key, StateChange};

#[derive(Debug, Error)]
pub enum Error {
    /// Another process, or another worker that has not let go yet.
    #[error("{}: the store is in use: {why}", path.display())]
    Locked { path: PathBuf, why: String },
    /// To be wiped and restored.
    #[error("{}: the store is damaged: {why}", path.display())]
    Corrupt { path: PathBuf, why: String },
    #[error("{}: no space is left on the disk: free some, nothing is lost meanwhile", path.display())]
    Full { path: PathBuf },
    #[error("{}: {why}", path.display())]
    Io { path: PathBuf, why: String },
}

impl Error {
    pub fn io(path: &Path, error: &io::Error) -> Self {
        let (path, why) = (path.to_owned(), error.to_string());
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full { path },
            _ => Self::Io { path, why },
        }
    }
}

pub struct Store {
    db: DB,
    path: PathBuf,
    stages: Vec<String>,
    /// By stage index.
    slots: Vec<Slot>,
    meta: Meta,
    /// The earliest deadline. Looked for from the last one on, so that removed timers are not walked over twice.
    first_timer: Option<EventTime>,
}

/// Timers of one write while they are built anew: a bound on memory.
const TIMERS_WRITTEN: usize = 20_000;

type KeyValue = (Box<[u8]>, Box<[u8]>);

/// Where a store stands after a commit.
pub struct Standing<'a> {
    pub sequence: i64,
    pub inputs: &'a BTreeMap<TopicPartition, Offset>,
    pub at: EventTime,
}

impl Store {
    /// Opens the store, or makes an empty one. `stages` are the names in the order of their indexes.
    pub fn open(path: &Path, stages: &[String], memory: &Memory) -> Result<Self, Error> {
        std::fs::create_dir_all(path).map_err(|error| Error::io(path, &error))?;
        let all = ColumnFamilyDescriptor::new(DEFAULT_COLUMN_FAMILY_NAME, memory.options());
        let db = DB::open_cf_descriptors(&memory.options(), path, [all]).map_err(|error| classify(path, &error))?;
        let meta = match db.get(layout::META).map_err(|error| classify(path, &error))? {
            Some(json) => serde_json::from_slice(&json)
                .map_err(|error| Error::Corrupt { path: path.to_owned(), why: format!("its own record: {error}") })?,
            None => Meta::default(),
        };
        let mut store =
            Self { db, path: path.to_owned(), stages: stages.to_vec(), slots: Vec::new(), meta, first_timer: None };
        let gone = store.meta.retain(stages);
        store.slots = stages.iter().map(|stage| store.meta.slot(stage)).collect();
        let mut batch = WriteBatch::default();
        for (from, to) in gone.into_iter().map(layout::states) {
            batch.delete_range(from, to);
        }
        store.write(batch)?;
        store.first_timer = store.first_timer_after(None)?;
        Ok(store)
    }

    /// Removes a damaged store from the disk.
    pub fn wipe(path: &Path) -> Result<(), Error> {
        match std::fs::remove_dir_all(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::io(path, &error)),
            _ => Ok(()),
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn meta(&self) -> &Meta {
        &self.meta
    }

    pub fn first_timer(&self) -> Option<EventTime> {
        self.first_timer
    }

    /// Bytes on disk and in memtables; an estimate.
    pub fn bytes(&self) -> u64 {
        let property = |name: &str| self.db.property_int_value(name).ok().flatten().unwrap_or_default();
        property("rocksdb.total-sst-files-size") + property("rocksdb.cur-size-all-mem-tables")
    }

    /// Position in the changelog up to which a stage's states are stored.
    pub fn changelog(&self, stage: StageIndex) -> Option<Offset> {
        self.meta.changelog(&self.stages[stage])
    }

    /// Notes such a position; it is written with the next batch.
    pub fn note_changelog(&mut self, stage: StageIndex, position: Offset) {
        self.meta.set_changelog(&self.stages[stage], position);
    }

    /// The result of one commit, in one batch.
    pub fn apply(&mut self, changes: &[(StageIndex, StateChange)], standing: &Standing<'_>) -> Result<(), Error> {
        let mut batch = WriteBatch::default();
        for (stage, change) in changes {
            let slot = self.slots[*stage];
            let key = layout::state(slot, &change.key);
            match &change.state {
                Some(state) => batch.put(key, state),
                None => batch.delete(key),
            }
            if change.deadline_before != change.deadline {
                change.deadline_before.iter().for_each(|at| batch.delete(layout::timer(*at, slot, &change.key)));
                change.deadline.iter().for_each(|at| batch.put(layout::timer(*at, slot, &change.key), b""));
            }
        }
        self.settle(standing);
        self.write(batch)?;
        let timers = changes.iter().filter(|(_, change)| change.deadline_before != change.deadline);
        self.move_first_timer(timers.map(|(_, change)| (change.deadline_before, change.deadline)))
    }

    /// From here on the store stands nowhere, until [`Store::finish_restore`].
    pub fn begin_restore(&mut self) -> Result<(), Error> {
        self.meta.sequence = UNSETTLED;
        self.write(WriteBatch::default())
    }

    /// Takes a piece of a stage's changelog in: the last state of each key, and the deadline in it.
    pub fn restore(
        &mut self,
        stage: StageIndex,
        states: &BTreeMap<Key, Option<Vec<u8>>>,
        mut deadline: impl FnMut(StageIndex, &[u8]) -> Result<Option<EventTime>, runtime::Error>,
        position: Offset,
    ) -> Result<(), runtime::Error> {
        failpoint::store("restore", &self.path)?;
        let keys: Vec<_> = states.keys().map(|key| layout::state(self.slots[stage], key)).collect();
        let stored = self.read(&keys)?;
        let mut moved = Vec::new();
        let mut batch = WriteBatch::default();
        for ((key, state), stored) in states.iter().zip(stored) {
            let mut deadline = |state: &Vec<u8>| deadline(stage, state);
            let before = stored.as_ref().map(&mut deadline).transpose()?.flatten();
            let now = state.as_ref().map(&mut deadline).transpose()?.flatten();
            let slot = self.slots[stage];
            before.iter().for_each(|at| batch.delete(layout::timer(*at, slot, key)));
            now.iter().for_each(|at| batch.put(layout::timer(*at, slot, key), b""));
            match state {
                Some(state) => batch.put(layout::state(slot, key), state),
                None => batch.delete(layout::state(slot, key)),
            }
            moved.push((before, now));
        }
        self.note_changelog(stage, position);
        self.write(batch)?;
        Ok(self.move_first_timer(moved.into_iter())?)
    }

    /// Whether the timers are those of the states. An empty store has none, and is filled without: they are built once, in the end.
    pub fn has_timers(&self) -> bool {
        !self.meta.topology.is_empty()
    }

    /// Takes a piece of a stage's changelog in, without timers and so without a look at what is stored.
    pub fn fill(&mut self, stage: StageIndex, piece: &Batch, position: Offset) -> Result<(), Error> {
        failpoint::store("restore", &self.path)?;
        let mut batch = WriteBatch::default();
        for record in piece.iter() {
            let Some(key) = record.key else { continue };
            let key = layout::state(self.slots[stage], key);
            match record.value {
                Some(state) => batch.put(key, state),
                None => batch.delete(key),
            }
        }
        self.note_changelog(stage, position);
        self.write(batch)
    }

    /// The store is what was committed; a flush, so that a crash does not repeat the restore.
    pub fn finish_restore(&mut self, standing: &Standing<'_>) -> Result<(), Error> {
        self.settle(standing);
        self.write(WriteBatch::default())?;
        self.db.flush().map_err(|error| classify(&self.path, &error))
    }

    /// Builds the timers anew from the states: another topology may ask for other deadlines. Piece by piece, and until the last
    /// one is written the store has none: a crash in between ends in another beginning.
    pub fn rebuild_timers(
        &mut self,
        topology: &str,
        mut deadline: impl FnMut(StageIndex, &[u8]) -> Result<Option<EventTime>, runtime::Error>,
    ) -> Result<(), runtime::Error> {
        let mut batch = WriteBatch::default();
        batch.delete_range(layout::timers_from(EventTime(i64::MIN)), layout::timers_end());
        self.meta.topology.clear();
        self.write(batch)?;
        let mut first = None;
        for stage in 0..self.slots.len() {
            let (slot, mut rest) = (self.slots[stage], Some(layout::states(self.slots[stage]).0));
            while let Some(from) = rest.take() {
                let mut batch = WriteBatch::default();
                for state in self.range((from, layout::states(slot).1)) {
                    let (key, state) = state?;
                    if batch.len() >= TIMERS_WRITTEN {
                        rest = Some(key.into_vec());
                        break;
                    }
                    let Some(at) = deadline(stage, &state)? else { continue };
                    batch.put(layout::timer(at, slot, layout::state_key(&key)), b"");
                    first = first.into_iter().chain([at]).min();
                }
                self.write(batch)?;
            }
        }
        topology.clone_into(&mut self.meta.topology);
        self.write(WriteBatch::default())?;
        self.first_timer = first;
        Ok(())
    }

    /// Every state, in the order of stages and keys.
    pub fn states(&self) -> impl Iterator<Item = Result<(StageIndex, Key, Vec<u8>), Error>> {
        self.slots.iter().enumerate().flat_map(|(stage, slot)| {
            let states = self.range(layout::states(*slot));
            states
                .map(move |state| state.map(|(key, state)| (stage, layout::state_key(&key).to_vec(), state.into_vec())))
        })
    }

    fn settle(&mut self, standing: &Standing<'_>) {
        self.meta.sequence = standing.sequence;
        self.meta.set_inputs(standing.inputs);
        self.meta.written_at_ms = standing.at.0;
    }

    fn write(&mut self, mut batch: WriteBatch) -> Result<(), Error> {
        failpoint::store("store write", &self.path)?;
        let meta = serde_json::to_vec(&self.meta).expect("names and numbers have a JSON");
        batch.put(layout::META, meta);
        let mut options = WriteOptions::default();
        options.disable_wal(true);
        self.db.write_opt(batch, &options).map_err(|error| classify(&self.path, &error))
    }

    fn move_first_timer(
        &mut self,
        moved: impl Iterator<Item = (Option<EventTime>, Option<EventTime>)>,
    ) -> Result<(), Error> {
        let (mut removed, mut first) = (false, self.first_timer);
        for (before, now) in moved {
            removed |= before.is_some() && before == self.first_timer;
            first = first.into_iter().chain(now).min();
        }
        if removed {
            first = self.first_timer_after(first)?;
        }
        self.first_timer = first;
        Ok(())
    }

    fn read(&self, keys: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>, Error> {
        let all = self.db.cf_handle(DEFAULT_COLUMN_FAMILY_NAME).expect("it was opened with this one");
        let found = self.db.batched_multi_get_cf(&all, keys, keys.is_sorted()).into_iter();
        found
            .map(|value| match value {
                Ok(value) => Ok(value.map(|value| value.to_vec())),
                Err(error) => Err(classify(&self.path, &error)),
            })
            .collect()
    }

    fn first_timer_after(&self, from: Option<EventTime>) -> Result<Option<EventTime>, Error> {
        let first = self.timers_after(from).next().transpose()?;
        Ok(first.map(|(at, _, _)| at))
    }

    fn timers_after(&self, from: Option<EventTime>) -> impl Iterator<Item = Result<(EventTime, Slot, Key), Error>> {
        let from = layout::timers_from(from.unwrap_or(EventTime(i64::MIN)));
        self.range((from, layout::timers_end())).filter_map(|entry| match entry {
            Ok((key, _)) => layout::parse_timer(&key).map(Ok),
            Err(error) => Some(Err(error)),
        })
    }

    fn range(&self, (from, to): (Vec<u8>, Vec<u8>)) -> impl Iterator<Item = Result<KeyValue, Error>> {
        let mut options = ReadOptions::default();
        options.set_iterate_upper_bound(to);
        let entries = self.db.iterator_opt(IteratorMode::From(&from, Direction::Forward), options);
        entries.map(|entry| entry.map_err(|error| classify(&self.path, &error)))
    }
}

impl StateView for Store {
    fn get_many(&self, keys: &[(StageIndex, Key)]) -> Result<Vec<Option<Vec<u8>>>, StateError> {
        let keys: Vec<_> = keys.iter().map(|(stage, key)| layout::state(self.slots[*stage], key)).collect();
        self.read(&keys).map_err(|error| StateError(error.to_string()))
    }

    fn due(&self, until: EventTime) -> Result<Vec<Timer>, StateError> {
        if self.first_timer.is_none_or(|first| first > until) {
            return Ok(Vec::new());
        }
        let mut due = Vec::new();
        for timer in self.timers_after(self.first_timer) {
            let (at, slot, key) = timer.map_err(|error| StateError(error.to_string()))?;
            if at > until {
                break;
            }
            let stage = self.slots.iter().position(|known| *known == slot);
            due.extend(stage.map(|stage| (at, stage, key)));
        }
        Ok(due)
    }
}

fn classify(path: &Path, error: &rocksdb::Error) -> Error {
    let (path, why) = (path.to_owned(), error.to_string());
    let says = |words: &str| why.to_ascii_lowercase().contains(words);
    match error.kind() {
        ErrorKind::Corruption => Error::Corrupt { path, why },
        _ if says("no space left") || says("quota exceeded") => Error::Full { path },
        ErrorKind::IOError if says("/lock:") => Error::Locked { path, why },
        _ => Error::Io { path, why },
    }
}

#[cfg(test)]
mod tests;
