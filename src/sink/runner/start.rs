//! Starting and stopping the runner.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use prometheus::Registry;
use thiserror::Error;
use tokio::runtime::Handle;

use super::execute::Executor;
use super::ledger::Ledger;
use super::metrics::Metrics;
use super::records::Records;
use super::runs::Runs;
use super::worker::{Hold, Worker};
use crate::actions::Actions;
use crate::actions::template::Secret;
use crate::clock::Clock;
use crate::codec::{Format, Formats};
use crate::log;
use crate::log::client::Connection;
use crate::log::kafka::{Identity, KafkaLog, KafkaReader};
use crate::record::Topic;
use crate::runtime::failpoint;
use crate::topology::names::Names;

/// A rebalance takes a group some seconds anyway.
const DRAIN: Duration = Duration::from_secs(10);

#[derive(Debug, Error)]
pub enum Error {
    #[error(transparent)]
    Log(#[from] log::Error),
    #[error("no http client: {0}")]
    Client(#[from] reqwest::Error),
    #[error(transparent)]
    Metrics(#[from] prometheus::Error),
    #[error("no thread for the runner: {0}")]
    Thread(#[from] std::io::Error),
    #[error("the runner panicked")]
    Panicked,
}

pub struct RunnerConfig {
    pub connection: Connection,
    pub application: String,
    /// Tells the processes of one application apart, stable over restarts.
    pub instance: String,
    pub runs: Topic,
    pub dead_letters: Topic,
    pub dead_letter_format: Format,
    pub actions: Actions,
    /// What stands at each place that the actions name.
    pub secrets: BTreeMap<Secret, String>,
    pub clock: Clock,
}

/// A running runner. Dropped without [`Runner::stop`] it stops too, but nobody hears how.
pub struct Runner {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<(), log::Error>>>,
}

impl Runner {
    /// To be called on the async runtime that the runs shall be done on.
    pub fn start(config: RunnerConfig, formats: Formats, registry: &Registry) -> Result<Self, Error> {
        let names = Names::new(&config.application);
        let transactional_id = names.sink_transactional_id("runner", &config.instance);
        let group = names.sink_group("runner");
        let writes = vec![config.runs.clone(), config.dead_letters.clone()];
        let instance_id = Some(transactional_id.clone());
        let identity = Identity { group: group.clone(), transactional_id, instance_id, writes };
        let runs = Runs::new(Executor::new(config.actions, config.secrets)?, Handle::current());
        let metrics = Metrics::register(registry)?;
        let (connection, topics, clock) = (config.connection, [config.runs.clone()], config.clock);
        let records = Records {
            formats,
            runs: config.runs,
            dead_letters: config.dead_letters,
            dead_letter_format: config.dead_letter_format,
            reader: group,
        };
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let work = move || {
            if std::env::var_os("FAILPOINTS").is_some() {
                failpoint::arm();
            }
            let log = KafkaLog::join(&connection, &identity, &topics)?;
            let reader = KafkaReader::new(&connection, &identity.group)?;
            let mut worker = Worker {
                log,
                reader,
                records,
                ledger: Ledger::default(),
                runs,
                clock,
                metrics,
                assigned: BTreeSet::new(),
                hold: Hold::Nothing,
                paused: false,
                drain: DRAIN,
                to_tell: Vec::new(),
                letters: Vec::new(),
                committed: Vec::new(),
            };
            let ended = worker.run(&stopped);
            if let Err(error) = &ended {
                tracing::error!(%error, "the runner has ended");
            }
            ended
        };
        let thread = std::thread::Builder::new().name("sink-runner".to_owned()).spawn(work)?;
        Ok(Self { stop, thread: Some(thread) })
    }

    pub fn is_running(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    /// Starts no more runs, waits a while for those under way, commits, leaves the group. Blocks.
    pub fn stop(mut self) -> Result<(), Error> {
        self.stop.store(true, Ordering::Relaxed);
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(ended)) => Ok(ended?),
            Some(Err(_)) => Err(Error::Panicked),
            None => Ok(()),
        }
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}
