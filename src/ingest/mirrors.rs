//! `GET /api/v1/mirrors/<flow>/offsets?topic=&partition=&offset=[&reverse=true]`: what an offset is on the other side.
//!
//! 200 with the answer; 404 if nothing is known of the flow or the partition; 409 while the mirror is not that far, or if its ranges are
//! not to be trusted; 503 while they are being read. The token is asked for as everywhere. Not here: any decision.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::json;

use super::access::Access;
use crate::mirror::offsets::answer::{Answer, State as Found};
use crate::mirror::offsets::{Offsets, Unknown};

/// What the endpoint looks into, by flow, and who may ask.
#[derive(Clone)]
pub struct Mirrors {
    pub followed: Arc<BTreeMap<String, Arc<Offsets>>>,
    pub access: Access,
}

#[derive(Deserialize)]
struct Question {
    topic: String,
    partition: i32,
    offset: i64,
    #[serde(default)]
    reverse: bool,
}

pub(super) fn routes<S: Clone + Send + Sync + 'static>(mirrors: Mirrors) -> Router<S> {
    Router::new().route("/api/v1/mirrors/{flow}/offsets", get(answer)).with_state(mirrors)
}

async fn answer(
    State(mirrors): State<Mirrors>,
    Path(flow): Path<String>,
    headers: HeaderMap,
    Query(question): Query<Question>,
) -> Response {
    let authorization = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    if !mirrors.access.allows(authorization) {
        let why = "no valid bearer token; send the header Authorization: Bearer <token>";
        return ([(header::WWW_AUTHENTICATE, "Bearer")], said(StatusCode::UNAUTHORIZED, why)).into_response();
    }
    let Some(offsets) = mirrors.followed.get(&flow).cloned() else {
        let known: Vec<&str> = mirrors.followed.keys().map(String::as_str).collect();
        let why = format!("this process runs no mirror `{flow}`; it runs: {}", known.join(", "));
        return said(StatusCode::NOT_FOUND, &why);
    };
    if question.offset < 0 || question.partition < 0 {
        return said(StatusCode::BAD_REQUEST, "partition and offset are not negative");
    }
    let asked = tokio::task::spawn_blocking(move || {
        let Question { topic, partition, offset, reverse } = question;
        if reverse { offsets.back(&topic, partition, offset) } else { offsets.translate(&topic, partition, offset) }
    });
    match asked.await {
        Ok(Ok(answer)) => (status(&answer), Json(answer)).into_response(),
        Ok(Err(unknown)) => {
            let status = match unknown {
                Unknown::NotThere(_) => StatusCode::NOT_FOUND,
                Unknown::Broken(_) => StatusCode::CONFLICT,
                Unknown::NotYet(_) => StatusCode::SERVICE_UNAVAILABLE,
            };
            said(status, &unknown.to_string())
        }
        Err(_) => said(StatusCode::INTERNAL_SERVER_ERROR, "looking the offset up has panicked; the log says where"),
    }
}

fn status(answer: &Answer) -> StatusCode {
    if answer.state == Found::Waiting { StatusCode::CONFLICT } else { StatusCode::OK }
}

fn said(status: StatusCode, why: &str) -> Response {
    (status, Json(json!({ "error": why }))).into_response()
}
