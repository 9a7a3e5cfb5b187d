//! `fairlead send`: an alert or a deploy straight to its topic, from flags, a file or standard input; or what was kept of requests.
//!
//! It is read as the HTTP endpoints read it, with the same rules and refusals; but here one bad element holds all back, for
//! the person who can mend it is at the keyboard.

mod payloads;

use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail};
use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::output::{Output, print, print_json};
use super::reach::Reach;
use crate::app::cluster::Cluster;
use crate::app::rules;
use crate::clock::Clock;
use crate::codec::{Format, Formats};
use crate::event::{Fact, FactKind};
use crate::ingest::send::{Sender, Stored};
use crate::ingest::{Reading, Refusal, Rules, alertmanager, deploys};
use crate::record::{EventTime, Topic};
use crate::topology::names::value_subject;

#[derive(Args)]
pub struct Send {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// An alert: fairlead send alert HighErrorRatio service=checkout severity=critical
    Alert(Alert),
    /// A deploy: fairlead send deploy --id run-17 --service checkout --version v2.41.0
    Deploy(Deploy),
    /// What was refused when it was received, read again by the parsers as they are now
    Payloads(payloads::Payloads),
}

#[derive(Args)]
struct Alert {
    /// Labels as name=value; the first may be the alert's name alone
    #[arg(required_unless_present = "file", conflicts_with = "file")]
    labels: Vec<String>,
    /// name=value, for people: summary, description, runbook_url
    #[arg(long, value_name = "NAME=VALUE", conflicts_with = "file")]
    annotation: Vec<String>,
    /// When it began to fire, RFC 3339; without it now
    #[arg(long, conflicts_with = "file")]
    start: Option<String>,
    /// It is over: since now, or since --end
    #[arg(long, conflicts_with = "file")]
    resolved: bool,
    /// When it ended, RFC 3339
    #[arg(long, conflicts_with = "file")]
    end: Option<String>,
    /// Where it can be looked at
    #[arg(long, value_name = "URL", conflicts_with = "file")]
    generator_url: Option<String>,
    /// Instead of all that: JSON as Alertmanager's API v2 takes it, or its webhook sends it; `-` is standard input
    #[arg(long, short)]
    file: Option<PathBuf>,
    #[command(flatten)]
    reach: Reach,
    #[arg(long, short, value_enum, default_value_t)]
    output: Output,
}

#[derive(Args)]
struct Deploy {
    /// Identity within its source; told again, it is the same deploy
    #[arg(long, required_unless_present = "file", conflicts_with = "file")]
    id: Option<String>,
    #[arg(long, required_unless_present = "file", conflicts_with = "file")]
    service: Option<String>,
    /// What runs afterwards
    #[arg(long, conflicts_with = "file")]
    version: Option<String>,
    /// Who tells it; without it `api`
    #[arg(long, conflicts_with = "file")]
    source: Option<String>,
    #[arg(long, conflicts_with = "file")]
    environment: Option<String>,
    /// deploy, rollback or remove
    #[arg(long, conflicts_with = "file")]
    kind: Option<String>,
    /// succeeded, running or failed
    #[arg(long, conflicts_with = "file")]
    outcome: Option<String>,
    /// The commit
    #[arg(long, conflicts_with = "file")]
    revision: Option<String>,
    #[arg(long, conflicts_with = "file")]
    actor: Option<String>,
    #[arg(long, conflicts_with = "file")]
    url: Option<String>,
    /// RFC 3339
    #[arg(long, conflicts_with = "file")]
    started_at: Option<String>,
    /// RFC 3339; without it now, unless it is running
    #[arg(long, conflicts_with = "file")]
    finished_at: Option<String>,
    /// Instead of all that: JSON as POST /api/v1/deploys takes it, one or an array; `-` is standard input
    #[arg(long, short)]
    file: Option<PathBuf>,
    #[command(flatten)]
    reach: Reach,
    #[arg(long, short, value_enum, default_value_t)]
    output: Output,
}

