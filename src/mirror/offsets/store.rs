//! The map of one flow on disk: one RocksDB, a cache of the offsets topic.
//!
//! ```text
//! m                                   what this store is of
//! p <partition of the offsets topic>  the next fact to be read
//! h <source topic, partition>         where its knowledge begins and ends, or what is wrong with it
//! s <source topic, partition, offset> a span                               ranges::encoding
//! t <target topic, partition, offset> the same, seen from there
//! u <target topic, partition, offset> offsets that no range accounts for; with what was found there once somebody has looked
//! ```
//! Invariants: spans, heads and positions of one piece of the topic lie in one [`WriteBatch`], in one column family, so what survives
//! a crash is what the topic says up to the position, and the rest is read again. A store that does not fit the topic is wiped: see
//! [`Store::open`]. Not here: Kafka.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use rocksdb::{DB, ReadOptions, WriteBatch, WriteOptions};
use serde::{Deserialize, Serialize};

use crate::event::MirrorRange;
use crate::mirror::ranges::encoding::{self, Side, prefix};
use crate::mirror::ranges::{Head, Near, Span, Unexplained};
use crate::record::{Offset, Partition};
use crate::runtime::store::{Error, Memory, classify};

const META: &[u8] = b"m";
const LAYOUT: u32 = 1;

/// What a store is of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    pub flow: String,
    pub topic: String,
    /// Of the offsets topic, where the cluster tells one.
    pub topic_id: Option<String>,
}

#[derive(Serialize, Deserialize, PartialEq, Eq)]
struct Meta {
    layout: u32,
    of: Identity,
}

/// What is known of one source partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    pub head: Head,
    /// A fact that does not go on from the ones before. From then on nothing is taken in and nothing answered.
    pub problem: Option<String>,
}

/// By topic and number.
pub type Place = (String, i32);

pub struct Store {
    db: DB,
    path: PathBuf,
    /// As in the database, or a moment behind.
    index: RwLock<Index>,
}

#[derive(Default)]
struct Index {
    by_source: BTreeMap<Place, Known>,
    /// The source partitions that are copied there; more than one where a flow merges.
    by_target: BTreeMap<Place, Vec<Place>>,
}

/// Key and value.
type Entry = (Box<[u8]>, Box<[u8]>);

impl Index {
    fn put(&mut self, place: Place, known: Known) {
        let target = (known.head.target_topic.clone(), known.head.target_partition);
        let sources = self.by_target.entry(target).or_default();
        if !sources.contains(&place) {
            sources.push(place.clone());
        }
        self.by_source.insert(place, known);
    }
}

impl Store {
    /// Opens the store, or makes an empty one where there is none, or one of another topic, or a damaged one.
    pub fn open(path: &Path, of: &Identity, memory: &Memory) -> Result<Self, Error> {
        let meta = Meta { layout: LAYOUT, of: of.clone() };
        match Self::open_as_it_is(path, memory) {
            Ok(store) if store.meta()?.is_none_or(|found| found == meta) => return store.with(&meta),
            Ok(_) => {
                tracing::warn!(path = %path.display(), "the store of offsets is of another topic: it is made anew")
            }
            Err(error @ (Error::Locked { .. } | Error::Full { .. })) => return Err(error),
            Err(error) => tracing::error!(%error, "the store of offsets is damaged: it is made anew from its topic"),
        }
        Self::wipe(path)?;
        Self::open_as_it_is(path, memory)?.with(&meta)
    }

