//! Starting and stopping: one thread and one group a topic, so that one that is missing or denied holds up no other.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use prometheus::Registry;
use thiserror::Error;

use super::metrics::{Metrics, Sources};
use super::records::Records;
use super::worker::Worker;
use crate::clock::Clock;
use crate::ingest::view::View;
use crate::log::client::Connection;
use crate::log::kafka::{Identity, KafkaLog};
use crate::log::{self, Log};
use crate::record::Topic;
use crate::runtime::failpoint;
use crate::topology::names::Names;
use crate::topology::settings::Start;

/// Between a failure and the next beginning.
const PAUSE: Duration = Duration::from_secs(2);
/// It looks so often whether it shall stop.
const SLICE: Duration = Duration::from_millis(100);

#[derive(Debug, Error)]
pub enum Error {
    #[error(transparent)]
    Log(#[from] log::Error),
    #[error(transparent)]
    Metrics(#[from] prometheus::Error),
    #[error("no thread for a topic of others: {0}")]
    Thread(#[from] std::io::Error),
    #[error("the reader of a topic of others panicked")]
    Panicked,
}

/// A topic of others, and what is made of it.
#[derive(Clone, Debug)]
pub struct Source {
    pub topic: Topic,
    pub from: Start,
    pub records: Records,
}

#[derive(Clone)]
pub struct SourcesConfig {
    pub connection: Connection,
    pub names: Names,
    /// Tells the processes of one application apart, stable over restarts.
    pub instance: String,
    pub sources: Vec<Source>,
    /// Of silences, which mark alerts; without it none is known.
    pub view: Option<Arc<View>>,
    pub clock: Clock,
}

type Ended = Result<(), log::Error>;

/// Running readers. Dropped without [`Readers::stop`] they stop too, but nobody hears how.
pub struct Readers {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Ended>>,
}

impl Readers {
    pub fn start(config: SourcesConfig, registry: &Registry) -> Result<Self, Error> {
        let metrics = Sources::register(registry)?;
        let mut readers = Self { stop: Arc::default(), threads: Vec::new() };
        for source in config.sources {
            let transactional_id = config.names.ingest_transactional_id(source.topic.as_str(), &config.instance);
            let identity = Identity {
                group: config.names.ingest_group(source.topic.as_str()),
                instance_id: Some(transactional_id.clone()),
                transactional_id,
                writes: source.records.writes(),
            };
            let (connection, topics) = (config.connection.clone(), [source.topic.clone()]);
            let join = move || KafkaLog::join(&connection, &identity, &topics);
            let (metrics, clock) = (metrics.of(source.topic.as_str()), config.clock.clone());
            let (stop, view) = (readers.stop.clone(), config.view.clone());
            let work = move || read(&source, view.as_deref(), &clock, &metrics, &stop, join);
            readers.threads.push(std::thread::Builder::new().name("ingest-topic".to_owned()).spawn(work)?);
        }
        Ok(readers)
    }

    pub fn are_running(&self) -> bool {
        self.threads.iter().all(|thread| !thread.is_finished())
    }

    /// What is begun is committed. Blocks.
    pub fn stop(mut self) -> Result<(), Error> {
        self.stop.store(true, Ordering::Relaxed);
        let ended = std::mem::take(&mut self.threads).into_iter().map(|thread| match thread.join() {
            Ok(ended) => Ok(ended?),
            Err(_) => Err(Error::Panicked),
        });
        ended.fold(Ok(()), Result::and)
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// Until told to stop; a failure is a crash to it, and it begins anew. Only to a twin it gives way.
fn read<L: Log>(
    source: &Source,
    view: Option<&View>,
    clock: &Clock,
    metrics: &Metrics,
    stop: &AtomicBool,
    join: impl Fn() -> Result<L, log::Error>,
) -> Ended {
    if std::env::var_os("FAILPOINTS").is_some() {
        failpoint::arm();
    }
    // No alert is taken before the silences are known.
    while view.is_some_and(|view| view.silences().is_err()) && !stop.load(Ordering::Relaxed) {
        std::thread::sleep(SLICE);
    }
    while !stop.load(Ordering::Relaxed) {
        let worker = |log| Worker { log, from: source.from, records: &source.records, view, clock, metrics }.run(stop);
        match join().and_then(worker) {
            Ok(()) => return Ok(()),
            Err(error @ log::Error::Fenced(_)) => {
                tracing::error!(topic = %source.topic, %error, "the reader of a topic has ended");
                return Err(error);
            }
            Err(error) => {
                tracing::warn!(topic = %source.topic, %error, "the reader of a topic begins anew from its committed offsets");
                metrics.restarts.inc();
                pause(stop);
            }
        }
    }
    Ok(())
}

fn pause(stop: &AtomicBool) {
    let mut left = PAUSE;
    while !left.is_zero() && !stop.load(Ordering::Relaxed) {
        std::thread::sleep(SLICE);
        left = left.saturating_sub(SLICE);
    }
}
