//! A request that nobody understood is kept, and told once somebody does; on the embedded broker.

use fairlead::app::Embedded;
use serde_json::json;

use super::{Home, Running, text_of};

fn address(running: &Running) -> Option<String> {
    let log = text_of(&running.log);
    let (_, rest) = log.split_once("fairlead runs address=")?;
    Some(rest.split_whitespace().next()?.to_owned())
}

async fn post(url: &str, body: &str) -> u16 {
    let request = reqwest::Client::new().post(url).header("content-type", "application/json").body(body.to_owned());
    request.send().await.expect("an answer").status().as_u16()
}

#[test]
fn what_was_refused_is_read_again_with_a_better_mapping() {
    let data = tempfile::tempdir().unwrap();
    let any = "127.0.0.1:0".parse().unwrap();
    let embedded = Embedded::start(data.path(), any, any).unwrap();
    let home = Home::new("kept", &embedded.bootstrap_servers(), &embedded.registry_url().unwrap());
    let map = |version: &str| {
        let app = home.topology().join("app.yaml");
        let text = std::fs::read_to_string(&app).unwrap();
        let text = text.split("ingest:").next().unwrap().to_owned()
            + &format!(
                "ingest:\n  alerts: {}\n  deploys: delivery.deploys-kept.v1\n  raw: oncall.raw-kept.v1\n  open: true\n  json:\n    \
                 ci: {{ deploys: {{ id: /id, service: /service, version: {version} }} }}\n",
                home.alerts
            );
        std::fs::write(app, text).unwrap();
    };
    map("/version");
    let topics = home.topology().join("topics.yaml");
    let text = std::fs::read_to_string(&topics).unwrap() + "  oncall.raw-kept.v1: { fact: payload, partitions: 1 }\n";
    std::fs::write(topics, text).unwrap();
    let running = home.run();
    home.until(&["explain"], |_| address(&running));
    let url = format!("http://{}/webhooks/json/ci", address(&running).unwrap());
    let bodies =
        [r#"{"id": 1, "service": "checkout", "tag": "v42"}"#, r#"{"id": 2, "service": "search", "version": "v7"}"#];
    let http = tokio::runtime::Runtime::new().unwrap();
    let codes = bodies.map(|body| http.block_on(post(&url, body)));
    assert_eq!(codes, [400, 200]);
    running.stop();

    map("/tag");
    let told = |args: &[&str]| home.fairlead(&[&["send", "payloads", "-o", "json"], args].concat()).json();
    let dry = told(&["--dry-run"]);
    let [line] = &dry.as_array().unwrap()[..] else { panic!("one was refused: {dry}") };
    assert_eq!((&line["endpoint"], &line["offset"]), (&json!("/webhooks/json/ci"), &json!(0)), "{dry}");
    assert!(line["was_refused"].as_str().unwrap().contains("the version is not said"), "{dry}");
    assert_eq!((&line["facts"], &line["sent"]), (&json!(1), &json!(false)), "{dry}");
    assert_eq!(told(&["--endpoint", "/webhooks/github"]), json!([]));
    assert_eq!(told(&["--until", "2026-01-01T00:00:00Z"]), json!([]));
    let sent = told(&[]);
    assert_eq!((&sent[0]["facts"], &sent[0]["sent"]), (&json!(1), &json!(true)), "{sent}");
    // It lies where it would have lain, behind the other or alone.
    let places = ["0", "1"].map(|partition| {
        let end = |offset| home.fairlead(&["lineage", "delivery.deploys-kept.v1", partition, offset]).err;
        [end("0"), end("1")].into_iter().filter(|said| said.contains("this deploy came from outside")).count()
    });
    assert_eq!(places.iter().sum::<usize>(), 2, "{places:?}");
    // All of them, in words: the second has no tag.
    let text = home.fairlead(&["send", "payloads", "--all", "--dry-run"]).out;
    assert!(text.contains("  facts 1 not sent\n") && text.contains("  now   $: the version is not said"), "{text}");

    embedded.stop();
}
