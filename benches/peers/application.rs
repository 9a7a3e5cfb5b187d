//! One application on one engine: its name, from which group and topics follow, its directory, its process.

use std::path::PathBuf;

use anyhow::{Context, Result};
use serde::Serialize;

use crate::process::{Process, disk_bytes};
use crate::site::{Peer, Site};
use crate::workload::Workload;

/// For a heap that is needed for buffers only: states lie in RocksDB, outside of it.
const JAVA: &[&str] =
    &["java", "-XX:+UseSerialGC", "-Xms512m", "-Xmx512m", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"];

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Engine {
    Fairlead,
    /// As it comes: its stores are wiped after a crash.
    Streams,
    /// With `enable.transactional.statestores`.
    StreamsTransactional,
}

impl Engine {
    pub fn name(self) -> &'static str {
        match self {
            Engine::Fairlead => "fairlead",
            Engine::Streams => "streams",
            Engine::StreamsTransactional => "streams-tx",
        }
    }
}

pub struct Application {
    pub engine: Engine,
    workload: &'static Workload,
    name: String,
    dir: PathBuf,
}

impl Application {
    /// Makes its directory and the topic that it writes.
    pub fn new(site: &Site, engine: Engine, name: &str) -> Result<Self> {
        let (workload, dir) = (site.workload, site.scratch.path().join(name));
        let application = Self { engine, workload, name: name.to_owned(), dir };
        site.make_topic(&application.output())?;
        let topology = application.dir.join("topology");
        std::fs::create_dir_all(&topology)?;
        let text = workload
            .topology
            .replace("application: bench", &format!("application: {name}"))
            .replace("bench.incidents.v1", &application.output())
            .replace("127.0.0.1:18080", "127.0.0.1:0");
        std::fs::write(topology.join("app.yaml"), text)?;
        Ok(application)
    }

    pub fn output(&self) -> String {
        format!("{}.{}", self.name, self.workload.output_name)
    }

    pub fn group(&self) -> String {
        match self.engine {
            Engine::Fairlead => format!("{}.engine", self.name),
            Engine::Streams | Engine::StreamsTransactional => self.name.clone(),
        }
    }

    pub fn start(&self, site: &Site) -> Result<Process> {
        let program = match self.engine {
            Engine::Fairlead => (self.workload.fairlead)()?,
            Engine::Streams | Engine::StreamsTransactional => self.streams(site),
        };
        let registry = site.registry.url();
        let environment = [
            ("BENCH_KAFKA", site.bootstrap()),
            ("BENCH_REGISTRY", &registry),
            ("BENCH_TOKEN", "bench-token-0000000000"),
        ];
        Process::start(site.cores.engine, &program, &self.dir, &environment)
    }

    fn streams(&self, site: &Site) -> Vec<String> {
        let Workload { name, inputs, output, .. } = self.workload;
        let topics = inputs.iter().map(|(topic, kind)| ((*topic).to_owned(), *kind)).chain([(self.output(), *output)]);
        let facts = topics.flat_map(|(topic, kind)| {
            [format!("peer.topic.{kind}={topic}"), format!("peer.schema.{kind}={}", site.schemas[&kind].0)]
        });
        let arguments = [
            format!("bootstrap.servers={}", site.bootstrap()),
            format!("application.id={}", self.name),
            format!("state.dir={}", self.dir.join("state").display()),
            format!("enable.transactional.statestores={}", self.engine == Engine::StreamsTransactional),
            format!("peer.workload={name}"),
        ];
        let Peer { class_path, java, properties } = &site.peer;
        let given = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let main = given(&["-cp", class_path, "fairlead.streams.Main"]);
        [given(JAVA), java.clone(), main, arguments.to_vec(), facts.collect(), properties.clone()].concat()
    }

    pub fn state_bytes(&self) -> Result<u64> {
        disk_bytes(&self.dir.join("state"))
    }

    pub fn lose_state(&self) -> Result<()> {
        std::fs::remove_dir_all(self.dir.join("state")).context("the state directory")
    }

    /// Leaves nothing behind.
    pub fn remove(self, site: &Site) -> Result<()> {
        site.remove_topics(&self.name)?;
        Ok(std::fs::remove_dir_all(&self.dir)?)
    }
}
