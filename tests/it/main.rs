//! The one integration-test binary, so that RocksDB and librdkafka are linked once.
#![allow(clippy::unwrap_used)] // a test fails by panicking
#[cfg(feature = "runtime")]
mod answers;
mod argo_cd;
mod attention;
#[cfg(feature = "runtime")]
mod commands;
mod compat;
#[cfg(feature = "runtime")]
mod conformance;
#[cfg(feature = "runtime")]
mod consumers;
mod detections;
#[cfg(feature = "runtime")]
mod exactly_once;
mod examples;
#[cfg(feature = "runtime")]
mod harness;
#[cfg(feature = "runtime")]
mod ingest;
mod ingest_formats;
#[cfg(feature = "runtime")]
mod kafka_log;
#[cfg(feature = "runtime")]
mod long_haul;
mod mentions;
mod mirror;
mod night;
mod ospbench;
#[cfg(feature = "runtime")]
mod registry;
#[cfg(feature = "runtime")]
mod registry_behind_https;
#[cfg(feature = "runtime")]
mod registry_client;
#[cfg(feature = "runtime")]
mod replay;
mod rotation;
#[cfg(feature = "runtime")]
mod runs;
#[cfg(feature = "runtime")]
mod secured;
#[cfg(feature = "runtime")]
mod slack;
mod tidy;
mod topologies;
mod trends;
#[cfg(feature = "runtime")]
mod wire;
