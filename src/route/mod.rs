//! What would become of one alert: which rules are tried on it, which holds and why, and what the whole topology then says.
//!
//! ```text
//! alert ─► the level operators' own rules, traced ─► level, mention, reason
//!    └───► the topology without a broker, empty before ─► incidents, messages to Slack
//! ```
//! Nothing is sent anywhere, and nothing of what runs is looked at: it is as if this alert were the first of all, but for the
//! tellings that the caller puts before it. Pure; how a payload is read is in [`payload`].

pub mod payload;
pub mod text;

use std::collections::BTreeMap;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::event::{Alert, AlertStatus, Fact, FactKind, IncidentChange, Level, Mention, SlackActionKind};
use crate::expression::{Finding, Undecided};
use crate::operator::level::{Levels, Tried};
use crate::operator::notify::tokens_that_wake;
use crate::operator::{Operator, step};
use crate::record::{EventTime, Topic};
use crate::topology::driver::{Error, TopologyDriver};
use crate::topology::plan::{Content, Topology};
use crate::topology::yaml;

/// Between two tellings that are put before, if the rules take less for the same telling.
const GAP_MS_MIN: i64 = 60_000;

#[derive(Clone, Debug, Serialize)]
pub struct Verdict {
    pub alert: Told,
    /// One of each operator of that kind.
    pub levels: Vec<Levelled>,
    pub incidents: Vec<Incident>,
    pub messages: Vec<Message>,
}

/// The alert as it was read.
#[derive(Clone, Debug, Serialize)]
pub struct Told {
    pub name: String,
    pub service: String,
    pub status: AlertStatus,
    pub environment: Option<String>,
    pub namespace: Option<String>,
    pub value: Option<f64>,
    pub labels: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Serialize)]
pub struct Levelled {
    pub operator: String,
    /// Up to the one that holds.
    pub rules: Vec<Rule>,
    /// Up to the one that holds; none where nobody may be mentioned.
    pub raises: Vec<Rule>,
    pub repeats: i32,
    pub trend: &'static str,
    /// `null`: dropped.
    pub level: Option<Level>,
    pub mention: Mention,
    pub reason: String,
}

#[derive(Clone, Debug, Serialize)]
pub struct Rule {
    pub name: String,
    /// `null`: undecided, which is not holding.
    pub holds: Option<bool>,
    pub tests: Vec<Test>,
}

/// One comparison of a rule, as written.
#[derive(Clone, Debug, Serialize)]
pub struct Test {
    pub test: String,
    pub holds: Option<bool>,
    /// What was found where it looked, or why nothing could be.
    pub found: Vec<Found>,
}

#[derive(Clone, Debug, Serialize)]
pub struct Found {
    pub at: String,
    /// As text; `null` if there is none.
    pub value: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missing: Option<String>,
}

#[derive(Clone, Debug, Serialize)]
pub struct Incident {
    pub topic: String,
    pub change: IncidentChange,
    pub group: Vec<String>,
    pub level: Level,
    pub mention: Mention,
}

#[derive(Clone, Debug, Serialize)]
pub struct Message {
    pub kind: SlackActionKind,
    pub channel: String,
    /// Slack's tokens in it.
    pub mentions: Vec<String>,
    pub text: String,
}

/// What this telling leads to. `before` are the values with which it was told before, oldest first.
pub fn test(topology: &Topology, alert: &Alert<'static>, before: &[f64], now: EventTime) -> Result<Verdict, Error> {
    let levels = levels(topology);
    let gap_ms = levels.iter().map(|(_, levels)| i64::from(levels.repeat_gap_secs) * 1_000).fold(GAP_MS_MIN, i64::max);
    let earlier: Vec<_> = before
        .iter()
        .zip((1..=before.len() as i64).rev())
        .map(|(value, ago)| (Alert { value: Some(*value), ..firing(alert) }, now.plus_ms(-gap_ms * ago)))
        .collect();
    let traced = levels.iter().map(|(name, levels)| {
        let mut state = <Levels as Operator>::State::default();
        for (telling, at) in &earlier {
            state = step(levels, state, telling, *at).0;
        }
        let trace = levels.trace(&state, alert, now);
        Levelled {
            operator: name.clone(),
            rules: trace.rules.into_iter().map(Rule::from).collect(),
            raises: trace.raises.into_iter().map(Rule::from).collect(),
            repeats: trace.repeats,
            trend: trace.trend,
            level: trace.level,
            mention: trace.mention,
            reason: trace.reason,
        }
    });
    let levels = traced.collect();
    let (incidents, messages) = told(topology, alert, &earlier, now)?;
    Ok(Verdict { alert: Told::from(alert), levels, incidents, messages })
}

