//! What the journal says, as a value: topics, transactions, committed offsets. Pure: state and one entry give the next.

use super::settings::Configs;
use super::txn::{State, Txn};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

pub type TopicPartition = (String, i32);

/// One fact. Entries are the file format of the journal: fields may be added with a default, never renamed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Entry {
    Cluster {
        id: String,
    },
    /// A topic was created, or has more partitions or another configuration now.
    Topic {
        name: String,
        topic: TopicMeta,
    },
    TopicDeleted {
        name: String,
    },
    /// Records before `offset` were deleted by a client.
    LogStart {
        topic: String,
        partition: i32,
        offset: i64,
    },
    /// Producer ids below this one were given out.
    ProducerIds {
        next: i64,
    },
    Txn {
        id: String,
        txn: Txn,
    },
    /// All markers are written: pending offsets count, or are dropped.
    TxnEnded {
        id: String,
        commit: bool,
    },
    TxnForgotten {
        id: String,
    },
    Offsets {
        group: String,
        offsets: Vec<(TopicPartition, Committed)>,
    },
    /// Offsets that count when the producer's transaction commits.
    Pending {
        group: String,
        producer_id: i64,
        offsets: Vec<(TopicPartition, Committed)>,
    },
    OffsetsDeleted {
        group: String,
        partitions: Vec<TopicPartition>,
    },
    GroupDeleted {
        group: String,
    },
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
            Entry::TxnForgotten { id } => {
                self.txns.remove(&id);
            }
            Entry::Offsets { group, offsets } => self.group(group).committed.extend(offsets),
            Entry::Pending { group, producer_id, offsets } => {
                self.group(group).pending.entry(producer_id).or_default().extend(offsets);
            }
            Entry::OffsetsDeleted { group, partitions } => {
                let group = self.group(group);
                group.committed.retain(|partition, _| !partitions.contains(partition));
            }
            Entry::GroupDeleted { group } => {
                self.groups.remove(&group);
            }
        }
    }

    fn group(&mut self, name: String) -> &mut GroupOffsets {
        self.groups.entry(name).or_default()
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
        for (name, topic) in &self.topics {
            entries.push(Entry::Topic { name: name.clone(), topic: topic.clone() });
        }
        for ((topic, partition), offset) in &self.log_starts {
            entries.push(Entry::LogStart { topic: topic.clone(), partition: *partition, offset: *offset });
        }
        for (id, txn) in &self.txns {
            entries.push(Entry::Txn { id: id.clone(), txn: txn.clone() });
        }
        for (name, group) in &self.groups {
            let offsets = group.committed.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
            entries.push(Entry::Offsets { group: name.clone(), offsets });
            for (producer_id, pending) in &group.pending {
                let offsets = pending.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
                entries.push(Entry::Pending { group: name.clone(), producer_id: *producer_id, offsets });
            }
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
            Entry::Offsets { group: "g".into(), offsets: vec![(("t".into(), 0), committed(3))] },
            Entry::Pending { group: "g".into(), producer_id: 7, offsets: vec![(("t".into(), 0), committed(9))] },
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
