//! A single-node broker that speaks the Kafka wire protocol, in this process and durable on local disk.
//!
//! It is the default for trying, developing and small installations: librdkafka, kcat, the Python and the Java clients
//! and Kafka's own tools reach it like any cluster. Held to the same conformance suite as Apache Kafka
//! (`tests/it/conformance`).
//!
//! ```text
//! net.rs -> api/ (one file an API family) -> node.rs: coordinator (groups, transactions, ../journal.rs) and topics -> log/
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
//! re-compression (`compression.type` other than `producer`), tiered storage, topics that come into being when they are asked for, a
//! configuration of the broker, look-ups of an epoch's end or of the largest timestamp, deleting single offsets of a group, listening
//! beyond the loopback (whoever reaches the broker may read and write everything). An API or version that is not in the table of
//! `api/mod.rs` closes the connection, as Kafka does.

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
use crate::embedded::server::{self, Server, Stopped};
use kafka_protocol::error::ResponseError;
use node::Node;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;

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
    #[error("cannot serve on {address}: {source}")]
    Serve { address: SocketAddr, source: io::Error },
    #[error(transparent)]
    Journal(#[from] journal::Error),
    #[error("cannot open the log {path}: {source}")]
    Log { path: PathBuf, source: io::Error },
    #[error(
        "segment {path} is damaged at byte {position} although later segments follow; restore it from a copy, or \
         remove it to go on without its records"
    )]
    Damaged { path: PathBuf, position: u64 },
}

/// A running broker. Dropping it stops it as [`Broker::stop`] does.
#[derive(Debug)]
pub struct Broker(Server);

impl Broker {
    /// Opens the data directory and serves. Blocking, callable from anywhere. It accepts connections when this returns.
    pub fn start(config: BrokerConfig) -> Result<Broker, Error> {
        let address = config.listen;
        if !address.ip().is_loopback() {
            return Err(Error::NotLoopback(address));
        }
        let failed = |source| Error::Serve { address, source };
        let listener = server::bind(address).map_err(failed)?;
        let node = Arc::new(Node::open(config, listener.local_addr().map_err(failed)?)?);
        let server = Server::start("broker", listener, |listener, stopped| serve(node, listener, stopped));
        Ok(Broker(server.map_err(failed)?))
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.0.address
    }

    /// Answers what has been received, closes the connections and forces everything to disk.
    pub fn stop(self) {
        drop(self);
    }
}

async fn serve(node: Arc<Node>, listener: TcpListener, mut stopped: Stopped) {
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
