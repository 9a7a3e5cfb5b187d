//! The composition: what a topology declares, started in the order in which each part needs the one before.
//!
//! ```text
//! (embedded broker, registry) ─► schemas registered ─► topics ─► workers ─► Slack sink, runner ─► topics of others ─► HTTP, calendars
//! ```
//! Stopped in the opposite order: first nothing new comes in, then what is there is committed. No decisions are here.

pub mod carried;
pub mod cluster;
pub mod decoded;
mod embedded;
mod endpoints;
pub mod mirrors;
mod proofs;
pub mod provision;
pub mod schemas;
pub mod source;
pub mod topics;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};

pub use embedded::Embedded;
pub use endpoints::{Endpoints, Serving, place, resolve, rules};

use crate::clock::Clock;
use crate::codec::Formats;
use crate::ingest::calendars::Calendars;
use crate::ingest::kafka::{Readers, SourcesConfig};
use crate::ingest::responses::socket::Socket;
use crate::ingest::{Ingest, Readiness};
use crate::log::admin::ensure_topics;
use crate::log::client::Connection;
use crate::log::kafka::{Identity, KafkaLog, KafkaReader};
use crate::log::{Log, Reader};
use crate::mirror::copy::Copies;
use crate::runtime::{self, Program, Stores};
use crate::sink::runner::Runner;
use crate::sink::slack::SlackSink;
use crate::topology::graph::acls::written;
use crate::topology::plan::Topology;

use mirrors::Mirrors;
use proofs::Proofs;
use schemas::Registered;

/// What a start may set that is not in the topology files.
#[derive(Clone, Debug)]
pub struct Options {
    pub clock: Clock,
    /// Where the embedded broker and registry keep their data, if they serve.
    pub embedded_dir: PathBuf,
}

/// Everything that runs. Dropped without [`App::stop`] it ends unordered, as a crash would: nothing is lost by that.
pub struct App {
    ingest: Option<Ingest>,
    calendars: Option<Calendars>,
    /// Clicks by Socket Mode.
    socket: Option<Socket>,
    slack: Option<SlackSink>,
    runner: Option<Runner>,
    readers: Readers,
    mirrors: Mirrors,
    workers: Arc<runtime::Handle>,
    embedded: Option<Embedded>,
    connection: Connection,
    formats: Formats,
}

impl App {
    /// Starts all that the topology declares. After an error the process is to end: workers that were started still run.
    pub async fn start(topology: Topology, options: Options) -> Result<Self> {
        let settings = topology.settings.clone();
        let proofs = Proofs::of(&settings)?;
        let embedded = Embedded::start_if_needed(&settings, &options.embedded_dir)?;
        let endpoints = Endpoints::resolve(&settings, embedded.as_ref().map(Embedded::serving).unwrap_or_default())?;
        let registered = schemas::register(&topology, &endpoints).await?;
        let created = ensure_topics(&endpoints.connection, &topics::plans(&topology)).await?;
        if !created.is_empty() {
            tracing::info!(topics = created.join(", "), "topics created");
        }
        let metrics = prometheus::Registry::new();
        let workers = start_workers(&topology, &endpoints, &registered, &options, &metrics)?;
        let runner = start_runner(&topology, &endpoints, &registered, &options, &metrics)?;
        let view = endpoints.view(&topology, &registered, &options.clock)?;
        let sources = SourcesConfig {
            connection: endpoints.connection.clone(),
            names: topology.names.clone(),
            instance: endpoints.instance.clone(),
            sources: endpoints.sources(&topology, &registered),
            view: view.clone(),
            clock: options.clock.clone(),
        };
        let readers = Readers::start(sources, &metrics).context("topics of others cannot be read")?;
        let workers = Arc::new(workers);
        let mirrors = Mirrors::start(&topology, &endpoints, None, &options.clock, &metrics).await?;
        let desk = endpoints.desk(&registered.formats, &options.clock, &metrics)?;
        let app_token = endpoints.app_token()?;
        let socket = desk.clone().zip(app_token).map(|(desk, token)| Socket::start(desk, token));
        let followed = mirrors.followed();
        let ingest = match endpoints.ingest(&topology, proofs, desk, view, &options.clock, followed)? {
            Some(config) => {
                let (watched, copies) = (Arc::downgrade(&workers), mirrors.watched());
                let ready = move || readiness(&watched, &copies);
                let formats = Arc::new(registered.formats.clone());
                let started = Ingest::start(config, formats, metrics.clone(), ready).await;
                Some(started.context("the HTTP server cannot be started")?)
            }
            None => None,
        };
        // After HTTP: Slack fetches the pictures of what it is told from there.
        let slack = match endpoints.slack_sink(&topology, &registered, &options.clock)? {
            Some(config) => {
                let sink = SlackSink::start(config, registered.formats.clone(), &metrics);
                Some(sink.context("the Slack sink cannot be started")?)
            }
            None => None,
        };
        let calendars = match endpoints.calendars(&options.clock)? {
            Some(config) => {
                let started = Calendars::start(config, Arc::new(registered.formats.clone()), &metrics);
                Some(started.context("the calendars cannot be read")?)
            }
            None => None,
        };
        let (connection, formats) = (endpoints.connection, registered.formats);
        Ok(Self { ingest, calendars, socket, slack, runner, readers, mirrors, workers, embedded, connection, formats })
    }

