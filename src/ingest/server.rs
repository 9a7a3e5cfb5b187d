//! The listener: headers, body, parser, Kafka, answer; and beside it health and metrics.
//!
//! Invariants: everything that a request holds is paid for from a budget of bytes, taken before its body is read and given
//! back with its answer; when it is spent the answer is 503. Every wait is bounded. A server that is stopped finishes what
//! it has begun.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use prometheus::{Registry, TextEncoder};
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::task::JoinHandle;

use super::answer::Answer;
use super::body::{self, NoBody};
use super::listener::Bounded;
use super::metrics::Metrics;
use super::send::{self, Sender, Sending};
use super::{Capacity, Endpoint, Rules, access};
use crate::clock::Clock;
use crate::codec::Formats;

/// A request takes at least this much of the budget, for it is more than its body.
const LEAST_KIB: usize = 16;

#[derive(Debug, Error)]
pub enum Error {
    #[error(transparent)]
    Access(#[from] access::Error),
    #[error("cannot listen on {address}: {error}")]
    Listen { address: SocketAddr, error: std::io::Error },
    #[error(transparent)]
    Kafka(#[from] send::Error),
    #[error("the metrics of ingest cannot be registered: {0}")]
    Metrics(#[from] prometheus::Error),
}

pub struct IngestConfig {
    pub listen: SocketAddr,
    pub access: access::Access,
    pub sending: Sending,
    pub rules: Rules,
    pub capacity: Capacity,
    /// What is received is stamped with it.
    pub clock: Clock,
}

/// Whether the process behind this listener does its work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readiness {
    Ready,
    /// Why not, in words.
    NotReady(String),
}

/// A running server. When this is dropped it takes no more connections and goes once what has begun is answered.
pub struct Ingest {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    server: JoinHandle<()>,
    /// How long what has begun may take to end.
    patience: Duration,
}

impl Ingest {
    /// Listens and serves until it is stopped. Kafka need not be there yet: until it is, senders are told to come again.
    pub async fn start(
        config: IngestConfig,
        formats: Arc<Formats>,
        registry: Registry,
        ready: impl Fn() -> Readiness + Send + Sync + 'static,
    ) -> Result<Self, Error> {
        config.access.check(config.listen)?;
        let refuse = |error| Error::Listen { address: config.listen, error };
        let listener = TcpListener::bind(config.listen).await.map_err(refuse)?;
        let address = listener.local_addr().map_err(refuse)?;
        let listener = Bounded::new(listener, config.capacity.connections_max);
        let patience = config.capacity.body_timeout() + 2 * config.sending.timeout;
        let metrics = Metrics::register(&registry)?;
        let budget = config.capacity.inflight_bytes_max.max(config.capacity.body_bytes_max).div_ceil(1024);
        let shared = Arc::new(Shared {
            budget: Arc::new(Semaphore::new(budget.max(LEAST_KIB))),
            sender: Sender::new(config.sending, formats)?,
            access: config.access,
            rules: config.rules,
            capacity: config.capacity,
            clock: config.clock,
            metrics,
            registry,
            ready: Box::new(ready),
        });
        let (stop, stopped) = oneshot::channel();
        let serving = axum::serve(listener, router(shared)).with_graceful_shutdown(async {
            // A handle that is gone stops it too.
            let _ = stopped.await;
        });
        let server = tokio::spawn(async move {
            if let Err(error) = serving.await {
                tracing::error!(%error, "the ingest listener ended");
            }
        });
        tracing::info!(%address, "ingest listens");
        Ok(Self { address, stop, server, patience })
    }

    pub fn addr(&self) -> SocketAddr {
        self.address
    }

    /// Takes no more connections and returns once what has begun is answered.
    pub async fn stop(mut self) {
        let _ = self.stop.send(());
        if tokio::time::timeout(self.patience, &mut self.server).await.is_err() {
            tracing::warn!("some requests did not end in time and were cut off");
            self.server.abort();
        }
    }
}

struct Shared {
    access: access::Access,
    rules: Rules,
    capacity: Capacity,
    clock: Clock,
    sender: Sender,
    /// In units of 1 KiB.
    budget: Arc<Semaphore>,
    metrics: Metrics,
    registry: Registry,
    ready: Box<dyn Fn() -> Readiness + Send + Sync>,
}

fn router(shared: Arc<Shared>) -> Router {
    let mut router = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics));
    for endpoint in Endpoint::ALL {
        let handler = move |State(shared): State<Arc<Shared>>, request: Request| receive(shared, endpoint, request);
        router = router.route(endpoint.path(), post(handler));
    }
    router.with_state(shared)
}

async fn readyz(State(shared): State<Arc<Shared>>) -> Response {
    match (shared.ready)() {
        Readiness::Ready => "ready\n".into_response(),
        Readiness::NotReady(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {why}\n")).into_response(),
    }
}

async fn metrics(State(shared): State<Arc<Shared>>) -> Response {
    match TextEncoder::new().encode_to_string(&shared.registry.gather()) {
        Ok(text) => ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

async fn receive(shared: Arc<Shared>, endpoint: Endpoint, request: Request) -> Response {
    let began = Instant::now();
    let (parts, mut body) = request.into_parts();
    let answer = match shared.take(endpoint, &parts.headers, &mut body).await {
        Ok(answer) => answer,
        Err(refused) => {
            body::discard(body, &parts.headers).await;
            refused
        }
    };
    let status = answer.status();
    if !status.is_success() {
        tracing::debug!(endpoint = endpoint.path(), status = status.as_u16(), ?answer, "an ingest request was refused");
    }
    shared.metrics.answered(endpoint, status.as_u16(), began.elapsed());
    answer.into_response()
}

impl Shared {
    /// `Err`: refused, perhaps before all of the body was read.
    async fn take(&self, endpoint: Endpoint, headers: &HeaderMap, body: &mut Body) -> Result<Answer, Answer> {
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        if !self.access.allows(header("authorization")) {
            return Err(Answer::Unknown);
        }
        let format = endpoint.format(header)?;
        let limit = self.capacity.body_bytes_max;
        let announced = body::announced(headers).unwrap_or(limit);
        if announced > limit {
            return Err(Answer::TooLarge { limit });
        }
        let budget = self.pay(announced)?;
        let payload =
            body::collect(body, limit, self.capacity.body_timeout()).await.map_err(|no_body| match no_body {
                NoBody::TooLarge => Answer::TooLarge { limit },
                NoBody::TooSlow | NoBody::Broken => Answer::NoBody,
            })?;
        let received = self.clock.now();
        let reading = format.read(&payload, &self.rules, received).map_err(Answer::Unreadable)?;
        self.sender.send(&reading.facts, received).await?;
        drop(budget);
        self.metrics.stored(endpoint, &reading);
        Ok(Answer::Stored(reading))
    }

    fn pay(&self, bytes: usize) -> Result<Paid, Answer> {
        let kib = u32::try_from(bytes.div_ceil(1024).max(LEAST_KIB)).unwrap_or(u32::MAX);
        let permit = Arc::clone(&self.budget).try_acquire_many_owned(kib).map_err(|_| Answer::Busy)?;
        let bytes = i64::from(kib) * 1024;
        self.metrics.inflight_bytes.add(bytes);
        Ok(Paid { gauge: self.metrics.inflight_bytes.clone(), bytes, _permit: permit })
    }
}

/// A request's share of the budget, given back however it ends.
struct Paid {
    gauge: prometheus::IntGauge,
    bytes: i64,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Paid {
    fn drop(&mut self) {
        self.gauge.sub(self.bytes);
    }
}
