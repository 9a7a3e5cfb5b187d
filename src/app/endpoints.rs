//! Settings with their secrets looked up: addresses, credentials, and the configurations of the edges.
//!
//! The one place that looks secrets up, in the environment or in files. What it finds is never logged.

use std::time::Duration;

use anyhow::{Context, Result, anyhow};

use super::schemas::Registered;
use crate::clock::Clock;
use crate::codec::registry::RegistryClient;
use crate::ingest::Rules;
use crate::ingest::access::Access;
use crate::ingest::send::Sending;
use crate::ingest::server::IngestConfig;
use crate::log::client::Connection;
use crate::record::Topic;
use crate::sink::slack::{SlackSinkConfig, Token};
use crate::topology::plan::Topology;
use crate::topology::settings::{self, Settings};
use crate::topology::template::{Reference, Template};

pub struct Endpoints {
    pub connection: Connection,
    registry_url: String,
    /// Name and password.
    registry_login: Option<(String, String)>,
    registry_ca_pem: Option<String>,
    pub instance: String,
    settings: Settings,
}

/// What answers where the settings name nothing.
#[derive(Clone, Debug, Default)]
pub struct Serving {
    pub bootstrap_servers: Option<String>,
    pub registry_url: Option<String>,
}

impl Endpoints {
    pub fn resolve(settings: &Settings, serving: Serving) -> Result<Self> {
        let bootstrap_servers = match &settings.kafka.bootstrap_servers {
            Some(template) => resolve(template, "kafka.bootstrap_servers")?,
            None => serving.bootstrap_servers.ok_or_else(|| anyhow!("no Kafka serves"))?,
        };
        let mut connection = Connection::new(&bootstrap_servers);
        for (name, template) in &settings.kafka.properties {
            let value = resolve(template, &format!("kafka.properties.{name}"))?;
            connection.properties.insert(name.clone(), value);
        }
        let registry_url = match &settings.registry.url {
            Some(template) => resolve(template, "registry.url")?,
            None => serving.registry_url.ok_or_else(|| anyhow!("no registry serves"))?,
        };
        let registry_login = match (&settings.registry.username, &settings.registry.password) {
            (Some(name), Some(password)) => {
                Some((resolve(name, "registry.username")?, resolve(password, "registry.password")?))
            }
            _ => None,
        };
        let registry_ca_pem = settings.registry.ca_pem.as_ref();
        let registry_ca_pem = registry_ca_pem.map(|pem| resolve(pem, "registry.ca_pem")).transpose()?;
        let instance = resolve(&settings.engine.instance, "engine.instance")?;
        Ok(Self { connection, registry_url, registry_login, registry_ca_pem, instance, settings: settings.clone() })
    }

    /// A client of the registry, which asks one that does not answer again for so long.
    pub fn registry(&self, patience: Duration) -> Result<RegistryClient> {
        let login = self.registry_login.as_ref().map(|(name, password)| (name.as_str(), password.as_str()));
        Ok(RegistryClient::new(&self.registry_url, login, self.registry_ca_pem.as_deref(), patience)?)
    }

    /// `None` if the topology has no `slack` section, or an empty token.
    pub fn slack_sink(
        &self,
        topology: &Topology,
        registered: &Registered,
        clock: &Clock,
    ) -> Result<Option<SlackSinkConfig>> {
        let Some(slack) = &self.settings.slack else { return Ok(None) };
        let Some(token) = slack_token(slack.token.as_ref())? else {
            tracing::warn!("slack.token is empty: nothing is told to Slack, and the actions wait on their topic");
            return Ok(None);
        };
        let base_url = slack.url.as_ref().map(|url| resolve(url, "slack.url")).transpose()?;
        Ok(Some(SlackSinkConfig {
            connection: self.connection.clone(),
            application: topology.names.application().to_owned(),
            instance: self.instance.clone(),
            actions: Topic::from(&*slack.actions.value),
            outcomes: Topic::from(&*slack.outcomes.value),
            dead_letters: topology.names.dead_letters(),
            dead_letter_format: registered.dead_letter.clone(),
            base_url: base_url.unwrap_or_else(|| SlackSinkConfig::BASE_URL.to_owned()),
            token,
            call_timeout: SlackSinkConfig::CALL_TIMEOUT,
            settle: SlackSinkConfig::SETTLE,
            clock: clock.clone(),
        }))
    }

    /// Where facts from outside go.
    pub fn sending(&self, ingest: &settings::Ingest) -> Sending {
        Sending {
            connection: self.connection.clone(),
            alerts: Topic::from(&*ingest.alerts.value),
            deploys: Topic::from(&*ingest.deploys.value),
            timeout: Duration::from_secs(10),
        }
    }

    /// `None` if the topology has no `ingest` section.
    pub fn ingest(&self, access: Access, clock: &Clock) -> Result<Option<IngestConfig>> {
        let Some(ingest) = &self.settings.ingest else { return Ok(None) };
        let listen = self.settings.http.listen.parse().context("http.listen")?;
        Ok(Some(IngestConfig {
            listen,
            access,
            sending: self.sending(ingest),
            rules: rules(ingest),
            capacity: ingest.capacity.clone(),
            clock: clock.clone(),
        }))
    }
}

/// An empty one is none, so that an environment can leave Slack out.
fn slack_token(token: Option<&Template>) -> Result<Option<Token>> {
    let token = token.ok_or_else(|| {
        anyhow!("slack.token is missing; write `token: ${{env:SLACK_BOT_TOKEN}}` in the topology's slack section")
    })?;
    let token = resolve(token, "slack.token")?;
    Ok((!token.is_empty()).then_some(Token(token)))
}

/// Who may send; asks nobody, so that a token that will not do is told before anything is made.
pub fn access(settings: &Settings) -> Result<Access> {
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

/// How payloads are read.
pub fn rules(ingest: &settings::Ingest) -> Rules {
    Rules { mapping: ingest.mapping.clone(), limits: ingest.limits.clone() }
}

fn resolve(template: &Template, option: &str) -> Result<String> {
    let found = template.resolve(|reference| match reference {
        Reference::Env(name) => std::env::var(name).map_err(|_| anyhow!("the environment has no {name}; set it")),
        Reference::File(path) => {
            let text = std::fs::read_to_string(path).with_context(|| format!("{path} cannot be read"))?;
            Ok(text.trim_end().to_owned())
        }
    });
    found.with_context(|| option.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_slack_token_is_none_and_a_missing_one_is_told() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let template = Template::try_from(format!("${{file:{}}}", file.path().display())).unwrap();
        let told = |text: &str| {
            std::fs::write(file.path(), text).unwrap();
            slack_token(Some(&template)).unwrap().map(|token| token.0)
        };
        assert_eq!((told("\n"), told("xoxb-1\n")), (None, Some("xoxb-1".to_owned())));
        assert!(slack_token(None).unwrap_err().to_string().contains("slack.token is missing"));
    }
}
