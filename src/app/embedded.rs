//! The broker and the registry in this very process, for a topology that names none.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use anyhow::{Context, Result};

use super::endpoints::Serving;
use crate::embedded::broker::{Broker, BrokerConfig};
use crate::embedded::registry::{Registry, RegistryConfig};
use crate::topology::settings::Settings;

/// Ports that Kafka and Confluent users expect.
const BROKER: u16 = 9092;
const REGISTRY: u16 = 8081;

pub struct Embedded {
    broker: Option<Broker>,
    registry: Option<Registry>,
}

impl Embedded {
    /// Starts what the settings leave to it, or nothing.
    pub fn start_if_needed(settings: &Settings, dir: &Path) -> Result<Option<Self>> {
        let needs_broker = settings.kafka.bootstrap_servers.is_none();
        let needs_registry = settings.registry.url.is_none();
        if !needs_broker && !needs_registry {
            return Ok(None);
        }
        let broker = needs_broker.then(|| start_broker(dir, loopback(BROKER))).transpose()?;
        let registry = needs_registry.then(|| start_registry(dir, loopback(REGISTRY))).transpose()?;
        Ok(Some(Self { broker, registry }))
    }

    /// Both, on these addresses; port 0 lets the system choose.
    pub fn start(dir: &Path, broker: SocketAddr, registry: SocketAddr) -> Result<Self> {
        Ok(Self { broker: Some(start_broker(dir, broker)?), registry: Some(start_registry(dir, registry)?) })
    }

    /// Empty if a cluster of its own serves.
    pub fn bootstrap_servers(&self) -> String {
        self.broker.as_ref().map(|broker| broker.addr().to_string()).unwrap_or_default()
    }

    pub fn registry_url(&self) -> Option<String> {
        self.registry.as_ref().map(Registry::url)
    }

    /// For whoever resolves settings that name neither.
    pub fn serving(&self) -> Serving {
        Serving {
            bootstrap_servers: self.broker.as_ref().map(|broker| broker.addr().to_string()),
            registry_url: self.registry_url(),
        }
    }

    /// Where a running `fairlead run` or `fairlead embedded` serves, unless it was told otherwise.
    pub fn elsewhere() -> Serving {
        Serving {
            bootstrap_servers: Some(loopback(BROKER).to_string()),
            registry_url: Some(format!("http://{}", loopback(REGISTRY))),
        }
    }

    pub fn stop(self) {
        if let Some(registry) = self.registry {
            registry.stop();
        }
        if let Some(broker) = self.broker {
            broker.stop();
        }
    }
}

fn loopback(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

fn start_broker(dir: &Path, listen: SocketAddr) -> Result<Broker> {
    let config = BrokerConfig { listen, ..BrokerConfig::new(dir.join("broker")) };
    let started = Broker::start(config);
    started.with_context(|| format!("the embedded broker cannot start on {listen}; is another one running?"))
}

fn start_registry(dir: &Path, listen: SocketAddr) -> Result<Registry> {
    let config = RegistryConfig { data_dir: dir.join("registry"), listen, allow_non_loopback: false };
    let started = Registry::start(config);
    started.with_context(|| format!("the embedded registry cannot start on {listen}; is another one running?"))
}
