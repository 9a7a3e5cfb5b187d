//! The compiled topology: checked, complete, and as often instantiated as there are tasks.
//!
//! Invariants, upheld by `compile`: every topic that a sub-topology reads or writes is in `topics`; the sources of one
//! sub-topology have the same number of partitions and carry facts with the same key; nodes stand in an order in which
//! every edge leads forward. Not here: how YAML is read, how the graph is drawn.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::catalog::Build;
use super::engine::{Node, Route, Source, SubTopology};
use super::names::{Names, value_subject};
use super::settings::Settings;
use super::{dead_letter, journal};
use crate::codec::{self, Format, Formats, SchemaId};
use crate::event::FactKind;
use crate::operator::trend::Trend;
use crate::operator::{Operator, Port};
use crate::record::Topic;
use crate::trend::select::Selector;

#[derive(Clone, Debug)]
pub struct Topology {
    pub names: Names,
    pub settings: Settings,
    /// All that the engine reads or writes, the derived ones included.
    pub topics: BTreeMap<Topic, PlannedTopic>,
    pub sub_topologies: BTreeMap<String, SubTopologyPlan>,
    /// Of all that decides what a commit says; two members with another one must not share a group's work.
    pub fingerprint: String,
}

#[derive(Clone, Debug, PartialEq)]
pub struct PlannedTopic {
    pub content: Content,
    pub partitions: i32,
    /// Kafka's topic configuration.
    pub config: BTreeMap<String, String>,
}

/// What is on a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    Fact(FactKind),
    /// The states of this operator.
    Changelog(String),
    Journal,
    DeadLetters,
}

#[derive(Clone, Debug)]
pub struct SubTopologyPlan {
    pub name: String,
    /// The number of partitions of every source, hence of tasks.
    pub partitions: i32,
    pub sources: BTreeMap<Topic, Source>,
    pub nodes: Vec<PlannedNode>,
}

#[derive(Clone)]
pub struct PlannedNode {
    /// The operator, as the topology file names it.
    pub name: String,
    pub kind: &'static str,
    pub inputs: &'static [FactKind],
    pub ports: &'static [(Port, FactKind)],
    /// Its configuration as written, in a canonical form.
    pub config: serde_json::Value,
    pub changelog: Topic,
    pub routes: BTreeMap<Port, Vec<Route>>,
    pub state_schema: &'static str,
    pub build: Build,
}

/// A schema that must be registered before anything is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    pub name: String,
    pub content: Content,
    pub schema_json: &'static str,
}

/// The registered schema of each operator's state, by the operator's name.
#[derive(Clone, Debug, Default)]
pub struct StateFormats(pub BTreeMap<String, Format>);

impl Topology {
    /// Every subject of the registry that the engine reads or writes, in the order of topics.
    pub fn subjects(&self) -> Vec<Subject> {
        let subject = |(topic, planned): (&Topic, &PlannedTopic)| {
            let schema_json = match &planned.content {
                Content::Fact(kind) => kind.schema_json(),
                Content::Changelog(operator) => self.node(operator)?.state_schema,
                Content::Journal => journal::SCHEMA,
                Content::DeadLetters => dead_letter::SCHEMA,
            };
            Some(Subject { name: value_subject(topic), content: planned.content.clone(), schema_json })
        };
        self.topics.iter().filter_map(subject).collect()
    }

    /// Topics that operators write.
    pub fn outputs(&self) -> BTreeSet<Topic> {
        let nodes = self.sub_topologies.values().flat_map(|plan| &plan.nodes);
        let routes = nodes.flat_map(|node| node.routes.values().flatten());
        let topics = routes.filter_map(|route| match route {
            Route::Topic(topic) => Some(topic.clone()),
            Route::Stage(_) => None,
        });
        topics.collect()
    }

    /// Topics that operators read and none of them writes: what comes from outside.
    pub fn inputs(&self) -> BTreeMap<Topic, FactKind> {
        let outputs = self.outputs();
        let sources = self.sub_topologies.values().flat_map(|plan| plan.sources.iter());
        let outside = sources.filter(|(topic, _)| !outputs.contains(*topic));
        outside.map(|(topic, source)| (topic.clone(), source.fact)).collect()
    }

    pub fn node(&self, operator: &str) -> Option<&PlannedNode> {
        self.sub_topologies.values().flat_map(|plan| &plan.nodes).find(|node| node.name == operator)
    }

    /// What the rules of all trends select: of other series nobody wants to know. A plan is compiled, so each of them can be read.
    pub fn selectors(&self) -> Vec<Selector> {
        let nodes = self.sub_topologies.values().flat_map(|plan| &plan.nodes).filter(|node| node.kind == Trend::KIND);
        let rules = nodes.flat_map(|node| node.config["rules"].as_array().into_iter().flatten());
        rules.filter_map(|rule| Selector::parse(rule["select"].as_str()?).ok()).collect()
    }

    fn own_facts(&self) -> impl Iterator<Item = FactKind> {
        self.topics.values().filter_map(|planned| match planned.content {
            Content::Fact(kind @ FactKind::Own(_)) => Some(kind),
            _ => None,
        })
    }

    /// The shipped schemas under ids counted from 1: for tests and tools without a registry.
    pub fn shipped_formats(&self) -> Result<(Formats, StateFormats), codec::Error> {
        let mut formats = Formats::shipped();
        let mut states = StateFormats::default();
        let mut ids = (1 + u32::try_from(FactKind::ALL.len()).expect("a handful of facts")..).map(SchemaId);
        let nodes = self.sub_topologies.values().flat_map(|plan| &plan.nodes);
        for (id, node) in ids.by_ref().zip(nodes) {
            let format = Format::new(id, node.state_schema)?;
            formats.read_with(format.clone());
            states.0.insert(node.name.clone(), format);
        }
        let own: BTreeSet<FactKind> = self.own_facts().collect();
        for (id, kind) in ids.zip(own) {
            formats.write_fact_with(kind, Format::new(id, kind.schema_json())?);
        }
        Ok((formats, states))
    }
}

impl SubTopologyPlan {
    /// One task's own copy, with empty states. Fails with the name of an operator whose state has no format.
    pub fn instantiate(&self, states: &StateFormats) -> Result<SubTopology, String> {
        let node = |planned: &PlannedNode| {
            let format = states.0.get(&planned.name).ok_or_else(|| planned.name.clone())?;
            Ok(Node {
                stage: (planned.build)(&planned.name, format.clone()),
                changelog: planned.changelog.clone(),
                routes: planned.routes.clone(),
            })
        };
        let nodes = self.nodes.iter().map(node).collect::<Result<_, String>>()?;
        Ok(SubTopology { name: self.name.clone(), sources: self.sources.clone(), nodes })
    }
}

impl fmt::Debug for PlannedNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PlannedNode")
            .field("name", &self.name)
            .field("kind", &self.kind)
            .field("config", &self.config)
            .field("changelog", &self.changelog)
            .field("routes", &self.routes)
            .finish_non_exhaustive()
    }
}