impl Send {
    pub async fn run(self) -> Result<()> {
        let now = Clock::wall().now();
        match self.what {
            What::Alert(alert) => {
                let body = match &alert.file {
                    Some(file) => body(file)?,
                    None => alert.json(now)?.to_string().into_bytes(),
                };
                let cluster = alert.reach.cluster().await?;
                let read = |rules: &Rules| alerts(&body, rules, now);
                send(cluster, FactKind::Alert, now, alert.output, read).await
            }
            What::Deploy(deploy) => {
                let body = match &deploy.file {
                    Some(file) => body(file)?,
                    None => deploy.json().to_string().into_bytes(),
                };
                let cluster = deploy.reach.cluster().await?;
                let read = |rules: &Rules| deploys::read(&body, rules, now);
                send(cluster, FactKind::Deploy, now, deploy.output, read).await
            }
            What::Payloads(payloads) => payloads.run().await,
        }
    }
}

impl Alert {
    /// As the API takes it.
    fn json(&self, now: EventTime) -> Result<Value> {
        let (labels, annotations) = pairs(&self.labels, &self.annotation)?;
        let end = match (&self.end, self.resolved) {
            (Some(end), _) => Some(end.clone()),
            (None, true) => Some(jiff::Timestamp::from_millisecond(now.0)?.to_string()),
            (None, false) => None,
        };
        Ok(json!([{
            "labels": labels,
            "annotations": annotations,
            "startsAt": self.start,
            "endsAt": end,
            "generatorURL": self.generator_url,
        }]))
    }
}

impl Deploy {
    /// As `POST /api/v1/deploys` takes it.
    fn json(&self) -> Value {
        let options = [
            ("id", &self.id),
            ("service", &self.service),
            ("version", &self.version),
            ("source", &self.source),
            ("environment", &self.environment),
            ("kind", &self.kind),
            ("outcome", &self.outcome),
            ("revision", &self.revision),
            ("actor", &self.actor),
            ("url", &self.url),
            ("started_at", &self.started_at),
            ("finished_at", &self.finished_at),
        ];
        let told = options.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value.clone()?.into())));
        Value::Object(told.collect())
    }
}

/// Labels and annotations of words such as name=value; the first may be the alert's name alone.
pub fn pairs(labels: &[String], annotations: &[String]) -> Result<(Map<String, Value>, Map<String, Value>)> {
    let label = |(number, label): (usize, &String)| {
        let (name, value) = match label.split_once('=') {
            Some(pair) => pair,
            None if number == 0 => ("alertname", &**label),
            None => bail!("`{label}` is no label; write name=value (only the first may be the alert's name alone)"),
        };
        Ok((name.to_owned(), value.into()))
    };
    let annotation = |text: &String| {
        let pair = text.split_once('=').ok_or_else(|| anyhow!("`{text}` is no annotation; write name=value"))?;
        Ok((pair.0.to_owned(), Value::from(pair.1)))
    };
    let labels = labels.iter().enumerate().map(label).collect::<Result<_>>()?;
    Ok((labels, annotations.iter().map(annotation).collect::<Result<_>>()?))
}

/// An array as the API takes it, one of its elements, or the webhook's payload.
fn alerts(body: &[u8], rules: &Rules, now: EventTime) -> Result<Reading, Refusal> {
    match crate::ingest::json::parse(body)? {
        Value::Object(payload) if payload.contains_key("alerts") => alertmanager::webhook(body, rules, now),
        one @ Value::Object(_) => alertmanager::api(json!([one]).to_string().as_bytes(), rules, now),
        _ => alertmanager::api(body, rules, now),
    }
}

fn body(file: &PathBuf) -> Result<Vec<u8>> {
    if file.as_os_str() == "-" {
        let mut body = Vec::new();
        std::io::stdin().lock().read_to_end(&mut body).context("standard input cannot be read")?;
        return Ok(body);
    }
    std::fs::read(file).with_context(|| format!("{} cannot be read", file.display()))
}

#[derive(Serialize)]
struct Sent {
    fact: FactKind,
    key: String,
    #[serde(flatten)]
    stored: Stored,
}

