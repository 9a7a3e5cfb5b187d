//! Nothing is lost and nothing doubled on a real Apache Kafka: processes of the real binary that share partitions, stop, are
//! killed and are paused under load, and `verify`, which proves it afterwards from the topics alone.

mod bad_records;
mod embedded_full_disk;
mod full_disk;
mod killed_broker;
mod outage;
mod registry_outage;

use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use fairlead::runtime::LAST_COMMIT;
use fairlead::verify::Kind;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Header, Message};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use rdkafka::{Offset, TopicPartitionList};

use crate::harness::load::{Load, Random, Sent};
use crate::harness::process::Process;
use crate::harness::site::{self, Site};

const KILLS: u32 = 50;

/// Waits until the process has its share: the partitions of two tasks, of two topics each.
fn wait_for_a_half(site: &Site, home: &str) {
    site.wait_for("a half of the partitions", || {
        let log = site.log_of(home);
        log.lines()
            .rfind(|line| line.contains("assigned") || line.contains("revoked"))
            .is_some_and(|line| line.contains("partitions=4"))
    });
}

fn assert_model_saw(site: &Site, sent: Sent) {
    let report = site.prove_sound();
    let model = report.model.unwrap();
    let saw = Sent { alerts: model.alerts, deploys: model.deploys, rubbish: model.rubbish, left_firing: model.open };
    assert_eq!(saw, sent);
    let letters: u64 = report.tasks.iter().map(|task| task.dead_letters).sum();
    assert_eq!(letters, sent.rubbish);
}

#[test]
fn processes_share_partitions_and_one_that_stops_or_is_killed_loses_nothing() {
    let site = Site::new();
    let load = Load::start(&site, 3, 20);
    let first = site.start("a");
    site.wait_for("incidents", || site.ends(&site.topic("incidents")) > 0);
    let second = site.start("b");
    wait_for_a_half(&site, "b");
    second.end();
    let second = site.start("b");
    wait_for_a_half(&site, "b");
    first.kill();
    let sent = load.finish();
    site.wait_until_all_is_committed();
    assert_model_saw(&site, sent);
    second.end();

    let told = Command::new(env!("CARGO_BIN_EXE_fairlead"))
        .args(["verify", "--output", "json", "--topology"])
        .arg(site.topology_dir())
        .env("FAIRLEAD_TEST_INSTANCE", "verify")
        .output()
        .unwrap();
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    let report: serde_json::Value = serde_json::from_slice(&told.stdout).unwrap();
    assert_eq!((&report["inputs_lost"], &report["differences_total"]), (&0.into(), &0.into()));

    // A header that a retry would have written explains nothing without its mark.
    copy_the_last_incident(&site, ("fairlead-dead-letter", &format!("{}/0/1", site.topic("incidents"))));
    let report = site.prove();
    let kinds: Vec<_> = report.differences.iter().map(|difference| difference.kind).collect();
    assert_eq!(kinds, [Kind::OutputDoubled, Kind::Model], "a record that is there twice is seen twice: {report}");

    tell_another_last_commit(&site);
    let report = site.prove();
    let of_states: Vec<_> = report.differences.iter().filter(|difference| difference.kind == Kind::State).collect();
    assert!(matches!(of_states[..], [one] if one.found.contains("sequence: 1,")), "{report}");
}

/// As a task that was left behind would have: of the first commit.
fn tell_another_last_commit(site: &Site) {
    let (connection, changelog) = (&site.endpoints.connection, site.topology.names.changelog("level"));
    let producer: ThreadedProducer<DefaultProducerContext> = connection.producer().create().unwrap();
    let value = br#"{"sequence":1,"acted_at_ms":1,"inputs":[]}"#;
    let record = BaseRecord::to(changelog.as_str()).partition(0).key(LAST_COMMIT).payload(&value[..]);
    producer.send(record).map_err(|(error, _)| error).unwrap();
    producer.flush(Duration::from_secs(60)).unwrap();
}

/// Writes an incident again, headers and all, as a commit that was repeated would have; with one header more.
fn copy_the_last_incident(site: &Site, header: (&str, &str)) {
    let connection = &site.endpoints.connection;
    let (consumer, topic): (BaseConsumer, _) = (connection.consumer("copy").create().unwrap(), site.topic("incidents"));
    let mut all = TopicPartitionList::new();
    for partition in 0..site::PARTITIONS {
        all.add_partition_offset(topic.as_str(), partition, Offset::OffsetTail(2)).unwrap();
    }
    consumer.assign(&all).unwrap();
    let message = consumer.poll(Duration::from_secs(60)).expect("an incident").unwrap().detach();
    let producer: ThreadedProducer<DefaultProducerContext> = connection.producer().create().unwrap();
    let (key, value) = (header.0, Some(header.1));
    let headers = message.headers().unwrap().clone().insert(Header { key, value });
    let record = BaseRecord::to(topic.as_str())
        .key(message.key().unwrap())
        .payload(message.payload().unwrap())
        .timestamp(message.timestamp().to_millis().unwrap())
        .headers(headers);
    producer.send(record).map_err(|(error, _)| error).unwrap();
    producer.flush(Duration::from_secs(60)).unwrap();
}

