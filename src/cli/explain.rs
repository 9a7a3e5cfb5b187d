//! `fairlead explain`: what a topology looks like, what one operator is told to do, and what Kafka must allow.

use std::path::PathBuf;

use anyhow::{Result, anyhow, bail};
use clap::{Args, ValueEnum};

use super::output::{print, print_json};
use super::problems;
use crate::app::source;
use crate::topology::graph::{Graph, acls, mermaid, text};
use crate::topology::problem::suggest;

#[derive(Args)]
pub struct Explain {
    /// Only this operator, with its configuration and its state
    operator: Option<String>,
    /// Directory of the topology's files
    #[arg(long, default_value = "topology", env = "FAIRLEAD_TOPOLOGY")]
    topology: PathBuf,
    /// What Kafka must allow each part of fairlead, and nothing more
    #[arg(long, conflicts_with = "operator")]
    acls: bool,
    #[arg(long, short, visible_alias = "format", value_enum, default_value_t)]
    output: Format,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    #[default]
    Text,
    /// A flowchart, for Markdown
    Mermaid,
    /// For programs
    Json,
    /// With --acls: a script for Kafka's own tool, with a principal a process
    KafkaAcls,
}

impl Explain {
    pub fn run(self) -> Result<()> {
        let topology = problems::require(source::load(&self.topology)?)?;
        let graph = Graph::of(&topology);
        if self.acls {
            let acls = acls::acls(&topology);
            return match self.output {
                Format::Text => print(&acls::table(&acls)),
                Format::KafkaAcls => print(&acls::commands(&acls, &graph.application)),
                Format::Json => print_json(&acls),
                Format::Mermaid => bail!("access rules are no drawing; choose text, json or kafka-acls"),
            };
        }
        let operator = self.operator.as_deref().map(|name| find(&graph, name)).transpose()?;
        match (self.output, operator) {
            (Format::Text, None) => print(&text::graph(&graph)),
            (Format::Text, Some(operator)) => print(&text::operator(operator, &graph)),
            (Format::Mermaid, None) => print(&mermaid::graph(&graph)),
            (Format::Mermaid, Some(_)) => {
                bail!("only the whole is drawn; leave the operator out, or choose text or json")
            }
            (Format::Json, None) => print_json(&graph),
            (Format::Json, Some(operator)) => print_json(operator),
            (Format::KafkaAcls, _) => bail!("kafka-acls is a form of access rules; add --acls"),
        }
    }
}

fn find<'a>(graph: &'a Graph, name: &str) -> Result<&'a crate::topology::graph::OperatorNode> {
    graph.operators().find(|operator| operator.name == name).ok_or_else(|| {
        let known = suggest(name, graph.operators().map(|operator| &*operator.name));
        anyhow!("there is no operator `{name}`{known}")
    })
}
