//! A topology for people at a terminal.

use std::fmt::{self, Write};

use super::{Cluster, Edge, Graph, OperatorNode, PortNode, Target, TopicNode};

/// The whole graph.
pub fn graph(graph: &Graph) -> String {
    write(|out| {
        writeln!(out, "{}   fingerprint {}", graph.application, graph.fingerprint)?;
        for cluster in &graph.sub_topologies {
            write_cluster(out, cluster)?;
        }
        for section in sections(graph) {
            writeln!(out, "\n{section}")?;
            for edge in graph.edges.iter().filter(|edge| edge.section == section) {
                writeln!(out, "  {} {} ({})", arrow(edge), edge.topic, edge.fact)?;
            }
        }
        writeln!(out, "\ntopics")?;
        let width = graph.topics.iter().map(|topic| topic.name.len()).max().unwrap_or_default();
        graph.topics.iter().try_for_each(|topic| write_topic(out, topic, width))
    })
}

/// One operator, with everything that is known about it.
pub fn operator(operator: &OperatorNode, graph: &Graph) -> String {
    write(|out| {
        writeln!(out, "{}   kind {}, in the sub-topology {}", operator.name, operator.kind, operator.sub_topology)?;
        writeln!(out, "\ninputs")?;
        let width = operator.inputs.iter().map(|input| input.fact.len()).max().unwrap_or_default();
        for input in &operator.inputs {
            writeln!(out, "  {:width$} ◄── {}", input.fact, input.from)?;
        }
        writeln!(out, "\nports")?;
        write_ports(out, &operator.ports, "  ")?;
        writeln!(out, "\nstate")?;
        let changelog = graph.topics.iter().find(|topic| topic.name == operator.changelog);
        changelog.into_iter().try_for_each(|topic| write_topic(out, topic, topic.name.len()))?;
        writeln!(out, "\nconfig")?;
        let config = serde_json::to_string_pretty(&operator.config).unwrap_or_default();
        config.lines().try_for_each(|line| writeln!(out, "  {line}"))
    })
}

/// Writing to a `String` cannot fail.
fn write(write: impl FnOnce(&mut String) -> fmt::Result) -> String {
    let mut out = String::new();
    write(&mut out).map(|()| out).unwrap_or_default()
}

/// Names of the sections that have edges, in their order.
pub(super) fn sections(graph: &Graph) -> Vec<&'static str> {
    let mut sections: Vec<_> = graph.edges.iter().map(|edge| edge.section).collect();
    sections.dedup();
    sections
}

fn arrow(edge: &Edge) -> &'static str {
    match (edge.reads, edge.writes) {
        (true, true) => "◄─►",
        (true, false) => "◄──",
        _ => "──►",
    }
}

fn write_cluster(out: &mut String, cluster: &Cluster) -> fmt::Result {
    let tasks = if cluster.partitions == 1 { "1 task".to_owned() } else { format!("{} tasks", cluster.partitions) };
    writeln!(out, "\nsub-topology {}   {tasks}", cluster.name)?;
    for operator in &cluster.operators {
        let kind = if operator.kind == operator.name { String::new() } else { format!(" (kind {})", operator.kind) };
        let from: Vec<_> = operator.inputs.iter().map(|input| &*input.from).collect();
        writeln!(out, "  {}{kind} ◄── {}", operator.name, from.join(", "))?;
        write_ports(out, &operator.ports, "    ")?;
    }
    Ok(())
}

fn write_ports(out: &mut String, ports: &[PortNode], indent: &str) -> fmt::Result {
    let width = ports.iter().map(|port| port.port.len()).max().unwrap_or_default();
    for PortNode { port, to, .. } in ports {
        let to: Vec<_> = to
            .iter()
            .map(|target| match target {
                Target::Operator(name) | Target::Topic(name) => &**name,
            })
            .collect();
        let to = if to.is_empty() { "only counted".to_owned() } else { to.join(", ") };
        writeln!(out, "{indent}{port:width$} ──► {to}")?;
    }
    Ok(())
}

fn write_topic(out: &mut String, topic: &TopicNode, width: usize) -> fmt::Result {
    let config: Vec<_> = topic.config.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let TopicNode { name, content, partitions, .. } = topic;
    let line = format!("  {name:width$}  {partitions:>4} × {content:24} {}", config.join(" "));
    writeln!(out, "{}", line.trim_end())
}
