//! How members come and go, and what that does to the generation.

use super::{Answer, Answers, Caller, Group, Join, Joined, Member, Phase, SESSION_MS, Waiter};
use crate::embedded::broker::Outcome;
use bytes::Bytes;
use kafka_protocol::error::ResponseError;

impl Group {
    pub(super) fn try_join(&mut self, join: &Join, waiter: Waiter, now: i64) -> Outcome {
        if !SESSION_MS.contains(&join.session_ms) {
            return Err(ResponseError::InvalidSessionTimeout);
        }
        self.check_protocols(join)?;
        if join.member_id.is_empty() {
            return self.join_without_id(join, waiter, now);
        }
        if let Some(instance) = &join.instance {
            let caller = Caller { member_id: &join.member_id, instance: Some(instance), generation: self.generation };
            self.check_member(caller)?;
        }
        if self.invited.remove(&join.member_id).is_some() {
            self.enter(join.member_id.clone(), join, waiter, now);
            return Ok(());
        }
        let Some(member) = self.members.get_mut(&join.member_id) else {
            return Err(ResponseError::UnknownMemberId);
        };
        let changed = member.join.protocols != join.protocols;
        let leads = join.member_id == self.leader;
        (member.join, member.last_seen) = (join.clone(), now);
        let goes_on = match self.phase {
            Phase::Assigning { .. } => !changed,
            Phase::Stable => !changed && !leads,
            _ => false,
        };
        match goes_on {
            true => self.answers.push((waiter, self.joined(&join.member_id, &self.leader))),
            false => self.await_join(&join.member_id, waiter, now),
        }
        Ok(())
    }

    fn join_without_id(&mut self, join: &Join, waiter: Waiter, now: i64) -> Outcome {
        let known = join.instance.as_deref().and_then(|instance| self.member_of(instance)).map(str::to_owned);
        if let Some(old_id) = known {
            self.replace(&old_id, join, waiter, now);
            return Ok(());
        }
        if join.id_first && join.instance.is_none() {
            self.invited.insert(join.fresh_id.clone(), now + join.session_ms);
            return Err(ResponseError::MemberIdRequired);
        }
        self.enter(join.fresh_id.clone(), join, waiter, now);
        Ok(())
    }

    fn enter(&mut self, id: String, join: &Join, waiter: Waiter, now: i64) {
        if self.members.is_empty() {
            self.protocol_type = join.protocol_type.clone();
        }
        self.members.insert(id.clone(), Member::new(join, now));
        self.await_join(&id, waiter, now);
    }

    /// A static member is back under a new id: the older holder of the instance id is fenced, and while nothing about
    /// the subscription changed its assignment goes on without a rebalance.
    fn replace(&mut self, old_id: &str, join: &Join, waiter: Waiter, now: i64) {
        let Some(old) = self.members.remove(old_id) else { return };
        self.refuse(old.joining.into_iter().chain(old.syncing), ResponseError::FencedInstanceId, old_id);
        let mut member = Member::new(join, now);
        let unchanged = self.metadata(&old) == self.metadata(&member);
        member.assignment = old.assignment;
        let id = join.fresh_id.clone();
        self.members.insert(id.clone(), member);
        // A leader that returned is told the id it had, so that it does not compute an assignment nobody asked for.
        let told_leader = self.leader.clone();
        if self.leader == old_id {
            self.leader = id.clone();
        }
        if self.phase == Phase::Stable && unchanged {
            self.answers.push((waiter, self.joined(&id, &told_leader)));
            return;
        }
        self.await_join(&id, waiter, now);
    }

    pub fn leave(&mut self, id: &str, now: i64) -> (Outcome, Answers) {
        let known = self.members.contains_key(id);
        let left = known || self.invited.remove(id).is_some();
        if known {
            self.remove(id);
            self.rebalance(now);
        }
        self.complete_if_all_joined(now);
        let left = if left { Ok(()) } else { Err(ResponseError::UnknownMemberId) };
        (left, std::mem::take(&mut self.answers))
    }

    /// Drops who was silent for too long and ends phases whose time is up.
    pub fn expire(&mut self, now: i64) -> Answers {
        self.invited.retain(|_, until| *until > now);
        let late = matches!(self.phase, Phase::Assigning { until } if until <= now);
        let gone = |member: &Member| {
            let waits = member.joining.is_some() || member.syncing.is_some();
            !waits && (late || member.last_seen + member.join.session_ms <= now)
        };
        let gone = self.members.iter().filter(|(_, member)| gone(member)).map(|(id, _)| id.clone());
        let gone: Vec<String> = gone.collect();
        gone.iter().for_each(|id| self.remove(id));
        if !gone.is_empty() || late {
            self.rebalance(now);
        }
        match self.phase {
            Phase::Gathering { until } if until <= now => self.complete(now),
            _ => self.complete_if_all_joined(now),
        }
        std::mem::take(&mut self.answers)
    }

