//! Deploys in fairlead's own plain JSON: an object, or an array of them.
//!
//! ```text
//! curl -H 'Authorization: Bearer …' -H 'Content-Type: application/json' http://127.0.0.1:8080/api/v1/deploys -d '
//!   {"id": "run-1042", "service": "checkout", "version": "v42"}'
//! ```
//!
//! | field | | |
//! |---|---|---|
//! | `id` | required | identity within its source, for example the pipeline run's; told again, it is the same deploy |
//! | `service` | required | what changed, named as in the alerts |
//! | `version` | required unless removed | what runs afterwards |
//! | `source` | `api` | who tells it |
//! | `environment` | | |
//! | `kind` | `deploy` | or `rollback`, `remove` |
//! | `outcome` | `succeeded` | or `running`, `failed` |
//! | `revision`, `actor`, `url` | | commit, who did it, where to read more |
//! | `started_at` | | RFC 3339; a running one without it started when it is received |
//! | `finished_at` | | RFC 3339; one that is not running and is without it finished when it is received |
//!
//! A field of another name is refused, for a misspelt `environment` would be lost in silence.

use super::json::{Node, Refusal, parse, shortened};
use super::{Limits, Reading, Rules, time};
use crate::event::{Deploy, DeployKind, DeployOutcome, Fact};
use crate::record::EventTime;

/// The version of what no longer runs.
pub(super) const REMOVED: &str = "removed";

const FIELDS: [&str; 12] = [
    "id",
    "service",
    "version",
    "source",
    "environment",
    "kind",
    "outcome",
    "revision",
    "actor",
    "url",
    "started_at",
    "finished_at",
];

/// `POST /api/v1/deploys`
pub fn read(body: &[u8], rules: &Rules, now: EventTime) -> Result<Reading, Refusal> {
    let value = parse(body)?;
    let root = Node::root(&value);
    if value.is_array() {
        return Reading::of_items(&root, "deploys", &rules.limits, |item| deploy(item, &rules.limits, now).map(Some));
    }
    Reading::of_one(deploy(&root, &rules.limits, now).map(Some))
}

fn deploy(node: &Node<'_>, limits: &Limits, now: EventTime) -> Result<Fact<'static>, Refusal> {
    for (name, _) in node.entries("a deploy")? {
        if !FIELDS.contains(&name) {
            let problem = format!("there is no field {:?}", shortened(name));
            return Err(node.refuse(problem, format!("the fields are {}", FIELDS.join(", "))));
        }
    }
    let required = |name: &str| node.required(name)?.filled(limits.text_bytes_max).map(str::to_owned);
    let optional = |name: &str| node.optional_text(name, limits.text_bytes_max);
    let kind = choice(
        node,
        "kind",
        &[("deploy", DeployKind::Deploy), ("rollback", DeployKind::Rollback), ("remove", DeployKind::Remove)],
    )?;
    let outcome = choice(
        node,
        "outcome",
        &[
            ("succeeded", DeployOutcome::Succeeded),
            ("running", DeployOutcome::Running),
            ("failed", DeployOutcome::Failed),
        ],
    )?;
    let (started_at_ms, finished_at_ms) = times(node, outcome, now)?;
    let version = match (kind, optional("version")?) {
        (_, Some(version)) => version,
        (DeployKind::Remove, None) => REMOVED.into(),
        (_, None) => required("version")?.into(),
    };
    Ok(Fact::Deploy(Deploy {
        id: required("id")?.into(),
        source: optional("source")?.unwrap_or_else(|| "api".into()),
        service: required("service")?.into(),
        environment: optional("environment")?,
        kind,
        outcome,
        version,
        revision: optional("revision")?,
        actor: optional("actor")?,
        url: optional("url")?,
        started_at_ms,
        finished_at_ms,
    }))
}

/// One of a few words; the first is the default.
fn choice<T: Copy>(node: &Node<'_>, name: &str, choices: &[(&str, T)]) -> Result<T, Refusal> {
    let Some(field) = node.field(name) else { return Ok(choices[0].1) };
    let told = field.string()?;
    let chosen = choices.iter().find(|(word, _)| *word == told);
    chosen.map(|(_, value)| *value).ok_or_else(|| {
        let words: Vec<_> = choices.iter().map(|(word, _)| *word).collect();
        field.refuse(format!("{} is not known", field.found()), format!("send one of {}", words.join(", ")))
    })
}

fn times(node: &Node<'_>, outcome: DeployOutcome, now: EventTime) -> Result<(Option<i64>, Option<i64>), Refusal> {
    let started = time::optional(node, "started_at")?;
    let finished = time::optional(node, "finished_at")?;
    match (outcome, started, finished) {
        (DeployOutcome::Running, _, Some(_)) => {
            Err(node.refuse("it is running, yet it has finished", "leave out \"finished_at\" or change \"outcome\""))
        }
        (DeployOutcome::Running, started, None) => Ok((Some(started.unwrap_or(now.0)), None)),
        (_, Some(started), Some(finished)) if finished < started => {
            Err(node.refuse("it finished before it started", "check \"started_at\" and \"finished_at\""))
        }
        (_, started, finished) => Ok((started, Some(finished.unwrap_or(now.0)))),
    }
}
