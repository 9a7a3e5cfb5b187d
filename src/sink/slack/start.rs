//! Starting and stopping the sink.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use prometheus::Registry;
use thiserror::Error;
use tokio::runtime::Handle;

use super::calls::Calls;
use super::client::{self, Client, Token};
use super::ledger::Ledger;
use super::metrics::Metrics;
use super::records::Records;
use super::worker::{Hold, Worker};
use crate::clock::Clock;
use crate::codec::{Format, Formats};
use crate::log::client::Connection;
use crate::log::kafka::{Identity, KafkaLog, KafkaReader};
use crate::log::{self, Log, Reader};
use crate::record::Topic;
use crate::runtime::failpoint;
use crate::topology::names::Names;

#[derive(Debug, Error)]
pub enum Error {
    #[error(transparent)]
    Log(#[from] log::Error),
    #[error(transparent)]
    Client(#[from] client::Error),
    #[error(transparent)]
    Metrics(#[from] prometheus::Error),
    #[error("no thread for the slack sink: {0}")]
    Thread(#[from] std::io::Error),
    #[error("the slack sink panicked")]
    Panicked,
}

#[derive(Clone, Debug)]
pub struct SlackSinkConfig {
    pub connection: Connection,
    pub application: String,
    /// Tells the processes of one application apart, stable over restarts.
    pub instance: String,
    pub actions: Topic,
    pub outcomes: Topic,
    pub dead_letters: Topic,
    pub dead_letter_format: Format,
    /// `https://slack.com/api/`, or a stand-in's.
    pub base_url: String,
    pub token: Token,
    /// For a call as a whole, in real time.
    pub call_timeout: Duration,
    /// After so long, by the clock, a call without an answer has had its effect or will have none. More than the timeout.
    pub settle: Duration,
    pub clock: Clock,
}

impl SlackSinkConfig {
    pub const BASE_URL: &str = "https://slack.com/api/";
    pub const CALL_TIMEOUT: Duration = Duration::from_secs(8);
    pub const SETTLE: Duration = Duration::from_secs(10);
}

/// A running sink. Dropped without [`SlackSink::stop`] it stops too, but nobody hears how.
pub struct SlackSink {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<(), log::Error>>>,
}

impl SlackSink {
    /// To be called on the async runtime that the calls of Slack shall run on.
    pub fn start(config: SlackSinkConfig, formats: Formats, registry: &Registry) -> Result<Self, Error> {
        let names = Names::new(&config.application);
        let transactional_id = names.sink_transactional_id("slack", &config.instance);
        let instance_id = Some(transactional_id.clone());
        let writes = vec![config.outcomes.clone(), config.dead_letters.clone()];
        let identity = Identity { group: names.sink_group("slack"), transactional_id, instance_id, writes };
        let connection = config.connection.clone();
        let topics = [config.actions.clone()];
        Self::start_on(config, formats, registry, move || {
            let log = KafkaLog::join(&connection, &identity, &topics)?;
            let reader = KafkaReader::new(&connection, &identity.group)?;
            Ok((log, reader))
        })
    }

    /// On any log. It is made in the sink's own thread.
    pub fn start_on<L: Log + 'static, R: Reader + 'static>(
        config: SlackSinkConfig,
        formats: Formats,
        registry: &Registry,
        join: impl FnOnce() -> Result<(L, R), log::Error> + Send + 'static,
    ) -> Result<Self, Error> {
        let client = Client::new(&config.base_url, config.token, config.call_timeout)?;
        let calls = Calls::new(client, Handle::current(), config.settle);
        let metrics = Metrics::register(registry)?;
        let records = Records {
            formats,
            outcomes: config.outcomes,
            dead_letters: config.dead_letters,
            dead_letter_format: config.dead_letter_format,
            reader: Names::new(&config.application).sink_group("slack"),
        };
        let ledger = Ledger::new(i64::try_from(config.settle.as_millis()).unwrap_or(i64::MAX));
        let (actions, clock) = (config.actions, config.clock);
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let work = move || {
            if std::env::var_os("FAILPOINTS").is_some() {
                failpoint::arm();
            }
            let (log, reader) = join()?;
            let mut worker = Worker {
                log,
                reader,
                actions,
                records,
                calls,
                ledger,
                clock,
                metrics,
                assigned: BTreeSet::new(),
                hold: Hold::Nothing,
                paused: BTreeSet::new(),
                to_write: Vec::new(),
                committed: Vec::new(),
            };
            let ended = worker.run(&stopped);
            if let Err(error) = &ended {
                tracing::error!(%error, "the slack sink has ended");
            }
            ended
        };
        let thread = std::thread::Builder::new().name("sink-slack".to_owned()).spawn(work)?;
        Ok(Self { stop, thread: Some(thread) })
    }

    pub fn is_running(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    /// Starts no more calls, waits for the answers under way, commits, leaves the group. Blocks.
    pub fn stop(mut self) -> Result<(), Error> {
        self.stop.store(true, Ordering::Relaxed);
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(ended)) => Ok(ended?),
            Some(Err(_)) => Err(Error::Panicked),
            None => Ok(()),
        }
    }
}

impl Drop for SlackSink {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}
