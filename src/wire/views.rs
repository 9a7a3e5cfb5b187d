//! What the calls of [`Admin`](super::Admin) take and give: plain values in Kafka's words, without its encodings.
//!
//! Numbers that Kafka writes as −1 for "none" are `None` here. Nothing here is a decision, and nothing waits.

use std::collections::BTreeMap;

/// A partition by its topic's name and its number, from 0.
pub type TopicPartition = (String, i32);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterView {
    /// As `kafka-cluster cluster-id` prints it; `None` of a broker that has none.
    pub id: Option<String>,
    /// The brokers that are up, by id.
    pub brokers: Vec<BrokerView>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerView {
    pub id: i32,
    pub host: String,
    pub port: u16,
    pub rack: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicView {
    pub name: String,
    /// In Kafka's base64 form, as `kafka-topics --describe` prints it: another one under the same name is another topic. `None` of a
    /// broker before Kafka 2.8.
    pub id: Option<String>,
    /// Kafka's own, such as `__consumer_offsets`.
    pub internal: bool,
    /// By number.
    pub partitions: Vec<PartitionView>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionView {
    pub number: i32,
    /// `None` while the partition has none: nothing of it can be read, and [`offsets`](super::Admin::offsets) would wait for it.
    pub leader: Option<i32>,
    /// Grows with each election; `None` of a broker before Kafka 2.2.
    pub leader_epoch: Option<i32>,
    /// Broker ids, the preferred leader first.
    pub replicas: Vec<i32>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigView {
    pub name: String,
    /// `None` for what is [`sensitive`](ConfigView::sensitive), too.
    pub value: Option<String>,
    /// Set on the topic itself, and not a default of the cluster.
    pub own: bool,
    pub sensitive: bool,
    pub read_only: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTopic {
    pub name: String,
    pub partitions: i32,
    /// `None`: the broker's default.
    pub replication: Option<i16>,
    pub configs: BTreeMap<String, String>,
}

/// One access rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Acl {
    pub resource: ResourceKind,
    pub pattern: PatternKind,
    /// Of the resource, or what such names begin with; `*` as a literal name is every name.
    pub name: String,
    /// `User:name`
    pub principal: String,
    /// `*` is every host.
    pub host: String,
    pub operation: AclOperation,
    pub permission: Permission,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ResourceKind {
    Topic,
    Group,
    Cluster,
    TransactionalId,
    DelegationToken,
    User,
    /// Kafka's number of a kind that is newer than this program: it can be told, and not be created.
    Other(i8),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PatternKind {
    Literal,
    Prefixed,
    /// As [`ResourceKind::Other`].
    Other(i8),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AclOperation {
    All,
    Read,
    Write,
    Create,
    Delete,
    Alter,
    Describe,
    ClusterAction,
    DescribeConfigs,
    AlterConfigs,
    IdempotentWrite,
    CreateTokens,
    DescribeTokens,
    TwoPhaseCommit,
    /// As [`ResourceKind::Other`].
    Other(i8),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Permission {
    Allow,
    Deny,
    /// As [`ResourceKind::Other`].
    Other(i8),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupView {
    pub name: String,
    /// `Empty`, `Stable`, `PreparingRebalance`, …; `None` of a broker before Kafka 2.6.
    pub state: Option<String>,
    pub kind: GroupKind,
    /// What its members agreed on: `consumer`, `connect`, …; empty where only offsets were committed.
    pub protocol_type: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupKind {
    /// Members join and sync; what a broker before Kafka 3.8, which does not tell, is taken to mean.
    Classic,
    /// KIP-848: the broker assigns.
    Consumer,
    /// KIP-932: it has no committed offset that could be translated.
    Share,
    /// As the broker calls it, such as `streams` (KIP-1071).
    Other(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupDetail {
    pub kind: GroupKind,
    /// As in [`GroupView`]; `Dead` of a group that is not there.
    pub state: String,
    /// Empty for a group of [`GroupKind::Other`], whose members this program cannot ask for: its state tells whether it has some.
    pub members: Vec<MemberView>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberView {
    pub member_id: String,
    /// Of a static member.
    pub instance_id: Option<String>,
    pub client_id: String,
    pub host: String,
    /// `None` where it cannot be told: of a classic group that is no consumer group, such as Connect's.
    pub assigned: Option<Vec<TopicPartition>>,
}

/// A group's committed offset of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The next offset to read.
    pub offset: i64,
    /// Of the record before it, where the client told.
    pub leader_epoch: Option<i32>,
    pub metadata: String,
}

/// Which offset of a partition is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// The first that is kept.
    Earliest,
    /// One past the last; `committed`: of what a reader at read_committed may see, the last stable offset.
    Latest { committed: bool },
    /// The first record with this timestamp or a later one, in milliseconds since 1970.
    Time(i64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OffsetView {
    pub offset: i64,
    /// Of the record there, in milliseconds since 1970; told for [`At::Time`] only.
    pub timestamp: Option<i64>,
    pub leader_epoch: Option<i32>,
}
