//! Every offset of a flow, both ways, at hand in every process: a thread follows the topic of ranges and keeps them in a store.
//!
//! ```text
//! migration.mirror-offsets.v1 ─► follower ─► store (RocksDB) ◄─ translate: commands, HTTP, groups
//!                                   └──── how far ─► settle      ◄─ copies: a mirror of the opposite direction, before it copies
//! ```
//! Invariants: the topic is the truth, the store a cache that catches up; one that does not fit is made anew. An answer is given from
//! what was read of the topic so far, which is a prefix: it may be "not that far", never wrong. Whoever must know that nothing is
//! missing asks [`Offsets::settle`] first: it takes the *true* ends of the topic, not the readable ones. For a transaction becomes readable
//! partition by partition, so that a copy can be read a moment before the range that was written with it; but both were written before
//! either can be read, and the follower does not pass an open transaction.
//! Not here: how a position is decided (`ranges.rs`).
#![allow(clippy::disallowed_methods, clippy::disallowed_types)] // threads that wait, beside modules that must not

pub mod answer;
mod follower;
pub mod native;
pub mod recorded;
pub mod store;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use thiserror::Error;

use crate::clock::Clock;
use crate::codec::Formats;
use crate::log;
use crate::log::client::Connection;
use crate::log::kafka::KafkaReader;
use crate::mirror::ranges::encoding::Side;
use crate::mirror::ranges::{Head, Near};
use crate::record::{Offset, Partition, Topic, TopicPartition};
use crate::runtime::SchemaSource;
use crate::runtime::store::Memory;
use answer::Answer;
use store::{Identity, Known, Store};

/// Full name of the fact's schema.
const RANGE: &str = "fairlead.migration.MirrorRange";

pub struct OffsetsConfig {
    pub flow: String,
    /// The cluster that the flow writes to, where the topic lies.
    pub connection: Connection,
    /// Only a name, for quotas and access rules.
    pub group: String,
    pub topic: Topic,
    /// Of the topic, where the cluster tells one: under another the store is made anew.
    pub topic_id: Option<String>,
    /// Of this flow's store alone.
    pub path: PathBuf,
    pub memory: Memory,
    pub formats: Formats,
    pub schemas: SchemaSource,
    pub clock: Clock,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Unknown {
    /// Nothing is known of this partition, or there is none.
    #[error("{0}")]
    NotThere(String),
    /// The topic holds what cannot be: the ranges of this partition are not to be trusted.
    #[error("{0}")]
    Broken(String),
    /// It may be known in a moment.
    #[error("{0}")]
    NotYet(String),
}

impl From<crate::runtime::store::Error> for Unknown {
    fn from(error: crate::runtime::store::Error) -> Self {
        Self::NotYet(error.to_string())
    }
}

/// A follower and its store. It ends when this is dropped.
pub struct Offsets {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    /// For the true ends.
    reader: Mutex<Option<KafkaReader>>,
}

struct Shared {
    flow: String,
    connection: Connection,
    group: String,
    topic: Topic,
    store: Store,
    stop: AtomicBool,
    clock: Clock,
    progress: Mutex<Progress>,
    moved: Condvar,
}

#[derive(Default)]
struct Progress {
    /// Of the topic's partitions, what is read next; empty until the first look.
    next: BTreeMap<Partition, Offset>,
    /// The topic was read to what was its end when it was first looked at.
    is_read: bool,
    failed: Option<String>,
}

impl Offsets {
    pub fn start(config: OffsetsConfig) -> Result<Self, crate::runtime::store::Error> {
        let OffsetsConfig { flow, connection, group, topic, topic_id, path, memory, formats, schemas, clock } = config;
        let identity = Identity { flow: flow.clone(), topic: topic.to_string(), topic_id };
        let store = Store::open(&path, &identity, &memory)?;
        let (stop, progress, moved) = Default::default();
        let shared = Shared { flow, connection, group, topic, store, stop, clock, progress, moved };
        let shared = Arc::new(shared);
        let follower = follower::Follower::new(Arc::clone(&shared), formats, schemas);
        let thread = std::thread::Builder::new().name("mirror-offsets".to_owned()).spawn(move || follower.run());
        let thread = thread.map_err(|error| crate::runtime::store::Error::io(&path, &error))?;
        Ok(Self { shared, thread: Some(thread), reader: Mutex::default() })
    }

    pub fn flow(&self) -> &str {
        &self.shared.flow
    }

    /// Why what is known is not all, or no longer. `None`: the topic is followed.
    pub fn problem(&self) -> Option<String> {
        let progress = self.shared.progress();
        let unread = || (!progress.is_read).then(|| format!("the ranges of {} are being read", self.shared.flow));
        progress.failed.clone().or_else(unread)
    }

    /// What a position on the source is on the target.
    pub fn translate(&self, topic: &str, partition: i32, place: i64) -> Result<Answer, Unknown> {
        let Known { head, .. } = self.known(topic, partition)?;
        let near = self.near_source(&head, place)?;
        Ok(Answer::forward(self.flow(), &head, place, head.translate(&near, place)))
    }