async fn send(
    cluster: Cluster,
    kind: FactKind,
    now: EventTime,
    output: Output,
    read: impl Fn(&Rules) -> Result<Reading, Refusal>,
) -> Result<()> {
    let Some(ingest) = cluster.topology.settings.ingest.clone() else {
        bail!("the topology has no `ingest` section, which names the topics of alerts and deploys; add it");
    };
    let reading = read(&rules(&cluster.topology, &ingest))?;
    if reading.refusals() > 0 {
        let told: Vec<_> = reading.refused.iter().map(ToString::to_string).collect();
        bail!("{} of it cannot be taken, so nothing was sent:\n{}", reading.refusals(), told.join("\n"));
    }
    let sending = cluster.endpoints.sending(&ingest);
    let topic = if kind == FactKind::Deploy { &sending.deploys } else { &sending.alerts };
    // It would be made with the broker's defaults.
    cluster.partitions(topic)?;
    let formats = formats(&cluster, topic, kind).await?;
    let stored = Sender::new(sending, Arc::new(formats))?.send(&reading.facts, now).await?;
    let sent = |(fact, stored): (&Fact<'_>, Stored)| Sent { fact: kind, key: fact.key().to_owned(), stored };
    let sent: Vec<_> = reading.facts.iter().zip(stored).map(sent).collect();
    match output {
        Output::Json => print_json(&sent),
        Output::Text => print(&sent.iter().map(Sent::text).collect::<String>()),
    }
}

/// The schema of the one kind, registered as a start of the application does it.
async fn formats(cluster: &Cluster, topic: &Topic, kind: FactKind) -> Result<Formats> {
    let id = cluster.registry.register(&value_subject(topic), kind.schema_json()).await?;
    let mut formats = Formats::default();
    formats.write_fact_with(kind, Format::new(id, kind.schema_json())?);
    Ok(formats)
}

impl Sent {
    fn text(&self) -> String {
        let Stored { topic, partition, offset } = &self.stored;
        format!("{} of {}: {topic}-{}@{}\n", self.fact, self.key, partition.0, offset.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::AlertStatus;
    use clap::Parser;

    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        send: Send,
    }

    const NOW: EventTime = EventTime(1_700_000_000_000);

    fn parse(args: &[&str]) -> What {
        Program::try_parse_from([&["send"], args].concat()).map_err(|error| error.to_string()).unwrap().send.what
    }

    fn alert(args: &[&str]) -> Result<Reading> {
        let What::Alert(alert) = parse(&[&["alert"], args].concat()) else { panic!("an alert") };
        Ok(alerts(alert.json(NOW)?.to_string().as_bytes(), &Rules::default(), NOW)?)
    }

    #[test]
    fn labels_become_the_alert_that_the_endpoint_would_make_of_them() {
        let args = ["Errors", "service=checkout", "a=b=c", "--annotation", "summary=too many", "--resolved"];
        let reading = alert(&args).unwrap();
        let [Fact::Alert(alert)] = &reading.facts[..] else { panic!("one alert") };
        assert_eq!((&*alert.name, &*alert.service, alert.labels.get("a")), ("Errors", "checkout", Some("b=c")));
        assert_eq!((alert.status, alert.ends_at_ms), (AlertStatus::Resolved, Some(NOW.0)));
        assert_eq!(alert.annotations.get("summary"), Some("too many"));
    }

    #[test]
    fn what_is_wrong_is_said_before_anything_is_sent() {
        assert!(alert(&["Errors", "checkout"]).unwrap_err().to_string().contains("`checkout` is no label"));
        let reading = alert(&["Errors", "--start", "yesterday"]).unwrap();
        assert!(reading.refused[0].path.contains("startsAt"), "{:?}", reading.refused);
        assert!(Program::try_parse_from(["send", "alert"]).is_err());
        assert!(Program::try_parse_from(["send", "deploy", "--id", "1"]).is_err());
    }

    #[test]
    fn a_deploy_from_flags_and_alerts_in_every_form() {
        let What::Deploy(deploy) = parse(&["deploy", "--id", "run-1", "--service", "s", "--version", "v2"]) else {
            panic!("a deploy")
        };
        let reading = deploys::read(deploy.json().to_string().as_bytes(), &Rules::default(), NOW).unwrap();
        assert_eq!((reading.facts.len(), reading.facts[0].key()), (1, "s"));
        let one = r#"{"labels":{"alertname":"A"}}"#;
        let webhook =
            r#"{"version":"4","alerts":[{"status":"firing","startsAt":"2023-11-14T22:00:00Z","labels":{"a":"b"}}]}"#;
        for body in [one, &format!("[{one}]"), webhook] {
            assert_eq!(alerts(body.as_bytes(), &Rules::default(), NOW).unwrap().facts.len(), 1, "{body}");
        }
    }
}
