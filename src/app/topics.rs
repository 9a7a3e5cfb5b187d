//! The topics of a topology, as the admin client wants them.

use crate::log::admin::TopicPlan;
use crate::topology::plan::Topology;

pub fn plans(topology: &Topology) -> Vec<TopicPlan> {
    let replication = topology.settings.kafka.replication_factor.map(i32::from);
    let plan = |(topic, planned): (&crate::record::Topic, &crate::topology::plan::PlannedTopic)| TopicPlan {
        name: topic.to_string(),
        partitions: planned.partitions,
        replication,
        config: planned.config.clone(),
    };
    topology.topics.iter().map(plan).collect()
}
