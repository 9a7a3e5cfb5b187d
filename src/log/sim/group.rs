//! The consumer group: members, generations, eager rebalances with range assignment.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::log::Committed;
use crate::record::{Partition, Topic, TopicPartition};

/// A member that has not polled for this long is out.
pub const SESSION: Duration = Duration::from_secs(45);

#[derive(Default)]
pub struct Group {
    generation: u64,
    members: BTreeMap<String, Member>,
    committed: BTreeMap<TopicPartition, Written>,
    /// Offsets of transactions that are not marked yet, and whose: whoever asks for them must wait.
    pending: BTreeSet<(TopicPartition, String)>,
    written: u64,
    /// What is told instead of what is committed.
    pub told: Option<BTreeMap<TopicPartition, Committed>>,
    /// Members that are out and do not know it yet, and how many polls they take to.
    deaf: BTreeMap<String, u64>,
}

/// An offset, and its place in the coordinator's log: of two the later one holds, whichever transaction is marked first.
#[derive(Clone)]
pub struct Written(u64, Committed);

struct Member {
    phase: Phase,
    topics: Vec<Topic>,
    owned: Vec<TopicPartition>,
    seen: Duration,
}

/// ```text
/// Joining ──all others joined too──► Told ──poll──► Stable ──another joins or goes──► Revoking ──release──► Joining
/// ```
#[derive(Clone, Copy, PartialEq)]
enum Phase {
    Joining,
    Told,
    Stable,
    Revoking,
}

pub enum Event {
    Assigned(Vec<TopicPartition>),
    Revoked(Vec<TopicPartition>),
    Lost,
    /// Lost, and not known yet.
    Deaf,
    None,
}

impl Group {
    /// Writes offsets within a transaction; they count once that is marked.
    pub fn write_offsets(
        &mut self,
        id: &str,
        offsets: &[(TopicPartition, Committed)],
    ) -> Vec<(TopicPartition, Written)> {
        self.pending.extend(offsets.iter().map(|(partition, _)| (partition.clone(), id.to_owned())));
        self.written += 1;
        let written = |(at, offset): &(TopicPartition, Committed)| (at.clone(), Written(self.written, offset.clone()));
        offsets.iter().map(written).collect()
    }

    pub fn mark_offsets(&mut self, id: &str, offsets: Vec<(TopicPartition, Written)>, commit: bool) {
        for (partition, written) in offsets {
            self.pending.remove(&(partition.clone(), id.to_owned()));
            let is_newer = self.committed.get(&partition).is_none_or(|before| before.0 < written.0);
            if commit && is_newer {
                self.committed.insert(partition, written);
            }
        }
    }

    pub fn is_pending(&self, partition: &TopicPartition) -> bool {
        self.pending.iter().any(|(pending, _)| pending == partition)
    }

    pub fn committed(&self, partition: &TopicPartition) -> Option<&Committed> {
        self.committed.get(partition).map(|written| &written.1)
    }

    pub fn all_committed(&self) -> BTreeMap<TopicPartition, Committed> {
        self.committed.iter().map(|(partition, written)| (partition.clone(), written.1.clone())).collect()
    }

    pub fn join(&mut self, id: &str, topics: &[Topic], now: Duration) {
        self.deaf.remove(id);
        let member = Member { phase: Phase::Joining, topics: topics.to_vec(), owned: Vec::new(), seen: now };
        self.members.insert(id.to_owned(), member);
        self.rebalance();
    }

    pub fn leave(&mut self, id: &str) {
        if self.members.remove(id).is_some() {
            self.rebalance();
        }
    }

    /// Everyone has to give up and join again.
    pub fn rebalance(&mut self) {
        for member in self.members.values_mut() {
            member.phase = match member.phase {
                Phase::Told => Phase::Joining,
                Phase::Stable => Phase::Revoking,
                phase => phase,
            };
        }
    }

    pub fn expire(&mut self, now: Duration) {
        let before = self.members.len();
        self.members.retain(|_, member| now.saturating_sub(member.seen) < SESSION);
        if self.members.len() < before {
            self.rebalance();
        }
    }

    /// The member has slept through its session, and hears of it only after so many polls.
    pub fn expel(&mut self, id: &str, deaf_polls: u64) {
        self.leave(id);
        self.deaf.insert(id.to_owned(), deaf_polls);
    }

    pub fn ids(&self) -> impl Iterator<Item = &String> {
        self.members.keys()
    }

    pub fn poll(&mut self, id: &str, now: Duration, counts: &BTreeMap<Topic, i32>) -> Event {
        if self.members.values().all(|member| member.phase == Phase::Joining) {
            self.assign(counts);
        }
        let Some(member) = self.members.get_mut(id) else {
            let Some(polls) = self.deaf.get_mut(id).filter(|polls| **polls > 0) else { return Event::Lost };
            *polls -= 1;
            return Event::Deaf;
        };
        member.seen = now;
        match member.phase {
            Phase::Told => {
                member.phase = Phase::Stable;
                Event::Assigned(member.owned.clone())
            }
            Phase::Revoking => Event::Revoked(member.owned.clone()),
            Phase::Stable | Phase::Joining => Event::None,
        }
    }

    /// The member gave up what it had, and joins again.
    pub fn released(&mut self, id: &str, topics: &[Topic], now: Duration) {
        match self.members.get_mut(id) {
            Some(member) if member.phase == Phase::Revoking => {
                (member.phase, member.owned) = (Phase::Joining, Vec::new());
            }
            Some(_) => {}
            None => self.join(id, topics, now),
        }
    }

    /// Whether an offset commit of this member is of the current generation.
    pub fn is_current(&self, id: &str, partitions: impl Iterator<Item = TopicPartition>) -> bool {
        let Some(member) = self.members.get(id) else { return false };
        let holds = matches!(member.phase, Phase::Stable | Phase::Revoking);
        holds && partitions.into_iter().all(|partition| member.owned.contains(&partition))
    }

    /// `range`: each topic's partitions in consecutive pieces, in the order of members.
    fn assign(&mut self, counts: &BTreeMap<Topic, i32>) {
        self.generation += 1;
        // Who was told of the last assignment, but did not come for it, has not given anything up.
        self.members.values_mut().for_each(|member| member.owned.clear());
        let topics: BTreeSet<Topic> = self.members.values().flat_map(|member| member.topics.clone()).collect();
        for topic in topics {
            let members: Vec<_> = self.members.values_mut().filter(|member| member.topics.contains(&topic)).collect();
            let (total, among) = (counts.get(&topic).copied().unwrap_or_default() as usize, members.len());
            let mut next = 0;
            for (index, member) in members.into_iter().enumerate() {
                let share = total / among + usize::from(index < total % among);
                let piece = (next..next + share).map(|number| TopicPartition::new(&topic, Partition(number as i32)));
                member.owned.extend(piece);
                next += share;
            }
        }
        self.members.values_mut().for_each(|member| member.phase = Phase::Told);
    }
}
