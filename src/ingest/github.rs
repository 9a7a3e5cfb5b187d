//! Deploys as GitHub tells them: the webhook event `deployment_status`, of a repository, an organisation or an app.
//!
//! ```text
//! Settings → Webhooks: URL http://fairlead:8080/webhooks/github, content type application/json, secret as in
//! `ingest.github.secret`, event Deployment statuses
//! ```
//!
//! | state | |
//! |---|---|
//! | `in_progress` | a deploy that runs, since then |
//! | `success` | one that has succeeded |
//! | `failure`, `error` | one that has failed |
//! | `queued`, `pending`, `waiting`, `inactive` | ignored: not begun, or superseded by another |
//!
//! Invariants: identity is the repository and the deployment, so that all states are one deploy; the delivery's id only
//! tells a delivery that comes again. The service is the one that the deployment's payload names, else the one of the
//! repository by `ingest.github.services`, else the repository's name. Other events (`ping`, …) are ignored and counted.

use serde_json::Value;

use super::json::{Node, Refusal, parse};
use super::{Reading, Rules, time};
use crate::event::{Deploy, DeployKind, DeployOutcome, Fact, Text};
use crate::record::EventTime;

/// What the headers say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    pub event: String,
    pub id: String,
}

/// Characters of a commit that tell it apart, as people write it.
const SHORT_SHA: usize = 12;
/// GitHub's are 36 characters.
const DELIVERY_BYTES_MAX: usize = 100;

impl Delivery {
    /// `header` finds a header by its lower-case name.
    pub fn of<'h>(header: impl Fn(&str) -> Option<&'h str>) -> Result<Self, Refusal> {
        let told = |name: &str| match header(name).map(str::trim) {
            Some(text) if (1..=DELIVERY_BYTES_MAX).contains(&text.len()) => Ok(text.to_owned()),
            _ => Err(Refusal::new(
                "$",
                format!("the header {name} is missing, empty or too long"),
                "send what GitHub sends: X-GitHub-Event, X-GitHub-Delivery and X-Hub-Signature-256",
            )),
        };
        Ok(Self { event: told("x-github-event")?, id: told("x-github-delivery")? })
    }
}

/// `POST /webhooks/github`
pub fn read(delivery: &Delivery, body: &[u8], rules: &Rules, now: EventTime) -> Result<Reading, Refusal> {
    let value = parse(body)?;
    let root = Node::root(&value);
    let fact = match &*delivery.event {
        "deployment_status" => deploy(&root, rules, now).map(|deploy| deploy.map(Fact::Deploy)),
        _ => Ok(None),
    };
    Ok(Reading { delivery: Some(delivery.id.clone()), ..Reading::of_one(fact)? })
}

fn deploy(root: &Node<'_>, rules: &Rules, now: EventTime) -> Result<Option<Deploy<'static>>, Refusal> {
    root.object("GitHub's deployment_status")?;
    let max = rules.limits.text_bytes_max;
    let (status, deployment) = (root.required("deployment_status")?, root.required("deployment")?);
    let Some(outcome) = outcome(&status.required("state")?)? else { return Ok(None) };
    let told_at_ms = time::optional(&status, "created_at")?.unwrap_or(now.0);
    let running = outcome == DeployOutcome::Running;
    let repository = root.required("repository")?;
    let full_name = repository.required("full_name")?.filled(max)?;
    let revision = deployment.required("sha")?.filled(max)?;
    let version = match deployment.optional_text("ref", max)? {
        Some(reference) if *reference != *revision => reference,
        _ => revision.chars().take(SHORT_SHA).collect::<String>().into(),
    };
    let task = deployment.field("task").and_then(|task| task.value.as_str()).unwrap_or_default();
    let environment = status.optional_text("environment", max)?.or(deployment.optional_text("environment", max)?);
    Ok(Some(Deploy {
        id: identity(&deployment.required("id")?)?.into(),
        source: format!("github/{full_name}").into(),
        service: service(&deployment, full_name, rules).into(),
        environment,
        kind: if task.starts_with("rollback") { DeployKind::Rollback } else { DeployKind::Deploy },
        outcome,
        version,
        revision: Some(revision.to_owned().into()),
        actor: actor(root, &deployment, max)?,
        url: match status.link("log_url", max)? {
            Some(log) => Some(log),
            None => status.link("target_url", max)?,
        },
        started_at_ms: running.then_some(told_at_ms),
        finished_at_ms: (!running).then_some(told_at_ms),
    }))
}

/// `None`: it does not begin, end or fail by this.
fn outcome(state: &Node<'_>) -> Result<Option<DeployOutcome>, Refusal> {
    match state.string()? {
        "in_progress" => Ok(Some(DeployOutcome::Running)),
        "success" => Ok(Some(DeployOutcome::Succeeded)),
        "failure" | "error" => Ok(Some(DeployOutcome::Failed)),
        "queued" | "pending" | "waiting" | "inactive" => Ok(None),
        _ => Err(state.refuse(
            format!("{} is no state of a deployment that is known here", state.found()),
            "fairlead knows queued, pending, waiting, in_progress, success, failure, error and inactive: update it",
        )),
    }
}

fn identity(id: &Node<'_>) -> Result<String, Refusal> {
    match id.value {
        Value::Number(number) if number.is_u64() => Ok(number.to_string()),
        _ => Err(id.refuse(format!("expected the deployment's id, found {}", id.found()), "send a whole number here")),
    }
}

fn service(deployment: &Node<'_>, full_name: &str, rules: &Rules) -> String {
    let named = deployment.field("payload").and_then(|payload| service_of(payload.value));
    let named = named.filter(|name| (1..=rules.limits.text_bytes_max).contains(&name.len()));
    let mapped = || rules.repositories.get(&full_name.to_lowercase()).cloned();
    let plain = || full_name.rsplit('/').next().unwrap_or(full_name).to_owned();
    named.or_else(mapped).unwrap_or_else(plain)
}

/// The payload is free: an object, or text that may hold one.
fn service_of(payload: &Value) -> Option<String> {
    let service = |payload: &Value| Some(payload.get("service")?.as_str()?.trim().to_owned());
    match payload {
        Value::String(text) => service(&serde_json::from_str(text).ok()?),
        payload => service(payload),
    }
}

/// Who set it off; of what a workflow did, the person behind it.
fn actor(root: &Node<'_>, deployment: &Node<'_>, max: usize) -> Result<Option<Text<'static>>, Refusal> {
    let login = |node: Option<Node<'_>>| match node {
        Some(person) => person.optional_text("login", max),
        None => Ok(None),
    };
    if let Some(run) = root.field("workflow_run")
        && let Some(person) = login(run.field("actor"))?
    {
        return Ok(Some(person));
    }
    login(deployment.field("creator"))
}
