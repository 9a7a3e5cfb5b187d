//! The real process on a real Kafka, killed inside and between its commits, while the stand-in for Slack loses answers.

use std::time::Duration;

use fairlead::clock::Clock;
use fairlead::codec::Formats;
use fairlead::embedded::slack::{Control, FakeSlack, Fault, Workspace};
use fairlead::event::{Fact, SlackStatus};
use fairlead::log::Reader;
use fairlead::log::kafka::KafkaReader;
use fairlead::record::{Batch, Offset, Partition, TopicPartition};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};

use super::{ACTIONS, TOKEN, assert_told_once, incident};
use crate::harness::apache::Kafka;
use crate::harness::load::Random;
use crate::harness::site::{PARTITIONS, SESSION_MS, Site};

const INCIDENTS: usize = 8;
const KILLS: usize = 6;

fn slack_section(fake: &FakeSlack) -> String {
    format!(
        "slack: {{ actions: APP.actions.v1, outcomes: APP.outcomes.v1, token: '${{env:TEST_SLACK_TOKEN}}', url: '{}' }}
topics:
  APP.outcomes.v1: {{ fact: slack_outcome, partitions: {PARTITIONS}, retention_ms: 86400000 }}
",
        fake.base_url()
    )
}

fn tell(site: &Site, name: &str, from: usize, to: usize) {
    let producer: ThreadedProducer<DefaultProducerContext> = site.endpoints.connection.producer().create().unwrap();
    for action in incident(name).drain(from..to) {
        let mut value = Vec::new();
        site.formats.encode_fact(&Fact::SlackAction(action), &mut value).unwrap();
        let topic = site.topic("actions");
        producer.send(BaseRecord::to(topic.as_str()).key(name).payload(&value)).map_err(|(error, _)| error).unwrap();
    }
    producer.flush(Duration::from_secs(60)).unwrap();
}

/// Actions that the sink has finished.
fn finished(site: &Site) -> i64 {
    let reader = KafkaReader::new(&site.endpoints.connection, &site.topology.names.sink_group("slack")).unwrap();
    let places: Vec<_> =
        (0..PARTITIONS).map(|number| TopicPartition::new(&site.topic("actions"), Partition(number))).collect();
    let committed = reader.committed(&places).unwrap_or_default();
    committed.into_iter().flatten().map(|committed| committed.offset.0).sum()
}

/// How many records of each status are in the journal.
fn journal(site: &Site, formats: &Formats) -> std::collections::BTreeMap<String, u64> {
    let mut reader = KafkaReader::new(&site.endpoints.connection, "watch").unwrap();
    let mut statuses = std::collections::BTreeMap::new();
    for number in 0..PARTITIONS {
        let place = TopicPartition::new(&site.topic("outcomes"), Partition(number));
        let (end, mut next) = (reader.watermarks(&place).unwrap().high, Offset(0));
        while next < end {
            let mut batch = Batch::default();
            next = reader.read(&place, next, 1 << 20, Duration::from_secs(1), &mut batch).unwrap();
            for record in batch.iter() {
                let fact = formats.decode_fact(fairlead::event::FactKind::SlackOutcome, record.value.unwrap()).unwrap();
                if let Fact::SlackOutcome(outcome) = fact {
                    *statuses.entry(format!("{:?}", outcome.status)).or_default() += 1;
                }
            }
        }
    }
    statuses
}

#[test]
fn a_process_that_is_killed_at_its_commits_and_between_them_tells_every_incident_once() {
    let clock = Clock::wall();
    let outer = tokio::runtime::Runtime::new().unwrap();
    let fake = outer.block_on(FakeSlack::start(Workspace::new(TOKEN, &["oncall"]), clock)).unwrap();
    let site = Site::on(Kafka::shared(), SESSION_MS, &slack_section(&fake));
    let arm = |method: &str, fault| {
        fake.control(Control::Arm { method: method.to_owned(), times: 1, fault }).unwrap();
    };
    let names: Vec<_> = (0..INCIDENTS).map(|number| format!("i{number}")).collect();
    let token = ("TEST_SLACK_TOKEN", TOKEN);
    names.iter().for_each(|name| tell(&site, name, 0, 3));
    // The first commit tells where it begins; the next ones are intents and outcomes.
    for commit in 1..=4 {
        for point in ["slack: before commit", "slack: after commit"] {
            let dies = format!("{point}={commit}*off->return(die)");
            let mut process = site.start_with("a", "a", &[token, ("FAILPOINTS", &dies)]);
            site.wait_for("the process to die", || !process.is_running());
        }
    }
    names.iter().for_each(|name| tell(&site, name, 3, ACTIONS));
    let faults = [Fault::Drop, Fault::Fail, Fault::Stall, Fault::Late { delay_ms: 3_000 }];
    let mut random = Random(20_261_127);
    for kill in 0..KILLS {
        arm("chat.postMessage", faults[kill % faults.len()].clone());
        arm("chat.update", faults[(kill + 1) % faults.len()].clone());
        let process = site.start_with("a", "a", &[token]);
        std::thread::sleep(Duration::from_millis(2_000 + random.below(4_000)));
        process.kill();
    }
    let process = site.start_with("a", "a", &[token]);
    let actions = (ACTIONS * INCIDENTS) as i64;
    site.wait_for("everything to be told", || finished(&site) == actions);
    names.iter().for_each(|name| assert_told_once(&fake, name, "killed"));
    process.end();
    let statuses = journal(&site, &site.formats);
    println!("{} deaths, {INCIDENTS} incidents told once: {statuses:?}", 8 + KILLS);
    let of = |status: SlackStatus| statuses.get(&format!("{status:?}")).copied().unwrap_or(0);
    assert!(of(SlackStatus::Done) + of(SlackStatus::Superseded) >= actions as u64, "{statuses:?}");
    assert!(of(SlackStatus::Intended) > of(SlackStatus::Done), "no death hit a call: {statuses:?}");
    assert_eq!(of(SlackStatus::Unknown) + of(SlackStatus::Rejected), 0, "{statuses:?}");
}
