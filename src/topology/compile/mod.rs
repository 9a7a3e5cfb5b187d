//! From files to a checked topology, or to all that is wrong with them.
//!
//! ```text
//! files ─► spec ─► wiring (kinds, inputs, outputs) ─► groups (fused operators, in order) ─► topics ─► Topology
//! ```
//! Each step complains about all it finds and goes on with what it understood, so that one run of `check` tells everything.
//! A step never complains about what an earlier one has already refused.

mod groups;
mod topics;
mod wiring;

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use super::catalog::OperatorKind;
use super::engine::{Route, Source};
use super::names::Names;
use super::plan::{PlannedNode, PlannedTopic, SubTopologyPlan, Topology};
use super::problem::{Problem, Severity, suggest};
use super::settings::Settings;
use super::spec::{self, SourceFile, Spec};
use super::yaml::Located;
use crate::record::Topic;
use groups::Group;
use wiring::{Feed, Wired};

#[cfg(test)]
mod tests;

/// What came of a compilation.
#[derive(Debug)]
pub struct Compiled {
    /// `None` if there is an error among the problems.
    pub topology: Option<Topology>,
    /// In the order of files and lines; warnings too.
    pub problems: Vec<Problem>,
}

pub fn compile(files: &[SourceFile], catalog: &[OperatorKind]) -> Compiled {
    let mut problems = Vec::new();
    let spec = spec::read(files, &mut problems);
    let topology = assemble(&spec, catalog, &mut problems);
    problems.sort();
    problems.dedup();
    if problems.iter().any(|problem| problem.severity == Severity::Error) {
        // What seems unused may only seem so, for its use was refused: warnings come when the errors are mended.
        problems.retain(|problem| problem.severity == Severity::Error);
        return Compiled { topology: None, problems };
    }
    Compiled { topology, problems }
}

fn assemble(spec: &Spec, catalog: &[OperatorKind], problems: &mut Vec<Problem>) -> Option<Topology> {
    spec.operators.iter().for_each(|operator| check_name(&operator.name, "an operator", problems));
    let operators = wiring::wire(spec, catalog, problems);
    wiring::warn_of_cycles_through_topics(&operators, problems);
    let groups = groups::group(&operators, problems);
    let partitions =
        groups.iter().map(|group| topics::partitions(spec, &operators, group, problems)).collect::<Vec<_>>();
    let settings = spec.settings.clone()?;
    match &settings.application {
        Some(name) => check_name(name, "an application", problems),
        None => {
            problems.push(Problem::error(&spec.at, "`application` is missing; add it, all derived names begin with it"))
        }
    }
    let names = Names::new(settings.application.as_ref().map_or("application", |name| &name.value));
    topics::check(spec, &names, &settings, &operators, problems);
    let mut sub_topologies = BTreeMap::new();
    for (group, partitions) in groups.iter().zip(partitions) {
        let plan = plan(group, partitions?, &operators, &names)?;
        sub_topologies.insert(plan.name.clone(), plan);
    }
    let topics = topics::planned(spec, &names, &settings, &sub_topologies);
    let fingerprint = fingerprint(names.application(), &topics, &sub_topologies);
    Some(Topology { names, settings, topics, sub_topologies, fingerprint })
}

/// Names that become parts of topic names, groups and paths.
fn check_name(name: &Located<String>, what: &str, problems: &mut Vec<Problem>) {
    if !topics::is_word(&name.value) {
        let message = format!(
            "`{}` is no name for {what}; begin with a lower-case letter and go on with these, digits and `-`",
            name.value
        );
        problems.push(Problem::error(&name.at, message));
    }
}

fn plan(group: &Group, partitions: i32, operators: &[Wired<'_>], names: &Names) -> Option<SubTopologyPlan> {
    let index_of = |operator: usize| group.members.iter().position(|member| *member == operator);
    let mut sources: BTreeMap<Topic, Source> = BTreeMap::new();
    let mut nodes = Vec::new();
    for (index, member) in group.members.iter().enumerate() {
        let operator = &operators[*member];
        let mut routes: BTreeMap<_, Vec<Route>> = BTreeMap::new();
        for (port, topic) in &operator.outputs {
            routes.entry(*port).or_default().push(Route::Topic(Topic::from(&*topic.value)));
        }
        for (reader, port) in wiring::readers(operators, *member) {
            routes.entry(port).or_default().push(Route::Stage(index_of(reader)?));
        }
        for input in &operator.inputs {
            if let Feed::Topic(topic) = &input.feed {
                let source = sources.entry(Topic::from(&**topic));
                source.or_insert_with(|| Source { fact: input.fact, stages: Vec::new() }).stages.push(index);
            }
        }
        nodes.push(PlannedNode {
            name: operator.name.to_owned(),
            kind: operator.kind.name,
            inputs: operator.kind.inputs,
            ports: operator.kind.ports,
            config: operator.config.clone(),
            changelog: names.changelog(operator.name),
            routes,
            state_schema: operator.kind.state_schema,
            build: operator.build.clone()?,
        });
    }
    Some(SubTopologyPlan { name: group.name.clone(), partitions, sources, nodes })
}

/// The same for topologies that say the same, whatever the order or layout of their files.
fn fingerprint(
    application: &str,
    topics: &BTreeMap<Topic, PlannedTopic>,
    sub_topologies: &BTreeMap<String, SubTopologyPlan>,
) -> String {
    let mut hash = Sha256::new();
    let mut say = |line: String| hash.update(format!("{}:{line}\n", line.len()));
    say(format!("application {application}"));
    for (topic, planned) in topics {
        say(format!("topic {topic} {:?} {}", planned.content, planned.partitions));
    }
    for plan in sub_topologies.values() {
        say(format!("sub-topology {}", plan.name));
        for (topic, source) in &plan.sources {
            say(format!("source {topic} {} {:?}", source.fact, source.stages));
        }
        for node in &plan.nodes {
            say(format!("node {} {} {:?} {}", node.name, node.kind, node.routes, node.config));
        }
    }
    hex::encode(&hash.finalize()[..8])
}
