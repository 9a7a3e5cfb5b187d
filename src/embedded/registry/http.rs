//! Confluent's REST over [`Core`]: routes, parameters, status codes. No decision is made here.

use super::Core;
use super::query::{Number, Seen};
use super::refusal::Refusal;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, Path, Query, Request, State as Shared};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use http_body::Body as _;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::time::timeout;

const CONTENT_TYPE: &str = "application/vnd.schemaregistry.v1+json";
const MAX_BODY: usize = 1024 * 1024;
const TOO_LARGE: Refusal = Refusal::Http(413, "the body is too large; at most 1 MiB are taken");
const REQUEST_TIME: Duration = Duration::from_secs(30);

type App = Arc<Mutex<Core>>;
type Answer = Result<Reply, Refusal>;
type Received = Result<Bytes, BytesRejection>;

pub fn router(core: Core) -> Router {
    let versions = "/subjects/{subject}/versions";
    let compatibility = "/compatibility/subjects/{subject}/versions";
    Router::new()
        .route("/", get(async || Answer::Ok(Reply::Json(json!({})))))
        .route("/subjects", get(subjects))
        .route("/subjects/{subject}", post(look_up).delete(delete_subject))
        .route(versions, get(subject_versions).post(register))
        .route(&format!("{versions}/{{version}}"), get(version).delete(delete_version))
        .route(&format!("{versions}/{{version}}/schema"), get(version_schema))
        .route("/schemas/types", get(async || Answer::Ok(Reply::Json(json!(["AVRO"])))))
        .route("/schemas/ids/{id}", get(schema))
        .route("/schemas/ids/{id}/schema", get(schema_text))
        .route("/schemas/ids/{id}/versions", get(schema_versions))
        .route("/schemas/ids/{id}/subjects", get(schema_subjects))
        .route(compatibility, post(compatible_with_all))
        .route(&format!("{compatibility}/{{version}}"), post(compatible_with_one))
        .route("/config", get(global_config).put(set_global_config).delete(unset_global_config))
        .route("/config/{subject}", get(config).put(set_config).delete(unset_config))
        .route("/mode", get(global_mode).put(set_global_mode))
        .route("/mode/{subject}", get(mode).put(set_mode))
        .route("/mode/{subject}", delete(unset_mode))
        .fallback(async || Answer::Err(Refusal::Http(404, "there is no such resource")))
        .method_not_allowed_fallback(async || Answer::Err(Refusal::Http(405, "the resource does not take this method")))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(middleware::from_fn(bounded))
        .with_state(Arc::new(Mutex::new(core)))
}

/// What announces too much is refused before it is read, and who stops in the middle is not waited for.
async fn bounded(request: Request, next: Next) -> Response {
    if request.body().size_hint().lower() > MAX_BODY as u64 {
        return TOO_LARGE.into_response();
    }
    let late = Refusal::Http(408, "the request did not arrive in time");
    timeout(REQUEST_TIME, next.run(request)).await.unwrap_or_else(|_| late.into_response())
}

enum Reply {
    Json(Value),
    /// A schema as it is stored, which is JSON already.
    Schema(String),
}

impl IntoResponse for Reply {
    fn into_response(self) -> Response {
        let body = match self {
            Reply::Json(value) => value.to_string(),
            Reply::Schema(text) => text,
        };
        ([(header::CONTENT_TYPE, CONTENT_TYPE)], Body::from(body)).into_response()
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status()).expect("every refusal has a status");
        if let Refusal::Store(why) = &self {
            tracing::error!(why, "the registry's store failed");
        }
        (status, Reply::Json(json!({ "error_code": self.code(), "message": self.to_string() }))).into_response()
    }
}

/// Query parameters; clients write `true`, `True` and leave out what they do not mean.
#[derive(Deserialize)]
#[serde(transparent)]
struct Parameters(BTreeMap<String, String>);

impl Parameters {
    fn is(&self, name: &str) -> bool {
        self.0.get(name).is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }

    fn seen(&self) -> Seen {
        if self.is("deleted") { Seen::All } else { Seen::Live }
    }
}

fn lock(app: &App) -> Result<MutexGuard<'_, Core>, Refusal> {
    app.lock().map_err(|_| Refusal::Store("an earlier request broke off; restart the registry".to_owned()))
}

