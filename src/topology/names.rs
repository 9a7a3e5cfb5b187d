//! Every name that is derived and not written in a topology file: the one place where it is computed.
//!
//! Invariant: a derived name depends on the application, an operator, a sub-topology or a worker, never on how many there
//! are or in which order they stand, so that adding one renames nothing. All begin with `<application>.`: one prefixed ACL
//! covers them.

use std::path::{Path, PathBuf};

use super::journal::TaskId;
use crate::record::Topic;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    application: String,
}

impl Names {
    pub fn new(application: &str) -> Self {
        Self { application: application.to_owned() }
    }

    pub fn application(&self) -> &str {
        &self.application
    }

    /// What the names of all groups, topics and transactional ids of the application begin with.
    pub fn prefix(&self) -> String {
        format!("{}.", self.application)
    }

    /// The consumer group of all workers of all processes.
    pub fn engine_group(&self) -> String {
        format!("{}.engine", self.application)
    }

    /// The consumer group of a sink, e.g. `fairlead.sink.slack`.
    pub fn sink_group(&self, sink: &str) -> String {
        format!("{}.sink.{sink}", self.application)
    }

    /// Stable over restarts, so that a worker that starts resolves what its predecessor left open. `instance` tells the
    /// processes of one application apart.
    pub fn transactional_id(&self, instance: &str, worker: usize) -> String {
        format!("{}.engine.{instance}.{worker}", self.application)
    }

    /// The transactional id of a sink, e.g. `fairlead.sink.slack.a`.
    pub fn sink_transactional_id(&self, sink: &str, instance: &str) -> String {
        format!("{}.sink.{sink}.{instance}", self.application)
    }

    /// The consumer group that reads a topic of others.
    pub fn ingest_group(&self, topic: &str) -> String {
        format!("{}.ingest.{topic}", self.application)
    }

    pub fn ingest_transactional_id(&self, topic: &str, instance: &str) -> String {
        format!("{}.ingest.{topic}.{instance}", self.application)
    }

    /// The group that divides a mirror's shards over processes, on the cluster that is copied to. A shard's transactional id is this, a
    /// dot, and its number.
    pub fn mirror_group(&self, flow: &str) -> String {
        format!("{}.mirror.{flow}", self.application)
    }

    /// The group that divides a mirror's audits over processes.
    pub fn mirror_audit_group(&self, flow: &str) -> String {
        format!("{}.mirror-audit.{flow}", self.application)
    }

    /// Commands that read outside any group name themselves so: nothing is ever committed to it.
    pub fn reader_group(&self) -> String {
        format!("{}.reader", self.application)
    }

    /// One for the application, whoever retries from wherever: the later fences the earlier.
    pub fn retry_transactional_id(&self) -> String {
        format!("{}.dead-letters.retry", self.application)
    }

    /// The changes of an operator's state; what is found on disk is restored from it.
    pub fn changelog(&self, operator: &str) -> Topic {
        Topic(format!("{}.{operator}-changelog.v1", self.application).into())
    }

    pub fn journal(&self) -> Topic {
        Topic(format!("{}.journal.v1", self.application).into())
    }

    pub fn dead_letters(&self) -> Topic {
        Topic(format!("{}.dead-letters.v1", self.application).into())
    }

    /// Where a task keeps its store: `<state_dir>/<application>/<sub-topology>/<partition>`.
    pub fn task_dir(&self, state_dir: &Path, task: &TaskId) -> PathBuf {
        state_dir.join(&self.application).join(&task.sub_topology).join(task.partition.0.to_string())
    }
}

/// The registry's subject for the values of a topic.
pub fn value_subject(topic: &Topic) -> String {
    format!("{topic}-value")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Partition;

    #[test]
    fn every_derived_name_begins_with_the_application() {
        let names = Names::new("fairlead");
        let task = TaskId { sub_topology: "oncall".into(), partition: Partition(3) };
        let derived = [
            names.engine_group(),
            names.sink_group("slack"),
            names.transactional_id("a", 1),
            names.sink_transactional_id("slack", "a"),
            names.ingest_group("argo.cdevents"),
            names.ingest_transactional_id("argo.cdevents", "a"),
            names.mirror_group("eu"),
            names.mirror_audit_group("eu"),
            names.reader_group(),
            names.retry_transactional_id(),
            names.changelog("incident").to_string(),
            names.journal().to_string(),
            names.dead_letters().to_string(),
        ];
        assert!(derived.iter().all(|name| name.starts_with(&names.prefix())), "{derived:?}");
        assert_eq!(derived[2], "fairlead.engine.a.1");
        assert_eq!(names.changelog("incident").as_str(), "fairlead.incident-changelog.v1");
        assert_eq!(names.task_dir(Path::new("/var/lib"), &task), Path::new("/var/lib/fairlead/oncall/3"));
    }
}
