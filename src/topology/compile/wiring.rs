//! Operators with their kinds found and their inputs and outputs resolved.

use std::collections::BTreeSet;

use super::super::catalog::{Build, OperatorKind};
use super::super::problem::At;
use super::super::spec::{Named, OperatorSpec, Spec};
use super::{Located, Problem, suggest};
use crate::event::FactKind;
use crate::operator::Port;

/// An operator of a known kind. What could not be resolved is left out, and has been complained about.
pub struct Wired<'a> {
    pub name: &'a str,
    pub at: &'a At,
    pub kind: &'a OperatorKind,
    pub sub_topology: Option<&'a Located<String>>,
    /// `None` if the configuration was refused.
    pub build: Option<Build>,
    pub config: serde_json::Value,
    pub inputs: Vec<Input<'a>>,
    pub outputs: Vec<(Port, &'a Located<String>)>,
}

pub struct Input<'a> {
    pub fact: FactKind,
    pub at: &'a At,
    pub feed: Feed,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Feed {
    Topic(String),
    /// Index among the wired operators.
    Port(usize, Port),
}

pub fn wire<'a>(everything: &'a Spec, catalog: &'a [OperatorKind], problems: &mut Vec<Problem>) -> Vec<Wired<'a>> {
    let mut wired: Vec<Wired<'a>> = Vec::new();
    let mut specs = Vec::new();
    for Named { name, spec } in &everything.operators {
        let Some(spec) = spec else { continue };
        let kind_name = spec.kind.as_ref().unwrap_or(name);
        let Some(kind) = catalog.iter().find(|kind| kind.name == kind_name.value) else {
            let known = suggest(&kind_name.value, catalog.iter().map(|kind| kind.name));
            let message = format!("there is no operator of kind `{}`{known}", kind_name.value);
            problems.push(Problem::error(&kind_name.at, message));
            continue;
        };
        let config = everything.config_with(&spec.config, kind.sections, problems);
        let build = (kind.configure)(&config, problems);
        wired.push(Wired {
            name: &name.value,
            at: &name.at,
            kind,
            sub_topology: spec.sub_topology.as_ref(),
            build,
            config: config.canonical(),
            inputs: Vec::new(),
            outputs: outputs(kind, spec, problems),
        });
        specs.push(spec);
    }
    let inputs: Vec<_> =
        (0..wired.len()).map(|index| inputs(&wired, index, specs[index], everything, problems)).collect();
    for (operator, inputs) in wired.iter_mut().zip(inputs) {
        operator.inputs = inputs;
    }
    warn_of_unread_ports(&wired, &specs, problems);
    wired
}

fn outputs<'a>(
    kind: &OperatorKind,
    spec: &'a OperatorSpec,
    problems: &mut Vec<Problem>,
) -> Vec<(Port, &'a Located<String>)> {
    let mut outputs = Vec::new();
    for (port, topic) in &spec.outputs {
        let Some((known, _)) = kind.ports.iter().find(|(known, _)| *known == port.value) else {
            let known = suggest(&port.value, kind.ports.iter().map(|(port, _)| *port));
            let message = format!("an operator of kind `{}` has no port `{}`{known}", kind.name, port.value);
            problems.push(Problem::error(&port.at, message));
            continue;
        };
        outputs.extend(topic.as_ref().map(|topic| (*known, topic)));
    }
    outputs
}

fn inputs<'a>(
    wired: &[Wired<'a>],
    index: usize,
    operator: &'a OperatorSpec,
    spec: &Spec,
    problems: &mut Vec<Problem>,
) -> Vec<Input<'a>> {
    let Wired { name, at, kind, .. } = &wired[index];
    let mut inputs = Vec::new();
    for (fact, feed) in &operator.inputs {
        if !kind.inputs.contains(fact) {
            let known: Vec<_> = kind.inputs.iter().map(|input| format!("`{input}`")).collect();
            let message = format!("`{name}` (kind `{}`) reads no `{fact}`; it reads {}", kind.name, known.join(", "));
            problems.push(Problem::error(&feed.at, message));
            continue;
        }
        if let Some((found, resolved)) = resolve(wired, feed, spec, problems) {
            if found == Some(*fact) {
                inputs.push(Input { fact: *fact, at: &feed.at, feed: resolved });
            } else if let Some(found) = found {
                let message = format!("`{}` carries `{found}`, but the input of `{name}` is `{fact}`", feed.value);
                problems.push(Problem::error(&feed.at, message));
            }
        }
    }
    for missing in kind.inputs.iter().filter(|input| !operator.inputs.contains_key(input)) {
        let message =
            format!("nothing feeds the input `{missing}` of `{name}`; name a topic or `operator.port` under `inputs`");
        problems.push(Problem::error(at, message));
    }
    inputs
}

