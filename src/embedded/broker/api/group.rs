//! Membership of consumer groups on the wire; the decisions are in `group/`.

use super::*;
use crate::embedded::broker::group::{Answer, Caller, Join, Waiter};
use kafka_protocol::messages::join_group_response::JoinGroupResponseMember;
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::sync::oneshot;

pub async fn join(call: Arc<Call>, request: JoinGroupRequest) -> JoinGroupResponse {
    let (version, response) = (call.version, JoinGroupResponse::default());
    if request.group_id.is_empty() {
        return response.with_error_code(ResponseError::InvalidGroupId.code());
    }
    let protocol_type = request.protocol_type.clone();
    let answer = begin_join(&call, request);
    match outcome(answer).await {
        Answer::Joined { generation, protocol, leader, member_id, members } => {
            let members = members.into_iter().map(|member| {
                let told = JoinGroupResponseMember::default().with_member_id(text(member.member_id));
                let instance = member.instance.filter(|_| version >= 5).map(text);
                told.with_metadata(member.metadata).with_group_instance_id(instance)
            });
            response
                .with_generation_id(generation)
                .with_protocol_type(Some(protocol_type).filter(|_| version >= 7))
                .with_protocol_name(Some(text(protocol)))
                .with_leader(text(leader))
                .with_member_id(text(member_id))
                .with_members(members.collect())
        }
        Answer::Refused { error, member_id } => response
            .with_error_code(error.code())
            .with_generation_id(-1)
            .with_protocol_name(if version >= 7 { None } else { Some(StrBytes::default()) })
            .with_member_id(text(member_id)),
        Answer::Synced { .. } => response.with_error_code(ResponseError::UnknownServerError.code()),
    }
}

fn begin_join(call: &Call, request: JoinGroupRequest) -> oneshot::Receiver<Answer> {
    let mut coordinator = call.node.coordinator();
    let (waiter, receiver) = coordinator.wait();
    let session_ms = i64::from(request.session_timeout_ms);
    let instance = request.group_instance_id.map(|instance| instance.to_string());
    let protocols = request.protocols.into_iter().map(|protocol| (protocol.name.to_string(), protocol.metadata));
    let join = Join {
        member_id: request.member_id.to_string(),
        fresh_id: fresh_member_id(instance.as_ref().unwrap_or(&call.client_id), waiter),
        instance,
        id_first: call.version >= 4,
        client_id: call.client_id.clone(),
        client_host: format!("/{}", call.peer),
        session_ms,
        rebalance_ms: if call.version >= 1 { i64::from(request.rebalance_timeout_ms) } else { session_ms },
        protocol_type: request.protocol_type.to_string(),
        protocols: protocols.collect(),
    };
    let group = coordinator.groups.entry(request.group_id.to_string()).or_default();
    let answers = group.join(join, waiter, now());
    coordinator.answer(answers);
    receiver
}

/// Unique across restarts: a member of an earlier run must never be taken for a new one.
fn fresh_member_id(client_id: &str, waiter: Waiter) -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("{client_id}-{:x}-{waiter}", since.as_nanos())
}

async fn outcome(receiver: oneshot::Receiver<Answer>) -> Answer {
    // The sender is only dropped unanswered when the group was deleted meanwhile.
    let gone = Answer::Refused { error: ResponseError::UnknownMemberId, member_id: String::new() };
    receiver.await.unwrap_or(gone)
}

pub async fn sync(call: Arc<Call>, request: SyncGroupRequest) -> SyncGroupResponse {
    let (answer, response) = (begin_sync(&call, &request), SyncGroupResponse::default());
    match outcome(answer).await {
        Answer::Synced { protocol_type, protocol, assignment } => {
            let response = response.with_assignment(assignment);
            // Told only to those who asked with them (version 5).
            match request.protocol_type {
                None => response,
                _ => response.with_protocol_type(Some(text(protocol_type))).with_protocol_name(Some(text(protocol))),
            }
        }
        Answer::Refused { error, .. } => response.with_error_code(error.code()),
        Answer::Joined { .. } => response.with_error_code(ResponseError::UnknownServerError.code()),
    }
}

fn begin_sync(call: &Call, request: &SyncGroupRequest) -> oneshot::Receiver<Answer> {
    let mut coordinator = call.node.coordinator();
    let (waiter, receiver) = coordinator.wait();
    let caller = Caller::new(&request.member_id, &request.group_instance_id, request.generation_id);
    let protocol = (request.protocol_type.as_deref(), request.protocol_name.as_deref());
    let assignments = request.assignments.iter();
    let assignments = assignments.map(|given| (given.member_id.to_string(), given.assignment.clone())).collect();
    let answers = match coordinator.groups.get_mut(request.group_id.as_str()) {
        Some(group) => group.sync(caller, protocol, assignments, waiter, now()),
        None => {
            let error = ResponseError::UnknownMemberId;
            vec![(waiter, Answer::Refused { error, member_id: String::new() })]
        }
    };
    coordinator.answer(answers);
    receiver
}

pub fn heartbeat(call: &Call, request: HeartbeatRequest) -> HeartbeatResponse {
    let caller = Caller::new(&request.member_id, &request.group_instance_id, request.generation_id);
    let mut coordinator = call.node.coordinator();
    let group = coordinator.groups.get_mut(request.group_id.as_str());
    let alive = group.ok_or(ResponseError::UnknownMemberId).and_then(|group| group.heartbeat(caller, now()));
    HeartbeatResponse::default().with_error_code(code(&alive))
}

pub fn leave(call: &Call, request: LeaveGroupRequest) -> LeaveGroupResponse {
    let mut coordinator = call.node.coordinator();
    let (left, answers) = match coordinator.groups.get_mut(request.group_id.as_str()) {
        Some(group) => group.leave(&request.member_id, now()),
        None => (Err(ResponseError::UnknownMemberId), Vec::new()),
    };
    coordinator.answer(answers);
    LeaveGroupResponse::default().with_error_code(code(&left))
}
