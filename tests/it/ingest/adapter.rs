//! A topic that prometheus-kafka-adapter writes, read by a real fairlead that dies at every step of a commit: each sample is once there.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use fairlead::event::{Fact, FactKind};
use fairlead::log::admin::{TopicPlan, ensure_topics};
use fairlead::record::Topic;
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use serde_json::json;

use super::topics::{command, facts, is_read};
use crate::harness::apache::Kafka;
use crate::harness::site::{SESSION_MS, Site};

const SOURCE_PARTITIONS: i32 = 2;
const RECORDS: i64 = 600;
const POINTS: [&str; 2] = ["ingest: before commit", "ingest: after commit"];
const SECTIONS: &str = "\
http: { listen: '127.0.0.1:0' }
ingest:
  alerts: APP.alerts.v1
  deploys: APP.deploys.v1
  samples: APP.samples.v1
  open: true
  kafka:
    - { topic: APP-metrics, format: prometheus-json, from: earliest }
topics:
  APP.samples.v1: { fact: sample, partitions: 4 }
operators:
  trend:
    sub_topology: trends
    inputs: { sample: APP.samples.v1 }
    outputs: { detection: APP.alerts.v1 }
    config:
      rules:
        - { name: errors, select: http_errors_ratio, detect: { shift: {} } }
";

/// Two samples that are selected, one that is not, each its line; every hundredth record has a line more, which nobody can read: that is a
/// dead letter.
fn record(number: i64) -> String {
    let line = |name: &str, service: &str, value: String| {
        let at = jiff::Timestamp::from_second(1_795_420_800 + number).unwrap();
        json!({ "timestamp": at.to_string(), "value": value, "name": name, "labels": { "__name__": name, "service": service } })
            .to_string()
    };
    let value = format!("{:.3}", number as f64 / 1000.0);
    let lines = [
        line("http_errors_ratio", "cart", value.clone()),
        line("http_errors_ratio", "checkout", value.clone()),
        line("up", "cart", "1".to_owned()),
    ];
    lines.join("\n") + if number % 100 == 99 { "\nno sample" } else { "" }
}

/// How often each sample was told: by its series and its value in thousandths.
fn told(site: &Site) -> BTreeMap<(String, i64), usize> {
    let mut told = BTreeMap::new();
    for fact in facts(site, "samples", FactKind::Sample) {
        let Fact::Sample(sample) = fact else { panic!("no sample") };
        *told.entry((sample.series.to_string(), (sample.value * 1000.0).round() as i64)).or_default() += 1;
    }
    told
}

#[test]
fn each_sample_of_a_topic_of_others_is_once_there_although_fairlead_dies_at_every_step() {
    let site = Site::on(Kafka::shared(), SESSION_MS, SECTIONS);
    let source = Topic::from(&*format!("{}-metrics", site.application));
    let (name, config) = (source.to_string(), BTreeMap::new());
    let plan = TopicPlan { name, partitions: SOURCE_PARTITIONS, replication: Some(1), config };
    site.runtime.block_on(ensure_topics(&site.endpoints.connection, &[plan])).unwrap();
    std::thread::scope(|scope| {
        // As slowly as it takes to meet all that happens below, until the last hundred.
        let write = |numbers: std::ops::Range<i64>, pause: Duration| {
            let mut config = ClientConfig::new();
            config.set("bootstrap.servers", Kafka::shared()).set("enable.idempotence", "true");
            let producer: BaseProducer = config.create().unwrap();
            for number in numbers {
                let partition = i32::try_from(number).unwrap() % SOURCE_PARTITIONS;
                let (value, key) = (record(number), number.to_string());
                let record = BaseRecord::to(source.as_str()).partition(partition).key(&key).payload(&value);
                producer.send(record).map_err(|(error, _)| error).unwrap();
                producer.poll(Duration::ZERO);
                std::thread::sleep(pause);
            }
            producer.flush(Duration::from_secs(60)).unwrap();
        };
        let writing = scope.spawn(move || write(0..RECORDS - 100, Duration::from_millis(60)));
        for turn in 0..4 {
            let dies = format!("{}=2*off->return(die)", POINTS[turn % POINTS.len()]);
            let mut process = site.start_with("a", "a", &[("FAILPOINTS", &dies)]);
            let until = Instant::now() + Duration::from_secs(90);
            while process.is_running() {
                assert!(Instant::now() < until, "it does not come to `{dies}`:\n{}", site.log_of("a"));
                std::thread::sleep(Duration::from_millis(50));
            }
        }
        let process = site.start("a");
        let before = told(&site).len();
        site.wait_for("some more samples", || told(&site).len() > before + 20);
        // Whatever it is at.
        process.kill();
        writing.join().unwrap();
        write(RECORDS - 100..RECORDS, Duration::ZERO);
    });
    let process = site.start("a");
    site.wait_for("all is read", || is_read(&site, &source, SOURCE_PARTITIONS));
    let series = ["cart", "checkout"].map(|service| format!(r#"http_errors_ratio{{service="{service}"}}"#));
    let expected: BTreeMap<_, _> =
        series.iter().flat_map(|series| (0..RECORDS).map(|number| ((series.clone(), number), 1))).collect();
    let told = told(&site);
    let wrong: Vec<_> = expected.keys().filter(|key| told.get(*key) != Some(&1)).collect();
    assert!(wrong.is_empty() && told.len() == expected.len(), "lost or doubled, or none of ours: {wrong:?}");
    let (_, letters) = command(&site, &["dead-letter", "list"]);
    assert_eq!(letters.as_array().unwrap().len(), 6, "{letters}");
    process.end();
}
