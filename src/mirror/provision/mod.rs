//! The target of a flow, as the plan wants it: both clusters are looked at, what is missing is done, and looked at again.
//!
//! ```text
//! observe ─► plan (pure) ─► apply ─► observe … until there is nothing left to do
//! ```
//! What always holds under a crash: each call is one that may be sent again, and what is to be done is read off the clusters each time.
//! Whoever dies between any two calls, or before an answer, leaves a plan with fewer steps. Several processes may do it at once: the
//! later is told that it is done. Nothing is decided here, and no record is written.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)] // it waits, beside modules that must not

mod apply;
mod names;
mod observe;
mod ranges;
mod rules;

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use thiserror::Error;

use crate::log::client::Connection;
use crate::mirror::Mirror;
use crate::mirror::plan::{self, Flow, Observed, Plan, Step, Why};
use crate::mirror::selection::Complaint;
use crate::runtime::SchemaSource;
use crate::wire::{self, Admin, Refusal};

pub use names::KnownNames;
pub use ranges::Ranges;

/// Brokers learn of a new topic, or of more partitions, one after the other: so long may it take until the next of them is to be seen.
/// A thousand topics take a broker a minute.
const NEXT_SETTLES_WITHIN: Duration = Duration::from_secs(60);
/// An error names so many steps.
const NAMED: usize = 5;
const PAUSE: Duration = Duration::from_millis(250);

#[derive(Debug, Error)]
pub enum Error {
    #[error("{cluster}: {error}")]
    Wire { cluster: String, error: wire::Error },
    #[error(transparent)]
    Log(#[from] crate::log::Error),
    #[error("{0}")]
    Ranges(String),
    /// It took the calls, but nothing is to be seen of them.
    #[error(
        "the target took these calls, and has shown none of them for {}s: {}; see whether its brokers are well, and try again",
        NEXT_SETTLES_WITHIN.as_secs(), steps(.0)
    )]
    Unseen(Vec<Step>),
    #[error("reading of ranges has panicked")]
    Panicked,
}

fn steps(steps: &[Step]) -> String {
    let named: Vec<_> = steps.iter().take(NAMED).map(|step| format!("`{step}`")).collect();
    let more = steps.len() - named.len();
    named.join("; ") + &if more > 0 { format!("; and {more} more") } else { String::new() }
}

/// A flow with its clusters looked up.
#[derive(Clone)]
pub struct FlowConfig {
    pub name: String,
    pub mirror: Mirror,
    pub renames: KnownNames,
    /// Flows that copy from this one's target to its source.
    pub opposite: Vec<KnownNames>,
    pub source: Cluster,
    pub target: Cluster,
    pub own: OwnTopics,
    /// Names readers, for quotas and access rules: nothing is ever committed to it.
    pub reader_group: String,
}

impl FlowConfig {
    /// Neither Kafka's nor fairlead's own.
    pub fn is_for_copies(&self, topic: &str) -> bool {
        !topic.starts_with("__") && !self.own.holds(topic)
    }
}

/// One side of a flow.
#[derive(Clone)]
pub struct Cluster {
    /// As the topology calls it; of the application's own, its address.
    pub name: String,
    pub connection: Connection,
    /// Of topics that are created; `None`: the broker's default.
    pub replication: Option<i16>,
}

/// Topics that fairlead itself writes: never copied, never written to by a copy.
#[derive(Clone, Debug, Default)]
pub struct OwnTopics {
    /// What derived names begin with.
    pub prefix: String,
    pub names: BTreeSet<String>,
}

impl OwnTopics {
    pub fn holds(&self, topic: &str) -> bool {
        topic.starts_with(&self.prefix) || self.names.contains(topic)
    }
}

/// A topic that can be copied: it and its copy are there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Copied {
    pub source: String,
    pub source_id: Option<String>,
    pub target: String,
    /// Only what is native on the source is copied.
    pub reverse: bool,
    pub partitions: i32,
    pub target_partitions: i32,
}

/// What a flow may copy now, and what not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Provisioned {
    /// By source.
    pub topics: Vec<Copied>,
    pub warnings: Vec<Complaint>,
    /// Each of a topic that is not in `topics`; of none, if the whole flow must not run.
    pub problems: Vec<Complaint>,
    /// Problems of what is being copied already: the flow is not to go on, for somebody has to decide.
    pub stops: Vec<Complaint>,
    /// What was done on the target.
    pub done: Vec<Step>,
    /// Calls that the target refuses, with its words. It is asked again at the next look.
    pub refused: Vec<String>,
}

/// Looks at both clusters of one flow, again and again, and mends the target.
pub struct Provision {
    config: FlowConfig,
    source: Admin,
    target: Admin,
    /// `None` while a thread reads.
    ranges: Option<Ranges>,
    /// Ends of source partitions at the last look.
    ends: BTreeMap<wire::TopicPartition, i64>,
    /// What has no name to be copied back under, as of the last look.
    ambiguous: Vec<Complaint>,
}

