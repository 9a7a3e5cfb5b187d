//! Bad input, bad tokens, too much: each has a status, says the mend, is counted, and stores nothing.

use super::*;

async fn told(request: reqwest::RequestBuilder) -> (u16, Value) {
    let answer = request.send().await.expect("an answer, not a hang-up");
    let status = answer.status().as_u16();
    (status, answer.json().await.unwrap_or(Value::Null))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_told_counted_and_not_stored() {
    let server = Server::start().await;
    let path = "/api/v2/alerts";
    let good = json!([alert("checkout", "A")]).to_string();

    let (status, body) = told(server.post(path, "[{\"labels\": {")).await;
    assert_eq!((status, body["refused"][0]["path"].as_str()), (400, Some("$")), "{body}");
    assert!(body["error"].as_str().unwrap().contains("line 1 column 13"), "{body}");
    let (status, body) = told(server.post(path, r#"[{"labels": {"alertname": "A", "code": 503}}]"#)).await;
    assert_eq!((status, body["refused"][0]["path"].as_str()), (400, Some("$[0].labels.code")), "{body}");
    assert_eq!(body["refused"][0]["mend"], "quote it: \"503\"");
    let grafana = recorded("webhook_grafana").to_string();
    let (status, body) = told(server.post("/webhooks/alertmanager", grafana)).await;
    assert!(status == 400 && body["error"].as_str().unwrap().contains("Grafana"), "{body}");

    let bare = || server.http.post(server.url(path)).body(good.clone());
    let (status, body) = told(bare().bearer_auth(TOKEN)).await;
    assert!(status == 415 && body["error"].as_str().unwrap().contains("Content-Type: application/json"), "{body}");

    let json = || bare().header("content-type", "application/json");
    for refused in [json(), json().bearer_auth("not-one-of-the-tokens"), json().basic_auth("x", Some(TOKEN))] {
        let answer = refused.send().await.unwrap();
        assert_eq!(answer.status(), 401);
        assert!(answer.headers()["www-authenticate"].to_str().unwrap().starts_with("Bearer"));
        assert!(!answer.text().await.unwrap().contains(TOKEN));
    }

    assert_eq!(server.http.delete(server.url(path)).send().await.unwrap().status(), 405);
    assert_eq!(server.http.post(server.url("/elsewhere")).send().await.unwrap().status(), 404);

    for (code, count) in [("400", 2.0), ("401", 3.0), ("415", 1.0)] {
        let labels = [("endpoint", path), ("code", code)];
        assert_eq!(server.counted("fairlead_ingest_requests_total", &labels), count, "{code}");
    }
    assert_eq!(server.stored(&server.alerts, FactKind::Alert).len(), 0);
    server.ingest.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_good_alerts_of_a_payload_are_stored_and_the_bad_ones_named() {
    let server = Server::start().await;
    let alerts = json!([alert("checkout", "A"), {"labels": {}}, alert("payments", "B"), alert("x", "C")["labels"]]);
    let (status, body) = told(server.post("/api/v2/alerts", alerts.to_string())).await;
    assert_eq!((status, &body["stored"]), (400, &json!(2)), "{body}");
    let paths: Vec<_> = body["refused"].as_array().unwrap().iter().map(|refusal| &refusal["path"]).collect();
    assert_eq!(paths, ["$[1].labels", "$[3].labels"]);
    let mut keys: Vec<_> =
        server.stored(&server.alerts, FactKind::Alert).into_iter().map(|stored| stored.key).collect();
    keys.sort();
    assert_eq!(keys, ["checkout", "payments"]);
    let refused = [("endpoint", "/api/v2/alerts"), ("outcome", "refused")];
    assert_eq!(server.counted("fairlead_ingest_elements_total", &refused), 2.0);
    server.ingest.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_mebibytes_are_refused_whether_announced_or_streamed() {
    let server = Server::start().await;
    let path = "/api/v2/alerts";
    let announced = server.post(path, vec![b' '; 10 * 1024 * 1024]);
    let (status, body) = told(announced).await;
    assert_eq!((status, body["error"].as_str()), (413, Some("the body is larger than 1048576 bytes")));

    // Chunked, by hand: no length is announced, and the answer must come although more is being sent.
    let mut stream = tokio::net::TcpStream::connect(server.ingest.addr()).await.unwrap();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\ncontent-type: application/json\r\n\
         transfer-encoding: chunked\r\n\r\n"
    );
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    stream.write_all(head.as_bytes()).await.unwrap();
    let chunk = [b"10000\r\n".as_slice(), &[b' '; 0x10000], b"\r\n"].concat();
    for _ in 0..160 {
        stream.write_all(&chunk).await.expect("the server reads on");
    }
    stream.write_all(b"0\r\n\r\n").await.unwrap();
    let mut answer = [0; 12];
    tokio::time::timeout(PATIENCE, stream.read_exact(&mut answer)).await.expect("in time").unwrap();
    assert_eq!(&answer, b"HTTP/1.1 413");

    // Just within the limit it is read.
    let mut padded = json!([alert("checkout", "A")]).to_string();
    padded.extend(std::iter::repeat_n(' ', 1024 * 1024 - padded.len()));
    assert_eq!(told(server.post(path, padded)).await.0, 200);
    assert_eq!(server.counted("fairlead_ingest_requests_total", &[("endpoint", path), ("code", "413")]), 2.0);
    assert_eq!(server.stored(&server.alerts, FactKind::Alert).len(), 1);
    server.ingest.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_kafka_the_answer_is_503_in_time_and_what_waits_is_bounded() {
    let budget = 32 * 1024;
    let capacity = Capacity { body_bytes_max: budget, inflight_bytes_max: budget, ..Capacity::default() };
    // Nothing listens on port 1.
    let sending = sending("127.0.0.1:1", Duration::from_secs(8));
    let server = Server::start_with(config(sending, capacity, Clock::wall())).await;
    let path = "/api/v2/alerts";
    let body = json!([alert("checkout", "A")]).to_string();
    // Two requests spend the budget; of three, one at least is turned away without waiting.
    let requests = [0, 1, 2].map(|_| server.post(path, body.clone()).send());
    let [first, second, third] = requests;
    let (first, second, third) = tokio::join!(first, second, third);
    let mut errors = Vec::new();
    for answer in [first, second, third] {
        let answer = answer.unwrap();
        assert_eq!(answer.status(), 503);
        assert_eq!(answer.headers()["retry-after"], "5");
        errors.push(answer.json::<Value>().await.unwrap()["error"].as_str().unwrap().to_owned());
    }
    let busy = errors.iter().filter(|error| error.contains("too much")).count();
    let failed = errors.iter().filter(|error| error.contains("kafka did not store it")).count();
    assert!(busy >= 1 && failed >= 1 && busy + failed == 3, "{errors:?}");
    // The budget came back: the next one waits for Kafka again.
    let (_, told) = told(server.post(path, body)).await;
    assert!(told["error"].as_str().unwrap().contains("kafka did not store it"), "{told}");
    server.ingest.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn health_readiness_and_metrics_need_no_token() {
    let sending = sending("127.0.0.1:1", Duration::from_secs(1));
    let server = Server::start_with(config(sending, Capacity::default(), Clock::wall())).await;
    let get = |path: &str| server.http.get(server.url(path)).send();
    let health = get("/healthz").await.unwrap();
    assert_eq!((health.status().as_u16(), health.text().await.unwrap().as_str()), (200, "ok\n"));
    let ready = get("/readyz").await.unwrap();
    assert_eq!((ready.status().as_u16(), ready.text().await.unwrap().as_str()), (503, "not ready: restoring\n"));
    server.post("/api/v2/alerts", "").send().await.unwrap();
    let metrics = get("/metrics").await.unwrap().text().await.unwrap();
    assert!(metrics.contains(r#"fairlead_ingest_requests_total{code="400",endpoint="/api/v2/alerts"} 1"#), "{metrics}");
    server.ingest.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn open_to_everybody_it_does_not_listen_beyond_loopback() {
    let open = |listen: &str| IngestConfig {
        listen: listen.parse().unwrap(),
        access: Access::Open,
        ..config(sending("127.0.0.1:1", Duration::from_secs(1)), Capacity::default(), Clock::wall())
    };
    let start = |config| Ingest::start(config, Arc::new(Formats::shipped()), Registry::new(), || Readiness::Ready);
    let refused = start(open("0.0.0.0:0")).await.err().expect("it does not start").to_string();
    assert!(refused.contains("reachable from outside"), "{refused}");
    let server = start(open("127.0.0.1:0")).await.expect("on loopback it may");
    let url = format!("http://{}/api/v2/alerts", server.addr());
    let answer = reqwest::Client::new().post(url).header("content-type", "application/json").body("[]").send().await;
    assert_eq!(answer.unwrap().status(), 200);
    server.stop().await;
}
