//! What both engines are given to do: the facts that they read and tell, and how fairlead is told to.

use anyhow::Result;
use fairlead::event::FactKind;

use crate::load::{ALERTS, DEPLOYS};

pub struct Workload {
    /// As the Kafka Streams application knows it.
    pub name: &'static str,
    pub inputs: [(&'static str, FactKind); 2],
    pub output: FactKind,
    /// What the name of the topic that is written ends with; the application's goes before.
    pub output_name: &'static str,
    /// A topology file, of an application called `bench`.
    pub topology: &'static str,
    /// The command that runs it in the directory above that of the topology.
    pub fairlead: fn() -> Result<Vec<String>>,
}

/// Level, incident and suspects, as `make bench` has them.
pub static ONCALL: Workload = Workload {
    name: "oncall",
    inputs: [(ALERTS, FactKind::Alert), (DEPLOYS, FactKind::Deploy)],
    output: FactKind::Incident,
    output_name: "incidents.v1",
    topology: include_str!("../backlog/topology/app.yaml"),
    fairlead: || Ok([env!("CARGO_BIN_EXE_fairlead"), "run", "--topology", "topology"].map(str::to_owned).to_vec()),
};

impl Workload {
    pub fn topics(&self) -> [&'static str; 2] {
        self.inputs.map(|(topic, _)| topic)
    }
}
