//! Groups in detail: state and members, of classic groups, of those whose broker assigns (KIP-848), of share groups (KIP-932).
//!
//! Of which kind a group is shows by what its coordinator knows it as: it is asked for one kind after the other. What is of neither is
//! looked up in the listing.

use std::collections::BTreeMap;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::{
    ConsumerGroupDescribeRequest, DescribeGroupsRequest, ShareGroupDescribeRequest, consumer_group_describe_response,
    describe_groups_response, share_group_describe_response,
};
use kafka_protocol::protocol::StrBytes;

use super::groups::group_id;
use super::{Admin, Right};
use crate::wire::cluster::Whom;
use crate::wire::connection::Failure;
use crate::wire::error::{Error, Refusal};
use crate::wire::{GroupDetail, GroupKind, MemberView, TopicPartition};

const DESCRIBE: Right = Right { what: "describe groups", operation: "Describe", resource: "group" };
const DEAD: &str = "Dead";
/// The protocol whose assignments can be read.
const CONSUMER: &str = "consumer";

/// What a coordinator says of each group; `None`: it has none of the kind.
type Said = Vec<(String, Result<Option<GroupDetail>, Refusal>)>;

impl Admin {
    /// A group that is not there is `Dead`.
    pub async fn describe_groups(&self, names: &[String]) -> Result<BTreeMap<String, GroupDetail>, Error> {
        let mut details = BTreeMap::new();
        let mut left = names.to_vec();
        for kind in [GroupKind::Classic, GroupKind::Consumer, GroupKind::Share] {
            let said = match self.describe_as(&kind, &left).await {
                Ok(said) => said,
                // An older broker has no groups of the kind.
                Err(Error::Unsupported { .. }) if kind != GroupKind::Classic => continue,
                Err(error) => return Err(error),
            };
            details.extend(said.into_iter().filter_map(|(name, detail)| Some((name, detail?))));
            left.retain(|name| !details.contains_key(name));
        }
        if !left.is_empty() {
            let mut listed = self.groups().await?;
            listed.retain(|group| !matches!(group.kind, GroupKind::Classic));
            for name in left {
                let found = listed.iter().find(|group| group.name == name);
                let (kind, state) = match found {
                    Some(group) => (group.kind.clone(), group.state.clone().unwrap_or_default()),
                    None => (GroupKind::Classic, DEAD.to_owned()),
                };
                details.insert(name, GroupDetail { kind, state, members: Vec::new() });
            }
        }
        Ok(details)
    }

    async fn describe_as(
        &self,
        kind: &GroupKind,
        names: &[String],
    ) -> Result<BTreeMap<String, Option<GroupDetail>>, Error> {
        match kind {
            GroupKind::Consumer => {
                self.at_coordinators(DESCRIBE, names, |broker, names| self.ask_consumer(broker, names)).await
            }
            GroupKind::Share => {
                self.at_coordinators(DESCRIBE, names, |broker, names| self.ask_share(broker, names)).await
            }
            _ => self.at_coordinators(DESCRIBE, names, |broker, names| self.ask_classic(broker, names)).await,
        }
    }

    async fn ask_classic(&self, broker: i32, names: Vec<String>) -> Result<Said, Failure> {
        let asked = DescribeGroupsRequest::default().with_groups(names.iter().map(|name| group_id(name)).collect());
        let answer = self.cluster.ask(Whom::Broker(broker), |_| asked).await?;
        let said = answer.groups.into_iter().map(|group| {
            let checked = Refusal::check(group.error_code, group.error_message.as_deref());
            // Before version 6 the coordinator says `Dead` of what it does not know.
            let is_there = &*group.group_state != DEAD;
            (group.group_id.to_string(), known(checked, || classic(group)).map(|known| known.filter(|_| is_there)))
        });
        Ok(said.collect())
    }

    async fn ask_consumer(&self, broker: i32, names: Vec<String>) -> Result<Said, Failure> {
        let asked =
            ConsumerGroupDescribeRequest::default().with_group_ids(names.iter().map(|name| group_id(name)).collect());
        let answer = self.cluster.ask(Whom::Broker(broker), |_| asked).await?;
        let said = answer.groups.into_iter().map(|group| {
            let checked = Refusal::check(group.error_code, group.error_message.as_deref());
            (group.group_id.to_string(), known(checked, || consumer(group)))
        });
        Ok(said.collect())
    }

