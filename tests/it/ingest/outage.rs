//! The broker goes away while alerts come in: senders are told to come again, and what was acknowledged is stored.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use super::*;

const SENDERS: u32 = 4;
/// The shortest pause between two attempts of a sender.
const PAUSE: Duration = Duration::from_millis(50);

/// What all senders did so far.
#[derive(Default)]
pub struct Tally {
    pub acknowledged: AtomicU32,
    pub refused: AtomicU32,
    pub stop: AtomicBool,
}

impl Tally {
    async fn wait_for(&self, count: &AtomicU32, more: u32, what: &str) {
        let (from, deadline) = (count.load(Ordering::SeqCst), Instant::now() + PATIENCE);
        while count.load(Ordering::SeqCst) < from + more {
            assert!(Instant::now() < deadline, "{what} did not happen");
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// Sends one alert after the other, each until it is acknowledged; returns their names.
pub async fn keep_sending(client: reqwest::Client, url: String, sender: u32, tally: Arc<Tally>) -> BTreeSet<String> {
    let mut acknowledged = BTreeSet::new();
    for number in 0.. {
        if tally.stop.load(Ordering::SeqCst) {
            break;
        }
        let name = format!("alert-{sender}-{number}");
        let body = json!([alert("checkout", &name), alert("payments", &name)]).to_string();
        loop {
            let request = client.post(&url).bearer_auth(TOKEN).header("content-type", "application/json");
            let answer = request.body(body.clone()).timeout(PATIENCE).send().await.expect("an answer, bounded in time");
            match answer.status().as_u16() {
                200 => break,
                503 => assert!(answer.headers().contains_key("retry-after")),
                other => panic!("answered {other}"),
            }
            tally.refused.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(PAUSE).await;
        }
        tally.acknowledged.fetch_add(1, Ordering::SeqCst);
        acknowledged.insert(name);
        tokio::time::sleep(PAUSE).await;
    }
    acknowledged
}

#[tokio::test(flavor = "multi_thread")]
async fn over_a_kill_and_a_freeze_of_the_broker_everything_acknowledged_is_stored_and_nothing_else() {
    let mut kafka = Kafka::start_own(&[]);
    let server = Server::start_on(kafka.bootstrap(), Clock::wall()).await;
    let tally = Arc::new(Tally::default());
    let senders: Vec<_> = (0..SENDERS)
        .map(|sender| {
            let url = server.url("/api/v2/alerts");
            tokio::spawn(keep_sending(server.http.clone(), url, sender, Arc::clone(&tally)))
        })
        .collect();
    tally.wait_for(&tally.acknowledged, 20, "sending").await;
    kafka.kill();
    tally.wait_for(&tally.refused, SENDERS, "a refusal without a broker").await;
    kafka.start();
    tally.wait_for(&tally.acknowledged, 20, "recovery from a killed broker").await;
    kafka.freeze();
    tally.wait_for(&tally.refused, SENDERS, "a refusal by a frozen broker").await;
    kafka.thaw();
    tally.wait_for(&tally.acknowledged, 20, "recovery from a frozen broker").await;
    tally.stop.store(true, Ordering::SeqCst);
    let mut acknowledged = BTreeSet::new();
    for sender in senders {
        acknowledged.extend(sender.await.expect("a sender ends well"));
    }
    // A sender that was refused sends the same again: told twice perhaps, but as the same alert.
    let stored = server.stored(&server.alerts, FactKind::Alert);
    for service in ["checkout", "payments"] {
        let of_service = stored.iter().filter(|record| record.key == service);
        let names: BTreeSet<_> = of_service
            .filter_map(|record| match &record.fact {
                Fact::Alert(alert) => Some(alert.name.to_string()),
                _ => None,
            })
            .collect();
        assert_eq!(names, acknowledged, "{service}");
    }
    server.ingest.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_stopped_finishes_what_it_has_begun() {
    let kafka = Kafka::start_own(&[]);
    let sending = sending(kafka.bootstrap(), Duration::from_secs(60));
    create_topics(kafka.bootstrap(), &[sending.alerts.as_str(), sending.deploys.as_str()]).await;
    let server = Server::start_with(config(sending, Capacity::default(), Clock::wall())).await;
    let body = json!([alert("checkout", "before")]);
    assert_eq!(server.status("/api/v2/alerts", &body).await, 200);
    kafka.freeze();
    let request = server.post("/api/v2/alerts", json!([alert("checkout", "during")]).to_string());
    let waiting = tokio::spawn(request.send());
    let deadline = Instant::now() + PATIENCE;
    while !told_inflight(&server) {
        assert!(Instant::now() < deadline, "the request did not begin");
        tokio::time::sleep(PAUSE).await;
    }
    let (alerts, http, url) = (server.alerts.clone(), server.http.clone(), server.url("/healthz"));
    let stopping = tokio::spawn(server.ingest.stop());
    while http.get(&url).timeout(PATIENCE).send().await.is_ok() {
        assert!(Instant::now() < deadline, "it still listens");
        tokio::time::sleep(PAUSE).await;
    }
    assert!(!waiting.is_finished() && !stopping.is_finished());
    kafka.thaw();
    assert_eq!(waiting.await.unwrap().expect("an answer").status(), 200);
    stopping.await.unwrap();
    assert_eq!(read(kafka.bootstrap(), &alerts, FactKind::Alert).len(), 2);
}

fn told_inflight(server: &Server) -> bool {
    let families = server.registry.gather();
    let gauge = families.iter().find(|family| family.name() == "fairlead_ingest_inflight_bytes");
    gauge.is_some_and(|family| family.get_metric()[0].get_gauge().get_value() > 0.0)
}
