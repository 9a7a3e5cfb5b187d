//! What topology files may say besides topics and operators: one struct a section, every default in one place.
//!
//! A new section is a struct here and a field of [`Settings`]; a topic that it names is a line in [`Settings::topics`], a rule
//! that serde cannot state is a line in its `problems`. Unknown options are errors by the way files are read.

mod ingest;
mod json;
mod senders;
mod slack;
mod topics;

use std::collections::BTreeMap;
// Addresses only: nothing is opened here.
use core::net::SocketAddr;
use std::path::PathBuf;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::template::Template;
use super::yaml::Located;
use crate::actions::Actions;
use crate::event::FactKind;
use crate::mirror::{self, Mirrors};
use crate::rotation::{self, Rotations};

pub use ingest::{Capacity, Ingest, Limits, Mapping};
pub use json::{AlertMapping, DeployMapping, JsonMapping, Pointer, Said, Test};
pub use senders::{GitHub, Grafana, PagerDuty, Sns};
pub use slack::Slack;
pub use topics::{SourceTopic, Start, TopicFormat};

#[derive(Clone, Debug, Deserialize)]
pub struct Settings {
    /// Derived names begin with it. `compile` insists on it.
    pub application: Option<Located<String>>,
    #[serde(default)]
    pub kafka: Kafka,
    #[serde(default)]
    pub registry: Registry,
    #[serde(default)]
    pub engine: Engine,
    #[serde(default)]
    pub http: Http,
    pub ingest: Option<Ingest>,
    pub slack: Option<Slack>,
    /// On-call rotations by name; the operator that tells hand-overs finds them in its configuration too.
    #[serde(default)]
    pub rotations: Rotations,
    /// Clusters besides the application's own, by name: where mirrors read or write.
    #[serde(default)]
    pub clusters: BTreeMap<String, Kafka>,
    #[serde(default)]
    pub mirrors: Mirrors,
    pub runner: Option<Runner>,
    #[serde(default)]
    pub actions: Actions,
    /// These are read by `compile`, name by name, or with the operators that ask for them.
    #[serde(default, rename = "topics")]
    _topics: Option<IgnoredAny>,
    #[serde(default, rename = "operators")]
    _operators: Option<IgnoredAny>,
    #[serde(default, rename = "services")]
    _services: Option<IgnoredAny>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Kafka {
    /// `host:port`, comma separated; without it the embedded broker serves.
    pub bootstrap_servers: Option<Template>,
    /// librdkafka's properties, for every client.
    pub properties: BTreeMap<String, Template>,
    /// Of topics that fairlead creates; without it the broker's default.
    pub replication_factor: Option<u16>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Registry {
    /// Without it the embedded registry serves.
    pub url: Option<Template>,
    pub username: Option<Template>,
    pub password: Option<Template>,
    /// Authorities that may have signed its certificate, beside those that the system trusts.
    pub ca_pem: Option<Template>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct Engine {
    /// Threads of this process; each has a consumer, a producer and its tasks.
    pub workers: u16,
    /// Tells processes of one application apart; the same after a restart.
    pub instance: Template,
    pub state_dir: PathBuf,
    /// While there is input, a commit takes place this often; without, at once.
    pub commit_interval_ms: u32,
    /// A commit takes place when a worker has read this much, whatever the time.
    pub batch_bytes_max: u32,
    /// Of all stores, caches and queues of this process.
    pub memory_bytes_max: u64,
    pub journal_retention_ms: i64,
    pub dead_letter_retention_ms: i64,
}

impl Default for Engine {
    fn default() -> Self {
        Self {
            workers: 2,
            instance: Template::try_from("1".to_owned()).unwrap_or_default(),
            state_dir: PathBuf::from("state"),
            commit_interval_ms: 100,
            batch_bytes_max: 1 << 20,
            memory_bytes_max: 256 << 20,
            journal_retention_ms: 30 * DAY_MS,
            dead_letter_retention_ms: 30 * DAY_MS,
        }
    }
}

const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct Http {
    /// An IP address and a port.
    pub listen: String,
}

impl Default for Http {
    fn default() -> Self {
        Self { listen: "127.0.0.1:8080".to_owned() }
    }
}

impl Http {
    /// `None`: it is none.
    pub fn address(&self) -> Option<SocketAddr> {
        self.listen.parse().ok()
    }
}

/// Who does what people ask for.
#[derive(Clone, Debug, Deserialize)]
pub struct Runner {
    pub runs: Located<String>,
}

/// A topic that a section names.
#[derive(Clone, Copy, Debug)]
pub struct TopicUse<'a> {
    pub section: &'static str,
    pub topic: &'a Located<String>,
    pub fact: FactKind,
    pub access: Access,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    Writes,
    /// All that one section reads must be co-partitioned.
    Reads,
    ReadsAndWrites,
}

impl Settings {
    pub fn topics(&self) -> Vec<TopicUse<'_>> {
        let mut uses = Vec::new();
        if let Some(Ingest { alerts, deploys, raw, silences, responses, rotations, samples, .. }) = &self.ingest {
            uses.push(TopicUse { section: "ingest", topic: alerts, fact: FactKind::Alert, access: Access::Writes });
            uses.push(TopicUse { section: "ingest", topic: deploys, fact: FactKind::Deploy, access: Access::Writes });
            // Alerts and silences it follows too, all partitions in every process: no task of anybody's.
            let more = [
                (raw, FactKind::Payload),
                (silences, FactKind::Silence),
                (responses, FactKind::Response),
                (rotations, FactKind::Rotation),
                (samples, FactKind::Sample),
            ];
            uses.extend(more.into_iter().filter_map(|(topic, fact)| {
                Some(TopicUse { section: "ingest", topic: topic.as_ref()?, fact, access: Access::Writes })
            }));
        }
        if let Some(Runner { runs }) = &self.runner {
            let fact = FactKind::ActionRun;
            uses.push(TopicUse { section: "runner", topic: runs, fact, access: Access::Reads });
            uses.push(TopicUse { section: "runner", topic: runs, fact, access: Access::Writes });
        }
        if let Some(Slack { actions, outcomes, responses, .. }) = &self.slack {
            let fact = FactKind::SlackAction;
            uses.push(TopicUse { section: "slack", topic: actions, fact, access: Access::Reads });
            let fact = FactKind::SlackOutcome;
            uses.push(TopicUse { section: "slack", topic: outcomes, fact, access: Access::ReadsAndWrites });
            let fact = FactKind::Response;
            let responses = responses.as_ref();
            uses.extend(responses.map(|topic| TopicUse { section: "slack", topic, fact, access: Access::Writes }));
        }
        uses
    }

    /// Topics of others that are read.
    pub fn sources(&self) -> &[SourceTopic] {
        self.ingest.as_ref().map_or(&[], |ingest| &ingest.kafka)
    }

    /// What no type can say, each with its path in front.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut least_one = |name: &str, value: u64| {
            if value == 0 {
                problems.push(format!("{name}: must be at least 1"));
            }
        };
        let engine = &self.engine;
        least_one("engine.workers", engine.workers.into());
        least_one("engine.commit_interval_ms", engine.commit_interval_ms.into());
        least_one("engine.batch_bytes_max", engine.batch_bytes_max.into());
        least_one("engine.memory_bytes_max", engine.memory_bytes_max);
        least_one("kafka.replication_factor", self.kafka.replication_factor.unwrap_or(1).into());
        let Registry { username, password, .. } = &self.registry;
        if username.is_some() != password.is_some() {
            problems.push("registry: `username` and `password` go together; one of them is missing".to_owned());
        }
        if self.http.address().is_none() {
            let listen = &self.http.listen;
            problems
                .push(format!("http.listen: `{listen}` is no address; write an IP address and a port: 127.0.0.1:8080"));
        }
        if let Some(ingest) = &self.ingest {
            problems.extend(ingest.problems(&self.http));
        }
        problems.extend(rotation::problems(&self.rotations));
        problems.extend(self.misplaced_rotations());
        problems.extend(self.slack.iter().flat_map(|slack| slack.problems(self.ingest.as_ref())));
        problems.extend(self.actions.iter().flat_map(|(name, action)| action.problems(name)));
        if self.runner.is_none() && !self.actions.is_empty() {
            problems.push(
                "actions: nobody would do them; add a section `runner: { runs: <topic of action_run> }`".to_owned(),
            );
        }
        problems.extend(self.cluster_problems());
        problems.extend(mirror::check::problems(&self.mirrors, self.clusters.keys().map(String::as_str)));
        problems.extend(self.open_secrets());
        problems
    }

    /// What runs, but perhaps not as meant, each with its path in front.
    pub fn warnings(&self) -> Vec<String> {
        let of_slack = self.slack.iter().flat_map(|slack| slack.warnings(&self.actions));
        self.ingest.iter().flat_map(Ingest::warnings).chain(of_slack).collect()
    }

    /// Rotations that are read, but have no topic, and addresses that are no templates.
    fn misplaced_rotations(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let topic = self.ingest.as_ref().and_then(|ingest| ingest.rotations.as_ref());
        if !self.rotations.is_empty() && topic.is_none() {
            let mend = "write `rotations: oncall.rotations.v1` under `ingest`";
            problems.push(format!("rotations: no topic is named for what the calendars say; {mend}"));
        }
        for (name, url) in self.rotation_urls() {
            problems.extend(url.err().map(|why| format!("rotations.{name}.url: {why}")));
        }
        problems
    }

    fn cluster_problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        for (name, cluster) in &self.clusters {
            if cluster.bootstrap_servers.is_none() {
                problems
                    .push(format!("clusters.{name}: nobody would be reached; write `bootstrap_servers: host:9092`"));
            }
            if cluster.replication_factor == Some(0) {
                problems.push(format!("clusters.{name}.replication_factor: must be at least 1"));
            }
        }
        problems
    }

    /// The addresses of feeds, by rotation.
    pub fn rotation_urls(&self) -> impl Iterator<Item = (&String, Result<Template, String>)> {
        self.rotations.iter().filter_map(|(name, rota)| Some((name, Template::try_from(rota.url.clone()?))))
    }

    /// Secrets that stand in the file itself.
    fn open_secrets(&self) -> Vec<String> {
        let is_secret = |name: &str| ["password", "secret", ".pem"].iter().any(|word| name.contains(word));
        let named = self.clusters.iter().map(|(name, cluster)| (format!("clusters.{name}"), cluster));
        let properties = named.chain([("kafka".to_owned(), &self.kafka)]).flat_map(|(section, cluster)| {
            let secret = cluster.properties.iter().filter(|(name, _)| is_secret(name));
            secret.map(move |(name, value)| (format!("{section}.properties.{name}"), value))
        });
        let options = [("registry.password", self.registry.password.as_ref())];
        let feeds = self.rotation_urls().filter_map(|(name, url)| Some((format!("rotations.{name}.url"), url.ok()?)));
        let feeds: Vec<_> = feeds.collect();
        properties
            .chain(options.into_iter().filter_map(|(path, value)| Some((path.to_owned(), value?))))
            .chain(self.slack.iter().flat_map(Slack::secrets).map(|(path, value)| (path.to_owned(), value)))
            .chain(self.ingest.iter().flat_map(Ingest::secrets))
            .chain(feeds.iter().map(|(path, url)| (path.clone(), url)))
            .filter(|(_, value)| !value.refers())
            .map(|(path, _)| {
                format!("{path}: a secret must not stand in a file; write `${{env:NAME}}` or `${{file:PATH}}`")
            })
            .collect()
    }
}
