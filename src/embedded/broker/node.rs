//! Everything the broker has: topics with their partitions, and the coordinator. The edges (`api/`, `net.rs`,
//! `housekeeping.rs`) act on it.
//!
//! Locks are taken in this order and never the other way round: coordinator, topics, one partition's log.

use super::coordinator::Coordinator;
use super::journal::Journal;
use super::log::Log;
use super::meta::{Entry, TopicMeta, TopicPartition};
use super::partition::Partition;
use super::settings::Settings;
use super::txn::{State, Txn};
use super::{BrokerConfig, Error, Fsync};
use kafka_protocol::error::ResponseError;
use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, RwLock};
use std::time::{SystemTime, UNIX_EPOCH};

/// The one node of the cluster.
pub const NODE_ID: i32 = 1;
const MAX_PARTITIONS: i32 = 10_000;

/// A topic as it is now; a change makes a new value that shares the partitions.
#[derive(Debug)]
pub struct Topic {
    pub meta: TopicMeta,
    pub settings: Settings,
    pub partitions: Vec<Arc<Partition>>,
}

#[derive(Debug)]
pub struct Node {
    pub config: BrokerConfig,
    pub addr: SocketAddr,
    topics: RwLock<BTreeMap<String, Arc<Topic>>>,
    coordinator: Mutex<Coordinator>,
    /// Held as long as the node lives, so that no second broker writes to the same files.
    _lock: File,
}

pub fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as i64)
}

impl Node {
    /// Opens the data directory, repairs what a crash left, and finishes the transactions that were decided.
    pub fn open(config: BrokerConfig, addr: SocketAddr) -> Result<Node, Error> {
        let lock = lock_directory(&config)?;
        let sync = config.fsync == Fsync::Always;
        let (journal, meta) = Journal::open(&config.data_dir.join("journal"), sync)?;
        let mut coordinator = Coordinator::new(journal, meta);
        if coordinator.meta().cluster_id.is_empty() {
            let id = format!("fairlead-{:x}", now());
            coordinator.record(Entry::Cluster { id }).map_err(|_| Error::Journal)?;
        }
        let node = Node { config, addr, topics: RwLock::default(), coordinator: Mutex::new(coordinator), _lock: lock };
        node.open_topics()?;
        node.resume_transactions().map_err(|_| Error::Journal)?;
        Ok(node)
    }

    fn open_topics(&self) -> Result<(), Error> {
        let coordinator = self.coordinator();
        let mut topics = BTreeMap::new();
        for (name, meta) in &coordinator.meta().topics {
            let starts =
                |partition| coordinator.meta().log_starts.get(&(name.clone(), partition)).copied().unwrap_or_default();
            topics.insert(name.clone(), Arc::new(self.open_topic(name, meta.clone(), Vec::new(), starts)?));
        }
        *self.topics.write().expect("no thread panics while it changes the topics") = topics;
        Ok(())
    }

    /// The topic with the partitions it has, and logs opened for those it lacks.
    fn open_topic(
        &self,
        name: &str,
        meta: TopicMeta,
        mut partitions: Vec<Arc<Partition>>,
        start: impl Fn(i32) -> i64,
    ) -> Result<Topic, super::log::Error> {
        let dir = self.topic_dir(name, meta.serial);
        for partition in partitions.len() as i32..meta.partitions {
            let sync = self.config.fsync == Fsync::Always;
            let log = Log::open(&dir.join(partition.to_string()), start(partition), sync)?;
            partitions.push(Arc::new(Partition::new(log)));
        }
        Ok(Topic { settings: Settings::from_configs(&meta.configs), meta, partitions })
    }

    fn topic_dir(&self, name: &str, serial: u32) -> PathBuf {
        self.config.data_dir.join("topics").join(format!("{name}@{serial}"))
    }

