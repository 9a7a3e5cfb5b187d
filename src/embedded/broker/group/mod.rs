//! Consumer groups of the classic protocol: who is a member, which generation, who gets which partitions.
//!
//! Pure: a group is a value; every call takes the time and returns whom to answer. The members' clients choose the
//! assignment (range, roundrobin, cooperative-sticky); the group only carries it. Not here: committed offsets
//! (`meta.rs`), sockets and timers (`api/group.rs`, `housekeeping.rs`), the KIP-848 protocol.
//!
//! ```text
//! Empty --join--> Gathering --all joined, or time is up--> Assigning --leader's sync--> Stable
//!   ^                 ^                                        |                          |
//!   +-- nobody left --+---- a member joins anew, leaves, expires, changes its mind -------+
//! ```

mod membership;
#[cfg(test)]
mod tests;

use crate::embedded::broker::Outcome;
use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use kafka_protocol::protocol::StrBytes;
use std::collections::BTreeMap;

/// Whom an answer is for; the edge keeps the other end.
pub type Waiter = u64;

#[derive(Debug, Default)]
pub struct Group {
    pub phase: Phase,
    pub generation: i32,
    pub protocol_type: String,
    pub protocol: String,
    pub leader: String,
    pub members: BTreeMap<String, Member>,
    /// Ids given out with `MEMBER_ID_REQUIRED`, and when they lapse.
    invited: BTreeMap<String, i64>,
    /// Of the call that is running; it returns them.
    answers: Answers,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Phase {
    #[default]
    Empty,
    Gathering {
        until: i64,
    },
    Assigning {
        until: i64,
    },
    Stable,
}

#[derive(Debug)]
pub struct Member {
    /// As it last joined.
    pub join: Join,
    pub assignment: Bytes,
    last_seen: i64,
    joining: Option<Waiter>,
    syncing: Option<Waiter>,
}

#[derive(Debug, Clone)]
pub struct Join {
    pub member_id: String,
    pub instance: Option<String>,
    /// The id for a new member.
    pub fresh_id: String,
    /// Newer clients first ask for an id and then join with it.
    pub id_first: bool,
    pub client_id: String,
    pub client_host: String,
    pub session_ms: i64,
    pub rebalance_ms: i64,
    pub protocol_type: String,
    pub protocols: Vec<(String, Bytes)>,
}

/// Who speaks, as heartbeats, commits and syncs say it.
#[derive(Debug, Clone, Copy)]
pub struct Caller<'a> {
    pub member_id: &'a str,
    pub instance: Option<&'a str>,
    pub generation: i32,
}

impl<'a> Caller<'a> {
    pub fn new(member_id: &'a str, instance: &'a Option<StrBytes>, generation: i32) -> Caller<'a> {
        Caller { member_id, instance: instance.as_deref(), generation }
    }
}

#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    Joined { generation: i32, protocol: String, leader: String, member_id: String, members: Vec<Joined> },
    Synced { protocol_type: String, protocol: String, assignment: Bytes },
    Refused { error: ResponseError, member_id: String },
}

#[derive(Debug, PartialEq, Eq)]
pub struct Joined {
    pub member_id: String,
    pub instance: Option<String>,
    pub metadata: Bytes,
}

pub type Answers = Vec<(Waiter, Answer)>;

const SESSION_MS: std::ops::RangeInclusive<i64> = 6_000..=1_800_000;

