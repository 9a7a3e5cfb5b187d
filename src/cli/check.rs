//! `fairlead check`: all that is wrong with a topology, without starting anything.
//!
//! It reads files only: whether a secret can be looked up, or a broker answers, is for the start to say.

use std::fmt::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use serde::Serialize;

use super::output::{Output, print, print_json};
use crate::app::source;
use crate::operator::attention::{self, Attend};
use crate::operator::level::Ways;
use crate::route;
use crate::topology::compile::Compiled;
use crate::topology::graph::Graph;
use crate::topology::plan::Topology;
use crate::topology::problem::{Problem, Severity};

#[derive(Args)]
pub struct Check {
    /// Directory of the topology's files
    #[arg(long, default_value = "topology", env = "FAIRLEAD_TOPOLOGY")]
    topology: PathBuf,
    #[arg(long, short, value_enum, default_value_t)]
    output: Output,
}

impl Check {
    /// 0 if the topology can run, 1 if not; warnings do not change that.
    pub fn run(self) -> Result<ExitCode> {
        let report = Report::of(source::load(&self.topology)?);
        match self.output {
            Output::Text => print(&report.text())?,
            Output::Json => print_json(&report)?,
        }
        Ok(if report.fine { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

#[derive(Serialize)]
struct Report {
    fine: bool,
    errors: usize,
    warnings: usize,
    problems: Vec<Problem>,
    /// Of a topology that can run.
    #[serde(skip_serializing_if = "Option::is_none")]
    topology: Option<Summary>,
}

#[derive(Serialize)]
struct Summary {
    application: String,
    fingerprint: String,
    sub_topologies: usize,
    operators: usize,
    topics: usize,
    mentions: Vec<Mentions>,
}

/// The ways through the rules of a level operator, or the escalation chain of an attention operator, all of them walked.
#[derive(Serialize)]
struct Mentions {
    operator: String,
    /// What there are ways through.
    through: &'static str,
    ways: usize,
    waking: usize,
}

impl Mentions {
    fn of(topology: &Topology) -> Vec<Self> {
        let rules = route::levels(topology).into_iter().map(|(operator, levels)| {
            let Ways { all, waking } = levels.mention_ways();
            Self { operator, through: "rules", ways: all, waking }
        });
        let chains = route::operators::<Attend>(topology).into_iter().map(|(operator, attend)| {
            let attention::Ways { all, waking } = attend.mention_ways();
            Self { operator, through: "escalation chain", ways: all, waking }
        });
        rules.chain(chains).collect()
    }

    fn text(&self) -> String {
        let Self { operator, through, ways, waking } = self;
        let none = if *through == "rules" { "a resolve or a text" } else { "what is resolved, muted or in hand" };
        format!("{operator}: {waking} of {ways} ways through its {through} lead to a mention, none from low, {none}\n")
    }
}

impl Report {
    fn of(Compiled { topology, problems }: Compiled) -> Self {
        let count = |severity| problems.iter().filter(|problem| problem.severity == severity).count();
        let summary = topology.map(|topology| {
            let graph = Graph::of(&topology);
            Summary {
                operators: graph.operators().count(),
                sub_topologies: graph.sub_topologies.len(),
                topics: graph.topics.len(),
                mentions: Mentions::of(&topology),
                application: graph.application,
                fingerprint: graph.fingerprint,
            }
        });
        Self {
            fine: summary.is_some(),
            errors: count(Severity::Error),
            warnings: count(Severity::Warning),
            problems,
            topology: summary,
        }
    }

    fn text(&self) -> String {
        let mut out = String::new();
        for problem in &self.problems {
            _ = writeln!(out, "{problem}");
        }
        let walked = self.topology.iter().flat_map(|summary| &summary.mentions);
        walked.for_each(|mentions| out += &mentions.text());
        let warnings = match self.warnings {
            0 => String::new(),
            n => format!(", {}", counted(n, "warning")),
        };
        _ = match &self.topology {
            Some(Summary { application, fingerprint, sub_topologies, operators, topics, .. }) => writeln!(
                out,
                "fine: {application}, {} in {}, {}, fingerprint {fingerprint}{warnings}",
                counted(*operators, "operator"),
                counted(*sub_topologies, "sub-topology"),
                counted(*topics, "topic"),
            ),
            None => writeln!(out, "{}: it cannot run{warnings}", counted(self.errors, "error")),
        };
        out
    }
}

fn counted(n: usize, what: &str) -> String {
    match (n, what.strip_suffix('y')) {
        (1, _) => format!("1 {what}"),
        (_, Some(stem)) => format!("{n} {stem}ies"),
        _ => format!("{n} {what}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::catalog::catalog;
    use crate::topology::compile::compile;
    use crate::topology::spec::SourceFile;

    fn report(text: &str) -> Report {
        Report::of(compile(&[SourceFile { name: "a.yaml".to_owned(), text: text.to_owned() }], &catalog()))
    }

    #[test]
    fn a_topology_that_can_run_is_fine_whatever_it_is_warned_of() {
        let fine = report("application: night\ntopics:\n  oncall.alerts.v1: { fact: alert, partitions: 4 }\n");
        let text = fine.text();
        assert!(text.starts_with("a.yaml:3:3: warning: nothing reads or writes `oncall.alerts.v1`"), "{text}");
        assert!(text.contains("\nfine: night, 0 operators in 0 sub-topologies, 3 topics, fingerprint "), "{text}");
        assert!(text.ends_with(", 1 warning\n"), "{text}");
        assert!(fine.fine);
    }

    #[test]
    fn every_error_is_told_at_once_and_json_says_the_same() {
        let broken = report("application: Night\nhttp: { listen: here }\n");
        assert_eq!(broken.text().lines().count(), 3);
        assert!(broken.text().ends_with("2 errors: it cannot run\n"));
        let json = serde_json::to_value(&broken).unwrap();
        assert_eq!(
            (&json["fine"], &json["errors"], &json["problems"][1]["line"]),
            (&false.into(), &2.into(), &2.into())
        );
        assert_eq!(json["topology"], serde_json::Value::Null);
    }
}
