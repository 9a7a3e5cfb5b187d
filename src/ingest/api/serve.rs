//! The endpoints: token, question or wish, answer; and the task that tells whom silences cover.
//!
//! A silence is answered with 200 once it is durable: from then on it holds, whatever dies. Whom it covers is told at once; should that
//! fail it is told as soon as Kafka takes it, by this process or another ([`crate::current`]), so it is no failure of the request, and
//! nobody makes the silence twice.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use axum::extract::{Query as Pairs, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};

use super::query::Query;
use super::{shown, wish};
use crate::current::{self, Refused};
use crate::event::{Fact, Silence};
use crate::ingest::answer::Answer;
use crate::ingest::body;
use crate::ingest::guards::Proof;
use crate::ingest::server::Shared;
use crate::ingest::view::View;
use crate::ingest::{Endpoint, send};

/// What is due is looked for at least so often: a silence may begin.
const TICK: Duration = Duration::from_millis(500);
/// After it could not be told.
const PAUSE: Duration = Duration::from_secs(1);

#[derive(Clone, Copy)]
enum Question {
    Alerts,
    Groups,
    Silences,
    Silence,
    Status,
    Receivers,
}

const SILENCES: &str = "/api/v2/silences";
const SILENCE: &str = "/api/v2/silence/{id}";
const QUESTIONS: [(&str, Question); 6] = [
    ("/api/v2/alerts", Question::Alerts),
    ("/api/v2/alerts/groups", Question::Groups),
    (SILENCES, Question::Silences),
    (SILENCE, Question::Silence),
    ("/api/v2/status", Question::Status),
    ("/api/v2/receivers", Question::Receivers),
];

pub(in crate::ingest) fn routes(router: Router<Arc<Shared>>) -> Router<Arc<Shared>> {
    let with_questions = QUESTIONS.into_iter().fold(router, |router, (path, question)| {
        let show = move |State(shared): State<Arc<Shared>>, request: Request| async move {
            let began = Instant::now();
            let shown = shared.show(question, request.uri(), request.headers());
            shared.finish(path, began, shown)
        };
        router.route(path, get(show))
    });
    let make = |State(shared): State<Arc<Shared>>, request: Request| async move {
        let began = Instant::now();
        let made = shared.make(request).await;
        shared.finish(SILENCES, began, made)
    };
    let end = |State(shared): State<Arc<Shared>>, request: Request| async move {
        let began = Instant::now();
        let ended = shared.end(request.uri(), request.headers()).await;
        shared.finish(SILENCE, began, ended)
    };
    with_questions.route(SILENCES, post(make)).route(SILENCE, axum::routing::delete(end))
}

enum Refusal {
    /// As every endpoint says it.
    Plain(Answer),
    /// As Alertmanager says it: a text in JSON, or nothing.
    Said(StatusCode, Option<String>),
}

impl From<Answer> for Refusal {
    fn from(answer: Answer) -> Self {
        Refusal::Plain(answer)
    }
}

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::NotFound => Refusal::Said(StatusCode::NOT_FOUND, Some("silence not found".to_owned())),
            Refused::Invalid(why) => invalid(why),
        }
    }
}

fn invalid(why: String) -> Refusal {
    Refusal::Said(StatusCode::BAD_REQUEST, Some(why))
}

impl Shared {
    fn finish(&self, path: &'static str, began: Instant, told: Result<Option<Value>, Refusal>) -> Response {
        let mut response = match told {
            Ok(Some(shown)) => Json(shown).into_response(),
            Ok(None) => StatusCode::OK.into_response(),
            Err(Refusal::Plain(answer)) => answer.into_response(Endpoint::AlertmanagerApi),
            Err(Refusal::Said(status, Some(why))) => (status, Json(why)).into_response(),
            Err(Refusal::Said(status, None)) => status.into_response(),
        };
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        self.metrics.answered(path, response.status().as_u16(), began.elapsed());
        response
    }

    /// Who may ask, and whether there is an answer.
    fn admit(&self, headers: &HeaderMap) -> Result<&View, Answer> {
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        Proof::Token(&self.access).by_headers(header)?;
        let view = self.view.as_ref().ok_or(Answer::NoSilences)?;
        if view.is_read() { Ok(view) } else { Err(Answer::Unjudged(view.problem().unwrap_or_default())) }
    }

    fn show(&self, question: Question, uri: &Uri, headers: &HeaderMap) -> Result<Option<Value>, Refusal> {
        let (view, now) = (self.admit(headers)?, self.clock.now());
        let pairs: Pairs<Vec<(String, String)>> =
            Pairs::try_from_uri(uri).map_err(|error| invalid(error.to_string()))?;
        let query = Query::new(pairs.iter().map(|(name, value)| (&**name, &**value))).map_err(invalid)?;
        let (state, receiver) = (view.state(), &view.application);
        let shown = match question {
            Question::Alerts => shown::alerts(&state.alerts, &state.silences, &query, receiver, now),
            Question::Groups => shown::groups(&state.alerts, &state.silences, &query, receiver, now),
            Question::Silences => shown::silences(&state.silences, &query, now),
            Question::Silence => match state.silences.get(id(uri)) {
                Some(known) => shown::silence(known, now),
                None => return Err(Refusal::Said(StatusCode::NOT_FOUND, None)),
            },
            Question::Status => shown::status(receiver, view.up_since),
            Question::Receivers => shown::receivers(receiver),
        };
        Ok(Some(shown))
    }

