//! What senders have to show: tokens, secrets and keys, looked up where the settings say.
//!
//! Asks nobody, so that a secret that will not do is told before anything is made.

use std::sync::Arc;

use anyhow::{Result, anyhow};

use super::endpoints::resolve;
use crate::ingest::access::{self, Access};
use crate::ingest::guards::{Guards, Signature};
use crate::ingest::pagerduty::RoutingKeys;
use crate::ingest::signature::Secrets;
use crate::ingest::sns::{self, proof::Subscriptions};
use crate::topology::settings::{self, Settings};
use crate::topology::template::Template;

pub struct Proofs {
    pub access: Access,
    pub guards: Guards,
    pub routing_keys: RoutingKeys,
    /// Slack's signing secrets; `None` if clicks do not come over HTTP.
    pub slack: Option<Secrets>,
}

impl Proofs {
    pub fn of(settings: &Settings) -> Result<Self> {
        let access = access(settings)?;
        let slack = slack(settings)?;
        let Some(ingest) = &settings.ingest else {
            return Ok(Self { access, guards: Guards::default(), routing_keys: RoutingKeys::default(), slack });
        };
        Ok(Self { access, guards: guards(ingest)?, routing_keys: routing_keys(ingest)?, slack })
    }
}

fn access(settings: &Settings) -> Result<Access> {
    match &settings.ingest {
        Some(settings::Ingest { token: Some(token), .. }) => {
            Ok(Access::from_text(&resolve(token, "ingest.token")?, "ingest.token")?)
        }
        Some(ingest) if !ingest.open => {
            Err(anyhow!("ingest.token is missing; write `token: ${{env:FAIRLEAD_INGEST_TOKEN}}`"))
        }
        _ => Ok(Access::Open),
    }
}

/// What is asked instead of a token.
fn guards(ingest: &settings::Ingest) -> Result<Guards> {
    let grafana = ingest.grafana.as_ref().map(|grafana| {
        let secrets = secrets(&grafana.secret, "ingest.grafana.secret")?;
        let (header, timestamp_header) = (grafana.header.clone(), grafana.timestamp_header.clone());
        Ok::<_, anyhow::Error>(Signature { secrets, header, prefix: "", timestamp_header })
    });
    let github = ingest.github.as_ref().map(|github| {
        let secrets = secrets(&github.secret, "ingest.github.secret")?;
        let header = "X-Hub-Signature-256".to_owned();
        Ok::<_, anyhow::Error>(Signature { secrets, header, prefix: "sha256=", timestamp_header: None })
    });
    let sns = ingest.sns.as_ref().map(|sns| {
        let topics = sns.topics.iter().cloned();
        Ok::<_, anyhow::Error>(Arc::new(Subscriptions::new(topics, sns::proof::over_https()?)))
    });
    Ok(Guards { grafana: grafana.transpose()?, github: github.transpose()?, sns: sns.transpose()? })
}

/// An empty one is none, so that an environment can leave Slack out.
fn slack(settings: &Settings) -> Result<Option<Secrets>> {
    let option = "slack.signing_secret";
    let Some(template) = settings.slack.as_ref().and_then(|slack| slack.signing_secret.as_ref()) else {
        return Ok(None);
    };
    let text = resolve(template, option)?;
    if text.is_empty() {
        return Ok(None);
    }
    Ok(Some(Secrets::new(access::secrets(&text, option)?)))
}

fn secrets(template: &Template, option: &str) -> Result<Secrets> {
    Ok(Secrets::new(access::secrets(&resolve(template, option)?, option)?))
}

fn routing_keys(ingest: &settings::Ingest) -> Result<RoutingKeys> {
    let mut keys = Vec::new();
    for (service, template) in ingest.pagerduty.iter().flat_map(|pagerduty| &pagerduty.services) {
        let option = format!("ingest.pagerduty.services.{service}");
        let text = resolve(template, &option)?;
        keys.extend(access::secrets(&text, &option)?.into_iter().map(|key| (service.as_str(), key.to_owned())));
    }
    Ok(RoutingKeys::new(keys.iter().map(|(service, key)| (*service, key.as_str()))))
}
