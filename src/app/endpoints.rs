//! Settings with their secrets looked up: addresses, credentials, and the configurations of the edges.
//!
//! The one place that looks secrets up, in the environment or in files. What it finds is never logged.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};

use super::carried::Followed;
use super::proofs::Proofs;
use super::schemas::Registered;
use crate::clock::Clock;
use crate::codec::Formats;
use crate::codec::registry::RegistryClient;
use crate::ingest::Rules;
use crate::ingest::calendars::feed::Feed;
use crate::ingest::calendars::{CalendarsConfig, Place};
use crate::ingest::kafka::Source;
use crate::ingest::kafka::records::Records;
use crate::ingest::mirrors::Mirrors;
use crate::ingest::pagerduty::RoutingKeys;
use crate::ingest::responses::desk::{Desk, DeskConfig, STORED_WITHIN};
use crate::ingest::responses::doors::Doors;
use crate::ingest::send::Sending;
use crate::ingest::server::IngestConfig;
use crate::ingest::view::{View, ViewConfig};
use crate::log::client::Connection;
use crate::record::Topic;
use crate::rotation::Rota;
use crate::sink::runner::RunnerConfig;
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
        let connection = connection(&settings.kafka, "kafka", serving.bootstrap_servers)?;
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

    /// How a cluster of the section `clusters` is reached; `None`: the application's own.
    pub fn cluster(&self, name: Option<&str>) -> Result<Connection> {
        let Some(name) = name else { return Ok(self.connection.clone()) };
        let kafka = self.settings.clusters.get(name).ok_or_else(|| anyhow!("there is no cluster `{name}`"))?;
        connection(kafka, &format!("clusters.{name}"), None)
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

    /// Of Socket Mode; an empty one is none.
    pub fn app_token(&self) -> Result<Option<Token>> {
        let token = self.settings.slack.as_ref().and_then(|slack| slack.app_token.as_ref());
        let token = token.map(|token| resolve(token, "slack.app_token")).transpose()?;
        Ok(token.filter(|token| !token.is_empty()).map(Token))
    }

    /// `None` if the topology has no `runner` section.
    pub fn runner(&self, topology: &Topology, registered: &Registered, clock: &Clock) -> Result<Option<RunnerConfig>> {
        let Some(runner) = &self.settings.runner else { return Ok(None) };
        let mut secrets = BTreeMap::new();
        for (name, action) in &self.settings.actions {
            for (path, template) in action.templates() {
                for secret in template.secrets() {
                    let found = resolve(&Template::try_from(secret.to_string()).map_err(anyhow::Error::msg)?, &path);
                    secrets.insert(secret.clone(), found.with_context(|| format!("actions.{name}"))?);
                }
            }
        }
        Ok(Some(RunnerConfig {
            connection: self.connection.clone(),
            application: topology.names.application().to_owned(),
            instance: self.instance.clone(),
            runs: Topic::from(&*runner.runs.value),
            dead_letters: topology.names.dead_letters(),
            dead_letter_format: registered.dead_letter.clone(),
            actions: self.settings.actions.clone(),
            secrets,
            clock: clock.clone(),
        }))
    }

    /// Where facts from outside go.
    pub fn sending(&self, ingest: &settings::Ingest) -> Sending {
        Sending {
            connection: self.connection.clone(),
            alerts: Topic::from(&*ingest.alerts.value),
            deploys: Topic::from(&*ingest.deploys.value),
            raw: ingest.raw.as_ref().map(|topic| Topic::from(&*topic.value)),
            silences: ingest.silences.as_ref().map(|topic| Topic::from(&*topic.value)),
            // Both name the same, or `check` has refused them.
            responses: self
                .settings
                .slack
                .iter()
                .find_map(|slack| slack.responses.as_ref())
                .or(ingest.responses.as_ref())
                .map(|topic| Topic::from(&*topic.value)),
            samples: ingest.samples.as_ref().map(|topic| Topic::from(&*topic.value)),
            timeout: Duration::from_secs(10),
        }
    }

    /// `None` if there are no rotations.
    pub fn calendars(&self, clock: &Clock) -> Result<Option<CalendarsConfig>> {
        let Some(ingest) = &self.settings.ingest else { return Ok(None) };
        let Some(topic) = ingest.rotations.as_ref().filter(|_| !self.settings.rotations.is_empty()) else {
            return Ok(None);
        };
        let rotations = self
            .settings
            .rotations
            .iter()
            .map(|(name, rota)| anyhow::Ok((name.clone(), rota.clone(), place(name, rota)?)));
        Ok(Some(CalendarsConfig {
            rotations: rotations.collect::<Result<_>>()?,
            topic: Topic::from(&*topic.value),
            sending: self.sending(ingest),
            clock: clock.clone(),
        }))
    }

    /// What is read from topics of others.
    pub fn sources(&self, topology: &Topology, registered: &Registered) -> Vec<Source> {
        let source = |ingest: &settings::Ingest, source: &settings::SourceTopic| {
            let sending = self.sending(ingest);
            let records = Records {
                formats: registered.formats.clone(),
                alerts: sending.alerts,
                deploys: sending.deploys,
                samples: sending.samples,
                raw: sending.raw,
                dead_letters: topology.names.dead_letters(),
                dead_letter_format: registered.dead_letter.clone(),
                reader: topology.names.ingest_group(&source.topic.value),
                format: source.format,
                rules: rules(topology, ingest),
            };
            Source { topic: Topic::from(&*source.topic.value), from: source.from, records }
        };
        let ingest = self.settings.ingest.iter();
        ingest.flat_map(|ingest| ingest.kafka.iter().map(|at| source(ingest, at)).collect::<Vec<_>>()).collect()
    }

    /// Where answers to incidents are judged; `None` if the topology does not say where they go.
    pub fn desk(&self, formats: &Formats, clock: &Clock, metrics: &prometheus::Registry) -> Result<Option<Arc<Desk>>> {
        let (Some(ingest), Some(slack)) = (&self.settings.ingest, &self.settings.slack) else { return Ok(None) };
        if slack.responses.is_none() {
            return Ok(None);
        }
        let token = slack.token.as_ref().map(|token| resolve(token, "slack.token")).transpose()?;
        let slack_url = slack.url.as_ref().map(|url| resolve(url, "slack.url")).transpose()?;
        let config = DeskConfig {
            sending: Sending { timeout: STORED_WITHIN, ..self.sending(ingest) },
            clock: clock.clone(),
            responders: slack.responders.clone(),
            actions: self.settings.actions.clone(),
            slack_url: slack_url.unwrap_or_else(|| SlackSinkConfig::BASE_URL.to_owned()),
            token: token.filter(|token| !token.is_empty()).map(Token),
        };
        Ok(Some(Arc::new(Desk::new(config, Arc::new(formats.clone()), metrics)?)))
    }

    /// Of alerts and silences; `None` if nobody can be silenced.
    pub fn view(&self, topology: &Topology, registered: &Registered, clock: &Clock) -> Result<Option<Arc<View>>> {
        let Some(ingest) = &self.settings.ingest else { return Ok(None) };
        let sending = self.sending(ingest);
        let view = sending.silences.map(|silences| {
            View::start(ViewConfig {
                connection: self.connection.clone(),
                group: topology.names.reader_group(),
                alerts: sending.alerts,
                silences,
                formats: registered.formats.clone(),
                schemas: registered.source.clone(),
                application: topology.names.application().to_owned(),
                clock: clock.clone(),
            })
        });
        let view = view.transpose().context("no thread to follow alerts and silences")?;
        Ok(view.map(Arc::new))
    }

    /// `None` if the topology has no `ingest` section.
    pub fn ingest(
        &self,
        topology: &Topology,
        proofs: Proofs,
        desk: Option<Arc<Desk>>,
        view: Option<Arc<View>>,
        clock: &Clock,
        followed: Followed,
    ) -> Result<Option<IngestConfig>> {
        let Some(ingest) = &self.settings.ingest else { return Ok(None) };
        let listen = self.settings.http.listen.parse().context("http.listen")?;
        let (slack, access) = (proofs.slack, proofs.access.clone());
        let doors = desk.map(|desk| Doors { desk, slack, access });
        let mirrors = Mirrors { followed, access: proofs.access.clone() };
        Ok(Some(IngestConfig {
            listen,
            mirrors: Some(mirrors),
            charts: self.settings.slack.as_ref().is_some_and(|slack| slack.charts.is_some()),
            access: proofs.access,
            guards: proofs.guards,
            sending: self.sending(ingest),
            rules: Rules { routing_keys: proofs.routing_keys, ..rules(topology, ingest) },
            capacity: ingest.capacity.clone(),
            clock: clock.clone(),
            view,
            doors,
        }))
    }
}

