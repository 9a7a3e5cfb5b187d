//! fairlead: an event-sourced stream processor for on-call, topic migration and build caches on Kafka.

pub mod codec;
pub mod event;
#[cfg(feature = "runtime")]
pub mod log;
pub mod operator;
pub mod record;
pub mod topology;