    async fn ask_share(&self, broker: i32, names: Vec<String>) -> Result<Said, Failure> {
        let asked =
            ShareGroupDescribeRequest::default().with_group_ids(names.iter().map(|name| group_id(name)).collect());
        let answer = self.cluster.ask(Whom::Broker(broker), |_| asked).await?;
        let said = answer.groups.into_iter().map(|group| {
            let checked = Refusal::check(group.error_code, group.error_message.as_deref());
            (group.group_id.to_string(), known(checked, || share(group)))
        });
        Ok(said.collect())
    }
}

fn known(checked: Result<(), Refusal>, detail: impl FnOnce() -> GroupDetail) -> Result<Option<GroupDetail>, Refusal> {
    match checked {
        Ok(()) => Ok(Some(detail())),
        Err(refusal) if refusal.is(ResponseError::GroupIdNotFound) => Ok(None),
        Err(refusal) => Err(refusal),
    }
}

fn classic(group: describe_groups_response::DescribedGroup) -> GroupDetail {
    let is_consumer = &*group.protocol_type == CONSUMER;
    let members = group.members.into_iter().map(|member| MemberView {
        member_id: member.member_id.to_string(),
        instance_id: member.group_instance_id.map(|id| id.to_string()),
        client_id: member.client_id.to_string(),
        host: member.client_host.to_string(),
        assigned: if is_consumer { assignment(&member.member_assignment) } else { None },
    });
    GroupDetail { kind: GroupKind::Classic, state: group.group_state.to_string(), members: members.collect() }
}

fn consumer(group: consumer_group_describe_response::DescribedGroup) -> GroupDetail {
    let members = group.members.into_iter().map(|member| MemberView {
        member_id: member.member_id.to_string(),
        instance_id: member.instance_id.map(|id| id.to_string()),
        client_id: member.client_id.to_string(),
        host: member.client_host.to_string(),
        assigned: Some(flat(member.assignment.topic_partitions, |topic| (topic.topic_name.0, topic.partitions))),
    });
    GroupDetail { kind: GroupKind::Consumer, state: group.group_state.to_string(), members: members.collect() }
}

fn share(group: share_group_describe_response::DescribedGroup) -> GroupDetail {
    let members = group.members.into_iter().map(|member| MemberView {
        member_id: member.member_id.to_string(),
        instance_id: None,
        client_id: member.client_id.to_string(),
        host: member.client_host.to_string(),
        assigned: Some(flat(member.assignment.topic_partitions, |topic| (topic.topic_name.0, topic.partitions))),
    });
    GroupDetail { kind: GroupKind::Share, state: group.group_state.to_string(), members: members.collect() }
}

fn flat<T>(topics: Vec<T>, parts: impl Fn(T) -> (StrBytes, Vec<i32>)) -> Vec<TopicPartition> {
    let mut partitions = Vec::new();
    for (topic, numbers) in topics.into_iter().map(parts) {
        partitions.extend(numbers.into_iter().map(|number| (topic.to_string(), number)));
    }
    partitions.sort();
    partitions
}

/// What the consumer protocol assigns; empty bytes while the group rebalances. These come from the group's leader, which is anybody's
/// program, so no length in them is believed: `None` if they make no sense.
fn assignment(mut bytes: &[u8]) -> Option<Vec<TopicPartition>> {
    let mut partitions = Vec::new();
    if bytes.is_empty() {
        return Some(partitions);
    }
    let rest = &mut bytes;
    let _version = take(rest, 2)?;
    for _ in 0..number(rest)? {
        let length = take(rest, 2)?;
        let topic = take(rest, usize::from(u16::from_be_bytes([length[0], length[1]])))?;
        let topic = std::str::from_utf8(topic).ok()?;
        for _ in 0..number(rest)? {
            partitions.push((topic.to_owned(), number(rest)?));
        }
    }
    partitions.sort();
    Some(partitions)
}

fn number(rest: &mut &[u8]) -> Option<i32> {
    take(rest, 4)?.try_into().ok().map(i32::from_be_bytes)
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    rest.split_off(..count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_assignment_is_read_and_its_lengths_are_not_believed() {
        // Version 1; topic `ab` with 1 and 0, then no user data.
        let right = [0, 1, 0, 0, 0, 1, 0, 2, b'a', b'b', 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 0, 255, 255, 255, 255];
        assert_eq!(assignment(&right), Some(vec![("ab".into(), 0), ("ab".into(), 1)]));
        assert_eq!(assignment(&[]), Some(vec![]));
        assert_eq!(assignment(&right[..20]), None);
        for at in [2, 6, 10] {
            let mut wrong = right;
            wrong[at] = 127;
            assert_eq!(assignment(&wrong), None, "{at}");
        }
    }
}