    fn wipe(path: &Path) -> Result<(), Error> {
        match std::fs::remove_dir_all(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::io(path, &error)),
            _ => Ok(()),
        }
    }

    fn open_as_it_is(path: &Path, memory: &Memory) -> Result<Self, Error> {
        std::fs::create_dir_all(path).map_err(|error| Error::io(path, &error))?;
        let db = DB::open(&memory.options(), path).map_err(|error| classify(path, &error))?;
        let mut store = Self { db, path: path.to_owned(), index: RwLock::default() };
        let mut index = Index::default();
        for (_, value) in store.all(b"h")? {
            let read: Known = serde_json::from_slice(&value).map_err(|error| store.damaged(&error.to_string()))?;
            index.put((read.head.source_topic.clone(), read.head.source_partition), read);
        }
        store.index = RwLock::new(index);
        Ok(store)
    }

    fn with(self, meta: &Meta) -> Result<Self, Error> {
        let mut batch = WriteBatch::default();
        batch.put(META, json(meta));
        self.write(batch)?;
        Ok(self)
    }

    fn meta(&self) -> Result<Option<Meta>, Error> {
        let found = self.db.get(META).map_err(|error| classify(&self.path, &error))?;
        // One that cannot be read is of another fairlead.
        Ok(found.map(|found| {
            let nobody = Identity { flow: String::new(), topic: String::new(), topic_id: None };
            serde_json::from_slice(&found).unwrap_or(Meta { layout: 0, of: nobody })
        }))
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The next fact to be read of a partition of the offsets topic.
    pub fn position(&self, partition: Partition) -> Result<Option<Offset>, Error> {
        let found = self.db.get(position_key(partition)).map_err(|error| classify(&self.path, &error))?;
        let read = |bytes: Vec<u8>| {
            let bytes: [u8; 8] = bytes.try_into().map_err(|_| self.damaged("a position"))?;
            Ok(Offset(i64::from_be_bytes(bytes)))
        };
        found.map(read).transpose()
    }

    /// Takes in what was read of the topic, up to `positions`.
    pub fn apply(
        &self,
        facts: &[MirrorRange],
        positions: impl Iterator<Item = (Partition, Offset)>,
    ) -> Result<(), Error> {
        let (mut batch, mut touched) = (WriteBatch::default(), BTreeMap::<Place, Known>::new());
        for fact in facts {
            let place = (fact.source_topic.clone(), fact.source_partition);
            let known = match touched.entry(place) {
                std::collections::btree_map::Entry::Occupied(known) => known.into_mut(),
                std::collections::btree_map::Entry::Vacant(free) => {
                    let known = self.known(&fact.source_topic, fact.source_partition);
                    free.insert(known.unwrap_or_else(|| Known { head: Head::of(fact), problem: None }))
                }
            };
            if known.problem.is_some() {
                continue;
            }
            match known.head.append(fact) {
                Ok(added) => {
                    let added = added.unwrap_or_default();
                    added.spans.iter().for_each(|span| put_span(&mut batch, &known.head, span));
                    added.unexplained.iter().for_each(|gap| put_unexplained(&mut batch, &known.head, gap, None));
                }
                Err(refused) => {
                    tracing::error!("offsets are not known any more: {refused}");
                    known.problem = Some(refused.to_string());
                }
            }
        }
        for ((topic, partition), known) in &touched {
            batch.put(head_key(topic, *partition), json(known));
        }
        for (partition, next) in positions {
            batch.put(position_key(partition), next.0.to_be_bytes());
        }
        self.write(batch)?;
        let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
        touched.into_iter().for_each(|(place, known)| index.put(place, known));
        Ok(())
    }

    pub fn known(&self, topic: &str, partition: i32) -> Option<Known> {
        self.index().by_source.get(&(topic.to_owned(), partition)).cloned()
    }

    /// Of the source partitions that are copied to this one.
    pub fn known_of_target(&self, topic: &str, partition: i32) -> Vec<Known> {
        let index = self.index();
        let sources = index.by_target.get(&(topic.to_owned(), partition));
        sources.into_iter().flatten().filter_map(|source| index.by_source.get(source).cloned()).collect()
    }

    /// Of all source partitions.
    pub fn all_known(&self) -> Vec<Known> {
        self.index().by_source.values().cloned().collect()
    }

    fn index(&self) -> RwLockReadGuard<'_, Index> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets all: it stands where the topic is not.
    pub fn clear(&self) -> Result<(), Error> {
        let mut batch = WriteBatch::default();
        for tag in b"hpstu" {
            batch.delete_range([*tag], [*tag + 1]);
        }
        self.write(batch)?;
        *self.index.write().unwrap_or_else(PoisonError::into_inner) = Index::default();
        Ok(())
    }

    /// What lies around an offset, seen from its side.
    pub fn near(&self, side: Side, topic: &str, partition: i32, place: i64) -> Result<Near, Error> {
        let prefix = prefix(side, topic, partition);
        let at = encoding::key(prefix.clone(), place);
        let mut found = self.db.raw_iterator();
        found.seek(&at);
        let above = self.span_at(&found, &prefix)?;
        match found.valid() {
            true => found.prev(),
            false => {
                found.status().map_err(|error| classify(&self.path, &error))?;
                found.seek_for_prev(&at);
            }
        }
        Ok(Near { below: self.span_at(&found, &prefix)?, above })
    }

    /// Runs of copies in `from..to` on the target, in order.
    pub fn copies(&self, topic: &str, partition: i32, from: i64, to: i64) -> Result<Vec<(i64, i64)>, Error> {
        let prefix = prefix(Side::Target, topic, partition);
        let near = self.near(Side::Target, topic, partition, from)?;
        let mut runs: Vec<(i64, i64)> = Vec::new();
        let mut found = self.db.raw_iterator();
        found.seek(encoding::key(prefix.clone(), near.below.map_or(from, |below| below.source)));
        while let Some(span) = self.span_at(&found, &prefix)? {
            if span.source >= to {
                break;
            }
            let (start, end) = (span.source.max(from), span.source_end().min(to));
            match runs.last_mut() {
                Some(last) if last.1 == start => last.1 = end,
                _ if start < end => runs.push((start, end)),
                _ => {}
            }
            found.next();
        }
        Ok(runs)
    }

    /// Offsets of the target before `to` that no range accounts for, up to those where somebody has found a native record: with the
    /// first one there.
    pub fn unexplained(&self, topic: &str, partition: i32, to: i64) -> Result<Vec<(Unexplained, Option<i64>)>, Error> {
        let prefix = unexplained_prefix(topic, partition);
        let mut gaps = Vec::new();
        for (key, value) in self.all(&prefix)? {
            let number = |bytes: &[u8]| bytes.first_chunk().map(|bytes| i64::from_be_bytes(*bytes));
            let from = number(&key[prefix.len()..]).ok_or_else(|| self.damaged("a gap"))?;
            let end = number(&value).ok_or_else(|| self.damaged("a gap"))?;
            if from >= to {
                break;
            }
            let native = number(&value[8..]);
            gaps.push((Unexplained { from, to: end }, native));
            // What comes after it changes nothing any more.
            if native.is_some() {
                break;
            }
        }
        Ok(gaps)
    }

    /// Somebody has looked: there is no record, or the first is at `native`.
    pub fn explain(&self, head: &Head, gap: &Unexplained, native: Option<i64>) -> Result<(), Error> {
        let mut batch = WriteBatch::default();
        match native {
            Some(_) => put_unexplained(&mut batch, head, gap, native),
            None => {
                let prefix = unexplained_prefix(&head.target_topic, head.target_partition);
                batch.delete(encoding::key(prefix, gap.from));
            }
        }
        self.write(batch)
    }

    /// Forgets spans of which neither records nor copies are kept, for the sides begin at these offsets.
    pub fn prune(&self, head: &Head, source_low: i64, target_low: i64) -> Result<(), Error> {
        let sources = prefix(Side::Source, &head.source_topic, head.source_partition);
        let targets = prefix(Side::Target, &head.target_topic, head.target_partition);
        let is_gone = |span: &Span| span.source_end() <= source_low && span.target_end() <= target_low;
        let (mut batch, mut found, mut end) = (WriteBatch::default(), self.db.raw_iterator(), 0);
        found.seek(&sources);
        while let Some(span) = self.span_at(&found, &sources)?.filter(is_gone) {
            batch.delete(encoding::key(sources.clone(), span.source));
            batch.delete(encoding::key(targets.clone(), span.target));
            end = span.target_end();
            found.next();
        }
        let gaps = unexplained_prefix(&head.target_topic, head.target_partition);
        batch.delete_range(encoding::key(gaps.clone(), 0), encoding::key(gaps, end));
        self.write(batch)
    }

    fn span_at(
        &self,
        found: &rocksdb::DBRawIteratorWithThreadMode<'_, DB>,
        prefix: &[u8],
    ) -> Result<Option<Span>, Error> {
        match found.item() {
            Some((key, value)) if key.starts_with(prefix) => {
                Ok(Some(encoding::span(key, value).ok_or_else(|| self.damaged("a span"))?))
            }
            Some(_) => Ok(None),
            None => found.status().map(|()| None).map_err(|error| classify(&self.path, &error)),
        }
    }

    fn all(&self, prefix: &[u8]) -> Result<Vec<Entry>, Error> {
        let mut options = ReadOptions::default();
        options.set_iterate_range(rocksdb::PrefixRange(prefix));
        let found = self.db.iterator_opt(rocksdb::IteratorMode::Start, options);
        found.collect::<Result<_, _>>().map_err(|error| classify(&self.path, &error))
    }

    fn write(&self, batch: WriteBatch) -> Result<(), Error> {
        let mut options = WriteOptions::default();
        // The topic is that log.
        options.disable_wal(true);
        self.db.write_opt(batch, &options).map_err(|error| classify(&self.path, &error))
    }

    fn damaged(&self, what: &str) -> Error {
        Error::Corrupt { path: self.path.clone(), why: format!("{what} cannot be read") }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        if let Err(error) = self.db.flush() {
            tracing::warn!(%error, "the store of offsets is not flushed: the next start reads more of its topic");
        }
    }
}

