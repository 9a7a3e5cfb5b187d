//! What the journal says, as a value: topics, transactions, committed offsets. Pure: state and one entry give the next.

use super::settings::Configs;
use super::txn::{State, Txn};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

pub type TopicPartition = (String, i32);

/// One fact. Entries are the file format of the journal: fields may be added with a default, never renamed.
///
/// `Topic`: was created, or has more partitions or another configuration now. `LogStart`: what is before was deleted by a client.
/// `ProducerIds`: those below were given out. `TxnEnded`: all markers are written, so pending offsets count, or are dropped. `Offsets`:
/// of a producer's transaction, they count when it commits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Entry {
    Cluster { id: String },
    Topic { name: String, topic: TopicMeta },
    TopicDeleted { name: String },
    LogStart { topic: String, partition: i32, offset: i64 },
    ProducerIds { next: i64 },
    Txn { id: String, txn: Txn },
    TxnEnded { id: String, commit: bool },
    Offsets { group: String, producer_id: Option<i64>, offsets: Vec<(TopicPartition, Committed)> },
    GroupDeleted { group: String },
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TopicMeta {
    /// Unique for ever; names the directory, so that a topic that is created again starts empty.
    pub serial: u32,
    pub partitions: i32,
    pub configs: Configs,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Committed {
    pub offset: i64,
    pub leader_epoch: i32,
    pub metadata: String,
}

#[derive(Debug, Default, PartialEq)]
pub struct GroupOffsets {
    pub committed: BTreeMap<TopicPartition, Committed>,
    /// By producer id.
    pub pending: BTreeMap<i64, BTreeMap<TopicPartition, Committed>>,
}

#[derive(Debug, Default, PartialEq)]
pub struct Meta {
    pub cluster_id: String,
    pub topics: BTreeMap<String, TopicMeta>,
    pub log_starts: BTreeMap<TopicPartition, i64>,
    pub next_serial: u32,
    pub next_producer_id: i64,
    pub txns: BTreeMap<String, Txn>,
    pub groups: BTreeMap<String, GroupOffsets>,
}

impl GroupOffsets {
    /// Whether a running transaction may still change this partition's offset.
    pub fn is_unstable(&self, partition: &TopicPartition) -> bool {
        self.pending.values().any(|offsets| offsets.contains_key(partition))
    }
}

impl Meta {
    pub fn apply(&mut self, entry: Entry) {
        match entry {
            Entry::Cluster { id } => self.cluster_id = id,
            Entry::Topic { name, topic } => {
                self.next_serial = self.next_serial.max(topic.serial + 1);
                self.topics.insert(name, topic);
            }
            Entry::TopicDeleted { name } => self.delete_topic(&name),
            Entry::LogStart { topic, partition, offset } => {
                self.log_starts.insert((topic, partition), offset);
            }
            Entry::ProducerIds { next } => self.next_producer_id = next,
            Entry::Txn { id, txn } => {
                self.txns.insert(id, txn);
            }
            Entry::TxnEnded { id, commit } => self.end(&id, commit),
            Entry::Offsets { group, producer_id, offsets } => {
                let group = self.groups.entry(group).or_default();
                match producer_id {
                    None => group.committed.extend(offsets),
                    Some(producer_id) => group.pending.entry(producer_id).or_default().extend(offsets),
                }
            }
            Entry::GroupDeleted { group } => {
                self.groups.remove(&group);
            }
        }
    }

    fn end(&mut self, id: &str, commit: bool) {
        let Some(txn) = self.txns.get_mut(id) else { return };
        for name in std::mem::take(&mut txn.groups) {
            let group = self.groups.entry(name).or_default();
            let pending = group.pending.remove(&txn.producer_id).unwrap_or_default();
            if commit {
                group.committed.extend(pending);
            }
        }
        txn.partitions.clear();
        txn.state = State::Ended { commit };
    }

    fn delete_topic(&mut self, name: &str) {
        self.topics.remove(name);
        self.log_starts.retain(|(topic, _), _| topic != name);
        for txn in self.txns.values_mut() {
            txn.partitions.retain(|(topic, _)| topic != name);
        }
        for group in self.groups.values_mut() {
            group.committed.retain(|(topic, _), _| topic != name);
            group.pending.values_mut().for_each(|offsets| offsets.retain(|(topic, _), _| topic != name));
        }
    }

    /// Entries that, applied to nothing, give this value again (but for numbers of deleted topics, which stay used).
    pub fn entries(&self) -> Vec<Entry> {
        let mut entries =
            vec![Entry::Cluster { id: self.cluster_id.clone() }, Entry::ProducerIds { next: self.next_producer_id }];
        if let Some(serial) = self.next_serial.checked_sub(1) {
            // The highest number ever used, even if its topic is gone.
            let topic = TopicMeta { serial, ..TopicMeta::default() };
            entries.push(Entry::Topic { name: String::new(), topic });
            entries.push(Entry::TopicDeleted { name: String::new() });
        }
        let topics = self.topics.iter();
        entries.extend(topics.map(|(name, topic)| Entry::Topic { name: name.clone(), topic: topic.clone() }));
        entries.extend(self.log_starts.iter().map(|((topic, partition), offset)| Entry::LogStart {
            topic: topic.clone(),
            partition: *partition,
            offset: *offset,
        }));
        entries.extend(self.txns.iter().map(|(id, txn)| Entry::Txn { id: id.clone(), txn: txn.clone() }));
        for (name, group) in &self.groups {
            let pending = group.pending.iter().map(|(producer_id, offsets)| (Some(*producer_id), offsets));
            entries.extend([(None, &group.committed)].into_iter().chain(pending).map(|(producer_id, offsets)| {
                let offsets = offsets.clone().into_iter().collect();
                Entry::Offsets { group: name.clone(), producer_id, offsets }
            }));
        }
        entries
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn committed(offset: i64) -> Committed {
        Committed { offset, leader_epoch: -1, metadata: "m".into() }
    }

    fn some() -> Meta {
        let mut meta = Meta::default();
        let topic = TopicMeta { serial: 0, partitions: 3, configs: BTreeMap::new() };
        let mut txn = Txn::new(7, 60_000);
        txn.state = State::Ongoing;
        txn.groups.insert("g".into());
        txn.partitions.insert(("t".into(), 1));
        for entry in [
            Entry::Cluster { id: "c".into() },
            Entry::ProducerIds { next: 8 },
            Entry::Topic { name: "t".into(), topic: topic.clone() },
            Entry::Topic { name: "gone".into(), topic: TopicMeta { serial: 1, ..topic } },
            Entry::TopicDeleted { name: "gone".into() },
            Entry::LogStart { topic: "t".into(), partition: 0, offset: 5 },
            Entry::Txn { id: "x".into(), txn },
            Entry::Offsets { group: "g".into(), producer_id: None, offsets: vec![(("t".into(), 0), committed(3))] },
            Entry::Offsets { group: "g".into(), producer_id: Some(7), offsets: vec![(("t".into(), 0), committed(9))] },
        ] {
            meta.apply(entry);
        }
        meta
    }

    #[test]
    fn its_entries_say_all_of_it() {
        let meta = some();
        let mut again = Meta::default();
        meta.entries().into_iter().for_each(|entry| again.apply(entry));
        assert_eq!(again, meta);
        assert_eq!(again.next_serial, 2);
    }

    #[test]
    fn pending_offsets_count_only_after_a_commit() {
        let key = ("t".to_owned(), 0);
        for (commit, expected) in [(true, 9), (false, 3)] {
            let mut meta = some();
            assert!(meta.groups["g"].is_unstable(&key));
            meta.apply(Entry::TxnEnded { id: "x".into(), commit });
            assert!(!meta.groups["g"].is_unstable(&key));
            assert_eq!(meta.groups["g"].committed[&key].offset, expected);
            assert_eq!(meta.txns["x"].state, State::Ended { commit });
        }
    }

    #[test]
    fn a_deleted_topic_takes_its_offsets_along() {
        let mut meta = some();
        meta.apply(Entry::TopicDeleted { name: "t".into() });
        assert!(meta.groups["g"].committed.is_empty() && meta.log_starts.is_empty());
        assert!(meta.txns["x"].partitions.is_empty());
    }
}
