//! The runtime: runs a program's sub-topologies against the log port, exactly once.
//!
//! ```text
//!            poll                     process                    commit                       apply
//! log ──────────────► batch per task ─────────► effects ─────────────────────► transaction ──────────► store
//!   ▲                                                outputs, changelog, journal,      one batch: states, timers,
//!   │                                                dead letters, input offsets       sequence, input offsets
//!   └── assignment: committed offsets ► store equal? ► else its changelog's tail (`restore`) ► resume
//! ```
//! [`worker`] is one thread: one log, its [`task`]s, their [`store`]s; [`run`] starts several. A commit covers everything
//! polled since the last one, as one batch per task, so one journal record per task names exactly what was processed.
//! Whatever goes wrong after a transaction has begun ends in one of two ways: it is known to be void (states forgotten,
//! inputs read again), or it is not, and the tasks start over from the committed offsets as after a restart.
//!
//! Not here: rdkafka, tokio, YAML, any named operator or fact.

mod commit;
pub mod failpoint;
mod metrics;
mod program;
mod restore;
mod run;
mod schemas;
pub mod store;
mod stores;
mod task;
mod worker;

use std::time::Duration;

use thiserror::Error;

pub use commit::LAST_COMMIT;
pub use metrics::Metrics;
pub use program::{Instantiate, Program, Written};
pub use run::{Connect, Handle, Shared, run};
pub use schemas::{SchemaAnswer, SchemaSource, Schemas};
pub use stores::Stores;
pub use task::{CommitRecord, LastCommit};
pub use worker::{Parts, Worker};

use crate::log;
use crate::topology::engine;

#[derive(Clone, Debug)]
pub struct Config {
    /// A commit at the latest this long after its first record was polled.
    pub commit_interval: Duration,
    /// A commit at the latest when this much was polled.
    pub batch_bytes_max: usize,
    pub start: Start,
}

impl Default for Config {
    fn default() -> Self {
        Self { commit_interval: Duration::from_millis(100), batch_bytes_max: 1 << 20, start: Start::Earliest }
    }
}

/// Where a group that has never committed begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    Earliest,
    Latest,
}

/// Why a worker stopped. What can be waited out never comes here.
#[derive(Debug, Error)]
pub enum Error {
    #[error(transparent)]
    Log(#[from] log::Error),
    #[error("task {task}: {error}")]
    Engine { task: String, error: engine::Error },
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error("{0}")]
    Other(String),
}

#[cfg(test)]
mod tests;