fn put_span(batch: &mut WriteBatch, head: &Head, span: &Span) {
    let source = prefix(Side::Source, &head.source_topic, head.source_partition);
    batch.put(encoding::key(source, span.source), encoding::value(span));
    let (target, back) = (prefix(Side::Target, &head.target_topic, head.target_partition), span.swapped());
    batch.put(encoding::key(target, back.source), encoding::value(&back));
}

fn put_unexplained(batch: &mut WriteBatch, head: &Head, gap: &Unexplained, native: Option<i64>) {
    let key = encoding::key(unexplained_prefix(&head.target_topic, head.target_partition), gap.from);
    let mut value = gap.to.to_be_bytes().to_vec();
    value.extend(native.into_iter().flat_map(i64::to_be_bytes));
    batch.put(key, value);
}

fn unexplained_prefix(topic: &str, partition: i32) -> Vec<u8> {
    let mut key = prefix(Side::Target, topic, partition);
    key[0] = b'u';
    key
}

fn head_key(topic: &str, partition: i32) -> Vec<u8> {
    let mut key = prefix(Side::Source, topic, partition);
    key[0] = b'h';
    key
}

fn position_key(partition: Partition) -> [u8; 5] {
    let [a, b, c, d] = partition.0.to_be_bytes();
    [b'p', a, b, c, d]
}

fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("these have only strings for keys")
}

#[cfg(test)]
mod tests;
