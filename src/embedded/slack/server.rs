//! The workspace over HTTP on loopback: Slack's methods under `/api/`, the control call, and the threads as text.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::{Map, Value};
use tokio::sync::oneshot;

use super::blocks;
use super::clicks::{Ephemeral, Press, signed};
use super::page;
use super::pictures::Pictures;
use super::socket::Sockets;
use super::workspace::{Control, Reply, Request, Workspace};
use crate::clock::Clock;

/// Then Slack shows its warning.
const CLICK_TIMEOUT: Duration = Duration::from_secs(3);

/// A running stand-in; it ends when this is dropped.
pub struct FakeSlack {
    shared: Shared,
    _stop: oneshot::Sender<Infallible>,
}

#[derive(Clone)]
struct Shared {
    workspace: Arc<Mutex<Workspace>>,
    sockets: Sockets,
    pictures: Pictures,
    clock: Clock,
    address: SocketAddr,
}

impl Shared {
    fn with<T>(&self, act: impl FnOnce(&mut Workspace, i64) -> T) -> T {
        // A panic inside a call leaves at worst one message half edited: nothing that a later call trips over.
        let mut workspace = self.workspace.lock().unwrap_or_else(PoisonError::into_inner);
        // Read under the lock, so that time never goes backwards from call to call.
        let now_ms = self.clock.now().0;
        act(&mut workspace, now_ms)
    }

    fn pressed(&self, press: &Press<'_>) -> Result<(Value, i64), String> {
        let hooks = format!("http://{}/hooks/", self.address);
        self.with(|workspace, now| Ok((workspace.press(press, &hooks, now)?, now)))
    }

    async fn click(&self, url: &str, press: &Press<'_>) -> Result<u16, String> {
        let (payload, time) = self.pressed(press)?;
        let (body, signature) = signed(&payload, Workspace::SIGNING_SECRET, time / 1_000);
        let request = reqwest::Client::new().post(url).header("x-slack-signature", signature);
        let request = request.header("x-slack-request-timestamp", (time / 1_000).to_string());
        let request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        let answer = request.timeout(CLICK_TIMEOUT).body(body).send().await;
        Ok(answer.map_err(|error| error.to_string())?.status().as_u16())
    }
}

impl FakeSlack {
    const BODY_BYTES_MAX: usize = 1 << 20;

    /// Serves on a port of 127.0.0.1 that the system picks.
    pub async fn start(workspace: Workspace, clock: Clock) -> io::Result<Self> {
        let sockets = Sockets::start().await?;
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let pictures = Pictures::new().map_err(io::Error::other)?;
        let shared = Shared { workspace: Arc::new(Mutex::new(workspace)), sockets, pictures, clock, address };
        let (stop, stopped) = oneshot::channel();
        let router = Router::new()
            .route("/api/{method}", get(serve_get).post(serve_post))
            .route("/control", post(control))
            .route("/threads", get(threads))
            .route("/", get(page))
            .route("/press", post(press))
            .route("/hooks/{hook}", post(hooked))
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
        Ok(Self { shared, _stop: stop })
    }

    /// In place of `https://slack.com/api/`.
    pub fn base_url(&self) -> String {
        format!("http://{}/api/", self.shared.address)
    }

    pub fn control(&self, control: Control) -> Result<(), String> {
        self.shared.with(|workspace, now| workspace.control(control, now))
    }

    /// Presses a button and sends what Slack sends to `url`, signed; answers with the status that came back.
    pub async fn click(&self, url: &str, press: &Press<'_>) -> Result<u16, String> {
        self.shared.click(url, press).await
    }

    /// Socket Mode.
    pub fn sockets(&self) -> &Sockets {
        &self.shared.sockets
    }

    /// What Slack would send of it, and when.
    pub fn pressed(&self, press: &Press<'_>) -> Result<(Value, i64), String> {
        self.shared.pressed(press)
    }

    /// What only clickers have seen.
    pub fn ephemerals(&self) -> Vec<Ephemeral> {
        self.shared.with(|workspace, _| workspace.ephemerals().to_vec())
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
    if method == "apps.connections.open" {
        let token = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
        return axum::Json(shared.sockets.open(token)).into_response();
    }
    match serde_json::from_slice(&body) {
        Ok(arguments) if json => serve(&shared, &method, &arguments, &headers).await,
        _ => axum::Json(serde_json::json!({"ok": false, "error": "invalid_json"})).into_response(),
    }
}

async fn serve(shared: &Shared, method: &str, arguments: &Map<String, Value>, headers: &HeaderMap) -> Response {
    let authorization = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = authorization.and_then(|value| value.strip_prefix("Bearer "));
    // Slack fetches pictures before it takes a message.
    for address in arguments.get("blocks").map(blocks::pictures).unwrap_or_default() {
        let found = shared.pictures.fetch(&address).await;
        tracing::debug!(address, ?found, "a picture was asked for");
        shared.with(|workspace, _| workspace.has_picture(address, found.is_ok()));
    }
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

/// By hand: `{"url": …, "channel": "#oncall", "action_id": "fairlead.acknowledge", "user": "U0ANN"}`; what is chosen in `chosen`.
async fn press(State(shared): State<Shared>, axum::Json(told): axum::Json<Value>) -> Response {
    let text = |name: &str| told[name].as_str();
    let (Some(url), Some(channel), Some(action_id), Some(user)) =
        (text("url"), text("channel"), text("action_id"), text("user"))
    else {
        return (StatusCode::BAD_REQUEST, "say url, channel, action_id and user").into_response();
    };
    let ts = text("ts").and_then(|ts| ts.parse().ok());
    match shared.click(url, &Press { channel, ts, action_id, user, chosen: text("chosen") }).await {
        Ok(status) => format!("answered with {status}\n").into_response(),
        Err(why) => (StatusCode::BAD_REQUEST, why).into_response(),
    }
}

async fn hooked(
    State(shared): State<Shared>,
    Path(hook): Path<usize>,
    axum::Json(answer): axum::Json<Value>,
) -> Response {
    match shared.with(|workspace, now| workspace.answered(hook, &answer, now)) {
        Ok(()) => "ok".into_response(),
        Err(code) => (StatusCode::NOT_FOUND, code).into_response(),
    }
}

async fn threads(State(shared): State<Shared>) -> String {
    shared.with(Workspace::threads)
}

/// For a browser: the threads with their pictures.
async fn page(State(shared): State<Shared>) -> Response {
    let html = shared.with(Workspace::page);
    ([(header::CONTENT_TYPE, "text/html; charset=utf-8"), (header::CONTENT_SECURITY_POLICY, page::POLICY)], html)
        .into_response()
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
