//! `fairlead run` with a topology that takes answers: by signed HTTP, by Socket Mode, and from `fairlead respond`.

use std::process::Command;
use std::time::Duration;

use fairlead::clock::Clock;
use fairlead::embedded::slack::{FakeSlack, Press, Sockets, Workspace};
use fairlead::event::{Fact, FactKind, Response, ResponseVerb};
use fairlead::log::Reader;
use fairlead::log::kafka::KafkaReader;
use fairlead::record::{Batch, Offset, Partition, TopicPartition};
use serde_json::{Value, json};

use crate::harness::apache::Kafka;
use crate::harness::site::{PARTITIONS, SESSION_MS, Site};

const BOT: &str = "xoxb-test-answers";
const TOKEN: &str = "a-token-for-the-tests";

fn responses(site: &Site) -> Vec<Response> {
    let mut reader = KafkaReader::new(&site.endpoints.connection, "watch").unwrap();
    let mut found = Vec::new();
    for number in 0..PARTITIONS {
        let place = TopicPartition::new(&site.topic("responses"), Partition(number));
        let (end, mut next) = (reader.watermarks(&place).unwrap().high, Offset(0));
        while next < end {
            let mut batch = Batch::default();
            next = reader.read(&place, next, 1 << 20, Duration::from_secs(1), &mut batch).unwrap();
            for record in batch.iter() {
                let fact = site.formats.decode_fact(FactKind::Response, record.value.unwrap()).unwrap();
                if let Fact::Response(response) = fact {
                    found.push(response);
                }
            }
        }
    }
    found
}

/// A root with a button, as the notify operator makes one.
async fn post_root(slack: &FakeSlack) {
    let about = json!({"incident": "inc-1", "service": "checkout", "version": 3}).to_string();
    let label = json!({"type": "plain_text", "text": "Acknowledge"});
    let button = json!({"type": "button", "action_id": "fairlead.acknowledge", "text": label, "value": about});
    let message = json!({"channel": "oncall", "text": "t", "blocks": [{"type": "actions", "elements": [button]}]});
    let request = reqwest::Client::new().post(format!("{}chat.postMessage", slack.base_url())).bearer_auth(BOT);
    let posted: Value = request.json(&message).send().await.unwrap().json().await.unwrap();
    assert_eq!(posted["ok"], true, "{posted}");
}

/// All doors open.
fn sections(port: u16, slack: &FakeSlack) -> String {
    format!(
        "http: {{ listen: '127.0.0.1:{port}' }}
ingest: {{ alerts: APP.alerts.v1, deploys: APP.deploys.v1, token: '${{env:TEST_TOKEN}}' }}
slack:
  actions: APP.actions.v1
  outcomes: APP.outcomes.v1
  token: '${{env:TEST_BOT}}'
  url: '{}'
  responses: APP.responses.v1
  signing_secret: '${{env:TEST_SIGNING}}'
  app_token: '${{env:TEST_SOCKET}}'
  responders: {{ users: [U01] }}
topics:
  APP.outcomes.v1: {{ fact: slack_outcome, partitions: {PARTITIONS} }}
  APP.responses.v1: {{ fact: response, partitions: {PARTITIONS} }}
",
        slack.base_url()
    )
}

#[test]
fn a_running_server_takes_answers_by_every_door_that_its_topology_opens() {
    let outer = tokio::runtime::Runtime::new().unwrap();
    let slack = outer.block_on(FakeSlack::start(Workspace::new(BOT, &["oncall"]), Clock::wall())).unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let site = Site::on(Kafka::shared(), SESSION_MS, &sections(port, &slack));
    let secrets = [
        ("TEST_TOKEN", TOKEN),
        ("TEST_BOT", BOT),
        ("TEST_SIGNING", Workspace::SIGNING_SECRET),
        ("TEST_SOCKET", Sockets::APP_TOKEN),
    ];
    let process = site.start_with("a", "a", &secrets);
    outer.block_on(post_root(&slack));
    let url = format!("http://127.0.0.1:{port}/slack/interactions");
    let press = |user| Press { channel: "oncall", ts: None, action_id: "fairlead.acknowledge", user, chosen: None };
    site.wait_for("Socket Mode", || slack.sockets().connected() > 0);
    site.wait_for("HTTP", || outer.block_on(slack.click(&url, &press("U01"))) == Ok(200));
    assert_eq!(outer.block_on(slack.click(&url, &press("U02"))), Ok(200));
    let (payload, _) = slack.pressed(&press("U01")).unwrap();
    assert_eq!(outer.block_on(slack.sockets().deliver(payload)), Ok(true));

    let respond = |args: &[&str]| {
        let about = ["--service", "a/b c", "--incident", "inc-2", "--by", "ann", "--topology"];
        let mut command = Command::new(env!("CARGO_BIN_EXE_fairlead"));
        command.arg("respond").args(args).args(about).arg(site.topology_dir()).envs(secrets);
        let output = command.env("FAIRLEAD_TEST_INSTANCE", "a").output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    };
    let (fine, told) = respond(&["snooze", "--for", "2h", "--comment", "a deploy", "--key", "k1"]);
    assert!(fine && told.starts_with("api-") && told.contains(".responses.v1-"), "{told}");
    let (fine, told) = respond(&["run", "--action", "gone"]);
    assert!(!fine && told.contains("403") && told.contains("no action `gone`"), "{told}");

    let stored = responses(&site);
    let acknowledged = stored.iter().filter(|response| response.verb == ResponseVerb::Acknowledge);
    assert!(
        acknowledged.clone().count() >= 2 && acknowledged.clone().all(|response| response.by == "U01"),
        "{stored:#?}"
    );
    let snoozed: Vec<_> = stored.iter().filter(|response| response.verb == ResponseVerb::Snooze).collect();
    let [snoozed] = snoozed[..] else { panic!("{stored:#?}") };
    assert_eq!((&*snoozed.service, &*snoozed.by, snoozed.comment.as_deref()), ("a/b c", "ann", Some("a deploy")));
    let metrics =
        async { reqwest::get(format!("http://127.0.0.1:{port}/metrics")).await.unwrap().text().await.unwrap() };
    let metrics = outer.block_on(metrics);
    for series in [
        "door=\"slack\",outcome=\"refused\"} 1",
        "door=\"socket\",outcome=\"accepted\"} 1",
        "door=\"api\",outcome=\"accepted\"} 1",
    ] {
        assert!(metrics.contains(&format!("fairlead_responses_total{{{series}")), "{series}: {metrics}");
    }
    let log = site.log_of("a");
    assert!(!secrets.iter().any(|(_, secret)| log.contains(secret)), "{log}");
    process.end();
}
