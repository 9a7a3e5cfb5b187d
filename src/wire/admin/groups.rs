//! Groups: listed, found (which broker coordinates which), deleted.

use std::collections::BTreeMap;

use futures_util::future::{join_all, try_join_all};
use kafka_protocol::messages::{DeleteGroupsRequest, FindCoordinatorRequest, GroupId, ListGroupsRequest};

use super::{Admin, Outcomes, Right, known, text};
use crate::wire::cluster::{Patience, Whom};
use crate::wire::connection::Failure;
use crate::wire::error::{Error, Refusal};
use crate::wire::{GroupKind, GroupView};

pub(super) const GROUPS_A_REQUEST: usize = 100;
/// Of FindCoordinator: from it on, many groups can be asked for at once.
pub(super) const MANY_KEYS: i16 = 4;

const FIND: Right = Right { what: "find the coordinators of groups", operation: "Describe", resource: "group" };
const DELETE: Right = Right { what: "delete groups", operation: "Delete", resource: "group" };

/// What became of a group, or what put it off.
type Deletion = (String, Result<Result<(), Refusal>, Refusal>);

impl Admin {
    /// All that may be seen, by name. Every broker is asked for those that it coordinates; what moves between brokers meanwhile may be
    /// missing.
    pub async fn groups(&self) -> Result<Vec<GroupView>, Error> {
        let mut patience = Patience::to("list groups");
        loop {
            match self.groups_of_all().await {
                Ok(groups) => return Ok(groups.into_values().collect()),
                // Another broker may coordinate them by now, so all are asked again.
                Err(failure) => patience.after(failure).await?,
            }
        }
    }

    async fn groups_of_all(&self) -> Result<BTreeMap<String, GroupView>, Failure> {
        let brokers = self.cluster.brokers().await?;
        let listed = brokers.into_iter().map(|broker| async move {
            let answer = self.cluster.ask(Whom::Broker(broker), |_| ListGroupsRequest::default()).await?;
            match Refusal::check(answer.error_code, None) {
                Ok(()) => Ok(answer.groups),
                Err(refusal) if refusal.passes() => Err(Failure::Passing(format!("broker {broker}: {refusal}"))),
                Err(refusal) => Err(Failure::Lasting(refusal.into_error("to list groups", "Describe", "cluster"))),
            }
        });
        let mut groups = BTreeMap::new();
        for group in try_join_all(listed).await?.into_iter().flatten() {
            let view = GroupView {
                name: group.group_id.to_string(),
                state: Some(group.group_state.to_string()).filter(|state| !state.is_empty()),
                kind: kind(&group.group_type),
                protocol_type: group.protocol_type.to_string(),
            };
            groups.insert(view.name.clone(), view);
        }
        Ok(groups)
    }

    /// Those that are there and have no members go, with their offsets. A repetition after a lost answer tells `GROUP_ID_NOT_FOUND`.
    pub async fn delete_groups(&self, names: &[String]) -> Result<Outcomes<String>, Error> {
        self.at_coordinators(DELETE, names, |broker, names| self.ask_to_delete(broker, names)).await
    }

    async fn ask_to_delete(&self, broker: i32, names: Vec<String>) -> Result<Vec<Deletion>, Failure> {
        let asked = DeleteGroupsRequest::default().with_groups_names(names.iter().map(|name| group_id(name)).collect());
        let answer = self.cluster.ask(Whom::Broker(broker), |_| asked).await?;
        let outcomes = answer.results.into_iter().map(|group| {
            let name = group.group_id.to_string();
            let outcome = match Refusal::check(group.error_code, None) {
                Err(refusal) if refusal.passes() => Err(refusal),
                outcome => Ok(outcome.map_err(|refusal| DELETE.explain(refusal, &name))),
            };
            (name, outcome)
        });
        Ok(outcomes.collect())
    }

