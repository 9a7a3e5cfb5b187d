//! The copy itself: one thread a shard, each with a consumer on the source and a transactional producer on the target.
//!
//! ```text
//! group on the target ─► flow (which shards are this process's) ─► worker, one a shard:
//!   recover: fence ─► end what was left open ─► read the shard's ranges ─► assign the source at the frontiers
//!   turn:    take ─► relay ─► … ─► settle (target offsets) ─► ranges ─► commit          all of it one transaction
//! ```
//!
//! | it dies               | copies, ranges    | the successor                                         |
//! |-----------------------|-------------------|-------------------------------------------------------|
//! | before the commit     | aborted           | reads on from the ranges before, copies again         |
//! | within the commit     | both or neither   | waits until the range can be read, or is known to be none |
//! | after the commit      | there             | goes on behind them                                   |
//!
//! Invariants: progress is only what the ranges on the target say, read after the fence; a transaction that failed in any way is never
//! mended but done anew by a successor, in this process or another. No record of a topic that was created anew is committed as one of the
//! old: the ids are asked for after the last record of a transaction was taken, of who served it. What would lose or double records stops the flow, and the log, the
//! metrics and `/readyz` say so until somebody has decided.
//!
//! Not here: which topics there are and what they are called (the caller's [`Pairs`]), creating them, groups, audits.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)] // threads that wait, beside modules that must not

mod flow;
mod lane;
mod metrics;
mod recover;
mod skip;
mod worker;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use prometheus::Registry;
use thiserror::Error;
use tokio::runtime::Handle;

pub use metrics::Metrics;
pub use skip::{Skipped, skip};

use crate::clock::Clock;
use crate::codec::Formats;
use crate::log;
use crate::log::client::Connection;
use crate::mirror::pace::Pace;
use crate::mirror::shard::Stop;
use crate::mirror::told;
use crate::record::{Topic, TopicPartition};
use crate::runtime::SchemaSource;
use crate::wire;

/// A topic that is copied, and where to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    pub from: Topic,
    /// Kafka's id of it, if the cluster tells one.
    pub topic_id: Option<String>,
    pub partitions: i32,
    pub to: Topic,
    /// At least as many.
    pub to_partitions: i32,
}

/// Which pairs there are now; asked at the start of a shard and every [`Flow::refresh`]. Called from a shard's thread, may block until
/// the flag tells to stop, and a little longer ([`crate::mirror::told`]).
pub type Pairs = Arc<dyn Fn(&AtomicBool) -> Result<Vec<Pair>, log::Error> + Send + Sync>;

/// Names and Kafka's ids of these topics of the source, as every broker tells that leads a partition of them; asked before each commit
/// for what is committed. Called from a shard's thread, may block as [`Pairs`] may.
pub type TopicIds = Arc<dyn Fn(&[String], &AtomicBool) -> Result<BTreeSet<(String, String)>, log::Error> + Send + Sync>;

/// As the brokers of the source tell them. To be called in the async runtime.
pub fn topic_ids(source: &Connection) -> Result<TopicIds, wire::Error> {
    let (admin, handle) = (wire::Admin::new(source)?, Handle::current());
    Ok(Arc::new(move |names, stop| {
        handle.block_on(told::unless(stop, admin.topic_ids(names)))?.map_err(|error| match error {
            wire::Error::Unavailable(why) => log::Error::Unavailable(why),
            error => log::Error::Fatal(error.to_string()),
        })
    }))
}

/// Whether a record of the source is no copy itself; asked of a reverse mirror's records before each is copied.
pub type IsNative = Arc<dyn Fn(&TopicPartition, i64) -> Result<bool, log::Error> + Send + Sync>;

/// One mirror, ready to run.
#[derive(Clone)]
pub struct Flow {
    pub name: String,
    pub from: Connection,
    pub to: Connection,
    /// On the target, with as many partitions as there are shards.
    pub offsets: Topic,
    pub shards: u16,
    /// Of the processes that share the flow, on the target; what is read names itself so too.
    pub group: String,
    /// Tells the processes of one application apart, stable over restarts.
    pub instance: String,
    pub rate_bytes_max: Option<u64>,
    pub refresh: Duration,
    pub pairs: Pairs,
    pub ids: TopicIds,
    /// Without it every record is copied.
    pub native: Option<IsNative>,
    /// The ranges' schema among them.
    pub formats: Arc<Formats>,
    /// Asked for what earlier ranges were written with.
    pub schemas: SchemaSource,
    pub clock: Clock,
}

