//! What a sender is told: one shape for everything that went wrong, saying what was stored all the same.
//!
//! ```json
//! {"error": "1 of 3 elements refused, the others are stored", "stored": 2,
//!  "refused": [{"path": "$[1].startsAt", "problem": "\"yesterday\" is no time", "mend": "write it as RFC 3339, …"}]}
//! ```

use std::time::Duration;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::endpoint::NoFormat;
use super::guards::Unproven;
use super::{Endpoint, Reading, Refusal, send};

/// When to come back after a 503.
const RETRY_AFTER: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(super) enum Answer {
    /// Every fact is durable; some elements may have been refused.
    Stored(Reading),
    /// A payload that could not be read at all.
    Unreadable(Refusal),
    OtherMedia(Refusal),
    /// No proof of who sends it, or none of ours.
    Unproven(Unproven),
    /// Whether it is proven cannot be said now.
    Unjudged(String),
    /// The endpoint waits for its configuration.
    Off,
    /// So does Alertmanager's API, but for the alerts that it is sent.
    NoSilences,
    /// No topic is named for samples.
    NoSamples,
    /// A delivery that was stored already.
    Repeated,
    TooLarge {
        limit: usize,
    },
    /// The body did not arrive in time, or its sender went away.
    NoBody,
    Busy,
    /// Nothing is lost if it is sent again.
    NotStored(send::Error),
}

impl From<NoFormat> for Answer {
    fn from(no_format: NoFormat) -> Self {
        match no_format {
            NoFormat::Media(refusal) => Answer::OtherMedia(refusal),
            NoFormat::Headers(refusal) => Answer::Unreadable(refusal),
        }
    }
}

impl From<Unproven> for Answer {
    fn from(unproven: Unproven) -> Self {
        Answer::Unproven(unproven)
    }
}

impl From<send::Error> for Answer {
    fn from(error: send::Error) -> Self {
        Answer::NotStored(error)
    }
}

impl Answer {
    pub fn status(&self) -> StatusCode {
        match self {
            Answer::Stored(reading) if reading.refusals() > 0 => StatusCode::BAD_REQUEST,
            Answer::Stored(_) => StatusCode::OK,
            Answer::Unreadable(_) => StatusCode::BAD_REQUEST,
            Answer::OtherMedia(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Answer::Unproven(_) => StatusCode::UNAUTHORIZED,
            Answer::Off | Answer::NoSilences | Answer::NoSamples => StatusCode::NOT_FOUND,
            Answer::Repeated => StatusCode::OK,
            Answer::TooLarge { .. } | Answer::NotStored(send::Error::TooLarge) => StatusCode::PAYLOAD_TOO_LARGE,
            Answer::NoBody => StatusCode::REQUEST_TIMEOUT,
            Answer::Busy | Answer::Unjudged(_) | Answer::NotStored(send::Error::Unavailable(_)) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Answer::NotStored(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// What went wrong, for who wants a text.
    pub fn told_in_words(&self) -> String {
        let body = self.body();
        let said = ["error", "mend"].into_iter().filter_map(|field| body[field].as_str());
        said.collect::<Vec<_>>().join("; ")
    }

    fn body(&self) -> serde_json::Value {
        let plain = |error: String, mend: &str| json!({"error": error, "mend": mend, "stored": 0});
        match self {
            Answer::Stored(reading) => told(reading),
            Answer::Unreadable(refusal) | Answer::OtherMedia(refusal) => {
                json!({"error": refusal.to_string(), "stored": 0, "refused": [refusal]})
            }
            Answer::Unproven(unproven) => plain(unproven.problem.clone(), &unproven.mend),
            Answer::Unjudged(problem) => plain(problem.clone(), "send it again a little later"),
            Answer::Off => plain(
                "this endpoint is not switched on".to_owned(),
                "add its section under `ingest` in the topology: it names the secret that its sender shares",
            ),
            Answer::NoSilences => plain(
                "alerts are taken here; what there is is not shown, and no silence kept".to_owned(),
                "name topics for `silences` and `responses` under `ingest` in the topology",
            ),
            Answer::NoSamples => plain(
                "samples are not taken here".to_owned(),
                "name a topic of fact sample for `samples` under `ingest` in the topology",
            ),
            Answer::Repeated => json!({"stored": 0, "ignored": 0, "repeated": 1}),
            Answer::TooLarge { limit } => {
                plain(format!("the body is larger than {limit} bytes"), "send fewer elements in one request")
            }
            Answer::NoBody => plain("the body did not arrive in time".to_owned(), "send it again"),
            Answer::Busy => plain("too much is being stored already".to_owned(), "send it again a little later"),
            Answer::NotStored(error @ send::Error::Unavailable(_)) => {
                plain(error.to_string(), "send it again: what was stored already does no harm")
            }
            Answer::NotStored(error @ send::Error::TooLarge) => {
                plain(error.to_string(), "shorten labels and annotations, or raise the topic's max.message.bytes")
            }
            Answer::NotStored(error) => plain(error.to_string(), "this is the server's fault: its log tells more"),
        }
    }
}

fn told(reading: &Reading) -> serde_json::Value {
    let stored = reading.facts.len();
    let refused = reading.refusals();
    if refused == 0 {
        return json!({"stored": stored, "ignored": reading.ignored});
    }
    let all = stored + refused + reading.ignored;
    json!({
        "error": format!("{refused} of {all} elements refused, the others are stored"),
        "stored": stored,
        "ignored": reading.ignored,
        "refused": reading.refused,
        "refused_more": reading.refused_more,
    })
}

impl Answer {
    pub fn into_response(self, endpoint: Endpoint) -> Response {
        let mut status = self.status();
        let mut body = self.body();
        if matches!(endpoint, Endpoint::PagerDutyAlerts | Endpoint::PagerDutyChanges) {
            body = self.as_pagerduty_says_it(body);
            if status == StatusCode::OK {
                status = StatusCode::ACCEPTED;
            }
        }
        let bearer = matches!(&self, Answer::Unproven(unproven) if unproven.bearer);
        let mut response = (status, Json(body)).into_response();
        let headers = response.headers_mut();
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, RETRY_AFTER.as_secs().into());
        }
        if bearer {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"fairlead\""));
        }
        response
    }

    /// Its clients look for these fields; what everybody is told stands beside them.
    fn as_pagerduty_says_it(&self, mut body: serde_json::Value) -> serde_json::Value {
        let error = body["error"].as_str().map(str::to_owned);
        body["status"] = if error.is_some() { "invalid event" } else { "success" }.into();
        body["message"] = error.as_deref().unwrap_or("Event processed").into();
        if let Some(error) = error {
            body["errors"] = json!([error]);
        }
        if let Answer::Stored(Reading { receipt: Some(key), .. }) = self {
            body["dedup_key"] = key.as_str().into();
        }
        body
    }
}
