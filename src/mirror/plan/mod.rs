//! From what was seen of both clusters to what is to be done on the target, so that a flow's topics can be copied there.
//!
//! ```text
//! names ─► selection ─► health (what was copied, against what is there) ─► topics, config, access ─► steps in order, warnings, problems
//! ```
//! Invariants: the same observation gives the same plan. Steps are what is missing and nothing else: after they were taken, or some of
//! them, a new look gives those that are still missing, and at last none. A topic with a problem is in no pair and in no step.
//! Nothing is deleted, no partition is taken away.
#![deny(clippy::disallowed_methods, clippy::disallowed_types, clippy::disallowed_macros)]

pub mod access;
mod config;
mod health;
pub mod progress;
mod show;
#[cfg(test)]
mod tests;
mod topics;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::Mirror;
use super::rename::Renames;
use super::selection::{Complaint, Names, Pair, Selection};
use access::{NotCarried, Rule};

/// Of a cluster, as far as it concerns a flow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Topic {
    pub id: Option<String>,
    /// By number, from 0 without a gap.
    pub partitions: Vec<Ends>,
    /// The fewest replicas that a partition has.
    pub replication: usize,
    /// All that hold for it, those of the cluster too.
    pub configs: BTreeMap<String, Config>,
    /// Whether a reader at read_committed finds a record. Only asked of targets that no range speaks of; else false.
    pub has_records: bool,
}

/// Offsets of a partition. Whoever looks takes the start before, and the end after what was copied: so neither seems to lie beyond.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ends {
    /// The first that is kept.
    pub start: i64,
    /// The last stable offset.
    pub end: i64,
    /// The end as it was at an earlier look, if there was one: whoever has copied this much keeps up.
    pub settled: i64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// `None`: it is a secret.
    pub value: Option<String>,
    /// Set on the topic itself.
    pub own: bool,
}

/// The last range of a source partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frontier {
    pub source_id: Option<String>,
    /// The next to be copied.
    pub source_end: i64,
    pub target_topic: String,
    pub target_partition: i32,
    /// After the last copy.
    pub target_end: i64,
}

#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// All but Kafka's own.
    pub source: BTreeMap<String, Topic>,
    pub target: BTreeMap<String, Topic>,
    /// Of this flow, by source topic and partition.
    pub frontiers: BTreeMap<String, BTreeMap<i32, Frontier>>,
    /// Flows that have copied to a target topic.
    pub writers: BTreeMap<String, BTreeSet<String>>,
    /// `None`: the cluster has no authorizer. Not asked unless they are to be carried over.
    pub source_rules: Option<Vec<Rule>>,
    pub target_rules: Option<Vec<Rule>>,
}

/// The flow that is planned.
pub struct Flow<'a> {
    pub name: &'a str,
    pub mirror: &'a Mirror,
    pub renames: &'a Renames,
    /// Of topics that are created; `None`: the broker's default.
    pub replication: Option<i16>,
    /// As in [`Names`].
    pub own: &'a dyn Fn(&str) -> bool,
    pub opposite: &'a [Renames],
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    pub flow: String,
    /// What can be copied once the steps are taken, by source.
    pub pairs: Vec<Pair>,
    /// In the order in which they are to be taken.
    pub steps: Vec<Step>,
    /// Targets whose retention or compaction waits until they have caught up, and for what.
    pub held: BTreeMap<String, BTreeMap<String, Option<String>>>,
    pub warnings: Vec<Complaint>,
    pub problems: Vec<Complaint>,
    pub not_carried: Vec<NotCarried>,
}

/// One admin call on the target, of which some are sent together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    Create { topic: String, partitions: i32, replication: Option<i16>, configs: BTreeMap<String, String>, why: String },
    Grow { topic: String, from: i32, to: i32 },
    Alter { topic: String, configs: BTreeMap<String, Option<String>>, why: Why },
    Allow { rule: Rule },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// The source says otherwise, or the topology.
    Differs,
    /// Old records are still to come, which must not expire.
    HoldsBack,
    /// They have come: what was held back is put in force.
    CaughtUp,
}

pub fn plan(flow: &Flow<'_>, observed: &Observed) -> Plan {
    let names = |topics: &BTreeMap<String, Topic>| topics.keys().cloned().collect::<BTreeSet<_>>();
    let (source, target) = (names(&observed.source), names(&observed.target));
    let names = Names { source: &source, target: &target, own: flow.own, opposite: flow.opposite };
    let Selection { pairs, problems, warnings } =
        Selection::of(flow.renames, &flow.mirror.topics, flow.mirror.merge, names);
    let mut plan = Plan {
        flow: flow.name.to_owned(),
        pairs,
        steps: Vec::new(),
        held: BTreeMap::new(),
        warnings,
        problems,
        not_carried: Vec::new(),
    };
    health::check(&mut plan, flow, observed);
    topics::facts(&mut plan, flow, observed);
    topics::copies(&mut plan, flow, observed);
    if flow.mirror.acls {
        access::carry(&mut plan, observed);
    }
    plan.steps.sort_by(|a, b| a.order().cmp(&b.order()));
    plan.warnings.sort();
    plan.problems.sort();
    plan
}

impl Plan {
    /// Whether the whole flow must not run.
    pub fn is_stopped(&self) -> bool {
        self.problems.iter().any(|problem| problem.topic.is_none())
    }

    fn problem(&mut self, topic: &str, message: String) {
        self.problems.push(Complaint::of(topic, message));
    }

    fn warning(&mut self, topic: &str, message: String) {
        self.warnings.push(Complaint::of(topic, message));
    }

    /// Takes the pairs out that have a problem.
    fn drop_refused(&mut self) {
        let refused: BTreeSet<_> = self.problems.iter().filter_map(|problem| problem.topic.as_deref()).collect();
        self.pairs.retain(|pair| !refused.contains(&*pair.source));
    }

    /// What each target is a copy of; several sources only where topics merge.
    fn by_target(&self) -> BTreeMap<String, Vec<Pair>> {
        let mut targets: BTreeMap<String, Vec<Pair>> = BTreeMap::new();
        for pair in &self.pairs {
            targets.entry(pair.target.clone()).or_default().push(pair.clone());
        }
        targets
    }
}

impl Step {
    /// Topics before what is done to them; then by name.
    fn order(&self) -> (u8, &str, Option<&Rule>) {
        match self {
            Step::Create { topic, .. } => (0, topic, None),
            Step::Grow { topic, .. } => (1, topic, None),
            Step::Alter { topic, .. } => (2, topic, None),
            Step::Allow { rule } => (3, "", Some(rule)),
        }
    }
}

impl Observed {
    /// Whether all that the source held at an earlier look (or at this one) has been copied.
    fn caught_up(&self, source: &str) -> bool {
        let frontiers = self.frontiers.get(source);
        self.source.get(source).is_some_and(|topic| {
            let mut partitions = (0_i32..).zip(&topic.partitions);
            partitions.all(|(number, ends)| {
                let copied = frontiers.and_then(|frontiers| frontiers.get(&number));
                copied.map_or(ends.start, |frontier| frontier.source_end) >= ends.settled.min(ends.end)
            })
        })
    }

    fn has_ranges(&self, source: &str) -> bool {
        self.frontiers.get(source).is_some_and(|frontiers| !frontiers.is_empty())
    }
}
