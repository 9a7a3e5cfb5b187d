//! Senders that sign what they send: what is signed counts byte for byte, and a delivery counts once.

use fairlead::ingest::guards::Signature;
use fairlead::ingest::signature::Secrets;
use hmac::{Hmac, Mac};
use sha2::Sha256;

use super::*;

const SECRET: &str = "a-secret-of-the-tests";
const GITHUB: &str = "/webhooks/github";
const GRAFANA: &str = "/webhooks/grafana";

fn signature_of(secret: &str, parts: &[&str]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    parts.iter().for_each(|part| mac.update(part.as_bytes()));
    hex::encode(mac.finalize().into_bytes())
}

fn signature(header: &str, prefix: &'static str, timestamp_header: Option<&str>) -> Signature {
    Signature {
        secrets: Secrets::new(["the-secret-of-last-month", SECRET]),
        header: header.to_owned(),
        prefix,
        timestamp_header: timestamp_header.map(str::to_owned),
    }
}

async fn start(guards: Guards, timeout: Duration) -> Server {
    let sending = sending(Kafka::shared(), timeout);
    create_topics(Kafka::shared(), &[sending.alerts.as_str(), sending.deploys.as_str()]).await;
    Server::start_with(IngestConfig { guards, ..config(sending, Capacity::default(), Clock::at(NOW)) }).await
}