    /// What a position on the target is on the source.
    pub fn back(&self, topic: &str, partition: i32, place: i64) -> Result<Answer, Unknown> {
        let mut known = self.shared.store.known_of_target(topic, partition);
        let (Some(Known { head, problem }), true) = (known.pop(), known.is_empty()) else {
            return Err(self.no_way_back(topic, partition));
        };
        if let Some(problem) = problem {
            return Err(Unknown::Broken(problem));
        }
        if head.last.is_none_or(|last| last.target_end() < place) {
            self.settle(answer::PATIENCE)?;
        }
        let near = self.near_target(&head, place)?;
        Ok(Answer::back(self.flow(), &head, place, head.back(&near, place)))
    }

    fn no_way_back(&self, topic: &str, partition: i32) -> Unknown {
        let sources = self.shared.store.known_of_target(topic, partition);
        if sources.len() < 2 {
            return self.not_there("no copies are known on", topic, partition);
        }
        Unknown::NotThere(format!("{} partitions become {topic}/{partition}: there is no one way back", sources.len()))
    }

    /// All that is known of a source partition, unless it is not to be trusted.
    pub fn known(&self, topic: &str, partition: i32) -> Result<Known, Unknown> {
        match self.shared.store.known(topic, partition) {
            Some(Known { problem: Some(problem), .. }) => Err(Unknown::Broken(problem)),
            Some(known) => Ok(known),
            None => Err(self.not_there("nothing is known of", topic, partition)),
        }
    }

    /// Of the source partitions that are copied to this one.
    pub fn known_of_target(&self, topic: &str, partition: i32) -> Vec<Known> {
        self.shared.store.known_of_target(topic, partition)
    }

    /// Of all source partitions, sound or not.
    pub fn all_known(&self) -> Vec<Known> {
        self.shared.store.all_known()
    }

    fn not_there(&self, what: &str, topic: &str, partition: i32) -> Unknown {
        match self.problem() {
            Some(problem) => Unknown::NotYet(problem),
            None => Unknown::NotThere(format!("{what} {topic}/{partition} in the flow {}", self.shared.flow)),
        }
    }

    pub fn near_source(&self, head: &Head, place: i64) -> Result<Near, Unknown> {
        Ok(self.shared.store.near(Side::Source, &head.source_topic, head.source_partition, place)?)
    }

    pub fn near_target(&self, head: &Head, place: i64) -> Result<Near, Unknown> {
        Ok(self.shared.store.near(Side::Target, &head.target_topic, head.target_partition, place)?)
    }

    /// Runs `(first, end)` of offsets in `from..to` of a partition on the *target* that are copies; every other record there is
    /// native. Waits until that is certain, but not longer than `patience`.
    pub fn copies(
        &self,
        topic: &str,
        partition: i32,
        (from, to): (i64, i64),
        patience: Duration,
    ) -> Result<Vec<(i64, i64)>, Unknown> {
        let known = self.known_of_target(topic, partition);
        let is_certain = |known: &Known| known.head.last.is_some_and(|last| last.target_end() >= to);
        // Copies of one source partition come in order; of several, a range of the others may still be on its way.
        if known.len() != 1 || !known.iter().all(is_certain) {
            self.settle(patience)?;
        }
        let known = self.known_of_target(topic, partition);
        if let Some(problem) = known.into_iter().find_map(|known| known.problem) {
            return Err(Unknown::Broken(problem));
        }
        Ok(self.shared.store.copies(topic, partition, from, to)?)
    }

    /// Waits until every range is known that was written before this was called: among them those of all copies that anybody can
    /// have read by now.
    pub fn settle(&self, patience: Duration) -> Result<(), Unknown> {
        let until = Instant::now() + patience;
        // Before the first look at the topic nobody knows its partitions.
        drop(self.wait(until, |progress| !progress.next.is_empty())?);
        let ends = self.true_ends().map_err(|error| Unknown::NotYet(error.to_string()))?;
        let reached = |progress: &Progress| {
            ends.iter().all(|(partition, end)| progress.next.get(partition).is_some_and(|next| next >= end))
        };
        self.wait(until, reached).map(drop)
    }

    fn wait(&self, until: Instant, is_met: impl Fn(&Progress) -> bool) -> Result<MutexGuard<'_, Progress>, Unknown> {
        let mut progress = self.shared.progress();
        while !is_met(&progress) {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let failed = progress.failed.clone();
                let why = failed.unwrap_or_else(|| format!("ranges of {} are still being read", self.shared.flow));
                return Err(Unknown::NotYet(why));
            }
            let waited = self.shared.moved.wait_timeout(progress, left);
            progress = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        Ok(progress)
    }

    fn true_ends(&self) -> Result<Vec<(Partition, Offset)>, log::Error> {
        let Shared { connection, group, topic, .. } = &*self.shared;
        let numbers: Vec<Partition> = self.shared.progress().next.keys().copied().collect();
        let partitions: Vec<_> = numbers.iter().map(|number| TopicPartition::new(topic, *number)).collect();
        let mut reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        let reader = match &mut *reader {
            Some(reader) => reader,
            none => none.insert(KafkaReader::new(connection, group)?),
        };
        Ok(numbers.into_iter().zip(reader.true_ends(&partitions)?).collect())
    }

    /// The store, for what a look at the target finds out.
    pub fn store(&self) -> &Store {
        &self.shared.store
    }
}

impl Drop for Offsets {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread that follows a mirror's ranges has panicked");
        }
    }
}

impl Shared {
    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
