//! Topics that are missing, partitions that are too few, and configurations that differ: of the copies, and of the flow's own facts.
#![deny(clippy::disallowed_methods, clippy::disallowed_types, clippy::disallowed_macros)]

use std::collections::BTreeMap;

use super::super::selection::{Complaint, Pair};
use super::config::{self, Desired};
use super::{Flow, Observed, Plan, Step, Topic, Why};

/// Topics that fairlead itself writes on the target.
pub fn facts(plan: &mut Plan, flow: &Flow<'_>, observed: &Observed) {
    let mirror = flow.mirror;
    // Every range is needed, for as long as anybody may ask where an offset lies.
    let kept = [("cleanup.policy", "delete"), ("retention.bytes", "-1"), ("retention.ms", "-1")];
    fact(plan, flow, observed, &mirror.offsets, &kept, "what was copied where");
    if let Some(existing) = observed.target.get(&mirror.offsets) {
        let partitions = existing.partitions.len();
        if partitions != usize::from(mirror.shards) {
            let message = format!(
                "`{}` has {partitions} partitions on the target, one a shard; write `shards: {partitions}`, or another topic under `offsets`",
                mirror.offsets
            );
            plan.problems.push(Complaint { topic: None, message });
        }
    }
    if let Some(groups) = &mirror.groups {
        fact(plan, flow, observed, &groups.offsets, &[], "where groups stand");
    }
    if let Some(audits) = &mirror.audits {
        fact(plan, flow, observed, audits, &[], "what audits found");
    }
}

fn fact(plan: &mut Plan, flow: &Flow<'_>, observed: &Observed, name: &str, configs: &[(&str, &str)], why: &str) {
    let configs = configs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    match observed.target.get(name) {
        None => plan.steps.push(Step::Create {
            topic: name.to_owned(),
            partitions: flow.mirror.shards.into(),
            replication: flow.replication,
            configs: configs.collect(),
            why: why.to_owned(),
        }),
        Some(existing) => {
            let differ: BTreeMap<_, _> = configs
                .filter(|(name, value)| existing.effective(name) != Some(value))
                .map(|(name, value)| (name, Some(value)))
                .collect();
            if !differ.is_empty() {
                plan.steps.push(Step::Alter { topic: name.to_owned(), configs: differ, why: Why::Differs });
            }
        }
    }
}

/// The copies.
pub fn copies(plan: &mut Plan, flow: &Flow<'_>, observed: &Observed) {
    for (target, pairs) in plan.by_target() {
        // All of these are in the observation, for the pairs are made of it.
        let sources: Vec<_> = pairs.iter().filter_map(|pair| observed.source.get(&pair.source)).collect();
        let (Some(pair), Some(source)) = (pairs.first(), sources.first()) else { continue };
        if pairs.len() > 1 {
            let names: Vec<_> = pairs.iter().map(|pair| &*pair.source).collect();
            plan.warning(&pair.source, format!("`{target}` is configured as this first one of {}", names.join(", ")));
        }
        let partitions = sources.iter().map(|source| source.partitions.len()).max().unwrap_or_default();
        let desired = Desired::of(&flow.mirror.config, source);
        let wanted: Vec<_> = pairs.iter().map(|pair| &*pair.source).collect();
        let behind = !wanted.iter().all(|source| observed.caught_up(source));
        for name in &desired.secret {
            plan.warning(
                &pair.source,
                format!("{name} is a secret that Kafka does not tell; set it by hand on `{target}`"),
            );
        }
        match observed.target.get(&target) {
            None => create(plan, flow, pair, partitions, &desired, behind),
            Some(existing) => {
                grow(plan, pair, existing, partitions);
                // What is copied back has the configuration that it always had.
                if !pair.reverse {
                    let untouched = !wanted.iter().any(|source| observed.has_ranges(source));
                    alter(plan, pair, existing, &desired, config::Stage { behind, untouched });
                }
            }
        }
    }
    plan.drop_refused();
    let kept: Vec<_> = plan.pairs.iter().map(|pair| pair.target.clone()).collect();
    let own =
        [Some(&flow.mirror.offsets), flow.mirror.audits.as_ref(), flow.mirror.groups.as_ref().map(|it| &it.offsets)];
    plan.steps.retain(|step| match step {
        Step::Create { topic, .. } | Step::Grow { topic, .. } | Step::Alter { topic, .. } => {
            kept.contains(topic) || own.contains(&Some(topic))
        }
        Step::Allow { .. } => true,
    });
}

fn create(plan: &mut Plan, flow: &Flow<'_>, pair: &Pair, partitions: usize, desired: &Desired, behind: bool) {
    let Ok(partitions) = i32::try_from(partitions) else { return };
    let replication = flow.replication;
    if let Some(told) = replication.and_then(|replicas| desired.too_few_replicas(i64::from(replicas))) {
        return plan.problem(&pair.source, told);
    }
    let holds = behind && !pair.reverse;
    if holds {
        plan.held.insert(pair.target.clone(), desired.waiting());
    }
    let configs = if holds { desired.held_back() } else { desired.set.clone() };
    let why = format!("copy of `{}`", pair.source);
    plan.steps.push(Step::Create { topic: pair.target.clone(), partitions, replication, configs, why });
}

fn grow(plan: &mut Plan, pair: &Pair, existing: &Topic, partitions: usize) {
    let (Ok(from), Ok(to)) = (i32::try_from(existing.partitions.len()), i32::try_from(partitions)) else { return };
    let target = &pair.target;
    if from < to {
        let moves = format!(
            "`{target}` grows from {from} to {to} partitions as its source did: whoever writes by key puts keys elsewhere from then on, so \
             records of one key lie in two partitions"
        );
        plan.warning(&pair.source, moves);
        plan.steps.push(Step::Grow { topic: target.clone(), from, to });
    } else if from > to {
        let more = format!(
            "`{target}` has {from} partitions and its source {to}: copies keep their partition, but whoever writes to the copy by key puts \
             keys elsewhere"
        );
        plan.warning(&pair.source, more);
    }
}

fn alter(plan: &mut Plan, pair: &Pair, existing: &Topic, desired: &Desired, stage: config::Stage) {
    if let Some(told) = i64::try_from(existing.replication).ok().and_then(|replicas| desired.too_few_replicas(replicas))
    {
        return plan.problem(&pair.source, told);
    }
    let changes = desired.changes(existing, stage);
    for (why, configs) in changes.by_reason {
        plan.steps.push(Step::Alter { topic: pair.target.clone(), configs, why });
    }
    if !changes.held.is_empty() {
        plan.held.insert(pair.target.clone(), changes.held);
    }
    for (name, value) in changes.own_retention {
        let message = format!(
            "{name} is {value} on `{}` and not set on the source: old records may expire there before they are read; take it out there \
             while they are copied",
            pair.target
        );
        plan.warning(&pair.source, message);
    }
}

impl Topic {
    pub(super) fn effective(&self, config: &str) -> Option<&String> {
        self.configs.get(config)?.value.as_ref()
    }

    pub(super) fn own(&self, config: &str) -> Option<&String> {
        self.configs.get(config).filter(|config| config.own)?.value.as_ref()
    }
}