impl Server {
    async fn sent(&self, path: &str, body: &str, headers: &[(&str, &str)]) -> (u16, Value) {
        let request = self.http.post(self.url(path)).header("content-type", "application/json").timeout(PATIENCE);
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let answer = request.body(body.to_owned()).send().await.expect("an answer");
        (answer.status().as_u16(), answer.json().await.unwrap_or(Value::Null))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_delivery_of_github_is_stored_once_and_no_other_at_all() {
    let github = Some(signature("X-Hub-Signature-256", "sha256=", None));
    let server = start(Guards { github, ..Guards::default() }, Duration::from_secs(4)).await;
    let body = recorded("github_success").to_string();
    let signed = |secret: &str, body: &str| format!("sha256={}", signature_of(secret, &[body]));
    let send = async |body: &str, signature: &str, event: &str, id: &str| {
        let headers = [("x-hub-signature-256", signature), ("x-github-event", event), ("x-github-delivery", id)];
        server.sent(GITHUB, body, &headers).await
    };
    // One space more is another body, however equal its JSON.
    let status = "deployment_status";
    for (body, signature) in [
        (format!("{body} "), signed(SECRET, &body)),
        (body.clone(), signed("another-secret-of-16", &body)),
        (body.clone(), signature_of(SECRET, &[&body])),
        (body.clone(), String::new()),
    ] {
        let (code, told) = send(&body, &signature, status, "d-0").await;
        assert_eq!(code, 401, "{told}");
        assert!(!told.to_string().contains("secret-of"), "{told}");
    }
    assert_eq!(server.sent(GITHUB, &body, &[("authorization", &format!("Bearer {TOKEN}"))]).await.0, 401);
    let ping = recorded("github_ping").to_string();
    let stored = |stored: u32, ignored: u32| (200, json!({"stored": stored, "ignored": ignored}));
    assert_eq!(send(&ping, &signed(SECRET, &ping), "ping", "d-1").await, stored(0, 1));
    assert_eq!(send(&body, &signed(SECRET, &body), status, "d-2").await, stored(1, 0));
    let again = send(&body, &signed("the-secret-of-last-month", &body), status, "d-2").await;
    assert_eq!(again, (200, json!({"stored": 0, "ignored": 0, "repeated": 1})));

    let stored = server.stored(&server.deploys, FactKind::Deploy);
    let ids: Vec<_> = stored.iter().map(|record| (record.key.as_str(), record.timestamp)).collect();
    assert_eq!(ids, [("shop-api", NOW.0)]);
    for (outcome, count) in [("ignored", 1.0), ("repeated", 1.0)] {
        let labels = [("endpoint", GITHUB), ("outcome", outcome)];
        assert_eq!(server.counted("fairlead_ingest_elements_total", &labels), count, "{outcome}");
    }
    server.ingest.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_that_was_not_stored_is_taken_when_it_comes_again() {
    let github = Some(signature("X-Hub-Signature-256", "sha256=", None));
    // Nothing listens on port 1.
    let config = config(sending("127.0.0.1:1", Duration::from_secs(1)), Capacity::default(), Clock::at(NOW));
    let server = Server::start_with(IngestConfig { guards: Guards { github, ..Guards::default() }, ..config }).await;
    let body = recorded("github_success").to_string();
    let signature = format!("sha256={}", signature_of(SECRET, &[&body]));
    let headers =
        [("x-hub-signature-256", &*signature), ("x-github-event", "deployment_status"), ("x-github-delivery", "d-2")];
    for _ in 0..2 {
        let (code, told) = server.sent(GITHUB, &body, &headers).await;
        assert!(code == 503 && told["error"].as_str().unwrap().contains("kafka did not store it"), "{told}");
    }
    server.ingest.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn grafana_shows_the_token_or_where_a_secret_is_set_its_signature() {
    let plain = start(Guards::default(), Duration::from_secs(4)).await;
    let body = recorded("grafana_lumped").to_string();
    let bearer = format!("Bearer {TOKEN}");
    assert_eq!(plain.sent(GRAFANA, &body, &[("authorization", &bearer)]).await.0, 200);
    assert_eq!(plain.sent(GRAFANA, &body, &[]).await.0, 401);
    let (code, told) = plain.sent(GITHUB, &body, &[("authorization", &bearer)]).await;
    assert!(code == 404 && told["error"].as_str().unwrap().contains("not switched on"), "{told}");
    assert_eq!(plain.stored(&plain.alerts, FactKind::Alert).len(), 3);
    plain.ingest.stop().await;

    let grafana = Some(signature("X-Grafana-Alerting-Signature", "", Some("X-Grafana-Alerting-Timestamp")));
    let signed = start(Guards { grafana, ..Guards::default() }, Duration::from_secs(4)).await;
    let send = async |time: &str, signature: &str| {
        let time = ("x-grafana-alerting-timestamp", time);
        signed.sent(GRAFANA, &body, &[("x-grafana-alerting-signature", signature), time]).await.0
    };
    let now = (NOW.0 / 1_000).to_string();
    assert_eq!(send(&now, &signature_of(SECRET, &[&now, ":", &body])).await, 200);
    assert_eq!(send(&now, &signature_of(SECRET, &[&body])).await, 401);
    let old = (NOW.0 / 1_000 - 301).to_string();
    assert_eq!(send(&old, &signature_of(SECRET, &[&old, ":", &body])).await, 401);
    assert_eq!(signed.sent(GRAFANA, &body, &[("authorization", &bearer)]).await.0, 401);
    assert_eq!(signed.stored(&signed.alerts, FactKind::Alert).len(), 3);
    signed.ingest.stop().await;
}

/// Requests that announce a body, and do not send it.
#[tokio::test(flavor = "multi_thread")]
async fn strangers_who_wait_keep_nobody_out_who_has_a_token() {
    let github = Some(signature("X-Hub-Signature-256", "sha256=", None));
    let sending = sending(Kafka::shared(), Duration::from_secs(4));
    create_topics(Kafka::shared(), &[sending.alerts.as_str(), sending.deploys.as_str()]).await;
    // Room for four requests, of which two may be strangers'.
    let kib = 1024;
    let capacity = Capacity { body_bytes_max: 16 * kib, inflight_bytes_max: 64 * kib, ..Capacity::default() };
    let guards = Guards { github, ..Guards::default() };
    let server = Server::start_with(IngestConfig { guards, ..config(sending, capacity, Clock::at(NOW)) }).await;
    let head = format!(
        "POST {GITHUB} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 9\r\nx-github-event: ping\r\n\
         x-github-delivery: d\r\nx-hub-signature-256: sha256=00\r\n\r\n"
    );
    let mut strangers = Vec::new();
    for _ in 0..2 {
        let mut stranger = tokio::net::TcpStream::connect(server.ingest.addr()).await.unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut stranger, head.as_bytes()).await.unwrap();
        strangers.push(stranger);
    }
    let inflight = || {
        let families = server.registry.gather();
        let family = families.iter().find(|family| family.name() == "fairlead_ingest_inflight_bytes");
        family.map_or(0.0, |family| family.get_metric()[0].get_gauge().get_value())
    };
    let deadline = Instant::now() + PATIENCE;
    while inflight() < 2.0 * 16.0 * 1024.0 {
        assert!(Instant::now() < deadline, "the strangers did not come in");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let headers = [("x-hub-signature-256", "sha256=00"), ("x-github-event", "ping"), ("x-github-delivery", "d")];
    assert_eq!(server.sent(GITHUB, "{}", &headers).await.0, 503);
    assert_eq!(server.status("/api/v2/alerts", &json!([alert("checkout", "A")])).await, 200);
    drop(strangers);
    server.ingest.stop().await;
}
