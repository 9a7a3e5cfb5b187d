//! A rule for an alert that makes noise, as YAML to paste, and the topology that has it.
//!
//! Proposed is what the figures carry, the stronger first: to drop what ends by itself, wakes nobody and is never acted on; to be patient
//! with what mostly ends by itself but is serious when it does not; to call Low what hardly ever ends.

use anyhow::{Context, Result};
use serde::Serialize;
use serde_json::{Value, json};

use super::measure::Measured;
use crate::event::{Level, Mention};
use crate::replay::text::level_word;
use crate::topology::catalog::catalog;
use crate::topology::plan::Topology;
use crate::topology::yaml;

/// Fewer episodes say nothing.
const EPISODES_MIN: u64 = 3;
/// Of an alert with patience: told at least so often before it counts.
const PATIENCE_TELLINGS: u32 = 3;

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Proposal {
    /// In words.
    pub what: &'static str,
    /// In the order in which they are to stand, before all others.
    pub rules: Vec<Value>,
    pub yaml: String,
}

pub fn proposals(measured: &Measured) -> Vec<Proposal> {
    let Measured { episodes, ended_soon, came_back, acted_on, open, worst, mention, .. } = measured;
    let share = |part: &u64, least_percent: u64| *episodes >= EPISODES_MIN && part * 100 >= episodes * least_percent;
    let soon = share(ended_soon, 80);
    let mut all = Vec::new();
    if soon && *acted_on == 0 && *mention == Mention::Nobody && *worst <= Level::Medium {
        let why = format!("ended by itself within 10 min in {ended_soon} of {episodes} times, and nobody acted");
        all.push(proposal("drop it", vec![rule(measured, "noise", json!({ "drop": why }), None)]));
    }
    if soon || share(came_back, 50) {
        all.push(patient(measured));
    }
    if *open > 0 && *episodes > 0 && measured.told >= 20 * episodes && *worst > Level::Low {
        let why = format!("told {} times in {episodes} episodes: it hardly ever ends", measured.told);
        all.push(proposal(
            "call it low",
            vec![rule(measured, "always", json!({ "level": "low", "reason": why }), None)],
        ));
    }
    all
}

/// As it is now once it was told some times, Low before.
fn patient(measured: &Measured) -> Proposal {
    let Measured { episodes, ended_soon, came_back, worst, mention, .. } = measured;
    let level = level_word(*worst).to_lowercase();
    let mut lasting = json!({ "level": level });
    if *mention != Mention::Nobody && *worst != Level::Low {
        lasting["mention"] = json!(mention);
    }
    lasting["reason"] = json!(format!("told {PATIENCE_TELLINGS} times: it does not end by itself"));
    let why = format!(
        "of {episodes} times it ended within 10 min in {ended_soon} and came back within 30 min in {came_back}"
    );
    let first = rule(measured, "lasts", lasting, Some(PATIENCE_TELLINGS));
    let then = rule(measured, "at-first", json!({ "level": "low", "reason": why }), None);
    proposal("be patient with it", vec![first, then])
}

fn rule(measured: &Measured, suffix: &str, verdict: Value, repeats: Option<u32>) -> Value {
    let service = measured.service_label.as_ref().map(|_| &*measured.service);
    let words = [Some(&*measured.alert), service, Some(suffix)];
    let name: Vec<String> = words.into_iter().flatten().map(slug).collect();
    let mut when = json!({ "alerts": [measured.alert] });
    if let Some(label) = &measured.service_label {
        // Prometheus' strings and JSON's are escaped alike.
        when["matchers"] = json!([format!("{label}={}", json!(measured.service))]);
    }
    if let Some(repeats) = repeats {
        when["repeats_at_least"] = json!(repeats);
    }
    let mut rule = json!({ "name": name.join("-"), "when": when });
    if let (Value::Object(rule), Value::Object(verdict)) = (&mut rule, verdict) {
        rule.extend(verdict);
    }
    rule
}

fn slug(text: &str) -> String {
    let plain = text.chars().map(|c| if c.is_alphanumeric() { c.to_ascii_lowercase() } else { '-' });
    plain.collect()
}

fn proposal(what: &'static str, rules: Vec<Value>) -> Proposal {
    let yaml = rules.iter().map(yaml_of).collect();
    Proposal { what, rules, yaml }
}

/// An item of a list, indented as in the file that ships.
fn yaml_of(rule: &Value) -> String {
    let fields = rule.as_object().into_iter().flatten();
    let line = |(number, (name, value)): (usize, (&String, &Value))| {
        format!("        {} {name}: {}\n", if number == 0 { "-" } else { " " }, flow(value))
    };
    fields.enumerate().map(line).collect()
}

fn flow(value: &Value) -> String {
    match value {
        Value::String(text) if text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') => text.clone(),
        Value::String(text) if !text.contains('\'') => format!("'{text}'"),
        Value::Array(items) => format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", ")),
        Value::Object(fields) => {
            let fields = fields.iter().map(|(name, value)| format!("{name}: {}", flow(value)));
            format!("{{ {} }}", fields.collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

/// `None` if the level operator would not have it: a rule of the topology would no longer be reached.
pub fn with_rules(topology: &Topology, proposal: &Proposal) -> Result<Option<Topology>> {
    let mut topology = topology.clone();
    let nodes = topology.sub_topologies.values_mut().flat_map(|plan| &mut plan.nodes);
    let node =
        nodes.into_iter().find(|node| node.kind == "level").context("the topology has no operator of kind level")?;
    let rules = node.config.get("rules").and_then(Value::as_array).cloned().unwrap_or_default();
    let rules: Vec<Value> = proposal.rules.iter().cloned().chain(rules).collect();
    if let Value::Object(config) = &mut node.config {
        config.insert("rules".to_owned(), Value::Array(rules));
    }
    // JSON is YAML.
    let config = yaml::parse("the proposed rule", &node.config.to_string(), &mut Vec::new());
    let config = config.context("a configuration can be read again")?;
    let kind = catalog().into_iter().find(|kind| kind.name == node.kind).context("a kind of operator that is known")?;
    let Some(build) = (kind.configure)(&config, &mut Vec::new()) else { return Ok(None) };
    node.build = build;
    Ok(Some(topology))
}
