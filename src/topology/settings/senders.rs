//! Senders that prove themselves by something else than the bearer token: each is switched on by its section under `ingest`.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::super::template::Template;

/// Signed webhooks of Grafana Alerting, instead of the bearer token.
#[derive(Clone, Debug, Deserialize)]
pub struct Grafana {
    /// As in the contact point's HMAC signature; several, parted by white space, while one is replaced.
    pub secret: Template,
    /// As there.
    #[serde(default = "grafana_header")]
    pub header: String,
    /// As there: then the time is signed too, and an old request is refused.
    pub timestamp_header: Option<String>,
}

fn grafana_header() -> String {
    "X-Grafana-Alerting-Signature".to_owned()
}

/// Webhooks of GitHub.
#[derive(Clone, Debug, Deserialize)]
pub struct GitHub {
    /// As in the webhook's settings; several, parted by white space, while one is replaced.
    pub secret: Template,
    /// The service that is deployed from a repository (`owner/name`); without it the repository's name.
    #[serde(default)]
    pub services: BTreeMap<String, String>,
}

/// Whatever speaks PagerDuty's Events API v2.
#[derive(Clone, Debug, Deserialize)]
pub struct PagerDuty {
    /// The routing keys of each service; several, parted by white space, while one is replaced.
    pub services: BTreeMap<String, Template>,
}

/// CloudWatch alarms through Amazon SNS.
#[derive(Clone, Debug, Deserialize)]
pub struct Sns {
    /// ARNs of the topics whose messages are wanted: their subscriptions are confirmed, all others are refused.
    pub topics: Vec<String>,
}

impl Grafana {
    /// Each with its path in front.
    pub fn problems(&self) -> Vec<String> {
        let named = [("header", Some(&self.header)), ("timestamp_header", self.timestamp_header.as_ref())];
        let wrong = named.into_iter().filter(|(_, name)| name.is_some_and(|name| !is_header(name)));
        wrong
            .map(|(option, _)| {
                format!("ingest.grafana.{option}: this is no name of a header; write letters, digits and `-`")
            })
            .collect()
    }
}

impl GitHub {
    /// Each with its path in front.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        for (repository, service) in &self.services {
            let path = format!("ingest.github.services.{repository}");
            match repository.split_once('/') {
                Some((owner, name)) if !owner.is_empty() && !name.is_empty() && !name.contains('/') => {}
                _ => problems.push(format!("{path}: this is no repository; write it as owner/name")),
            }
            if service.is_empty() {
                problems.push(format!("{path}: name the service, or take the line out for the repository's name"));
            }
        }
        problems
    }
}

impl PagerDuty {
    /// Each with its path in front.
    pub fn problems(&self) -> Option<String> {
        let empty = "ingest.pagerduty.services: nobody could send; name a service and its key, or take the section out";
        self.services.is_empty().then(|| empty.to_owned())
    }
}

impl Sns {
    /// Each with its path in front.
    pub fn problems(&self) -> Vec<String> {
        let is_topic = |arn: &str| arn.starts_with("arn:aws") && arn.split(':').count() == 6 && arn.contains(":sns:");
        let wrong = self.topics.iter().enumerate().filter(|(_, arn)| !is_topic(arn));
        let mut problems: Vec<_> = wrong
            .map(|(at, arn)| {
                format!("ingest.sns.topics[{at}]: `{arn}` is no topic; write arn:aws:sns:<region>:<account>:<name>")
            })
            .collect();
        if self.topics.is_empty() {
            problems.push("ingest.sns.topics: nothing could be sent; name a topic, or take the section out".to_owned());
        }
        problems
    }
}

fn is_header(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}