/// What an input's value names, and what is on it, unless that has been refused elsewhere.
fn resolve(
    wired: &[Wired<'_>],
    feed: &Located<String>,
    spec: &Spec,
    problems: &mut Vec<Problem>,
) -> Option<(Option<FactKind>, Feed)> {
    let name = &*feed.value;
    if let Some(topic) = spec.topics.iter().find(|topic| topic.name.value == name) {
        return Some((topic.spec.as_ref().map(|spec| spec.fact), Feed::Topic(name.to_owned())));
    }
    let by_port =
        name.split_once('.').filter(|(operator, _)| spec.operators.iter().any(|known| known.name.value == *operator));
    let Some((operator, port)) = by_port else {
        let ports = wired.iter().flat_map(|operator| {
            operator.kind.ports.iter().map(|(port, _)| format!("{}.{port}", operator.name)).collect::<Vec<_>>()
        });
        let names: Vec<_> = spec.topics.iter().map(|topic| topic.name.value.clone()).chain(ports).collect();
        let known = suggest(name, names.iter().map(String::as_str));
        problems.push(Problem::error(&feed.at, format!("`{name}` is neither a topic nor an `operator.port`{known}")));
        return None;
    };
    let index = wired.iter().position(|known| known.name == operator)?;
    let ports = wired[index].kind.ports;
    match ports.iter().find(|(known, _)| *known == port) {
        Some((port, fact)) => Some((Some(*fact), Feed::Port(index, port))),
        None => {
            let known = suggest(port, ports.iter().map(|(port, _)| *port));
            problems.push(Problem::error(&feed.at, format!("`{operator}` has no port `{port}`{known}")));
            None
        }
    }
}

/// Operators that read a port of this one, and which.
pub fn readers(wired: &[Wired<'_>], operator: usize) -> Vec<(usize, Port)> {
    let reads = |(index, reader): (usize, &Wired<'_>)| {
        let ports = reader.inputs.iter().filter_map(|input| match input.feed {
            Feed::Port(read, port) if read == operator => Some((index, port)),
            _ => None,
        });
        ports.collect::<Vec<_>>()
    };
    wired.iter().enumerate().flat_map(reads).collect()
}

fn warn_of_unread_ports(wired: &[Wired<'_>], specs: &[&OperatorSpec], problems: &mut Vec<Problem>) {
    for (index, (operator, spec)) in wired.iter().zip(specs).enumerate() {
        let readers = readers(wired, index);
        for (port, _) in operator.kind.ports {
            let told = spec.outputs.keys().any(|output| output.value == *port);
            if !told && readers.iter().all(|(_, read)| read != port) {
                let message = format!(
                    "port `{port}` of `{}` leads nowhere; name a topic under `outputs`, or write `{port}: null` if it \
                     is only to be counted",
                    operator.name
                );
                problems.push(Problem::warning(operator.at, message));
            }
        }
    }
}

/// A cycle through a topic is legal and may run for ever, unless one of its operators says that it comes to rest there; it is told
/// once, at the first of its operators.
pub fn warn_of_cycles_through_topics(wired: &[Wired<'_>], problems: &mut Vec<Problem>) {
    let goes_on = |reader: &Wired<'_>, input: &Input<'_>| !reader.kind.come_to_rest.contains(&input.fact);
    let feeds = |from: usize, to: usize| {
        wired[to].inputs.iter().filter(|input| goes_on(&wired[to], input)).any(|input| match &input.feed {
            Feed::Port(operator, _) => *operator == from,
            Feed::Topic(topic) => wired[from].outputs.iter().any(|(_, output)| output.value == *topic),
        })
    };
    let mut told = BTreeSet::new();
    for start in 0..wired.len() {
        if told.contains(&start) {
            continue;
        }
        let reached = reachable(start, wired.len(), &feeds);
        let cycle: Vec<_> =
            reached.iter().copied().filter(|other| reachable(*other, wired.len(), &feeds).contains(&start)).collect();
        let by_topic = |index: usize| {
            let read = |input: &Input<'_>| {
                matches!(&input.feed, Feed::Topic(topic)
                if cycle.iter().any(|from| wired[*from].outputs.iter().any(|(_, output)| output.value == *topic)))
            };
            wired[index].inputs.iter().filter(|input| goes_on(&wired[index], input)).any(read)
        };
        if cycle.contains(&start) && cycle.iter().any(|index| by_topic(*index)) {
            let names: Vec<_> = cycle.iter().map(|index| format!("`{}`", wired[*index].name)).collect();
            let verb = if cycle.len() == 1 { "feeds itself" } else { "feed each other" };
            let message = format!("{} {verb} through topics; make sure that this comes to rest", names.join(", "));
            problems.push(Problem::warning(wired[start].at, message));
        }
        told.extend(cycle);
    }
}

/// All that can be reached in at least one step, in order.
fn reachable(start: usize, count: usize, feeds: &impl Fn(usize, usize) -> bool) -> BTreeSet<usize> {
    let mut reached = BTreeSet::new();
    let mut next = vec![start];
    while let Some(from) = next.pop() {
        next.extend((0..count).filter(|to| feeds(from, *to) && reached.insert(*to)));
    }
    reached
}