fn json_of(result: Result<Value, Refusal>) -> Answer {
    result.map(Reply::Json)
}

fn object(received: Received) -> Result<BTreeMap<String, Value>, Refusal> {
    let bytes = received.map_err(|rejection| match rejection.status().as_u16() {
        413 => TOO_LARGE,
        _ => Refusal::Malformed(rejection.body_text()),
    })?;
    serde_json::from_slice(&bytes).map_err(|error| Refusal::Malformed(error.to_string()))
}

/// The schema of a request; what this registry cannot honour is refused, not ignored.
fn schema_of(received: Received) -> Result<String, Refusal> {
    let mut object = object(received)?;
    let Some(Value::String(schema)) = object.remove("schema") else {
        return Err(Refusal::InvalidSchema(
            "the request has no `schema`, which is a string with JSON in it".to_owned(),
        ));
    };
    match object.remove("schemaType") {
        None | Some(Value::Null) => {}
        Some(Value::String(kind)) if kind.is_empty() || kind == "AVRO" => {}
        Some(other) => {
            return Err(Refusal::InvalidSchema(format!("schemaType {other} is not supported, only AVRO is")));
        }
    }
    let says_nothing = |value: &Value| {
        matches!(value, Value::Null | Value::Bool(false))
            || *value == json!(-1)
            || value.as_array().is_some_and(Vec::is_empty)
            || value.as_object().is_some_and(serde_json::Map::is_empty)
    };
    match object.iter().find(|(_, value)| !says_nothing(value)) {
        Some((name, _)) => Err(Refusal::InvalidSchema(format!("`{name}` is not supported by this registry"))),
        None => Ok(schema),
    }
}

fn name_in(received: Received, key: &str, refuse: fn(String) -> Refusal) -> Result<String, Refusal> {
    match object(received)?.remove(key) {
        Some(Value::String(name)) => Ok(name),
        other => Err(refuse(other.map_or_else(|| format!("no `{key}` given"), |value| value.to_string()))),
    }
}

fn id(text: &str) -> Result<u32, Refusal> {
    text.parse().map_err(|_| Refusal::Http(404, "a schema's id is a number"))
}

// Schemas and subjects.

async fn register(Shared(app): Shared<App>, Path(subject): Path<String>, received: Received) -> Answer {
    let schema = schema_of(received)?;
    json_of(lock(&app)?.carry_out(|state| state.register(&subject, &schema)))
}

async fn look_up(
    Shared(app): Shared<App>,
    Path(subject): Path<String>,
    Query(parameters): Query<Parameters>,
    received: Received,
) -> Answer {
    let schema = schema_of(received)?;
    json_of(lock(&app)?.state.look_up(&subject, &schema, parameters.seen()))
}

async fn subjects(Shared(app): Shared<App>, Query(parameters): Query<Parameters>) -> Answer {
    let prefix = parameters.0.get("subjectPrefix").map_or("", String::as_str);
    Ok(Reply::Json(lock(&app)?.state.subjects(parameters.seen(), prefix)))
}

async fn subject_versions(
    Shared(app): Shared<App>,
    Path(subject): Path<String>,
    Query(parameters): Query<Parameters>,
) -> Answer {
    json_of(lock(&app)?.state.subject_versions(&subject, parameters.seen()))
}

async fn version(
    Shared(app): Shared<App>,
    Path((subject, version)): Path<(String, String)>,
    Query(parameters): Query<Parameters>,
) -> Answer {
    let number = Number::parse(&version)?;
    json_of(lock(&app)?.state.version(&subject, number, parameters.seen()))
}

async fn version_schema(
    Shared(app): Shared<App>,
    Path((subject, version)): Path<(String, String)>,
    Query(parameters): Query<Parameters>,
) -> Answer {
    let number = Number::parse(&version)?;
    lock(&app)?.state.version_schema(&subject, number, parameters.seen()).map(Reply::Schema)
}

async fn delete_subject(
    Shared(app): Shared<App>,
    Path(subject): Path<String>,
    Query(parameters): Query<Parameters>,
) -> Answer {
    json_of(lock(&app)?.carry_out(|state| state.delete_subject(&subject, parameters.is("permanent"))))
}

async fn delete_version(
    Shared(app): Shared<App>,
    Path((subject, version)): Path<(String, String)>,
    Query(parameters): Query<Parameters>,
) -> Answer {
    let number = Number::parse(&version)?;
    json_of(lock(&app)?.carry_out(|state| state.delete_version(&subject, number, parameters.is("permanent"))))
}