    /// Where HTTP listens.
    pub fn address(&self) -> Option<SocketAddr> {
        self.ingest.as_ref().map(Ingest::addr)
    }

    /// How its Kafka is reached.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// The schemas it writes with.
    pub fn formats(&self) -> &Formats {
        &self.formats
    }

    pub fn ready(&self) -> bool {
        self.workers.ready() && self.mirrors.ready() && self.ingest.as_ref().is_none_or(Ingest::ready)
    }

    /// A part has ended although nobody stopped it; [`App::stop`] tells why.
    pub fn failed(&self) -> bool {
        let slack_runs = self.slack.as_ref().is_none_or(SlackSink::is_running);
        self.workers.failed()
            || !slack_runs
            || !self.runner.as_ref().is_none_or(Runner::is_running)
            || !self.readers.are_running()
    }

    /// Nothing new is taken in, what was is committed, the group is left.
    pub async fn stop(self) -> Result<()> {
        drop(self.calendars);
        drop(self.socket);
        if let Some(ingest) = self.ingest {
            ingest.stop().await;
        }
        let (workers, slack, runner, readers) = (self.workers, self.slack, self.runner, self.readers);
        let mirrors = self.mirrors.stop().await;
        let ended = tokio::task::spawn_blocking(move || {
            let readers = readers.stop().map_err(anyhow::Error::from);
            // The HTTP server, which only watches, is gone.
            let workers = Arc::into_inner(workers).ok_or_else(|| anyhow!("the workers are still watched"))?;
            let workers = workers.stop().map_err(anyhow::Error::from);
            let slack = slack.map_or(Ok(()), |slack| slack.stop().map_err(anyhow::Error::from));
            let runner = runner.map_or(Ok(()), |runner| runner.stop().map_err(anyhow::Error::from));
            mirrors.and(readers).and(workers).and(slack).and(runner)
        });
        let ended = ended.await.map_err(|error| anyhow!("stopping failed: {error}"))?;
        if let Some(embedded) = self.embedded {
            embedded.stop();
        }
        ended
    }
}

fn start_runner(
    topology: &Topology,
    endpoints: &Endpoints,
    registered: &Registered,
    options: &Options,
    metrics: &prometheus::Registry,
) -> Result<Option<Runner>> {
    let Some(config) = endpoints.runner(topology, registered, &options.clock)? else { return Ok(None) };
    let runner = Runner::start(config, registered.formats.clone(), metrics);
    Ok(Some(runner.context("the runner of actions cannot be started")?))
}

fn start_workers(
    topology: &Topology,
    endpoints: &Endpoints,
    registered: &Registered,
    options: &Options,
    metrics: &prometheus::Registry,
) -> Result<runtime::Handle> {
    let engine = &topology.settings.engine;
    let (states, journal) = (registered.states.clone(), registered.journal.clone());
    let program = Arc::new(Program::new(topology, states, journal, registered.dead_letter.clone()));
    let sources = program.inputs();
    let dir = engine.state_dir.join(topology.names.application());
    let memory = usize::try_from(engine.memory_bytes_max).unwrap_or(usize::MAX);
    let shared = runtime::Shared {
        program,
        config: runtime::Config {
            commit_interval: Duration::from_millis(engine.commit_interval_ms.into()),
            batch_bytes_max: usize::try_from(engine.batch_bytes_max).unwrap_or(usize::MAX),
            ..runtime::Config::default()
        },
        clock: options.clock.clone(),
        stores: Arc::new(Stores::open(&dir, memory)?),
        formats: registered.formats.clone(),
        schema_source: registered.source.clone(),
        metrics: Arc::new(runtime::Metrics::register(metrics)?),
    };
    let (names, connection, instance) =
        (topology.names.clone(), endpoints.connection.clone(), endpoints.instance.clone());
    let writes = written(topology, "engine");
    let connect = move |worker: usize| {
        let group = names.engine_group();
        let transactional_id = names.transactional_id(&instance, worker);
        let instance_id = Some(transactional_id.clone());
        let identity = Identity { group: group.clone(), transactional_id, instance_id, writes: writes.clone() };
        let log = KafkaLog::join(&connection, &identity, &sources)?;
        let reader = KafkaReader::new(&connection, &group)?;
        Ok((Box::new(log) as Box<dyn Log>, Box::new(reader) as Box<dyn Reader>))
    };
    // An application of mirrors alone has nothing for workers to read.
    let workers = if topology.sub_topologies.is_empty() { 0 } else { engine.workers.into() };
    runtime::run(workers, &shared, Arc::new(connect)).context("no thread for a worker")
}

/// A server that outlives the workers for a moment is not ready.
fn readiness(workers: &Weak<runtime::Handle>, copies: &Weak<Copies>) -> Readiness {
    let copies = copies.upgrade();
    if let Some(why) = copies.as_ref().and_then(|copies| copies.stopped()) {
        return Readiness::NotReady(why);
    }
    if copies.is_some_and(|copies| !copies.ready()) {
        return Readiness::NotReady("shards of a mirror are not assigned yet, or begin".to_owned());
    }
    match workers.upgrade() {
        Some(workers) if workers.ready() => Readiness::Ready,
        Some(workers) if workers.failed() => Readiness::NotReady("a worker has failed; the log says why".to_owned()),
        _ => Readiness::NotReady("state is being restored or partitions are not assigned yet".to_owned()),
    }
}
