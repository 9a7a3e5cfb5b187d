//! What a topology looks like: as data (JSON by serde), as [`text`] and as a [`mermaid`] drawing; and whom Kafka must let do
//! what ([`acls`]).
//!
//! Invariant: the same topology gives the same bytes, so that a drawing can be kept beside the files and compared in CI.

pub mod acls;
pub mod mermaid;
pub mod text;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::Serialize;

use super::engine::Route;
use super::plan::{Content, PlannedNode, SubTopologyPlan, Topology};
use super::settings::{Access, SourceTopic};
use crate::record::Topic;

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Graph {
    pub application: String,
    pub fingerprint: String,
    pub sub_topologies: Vec<Cluster>,
    /// Sections that read or write topics: ingest, sinks.
    pub edges: Vec<Edge>,
    pub topics: Vec<TopicNode>,
}

/// A sub-topology.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Cluster {
    pub name: String,
    pub partitions: i32,
    pub operators: Vec<OperatorNode>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OperatorNode {
    pub name: String,
    pub kind: &'static str,
    pub sub_topology: String,
    pub inputs: Vec<Input>,
    pub ports: Vec<PortNode>,
    pub changelog: String,
    pub config: serde_json::Value,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Input {
    pub fact: &'static str,
    /// A topic, or `operator.port`.
    pub from: String,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PortNode {
    pub port: &'static str,
    pub fact: &'static str,
    /// Empty: what it says is only counted.
    pub to: Vec<Target>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    Operator(String),
    Topic(String),
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Edge {
    pub section: &'static str,
    pub topic: String,
    /// Of a topic of others, what lies on it.
    pub fact: &'static str,
    pub reads: bool,
    pub writes: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TopicNode {
    pub name: String,
    /// `alert`, …, `changelog of level`, `journal`, `dead letters`
    pub content: String,
    pub partitions: i32,
    pub config: BTreeMap<String, String>,
}

impl Graph {
    pub fn of(topology: &Topology) -> Self {
        let edge = |topic_use: super::settings::TopicUse<'_>| Edge {
            section: topic_use.section,
            topic: topic_use.topic.value.clone(),
            fact: topic_use.fact.name(),
            reads: topic_use.access != Access::Writes,
            writes: topic_use.access != Access::Reads,
        };
        let source = |source: &SourceTopic| Edge {
            section: "ingest",
            topic: source.topic.value.clone(),
            fact: source.format.name(),
            reads: true,
            writes: false,
        };
        let topic = |(name, planned): (&Topic, &super::plan::PlannedTopic)| TopicNode {
            name: name.to_string(),
            content: content(&planned.content),
            partitions: planned.partitions,
            config: planned.config.clone(),
        };
        Self {
            application: topology.names.application().to_owned(),
            fingerprint: topology.fingerprint.clone(),
            sub_topologies: topology.sub_topologies.values().map(cluster).collect(),
            edges: topology
                .settings
                .sources()
                .iter()
                .map(source)
                .chain(topology.settings.topics().into_iter().map(edge))
                .collect(),
            topics: topology.topics.iter().map(topic).collect(),
        }
    }

    pub fn operators(&self) -> impl Iterator<Item = &OperatorNode> {
        self.sub_topologies.iter().flat_map(|cluster| &cluster.operators)
    }
}

fn content(content: &Content) -> String {
    match content {
        Content::Fact(kind) => kind.to_string(),
        Content::Changelog(operator) => format!("changelog of {operator}"),
        Content::Journal => "journal".to_owned(),
        Content::DeadLetters => "dead letters".to_owned(),
    }
}

fn cluster(plan: &SubTopologyPlan) -> Cluster {
    let operators = plan.nodes.iter().enumerate().map(|(index, node)| operator(plan, index, node));
    Cluster { name: plan.name.clone(), partitions: plan.partitions, operators: operators.collect() }
}

fn operator(plan: &SubTopologyPlan, index: usize, node: &PlannedNode) -> OperatorNode {
    let by_topic = plan.sources.iter().filter(|(_, source)| source.stages.contains(&index));
    let by_topic = by_topic.map(|(topic, source)| Input { fact: source.fact.name(), from: topic.to_string() });
    let by_port = plan.nodes.iter().flat_map(|from| {
        let ports = from
            .ports
            .iter()
            .filter(|(port, _)| from.routes.get(port).is_some_and(|routes| routes.contains(&Route::Stage(index))));
        ports.map(|(port, fact)| Input { fact: fact.name(), from: format!("{}.{port}", from.name) })
    });
    let ports = node.ports.iter().map(|(port, fact)| {
        let to = node.routes.get(port).into_iter().flatten().map(|route| match route {
            Route::Stage(next) => Target::Operator(plan.nodes[*next].name.clone()),
            Route::Topic(topic) => Target::Topic(topic.to_string()),
        });
        PortNode { port, fact: fact.name(), to: to.collect() }
    });
    OperatorNode {
        name: node.name.clone(),
        kind: node.kind,
        sub_topology: plan.name.clone(),
        inputs: by_topic.chain(by_port).collect(),
        ports: ports.collect(),
        changelog: node.changelog.to_string(),
        config: node.config.clone(),
    }
}
