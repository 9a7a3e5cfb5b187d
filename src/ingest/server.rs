//! The listener: headers, body, parser, Kafka, answer; and beside it health and metrics.
//!
//! Invariants: everything that a request holds is paid for from a budget of bytes, taken before its body is read and given
//! back with its answer; when it is spent the answer is 503. Who is not proven by the headers alone gets at most half of it, so
//! that strangers cannot keep those with a token out. Every wait is bounded. A server that is stopped finishes what it has begun.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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
use super::charts;
use super::deliveries::Deliveries;
use super::guards::Guards;
use super::listener::Bounded;
use super::metrics::Metrics;
use super::mirrors::{self, Mirrors};
use super::responses::doors::{self, Doors};
use super::samples::serve::{self as samples, Samples};
use super::send::{self, Sender, Sending};
use super::view::View;
use super::{Capacity, Endpoint, Reading, Refusal, Rules, access, api, raw};
use crate::clock::Clock;
use crate::codec::Formats;
use crate::event::Fact;
use crate::record::EventTime;

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
    pub guards: Guards,
    pub sending: Sending,
    pub rules: Rules,
    pub capacity: Capacity,
    /// What is received is stamped with it.
    pub clock: Clock,
    /// Of what is going on; without it no silence is known.
    pub view: Option<Arc<View>>,
    /// Where people answer to incidents; `None` if they cannot.
    pub doors: Option<Doors>,
    /// Where offsets of mirrors are asked for.
    pub mirrors: Option<Mirrors>,
    /// Whether pictures of trends are drawn here.
    pub charts: bool,
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
    /// Tells whom silences cover.
    teller: JoinHandle<()>,
    shared: Arc<Shared>,
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
        let body = config.capacity.body_bytes_max.div_ceil(1024).max(LEAST_KIB);
        let budget = config.capacity.inflight_bytes_max.div_ceil(1024).max(body);
        let samples = Samples::new(&config.sending, &config.rules.selectors, &formats, &registry)?;
        let shared = Arc::new(Shared {
            samples,
            budget: Arc::new(Semaphore::new(budget)),
            unproven: Arc::new(Semaphore::new((budget / 2).max(body))),
            sender: Sender::new(config.sending, formats)?,
            access: config.access,
            guards: config.guards,
            deliveries: Mutex::default(),
            rules: config.rules,
            capacity: config.capacity,
            clock: config.clock,
            metrics,
            registry,
            ready: Box::new(ready),
            view: config.view,
        });
        let teller = tokio::spawn(api::serve::keep_telling(Arc::downgrade(&shared)));
        let (stop, stopped) = oneshot::channel();
        let router = match config.doors {
            Some(doors) => router(Arc::clone(&shared)).merge(doors::router(doors)),
            None => router(Arc::clone(&shared)),
        };
        let router = match config.mirrors {
            Some(mirrors) => router.merge(mirrors::routes(mirrors)),
            None => router,
        };
        let router = match config.charts {
            true => router.merge(charts::routes(shared.metrics.clone())),
            false => router,
        };
        let serving = axum::serve(listener, router).with_graceful_shutdown(async {
            // A handle that is gone stops it too.
            let _ = stopped.await;
        });
        let server = tokio::spawn(async move {
            if let Err(error) = serving.await {
                tracing::error!(%error, "the ingest listener ended");
            }
        });
        tracing::info!(%address, "ingest listens");
        Ok(Self { address, stop, server, teller, shared, patience })
    }

    pub fn addr(&self) -> SocketAddr {
        self.address
    }

    /// Whether alerts and silences, if there are any, are known.
    pub fn ready(&self) -> bool {
        self.shared.view.as_ref().is_none_or(|view| view.is_read())
    }

    /// Takes no more connections and returns once what has begun is answered.
    pub async fn stop(mut self) {
        let _ = self.stop.send(());
        if tokio::time::timeout(self.patience, &mut self.server).await.is_err() {
            tracing::warn!("some requests did not end in time and were cut off");
            self.server.abort();
        }
        // It may hold the last of what is shared, whose threads are to end here.
        self.teller.abort();
        let _ = self.teller.await;
    }
}

pub(super) struct Shared {
    pub access: access::Access,
    guards: Guards,
    deliveries: Mutex<Deliveries>,
    pub rules: Rules,
    pub capacity: Capacity,
    pub clock: Clock,
    /// `None` if none are taken.
    pub samples: Option<Samples>,
    pub sender: Sender,
    /// In units of 1 KiB.
    budget: Arc<Semaphore>,
    /// The part of it that requests may take whose sender is not known yet.
    unproven: Arc<Semaphore>,
    pub metrics: Metrics,
    registry: Registry,
    ready: Box<dyn Fn() -> Readiness + Send + Sync>,
    pub view: Option<Arc<View>>,
}

