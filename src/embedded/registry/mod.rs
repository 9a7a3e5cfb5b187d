//! A schema registry that speaks Confluent's REST, for the machine it runs on.
//!
//! ```text
//!   HTTP ──> decide(state, request) ──> event ──> journal (synced) ──> evolve(state, event) ──> answer
//! ```
//! Decisions are pure (`decide`, `query`, `state`), the disk is `embedded/journal.rs`, HTTP is `http`. A lock lets one request through
//! at a time: nothing to interleave, and a registry is asked seldom.
//!
//! It knows Avro only. References, rule sets, metadata, contexts, guids and the IMPORT mode are refused in words, not
//! ignored; `normalize` has no effect beyond the normal form of `normal`. There is no authentication: it binds to the
//! loopback address unless it is told otherwise.

mod decide;
mod http;
mod normal;
mod query;
mod refusal;
mod state;

use self::decide::Decision;
use self::refusal::Refusal;
use self::state::{Event, Inapplicable, State};
use crate::embedded::journal::{self, Journal};
use crate::embedded::server::{self, Server, Stopped};
use serde_json::Value;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use tokio::net::TcpListener;

#[derive(Debug, Clone)]
pub struct RegistryConfig {
    /// Created when missing; one registry at a time.
    pub data_dir: PathBuf,
    /// Port 0 takes any free one; [`Registry::url`] tells which.
    pub listen: SocketAddr,
    /// There is no authentication, so anyone who can reach the address can write.
    pub allow_non_loopback: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "the registry would listen on {0}, beyond this machine and without authentication; use 127.0.0.1, or allow it explicitly"
    )]
    NotLoopback(SocketAddr),
    #[error("the registry cannot listen on {address}: {source}")]
    Listen { address: SocketAddr, source: io::Error },
    #[error(transparent)]
    Journal(#[from] journal::Error),
    #[error("the registry's journal, line {line}: {source}")]
    Replay { line: usize, source: Inapplicable },
}

/// A running registry. Dropping it stops it.
#[derive(Debug)]
pub struct Registry {
    server: Server,
}

/// The format's version is in the name: another format is another file.
const JOURNAL: &str = "registry.v1.journal";

/// Requests in flight get this long at the end. What they changed is on disk either way.
const GRACE: Duration = Duration::from_secs(2);

impl Registry {
    /// Returns when it has read its journal and listens. May be called from anywhere: it brings its own thread.
    pub fn start(config: RegistryConfig) -> Result<Registry, Error> {
        if !config.listen.ip().is_loopback() && !config.allow_non_loopback {
            return Err(Error::NotLoopback(config.listen));
        }
        let core = Core::open(&config)?;
        let refuse = |source| Error::Listen { address: config.listen, source };
        let listener = server::bind(config.listen).map_err(refuse)?;
        let server = Server::start("registry", listener, |listener, stopped| serve(listener, core, stopped));
        let server = server.map_err(refuse)?;
        tracing::info!(address = %server.address, data_dir = %config.data_dir.display(), "the embedded schema registry listens");
        Ok(Registry { server })
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.server.address)
    }

    pub fn stop(self) {
        drop(self);
    }
}

async fn serve(listener: TcpListener, core: Core, mut stopped: Stopped) {
    let mut asked = stopped.clone();
    let server = axum::serve(listener, http::router(core)).with_graceful_shutdown(async move {
        let _ = asked.wait_for(|stop| *stop).await; // an error is the sender's drop: also a stop
    });
    let give_up = async {
        let _ = stopped.wait_for(|stop| *stop).await;
        tokio::time::sleep(GRACE).await;
    };
    tokio::select! {
        served = async { server.await } => if let Err(error) = served {
            tracing::error!(%error, "the registry stopped serving");
        },
        () = give_up => tracing::warn!("the registry stopped with connections open"),
    }
}

/// State and journal, which only change together.
#[derive(Debug)]
struct Core {
    state: State,
    journal: Journal,
}

impl Core {
    fn open(config: &RegistryConfig) -> Result<Core, Error> {
        // A `_schemas` topic would tie the registry's start to the broker's and buy nothing on one machine.
        let (journal, events) = Journal::open::<Event>(&config.data_dir, JOURNAL, true)?;
        let mut state = State::default();
        for (index, event) in events.iter().enumerate() {
            state.evolve(event).map_err(|source| Error::Replay { line: index + 1, source })?;
        }
        Ok(Core { state, journal })
    }

    /// Decide, make durable, apply, answer: in this order.
    fn carry_out(&mut self, decide: impl FnOnce(&State) -> Result<Decision, Refusal>) -> Result<Value, Refusal> {
        let decision = decide(&self.state)?;
        if let Some(event) = &decision.event {
            self.journal.append(event).map_err(|error| Refusal::Store(error.to_string()))?;
            self.state.evolve(event).map_err(|error| Refusal::Store(error.to_string()))?;
            tracing::info!(%event, "registry changed");
        }
        Ok(decision.answer)
    }
}
