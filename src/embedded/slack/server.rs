//! The workspace over HTTP on loopback: Slack's methods under `/api/`, the control call, and the threads as text.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::{Map, Value};
use tokio::sync::oneshot;

use super::workspace::{Control, Reply, Request, Workspace};
use crate::clock::Clock;

/// A running stand-in; it ends when this is dropped.
pub struct FakeSlack {
    shared: Shared,
    address: SocketAddr,
    _stop: oneshot::Sender<Infallible>,
}

#[derive(Clone)]
struct Shared {
    workspace: Arc<Mutex<Workspace>>,
    clock: Clock,
}

impl Shared {
    fn with<T>(&self, act: impl FnOnce(&mut Workspace, i64) -> T) -> T {
        // A panic inside a call leaves at worst one message half edited: nothing that a later call trips over.
        let mut workspace = self.workspace.lock().unwrap_or_else(PoisonError::into_inner);
        // Read under the lock, so that time never goes backwards from call to call.
        let now_ms = self.clock.now().0;
        act(&mut workspace, now_ms)
    }
}

impl FakeSlack {
    const BODY_BYTES_MAX: usize = 1 << 20;

    /// Serves on a port of 127.0.0.1 that the system picks.
    pub async fn start(workspace: Workspace, clock: Clock) -> io::Result<Self> {
        let shared = Shared { workspace: Arc::new(Mutex::new(workspace)), clock };
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let (stop, stopped) = oneshot::channel();
        let router = Router::new()
            .route("/api/{method}", get(serve_get).post(serve_post))
            .route("/control", post(control))
            .route("/threads", get(threads))
            .layer(DefaultBodyLimit::max(Self::BODY_BYTES_MAX))
            .with_state(shared.clone());
        tokio::spawn(async move {
            // Not graceful: a frozen call would keep the server alive.
            tokio::select! {
                result = axum::serve(listener, router) => {
                    if let Err(error) = result {
                        tracing::error!(%error, "the stand-in for slack stopped");
                    }
                }
                _ = stopped => {}
            }
        });
        Ok(Self { shared, address, _stop: stop })
    }

    /// In place of `https://slack.com/api/`.
    pub fn base_url(&self) -> String {
        format!("http://{}/api/", self.address)
    }

    pub fn control(&self, control: Control) -> Result<(), String> {
        self.shared.with(|workspace, now| workspace.control(control, now))
    }

    pub fn threads(&self) -> String {
        self.shared.with(Workspace::threads)
    }

    pub fn inspect<T>(&self, look: impl FnOnce(&mut Workspace, i64) -> T) -> T {
        self.shared.with(look)
    }
}

async fn serve_get(
    State(shared): State<Shared>,
    Path(method): Path<String>,
    Query(arguments): Query<Map<String, Value>>,
    headers: HeaderMap,
) -> Response {
    serve(&shared, &method, &arguments, &headers).await
}

async fn serve_post(
    State(shared): State<Shared>,
    Path(method): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let json = headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
    match serde_json::from_slice(&body) {
        Ok(arguments) if json => serve(&shared, &method, &arguments, &headers).await,
        _ => axum::Json(serde_json::json!({"ok": false, "error": "invalid_json"})).into_response(),
    }
}

async fn serve(shared: &Shared, method: &str, arguments: &Map<String, Value>, headers: &HeaderMap) -> Response {
    let authorization = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = authorization.and_then(|value| value.strip_prefix("Bearer "));
    let request = Request { token, method, arguments };
    match shared.with(|workspace, now| workspace.serve(request, now)) {
        Reply::Answer { status, retry_after_s, body } => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            let mut response = (status, axum::Json(body)).into_response();
            if let Some(seconds) = retry_after_s {
                response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
            }
            response
        }
        Reply::Drop => Response::new(Body::new(Broken)),
        Reply::Hang => std::future::pending().await,
    }
}

async fn control(State(shared): State<Shared>, axum::Json(control): axum::Json<Control>) -> Response {
    match shared.with(|workspace, now| workspace.control(control, now)) {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => (StatusCode::BAD_REQUEST, error).into_response(),
    }
}

async fn threads(State(shared): State<Shared>) -> String {
    shared.with(Workspace::threads)
}

/// A body that fails at once: the server closes the connection, the client never gets a whole answer.
struct Broken;

impl http_body::Body for Broken {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, io::Error>>> {
        Poll::Ready(Some(Err(io::Error::other("dropped on purpose"))))
    }
}
