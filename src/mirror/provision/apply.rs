//! The steps of a plan as admin calls: those of one kind together, in the plan's order.
//!
//! A refusal is told and ends nothing: whether it matters is seen at the next look.

use std::collections::BTreeMap;

use super::rules::acl;
use super::{Error, Provision};
use crate::mirror::plan::Step;
use crate::wire::{NewTopic, Refusal};

impl Provision {
    /// Which steps were refused, and why.
    pub(super) async fn apply(&mut self, steps: &[Step]) -> Result<Vec<(Step, Refusal)>, Error> {
        let on_target = self.on_target();
        let mut refused = BTreeMap::new();
        let topics: Vec<_> = steps.iter().filter_map(new_topic).collect();
        if !topics.is_empty() {
            refused.extend(told("create", self.target.create_topics(&topics, false).await.map_err(&on_target)?));
        }
        let counts: BTreeMap<_, _> = steps.iter().filter_map(count).collect();
        if !counts.is_empty() {
            refused.extend(told("grow", self.target.create_partitions(&counts, false).await.map_err(&on_target)?));
        }
        let changes = changes(steps);
        if !changes.is_empty() {
            refused.extend(told("alter", self.target.alter_topic_configs(&changes, false).await.map_err(&on_target)?));
        }
        let allowed: Vec<_> = steps.iter().filter(|step| matches!(step, Step::Allow { .. })).collect();
        let acls: Vec<_> = allowed
            .iter()
            .filter_map(|step| match step {
                Step::Allow { rule } => acl(rule),
                _ => None,
            })
            .collect();
        let outcomes =
            if acls.is_empty() { Vec::new() } else { self.target.create_acls(&acls).await.map_err(&on_target)? };
        let of_rules =
            allowed.iter().zip(outcomes).filter_map(|(step, outcome)| Some(((*step).clone(), outcome.err()?)));
        let of_topics = steps.iter().filter_map(|step| {
            let key = match step {
                Step::Create { topic, .. } => ("create", topic.clone()),
                Step::Grow { topic, .. } => ("grow", topic.clone()),
                Step::Alter { topic, .. } => ("alter", topic.clone()),
                Step::Allow { .. } => return None,
            };
            Some((step.clone(), refused.get(&key)?.clone()))
        });
        Ok(of_topics.chain(of_rules).collect())
    }
}

type Told = (&'static str, String);

fn told(call: &'static str, outcomes: BTreeMap<String, Result<(), Refusal>>) -> Vec<(Told, Refusal)> {
    outcomes.into_iter().filter_map(|(topic, outcome)| Some(((call, topic), outcome.err()?))).collect()
}

fn new_topic(step: &Step) -> Option<NewTopic> {
    let Step::Create { topic, partitions, replication, configs, .. } = step else { return None };
    let (partitions, replication) = (*partitions, *replication);
    Some(NewTopic { name: topic.clone(), partitions, replication, configs: configs.clone() })
}

fn count(step: &Step) -> Option<(String, i32)> {
    let Step::Grow { topic, to, .. } = step else { return None };
    Some((topic.clone(), *to))
}

/// A topic may have changes for several reasons: they are one call.
fn changes(steps: &[Step]) -> BTreeMap<String, BTreeMap<String, Option<String>>> {
    let mut changes: BTreeMap<String, BTreeMap<String, Option<String>>> = BTreeMap::new();
    for step in steps {
        if let Step::Alter { topic, configs, .. } = step {
            changes.entry(topic.clone()).or_default().extend(configs.clone());
        }
    }
    changes
}
