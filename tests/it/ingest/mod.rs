//! The ingest server as a process's neighbours see it: HTTP in front, a real Kafka behind.

mod adapter;
mod clicks;
pub mod outage;
mod pagerduty;
mod parity;
mod refusals;
mod samples;
pub mod senders;
mod signed;
mod silences;
mod sns;
mod topics;
mod view;
mod whole;

use std::sync::Arc;
use std::time::{Duration, Instant};

use fairlead::clock::Clock;
use fairlead::codec::Formats;
use fairlead::event::{Fact, FactKind};
use fairlead::ingest::access::Access;
use fairlead::ingest::guards::Guards;
use fairlead::ingest::send::Sending;
use fairlead::ingest::{Capacity, Ingest, IngestConfig, Readiness, Rules};
use fairlead::log::client::Connection;
use fairlead::record::EventTime;
use prometheus::Registry;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};
use serde_json::{Value, json};

use crate::harness::apache::{Kafka, unique};

const TOKEN: &str = "a-token-for-the-tests";
/// Patience with a real broker on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);
const PARTITIONS: i32 = 3;
/// What the server's clock shows: a time of day that nobody else has.
const NOW: EventTime = EventTime(1_795_424_400_123);

/// A server with topics of its own.
struct Server {
    ingest: Ingest,
    http: reqwest::Client,
    registry: Registry,
    bootstrap: String,
    alerts: String,
    deploys: String,
}

struct Stored {
    key: String,
    timestamp: i64,
    fact: Fact<'static>,
}

fn sending(bootstrap: &str, timeout: Duration) -> Sending {
    Sending {
        connection: Connection::new(bootstrap),
        alerts: unique("alerts").as_str().into(),
        deploys: unique("deploys").as_str().into(),
        raw: None,
        silences: None,
        responses: None,
        samples: None,
        timeout,
    }
}

fn config(sending: Sending, capacity: Capacity, clock: Clock) -> IngestConfig {
    IngestConfig {
        listen: "127.0.0.1:0".parse().unwrap(),
        access: Access::from_text(TOKEN, "the test").unwrap(),
        guards: Guards::default(),
        sending,
        rules: Rules::default(),
        capacity,
        clock,
        view: None,
        doors: None,
        mirrors: None,
        charts: false,
    }
}

impl Server {
    /// On the shared broker.
    async fn start() -> Self {
        Self::start_on(Kafka::shared(), Clock::at(NOW)).await
    }

    async fn start_on(bootstrap: &str, clock: Clock) -> Self {
        let sending = sending(bootstrap, Duration::from_secs(4));
        create_topics(bootstrap, &[sending.alerts.as_str(), sending.deploys.as_str()]).await;
        Self::start_with(config(sending, Capacity::default(), clock)).await
    }

    async fn start_with(config: IngestConfig) -> Self {
        let (alerts, deploys) = (config.sending.alerts.to_string(), config.sending.deploys.to_string());
        let bootstrap = config.sending.connection.bootstrap_servers.clone();
        let registry = Registry::new();
        let formats = Arc::new(Formats::shipped());
        let ready = || Readiness::NotReady("restoring".to_owned());
        let ingest = Ingest::start(config, formats, registry.clone(), ready).await.expect("the server starts");
        Self { ingest, http: reqwest::Client::new(), registry, bootstrap, alerts, deploys }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.ingest.addr())
    }

    /// A request as a well-behaved sender makes it.
    fn post(&self, path: &str, body: impl Into<reqwest::Body>) -> reqwest::RequestBuilder {
        let request = self.http.post(self.url(path)).header("content-type", "application/json");
        request.bearer_auth(TOKEN).body(body).timeout(PATIENCE)
    }

    async fn status(&self, path: &str, body: &Value) -> u16 {
        self.post(path, body.to_string()).send().await.expect("an answer").status().as_u16()
    }

    fn stored(&self, topic: &str, kind: FactKind) -> Vec<Stored> {
        read(&self.bootstrap, topic, kind)
    }

    /// The sum of a counter over all series that bear all of `labels`.
    fn counted(&self, metric: &str, labels: &[(&str, &str)]) -> f64 {
        let families = self.registry.gather();
        let series = families.iter().filter(|family| family.name() == metric).flat_map(|family| family.get_metric());
        let wanted = series.filter(|series| {
            labels.iter().all(|(name, value)| {
                series.get_label().iter().any(|label| label.name() == *name && label.value() == *value)
            })
        });
        wanted.map(|series| series.get_counter().get_value()).sum()
    }
}

async fn create_topics(bootstrap: &str, names: &[&str]) {
    let admin: AdminClient<DefaultClientContext> = Connection::new(bootstrap).client().create().unwrap();
    let topics: Vec<_> = names.iter().map(|name| NewTopic::new(name, PARTITIONS, TopicReplication::Fixed(1))).collect();
    let options = AdminOptions::new().operation_timeout(Some(PATIENCE)).request_timeout(Some(PATIENCE));
    for result in admin.create_topics(&topics, &options).await.expect("the broker answers") {
        result.expect("the topic is created");
    }
}