impl Group {
    pub fn state_name(&self) -> &'static str {
        match self.phase {
            Phase::Empty => "Empty",
            Phase::Gathering { .. } => "PreparingRebalance",
            Phase::Assigning { .. } => "CompletingRebalance",
            Phase::Stable => "Stable",
        }
    }

    pub fn join(&mut self, join: Join, waiter: Waiter, now: i64) -> Answers {
        if let Err(error) = self.try_join(&join, waiter, now) {
            let given = error == ResponseError::MemberIdRequired;
            self.refuse(Some(waiter), error, if given { &join.fresh_id } else { &join.member_id });
        }
        self.complete_if_all_joined(now);
        std::mem::take(&mut self.answers)
    }

    /// `protocol`: type and name as the caller believes them to be; `assignments`: what the leader decided.
    pub fn sync(
        &mut self,
        caller: Caller<'_>,
        protocol: (Option<&str>, Option<&str>),
        assignments: Vec<(String, Bytes)>,
        waiter: Waiter,
        now: i64,
    ) -> Answers {
        match self.check_sync(caller, protocol) {
            Ok(()) => self.take_sync(caller.member_id, assignments, waiter, now),
            Err(error) => self.refuse(Some(waiter), error, caller.member_id),
        }
        std::mem::take(&mut self.answers)
    }

    fn check_sync(&self, caller: Caller<'_>, protocol: (Option<&str>, Option<&str>)) -> Outcome {
        self.check_member(caller)?;
        let differs = |said: Option<&str>, is: &str| said.is_some_and(|said| said != is);
        if differs(protocol.0, &self.protocol_type) || differs(protocol.1, &self.protocol) {
            return Err(ResponseError::InconsistentGroupProtocol);
        }
        match self.phase {
            Phase::Gathering { .. } | Phase::Empty => Err(ResponseError::RebalanceInProgress),
            Phase::Assigning { .. } | Phase::Stable => Ok(()),
        }
    }

    fn take_sync(&mut self, member_id: &str, assignments: Vec<(String, Bytes)>, waiter: Waiter, now: i64) {
        if let Some(member) = self.members.get_mut(member_id) {
            member.last_seen = now;
            member.syncing = Some(waiter);
        }
        if matches!(self.phase, Phase::Assigning { .. }) {
            if member_id != self.leader {
                return;
            }
            for (member_id, assignment) in assignments {
                if let Some(member) = self.members.get_mut(&member_id) {
                    member.assignment = assignment;
                }
            }
            self.phase = Phase::Stable;
        }
        for member in self.members.values_mut() {
            if let Some(waiter) = member.syncing.take() {
                member.last_seen = now;
                let (protocol_type, protocol) = (self.protocol_type.clone(), self.protocol.clone());
                let assignment = member.assignment.clone();
                self.answers.push((waiter, Answer::Synced { protocol_type, protocol, assignment }));
            }
        }
    }

    fn refuse(&mut self, waiters: impl IntoIterator<Item = Waiter>, error: ResponseError, member_id: &str) {
        let refused = |waiter| (waiter, Answer::Refused { error, member_id: member_id.to_owned() });
        self.answers.extend(waiters.into_iter().map(refused));
    }

    pub fn heartbeat(&mut self, caller: Caller<'_>, now: i64) -> Outcome {
        self.check_member(caller)?;
        self.touch(caller.member_id, now);
        if matches!(self.phase, Phase::Gathering { .. }) { Err(ResponseError::RebalanceInProgress) } else { Ok(()) }
    }

    /// Whether this caller may commit offsets. Outside a transaction, a caller without a membership may only do so
    /// while the group is empty.
    pub fn check_commit(&mut self, caller: Caller<'_>, in_transaction: bool, now: i64) -> Outcome {
        let no_member = caller.generation < 0 && caller.member_id.is_empty() && caller.instance.is_none();
        if no_member && (in_transaction || self.members.is_empty()) {
            return Ok(());
        }
        if caller.generation < 0 && !in_transaction {
            return Err(ResponseError::UnknownMemberId);
        }
        self.check_member(caller)?;
        if !in_transaction && matches!(self.phase, Phase::Assigning { .. }) {
            return Err(ResponseError::RebalanceInProgress);
        }
        self.touch(caller.member_id, now);
        Ok(())
    }

    fn check_member(&self, caller: Caller<'_>) -> Outcome {
        if let Some(instance) = caller.instance {
            match self.member_of(instance) {
                None => return Err(ResponseError::UnknownMemberId),
                Some(member_id) if member_id != caller.member_id => return Err(ResponseError::FencedInstanceId),
                Some(_) => {}
            }
        }
        if !self.members.contains_key(caller.member_id) {
            return Err(ResponseError::UnknownMemberId);
        }
        if caller.generation != self.generation {
            return Err(ResponseError::IllegalGeneration);
        }
        Ok(())
    }

    fn touch(&mut self, member_id: &str, now: i64) {
        if let Some(member) = self.members.get_mut(member_id) {
            member.last_seen = now;
        }
    }

    /// The member that holds a static instance id.
    fn member_of(&self, instance: &str) -> Option<&str> {
        let held = |member: &Member| member.join.instance.as_deref() == Some(instance);
        self.members.iter().find(|(_, member)| held(member)).map(|(id, _)| id.as_str())
    }
}
