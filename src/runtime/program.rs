//! What all workers run: a compiled topology, reduced to what the runtime needs of it.

use std::collections::{BTreeMap, BTreeSet};

use crate::codec::Format;
use crate::record::{Topic, TopicPartition};
use crate::topology::engine::SubTopology;
use crate::topology::journal::TaskId;
use crate::topology::plan::{StateFormats, Topology};

pub struct Program {
    /// Of all that decides what a commit says.
    pub fingerprint: String,
    /// The topics that each sub-topology reads; no topic is read by two.
    pub sub_topologies: BTreeMap<String, BTreeSet<Topic>>,
    pub instantiate: Instantiate,
    pub journal: Written,
    pub dead_letters: Written,
}

/// Makes one task's own copy of a sub-topology by its name, or tells what is missing for it.
pub type Instantiate = Box<dyn Fn(&str) -> Result<SubTopology, String> + Send + Sync>;

/// A topic of the engine's own, and how it is written.
pub struct Written {
    pub topic: Topic,
    pub format: Format,
}

impl Program {
    /// `states`, `journal` and `dead_letters` are the schemas as they were registered.
    pub fn new(topology: &Topology, states: StateFormats, journal: Format, dead_letters: Format) -> Self {
        let plans = topology.sub_topologies.clone();
        let sources = plans.iter().map(|(name, plan)| (name.clone(), plan.sources.keys().cloned().collect()));
        Self {
            fingerprint: topology.fingerprint.clone(),
            sub_topologies: sources.collect(),
            instantiate: Box::new(move |name| {
                let plan = plans.get(name).ok_or_else(|| format!("there is no sub-topology {name}"))?;
                plan.instantiate(&states).map_err(|operator| format!("no schema is registered for {operator}'s state"))
            }),
            journal: Written { topic: topology.names.journal(), format: journal },
            dead_letters: Written { topic: topology.names.dead_letters(), format: dead_letters },
        }
    }

    /// All topics that are read: what a worker subscribes to.
    pub fn inputs(&self) -> Vec<Topic> {
        self.sub_topologies.values().flatten().cloned().collect()
    }

    pub(super) fn task_of(&self, input: &TopicPartition) -> Option<TaskId> {
        let (name, _) = self.sub_topologies.iter().find(|(_, sources)| sources.contains(&input.topic))?;
        Some(TaskId { sub_topology: name.clone(), partition: input.partition })
    }
}