/// `FAIRLEAD_SEED` repeats a run's choices, `FAIRLEAD_KILLS` makes it longer.
#[test]
fn two_processes_that_are_killed_again_and_again_lose_and_double_nothing() {
    let told = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let (seed, kills) = (told("FAIRLEAD_SEED").unwrap_or(now), told("FAIRLEAD_KILLS").unwrap_or(KILLS.into()));
    println!("FAIRLEAD_SEED={seed}");
    let (site, mut random, began) = (Site::new(), Random(seed), Instant::now());
    let load = Load::start(&site, seed, 15);
    let names = ["a", "b"];
    let mut processes = names.map(|name| Some(site.start(name)));
    let mut killed = 0;
    while killed < kills {
        // Long enough to commit most of the time, short enough to be hit while starting now and then.
        std::thread::sleep(Duration::from_millis(100 + random.below(1_400)));
        let number = random.below(2) as usize;
        let process = processes[number].take().unwrap();
        match random.below(10) {
            // Shorter and longer than the session's four seconds.
            0 => pause(&process, if random.below(4) == 0 { 6_000 } else { 200 + random.below(1_000) }),
            1 => {
                pause(&process, random.below(500));
                killed += 1;
                process.kill();
                processes[number] = Some(site.start(names[number]));
                continue;
            }
            _ => {
                killed += 1;
                process.kill();
                processes[number] = Some(site.start(names[number]));
                continue;
            }
        }
        processes[number] = Some(process);
    }
    let sent = load.finish();
    site.wait_until_all_is_committed();
    println!("{killed} kills in {:?}", began.elapsed());
    assert!(processes.iter_mut().flatten().all(Process::is_running), "{}", site.logs());
    assert_model_saw(&site, sent);
}

fn pause(process: &Process, ms: u64) {
    process.signal("STOP");
    std::thread::sleep(Duration::from_millis(ms));
    process.signal("CONT");
}

#[test]
fn a_process_that_dies_at_any_step_of_a_commit_loses_and_doubles_nothing() {
    let site = Site::new();
    let load = Load::start(&site, 11, 20);
    for point in ["before begin", "after begin", "after produce", "before commit", "after commit", "after store write"]
    {
        let dies = format!("{point}=2*off->return(die)");
        let mut process = site.start_with("a", "a", &[("FAILPOINTS", &dies)]);
        site.wait_for("the process to die", || !process.is_running());
    }
    let _last = site.start("a");
    let sent = load.finish();
    site.wait_until_all_is_committed();
    assert_model_saw(&site, sent);
}

/// The tenth commit takes its time, so that a signal meets it open.
const SLOW_COMMIT: [(&str, &str); 1] = [("FAILPOINTS", "before commit=10*off->1*sleep(8000)")];
/// Longer than a transaction may take, ten seconds, and than the broker needs to see it.
const LONG: Duration = Duration::from_secs(12);

#[test]
fn a_process_that_is_paused_inside_a_transaction_for_longer_than_its_time_goes_on_by_itself() {
    let site = Site::new();
    let load = Load::start(&site, 5, 20);
    let mut process = site.start_with("a", "a", &SLOW_COMMIT);
    site.wait_for_a_held_transaction();
    process.signal("STOP");
    site.wait_for("the coordinator to end the transaction", || site.open_transaction().is_none());
    process.signal("CONT");
    let sent = load.finish();
    site.wait_until_all_is_committed();
    assert!(process.is_running(), "{}", site.logs());
    assert!(site.log_of("a").contains("open for too long"), "the pause did not hit a transaction:\n{}", site.logs());
    assert_model_saw(&site, sent);
}

#[test]
fn a_process_that_finds_a_twin_in_its_place_after_a_pause_stops_and_the_twin_goes_on() {
    let site = Site::new();
    let load = Load::start(&site, 7, 20);
    let mut paused = site.start_with("a", "a", &SLOW_COMMIT);
    site.wait_for_a_held_transaction();
    paused.signal("STOP");
    let mut twin = site.start_with("a", "twin", &[]);
    site.wait_for("the twin to have all", || site.log_of("twin").contains("partitions=8"));
    std::thread::sleep(LONG);
    paused.signal("CONT");
    site.wait_for("the first one to stop", || !paused.is_running());
    let sent = load.finish();
    site.wait_until_all_is_committed();
    assert!(twin.is_running(), "{}", site.logs());
    assert_model_saw(&site, sent);
}

/// Joins the group by the process's own name, which fences it, and is gone.
fn take_the_place_of(site: &Site, instance: &str) {
    let names = &site.topology.names;
    let mut config = site.endpoints.connection.consumer(&names.engine_group());
    config.set("group.instance.id", names.transactional_id(instance, 0));
    let member: BaseConsumer = config.create().unwrap();
    member.subscribe(&[site.topic("alerts").as_str()]).unwrap();
    site.wait_for("the place to be taken", || {
        let polled = member.poll(Duration::from_millis(100)).map(|polled| polled.map(drop));
        assert!(matches!(polled, None | Some(Ok(()))), "{polled:?}");
        member.assignment().is_ok_and(|assigned| assigned.count() > 0)
    });
}

#[test]
fn a_process_whose_place_was_taken_joins_anew_and_stops_when_it_is_taken_again() {
    let site = Site::new();
    let load = Load::start(&site, 13, 20);
    let mut process = site.start("a");
    let commits = || site.ends(&site.topology.names.journal());
    site.wait_for("commits", || commits() > 10);
    take_the_place_of(&site, "a");
    site.wait_for("it to join anew", || site.joined_anew("a") == 1);
    let before = commits();
    site.wait_for("it goes on", || commits() > before + 10);
    assert!(process.is_running() && site.joined_anew("a") == 1, "{}", site.logs());

    take_the_place_of(&site, "a");
    site.wait_for("it to stop", || !process.is_running());
    let log = site.log_of("a");
    assert!(log.contains("fenced by a newer one") && site.joined_anew("a") == 1, "{log}");
    let mut process = site.start("a");
    let sent = load.finish();
    site.wait_until_all_is_committed();
    assert!(process.is_running(), "{}", site.logs());
    assert_model_saw(&site, sent);
}
