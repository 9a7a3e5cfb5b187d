//! The stages wired in code, for topology files name only what ships: flow and speed ─► join ─► lanes ─► change ─► changes.

use std::collections::BTreeMap;
use std::sync::Arc;

use fairlead::event::FactKind;
use fairlead::operator::Operator;
use fairlead::record::Topic;
use fairlead::topology::compile::compile;
use fairlead::topology::engine::{Route, Source};
use fairlead::topology::names::Names;
use fairlead::topology::plan::{Content, PlannedNode, PlannedTopic, SubTopologyPlan, Topology};
use fairlead::topology::spec::SourceFile;
use fairlead::topology::stage::stage;

use super::change::RelativeChange;
use super::facts::{CHANGE, FLOW, SPEED};
use super::join::Join;
use super::lanes::Lanes;

pub const FLOWS: &str = "ndw.flow.v1";
pub const SPEEDS: &str = "ndw.speed.v1";
pub const PARTITIONS: i32 = 4;

/// `settings` are a topology file without topics and operators; the topic that is written is called as the application
/// and `changes`.
pub fn topology(settings: &str, changes: &str) -> Topology {
    let file = SourceFile { name: "settings".to_owned(), text: settings.to_owned() };
    let compiled = compile(&[file], &[]);
    let mut topology = compiled.topology.unwrap_or_else(|| panic!("the settings are wrong: {:?}", compiled.problems));
    let changes = &*format!("{}.{changes}", topology.names.application());
    let to = |port, route| BTreeMap::from([(port, vec![route])]);
    let nodes = vec![
        node(Join, &topology.names, to("lane", Route::Stage(1))),
        node(Lanes, &topology.names, to("aggregate", Route::Stage(2))),
        node(RelativeChange, &topology.names, to("change", Route::Topic(Topic::from(changes)))),
    ];
    let planned = |content| PlannedTopic { content, partitions: PARTITIONS, config: BTreeMap::new() };
    for (topic, kind) in [(FLOWS, FLOW), (SPEEDS, SPEED), (changes, CHANGE)] {
        topology.topics.insert(Topic::from(topic), planned(Content::Fact(FactKind::Own(kind))));
    }
    for node in &nodes {
        let config = BTreeMap::from([("cleanup.policy".to_owned(), "compact".to_owned())]);
        let content = Content::Changelog(node.name.clone());
        topology.topics.insert(node.changelog.clone(), PlannedTopic { config, ..planned(content) });
    }
    let source = |topic: &str, kind| (Topic::from(topic), Source { fact: FactKind::Own(kind), stages: vec![0] });
    let sources = BTreeMap::from([source(FLOWS, FLOW), source(SPEEDS, SPEED)]);
    let name = "traffic".to_owned();
    topology.sub_topologies.insert(name.clone(), SubTopologyPlan { name, partitions: PARTITIONS, sources, nodes });
    topology
}

fn node<O: Operator + Clone + Sync>(
    operator: O,
    names: &Names,
    routes: BTreeMap<&'static str, Vec<Route>>,
) -> PlannedNode {
    PlannedNode {
        name: O::KIND.to_owned(),
        kind: O::KIND,
        inputs: O::INPUTS,
        ports: O::PORTS,
        config: serde_json::Value::Null,
        changelog: names.changelog(O::KIND),
        routes,
        state_schema: O::STATE_SCHEMA,
        build: Arc::new(move |name, format| stage(name, operator.clone(), format)),
    }
}