    fn remove(&mut self, id: &str) {
        let Some(member) = self.members.remove(id) else { return };
        self.refuse(member.joining.into_iter().chain(member.syncing), ResponseError::UnknownMemberId, id);
    }

    /// The member's join is answered when the next generation begins.
    fn await_join(&mut self, id: &str, waiter: Waiter, now: i64) {
        let older = self.members.get_mut(id).and_then(|member| member.joining.replace(waiter));
        self.refuse(older, ResponseError::RebalanceInProgress, id);
        self.rebalance(now);
    }

    fn rebalance(&mut self, now: i64) {
        if matches!(self.phase, Phase::Gathering { .. }) {
            return;
        }
        let syncing = self.members.iter_mut().filter_map(|(id, member)| Some((member.syncing.take()?, id.clone())));
        for (waiter, id) in syncing.collect::<Vec<_>>() {
            self.refuse(Some(waiter), ResponseError::RebalanceInProgress, &id);
        }
        self.phase = Phase::Gathering { until: now + self.longest_rebalance() };
    }

    pub(super) fn complete_if_all_joined(&mut self, now: i64) {
        let all = self.members.values().all(|member| member.joining.is_some());
        if matches!(self.phase, Phase::Gathering { .. }) && all && self.invited.is_empty() {
            self.complete(now);
        }
    }

    /// Begins the next generation with those who joined. Static members that did not are kept until their session ends.
    fn complete(&mut self, now: i64) {
        self.members.retain(|_, member| member.joining.is_some() || member.join.instance.is_some());
        if self.members.is_empty() {
            let (invited, answers) = (std::mem::take(&mut self.invited), std::mem::take(&mut self.answers));
            *self = Group { generation: self.generation + 1, invited, answers, ..Group::default() };
            return;
        }
        let until = now + self.longest_rebalance();
        let Some(first) = self.members.iter().find(|(_, member)| member.joining.is_some()) else {
            self.phase = Phase::Gathering { until };
            return;
        };
        let leads = self.members.get(&self.leader).is_some_and(|leader| leader.joining.is_some());
        if !leads {
            self.leader = first.0.clone();
        }
        self.generation += 1;
        self.protocol = self.vote();
        self.phase = Phase::Assigning { until };
        let mut joined = Vec::new();
        for (id, member) in &mut self.members {
            member.assignment = Bytes::new();
            if let Some(waiter) = member.joining.take() {
                member.last_seen = now;
                joined.push((waiter, id.clone()));
            }
        }
        let joined: Answers = joined.into_iter().map(|(waiter, id)| (waiter, self.joined(&id, &self.leader))).collect();
        self.answers.extend(joined);
    }

    fn joined(&self, member_id: &str, leader: &str) -> Answer {
        let tells = if member_id == leader { Some(&self.members) } else { None };
        let members = tells.into_iter().flatten().map(|(id, member)| Joined {
            member_id: id.clone(),
            instance: member.join.instance.clone(),
            metadata: self.metadata(member),
        });
        Answer::Joined {
            generation: self.generation,
            protocol: self.protocol.clone(),
            leader: leader.to_owned(),
            member_id: member_id.to_owned(),
            members: members.collect(),
        }
    }

    /// What the member said for the protocol that the group uses.
    pub fn metadata(&self, member: &Member) -> Bytes {
        let said = member.join.protocols.iter().find(|(name, _)| *name == self.protocol);
        said.map(|(_, metadata)| metadata.clone()).unwrap_or_default()
    }

    /// Of the protocols that all members know, the one that most members like best.
    fn vote(&self) -> String {
        let common = |name: &str| self.members.values().all(|member| member.knows(name));
        let favourites: Vec<&String> = self
            .members
            .values()
            .filter_map(|member| member.join.protocols.iter().map(|(name, _)| name).find(|name| common(name)))
            .collect();
        let votes = |name: &String| favourites.iter().filter(|other| **other == name).count();
        favourites.iter().max_by_key(|name| votes(name)).map(|name| name.to_string()).unwrap_or_default()
    }

    fn check_protocols(&self, join: &Join) -> Outcome {
        let mut others = self.members.iter().filter(|(id, _)| **id != join.member_id).map(|(_, member)| member);
        let same_type = self.members.is_empty() || self.protocol_type == join.protocol_type;
        let agrees = join.protocols.iter().any(|(name, _)| others.clone().all(|member| member.knows(name)));
        let nothing = join.protocols.is_empty() || join.protocol_type.is_empty();
        if nothing || !same_type || (others.next().is_some() && !agrees) {
            return Err(ResponseError::InconsistentGroupProtocol);
        }
        Ok(())
    }

    fn longest_rebalance(&self) -> i64 {
        self.members.values().map(|member| member.join.rebalance_ms).max().unwrap_or_default()
    }
}

impl Member {
    fn new(join: &Join, now: i64) -> Member {
        Member { join: join.clone(), assignment: Bytes::new(), last_seen: now, joining: None, syncing: None }
    }

    fn knows(&self, protocol: &str) -> bool {
        self.join.protocols.iter().any(|(name, _)| name == protocol)
    }
}
