//! How members come and go, and what that does to the generation.

use super::{Answer, Answers, Caller, Group, Join, Joined, Member, Phase, SESSION_MS, Waiter};
use bytes::Bytes;
use kafka_protocol::error::ResponseError;

impl Group {
    pub(super) fn try_join(
        &mut self,
        join: &Join,
        waiter: Waiter,
        now: i64,
        answers: &mut Answers,
    ) -> Result<(), ResponseError> {
        if !SESSION_MS.contains(&join.session_ms) {
            return Err(ResponseError::InvalidSessionTimeout);
        }
        self.check_protocols(join)?;
        if join.member_id.is_empty() {
            return self.join_without_id(join, waiter, now, answers);
        }
        if let Some(instance) = &join.instance {
            let caller = Caller { member_id: &join.member_id, instance: Some(instance), generation: self.generation };
            self.check_member(caller)?;
        }
        if self.invited.remove(&join.member_id).is_some() {
            self.enter(join.member_id.clone(), join, waiter, now, answers);
            return Ok(());
        }
        let Some(member) = self.members.get_mut(&join.member_id) else {
            return Err(ResponseError::UnknownMemberId);
        };
        let changed = member.protocols != join.protocols;
        let leads = join.member_id == self.leader;
        member.take(join, now);
        match self.phase {
            Phase::Assigning { .. } if !changed => answers.push((waiter, self.joined(&join.member_id, &self.leader))),
            Phase::Stable if !changed && !leads => answers.push((waiter, self.joined(&join.member_id, &self.leader))),
            _ => {
                self.await_join(&join.member_id, waiter, answers);
                self.rebalance(now, answers);
            }
        }
        Ok(())
    }

    fn join_without_id(
        &mut self,
        join: &Join,
        waiter: Waiter,
        now: i64,
        answers: &mut Answers,
    ) -> Result<(), ResponseError> {
        let known = join.instance.as_deref().and_then(|instance| self.member_of(instance)).map(str::to_owned);
        if let Some(old_id) = known {
            self.replace(&old_id, join, waiter, now, answers);
            return Ok(());
        }
        if join.id_first && join.instance.is_none() {
            self.invited.insert(join.fresh_id.clone(), now + join.session_ms);
            return Err(ResponseError::MemberIdRequired);
        }
        self.enter(join.fresh_id.clone(), join, waiter, now, answers);
        Ok(())
    }

    fn enter(&mut self, id: String, join: &Join, waiter: Waiter, now: i64, answers: &mut Answers) {
        if self.members.is_empty() {
            self.protocol_type = join.protocol_type.clone();
        }
        self.members.insert(id.clone(), Member::new(join, now));
        self.await_join(&id, waiter, answers);
        self.rebalance(now, answers);
    }

