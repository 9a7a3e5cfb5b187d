//! How a copy is to be configured: as its source, by the flow's policy, and with retention held back while old records come.
//!
//! Whether something is held back is read off the target itself: it has the value that is held back, and that is not the one which is
//! wanted. So nothing has to be remembered, a crash changes nothing, and what is in force stays so when a flow later falls behind.
#![deny(clippy::disallowed_methods, clippy::disallowed_types, clippy::disallowed_macros)]

use std::collections::BTreeMap;

use super::super::TopicConfig;
use super::{Topic, Why};

/// Only copied where they are named: what speaks of brokers, or of where else a cluster keeps segments, means nothing on another cluster;
/// and what Kafka 4 knows no longer, it refuses with the whole topic.
const OF_THE_CLUSTER: [&str; 5] = [
    "follower.replication.throttled.replicas",
    "leader.replication.throttled.replicas",
    "message.downconversion.enable",
    "message.format.version",
    "message.timestamp.difference.max.ms",
];
const OF_THE_CLUSTER_PREFIXES: [&str; 3] = ["confluent.", "local.retention.", "remote."];

const TIMESTAMPS: &str = "message.timestamp.type";
const MESSAGE_BYTES: &str = "max.message.bytes";
const IN_SYNC: &str = "min.insync.replicas";
/// What deletes, and the value with which it does not.
const DELETES: [(&str, &str); 3] = [("cleanup.policy", "delete"), ("retention.bytes", "-1"), ("retention.ms", "-1")];

/// What is set on a copy, once it has caught up.
pub struct Desired {
    pub set: BTreeMap<String, String>,
    /// Said by the topology: it holds even where the copy could do with more.
    fixed: Vec<String>,
    /// Names of secrets, which cannot be copied.
    pub secret: Vec<String>,
}

#[derive(Clone, Copy)]
pub struct Stage {
    /// Old records are still to come.
    pub behind: bool,
    /// Nothing has been copied yet.
    pub untouched: bool,
}

#[derive(Default)]
pub struct Changes {
    pub by_reason: BTreeMap<Why, BTreeMap<String, Option<String>>>,
    /// What waits, and for which value; `None`: it will not be set on the topic itself.
    pub held: BTreeMap<String, Option<String>>,
    /// Set on the target alone.
    pub own_retention: Vec<(String, String)>,
}

impl Desired {
    pub fn of(policy: &TopicConfig, source: &Topic) -> Self {
        let mut desired =
            Self { set: BTreeMap::new(), fixed: policy.set.keys().cloned().collect(), secret: Vec::new() };
        for (name, config) in source.configs.iter().filter(|(name, config)| config.own && policy.copies(name)) {
            match &config.value {
                Some(value) => _ = desired.set.insert(name.clone(), value.clone()),
                None => desired.secret.push(name.clone()),
            }
        }
        // Whatever the source took must fit, whoever set its bound.
        if let Some(bytes) = source.effective(MESSAGE_BYTES) {
            desired.set.insert(MESSAGE_BYTES.to_owned(), bytes.clone());
        }
        desired.set.extend(policy.set.clone());
        desired.set.insert(TIMESTAMPS.to_owned(), "CreateTime".to_owned());
        desired
    }

    /// How it is created while old records are to come.
    pub fn held_back(&self) -> BTreeMap<String, String> {
        let held = DELETES.into_iter().filter_map(|(name, _)| Some((name.to_owned(), self.held(name)?.to_owned())));
        self.set.clone().into_iter().chain(held).collect()
    }

    /// What that is to become.
    pub fn waiting(&self) -> BTreeMap<String, Option<String>> {
        let held = DELETES.into_iter().filter(|(name, _)| self.held(name).is_some());
        held.map(|(name, _)| (name.to_owned(), self.set.get(name).cloned())).collect()
    }

    /// The value with which it does not delete, where that is not what is wanted.
    fn held(&self, name: &str) -> Option<&'static str> {
        let (_, keeps) = DELETES.into_iter().find(|(deletes, _)| *deletes == name)?;
        match self.set.get(name) {
            Some(value) => (value != keeps).then_some(keeps),
            // Without being set, a policy only deletes, as it does while it is held back.
            None => (name != "cleanup.policy").then_some(keeps),
        }
    }

    pub fn changes(&self, target: &Topic, stage: Stage) -> Changes {
        let mut changes = Changes::default();
        for (name, value) in &self.set {
            let enough = name == MESSAGE_BYTES && !self.fixed.contains(name) && at_least(target.effective(name), value);
            if target.own(name) != Some(value) && !enough && self.held(name).is_none() {
                changes.say(Why::Differs, name, Some(value.clone()));
            }
        }
        for (name, _) in DELETES {
            if let Some(keeps) = self.held(name) {
                self.change_held(name, keeps, target.own(name), stage, &mut changes);
            }
        }
        changes
    }

    fn change_held(&self, name: &str, keeps: &str, own: Option<&String>, stage: Stage, changes: &mut Changes) {
        let wanted = self.set.get(name);
        let is_held = own.is_some_and(|own| own == keeps);
        match (is_held, stage.behind) {
            (true, true) => _ = changes.held.insert(name.to_owned(), wanted.cloned()),
            (true, false) => changes.say(Why::CaughtUp, name, wanted.cloned()),
            (false, true) => match (wanted, own) {
                (None, Some(own)) => changes.own_retention.push((name.to_owned(), own.clone())),
                // It is in force: a flow that falls behind later does not change that.
                _ if own == wanted && !stage.untouched => {}
                _ => {
                    changes.held.insert(name.to_owned(), wanted.cloned());
                    changes.say(Why::HoldsBack, name, Some(keeps.to_owned()));
                }
            },
            (false, false) => {
                if let Some(wanted) = wanted.filter(|wanted| own != Some(wanted)) {
                    changes.say(Why::Differs, name, Some(wanted.clone()));
                }
            }
        }
    }

    /// No copy could be written.
    pub fn too_few_replicas(&self, replicas: i64) -> Option<String> {
        let in_sync: i64 = self.set.get(IN_SYNC)?.parse().ok()?;
        (in_sync > replicas).then(|| {
            format!(
                "{IN_SYNC}={in_sync} would be copied to a topic of {replicas} replicas, and then nothing could be written to it; write \
                 `leave: [{IN_SYNC}]` or another value under `set`, or a higher `replication_factor` of the cluster"
            )
        })
    }
}

impl Changes {
    fn say(&mut self, why: Why, name: &str, value: Option<String>) {
        self.by_reason.entry(why).or_default().insert(name.to_owned(), value);
    }
}

impl TopicConfig {
    fn copies(&self, name: &str) -> bool {
        let of_the_cluster =
            OF_THE_CLUSTER.contains(&name) || OF_THE_CLUSTER_PREFIXES.iter().any(|prefix| name.starts_with(prefix));
        let asked = self.copy.as_ref().map_or(!of_the_cluster, |copied| copied.iter().any(|copied| copied == name));
        asked && !self.leave.iter().any(|left| left == name)
    }
}

fn at_least(have: Option<&String>, wanted: &str) -> bool {
    let number = |text: &str| text.parse::<i64>().ok();
    have.and_then(|have| number(have)).zip(number(wanted)).is_some_and(|(have, wanted)| have >= wanted)
}