impl Flow {
    /// Of whoever has the shard: the later fences the earlier.
    fn transactional_id(&self, shard: i32) -> String {
        format!("{}.{shard}", self.group)
    }
}

#[derive(Debug, Error)]
pub enum Error {
    #[error(transparent)]
    Metrics(#[from] prometheus::Error),
    #[error("no thread for a mirror: {0}")]
    Thread(#[from] std::io::Error),
    #[error("a mirror's thread panicked")]
    Panicked,
}

/// How a worker ended that was not told to.
#[derive(Debug, Error)]
pub enum Ended {
    #[error(transparent)]
    Stop(#[from] Stop),
    #[error(transparent)]
    Log(#[from] log::Error),
}

impl Ended {
    /// Whether no successor would fare better.
    fn is_final(&self) -> bool {
        matches!(self, Ended::Stop(_) | Ended::Log(log::Error::Fatal(_)))
    }
}

/// What the threads of one flow share.
struct Shared {
    flow: Flow,
    metrics: Metrics,
    stop: AtomicBool,
    /// The log has said that some records are copied with another time.
    told_of_times: AtomicBool,
    /// Why the flow has stopped for good.
    stopped: Mutex<Option<String>>,
    /// Of all shards of this process together.
    pace: Option<Mutex<Pace>>,
    began: Instant,
    /// The group has said which shards are this process's, and all of them copy.
    ready: AtomicBool,
    /// Shard 0 is among them: what one process does for the whole flow is done here.
    first: AtomicBool,
}

impl Shared {
    fn must_stop(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// So much was copied; how long nothing more is to be.
    fn pace(&self, bytes: usize) -> Duration {
        let Some(pace) = &self.pace else { return Duration::ZERO };
        pace.lock().map_or(Duration::ZERO, |mut pace| pace.took(bytes, self.began.elapsed()))
    }
}

/// Flows that run. Dropped without [`Copies::stop`] they stop too, but nobody hears how.
#[derive(Default)]
pub struct Copies {
    flows: Vec<(Arc<Shared>, JoinHandle<()>)>,
}

impl Copies {
    pub fn start(flows: Vec<Flow>, registry: &Registry) -> Result<Self, Error> {
        let mut copies = Self::default();
        if flows.is_empty() {
            return Ok(copies);
        }
        let families = metrics::Families::register(registry)?;
        for flow in flows {
            let (metrics, pace) =
                (families.of(&flow.name), flow.rate_bytes_max.map(|rate| Mutex::new(Pace::new(rate))));
            let (stop, stopped, ready, first, told_of_times) = Default::default();
            let began = Instant::now();
            let shared = Arc::new(Shared { flow, metrics, stop, stopped, pace, began, ready, first, told_of_times });
            let running = shared.clone();
            let thread = std::thread::Builder::new().name("mirror".to_owned()).spawn(move || flow::run(&running))?;
            copies.flows.push((shared, thread));
        }
        Ok(copies)
    }

    /// Every shard that is this process's copies.
    pub fn ready(&self) -> bool {
        self.flows.iter().all(|(shared, _)| shared.ready.load(Ordering::Relaxed))
    }

    /// Whether shard 0 of the flow is this process's.
    pub fn has_first_shard(&self, flow: &str) -> bool {
        self.flows.iter().any(|(shared, _)| shared.flow.name == flow && shared.first.load(Ordering::Relaxed))
    }

    /// The first flow that has stopped for good, and why.
    pub fn stopped(&self) -> Option<String> {
        self.flows.iter().find_map(|(shared, _)| {
            let why = shared.stopped.lock().ok()?.clone()?;
            Some(format!("mirror {}: {why}", shared.flow.name))
        })
    }

    /// What is begun is committed. Blocks.
    pub fn stop(mut self) -> Result<(), Error> {
        self.tell();
        let flows = std::mem::take(&mut self.flows).into_iter();
        // All of them, whatever becomes of the first.
        let ended: Vec<_> = flows.map(|(_, thread)| thread.join().map_err(|_| Error::Panicked)).collect();
        ended.into_iter().collect()
    }

    /// They stop from now on; [`Copies::stop`] waits for it.
    pub fn tell(&self) {
        self.flows.iter().for_each(|(shared, _)| shared.stop.store(true, Ordering::Relaxed));
    }
}

impl Drop for Copies {
    fn drop(&mut self) {
        self.tell();
    }
}
