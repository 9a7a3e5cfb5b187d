//! Everything the broker has: topics with their partitions, and the coordinator. The edges (`api/`, `net.rs`,
//! `housekeeping.rs`) act on it.
//!
//! Locks are taken in this order and never the other way round: coordinator, topics, one partition's log.

use super::Outcome;
use super::coordinator::Coordinator;
use super::log::Log;
use super::meta::{Entry, Meta, TopicMeta, TopicPartition};
use super::outage::Outage;
use super::partition::Partition;
use super::settings::{Configs, Settings};
use super::txn::{State, Txn};
use super::{BrokerConfig, Error};
use kafka_protocol::error::ResponseError;
use parking_lot::{Mutex, MutexGuard, RwLock};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// The one node of the cluster.
pub const NODE_ID: i32 = 1;
/// In all topics. Each has a file open as long as the broker runs; whoever needs more has outgrown one node.
const MAX_PARTITIONS: i32 = 4_000;

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
    /// Markers of decided transactions that cannot be written.
    held_back: Mutex<Outage>,
}

pub fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as i64)
}

impl Node {
    /// Opens the data directory, repairs what a crash left, and finishes the transactions that were decided.
    pub fn open(config: BrokerConfig, addr: SocketAddr) -> Result<Node, Error> {
        let coordinator = Coordinator::open(&config.data_dir)?;
        let (topics, held_back) = (RwLock::default(), Mutex::default());
        let node = Node { config, addr, topics, coordinator: Mutex::new(coordinator), held_back };
        node.resume()?;
        Ok(node)
    }

    fn resume(&self) -> Result<(), Error> {
        let mut coordinator = self.coordinator();
        let meta = coordinator.meta();
        for (name, topic) in &meta.topics {
            let opened = self.open_topic(meta, name, topic.clone(), &[])?;
            self.topics.write().insert(name.clone(), Arc::new(opened));
        }
        for txn in meta.txns.values().filter(|txn| txn.state == State::Ongoing) {
            self.admit(&txn.partitions, txn.producer_id, txn.epoch);
        }
        if meta.cluster_id.is_empty() {
            // Where even this cannot be written, the next start names the cluster.
            let _ = coordinator.record(Entry::Cluster { id: format!("fairlead-{:x}", now()) });
        }
        self.finish_decided(&mut coordinator);
        Ok(())
    }

    /// The topic with the partitions that are open, and logs opened for those it lacks.
    fn open_topic(&self, all: &Meta, name: &str, meta: TopicMeta, open: &[Arc<Partition>]) -> Result<Topic, Error> {
        let (dir, mut partitions) = (self.topic_dir(name, meta.serial), open.to_vec());
        for number in partitions.len() as i32..meta.partitions {
            let start = all.log_starts.get(&(name.to_owned(), number)).copied().unwrap_or_default();
            partitions.push(Arc::new(Partition::new(Log::open(&dir.join(number.to_string()), start)?)));
        }
        Ok(Topic { settings: Settings::from_configs(&meta.configs), meta, partitions })
    }

    fn topic_dir(&self, name: &str, serial: u32) -> PathBuf {
        self.config.data_dir.join("topics").join(format!("{name}@{serial}"))
    }