    pub fn coordinator(&self) -> MutexGuard<'_, Coordinator> {
        self.coordinator.lock().expect("no thread panics while it holds the coordinator")
    }

    pub fn topics(&self) -> BTreeMap<String, Arc<Topic>> {
        self.topics.read().expect("no thread panics while it changes the topics").clone()
    }

    pub fn topic(&self, name: &str) -> Result<Arc<Topic>, ResponseError> {
        let topics = self.topics.read().expect("no thread panics while it changes the topics");
        topics.get(name).cloned().ok_or(ResponseError::UnknownTopicOrPartition)
    }

    pub fn partition(&self, topic: &str, partition: i32) -> Result<(Arc<Topic>, Arc<Partition>), ResponseError> {
        let topic = self.topic(topic)?;
        let found = usize::try_from(partition).ok().and_then(|at| topic.partitions.get(at)).cloned();
        Ok((topic, found.ok_or(ResponseError::UnknownTopicOrPartition)?))
    }

    /// Host and port that clients are told.
    pub fn advertised(&self) -> (String, i32) {
        match &self.config.advertised {
            Some((host, port)) => (host.clone(), i32::from(*port)),
            None => (self.addr.ip().to_string(), i32::from(self.addr.port())),
        }
    }

    /// Creates a topic, or gives one more partitions or another configuration.
    pub fn put_topic(
        &self,
        coordinator: &mut Coordinator,
        name: &str,
        partitions: i32,
        configs: BTreeMap<String, String>,
    ) -> Result<(), ResponseError> {
        if !(1..=MAX_PARTITIONS).contains(&partitions) {
            return Err(ResponseError::InvalidPartitions);
        }
        let known = self.topic(name).ok();
        let serial = known.as_ref().map_or(coordinator.meta().next_serial, |topic| topic.meta.serial);
        let meta = TopicMeta { serial, partitions, configs };
        let open = known.map(|topic| topic.partitions.clone()).unwrap_or_default();
        let topic = self.open_topic(name, meta.clone(), open, |_| 0).map_err(|error| {
            tracing::error!(topic = name, %error, "cannot open the topic");
            ResponseError::KafkaStorageError
        })?;
        coordinator.record(Entry::Topic { name: name.to_owned(), topic: meta })?;
        let mut topics = self.topics.write().expect("no thread panics while it changes the topics");
        topics.insert(name.to_owned(), Arc::new(topic));
        Ok(())
    }

    pub fn delete_topic(&self, coordinator: &mut Coordinator, name: &str) -> Result<(), ResponseError> {
        let topic = self.topic(name)?;
        coordinator.record(Entry::TopicDeleted { name: name.to_owned() })?;
        self.topics.write().expect("no thread panics while it changes the topics").remove(name);
        topic.partitions.iter().for_each(|partition| partition.wake_all());
        let dir = self.topic_dir(name, topic.meta.serial);
        if let Err(error) = std::fs::remove_dir_all(&dir) {
            // The serial number is used up, so what is left is never read again.
            tracing::warn!(dir = %dir.display(), %error, "the deleted topic's files could not all be removed");
        }
        Ok(())
    }

    /// Adds partitions and groups to a transaction and lets its producer write there.
    pub fn extend_txn(
        &self,
        coordinator: &mut Coordinator,
        id: &str,
        partitions: &[TopicPartition],
        groups: &[String],
    ) -> Result<(), ResponseError> {
        let txn = coordinator.meta().txns.get(id).ok_or(ResponseError::InvalidProducerIdMapping)?;
        let (producer_id, epoch) = (txn.producer_id, txn.epoch);
        if let Some(txn) = txn.with(partitions, groups, now())? {
            coordinator.record(Entry::Txn { id: id.to_owned(), txn })?;
        }
        self.admit(partitions, producer_id, epoch);
        Ok(())
    }

    fn admit<'a>(&self, partitions: impl IntoIterator<Item = &'a TopicPartition>, producer_id: i64, epoch: i16) {
        for (topic, partition) in partitions {
            if let Ok((_, partition)) = self.partition(topic, *partition) {
                partition.log().admit(producer_id, epoch, now());
            }
        }
    }

    /// Carries out a decision: journals it, writes the markers, journals the end. Once it is journalled it stands: who asks while
    /// the markers cannot be written, for the disk is full, is to ask again, and the clock sees to the rest.
    pub fn end_txn(&self, coordinator: &mut Coordinator, id: &str, decided: Txn) -> Result<(), ResponseError> {
        coordinator.record(Entry::Txn { id: id.to_owned(), txn: decided.clone() })?;
        self.finish_txn(coordinator, id, &decided, false).map_err(|_| ResponseError::ConcurrentTransactions)
    }

    fn finish_txn(
        &self,
        coordinator: &mut Coordinator,
        id: &str,
        txn: &Txn,
        only_open: bool,
    ) -> Result<(), ResponseError> {
        let State::Ending { commit } = txn.state else { return Ok(()) };
        for (name, number) in &txn.partitions {
            let Ok((topic, partition)) = self.partition(name, *number) else { continue };
            if only_open && !partition.log().producers().is_open(txn.producer_id) {
                continue;
            }
            partition.end_transaction((txn.producer_id, txn.epoch), commit, &topic.settings, now())?;
        }
        coordinator.record(Entry::TxnEnded { id: id.to_owned(), commit })
    }

    /// Finishes decided transactions whose markers are not all written: after a crash, or after a full disk.
    pub fn finish_decided(&self, coordinator: &mut Coordinator) -> Result<(), ResponseError> {
        let ending = |txn: &Txn| matches!(txn.state, State::Ending { .. });
        let decided = coordinator.meta().txns.iter().filter(|(_, txn)| ending(txn));
        let decided: Vec<(String, Txn)> = decided.map(|(id, txn)| (id.clone(), txn.clone())).collect();
        decided.iter().try_for_each(|(id, txn)| self.finish_txn(coordinator, id, txn, true))
    }

    fn resume_transactions(&self) -> Result<(), ResponseError> {
        let mut coordinator = self.coordinator();
        self.finish_decided(&mut coordinator)?;
        for txn in coordinator.meta().txns.values().filter(|txn| txn.state == State::Ongoing) {
            self.admit(&txn.partitions, txn.producer_id, txn.epoch);
        }
        Ok(())
    }

    /// Forces to disk what was written since the last time.
    pub fn sync(&self) -> std::io::Result<()> {
        for topic in self.topics().values() {
            for partition in &topic.partitions {
                let files = partition.log().take_unsynced();
                files.iter().try_for_each(|file| file.sync_data())?;
            }
        }
        // Bound first, so that the lock is free while the disk works.
        let journal = self.coordinator().journal().file();
        journal.sync_data()
    }
}

fn lock_directory(config: &BrokerConfig) -> Result<File, Error> {
    let io = |source| Error::DataDir { path: config.data_dir.clone(), source };
    std::fs::create_dir_all(config.data_dir.join("topics")).map_err(io)?;
    let lock = File::create(config.data_dir.join("lock")).map_err(io)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(Error::InUse { path: config.data_dir.clone() }),
        Err(TryLockError::Error(error)) => Err(io(error)),
    }
}
