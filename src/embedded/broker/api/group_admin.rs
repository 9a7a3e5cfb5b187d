//! Looking at groups and deleting them.

use super::*;
use crate::embedded::broker::group::{Group, Phase};
use kafka_protocol::messages::delete_groups_response::DeletableGroupResult;
use kafka_protocol::messages::describe_groups_response::{DescribedGroup, DescribedGroupMember};
use kafka_protocol::messages::list_groups_response::ListedGroup;

/// A group exists while it has members or committed offsets.
fn exists(coordinator: &Coordinator, group: &str) -> bool {
    coordinator.groups.contains_key(group) || coordinator.meta().groups.contains_key(group)
}

pub fn list(call: &Call, request: ListGroupsRequest) -> ListGroupsResponse {
    let coordinator = call.node.coordinator();
    let mut names: Vec<&String> = coordinator.groups.keys().chain(coordinator.meta().groups.keys()).collect();
    names.sort_unstable();
    names.dedup();
    let listed = names.into_iter().filter_map(|name| {
        let group = coordinator.groups.get(name);
        let state = group.map_or("Empty", Group::state_name);
        let wanted = &request.states_filter;
        let listed = ListedGroup::default()
            .with_group_id(GroupId(text(name)))
            .with_protocol_type(text(group.map_or("", |group| &group.protocol_type)))
            .with_group_state(text(if call.version >= 4 { state } else { "" }));
        (wanted.is_empty() || wanted.iter().any(|wanted| wanted.eq_ignore_ascii_case(state))).then_some(listed)
    });
    ListGroupsResponse::default().with_groups(listed.collect())
}

pub fn describe(call: &Call, request: DescribeGroupsRequest) -> DescribeGroupsResponse {
    let coordinator = call.node.coordinator();
    let groups = request.groups.into_iter().map(|id| {
        let described = DescribedGroup::default();
        let described = match coordinator.groups.get(id.as_str()) {
            Some(group) => members(described, group),
            None if exists(&coordinator, &id) => described.with_group_state(text("Empty")),
            None => described.with_group_state(text("Dead")),
        };
        described.with_group_id(id)
    });
    DescribeGroupsResponse::default().with_groups(groups.collect())
}

fn members(described: DescribedGroup, group: &Group) -> DescribedGroup {
    let stable = group.phase == Phase::Stable;
    let members = group.members.iter().map(|(id, member)| {
        let told = DescribedGroupMember::default()
            .with_member_id(text(id))
            .with_group_instance_id(member.join.instance.clone().map(text))
            .with_client_id(text(&member.join.client_id))
            .with_client_host(text(&member.join.client_host));
        if !stable {
            return told;
        }
        told.with_member_metadata(group.metadata(member)).with_member_assignment(member.assignment.clone())
    });
    described
        .with_group_state(text(group.state_name()))
        .with_protocol_type(text(&group.protocol_type))
        .with_protocol_data(text(if stable { &group.protocol } else { "" }))
        .with_members(members.collect())
}

pub fn delete(call: &Call, request: DeleteGroupsRequest) -> DeleteGroupsResponse {
    let mut coordinator = call.node.coordinator();
    let results = request.groups_names.into_iter().map(|id| {
        let deleted = delete_one(&mut coordinator, &id);
        DeletableGroupResult::default().with_group_id(id).with_error_code(code(&deleted))
    });
    DeleteGroupsResponse::default().with_results(results.collect())
}

fn delete_one(coordinator: &mut Coordinator, id: &str) -> Outcome {
    if !exists(coordinator, id) {
        return Err(ResponseError::GroupIdNotFound);
    }
    if coordinator.groups.get(id).is_some_and(|group| !group.members.is_empty()) {
        return Err(ResponseError::NonEmptyGroup);
    }
    coordinator.record(Entry::GroupDeleted { group: id.to_owned() })?;
    coordinator.groups.remove(id);
    Ok(())
}
