//! Topics of others, written by Confluent's Python client, and read by a real fairlead that is killed in the middle.

use std::collections::BTreeMap;
use std::process::Command;

use fairlead::event::{AlertStatus, Fact, FactKind};
use fairlead::log::admin::{TopicPlan, ensure_topics};
use fairlead::log::kafka::KafkaReader;
use fairlead::log::scan;
use fairlead::record::{Offset, Partition, Topic, TopicPartition};
use serde_json::Value;

use crate::conformance::strangers::run;
use crate::harness::apache::Kafka;
use crate::harness::site::{PARTITIONS, SESSION_MS, Site};

const SOURCE_PARTITIONS: i32 = 2;
const SECTIONS: &str = "\
http: { listen: '127.0.0.1:0' }
ingest:
  alerts: APP.alerts.v1
  deploys: APP.deploys.v1
  open: true
  limits: { text_bytes_max: 100 }
  kafka:
    - { topic: APP-argo, format: cloudevents, from: earliest }
    - { topic: APP-alertmanager, format: alertmanager-events }
    - { topic: APP-missing, format: cloudevents }
";

fn partitions(topic: &Topic, count: i32) -> Vec<TopicPartition> {
    (0..count).map(|number| TopicPartition::new(topic, Partition(number))).collect()
}

/// All that is committed on one of the site's topics.
pub fn facts(site: &Site, name: &str, kind: FactKind) -> Vec<Fact<'static>> {
    let mut reader = KafkaReader::new(&site.endpoints.connection, "looks").unwrap();
    let mut facts = Vec::new();
    for partition in partitions(&site.topic(name), PARTITIONS) {
        let end = reader.watermarks(&partition).unwrap().high;
        let scanned = scan::scan(&mut reader, &partition, Offset(0), end, |record| {
            facts.push(site.formats.decode_fact(kind, record.value.unwrap()).unwrap().into_owned());
            std::ops::ControlFlow::Continue(())
        });
        scanned.unwrap();
    }
    facts
}

/// How often each deploy was told.
fn deploys(site: &Site) -> BTreeMap<String, usize> {
    let mut told = BTreeMap::new();
    for fact in facts(site, "deploys", FactKind::Deploy) {
        let Fact::Deploy(deploy) = fact else { panic!("no deploy") };
        *told.entry(deploy.id.to_string()).or_default() += 1;
    }
    told
}

/// The group has read each partition to its end.
pub fn is_read(site: &Site, topic: &Topic, count: i32) -> bool {
    let group = site.topology.names.ingest_group(topic.as_str());
    let reader = KafkaReader::new(&site.endpoints.connection, &group).unwrap();
    let places = partitions(topic, count);
    let Ok(committed) = reader.committed(&places) else { return false };
    places.iter().zip(committed).all(|(place, committed)| {
        committed.is_some_and(|committed| committed.offset >= reader.watermarks(place).unwrap().high)
    })
}

pub fn command(site: &Site, args: &[&str]) -> (bool, Value) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fairlead"));
    command.args(args).args(["--output", "json", "--topology"]).arg(site.topology_dir());
    let output = command.env("FAIRLEAD_TEST_INSTANCE", "looks").output().unwrap();
    let told = serde_json::from_slice(&output.stdout);
    (output.status.success(), told.unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr))))
}

#[test]
fn each_event_of_others_is_one_fact_although_fairlead_is_killed() {
    let site = Site::on(Kafka::shared(), SESSION_MS, SECTIONS);
    let [argo, alertmanager] =
        ["argo", "alertmanager"].map(|name| Topic::from(&*format!("{}-{name}", site.application)));
    let plan = |topic: &Topic, partitions| TopicPlan {
        name: topic.to_string(),
        partitions,
        replication: Some(1),
        config: BTreeMap::new(),
    };
    let plans = [plan(&argo, SOURCE_PARTITIONS), plan(&alertmanager, 1)];
    site.runtime.block_on(ensure_topics(&site.endpoints.connection, &plans)).unwrap();
    let process = site.start("a");
    // From now on, and not from some later moment.
    site.wait_for("the topic of alerts is begun", || is_read(&site, &alertmanager, 1));

    let (python, _) = run("python.sh", &[], "");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/ingest/cdevents.py");
    let args = [argo.to_string(), alertmanager.to_string()];
    let writing = std::thread::spawn(move || {
        run(python.trim(), &[script, Kafka::shared(), &args[0], &args[1]], "");
    });
    site.wait_for("some events are facts", || deploys(&site).len() > 50);
    process.kill();
    let midway = deploys(&site).len();
    let process = site.start("a");
    writing.join().unwrap();
    site.wait_for("all is read", || is_read(&site, &argo, SOURCE_PARTITIONS) && is_read(&site, &alertmanager, 1));

    let expected: BTreeMap<_, _> = (0..400)
        .map(|number| format!("event-{number}"))
        .chain((0..20).map(|number| format!("committed-{number}")))
        .map(|id| (id, 1))
        .collect();
    assert!(midway < expected.len(), "it was killed too late");
    assert_eq!(deploys(&site), expected);
    let alerts: Vec<_> = facts(&site, "alerts", FactKind::Alert)
        .into_iter()
        .map(|fact| match fact {
            Fact::Alert(alert) => (alert.fingerprint.to_string(), alert.service.to_string(), alert.status),
            other => panic!("no alert: {}", other.kind()),
        })
        .collect();
    let told = |status| ("e0df2298e77d85e2".to_owned(), "checkout".to_owned(), status);
    assert_eq!(alerts, [told(AlertStatus::Firing), told(AlertStatus::Resolved)]);
    let missing = format!("{}-missing", site.application);
    site.wait_for("the topic that is not there is told", || site.log_of("a").contains(&missing));
    a_letter_is_read_again(&site, &argo);
    process.end();
}

/// What was refused waits, is refused again as long as the rules are the same, and becomes a fact once they are others.
fn a_letter_is_read_again(site: &Site, argo: &Topic) {
    let (_, letters) = command(site, &["dead-letter", "list"]);
    let [letter] = &letters.as_array().unwrap()[..] else { panic!("one letter: {letters}") };
    let id = letter["id"].as_str().unwrap();
    assert!(id.starts_with(&format!("{argo}/0/")), "{letter}");
    assert_eq!(letter["reader"], site.topology.names.ingest_group(argo.as_str()), "{letter}");
    assert!(letter["error"].as_str().unwrap().contains("$.subject.content.artifactId"), "{letter}");
    let (fine, refused) = command(site, &["dead-letter", "retry", id]);
    assert!(!fine && refused["failed"][0].as_str().unwrap().contains("artifactId"), "{refused}");

    let file = site.topology_dir().join("more.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("text_bytes_max: 100", "text_bytes_max: 200")).unwrap();
    let (fine, retried) = command(site, &["dead-letter", "retry", id]);
    assert!(fine && retried["retried"][0]["told"] == "1 fact", "{retried}");
    assert_eq!(deploys(site).get("long"), Some(&1));
    let (_, skipped) = command(site, &["dead-letter", "retry", id]);
    assert_eq!(skipped["skipped"][0]["id"], id, "{skipped}");
    assert_eq!(deploys(site).get("long"), Some(&1));
}
