//! A single-node broker that speaks the Kafka wire protocol, in this process and durable on local disk.
//!
//! It is the default for trying, developing and small installations: librdkafka, kcat, the Python and the Java clients
//! and Kafka's own tools reach it like any cluster. Held to the same conformance suite as Apache Kafka
//! (`tests/it/conformance`).
//!
//! ```text
//! net.rs -> api/ (one file an API family) -> node.rs: coordinator (groups, transactions, journal) and topics -> log/
//!                                            housekeeping.rs: time-outs, fsync, retention, compaction
//! ```
//! Decisions are pure functions of state and input (`group/`, `txn/`, `meta.rs`, `log/producers.rs`, `settings.rs`,
//! `log/retention.rs`, `log/records.rs`); the rest is I/O around them.
//!
//! **Durability.** An acknowledged record has been given to the operating system: it survives `kill -9` of this process
//! at any moment. All is forced to disk once a second: a power failure can lose what was acknowledged within it.
//!
//! **Not there**, and refused rather than pretended: replication, TLS, SASL, ACLs, quotas, topic ids in requests, fetch
//! sessions, the KIP-848 and share group protocols, transaction protocol 2 (KIP-890), message formats before v2,
//! re-compression (`compression.type` other than `producer`), tiered storage, topics that come into being when they are asked for,
//! listening beyond the loopback (whoever reaches the broker may read and write everything). An API or version that is not in the table
//! of `api/mod.rs` closes the connection, as Kafka does.

mod api;
mod coordinator;
mod group;
mod housekeeping;
mod log;
mod meta;
mod net;
mod node;
mod outage;
mod partition;
mod settings;
mod txn;

use crate::embedded::journal;
use kafka_protocol::error::ResponseError;
use node::Node;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::watch;

/// A value, or the error that the client is told.
type Outcome<T = ()> = Result<T, ResponseError>;

#[derive(Debug, Clone)]
pub struct BrokerConfig {
    /// Created if missing; locked while the broker runs.
    pub data_dir: PathBuf,
    /// On the loopback, for there is no authentication and no encryption. Port 0 lets the operating system choose; see
    /// [`Broker::addr`].
    pub listen: SocketAddr,
    /// How often logs are looked through for what retention and compaction remove.
    pub housekeeping_every: Duration,
}

impl BrokerConfig {
    pub fn new(data_dir: impl Into<PathBuf>) -> BrokerConfig {
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 9092));
        BrokerConfig { data_dir: data_dir.into(), listen, housekeeping_every: Duration::from_secs(300) }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{0} is not a loopback address, and the broker has no authentication; it listens on 127.0.0.1")]
    NotLoopback(SocketAddr),
    #[error("cannot listen on {addr}: {source}")]
    Listen { addr: SocketAddr, source: io::Error },
    #[error(transparent)]
    Journal(#[from] journal::Error),
    #[error("cannot open the log {path}: {source}")]
    Log { path: PathBuf, source: io::Error },
    #[error(
        "segment {path} is damaged at byte {position} although later segments follow; restore it from a copy, or \
         remove it to go on without its records"
    )]
    Damaged { path: PathBuf, position: u64 },
    #[error("cannot start the broker's threads: {0}")]
    Runtime(io::Error),
}

/// A running broker. Dropping it stops it as [`Broker::stop`] does.
#[derive(Debug)]
pub struct Broker {
    addr: SocketAddr,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl Broker {
    /// Opens the data directory and serves. Blocking, callable from anywhere: the broker has threads and a tokio
    /// runtime of its own. It accepts connections when this returns.
    pub fn start(config: BrokerConfig) -> Result<Broker, Error> {
        let listen = config.listen;
        if !listen.ip().is_loopback() {
            return Err(Error::NotLoopback(listen));
        }
        let failed = |source| Error::Listen { addr: listen, source };
        let listener = TcpListener::bind(listen).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let addr = listener.local_addr().map_err(failed)?;
        let node = Arc::new(Node::open(config, addr)?);
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(2).thread_name("broker").enable_all().build().map_err(Error::Runtime)?;
        let listener = {
            let _inside = runtime.enter();
            tokio::net::TcpListener::from_std(listener).map_err(failed)?
        };
        let (stop, stopped) = watch::channel(false);
        let serve = move || runtime.block_on(serve(node, listener, stopped));
        let thread = std::thread::Builder::new().name("broker".into()).spawn(serve).map_err(Error::Runtime)?;
        Ok(Broker { addr, stop, thread: Some(thread) })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Answers what has been received, closes the connections and forces everything to disk.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the broker's thread panicked");
        }
    }
}

async fn serve(node: Arc<Node>, listener: tokio::net::TcpListener, mut stopped: watch::Receiver<bool>) {
    tracing::info!(addr = %node.addr, data_dir = %node.config.data_dir.display(), "the embedded broker serves");
    let chores = tokio::spawn(housekeeping::run(node.clone()));
    net::serve(node.clone(), listener, stopped.clone()).await;
    // Ends only when told: `net::serve` returns for the same reason.
    let _ = stopped.wait_for(|stop| *stop).await;
    chores.abort();
    let synced = tokio::task::spawn_blocking(move || node.sync()).await;
    if let Ok(Err(error)) = synced {
        tracing::error!(%error, "not everything could be forced to disk");
    }
}
