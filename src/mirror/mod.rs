//! Mirrors: topics of one cluster, copied to another under new names, exactly once, with the place of every offset.
//!
//! ```text
//! source topics ─► copy ─► renamed topics on the target          one transaction a commit
//!                    └───► migration.mirror-offsets.v1 ─► offsets (RocksDB) ─► where a group goes on
//! ```
//! The section `mirrors` of a topology's files ([`Mirror`]), what a topic is called on the other side ([`rename`]). Invariant: what is
//! decided here knows no cluster, clock or store.
#![deny(clippy::disallowed_methods, clippy::disallowed_types, clippy::disallowed_macros)]

#[cfg(feature = "runtime")]
pub mod audit;
pub mod check;
pub mod checksum;
pub mod compare;
#[cfg(feature = "runtime")]
pub mod copy;
pub mod group;
#[cfg(feature = "runtime")]
pub mod groups;
pub mod naming;
#[cfg(feature = "runtime")]
pub mod offsets;
pub mod pace;
pub mod plan;
#[cfg(feature = "runtime")]
pub mod provision;
pub mod range;
pub mod ranges;
pub mod rename;
pub mod reverse;
pub mod selection;
pub mod shard;
mod spec;
pub mod status;
#[cfg(feature = "runtime")]
pub mod told;
#[cfg(feature = "runtime")]
pub mod watch;

pub use spec::{Groups, Mirror, Mirrors, TopicConfig};
