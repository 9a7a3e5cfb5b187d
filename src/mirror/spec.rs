//! What a topology may say of mirrors.
#![deny(clippy::disallowed_methods, clippy::disallowed_types, clippy::disallowed_macros)]

use std::collections::BTreeMap;

use serde::Deserialize;

use super::naming::Naming;
use super::rename::Rename;

/// By name: that of the flow, which is part of keys and of transactional ids.
pub type Mirrors = BTreeMap<String, Mirror>;

#[derive(Clone, Debug, Deserialize)]
pub struct Mirror {
    /// Of `clusters`; without it the application's own. So is `to`; they differ.
    #[serde(default)]
    pub from: Option<String>,
    #[serde(default)]
    pub to: Option<String>,
    /// The flow whose way back this is: clusters and names are that one's, exchanged, and only what is native there is copied. Then
    /// neither `from` and `to` nor `topics` are named.
    #[serde(default)]
    pub reverse_of: Option<String>,
    /// The first that matches a topic names its copy; a topic that none matches is not copied.
    #[serde(default)]
    pub topics: Vec<Rename>,
    /// The topology's naming rule, if it has one; of a way back none, for names are the old ones there.
    #[serde(skip)]
    pub naming: Option<Naming>,
    /// Patterns of topics that are not copied, whatever `topics` says.
    #[serde(default)]
    pub exclude: Vec<String>,
    /// Whether several topics may become one. Then no offset of a group can be carried over.
    #[serde(default)]
    pub merge: bool,
    /// How the work is divided: each shard is one transactional producer, and at most so many processes have work.
    #[serde(default = "shards")]
    pub shards: u16,
    /// Where the ranges that were copied are told, on the target.
    #[serde(default = "offsets")]
    pub offsets: String,
    /// Bytes a second that are copied at most, by each process; without it as fast as it goes.
    #[serde(default)]
    pub rate_bytes_max: Option<u64>,
    /// How often topics, partitions, configurations and rights are looked at again.
    #[serde(default = "refresh_secs")]
    pub refresh_secs: u32,
    #[serde(default)]
    pub config: TopicConfig,
    /// Whether access rules are carried over.
    #[serde(default)]
    pub acls: bool,
    /// Without it no group's offsets are carried over.
    #[serde(default)]
    pub groups: Option<Groups>,
    /// Where audits are told, on the target, and so that ranges are audited all the time; without it they are when asked for.
    #[serde(default)]
    pub audits: Option<String>,
}

/// What becomes of a topic's configuration.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct TopicConfig {
    /// Only these are copied; without it all that are set on the topic itself.
    pub copy: Option<Vec<String>>,
    pub leave: Vec<String>,
    /// Set on every copy, whatever the source says.
    pub set: BTreeMap<String, String>,
}

/// Which consumer groups are carried over.
#[derive(Clone, Debug, Deserialize)]
pub struct Groups {
    /// Patterns of their names.
    #[serde(default = "all")]
    pub include: Vec<String>,
    #[serde(default)]
    pub exclude: Vec<String>,
    #[serde(default = "groups_secs")]
    pub every_secs: u32,
    /// Where their states are told, on the target.
    #[serde(default = "group_offsets")]
    pub offsets: String,
}

fn shards() -> u16 {
    4
}

fn offsets() -> String {
    "migration.mirror-offsets.v1".to_owned()
}

fn refresh_secs() -> u32 {
    30
}

fn all() -> Vec<String> {
    vec![".*".to_owned()]
}

fn groups_secs() -> u32 {
    10
}

fn group_offsets() -> String {
    "migration.group-offsets.v1".to_owned()
}