async fn schema(Shared(app): Shared<App>, Path(text): Path<String>, Query(parameters): Query<Parameters>) -> Answer {
    json_of(lock(&app)?.state.schema(id(&text)?, parameters.is("fetchMaxId")))
}

async fn schema_text(Shared(app): Shared<App>, Path(text): Path<String>) -> Answer {
    lock(&app)?.state.text(id(&text)?).map(|text| Reply::Schema(text.to_owned()))
}

async fn schema_versions(
    Shared(app): Shared<App>,
    Path(text): Path<String>,
    Query(parameters): Query<Parameters>,
) -> Answer {
    json_of(lock(&app)?.state.schema_versions(id(&text)?, parameters.seen()))
}

async fn schema_subjects(
    Shared(app): Shared<App>,
    Path(text): Path<String>,
    Query(parameters): Query<Parameters>,
) -> Answer {
    json_of(lock(&app)?.state.schema_subjects(id(&text)?, parameters.seen()))
}

// Compatibility, its level, and the mode.

async fn compatible_with_all(
    Shared(app): Shared<App>,
    Path(subject): Path<String>,
    Query(parameters): Query<Parameters>,
    received: Received,
) -> Answer {
    let schema = schema_of(received)?;
    json_of(lock(&app)?.state.compatibility(&subject, None, &schema, parameters.is("verbose")))
}

async fn compatible_with_one(
    Shared(app): Shared<App>,
    Path((subject, version)): Path<(String, String)>,
    Query(parameters): Query<Parameters>,
    received: Received,
) -> Answer {
    let (number, schema) = (Number::parse(&version)?, schema_of(received)?);
    json_of(lock(&app)?.state.compatibility(&subject, Some(number), &schema, parameters.is("verbose")))
}

async fn global_config(Shared(app): Shared<App>) -> Answer {
    json_of(lock(&app)?.state.config(None, true))
}

async fn config(Shared(app): Shared<App>, Path(subject): Path<String>, Query(parameters): Query<Parameters>) -> Answer {
    json_of(lock(&app)?.state.config(Some(&subject), parameters.is("defaultToGlobal")))
}

async fn set_global_config(Shared(app): Shared<App>, received: Received) -> Answer {
    let level = name_in(received, "compatibility", Refusal::InvalidLevel)?;
    json_of(lock(&app)?.carry_out(|state| state.set_level(None, &level)))
}

async fn set_config(Shared(app): Shared<App>, Path(subject): Path<String>, received: Received) -> Answer {
    let level = name_in(received, "compatibility", Refusal::InvalidLevel)?;
    json_of(lock(&app)?.carry_out(|state| state.set_level(Some(&subject), &level)))
}

async fn unset_global_config(Shared(app): Shared<App>) -> Answer {
    json_of(lock(&app)?.carry_out(|state| state.unset_level(None)))
}

async fn unset_config(Shared(app): Shared<App>, Path(subject): Path<String>) -> Answer {
    json_of(lock(&app)?.carry_out(|state| state.unset_level(Some(&subject))))
}

async fn global_mode(Shared(app): Shared<App>) -> Answer {
    json_of(lock(&app)?.state.mode(None, true))
}

async fn mode(Shared(app): Shared<App>, Path(subject): Path<String>, Query(parameters): Query<Parameters>) -> Answer {
    json_of(lock(&app)?.state.mode(Some(&subject), parameters.is("defaultToGlobal")))
}

async fn set_global_mode(Shared(app): Shared<App>, received: Received) -> Answer {
    let mode = name_in(received, "mode", Refusal::InvalidMode)?;
    json_of(lock(&app)?.carry_out(|state| state.set_mode(None, &mode)))
}

async fn set_mode(Shared(app): Shared<App>, Path(subject): Path<String>, received: Received) -> Answer {
    let mode = name_in(received, "mode", Refusal::InvalidMode)?;
    json_of(lock(&app)?.carry_out(|state| state.set_mode(Some(&subject), &mode)))
}

async fn unset_mode(Shared(app): Shared<App>, Path(subject): Path<String>) -> Answer {
    json_of(lock(&app)?.carry_out(|state| state.unset_mode(&subject)))
}
