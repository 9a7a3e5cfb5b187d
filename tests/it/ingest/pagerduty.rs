//! Senders that speak PagerDuty's Events API: answered as they expect it, and let in by their routing key alone.

use fairlead::event::AlertStatus;
use fairlead::ingest::pagerduty::RoutingKeys;

use super::*;

const KEY: &str = "R0UTINGKEY00000000000000CHECKOUT";

async fn start(routing_keys: RoutingKeys) -> Server {
    let sending = sending(Kafka::shared(), Duration::from_secs(4));
    create_topics(Kafka::shared(), &[sending.alerts.as_str(), sending.deploys.as_str()]).await;
    let rules = Rules { routing_keys, ..Rules::default() };
    Server::start_with(IngestConfig { rules, ..config(sending, Capacity::default(), Clock::at(NOW)) }).await
}

async fn told(server: &Server, path: &str, body: &Value) -> (u16, Value) {
    let request = server.http.post(server.url(path)).header("content-type", "application/json").timeout(PATIENCE);
    let answer = request.body(body.to_string()).send().await.expect("an answer");
    (answer.status().as_u16(), answer.json().await.unwrap_or(Value::Null))
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_accepted_in_pagerdutys_words_and_the_key_says_the_service() {
    let server = start(RoutingKeys::new([("search", "R0UTINGKEY00000000000000SEARCH00"), ("checkout", KEY)])).await;
    for (case, stored) in [("trigger", 1), ("acknowledge", 0), ("resolve", 1)] {
        let (code, body) = told(&server, "/v2/enqueue", &recorded(&format!("pagerduty_{case}"))).await;
        assert_eq!(
            (code, &body["status"], &body["dedup_key"]),
            (202, &json!("success"), &json!("srv01/HTTP")),
            "{body}"
        );
        assert_eq!(body["stored"], stored, "{body}");
    }
    let (code, body) = told(&server, "/v2/change/enqueue", &recorded("pagerduty_change")).await;
    assert_eq!((code, &body["message"]), (202, &json!("Event processed")), "{body}");

    let (code, body) = told(&server, "/v2/enqueue", &recorded("pagerduty_no_payload")).await;
    assert_eq!((code, &body["status"]), (400, &json!("invalid event")), "{body}");
    assert!(body["errors"][0].as_str().unwrap().contains("$.payload"), "{body}");
    for key in [json!("R0UTINGKEY00000000000000CHECKOUx"), json!(null), json!(7)] {
        let mut trigger = recorded("pagerduty_trigger");
        trigger["routing_key"] = key;
        let (code, body) = told(&server, "/v2/enqueue", &trigger).await;
        assert!(code == 401 && !body.to_string().contains("R0UTINGKEY"), "{body}");
    }

    let alerts = server.stored(&server.alerts, FactKind::Alert);
    assert!(alerts.iter().all(|record| record.key == "checkout" && record.timestamp == NOW.0));
    let mut statuses: Vec<_> = alerts
        .iter()
        .filter_map(|record| match &record.fact {
            Fact::Alert(alert) => Some((alert.status == AlertStatus::Resolved, alert.fingerprint.to_string())),
            _ => None,
        })
        .collect();
    statuses.sort();
    assert_eq!(statuses.len(), 2);
    assert!(statuses[0].1 == statuses[1].1 && !statuses[0].0 && statuses[1].0, "one alert, which ends: {statuses:?}");
    assert_eq!(server.stored(&server.deploys, FactKind::Deploy)[0].key, "checkout");
    let accepted = [("endpoint", "/v2/enqueue"), ("code", "202")];
    assert_eq!(server.counted("fairlead_ingest_requests_total", &accepted), 3.0);
    server.ingest.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_keys_and_mappings_their_endpoints_are_not_switched_on() {
    let server = start(RoutingKeys::default()).await;
    let bearer = server.post("/webhooks/json/ci", "{}").send().await.unwrap().status();
    let enqueue = told(&server, "/v2/enqueue", &recorded("pagerduty_trigger")).await;
    assert_eq!((bearer.as_u16(), enqueue.0), (404, 404), "{}", enqueue.1);
    assert!(enqueue.1["message"].as_str().unwrap().contains("not switched on"), "{}", enqueue.1);
    server.ingest.stop().await;
}
