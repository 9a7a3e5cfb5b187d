//! The runner as a real process on a real Kafka, killed inside and between its commits: no button is done twice, and of each it is
//! told how it ended, or that nobody knows.

use std::collections::BTreeMap;
use std::time::Duration;

use fairlead::event::{ActionRun, Fact, FactKind, RunStatus};
use fairlead::log::Reader;
use fairlead::log::kafka::KafkaReader;
use fairlead::record::{Batch, Offset, Partition, TopicPartition};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};

use crate::harness::apache::Kafka;
use crate::harness::load::Random;
use crate::harness::site::{PARTITIONS, SESSION_MS, Site};

const KILLS: usize = 5;

fn ask(site: &Site, id: &str) {
    let producer: ThreadedProducer<DefaultProducerContext> = site.endpoints.connection.producer().create().unwrap();
    let run = ActionRun {
        id: id.to_owned(),
        service: format!("service-{}", id.len() % 3),
        incident_id: "inc-1".to_owned(),
        action: "note".to_owned(),
        by: "ann".to_owned(),
        status: RunStatus::Requested,
        at_ms: jiff::Timestamp::now().as_millisecond(),
        result: None,
        output: None,
    };
    let (key, mut value) = (run.service.clone(), Vec::new());
    site.formats.encode_fact(&Fact::ActionRun(run), &mut value).unwrap();
    let topic = site.topic("runs");
    producer.send(BaseRecord::to(topic.as_str()).key(&key).payload(&value)).map_err(|(error, _)| error).unwrap();
    producer.flush(Duration::from_secs(60)).unwrap();
}

/// What was told of each run after it was requested.
fn told(site: &Site) -> BTreeMap<String, Vec<RunStatus>> {
    let mut reader = KafkaReader::new(&site.endpoints.connection, "watch").unwrap();
    let mut statuses: BTreeMap<String, Vec<RunStatus>> = BTreeMap::new();
    for number in 0..PARTITIONS {
        let place = TopicPartition::new(&site.topic("runs"), Partition(number));
        let (end, mut next) = (reader.watermarks(&place).unwrap().high, Offset(0));
        let mut silent = 0;
        while next < end && silent < 5 {
            let mut batch = Batch::default();
            let before = next;
            next = reader.read(&place, next, 1 << 20, Duration::from_secs(1), &mut batch).unwrap();
            // A transaction that a dead process left open hides what is behind it for a while.
            silent = if next == before { silent + 1 } else { 0 };
            for record in batch.iter() {
                let fact = site.formats.decode_fact(FactKind::ActionRun, record.value.unwrap()).unwrap();
                if let Fact::ActionRun(run) = fact {
                    let told = statuses.entry(run.id).or_default();
                    told.extend((run.status != RunStatus::Requested).then_some(run.status));
                }
            }
        }
    }
    statuses
}

#[test]
fn a_process_that_is_killed_at_its_commits_and_between_them_does_nothing_twice() {
    let done = tempfile::NamedTempFile::new().unwrap();
    let script = format!("echo $FAIRLEAD_RUN_ID >> {}; sleep 0.2", done.path().display());
    let sections = format!(
        "runner: {{ runs: APP.runs.v1 }}
actions:
  note: {{ label: Note, command: [sh, -c, '{script}'] }}
topics:
  APP.runs.v1: {{ fact: action_run, partitions: {PARTITIONS}, retention_ms: 86400000 }}
"
    );
    let site = Site::on(Kafka::shared(), SESSION_MS, &sections);
    let mut asked = 0;
    let mut more = |count: usize| {
        for _ in 0..count {
            asked += 1;
            ask(&site, &"r".repeat(asked));
        }
    };
    // The first commit tells where it begins; then `started`, and how it ended.
    for commit in 1..=2 {
        for point in ["runner: before commit", "runner: after commit", "runner: before execution"] {
            more(1);
            let dies = format!("{point}={commit}*off->return(die)");
            let mut process = site.start_with("a", "a", &[("FAILPOINTS", &dies)]);
            site.wait_for("the process to die", || !process.is_running());
        }
    }
    let mut random = Random(20_261_128);
    for _ in 0..KILLS {
        let process = site.start_with("a", "a", &[]);
        more(2);
        std::thread::sleep(Duration::from_millis(500 + random.below(2_500)));
        process.kill();
    }
    more(1);
    let process = site.start_with("a", "a", &[]);
    let all = asked;
    let has_ended = |statuses: &Vec<RunStatus>| statuses.iter().any(|status| *status > RunStatus::Started);
    site.wait_for("every run to have ended", || {
        let told = told(&site);
        told.len() == all && told.values().all(has_ended)
    });
    process.end();
    let done = std::fs::read_to_string(done.path()).unwrap();
    let mut ends: BTreeMap<String, usize> = BTreeMap::new();
    for (id, statuses) in told(&site) {
        let times = done.lines().filter(|line| *line == id).count();
        let last = *statuses.last().unwrap();
        assert!(times <= 1, "{} letters: done {times} times, {statuses:?}", id.len());
        assert!(statuses == [RunStatus::Started, last], "{} letters: {statuses:?}", id.len());
        assert!(last != RunStatus::Succeeded || times == 1, "{} letters: {statuses:?}", id.len());
        *ends.entry(format!("{last:?}")).or_default() += 1;
    }
    println!("{} deaths, {all} runs, none done twice: {ends:?}", 6 + KILLS);
    assert!(ends["Unknown"] > 0 && ends["Succeeded"] > 0, "{ends:?}");
}
