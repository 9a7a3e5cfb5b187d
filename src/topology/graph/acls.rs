//! Least privilege: what Kafka must allow each part of fairlead, and nothing more.
//!
//! Describe is implied by Read and Write, and so not listed. IdempotentWrite on the cluster is not needed from Kafka 3.0 on,
//! for Write on a topic implies it.

mod mirrors;

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::{Deserialize, Serialize};

use super::super::engine::Route;
use super::super::plan::{Content, Topology};
use super::super::settings::Access;
use crate::event::FactKind;
use crate::record::Topic;

/// What Kafka calls the cluster itself where it is what a rule is about.
const CLUSTER: &str = "kafka-cluster";
/// Parts that are processes of their own; all others are `fairlead run`.
const COMMANDS: [&str; 6] = ["dead-letter", "lineage", "replay", "retry", "send", "verify"];

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acl {
    /// Of `clusters`; `None`: the application's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// The part that needs it.
    pub part: String,
    pub resource: Resource,
    pub pattern: Pattern,
    pub name: String,
    pub operations: Vec<Operation>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Resource {
    Topic,
    Group,
    TransactionalId,
    Cluster,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pattern {
    Literal,
    Prefixed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Operation {
    Read,
    Write,
    Create,
    Describe,
    Alter,
    AlterConfigs,
    DescribeConfigs,
}

/// All that is needed, part by part: `create` (only if fairlead shall create its topics), `engine`, `ingest`, `mirror`, sinks, which are
/// one process; and the commands `dead-letter` (`list` and `show`), `lineage`, `replay` (and `export`, `report`), `retry`, `send` and
/// `verify`.
pub fn acls(topology: &Topology) -> Vec<Acl> {
    let mut needs = Needs::default();
    for topic in topology.topics.keys() {
        needs.topic("create", topic.as_str(), Operation::Create);
    }
    engine(topology, &mut needs);
    follower(topology, &mut needs);
    for topic_use in topology.settings.topics() {
        if topic_use.access != Access::Writes {
            needs.topic(topic_use.section, &topic_use.topic.value, Operation::Read);
            needs.member(topology, topic_use.section, topology.names.sink_group(topic_use.section));
        }
        if topic_use.access != Access::Reads {
            needs.topic(topic_use.section, &topic_use.topic.value, Operation::Write);
        }
        if topic_use.section == "ingest" {
            match topic_use.fact {
                // What was received is read by it, to be sent again.
                FactKind::Payload => needs.topic("send", &topic_use.topic.value, Operation::Read),
                // Of the process alone: calendars, silences, and whom they cover.
                FactKind::Rotation | FactKind::Silence | FactKind::Response => {}
                _ => needs.topic("send", &topic_use.topic.value, Operation::Write),
            }
        }
    }
    for source in topology.settings.sources() {
        needs.topic("ingest", &source.topic.value, Operation::Read);
        needs.member(topology, "ingest", topology.names.ingest_group(&source.topic.value));
    }
    commands_of_people(topology, &mut needs);
    mirrors::needs(topology, &mut needs);
    let acl = |((cluster, part, resource, name, pattern), operations)| Acl {
        cluster,
        part,
        resource,
        pattern,
        name,
        operations,
    };
    needs.all.into_iter().map(acl).collect()
}

/// The topics that a part writes.
pub fn written(topology: &Topology, part: &str) -> Vec<Topic> {
    let writes =
        |acl: &Acl| acl.part == part && acl.resource == Resource::Topic && acl.operations.contains(&Operation::Write);
    acls(topology).iter().filter(|acl| writes(acl)).map(|acl| Topic::from(&*acl.name)).collect()
}

fn engine(topology: &Topology, needs: &mut Needs) {
    const PART: &str = "engine";
    for plan in topology.sub_topologies.values() {
        plan.sources.keys().for_each(|topic| needs.topic(PART, topic.as_str(), Operation::Read));
        for route in plan.nodes.iter().flat_map(|node| node.routes.values().flatten()) {
            if let Route::Topic(topic) = route {
                needs.topic(PART, topic.as_str(), Operation::Write);
            }
        }
    }
    for (topic, planned) in &topology.topics {
        match planned.content {
            Content::Changelog(_) => {
                needs.topic(PART, topic.as_str(), Operation::Read);
                needs.topic(PART, topic.as_str(), Operation::Write);
            }
            Content::Journal | Content::DeadLetters => needs.topic(PART, topic.as_str(), Operation::Write),
            Content::Fact(_) => {}
        }
    }
    needs.add(PART, Resource::Group, Pattern::Literal, topology.names.engine_group(), Operation::Read);
    needs.add(
        PART,
        Resource::TransactionalId,
        Pattern::Prefixed,
        topology.names.engine_group() + ".",
        Operation::Write,
    );
}

/// With silences ingest follows what there is.
fn follower(topology: &Topology, needs: &mut Needs) {
    let Some(ingest) = &topology.settings.ingest else { return };
    let Some(silences) = &ingest.silences else { return };
    for topic in [&ingest.alerts, silences] {
        needs.topic("ingest", &topic.value, Operation::Read);
    }
    needs.add("ingest", Resource::Group, Pattern::Literal, topology.names.reader_group(), Operation::Describe);
}

/// Reading outside a group still asks for the group's coordinator, which needs Describe.
fn commands_of_people(topology: &Topology, needs: &mut Needs) {
    let (names, group) = (&topology.names, topology.names.reader_group());
    for part in COMMANDS {
        needs.add(part, Resource::Group, Pattern::Literal, group.clone(), Operation::Describe);
    }
    for (topic, planned) in &topology.topics {
        if !matches!(planned.content, Content::Changelog(_)) {
            needs.topic("lineage", topic.as_str(), Operation::Read);
        }
    }
    for (topic, planned) in &topology.topics {
        let told = matches!(planned.content, Content::Fact(FactKind::Incident | FactKind::SlackAction));
        let is_journal = planned.content == Content::Journal;
        if is_journal || topology.inputs().contains_key(topic) || told && topology.outputs().contains(topic) {
            needs.topic("replay", topic.as_str(), Operation::Read);
        }
    }
    for topic in topology.topics.keys().filter(|topic| is_verified(topology, topic)) {
        needs.topic("verify", topic.as_str(), Operation::Read);
    }
    needs.add("verify", Resource::Group, Pattern::Literal, names.engine_group(), Operation::Describe);
    let letters = names.dead_letters();
    needs.topic("dead-letter", letters.as_str(), Operation::Read);
    needs.topic("retry", letters.as_str(), Operation::Read);
    needs.topic("retry", letters.as_str(), Operation::Write);
    // Whatever is read can die.
    let sources = topology.sub_topologies.values().flat_map(|plan| plan.sources.keys().map(Topic::as_str));
    let uses = topology.settings.topics();
    let read =
        uses.iter().filter(|topic_use| topic_use.access == Access::Reads).map(|topic_use| &*topic_use.topic.value);
    // What is refused of a topic of others is read again, and only its facts are written.
    let facts = uses.iter().filter(|topic_use| {
        !topology.settings.sources().is_empty() && topic_use.section == "ingest" && topic_use.fact != FactKind::Payload
    });
    let read = read.chain(facts.map(|topic_use| &*topic_use.topic.value));
    sources.chain(read).for_each(|topic| needs.topic("retry", topic, Operation::Write));
    let id = names.retry_transactional_id();
    needs.add("retry", Resource::TransactionalId, Pattern::Literal, id, Operation::Write);
}

/// What the engine reads or writes.
fn is_verified(topology: &Topology, topic: &Topic) -> bool {
    let of_engine = topology.sub_topologies.values().any(|plan| {
        let mut routes = plan.nodes.iter().flat_map(|node| node.routes.values().flatten());
        plan.sources.contains_key(topic) || routes.any(|route| matches!(route, Route::Topic(to) if to == topic))
    });
    of_engine || !matches!(topology.topics[topic].content, Content::Fact(_))
}

type Need = (Option<String>, String, Resource, String, Pattern);

/// In the order of clusters, parts, resources and names.
#[derive(Default)]
struct Needs {
    /// Where what is added is needed.
    cluster: Option<String>,
    all: BTreeMap<Need, Vec<Operation>>,
}

impl Needs {
    fn add(&mut self, part: &str, resource: Resource, pattern: Pattern, name: String, operation: Operation) {
        let need = (self.cluster.clone(), part.to_owned(), resource, name, pattern);
        let operations = self.all.entry(need).or_default();
        if !operations.contains(&operation) {
            operations.push(operation);
        }
    }

    fn topic(&mut self, part: &str, name: &str, operation: Operation) {
        self.add(part, Resource::Topic, Pattern::Literal, name.to_owned(), operation);
    }

    /// Who reads facts has a group, writes in transactions, and puts aside what cannot be read.
    fn member(&mut self, topology: &Topology, section: &str, group: String) {
        self.topic(section, topology.names.dead_letters().as_str(), Operation::Write);
        self.add(section, Resource::TransactionalId, Pattern::Prefixed, format!("{group}."), Operation::Write);
        self.add(section, Resource::Group, Pattern::Literal, group, Operation::Read);
    }
}

/// A script for Kafka's own tool. What a process does, it does as one principal: its name is to be put in at the top.
pub fn commands(acls: &[Acl], application: &str) -> String {
    let mut out = format!(
        "# The least that Kafka must allow {application}. Each process is one principal: put the names here that they log in as.\n\
         run=User:{application}\n"
    );
    for command in COMMANDS.iter().filter(|command| acls.iter().any(|acl| acl.part == **command)) {
        _ = writeln!(out, "{}=User:{application}-{command}", variable(command));
    }
    out += "# KAFKA is host:port, ADMIN the properties file of one who may change access rules.\n\
            allow() { kafka-acls.sh --bootstrap-server \"$KAFKA\" ${ADMIN:+--command-config \"$ADMIN\"} --add --allow-principal \"$@\"; }\n";
    let (mut cluster, mut part) = (&None, "");
    for acl in acls {
        if acl.cluster != *cluster {
            (cluster, part) = (&acl.cluster, "");
            let name = acl.cluster.as_deref().unwrap_or_default();
            let shell = variable(name).to_uppercase();
            _ = writeln!(
                out,
                "\n# On the cluster {name}: KAFKA_{shell} is its host:port, ADMIN_{shell} the properties file there."
            );
            _ = writeln!(out, "KAFKA=$KAFKA_{shell} ADMIN=${{ADMIN_{shell}:-}}");
        }
        if acl.part != part {
            part = &acl.part;
            let remark = remark(part);
            _ = writeln!(out, "\n# {part}: {remark}");
        }
        _ = write!(out, "allow \"${}\"", variable(process(&acl.part)));
        for operation in &acl.operations {
            _ = write!(out, " --operation {operation:?}");
        }
        let prefixed = if acl.pattern == Pattern::Prefixed { " --resource-pattern-type prefixed" } else { "" };
        let name = match acl.resource {
            Resource::Cluster => String::new(),
            // A star is no pattern of files.
            _ if acl.name == "*" => " '*'".to_owned(),
            _ => format!(" {}", acl.name),
        };
        _ = writeln!(out, " --{}{name}{prefixed}", acl.resource.name());
    }
    out
}

fn process(part: &str) -> &str {
    if COMMANDS.contains(&part) { part } else { "run" }
}

fn variable(process: &str) -> String {
    process.replace('-', "_")
}

fn remark(part: &str) -> &'static str {
    match part {
        "create" => "`fairlead run`, only if it shall create its topics",
        "dead-letter" => "whoever runs `fairlead dead-letter list` or `show`",
        "retry" => "whoever runs `fairlead dead-letter retry`",
        "lineage" => "whoever runs `fairlead lineage`",
        "replay" => "whoever runs `fairlead export`, `replay` or `report`",
        "send" => "whoever runs `fairlead send`",
        "verify" => "whoever runs `fairlead verify`",
        _ => "`fairlead run`",
    }
}

/// The same for people.
pub fn table(acls: &[Acl]) -> String {
    let part = acls.iter().map(|acl| acl.part.len()).max().unwrap_or_default();
    let width = acls.iter().map(|acl| acl.name.len() + 1).max().unwrap_or_default();
    let process_width = COMMANDS.iter().map(|command| command.len()).max().unwrap_or_default();
    let mut out =
        format!("{:process_width$} {:part$} {:16} {:width$} operations\n", "process", "part", "resource", "name");
    let mut cluster = &None;
    for acl in acls {
        if acl.cluster != *cluster {
            cluster = &acl.cluster;
            _ = writeln!(out, "\non cluster {}:", acl.cluster.as_deref().unwrap_or_default());
        }
        let name = if acl.pattern == Pattern::Prefixed { format!("{}*", acl.name) } else { acl.name.clone() };
        let operations: Vec<_> = acl.operations.iter().map(|operation| format!("{operation:?}")).collect();
        let (process, resource, operations) = (process(&acl.part), acl.resource.name(), operations.join(", "));
        _ = writeln!(out, "{process:process_width$} {:part$} {resource:16} {name:width$} {operations}", acl.part);
    }
    out
}

impl Resource {
    fn name(self) -> &'static str {
        match self {
            Resource::Topic => "topic",
            Resource::Group => "group",
            Resource::TransactionalId => "transactional-id",
            Resource::Cluster => "cluster",
        }
    }
}