/// An earlier telling of an episode that has ended by now was told while it fired.
fn firing(alert: &Alert<'static>) -> Alert<'static> {
    Alert { status: AlertStatus::Firing, ends_at_ms: None, ..alert.clone() }
}

/// The level operators by name.
pub fn levels(topology: &Topology) -> Vec<(String, Levels)> {
    operators(topology)
}

/// The operators of one kind by name, read from the configuration that was checked.
pub fn operators<O: Operator + DeserializeOwned>(topology: &Topology) -> Vec<(String, O)> {
    let nodes = topology.sub_topologies.values().flat_map(|plan| &plan.nodes).filter(|node| node.kind == O::KIND);
    let read = nodes.filter_map(|node| {
        // JSON is YAML; only its reader takes a name that looks like a number.
        let config = yaml::parse(&node.name, &node.config.to_string(), &mut Vec::new())?;
        Some((node.name.clone(), yaml::read(&config, &mut Vec::new())?))
    });
    read.collect()
}

/// What the topology says at `now`, and not before.
fn told(
    topology: &Topology,
    alert: &Alert<'static>,
    earlier: &[(Alert<'static>, EventTime)],
    now: EventTime,
) -> Result<(Vec<Incident>, Vec<Message>), Error> {
    let mut driver = TopologyDriver::new(topology, 1)?;
    let (mut incidents, mut messages) = (Vec::new(), Vec::new());
    let Some(source) = source(topology) else { return Ok((incidents, messages)) };
    for (telling, at) in earlier.iter().chain([&(alert.clone(), now)]) {
        driver.send(&source, &Fact::Alert(telling.clone()), *at)?;
        driver.run(*at)?;
    }
    for (topic, planned) in &topology.topics {
        let Content::Fact(kind @ (FactKind::Incident | FactKind::SlackAction)) = planned.content else { continue };
        for (_, fact) in driver.facts(topic, kind)?.into_iter().filter(|(at, _)| *at == now) {
            match fact {
                Fact::Incident(incident) => incidents.push(Incident {
                    topic: topic.to_string(),
                    change: incident.change,
                    group: incident.group,
                    level: incident.level,
                    mention: incident.mention,
                }),
                Fact::SlackAction(action) => messages.push(Message {
                    kind: action.kind,
                    channel: action.channel,
                    mentions: tokens_that_wake(&action.text).map(|token| format!("<{token}>")).collect(),
                    text: action.text,
                }),
                _ => {}
            }
        }
    }
    Ok((incidents, messages))
}

/// Where alerts come in: as `ingest` says, or the first topic of alerts that is read.
fn source(topology: &Topology) -> Option<Topic> {
    if let Some(ingest) = &topology.settings.ingest {
        return Some(Topic::from(&*ingest.alerts.value));
    }
    let sources = topology.sub_topologies.values().flat_map(|plan| &plan.sources);
    sources.into_iter().find(|(_, source)| source.fact == FactKind::Alert).map(|(topic, _)| topic.clone())
}

impl From<&Alert<'static>> for Told {
    fn from(alert: &Alert<'static>) -> Self {
        Self {
            name: alert.name.to_string(),
            service: alert.service.to_string(),
            status: alert.status,
            environment: alert.environment.as_ref().map(ToString::to_string),
            namespace: alert.namespace.as_ref().map(ToString::to_string),
            value: alert.value,
            labels: alert.labels.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        }
    }
}

impl From<Tried> for Rule {
    fn from(tried: Tried) -> Self {
        let tests = tried.findings.into_iter().map(Test::from).collect();
        Self { name: tried.name, holds: tried.outcome.ok(), tests }
    }
}

impl From<Finding> for Test {
    fn from(finding: Finding) -> Self {
        let found = |(at, found): (String, Result<String, Undecided>)| Found {
            at,
            missing: found.as_ref().err().map(ToString::to_string),
            value: found.ok(),
        };
        let found = finding.operands.into_iter().map(|operand| found((operand.text, operand.found)));
        Self { test: finding.text, holds: finding.outcome.ok(), found: found.collect() }
    }
}

#[cfg(test)]
mod tests;
