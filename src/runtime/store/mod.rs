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

use super::commit::LAST_COMMIT;
use super::failpoint;
use super::task::{CommitRecord, LastCommit};
use crate::record::{Batch, EventTime, Offset, TopicPartition};
use crate::runtime;
use crate::topology::engine::{Effects, StageIndex, StateError, StateView, Timer, Woken};
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
    /// The earliest note in the index of deadlines. Looked for from the last one on, so that removed ones are not walked over
    /// twice.
    first_timer: Option<EventTime>,
}

/// Entries of one write while all states are gone through: a bound on memory.
const PIECE: usize = 20_000;

/// Of a state and its note in the index of deadlines: what stands in a batch and in its keys beside key and value.
const ENTRY_BYTES: usize = 48;

type KeyValue = (Box<[u8]>, Box<[u8]>);

/// Where a store stands after a commit.
pub struct Standing<'a> {
    pub last: LastCommit,
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
            None => Meta::of_a_new_store(),
        };
        if meta.layout != layout::VERSION {
            let why = format!("its layout is version {}, this fairlead's is {}", meta.layout, layout::VERSION);
            return Err(Error::Corrupt { path: path.to_owned(), why });
        }
        let mut store =
            Self { db, path: path.to_owned(), stages: stages.to_vec(), slots: Vec::new(), meta, first_timer: None };
        let gone = store.meta.gone(stages);
        if !gone.is_empty() {
            // Before they are forgotten: their slots are given to others.
            store.remove(&gone)?;
            store.meta.retain(stages);
        }
        store.slots = stages.iter().map(|stage| store.meta.slot(stage)).collect();
        store.write(WriteBatch::default())?;
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
    pub fn apply(&mut self, effects: &Effects, standing: &Standing<'_>) -> Result<(), Error> {
        let mut batch = WriteBatch::with_capacity_bytes(effects.changes.iter().map(|(_, change)| room(change)).sum());
        let mut first = self.first_timer;
        let mut note = |at: EventTime, stage: StageIndex, key: &[u8], batch: &mut WriteBatch| {
            batch.put(layout::timer(at, self.slots[stage], key), b"");
            first = first.into_iter().chain([at]).min();
        };
        for Woken { timer: (at, stage, key), .. } in &effects.woken {
            batch.delete(layout::timer(*at, self.slots[*stage], key));
        }
        for Woken { timer: (_, stage, key), deadline } in &effects.woken {
            deadline.iter().for_each(|at| note(*at, *stage, key, &mut batch));
        }
        for (stage, change) in &effects.changes {
            let key = layout::state(self.slots[*stage], &change.key);
            match &change.state {
                Some(state) => batch.put(key, state),
                None => batch.delete(key),
            }
            change.wakes_at.iter().for_each(|at| note(*at, *stage, &change.key, &mut batch));
        }
        self.settle(standing);
        self.write(batch)?;
        let first_is_gone = effects.woken.iter().any(|woken| Some(woken.timer.0) == self.first_timer);
        self.first_timer = if first_is_gone { self.first_timer_after(first)? } else { first };
        Ok(())
    }

    /// From here on the store stands nowhere, until [`Store::finish_restore`].
    pub fn begin_restore(&mut self) -> Result<(), Error> {
        self.meta.commit_read = self.meta.commit_record().or(self.meta.commit_read.take());
        self.meta.sequence = UNSETTLED;
        self.write(WriteBatch::default())
    }

    /// Takes a piece of a stage's changelog in, with the deadlines in it. What older states asked for stays noted: it wakes a
    /// key too early, no more.
    pub fn restore(
        &mut self,
        stage: StageIndex,
        piece: &Batch,
        mut deadline: impl FnMut(StageIndex, &[u8]) -> Result<Option<EventTime>, runtime::Error>,
        position: Offset,
    ) -> Result<(), runtime::Error> {
        let mut batch = WriteBatch::default();
        let (slot, mut first) = (self.slots[stage], self.first_timer);
        for record in piece.iter() {
            let (Some(key), Some(state)) = (record.key, record.value) else { continue };
            if key == LAST_COMMIT {
                continue;
            }
            if let Some(at) = deadline(stage, state)? {
                batch.put(layout::timer(at, slot, key), b"");
                first = first.into_iter().chain([at]).min();
            }
        }
        self.fill_with(stage, piece, position, batch)?;
        self.first_timer = first;
        Ok(())
    }

    /// Whether the timers are those of the states. An empty store has none, and is filled without: they are built once, in the end.
    pub fn has_timers(&self) -> bool {
        !self.meta.topology.is_empty()
    }

    /// Takes a piece of a stage's changelog in, without timers.
    pub fn fill(&mut self, stage: StageIndex, piece: &Batch, position: Offset) -> Result<(), Error> {
        self.fill_with(stage, piece, position, WriteBatch::default())
    }

    fn fill_with(
        &mut self,
        stage: StageIndex,
        piece: &Batch,
        position: Offset,
        mut batch: WriteBatch,
    ) -> Result<(), Error> {
        failpoint::store("restore", &self.path)?;
        for record in piece.iter() {
            let Some(key) = record.key else { continue };
            if key == LAST_COMMIT {
                self.meta.commit_read = Some(self.parse_last_commit(record.value.unwrap_or_default())?);
                continue;
            }
            let key = layout::state(self.slots[stage], key);
            match record.value {
                Some(state) => batch.put(key, state),
                None => batch.delete(key),
            }
        }
        self.note_changelog(stage, position);
        self.write(batch)
    }

    /// To take an unreadable one for none would be to go on from an old commit without a word.
    fn parse_last_commit(&self, json: &[u8]) -> Result<CommitRecord, Error> {
        serde_json::from_slice(json).map_err(|error| {
            let why = format!("its changelog's record of the last commit cannot be read: {error}");
            Error::Io { path: self.path.clone(), why }
        })
    }

    /// The store is what was committed; a flush, so that a crash does not repeat the restore.
    pub fn finish_restore(&mut self, standing: &Standing<'_>) -> Result<(), Error> {
        self.meta.commit_read = None;
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
        self.go_through(|slot, stage, key, state, batch| {
            let Some(at) = stage.map(|stage| deadline(stage, state)).transpose()?.flatten() else { return Ok(()) };
            batch.put(layout::timer(at, slot, key), b"");
            first = first.into_iter().chain([at]).min();
            Ok::<_, runtime::Error>(())
        })?;
        topology.clone_into(&mut self.meta.topology);
        self.write(WriteBatch::default())?;
        self.first_timer = first;
        Ok(())
    }

    fn remove(&mut self, gone: &[Slot]) -> Result<(), Error> {
        self.go_through(|slot, _, key, _, batch| {
            if gone.contains(&slot) {
                batch.delete(layout::state(slot, key));
            }
            Ok(())
        })
    }

    /// Visits every state, and writes piece by piece what the visitor puts into the batch.
    fn go_through<E: From<Error>>(
        &mut self,
        mut visit: impl FnMut(Slot, Option<StageIndex>, &[u8], &[u8], &mut WriteBatch) -> Result<(), E>,
    ) -> Result<(), E> {
        let (from, to) = layout::states();
        let mut rest = Some(from);
        while let Some(from) = rest.take() {
            let mut batch = WriteBatch::default();
            for state in self.range((from, to.clone())) {
                let (bytes, state) = state?;
                if batch.len() >= PIECE {
                    rest = Some(bytes.into_vec());
                    break;
                }
                let Some((slot, key)) = layout::parse_state(&bytes) else { continue };
                visit(slot, self.stage_of(slot), key, &state, &mut batch)?;
            }
            self.write(batch)?;
        }
        Ok(())
    }

    /// Every state, in the order of keys.
    pub fn states(&self) -> impl Iterator<Item = Result<(StageIndex, Key, Vec<u8>), Error>> {
        self.range(layout::states()).filter_map(|state| {
            let parse = |(bytes, state): KeyValue| {
                let (slot, key) = layout::parse_state(&bytes)?;
                Some((self.stage_of(slot)?, key.to_vec(), state.into_vec()))
            };
            state.map(parse).transpose()
        })
    }

    fn stage_of(&self, slot: Slot) -> Option<StageIndex> {
        self.slots.iter().position(|known| *known == slot)
    }

    fn settle(&mut self, standing: &Standing<'_>) {
        self.meta.set_last(standing.last);
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
    fn get_many(&self, keys: &[(&[u8], StageIndex)]) -> Result<Vec<Option<Vec<u8>>>, StateError> {
        let keys: Vec<_> = keys.iter().map(|(key, stage)| layout::state(self.slots[*stage], key)).collect();
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
            due.extend(self.stage_of(slot).map(|stage| (at, stage, key)));
        }
        Ok(due)
    }
}

/// Of a change in a batch, at most: a batch that grows is copied into ever larger fresh pages.
fn room(change: &StateChange) -> usize {
    ENTRY_BYTES + change.key.len() * 2 + change.state.as_ref().map_or(0, Vec::len)
}

/// Which of the errors it is, that RocksDB tells in words.
pub fn classify(path: &Path, error: &rocksdb::Error) -> Error {
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