fn router(shared: Arc<Shared>) -> Router {
    let mut router = samples::routes(api::serve::routes(Router::new()))
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
    let view = || shared.view.as_ref().and_then(|view| view.problem()).map_or(Readiness::Ready, Readiness::NotReady);
    let ready = match (shared.ready)() {
        Readiness::Ready => view(),
        not_ready => not_ready,
    };
    match ready {
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
    let answer = match shared.take((endpoint, parts.uri.path()), &parts.headers, &mut body).await {
        Ok(answer) => answer,
        Err(refused) => {
            body::discard(body, &parts.headers).await;
            refused
        }
    };
    if !answer.status().is_success() {
        tracing::debug!(
            endpoint = endpoint.path(),
            status = answer.status().as_u16(),
            ?answer,
            "an ingest request was refused"
        );
    }
    let response = answer.into_response(endpoint);
    shared.metrics.answered(endpoint.path(), response.status().as_u16(), began.elapsed());
    response
}

impl Shared {
    /// `Err`: refused, perhaps before all of the body was read.
    async fn take(
        &self,
        (endpoint, path): (Endpoint, &str),
        headers: &HeaderMap,
        body: &mut Body,
    ) -> Result<Answer, Answer> {
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let proof = self.guards.proof(endpoint, &self.access, &self.rules).ok_or(Answer::Off)?;
        proof.by_headers(header)?;
        let format = endpoint.format(path, header)?;
        let announced = self.announced(headers)?;
        let unproven = proof.is_by_body().then(|| part_of(&self.unproven, kib(announced))).transpose()?;
        let budget = self.pay(announced)?;
        let payload = self.collect(body).await?;
        let received = self.clock.now();
        proof.by_body(header, &payload, received).await?;
        drop(unproven);
        let mut read = format.read(&payload, &self.rules, received);
        let delivery = read.as_ref().ok().and_then(|reading| reading.delivery.as_ref());
        if delivery.is_some_and(|id| self.deliveries().knows(endpoint.path(), id)) {
            self.metrics.repeated(endpoint);
            return Ok(Answer::Repeated);
        }
        if let (Some(view), Ok(reading)) = (&self.view, &mut read) {
            view.mark(&mut reading.facts, received).map_err(Answer::Unjudged)?;
        }
        let raw = self.raw((endpoint, path), header, &payload, &read, received);
        let facts = read.as_ref().map_or(&[][..], |reading| &reading.facts);
        self.sender.send(facts.iter().chain(&raw), received).await?;
        let reading = read.map_err(Answer::Unreadable)?;
        drop(budget);
        if let Some(id) = &reading.delivery {
            self.deliveries().remember(endpoint.path(), id);
        }
        self.metrics.stored(endpoint, &reading);
        Ok(Answer::Stored(reading))
    }

    /// What is kept of a request beside its facts.
    fn raw<'h>(
        &self,
        at: (Endpoint, &str),
        header: impl Fn(&str) -> Option<&'h str>,
        body: &[u8],
        read: &Result<Reading, Refusal>,
        received: EventTime,
    ) -> Option<Fact<'static>> {
        if !self.sender.keeps_payloads() {
            return None;
        }
        let payload = raw::payload(at, header, body, read, received, &self.rules);
        if payload.is_none() {
            self.metrics.not_kept(at.0);
        }
        payload.map(Fact::Payload)
    }

    /// How much the body may be.
    pub fn announced(&self, headers: &HeaderMap) -> Result<usize, Answer> {
        let limit = self.capacity.body_bytes_max;
        let announced = body::announced(headers).unwrap_or(limit);
        if announced > limit { Err(Answer::TooLarge { limit }) } else { Ok(announced) }
    }

    pub async fn collect(&self, body: &mut Body) -> Result<Vec<u8>, Answer> {
        let limit = self.capacity.body_bytes_max;
        body::collect(body, limit, self.capacity.body_timeout()).await.map_err(|no_body| match no_body {
            NoBody::TooLarge => Answer::TooLarge { limit },
            NoBody::TooSlow | NoBody::Broken => Answer::NoBody,
        })
    }

    fn deliveries(&self) -> MutexGuard<'_, Deliveries> {
        self.deliveries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn pay(&self, bytes: usize) -> Result<Paid, Answer> {
        let kib = kib(bytes);
        let permit = part_of(&self.budget, kib)?;
        let bytes = i64::from(kib) * 1024;
        self.metrics.inflight_bytes.add(bytes);
        Ok(Paid { gauge: self.metrics.inflight_bytes.clone(), bytes, _permit: permit })
    }
}

fn kib(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(1024).max(LEAST_KIB)).unwrap_or(u32::MAX)
}

fn part_of(budget: &Arc<Semaphore>, kib: u32) -> Result<OwnedSemaphorePermit, Answer> {
    Arc::clone(budget).try_acquire_many_owned(kib).map_err(|_| Answer::Busy)
}

/// A request's share of the budget, given back however it ends.
pub(super) struct Paid {
    gauge: prometheus::IntGauge,
    bytes: i64,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Paid {
    fn drop(&mut self) {
        self.gauge.sub(self.bytes);
    }
}
