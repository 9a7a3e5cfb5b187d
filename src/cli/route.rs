//! `fairlead route test`: which rules hold for an alert and why, and what Slack would be told, without starting anything.

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use clap::{Args, Subcommand};
use serde_json::json;

use super::output::{Output, print, print_json};
use super::problems;
use super::send::pairs;
use crate::app::{rules, source};
use crate::clock::Clock;
use crate::ingest::{Endpoint, Rules};
use crate::record::EventTime;
use crate::route::payload::{self, NoAlerts, Payload};
use crate::route::{self, text};
use crate::topology::problem::suggest;

#[derive(Args)]
pub struct Route {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Show for each alert of a payload which rules hold and why: fairlead route test alerts.json
    Test(Test),
}

#[derive(Args)]
struct Test {
    /// A file with a payload as any endpoint takes it, `-` for standard input, or labels: alertname=Errors service=checkout
    #[arg(required = true, value_name = "FILE|-|LABEL=VALUE")]
    of: Vec<String>,
    /// Of labels: an annotation, such as the value
    #[arg(long, value_name = "NAME=VALUE")]
    annotation: Vec<String>,
    /// Of labels: it is over
    #[arg(long)]
    resolved: bool,
    /// It was told before with these values, the oldest first: 100,150
    #[arg(long, value_delimiter = ',', allow_negative_numbers = true, value_name = "VALUES")]
    before: Vec<f64>,
    /// The endpoint that a file is meant for, such as /webhooks/alertmanager; without it the first that takes it
    #[arg(long, value_name = "PATH")]
    endpoint: Option<String>,
    /// Directory of the topology's files
    #[arg(long, default_value = "topology", env = "FAIRLEAD_TOPOLOGY")]
    topology: PathBuf,
    #[arg(long, short, value_enum, default_value_t)]
    output: Output,
}

impl Route {
    pub fn run(self) -> Result<()> {
        let What::Test(test) = self.what;
        let topology = problems::require(source::load(&test.topology)?)?;
        let now = Clock::wall().now();
        let rules = topology.settings.ingest.as_ref().map_or_else(Rules::default, |ingest| rules(&topology, ingest));
        let (body, only) = test.body(now)?;
        only.iter().try_for_each(|path| is_endpoint(path, &rules))?;
        let Payload { alerts, refused, .. } = payload::read(&body, only.as_deref(), &rules, now).map_err(told)?;
        let verdicts: Vec<_> =
            alerts.iter().map(|alert| route::test(&topology, alert, &test.before, now)).collect::<Result<_, _>>()?;
        refused.iter().for_each(|refusal| eprintln!("not taken: {refusal}"));
        match test.output {
            Output::Json => print_json(&verdicts),
            Output::Text => print(&verdicts.iter().map(text::verdict).collect::<Vec<_>>().join("\n")),
        }
    }
}

impl Test {
    /// The payload, and the path that it is meant for. What is resolved ends at `now`, for one that ended a moment later still fires.
    fn body(&self, now: EventTime) -> Result<(Vec<u8>, Option<String>)> {
        match &self.of[..] {
            [file] if !file.contains('=') || Path::new(file).exists() => {
                if self.resolved || !self.annotation.is_empty() {
                    bail!("--annotation and --resolved go with labels; a payload says such things itself");
                }
                Ok((read(file)?, self.endpoint.clone()))
            }
            labels => {
                if self.endpoint.is_some() {
                    bail!("--endpoint goes with a file; labels are read as /api/v2/alerts reads them");
                }
                let (labels, annotations) = pairs(labels, &self.annotation)?;
                let end = self.resolved.then(|| jiff::Timestamp::from_millisecond(now.0)).transpose()?;
                let end = end.map(|end| end.to_string());
                let alert = json!([{ "labels": labels, "annotations": annotations, "startsAt": end, "endsAt": end }]);
                Ok((alert.to_string().into_bytes(), Some(Endpoint::AlertmanagerApi.path().to_owned())))
            }
        }
    }
}

fn read(file: &str) -> Result<Vec<u8>> {
    if file == "-" {
        let mut body = Vec::new();
        std::io::stdin().lock().read_to_end(&mut body).context("standard input cannot be read")?;
        return Ok(body);
    }
    std::fs::read(file).with_context(|| format!("{file} cannot be read; labels are written name=value"))
}

fn is_endpoint(path: &str, rules: &Rules) -> Result<()> {
    let known = payload::paths(rules);
    if known.iter().any(|endpoint| endpoint == path) {
        return Ok(());
    }
    Err(anyhow!("there is no endpoint `{path}`{}", suggest(path, known.iter().map(String::as_str))))
}

fn told(NoAlerts(refusals): NoAlerts) -> anyhow::Error {
    let lines: Vec<_> = refusals.iter().map(|(path, why)| format!("  {path}: {why}")).collect();
    anyhow!("no endpoint finds an alert in it:\n{}", lines.join("\n"))
}
