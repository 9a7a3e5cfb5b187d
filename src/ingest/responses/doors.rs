//! The doors over HTTP: Slack's interactions, which are signed, and answers of programs, which bear the token.
//!
//! Invariants: nothing is parsed before it is proven. Requests at once, and the bytes of each, are bounded.

use std::collections::BTreeMap;
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::super::access::Access;
use super::super::body::{self, NoBody};
use super::super::json::Refusal;
use super::super::signature::Secrets;
use super::desk::{Desk, Taken};
use super::{api, click, proof};

/// A click brings the whole message along, percent by percent.
const CLICK_BYTES_MAX: usize = 512 << 10;
const ANSWER_BYTES_MAX: usize = 16 << 10;
const BODY_WITHIN: Duration = Duration::from_secs(2);
const AT_ONCE: usize = 64;

/// Where answers come in.
#[derive(Clone)]
pub struct Doors {
    pub desk: Arc<Desk>,
    /// `None`: clicks do not come over HTTP.
    pub slack: Option<Secrets>,
    pub access: Access,
}

struct Shared {
    doors: Doors,
    places: Arc<Semaphore>,
    /// Tells requests of programs apart that do not do it themselves.
    requests: AtomicU64,
}

pub(in super::super) fn router<S: Clone + Send + Sync + 'static>(doors: Doors) -> Router<S> {
    let shared = Shared { doors, places: Arc::new(Semaphore::new(AT_ONCE)), requests: AtomicU64::new(0) };
    Router::new()
        .route("/slack/interactions", post(interactions))
        .route("/api/v1/incidents/{service}/{incident}/responses", post(responses))
        .with_state(Arc::new(shared))
}

async fn interactions(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let began = Instant::now();
    let Some(secrets) = &shared.doors.slack else {
        return refused(StatusCode::NOT_FOUND, "clicks are not taken here", "write `signing_secret` under `slack`");
    };
    let (headers, body) = match received(&shared, request, CLICK_BYTES_MAX).await {
        Ok((headers, body, _place)) => (headers, body),
        Err(answer) => return *answer,
    };
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let desk = &shared.doors.desk;
    if let Err(problem) = proof::check(secrets, header, &body, desk.clock().now()) {
        desk.count("slack", "refused", began);
        let mend =
            "let Slack send it, with the signing secret of the server's configuration, and change nothing on the way";
        return refused(StatusCode::UNAUTHORIZED, problem, mend);
    }
    let payload = match click::payload(&body) {
        Ok(payload) => payload,
        Err(refusal) => return unreadable(&refusal),
    };
    match desk.click("slack", &payload).await {
        Ok(Taken::Stored(_) | Taken::Ignored | Taken::Refused(_)) => StatusCode::OK.into_response(),
        // Slack shows its warning at the button.
        Ok(Taken::Failed(_)) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        Err(refusal) => unreadable(&refusal),
    }
}

async fn responses(
    State(shared): State<Arc<Shared>>,
    Path(place): Path<BTreeMap<String, String>>,
    headers: HeaderMap,
    request: Request,
) -> Response {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let (authorization, key) = (header("authorization"), header("idempotency-key"));
    if !shared.doors.access.allows(authorization.as_deref()) {
        let mend = "send the header Authorization: Bearer <token> with a token from the server's configuration";
        return refused(StatusCode::UNAUTHORIZED, "no valid bearer token", mend);
    }
    let body = match received(&shared, request, ANSWER_BYTES_MAX).await {
        Ok((_, body, _place)) => body,
        Err(answer) => return *answer,
    };
    let now = shared.doors.desk.clock().now();
    let key = key
        .unwrap_or_else(|| format!("{} {} {}", now.0, process::id(), shared.requests.fetch_add(1, Ordering::Relaxed)));
    let part = |name: &str| place.get(name).map(String::as_str).unwrap_or_default();
    let response = match api::read((part("service"), part("incident")), &key, &body, now) {
        Ok(response) => response,
        Err(refusal) => return unreadable(&refusal),
    };
    match shared.doors.desk.of_program(&response).await {
        Taken::Stored(stored) => Json(json!({"id": response.id, "stored": stored})).into_response(),
        Taken::Ignored => StatusCode::OK.into_response(),
        Taken::Refused(why) => refused(StatusCode::FORBIDDEN, &why, "ask for what the topology allows programs"),
        Taken::Failed(why) => refused(
            StatusCode::SERVICE_UNAVAILABLE,
            &why,
            "send it again with the same Idempotency-Key: it counts once",
        ),
    }
}

async fn received(
    shared: &Shared,
    request: Request,
    limit: usize,
) -> Result<(HeaderMap, Vec<u8>, OwnedSemaphorePermit), Box<Response>> {
    let Ok(place) = shared.places.clone().try_acquire_owned() else {
        let busy = refused(StatusCode::SERVICE_UNAVAILABLE, "too much at once", "send it again a little later");
        return Err(Box::new(busy));
    };
    let (parts, mut body) = request.into_parts();
    let too_large = || {
        let problem = format!("more than {limit} bytes");
        Box::new(refused(StatusCode::PAYLOAD_TOO_LARGE, &problem, "send less"))
    };
    if body::announced(&parts.headers).is_some_and(|length| length > limit) {
        return Err(too_large());
    }
    match body::collect(&mut body, limit, BODY_WITHIN).await {
        Ok(body) => Ok((parts.headers, body, place)),
        Err(NoBody::TooLarge) => Err(too_large()),
        Err(NoBody::TooSlow | NoBody::Broken) => {
            Err(Box::new(refused(StatusCode::REQUEST_TIMEOUT, "the body did not arrive", "send it again")))
        }
    }
}

fn refused(status: StatusCode, problem: &str, mend: &str) -> Response {
    let body: Value = json!({"error": problem, "mend": mend, "stored": 0});
    (status, Json(body)).into_response()
}

fn unreadable(refusal: &Refusal) -> Response {
    refused(StatusCode::BAD_REQUEST, &format!("{}: {}", refusal.path, refusal.problem), &refusal.mend)
}