    pub fn coordinator(&self) -> MutexGuard<'_, Coordinator> {
        self.coordinator.lock()
    }

    pub fn topics(&self) -> BTreeMap<String, Arc<Topic>> {
        self.topics.read().clone()
    }

    pub fn topic(&self, name: &str) -> Outcome<Arc<Topic>> {
        self.topics.read().get(name).cloned().ok_or(ResponseError::UnknownTopicOrPartition)
    }

    pub fn partition(&self, topic: &str, partition: i32) -> Outcome<(Arc<Topic>, Arc<Partition>)> {
        let topic = self.topic(topic)?;
        let found = usize::try_from(partition).ok().and_then(|at| topic.partitions.get(at)).cloned();
        Ok((topic, found.ok_or(ResponseError::UnknownTopicOrPartition)?))
    }

    /// Creates a topic, or gives one more partitions or another configuration.
    pub fn put_topic(&self, coordinator: &mut Coordinator, name: &str, partitions: i32, configs: Configs) -> Outcome {
        let known = self.topic(name).ok();
        let others = self.topics().into_iter().filter(|(other, _)| other != name);
        let others: i32 = others.map(|(_, topic)| topic.meta.partitions).sum();
        if !(1..=MAX_PARTITIONS - others).contains(&partitions) {
            tracing::warn!(topic = name, partitions, "refused: the broker holds {MAX_PARTITIONS} partitions at most");
            return Err(ResponseError::InvalidPartitions);
        }
        let serial = known.as_ref().map_or(coordinator.meta().next_serial, |topic| topic.meta.serial);
        let meta = TopicMeta { serial, partitions, configs };
        let open = known.as_ref().map_or(&[][..], |topic| &topic.partitions);
        let topic = self.open_topic(coordinator.meta(), name, meta.clone(), open).map_err(|error| {
            tracing::error!(topic = name, %error, "cannot open the topic");
            ResponseError::KafkaStorageError
        })?;
        coordinator.record(Entry::Topic { name: name.to_owned(), topic: meta })?;
        self.topics.write().insert(name.to_owned(), Arc::new(topic));
        Ok(())
    }

    pub fn delete_topic(&self, coordinator: &mut Coordinator, name: &str) -> Outcome {
        let topic = self.topic(name)?;
        coordinator.record(Entry::TopicDeleted { name: name.to_owned() })?;
        self.topics.write().remove(name);
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
    ) -> Outcome {
        let txn = coordinator.txn(id)?;
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
                partition.log().producers.admit(producer_id, epoch, now());
            }
        }
    }

    /// Carries out a decision: journals it, writes the markers, journals the end. Once it is journalled it stands: who asks while
    /// the markers cannot be written, for the disk is full, is to ask again, and the clock sees to the rest.
    pub fn end_txn(&self, coordinator: &mut Coordinator, id: &str, decided: Txn) -> Outcome {
        coordinator.record(Entry::Txn { id: id.to_owned(), txn: decided.clone() })?;
        self.finish_txn(coordinator, id, &decided, false).map_err(|_| ResponseError::ConcurrentTransactions)
    }

    fn finish_txn(&self, coordinator: &mut Coordinator, id: &str, txn: &Txn, only_open: bool) -> Outcome {
        let State::Ending { commit } = txn.state else { return Ok(()) };
        for (name, number) in &txn.partitions {
            let Ok((topic, partition)) = self.partition(name, *number) else { continue };
            if only_open && !partition.log().producers.is_open(txn.producer_id) {
                continue;
            }
            partition
                .change(|log| log.end_transaction((txn.producer_id, txn.epoch), commit, &topic.settings, now()))?;
        }
        coordinator.record(Entry::TxnEnded { id: id.to_owned(), commit })
    }

    /// Finishes decided transactions whose markers are not all written: after a crash, or after a full disk.
    pub fn finish_decided(&self, coordinator: &mut Coordinator) {
        let txns = coordinator.meta().txns.iter();
        let decided = txns.filter(|(_, txn)| matches!(txn.state, State::Ending { .. }));
        let decided: Vec<(String, Txn)> = decided.map(|(id, txn)| (id.clone(), txn.clone())).collect();
        let finished = decided.iter().try_for_each(|(id, txn)| self.finish_txn(coordinator, id, txn, true));
        self.held_back.lock().note("end transactions that are decided", &finished);
    }

    /// Aborts transactions that are open for longer than they said.
    pub fn abort_overdue(&self, coordinator: &mut Coordinator) {
        let overdue = coordinator.meta().txns.iter().filter(|(_, txn)| txn.is_overdue(now()));
        for (id, fenced) in overdue.map(|(id, txn)| (id.clone(), txn.fenced())).collect::<Vec<_>>() {
            tracing::info!(transactional_id = id, "the transaction's time is up; aborted");
            // What cannot be done now is done, or finished, at the next tick.
            let _ = self.end_txn(coordinator, &id, fenced);
        }
    }

    /// Forces to disk what was written since the last time. What fails stays to be done, and keeps nothing else from it.
    pub fn sync(&self) -> std::io::Result<()> {
        let mut result = Ok(());
        for partition in self.topics().values().flat_map(|topic| &topic.partitions) {
            let files = std::mem::take(&mut partition.log().unsynced);
            for file in files {
                if let Err(error) = file.sync_data() {
                    partition.log().unsynced.push(file);
                    result = Err(error);
                }
            }
        }
        // Bound first, so that the lock is free while the disk works.
        let journal = self.coordinator().journal.file();
        journal.sync_data().and(result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    #[test]
    fn what_could_not_be_forced_to_disk_stays_to_be_done_and_keeps_nothing_else_from_it() {
        let dir = tempfile::tempdir().unwrap();
        let config = BrokerConfig::new(dir.path());
        let address = config.listen;
        let node = Node::open(config, address).unwrap();
        node.put_topic(&mut node.coordinator(), "t", 2, Configs::new()).unwrap();
        let partitions = &node.topic("t").unwrap().partitions;
        // Nothing there can be forced to disk.
        let null = Arc::new(File::open("/dev/null").unwrap());
        partitions[0].log().unsynced.push(null.clone());
        partitions[1].log().unsynced.push(Arc::new(File::create(dir.path().join("plain")).unwrap()));
        assert!(node.sync().is_err());
        assert!(Arc::ptr_eq(&partitions[0].log().unsynced[0], &null));
        assert!(partitions[1].log().unsynced.is_empty());
    }

    #[test]
    fn there_is_a_bound_to_the_partitions_of_all_topics() {
        let dir = tempfile::tempdir().unwrap();
        let config = BrokerConfig::new(dir.path());
        let address = config.listen;
        let node = Node::open(config, address).unwrap();
        let put = |name, partitions| node.put_topic(&mut node.coordinator(), name, partitions, Configs::new());
        assert_eq!(put("a", 3), Ok(()));
        assert_eq!(put("b", MAX_PARTITIONS - 2), Err(ResponseError::InvalidPartitions));
        assert_eq!(put("a", MAX_PARTITIONS + 1), Err(ResponseError::InvalidPartitions));
        assert_eq!(put("c", 0), Err(ResponseError::InvalidPartitions));
        assert!(node.topic("b").is_err() && !dir.path().join("topics/b@1").exists());
    }
}
