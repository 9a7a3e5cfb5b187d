//! What lies on a topology's topics, read back: the facts that came from outside, what was told, and the journal.
//!
//! A record is decoded where it is read, so that it is the same whether a cluster or a file holds it. Changelogs and dead letters
//! are not read: states are made anew, and what could not be processed is still on its topic.

use std::collections::BTreeMap;

use anyhow::{Result, bail};

use crate::event::{Fact, FactKind};
use crate::record::{EventTime, Header, Offset, Partition, Topic};
use crate::topology::journal::Journal;
use crate::topology::plan::{Content, Topology};
use crate::topology::problem::suggest;

#[derive(Clone, Debug, PartialEq)]
pub struct Recorded {
    pub topic: Topic,
    pub partition: Partition,
    pub offset: Offset,
    pub timestamp: EventTime,
    pub key: Option<Vec<u8>>,
    pub headers: Vec<Header>,
    pub value: Value,
}

#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "records are met one at a time")]
pub enum Value {
    Fact(Fact<'static>),
    Journal(Journal),
    Tombstone,
    /// As it lies there, and why nobody can read it.
    Unreadable {
        bytes: Vec<u8>,
        error: String,
    },
}

/// What a topic holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    Fact(FactKind),
    Journal,
}

pub type Topics = BTreeMap<Topic, Held>;

impl Held {
    pub fn name(self) -> &'static str {
        match self {
            Held::Fact(kind) => kind.name(),
            Held::Journal => "journal",
        }
    }
}

fn held(topology: &Topology, topic: &Topic) -> Option<Held> {
    match topology.topics.get(topic)?.content {
        Content::Fact(kind) => Some(Held::Fact(kind)),
        Content::Journal => Some(Held::Journal),
        Content::Changelog(_) | Content::DeadLetters => None,
    }
}

/// What comes from outside.
pub fn inputs(topology: &Topology) -> Topics {
    topology.inputs().into_iter().map(|(topic, kind)| (topic, Held::Fact(kind))).collect()
}

/// Without which there is nothing to be replayed. A recording may be older than that people answer, and than rotations.
pub fn required(topology: &Topology) -> Topics {
    let came_later = |held: &Held| matches!(held, Held::Fact(FactKind::Response | FactKind::Rotation));
    inputs(topology).into_iter().filter(|(_, held)| !came_later(held)).collect()
}

/// All that operators read: what comes from outside, and what they tell each other.
pub fn sources(topology: &Topology) -> Topics {
    let sources = topology.sub_topologies.values().flat_map(|plan| &plan.sources);
    sources.map(|(topic, source)| (topic.clone(), Held::Fact(source.fact))).collect()
}

/// Where incidents, and what Slack shall be told, are written.
pub fn told(topology: &Topology) -> Topics {
    let told = |topic: Topic| match held(topology, &topic) {
        Some(held @ Held::Fact(FactKind::Incident | FactKind::SlackAction)) => Some((topic, held)),
        _ => None,
    };
    topology.outputs().into_iter().filter_map(told).collect()
}

pub fn journal(topology: &Topology) -> Topics {
    [(topology.names.journal(), Held::Journal)].into()
}

/// The topics with these names, or all that a replay reads.
pub fn chosen(topology: &Topology, names: &[String]) -> Result<Topics> {
    if names.is_empty() {
        return Ok(sources(topology).into_iter().chain(told(topology)).chain(journal(topology)).collect());
    }
    let known = || topology.topics.keys().map(Topic::as_str);
    let mut topics = Topics::new();
    for name in names {
        let topic = Topic::from(&**name);
        match (topology.topics.contains_key(&topic), held(topology, &topic)) {
            (false, _) => bail!("the topology has no topic `{name}`{}", suggest(name, known())),
            (true, None) => {
                bail!("`{name}` holds states or dead letters, which are not exported; a replay makes its own")
            }
            (true, Some(held)) => drop(topics.insert(topic, held)),
        }
    }
    Ok(topics)
}
