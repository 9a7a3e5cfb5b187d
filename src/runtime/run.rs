//! Workers as threads, and the handle that watches and stops them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use super::failpoint;
use super::metrics::Metrics;
use super::schemas::{SchemaSource, Schemas};
use super::stores::Stores;
use super::worker::{Parts, Worker};
use super::{Config, Error, Program};
use crate::clock::Clock;
use crate::codec::Formats;
use crate::log::{self, Log, Reader};

const CONNECT_PAUSE: Duration = Duration::from_secs(1);

/// What all workers of a process share.
#[derive(Clone)]
pub struct Shared {
    pub program: Arc<Program>,
    pub config: Config,
    pub clock: Clock,
    pub stores: Arc<Stores>,
    pub formats: Formats,
    pub schema_source: SchemaSource,
    pub metrics: Arc<Metrics>,
}

/// Joins the group as worker number so-and-so. Called on the worker's own thread.
pub type Connect = dyn Fn(usize) -> Result<(Box<dyn Log>, Box<dyn Reader>), log::Error> + Send + Sync;

/// Running workers. Dropped, it lets them run; [`Handle::stop`] ends them in order.
pub struct Handle {
    stop: Arc<AtomicBool>,
    ready: Vec<Arc<AtomicBool>>,
    threads: Vec<JoinHandle<Result<(), Error>>>,
}

/// Starts the workers.
pub fn run(workers: usize, shared: &Shared, connect: Arc<Connect>) -> std::io::Result<Handle> {
    if std::env::var_os("FAILPOINTS").is_some() {
        // Kept for the life of the process.
        std::mem::forget(fail::FailScenario::setup());
    }
    let stop = Arc::new(AtomicBool::new(false));
    let (mut ready, mut threads) = (Vec::new(), Vec::new());
    for number in 0..workers {
        let flag = Arc::new(AtomicBool::new(false));
        let (shared, connect, stop, is_ready) = (shared.clone(), connect.clone(), stop.clone(), flag.clone());
        let thread = std::thread::Builder::new().name(format!("worker-{number}"));
        threads.push(thread.spawn(move || {
            let ended = work(number, shared, connect.as_ref(), &stop, &is_ready);
            is_ready.store(false, Ordering::Relaxed);
            match &ended {
                Ok(()) => tracing::info!(number, "worker stopped"),
                Err(error) => tracing::error!(number, %error, "worker failed"),
            }
            ended
        })?);
        ready.push(flag);
    }
    Ok(Handle { stop, ready, threads })
}

impl Handle {
    /// Every worker has its assignment and all its state.
    pub fn ready(&self) -> bool {
        self.ready.iter().all(|ready| ready.load(Ordering::Relaxed))
    }

    /// A worker has ended although nobody stopped it: [`Handle::stop`] tells why.
    pub fn failed(&self) -> bool {
        self.threads.iter().any(JoinHandle::is_finished)
    }

    /// Commits what was read, then leaves the group. Answers with the first failure of any worker.
    pub fn stop(self) -> Result<(), Error> {
        self.stop.store(true, Ordering::Relaxed);
        let ends = self.threads.into_iter().map(|thread| {
            thread
                .join()
                .unwrap_or_else(|_| Err(Error::Other("a worker panicked: its last words are in the log".into())))
        });
        // All are waited for before any is told of.
        ends.collect::<Vec<_>>().into_iter().collect()
    }
}

fn work(number: usize, shared: Shared, connect: &Connect, stop: &AtomicBool, ready: &AtomicBool) -> Result<(), Error> {
    if std::env::var_os("FAILPOINTS").is_some() {
        failpoint::arm();
    }
    let (log, reader) = loop {
        match connect(number) {
            Ok(connected) => break connected,
            Err(error @ log::Error::Unavailable(_)) if !stop.load(Ordering::Relaxed) => {
                tracing::warn!(%error, "kafka cannot be joined yet");
                shared.clock.sleep(CONNECT_PAUSE);
            }
            Err(error) => return Err(error.into()),
        }
    };
    let Shared { program, config, clock, stores, formats, schema_source, metrics } = shared;
    let schemas = Schemas::new(formats, schema_source);
    let mut worker = Worker::new(Parts { program, config, clock, stores, schemas, metrics, log, reader });
    while !stop.load(Ordering::Relaxed) {
        worker.step()?;
        ready.store(worker.is_ready(), Ordering::Relaxed);
    }
    worker.stop()
}
