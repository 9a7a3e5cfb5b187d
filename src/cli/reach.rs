//! The options of every command that looks into a cluster.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;

use super::problems;
use crate::app::cluster::Cluster;
use crate::app::{Embedded, Endpoints, source};
use crate::topology::plan::Topology;
use crate::topology::template::Template;

#[derive(Args)]
pub struct Reach {
    /// Directory of the topology's files
    #[arg(long, default_value = "topology", env = "FAIRLEAD_TOPOLOGY")]
    topology: PathBuf,
    /// Another cluster than the topology's; without either the embedded broker of a running `fairlead run`
    #[arg(long, value_name = "HOST:PORT")]
    kafka: Option<String>,
    /// Another registry than the topology's; without either the embedded one
    #[arg(long, value_name = "URL")]
    registry: Option<String>,
}

impl Reach {
    pub async fn cluster(&self) -> Result<Cluster> {
        Cluster::reach(self.topology_there()?).await
    }

    /// Where everything is, without asking anybody.
    pub fn endpoints(&self) -> Result<(Topology, Endpoints)> {
        let topology = self.topology_there()?;
        let endpoints = Endpoints::resolve(&topology.settings, Embedded::elsewhere())?;
        Ok((topology, endpoints))
    }

    /// With the cluster and the registry that the command names.
    fn topology_there(&self) -> Result<Topology> {
        let mut topology = self.topology()?;
        let plain = |text: &String| Template::try_from(text.clone()).map_err(anyhow::Error::msg);
        let settings = &mut topology.settings;
        if let Some(kafka) = &self.kafka {
            settings.kafka.bootstrap_servers = Some(plain(kafka)?);
        }
        if let Some(registry) = &self.registry {
            settings.registry.url = Some(plain(registry)?);
        }
        Ok(topology)
    }

    /// Without looking into anything.
    pub fn topology(&self) -> Result<Topology> {
        problems::require(source::load(&self.topology)?)
    }

    pub fn directory(&self) -> &Path {
        &self.topology
    }
}