impl Provision {
    /// Connects to nobody yet. `schemas` is asked for what ranges were written with.
    pub fn new(config: FlowConfig, schemas: SchemaSource) -> Result<Self, Error> {
        let admin = |cluster: &Cluster| {
            Admin::new(&cluster.connection).map_err(|error| Error::Wire { cluster: cluster.name.clone(), error })
        };
        let (source, target) = (admin(&config.source)?, admin(&config.target)?);
        let ranges = Some(Ranges::new(&config.target.connection, &config.reader_group, &config.name, schemas)?);
        Ok(Self { config, source, target, ranges, ends: BTreeMap::new(), ambiguous: Vec::new() })
    }

    pub fn config(&self) -> &FlowConfig {
        &self.config
    }

    /// What would be done. Changes nothing.
    pub async fn plan(&mut self) -> Result<Plan, Error> {
        Ok(self.look().await?.1)
    }

    /// Does what is to be done, and answers with what can be copied.
    pub async fn refresh(&mut self) -> Result<Provisioned, Error> {
        self.refresh_telling(|_| {}).await
    }

    /// The same; `tell` hears of each step before it is taken.
    pub async fn refresh_telling(&mut self, tell: impl Fn(&Step)) -> Result<Provisioned, Error> {
        let (mut observed, mut plan) = self.look().await?;
        let (mut done, mut refused) = (Vec::new(), Vec::new());
        if !plan.steps.is_empty() && !plan.is_stopped() {
            done = plan.steps.clone();
            done.iter().for_each(tell);
            refused = self.apply(&done).await?;
            (observed, plan) = self.settle(&done, &mut refused).await?;
            done.retain(|step| !refused.iter().any(|(refused, _)| refused == step));
        }
        let unprotected = refused.iter().filter_map(|(step, _)| match step {
            Step::Alter { topic, why: Why::HoldsBack, .. } => Some(topic.clone()),
            _ => None,
        });
        let unprotected: BTreeSet<_> = unprotected.collect();
        let mut topics = copied(&plan, &observed);
        topics.retain(|topic| !unprotected.contains(&topic.target));
        let is_copied = |topic: &String| observed.frontiers.contains_key(topic);
        let stops = plan.problems.iter().filter(|problem| problem.topic.as_ref().is_none_or(is_copied));
        let stops = stops.cloned().collect();
        let refused = refused.iter().map(|(step, refusal)| format!("`{step}`: {refusal}")).collect();
        Ok(Provisioned { topics, warnings: plan.warnings, problems: plan.problems, stops, done, refused })
    }

    /// Looks until what was done is to be seen, for as long as more and more of it is. A refusal counts only if what was asked for is
    /// not there: another process may have been first.
    async fn settle(&mut self, done: &[Step], refused: &mut Vec<(Step, Refusal)>) -> Result<(Observed, Plan), Error> {
        let (mut fewest, mut until) = (usize::MAX, tokio::time::Instant::now());
        loop {
            let looked = tokio::time::Instant::now();
            let (observed, plan) = self.look().await?;
            let left: Vec<_> = plan.steps.iter().filter(|step| done.contains(step)).cloned().collect();
            let unseen: Vec<_> =
                left.iter().filter(|step| !refused.iter().any(|(refused, _)| refused == *step)).cloned().collect();
            if unseen.is_empty() {
                refused.retain(|(step, _)| left.contains(step));
                return Ok((observed, plan));
            }
            let now = tokio::time::Instant::now();
            if unseen.len() < fewest {
                (fewest, until) = (unseen.len(), now + NEXT_SETTLES_WITHIN);
                tracing::info!(
                    flow = self.config.name,
                    unseen = fewest,
                    "waiting for the target to show what it was asked for"
                );
            } else if now >= until {
                return Err(Error::Unseen(unseen));
            }
            // To look at a thousand topics is work for a broker that has enough of it.
            tokio::time::sleep(PAUSE.max(now - looked)).await;
        }
    }

    async fn look(&mut self) -> Result<(Observed, Plan), Error> {
        let observed = self.observe().await?;
        let config = &self.config;
        let renames = config.renames.now();
        let opposite: Vec<_> = config.opposite.iter().map(|names| Arc::unwrap_or_clone(names.now())).collect();
        let flow = Flow {
            name: &config.name,
            mirror: &config.mirror,
            renames: &renames,
            replication: config.target.replication,
            own: &|topic| config.own.holds(topic),
            opposite: &opposite,
        };
        let mut plan = plan::plan(&flow, &observed);
        plan.problems.extend(self.ambiguous.iter().cloned());
        plan.problems.sort();
        Ok((observed, plan))
    }

    fn on_source(&self) -> impl Fn(wire::Error) -> Error {
        let cluster = self.config.source.name.clone();
        move |error| Error::Wire { cluster: cluster.clone(), error }
    }

    fn on_target(&self) -> impl Fn(wire::Error) -> Error {
        let cluster = self.config.target.name.clone();
        move |error| Error::Wire { cluster: cluster.clone(), error }
    }
}

fn copied(plan: &Plan, observed: &Observed) -> Vec<Copied> {
    let count = |topic: &plan::Topic| i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX);
    let copied = plan.pairs.iter().filter_map(|pair| {
        let (source, target) = (observed.source.get(&pair.source)?, observed.target.get(&pair.target)?);
        Some(Copied {
            source: pair.source.clone(),
            source_id: source.id.clone(),
            target: pair.target.clone(),
            reverse: pair.reverse,
            partitions: count(source),
            target_partitions: count(target),
        })
    });
    copied.collect()
}