    /// Asks each coordinator for its groups among `names`, and again for those that were put off. `ask` is told broker and groups, and answers
    /// with what became of each.
    pub(super) async fn at_coordinators<T, F>(
        &self,
        right: Right,
        names: &[String],
        ask: impl Fn(i32, Vec<String>) -> F,
    ) -> Result<BTreeMap<String, T>, Error>
    where
        F: Future<Output = Result<Vec<(String, Result<T, Refusal>)>, Failure>>,
    {
        let (mut left, mut answered) = (names.to_vec(), BTreeMap::new());
        let mut patience = Patience::to(right.what);
        while !left.is_empty() {
            let coordinators = self.coordinators(&left, &mut patience).await?;
            let asked = coordinators.iter().map(|(broker, names)| one_coordinator(*broker, names, &ask));
            let mut put_off = None;
            for (answers, failure) in join_all(asked).await {
                put_off = failure.or(put_off);
                for (name, answer) in answers {
                    match answer {
                        Ok(answer) => _ = answered.insert(name, answer),
                        Err(refusal) if refusal.passes() => {
                            put_off = Some(Failure::Passing(format!("group {name}: {refusal}")));
                        }
                        Err(refusal) => return Err(right.error(refusal, &name)),
                    }
                }
            }
            let before = left.len();
            left.retain(|name| !answered.contains_key(name));
            if left.len() < before {
                patience = Patience::to(right.what);
            }
            match put_off {
                Some(failure) => patience.after(failure).await?,
                None if left.is_empty() => {}
                None => return Err(super::unanswered(right.what, &left[0])),
            }
        }
        Ok(answered)
    }

    /// The broker that coordinates, for each of the groups.
    pub(super) async fn coordinators(
        &self,
        names: &[String],
        patience: &mut Patience,
    ) -> Result<BTreeMap<i32, Vec<String>>, Error> {
        let mut coordinators: BTreeMap<i32, Vec<String>> = BTreeMap::new();
        let mut left = names.to_vec();
        left.sort();
        left.dedup();
        while !left.is_empty() {
            let mut spoken = 0;
            // The version is told when the connection is there: before it, one asks for all that are left.
            let answer = self
                .cluster
                .ask(Whom::Any, |version| {
                    spoken = version;
                    let asked = FindCoordinatorRequest::default();
                    match version {
                        MANY_KEYS.. => {
                            asked.with_coordinator_keys(left.iter().take(1_000).map(|name| text(name)).collect())
                        }
                        _ => asked.with_key(text(&left[0])),
                    }
                })
                .await;
            let answer = match answer {
                Ok(answer) => answer,
                Err(failure) => {
                    patience.after(failure).await?;
                    continue;
                }
            };
            let found = match spoken {
                MANY_KEYS.. => answer
                    .coordinators
                    .into_iter()
                    .map(|found| (found.key.to_string(), found.node_id.0, found.error_code, found.error_message))
                    .collect(),
                _ => vec![(left[0].clone(), answer.node_id.0, answer.error_code, answer.error_message)],
            };
            let mut put_off = None;
            for (name, broker, code, message) in found {
                match (Refusal::check(code, message.as_deref()), known(broker)) {
                    (Ok(()), Some(broker)) => {
                        left.retain(|left| *left != name);
                        coordinators.entry(broker).or_default().push(name);
                    }
                    (Ok(()), None) => return Err(super::unanswered(FIND.what, &name)),
                    (Err(refusal), _) if refusal.passes() => put_off = Some(refusal),
                    (Err(refusal), _) => return Err(FIND.error(refusal, &name)),
                }
            }
            if let Some(refusal) = put_off {
                patience.after_refusal(&refusal).await?;
            }
        }
        Ok(coordinators)
    }
}

/// What a broker says of its groups, up to the first request that fails.
async fn one_coordinator<A, F>(
    broker: i32,
    names: &[String],
    ask: &impl Fn(i32, Vec<String>) -> F,
) -> (Vec<A>, Option<Failure>)
where
    F: Future<Output = Result<Vec<A>, Failure>>,
{
    let mut answers = Vec::with_capacity(names.len());
    for names in names.chunks(GROUPS_A_REQUEST) {
        match ask(broker, names.to_vec()).await {
            Ok(answer) => answers.extend(answer),
            Err(failure) => return (answers, Some(failure)),
        }
    }
    (answers, None)
}

pub(super) fn group_id(name: &str) -> GroupId {
    GroupId(text(name))
}

/// Brokers write it in different cases.
pub(super) fn kind(told: &str) -> GroupKind {
    match &*told.to_ascii_lowercase() {
        "" | "classic" => GroupKind::Classic,
        "consumer" => GroupKind::Consumer,
        "share" => GroupKind::Share,
        other => GroupKind::Other(other.to_owned()),
    }
}