/// Where the calendar of a rotation is.
pub fn place(name: &str, rota: &Rota) -> Result<Place> {
    Ok(match (&rota.file, &rota.url) {
        (Some(file), _) => Place::File(file.into()),
        (None, Some(url)) => {
            let option = format!("rotations.{name}.url");
            let template = Template::try_from(url.clone()).map_err(|why| anyhow!("{option}: {why}"))?;
            Place::Feed(Feed::new(&resolve(&template, &option)?).map_err(|why| anyhow!("{option}: {why}"))?)
        }
        (None, None) => Place::Plan,
    })
}

/// An empty one is none, so that an environment can leave Slack out.
fn slack_token(token: Option<&Template>) -> Result<Option<Token>> {
    let token = token.ok_or_else(|| {
        anyhow!("slack.token is missing; write `token: ${{env:SLACK_BOT_TOKEN}}` in the topology's slack section")
    })?;
    let token = resolve(token, "slack.token")?;
    Ok((!token.is_empty()).then_some(Token(token)))
}

/// How payloads are read once they are proven: in place of routing keys stand the names of their services.
pub fn rules(topology: &Topology, ingest: &settings::Ingest) -> Rules {
    let services = ingest.github.iter().flat_map(|github| &github.services);
    let pagerduty = ingest.pagerduty.iter().flat_map(|pagerduty| pagerduty.services.keys());
    Rules {
        mapping: ingest.mapping.clone(),
        limits: ingest.limits.clone(),
        repositories: services.map(|(name, service)| (name.to_lowercase(), service.clone())).collect(),
        json: ingest.json.clone(),
        topics: ingest.kafka.iter().map(|source| (source.topic.value.clone(), source.format)).collect(),
        selectors: topology.selectors(),
        routing_keys: RoutingKeys::by_name(pagerduty.map(String::as_str)),
    }
}

/// `serving` is what answers where the section names nobody.
fn connection(kafka: &settings::Kafka, section: &str, serving: Option<String>) -> Result<Connection> {
    let bootstrap_servers = match &kafka.bootstrap_servers {
        Some(template) => resolve(template, &format!("{section}.bootstrap_servers"))?,
        None => serving.ok_or_else(|| anyhow!("no Kafka serves"))?,
    };
    let mut connection = Connection::new(&bootstrap_servers);
    for (name, template) in &kafka.properties {
        let value = resolve(template, &format!("{section}.properties.{name}"))?;
        connection.properties.insert(name.clone(), value);
    }
    Ok(connection)
}

/// Looks up what a template refers to.
pub fn resolve(template: &Template, option: &str) -> Result<String> {
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
