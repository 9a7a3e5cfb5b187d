//! What both engines run beside: one Apache Kafka, one registry, the input topics; and on which cores.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use fairlead::codec::{Formats, SchemaId};
use fairlead::embedded::registry::{Registry, RegistryConfig};
use fairlead::event::FactKind;
use fairlead::log::admin::{TopicPlan, ensure_topics};
use fairlead::log::client::Connection;
use fairlead::log::reach;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use serde::Serialize;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::broker::Broker;
use crate::load::{self, PARTITIONS};
use crate::workload::Workload;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Cores {
    pub broker: &'static str,
    pub engine: &'static str,
}

/// The Kafka Streams application: where it is, and what is asked of it beyond its settings.
#[derive(Clone)]
pub struct Peer {
    pub class_path: String,
    pub java: Vec<String>,
    pub properties: Vec<String>,
}

pub struct Site {
    // Ends before its directory goes.
    pub broker: Broker,
    pub registry: Registry,
    pub scratch: TempDir,
    pub cores: Cores,
    pub schemas: BTreeMap<FactKind, SchemaId>,
    pub formats: Formats,
    pub peer: Peer,
    pub workload: &'static Workload,
    runtime: Runtime,
}

impl Site {
    pub fn start(scratch: &Path, cores: Cores, peer: &Peer, workload: &'static Workload) -> Result<Self> {
        let scratch = tempfile::Builder::new().prefix("fairlead-peers-").tempdir_in(scratch)?;
        let broker = Broker::start(&scratch.path().join("kafka"), cores.broker)?;
        let registry = Registry::start(RegistryConfig {
            data_dir: scratch.path().join("registry"),
            listen: "127.0.0.1:0".parse()?,
            allow_non_loopback: false,
        })?;
        let output = (workload.output_name, workload.output);
        let facts = [&workload.inputs[..], &[output]].concat();
        let schemas = load::schemas(&registry.url(), &facts)?;
        let formats = load::formats(&schemas)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let site = Self { broker, registry, scratch, cores, schemas, formats, peer: peer.clone(), workload, runtime };
        workload.topics().iter().try_for_each(|topic| site.make_topic(topic))?;
        Ok(site)
    }

    pub fn bootstrap(&self) -> &str {
        &self.broker.bootstrap
    }

    pub fn make_topic(&self, name: &str) -> Result<()> {
        let plan =
            TopicPlan { name: name.to_owned(), partitions: PARTITIONS, replication: None, config: BTreeMap::new() };
        self.runtime.block_on(ensure_topics(&Connection::new(self.bootstrap()), &[plan]))?;
        Ok(())
    }

    /// Removes what an application has left on the broker.
    pub fn remove_topics(&self, prefix: &str) -> Result<()> {
        let connection = Connection::new(self.bootstrap());
        let all = self.runtime.block_on(reach::topics(&connection, Duration::from_secs(10)))?;
        let ours: Vec<&str> = all.keys().map(String::as_str).filter(|name| name.starts_with(prefix)).collect();
        let admin: AdminClient<DefaultClientContext> = connection.client().create()?;
        let removed = self.runtime.block_on(admin.delete_topics(&ours, &AdminOptions::new()))?;
        for topic in removed {
            topic.map_err(|(topic, error)| anyhow::anyhow!("{topic}: {error}")).context("a topic cannot be removed")?;
        }
        Ok(())
    }
}
