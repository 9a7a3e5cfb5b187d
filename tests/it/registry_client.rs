//! The registry client against the embedded registry and Apicurio: registering, fetching, a registry that is down or refuses.

use crate::harness::apache::unique;
use crate::harness::registry::{apicurio, start, start_at};
use axum::extract::Request;
use axum::http::StatusCode;
use fairlead::codec::SchemaId;
use fairlead::codec::registry::{Error, RegistryClient};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

fn client(url: &str, patience: Duration) -> RegistryClient {
    RegistryClient::new(url, None, None, patience).expect("settings are right")
}

const PATIENCE: Duration = Duration::from_secs(60);
const ONE: &str = r#"{"type":"record","name":"A","fields":[{"name":"f","type":"int"}]}"#;
const TWO: &str = r#"{"type":"record","name":"A","fields":[{"name":"f","type":"int","default":0},{"name":"g","type":"int","default":0}]}"#;
/// Reads TWO, not ONE: a registry's own BACKWARD would let it pass.
const THREE: &str = r#"{"type":"record","name":"A","fields":[{"name":"g","type":"int"}]}"#;

async fn registers_fetches_and_refuses(url: &str) {
    let subject = unique("client");
    let client = client(url, PATIENCE);
    let one = client.register(&subject, ONE).await.expect("the first version");
    assert_eq!(client.register(&subject, ONE).await.expect("again"), one);
    let two = client.register(&subject, TWO).await.expect("a compatible one");
    assert_ne!(one, two);
    let told = client.register(&subject, THREE).await.expect_err("an incompatible one").to_string();
    for part in [subject.as_str(), "version 1", "field g", "give it a default"] {
        assert!(told.contains(part), "`{part}` is missing in: {told}");
    }
    let fetched = client.schema(two).await.expect("an answer").expect("it is there");
    let json = |text: &str| serde_json::from_str::<serde_json::Value>(text).expect("JSON");
    assert_eq!(json(&fetched), json(TWO));
    assert_eq!(client.schema(SchemaId(999_999)).await.expect("an answer"), None);
}

#[tokio::test]
async fn it_works_with_the_embedded_registry() {
    let dir = tempfile::tempdir().expect("a directory");
    let registry = start(dir.path());
    registers_fetches_and_refuses(&registry.url()).await;
}

#[tokio::test]
async fn it_works_with_apicurio() {
    registers_fetches_and_refuses(apicurio()).await;
}

#[tokio::test]
async fn a_silent_registry_is_not_one_that_does_not_know() {
    let dir = tempfile::tempdir().expect("a directory");
    let registry = start(dir.path());
    let client = client(&registry.url(), Duration::ZERO);
    let one = client.register("a", ONE).await.expect("registered");
    registry.stop();
    assert!(matches!(client.schema(one).await, Err(Error::Unavailable { .. })));
    assert!(matches!(client.register("a", ONE).await, Err(Error::Unavailable { .. })));
}

#[tokio::test]
async fn a_registry_that_refuses_is_not_one_that_does_not_know() {
    for answer in ["401 Unauthorized", "403 Forbidden", "404 Not Found", "500 Internal Server Error"] {
        let refusing = axum::Router::new().fallback(async move || {
            let status = answer.split(' ').next().and_then(|code| code.parse().ok()).expect("a status");
            axum::http::StatusCode::from_u16(status).expect("a status")
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let server = tokio::spawn(async move { axum::serve(listener, refusing).await });
        let asked = client(&url, Duration::ZERO).schema(SchemaId(1)).await;
        assert!(matches!(asked, Err(Error::Unavailable { .. } | Error::Login { .. })), "{answer}: {asked:?}");
        server.abort();
    }
}

/// As one does that waits for its own store.
#[tokio::test]
async fn a_registry_that_is_not_well_yet_is_waited_for_and_one_that_stays_so_is_told() {
    let asked = Arc::new(AtomicU32::new(0));
    let count = asked.clone();
    let ailing = axum::Router::new().fallback(async move |request: Request| {
        let (method, path) = (request.method().as_str(), request.uri().path());
        match (count.fetch_add(1, Ordering::SeqCst), method, path) {
            (0, ..) => (StatusCode::INTERNAL_SERVER_ERROR, r#"{"error_code":50001,"message":"no leader"}"#),
            (1, ..) => (StatusCode::SERVICE_UNAVAILABLE, "starting"),
            (_, "GET", "/subjects") => (StatusCode::OK, "[]"),
            (3, ..) => (StatusCode::INTERNAL_SERVER_ERROR, r#"{"error_code":50002,"message":"timed out"}"#),
            (4, "POST", "/subjects/a/versions") => (StatusCode::OK, r#"{"id":7}"#),
            _ => (StatusCode::INTERNAL_SERVER_ERROR, r#"{"error_code":50001,"message":"no leader"}"#),
        }
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let server = tokio::spawn(async move { axum::serve(listener, ailing).await });
    let registered = client(&url, PATIENCE).register("a", ONE).await;
    assert_eq!(registered.expect("registered in the end"), SchemaId(7));
    assert_eq!(
        asked.load(Ordering::SeqCst),
        5,
        "two that failed and one that told the subjects, one that failed, one that registered"
    );
    let told = client(&url, Duration::ZERO).register("a", ONE).await.expect_err("it is not well for good").to_string();
    for part in [&url, "500 Internal Server Error", "no leader", "is it running"] {
        assert!(told.contains(part), "`{part}` is missing in: {told}");
    }
    server.abort();
}

#[tokio::test]
async fn a_registry_that_comes_late_is_waited_for() {
    let dir = tempfile::tempdir().expect("a directory");
    let first = start(dir.path());
    let url = first.url();
    first.stop();
    let listen = url.trim_start_matches("http://").parse().expect("an address");
    let late = async {
        tokio::time::sleep(Duration::from_millis(300)).await; // long enough for a first refusal; nothing depends on it
        start_at(dir.path(), listen)
    };
    let client = client(&url, PATIENCE);
    let (registered, _late) = tokio::join!(client.register("a", ONE), late);
    assert_eq!(registered.expect("registered"), SchemaId(1));
}
