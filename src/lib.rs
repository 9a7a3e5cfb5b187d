//! fairlead: an event-sourced stream processor for on-call, topic migration and build caches on Kafka.

#[cfg(feature = "runtime")]
pub mod app;
#[cfg(feature = "runtime")]
pub mod cli;
#[cfg(feature = "runtime")]
pub mod clock;
pub mod codec;
#[cfg(feature = "runtime")]
pub mod dead_letters;
#[cfg(feature = "runtime")]
pub mod embedded;
pub mod event;
pub mod ingest;
#[cfg(feature = "runtime")]
pub mod lineage;
#[cfg(feature = "runtime")]
pub mod log;
pub mod operator;
pub mod record;
#[cfg(feature = "runtime")]
pub mod runtime;
pub mod sink;
pub mod topology;
#[cfg(feature = "runtime")]
pub mod verify;