    /// A static member is back under a new id: the older holder of the instance id is fenced, and while nothing about
    /// the subscription changed its assignment goes on without a rebalance.
    fn replace(&mut self, old_id: &str, join: &Join, waiter: Waiter, now: i64, answers: &mut Answers) {
        let Some(old) = self.members.remove(old_id) else { return };
        for waiter in [old.joining, old.syncing].into_iter().flatten() {
            let error = ResponseError::FencedInstanceId;
            answers.push((waiter, Answer::Refused { error, member_id: old_id.to_owned() }));
        }
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
            answers.push((waiter, self.joined(&id, &told_leader)));
            return;
        }
        self.await_join(&id, waiter, answers);
        self.rebalance(now, answers);
    }

    pub fn leave(&mut self, member_id: &str, instance: Option<&str>, now: i64) -> (Result<(), ResponseError>, Answers) {
        let mut answers = Answers::new();
        let id = match instance.map(|instance| self.member_of(instance).map(str::to_owned)) {
            None => member_id.to_owned(),
            Some(None) => return (Err(ResponseError::UnknownMemberId), answers),
            Some(Some(id)) if !member_id.is_empty() && id != member_id => {
                return (Err(ResponseError::FencedInstanceId), answers);
            }
            Some(Some(id)) => id,
        };
        if self.invited.remove(&id).is_some() {
            self.complete_if_all_joined(now, &mut answers);
            return (Ok(()), answers);
        }
        if !self.members.contains_key(&id) {
            return (Err(ResponseError::UnknownMemberId), answers);
        }
        self.remove(&id, &mut answers);
        self.rebalance(now, &mut answers);
        self.complete_if_all_joined(now, &mut answers);
        (Ok(()), answers)
    }

    /// Drops who was silent for too long and ends phases whose time is up.
    pub fn expire(&mut self, now: i64) -> Answers {
        let mut answers = Answers::new();
        self.invited.retain(|_, until| *until > now);
        let mut gone: Vec<String> = Vec::new();
        for (id, member) in &self.members {
            let waits = member.joining.is_some() || member.syncing.is_some();
            let unsynced = matches!(self.phase, Phase::Assigning { until } if until <= now) && !waits;
            if unsynced || (!waits && member.last_seen + member.session_ms <= now) {
                gone.push(id.clone());
            }
        }
        for id in &gone {
            self.remove(id, &mut answers);
        }
        let late = matches!(self.phase, Phase::Assigning { until } if until <= now);
        if !gone.is_empty() || late {
            self.rebalance(now, &mut answers);
        }
        match self.phase {
            Phase::Gathering { until } if until <= now => self.complete(now, &mut answers),
            _ => self.complete_if_all_joined(now, &mut answers),
        }
        answers
    }

    fn remove(&mut self, id: &str, answers: &mut Answers) {
        let Some(member) = self.members.remove(id) else { return };
        for waiter in [member.joining, member.syncing].into_iter().flatten() {
            let error = ResponseError::UnknownMemberId;
            answers.push((waiter, Answer::Refused { error, member_id: id.to_owned() }));
        }
    }

    fn await_join(&mut self, id: &str, waiter: Waiter, answers: &mut Answers) {
        let Some(member) = self.members.get_mut(id) else { return };
        if let Some(older) = member.joining.replace(waiter) {
            let error = ResponseError::RebalanceInProgress;
            answers.push((older, Answer::Refused { error, member_id: id.to_owned() }));
        }
    }

    fn rebalance(&mut self, now: i64, answers: &mut Answers) {
        if matches!(self.phase, Phase::Gathering { .. }) {
            return;
        }
        for (id, member) in &mut self.members {
            if let Some(waiter) = member.syncing.take() {
                let error = ResponseError::RebalanceInProgress;
                answers.push((waiter, Answer::Refused { error, member_id: id.clone() }));
            }
        }
        self.phase = Phase::Gathering { until: now + self.longest_rebalance() };
    }

    pub(super) fn complete_if_all_joined(&mut self, now: i64, answers: &mut Answers) {
        let all = self.members.values().all(|member| member.joining.is_some());
        if matches!(self.phase, Phase::Gathering { .. }) && all && self.invited.is_empty() {
            self.complete(now, answers);
        }
    }

    /// Begins the next generation with those who joined. Static members that did not are kept until their session ends.
    fn complete(&mut self, now: i64, answers: &mut Answers) {
        self.members.retain(|_, member| member.joining.is_some() || member.instance.is_some());
        if self.members.is_empty() {
            *self = Group {
                generation: self.generation + 1,
                invited: std::mem::take(&mut self.invited),
                ..Group::default()
            };
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
        answers.extend(joined.into_iter().map(|(waiter, id)| (waiter, self.joined(&id, &self.leader))));
    }

    fn joined(&self, member_id: &str, leader: &str) -> Answer {
        let tells = if member_id == leader { Some(&self.members) } else { None };
        let members = tells.into_iter().flatten().map(|(id, member)| Joined {
            member_id: id.clone(),
            instance: member.instance.clone(),
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
        let said = member.protocols.iter().find(|(name, _)| *name == self.protocol);
        said.map(|(_, metadata)| metadata.clone()).unwrap_or_default()
    }

    /// Of the protocols that all members know, the one that most members like best.
    fn vote(&self) -> String {
        let common = |name: &str| self.members.values().all(|member| member.knows(name));
        let favourites: Vec<&String> = self
            .members
            .values()
            .filter_map(|member| member.protocols.iter().map(|(name, _)| name).find(|name| common(name)))
            .collect();
        let votes = |name: &String| favourites.iter().filter(|other| **other == name).count();
        favourites.iter().max_by_key(|name| votes(name)).map(|name| name.to_string()).unwrap_or_default()
    }

    fn check_protocols(&self, join: &Join) -> Result<(), ResponseError> {
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
        self.members.values().map(|member| member.rebalance_ms).max().unwrap_or_default()
    }
}

impl Member {
    fn new(join: &Join, now: i64) -> Member {
        Member {
            instance: join.instance.clone(),
            client_id: join.client_id.clone(),
            client_host: join.client_host.clone(),
            protocols: join.protocols.clone(),
            assignment: Bytes::new(),
            session_ms: join.session_ms,
            rebalance_ms: join.rebalance_ms,
            last_seen: now,
            joining: None,
            syncing: None,
        }
    }

    fn take(&mut self, join: &Join, now: i64) {
        self.protocols = join.protocols.clone();
        self.session_ms = join.session_ms;
        self.rebalance_ms = join.rebalance_ms;
        self.last_seen = now;
    }

    fn knows(&self, protocol: &str) -> bool {
        self.protocols.iter().any(|(name, _)| name == protocol)
    }
}
