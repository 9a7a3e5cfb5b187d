//! The mix of records that benchmarks work on: seeded, the same in every run.
//!
//! Every key sees its share of the same story: a deploy, alerts that fire, repeat with another value and resolve.

use fairlead::event::{Alert, AlertStatus, Deploy, DeployKind, DeployOutcome, Fact, Labels, Mention, Text};

/// Of so many records of a key one is a deploy.
const DEPLOY_EVERY: u64 = 5;

/// Number so-and-so of a backlog over `keys` services, each of which comes as often as every other, in an order that no cache
/// likes: the factor is a prime.
pub fn service(number: u64, keys: u64) -> (String, u64) {
    let (key, round) = (number % keys * 2_654_435_761 % keys, number / keys);
    (format!("service-{key:07}"), round + key)
}

pub fn fact(service: &str, round: u64, at_ms: u64) -> Fact<'_> {
    if round.is_multiple_of(DEPLOY_EVERY) {
        Fact::Deploy(deploy(service, round, at_ms))
    } else {
        Fact::Alert(alert(service, round, at_ms))
    }
}

/// Of two alerts of the service; every third telling resolves.
pub fn alert<'a>(service: &'a str, round: u64, at_ms: u64) -> Alert<'a> {
    let (name, severity) =
        if round.is_multiple_of(2) { ("HighErrorRatio", "critical") } else { ("LatencyP99High", "warning") };
    let resolved = round % 6 > 3;
    let labels = [
        ("alertname", name),
        ("cluster", "eu-west-1"),
        ("namespace", "shop"),
        ("service", service),
        ("severity", severity),
    ];
    let labels: Labels<'a> = labels.into_iter().map(|(name, value)| (Text::from(name), Text::from(value))).collect();
    let summary: Text<'a> = Text::from("more than 5 % of requests fail");
    Alert {
        source: "alertmanager".into(),
        fingerprint: format!("{service}-{name}").into(),
        // An episode of the alert lasts six rounds.
        starts_at_ms: signed(at_ms - at_ms % 600_000),
        ends_at_ms: resolved.then(|| signed(at_ms)),
        status: if resolved { AlertStatus::Resolved } else { AlertStatus::Firing },
        service: service.into(),
        name: name.into(),
        environment: Some("production".into()),
        namespace: Some("shop".into()),
        labels,
        annotations: [("summary".into(), summary)].into_iter().collect(),
        value: Some((round % 97) as f64),
        generator_url: None,
        level: None,
        mention: Mention::Nobody,
        level_reason: None,
        episode: None,
        muted_until_ms: None,
        muted_by: None,
    }
}

fn deploy<'a>(service: &'a str, round: u64, at_ms: u64) -> Deploy<'a> {
    Deploy {
        id: format!("run-{round}").into(),
        source: "api".into(),
        service: service.into(),
        environment: Some("production".into()),
        kind: DeployKind::Deploy,
        outcome: DeployOutcome::Succeeded,
        version: format!("v1.{round}.0").into(),
        revision: Some("5f0c2a91d7be".into()),
        actor: Some("mira".into()),
        url: None,
        started_at_ms: Some(signed(at_ms.saturating_sub(60_000))),
        finished_at_ms: Some(signed(at_ms)),
    }
}

pub fn signed(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX)
}