/// All that is on a topic now.
fn read(bootstrap: &str, topic: &str, kind: FactKind) -> Vec<Stored> {
    let consumer: BaseConsumer = Connection::new(bootstrap).consumer(&unique("reader")).create().unwrap();
    let mut left = 0;
    let mut assignment = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        let (low, high) = consumer.fetch_watermarks(topic, partition, PATIENCE).expect("the broker answers");
        left += high - low;
        assignment.add_partition_offset(topic, partition, Offset::Beginning).unwrap();
    }
    consumer.assign(&assignment).unwrap();
    let formats = Formats::shipped();
    let mut stored = Vec::new();
    let deadline = Instant::now() + PATIENCE;
    while left > 0 {
        assert!(Instant::now() < deadline, "{left} records of {topic} did not come");
        let Some(record) = consumer.poll(Duration::from_millis(200)).and_then(Result::ok) else { continue };
        left -= 1;
        stored.push(Stored {
            key: String::from_utf8(record.key().expect("a key").to_vec()).unwrap(),
            timestamp: record.timestamp().to_millis().expect("a timestamp"),
            fact: formats.decode_fact(kind, record.payload().expect("a value")).unwrap().into_owned(),
        });
    }
    stored
}

fn alert(service: &str, name: &str) -> Value {
    json!({"labels": {"alertname": name, "service": service}, "startsAt": "2026-11-23T08:00:00Z"})
}

/// The payload of a case.
fn recorded(case: &str) -> Value {
    let path = format!("{}/tests/it/cases/ingest/{case}.json", env!("CARGO_MANIFEST_DIR"));
    let case: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    case["body"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lumped_payload_is_one_record_per_alert_keyed_by_service_before_it_is_answered() {
    let server = Server::start().await;
    let answer =
        server.post("/webhooks/alertmanager", recorded("alertmanager_lumped").to_string()).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.json::<Value>().await.unwrap(), json!({"stored": 2, "ignored": 0}));
    let mut stored = server.stored(&server.alerts, FactKind::Alert);
    stored.sort_by(|a, b| a.key.cmp(&b.key));
    let told: Vec<_> = stored.iter().map(|record| (record.key.as_str(), record.timestamp)).collect();
    assert_eq!(told, [("checkout", NOW.0), ("payments", NOW.0)]);
    let Fact::Alert(checkout) = &stored[0].fact else { panic!("an alert") };
    assert_eq!((&*checkout.fingerprint, checkout.value), ("4ca60a68b3ce60a4", Some(9.631999969482422)));
    assert_eq!(server.counted("fairlead_ingest_facts_total", &[("fact", "alert")]), 2.0);
    server.ingest.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deploys_arrive_plain_and_as_cloudevents_in_every_mode() {
    let server = Server::start().await;
    let deploy = json!({"id": "run-1", "service": "checkout", "version": "v42"});
    assert_eq!(server.status("/api/v1/deploys", &deploy).await, 200);
    let event = recorded("cloudevents_structured");
    let path = "/webhooks/cloudevents";
    let send = |content_type: &'static str, body: String, headers: Vec<(&'static str, &'static str)>| {
        let request = server.http.post(server.url(path)).bearer_auth(TOKEN).header("content-type", content_type);
        let request = headers.into_iter().fold(request, |request, (name, value)| request.header(name, value));
        async move { request.body(body).send().await.expect("an answer").status().as_u16() }
    };
    assert_eq!(send("application/cloudevents+json", event.to_string(), vec![]).await, 200);
    assert_eq!(send("application/cloudevents-batch+json", json!([event]).to_string(), vec![]).await, 200);
    let envelope = vec![
        ("ce-specversion", "1.0"),
        ("ce-id", "7d3f"),
        ("ce-source", "/argo/prod"),
        ("ce-type", "dev.cdevents.service.deployed.0.2.0"),
    ];
    assert_eq!(send("application/json", event["data"].to_string(), envelope).await, 200);
    let stored = server.stored(&server.deploys, FactKind::Deploy);
    assert!(stored.iter().all(|record| record.key == "checkout" && record.timestamp == NOW.0));
    let ids = stored.iter().filter_map(|record| match &record.fact {
        Fact::Deploy(deploy) => Some((&*deploy.source, &*deploy.id)),
        _ => None,
    });
    let ids: Vec<_> = ids.collect();
    assert_eq!(ids, [("api", "run-1"), ("/argo/prod", "7d3f"), ("/argo/prod", "7d3f"), ("/argo/prod", "7d3f")]);
    assert_eq!(server.stored(&server.alerts, FactKind::Alert).len(), 0);
    server.ingest.stop().await;
}
