//! A topology as a Mermaid flowchart: sub-topologies as boxes, operators with their stores, topics, sections.

use std::fmt::{self, Write};

use super::text::sections;
use super::{Graph, OperatorNode, Target};

pub fn graph(graph: &Graph) -> String {
    let mut out = String::new();
    draw(graph, &mut out).map(|()| out).unwrap_or_default() // writing to a `String` cannot fail
}

fn draw(graph: &Graph, out: &mut String) -> fmt::Result {
    writeln!(out, "flowchart LR")?;
    for cluster in &graph.sub_topologies {
        writeln!(out, "  subgraph {}[\"{} × {}\"]", id("c", &cluster.name), cluster.name, cluster.partitions)?;
        for operator in &cluster.operators {
            let (node, store) = (id("o", &operator.name), id("s", &operator.name));
            writeln!(out, "    {node}[\"{}\"] --- {store}[(\"{}\")]", operator.name, operator.changelog)?;
        }
        writeln!(out, "  end")?;
    }
    for section in sections(graph) {
        writeln!(out, "  {}{{{{\"{section}\"}}}}", id("e", section))?;
    }
    let drawn = |topic: &&super::TopicNode| {
        let name = &topic.name;
        let told = graph.operators().flat_map(|operator| &operator.ports).flat_map(|port| &port.to);
        graph.edges.iter().any(|edge| edge.topic == *name)
            || graph.operators().flat_map(|operator| &operator.inputs).any(|input| input.from == *name)
            || told.into_iter().any(|target| *target == Target::Topic(name.clone()))
    };
    for topic in graph.topics.iter().filter(drawn) {
        writeln!(out, "  {}([\"{} × {}\"])", id("t", &topic.name), topic.name, topic.partitions)?;
    }
    let of_others = |edge: &&super::Edge| graph.topics.iter().all(|topic| topic.name != edge.topic);
    for edge in graph.edges.iter().filter(of_others) {
        writeln!(out, "  {}([\"{}\"])", id("t", &edge.topic), edge.topic)?;
    }
    for edge in &graph.edges {
        let (section, topic) = (id("e", edge.section), id("t", &edge.topic));
        if edge.writes {
            writeln!(out, "  {section} -->|{}| {topic}", edge.fact)?;
        }
        if edge.reads {
            writeln!(out, "  {topic} -->|{}| {section}", edge.fact)?;
        }
    }
    graph.operators().try_for_each(|operator| arrows(operator, graph, out))
}

fn arrows(operator: &OperatorNode, graph: &Graph, out: &mut String) -> fmt::Result {
    let node = id("o", &operator.name);
    for input in operator.inputs.iter().filter(|input| graph.topics.iter().any(|topic| topic.name == input.from)) {
        writeln!(out, "  {} -->|{}| {node}", id("t", &input.from), input.fact)?;
    }
    for port in &operator.ports {
        for target in &port.to {
            let target = match target {
                Target::Operator(name) => id("o", name),
                Target::Topic(name) => id("t", name),
            };
            writeln!(out, "  {node} -->|{}| {target}", port.port)?;
        }
    }
    Ok(())
}

/// Mermaid's ids are words; the letter in front keeps kinds apart, and from Mermaid's own words such as `end`.
fn id(kind: &str, name: &str) -> String {
    format!("{kind}_{}", name.replace('_', "___").replace('.', "__").replace('-', "_"))
}