    async fn make(&self, request: Request) -> Result<Option<Value>, Refusal> {
        let (parts, mut body) = request.into_parts();
        let made = self.make_from(&parts.headers, &mut body).await;
        if made.is_err() {
            body::discard(body, &parts.headers).await;
        }
        made
    }

    async fn make_from(&self, headers: &HeaderMap, body: &mut axum::body::Body) -> Result<Option<Value>, Refusal> {
        let view = self.admit(headers)?;
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        Endpoint::AlertmanagerApi.format(SILENCES, header).map_err(Answer::from)?;
        let announced = self.announced(headers)?;
        let _budget = self.pay(announced)?;
        let payload = self.collect(body).await?;
        let wish = wish::read(&payload, &self.rules.limits).map_err(|refusal| invalid(refusal.to_string()))?;
        let fresh = fresh_id().map_err(Answer::Unjudged)?;
        let changing = view.changing.lock().await;
        let silences = view.silences().map_err(Answer::Unjudged)?;
        let facts = current::set(&silences, wish, fresh, self.clock.now())?;
        let id = facts.first().map(|fact| fact.id.clone());
        self.store(view, facts).await.map_err(Answer::from)?;
        drop(changing);
        self.tell_now(view).await;
        Ok(Some(json!({"silenceID": id})))
    }

    async fn end(&self, uri: &Uri, headers: &HeaderMap) -> Result<Option<Value>, Refusal> {
        let view = self.admit(headers)?;
        let changing = view.changing.lock().await;
        let silences = view.silences().map_err(Answer::Unjudged)?;
        if let Some(fact) = current::expire(&silences, id(uri), self.clock.now())? {
            self.store(view, vec![fact]).await.map_err(Answer::from)?;
        }
        drop(changing);
        self.tell_now(view).await;
        Ok(None)
    }

    async fn store(&self, view: &View, silences: Vec<Silence>) -> Result<(), send::Error> {
        let facts: Vec<Fact<'static>> = silences.into_iter().map(Fact::Silence).collect();
        let places = self.sender.send(&facts, self.clock.now()).await?;
        for (fact, place) in facts.iter().zip(places) {
            self.metrics.fact(fact.kind());
            if let Fact::Silence(silence) = fact {
                view.took(silence, place.offset);
            }
        }
        Ok(())
    }

    async fn tell_now(&self, view: &View) {
        if let Err(error) = self.tell(view).await {
            tracing::warn!(%error, "whom a silence covers is told later");
        }
    }

    /// Whatever is due.
    async fn tell(&self, view: &View) -> Result<(), send::Error> {
        let _telling = view.telling.lock().await;
        let Some(due) = view.due() else { return Ok(()) };
        let facts: Vec<Fact<'static>> = due.responses.iter().cloned().map(Fact::Response).collect();
        let sent = self.sender.send(&facts, self.clock.now()).await;
        if sent.is_ok() {
            facts.iter().for_each(|fact| self.metrics.fact(fact.kind()));
        }
        view.stored(due, sent.is_ok());
        sent.map(drop)
    }

    /// Silences whose time to be looked at is over.
    async fn forget(&self, view: &View) -> Result<(), send::Error> {
        let now = self.clock.now();
        let ids = view.state().silences.outdated(now);
        self.sender.forget_silences(&ids, now).await.map(drop)
    }
}

/// For as long as the server is there.
pub(in crate::ingest) async fn keep_telling(shared: Weak<Shared>) {
    let changed = shared.upgrade().and_then(|shared| Some(shared.view.as_ref()?.changed()));
    let Some(changed) = changed else { return };
    loop {
        // Whether something has changed or it is time to look.
        let _ = tokio::time::timeout(TICK, changed.notified()).await;
        let Some(shared) = shared.upgrade() else { return };
        let Some(view) = &shared.view else { return };
        let told = match shared.tell(view).await {
            Ok(()) => shared.forget(view).await,
            failed => failed,
        };
        if let Err(error) = told {
            tracing::warn!(%error, "whom silences cover could not be told; it is tried again");
            tokio::time::sleep(PAUSE).await;
        }
    }
}

fn id(uri: &Uri) -> &str {
    uri.path().rsplit('/').next().unwrap_or_default()
}

/// A random UUID, as Alertmanager names silences.
fn fresh_id() -> Result<String, String> {
    let mut bytes = [0; 16];
    openssl::rand::rand_bytes(&mut bytes).map_err(|error| format!("no random number: {error}"))?;
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let hex = hex::encode(bytes);
    Ok(format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fresh_id_is_a_uuid_of_version_4_and_another_each_time() {
        let (one, other) = (fresh_id().unwrap(), fresh_id().unwrap());
        assert_ne!(one, other);
        let lengths: Vec<_> = one.split('-').map(str::len).collect();
        assert_eq!((lengths, &one[14..15]), (vec![8, 4, 4, 4, 12], "4"));
        assert!(matches!(&one[19..20], "8" | "9" | "a" | "b"), "{one}");
    }
}
