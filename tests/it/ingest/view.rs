//! A server that knows what is going on.

use fairlead::ingest::view::{View, ViewConfig};
use fairlead::record::Topic;
use fairlead::runtime::SchemaAnswer;

use super::*;

#[derive(Clone)]
pub struct Quiet {
    pub silences: Topic,
    pub responses: Topic,
}

pub fn sending(bootstrap: &str) -> (Sending, Quiet) {
    let quiet = Quiet { silences: unique("silences").as_str().into(), responses: unique("responses").as_str().into() };
    let (silences, responses) = (Some(quiet.silences.clone()), Some(quiet.responses.clone()));
    let sending = Sending { silences, responses, ..super::sending(bootstrap, Duration::from_secs(4)) };
    (sending, quiet)
}

pub async fn create(sending: &Sending) {
    let (silences, responses) = (sending.silences.as_ref().unwrap(), sending.responses.as_ref().unwrap());
    let topics = [&sending.alerts, &sending.deploys, silences, responses].map(|topic| topic.as_str());
    create_topics(&sending.connection.bootstrap_servers, &topics).await;
}

/// On topics of its own.
pub async fn with_view(bootstrap: &str, clock: Clock) -> (Server, Quiet) {
    let (sending, quiet) = sending(bootstrap);
    create(&sending).await;
    let (server, _) = start(sending, clock).await;
    (server, quiet)
}

/// On topics that are there; it has read them when it is handed over.
pub async fn start(sending: Sending, clock: Clock) -> (Server, Duration) {
    let began = Instant::now();
    let server = unread(sending, clock).await;
    while !server.ingest.ready() {
        assert!(began.elapsed() < PATIENCE, "the topics are read");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    (server, began.elapsed())
}

pub async fn unread(sending: Sending, clock: Clock) -> Server {
    let silences = sending.silences.clone().expect("a topic for silences");
    let view = View::start(ViewConfig {
        connection: sending.connection.clone(),
        group: unique("view"),
        alerts: sending.alerts.clone(),
        silences,
        formats: Formats::shipped(),
        schemas: Arc::new(|_| SchemaAnswer::NotFound),
        application: "fairlead".to_owned(),
        clock: clock.clone(),
    });
    let config = config(sending, Capacity::default(), clock);
    Server::start_with(IngestConfig { view: Some(Arc::new(view.expect("threads"))), ..config }).await
}
