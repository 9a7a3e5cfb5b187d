//! From YAML to a checked graph, and the pure engine that runs it.
//!
//! `spec` (what YAML may say) -> `compile` (all errors at once) -> [`engine::SubTopology`]: stages behind one `dyn` seam
//! ([`stage`]), run batch by batch. The brokerless driver and the runtime run the very same engine. Nothing here does I/O.
#![deny(clippy::disallowed_methods, clippy::disallowed_types, clippy::disallowed_macros)]

pub mod catalog;
pub mod compile;
pub mod dead_letter;
pub mod driver;
pub mod engine;
pub mod graph;
pub mod journal;
pub mod names;
pub mod plan;
pub mod problem;
pub mod settings;
pub mod spec;
pub mod stage;
pub mod template;
pub mod yaml;
