//! A plan for people, as a table, and for programs, as the calls that would be sent.
#![deny(clippy::disallowed_methods, clippy::disallowed_types, clippy::disallowed_macros)]

use std::collections::BTreeMap;
use std::fmt::{self, Write};

use serde_json::{Value, json};

use super::super::selection::Complaint;
use super::access::Rule;
use super::{Plan, Step, Why};

impl Plan {
    /// `from` and `to` are what the clusters are called.
    pub fn text(&self, from: &str, to: &str) -> String {
        let mut out = String::new();
        let topics = self.pairs.len();
        _ = writeln!(
            out,
            "{}: {topics} {} from {from} to {to}",
            self.flow,
            if topics == 1 { "topic" } else { "topics" }
        );
        self.steps.iter().for_each(|step| _ = writeln!(out, "  {step}"));
        if self.steps.is_empty() {
            out += "  nothing to do on the target\n";
        }
        for (topic, held) in &self.held {
            _ = writeln!(out, "  later   {topic}: {} once it has caught up", changes(held));
        }
        for left in &self.not_carried {
            _ = writeln!(out, "  left    {}: {}", left.rule, left.why);
        }
        self.warnings.iter().for_each(|warning| _ = writeln!(out, "  warning: {warning}"));
        self.problems.iter().for_each(|problem| _ = writeln!(out, "  problem: {problem}"));
        out
    }

    pub fn json(&self, from: &str, to: &str) -> Value {
        let Self { flow, pairs, steps, held, warnings, problems, not_carried } = self;
        json!({
            "flow": flow,
            "from": from,
            "to": to,
            "topics": pairs,
            "calls": steps.iter().map(Step::json).collect::<Vec<_>>(),
            "held_back": held,
            "not_carried": not_carried,
            "warnings": warnings,
            "problems": problems,
        })
    }
}

impl Step {
    /// The call of Kafka's protocol, on the target.
    pub fn json(&self) -> Value {
        match self {
            Step::Create { topic, partitions, replication, configs, why } => json!({
                "call": "CreateTopics",
                "topic": topic,
                "partitions": partitions,
                "replication_factor": replication.unwrap_or(-1),
                "configs": configs,
                "why": why,
            }),
            Step::Grow { topic, from, to } => {
                json!({ "call": "CreatePartitions", "topic": topic, "count": to, "was": from })
            }
            Step::Alter { topic, configs, why } => {
                let change = |(name, value): (&String, &Option<String>)| match value {
                    Some(value) => json!({ "name": name, "operation": "SET", "value": value }),
                    None => json!({ "name": name, "operation": "DELETE" }),
                };
                let configs: Vec<_> = configs.iter().map(change).collect();
                json!({ "call": "IncrementalAlterConfigs", "topic": topic, "configs": configs, "why": why })
            }
            Step::Allow { rule } => json!({ "call": "CreateAcls", "rule": rule }),
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Create { topic, partitions, replication, configs, why } => {
                write!(f, "create  {topic}: {partitions} partitions")?;
                if let Some(replication) = replication {
                    write!(f, ", replication {replication}")?;
                }
                configs.iter().try_for_each(|(name, value)| write!(f, ", {name}={value}"))?;
                write!(f, " ({why})")
            }
            Step::Grow { topic, from, to } => write!(f, "grow    {topic}: {from} -> {to} partitions"),
            Step::Alter { topic, configs, why } => write!(f, "set     {topic}: {} ({why})", changes(configs)),
            Step::Allow { rule } => write!(f, "allow   {rule}"),
        }
    }
}

fn changes(configs: &BTreeMap<String, Option<String>>) -> String {
    let change = |(name, value): (&String, &Option<String>)| match value {
        Some(value) => format!("{name}={value}"),
        None => format!("{name} as the cluster has it"),
    };
    configs.iter().map(change).collect::<Vec<_>>().join(", ")
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Why::Differs => "it differs",
            Why::HoldsBack => "held back while old records are copied",
            Why::CaughtUp => "caught up",
        })
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { resource, pattern, name, principal, host, operation, permission } = self;
        write!(f, "{permission} {operation} to {principal} from {host} on {resource} {name} ({pattern})")
    }
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.topic {
            Some(topic) => write!(f, "{topic}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}
