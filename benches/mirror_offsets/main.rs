//! Where groups go on after a switch: fairlead beside MirrorMaker 2, over the same records and the same 1,000 positions a kind of topic.
//!
//! `cargo bench --bench mirror_offsets`: two Kafkas are started, three topics filled (plain; transactions, some aborted; compacted), 1,000
//! groups commit each a random position, both systems copy to the second Kafka and commit there what they make of it, and at each
//! committed offset is read what is there. MirrorMaker 2 runs in its dedicated mode with the closest configuration that it has: names kept,
//! read committed, groups' offsets synchronised every second, every group; once with its default `offset.lag.max`, once with 0.
//! Re-delivered and skipped are records, over all groups that got an offset.
#![allow(clippy::unwrap_used, dead_code, unused_imports)] // it fails by panicking; of the tests' files not all is used

#[path = "../../tests/it/mirror/carry.rs"]
mod carry;
#[path = "../../tests/it/mirror/cases.rs"]
mod cases;
mod harness;
#[path = "../../tests/it/mirror/pair.rs"]
mod pair;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fairlead::log::client::Connection;
use fairlead::record::Topic;

use carry::{Carried, follow};
use harness::apache::Kafka;
use pair::{Pairing, all};

/// A kind of topic, filled, with a position for each group.
struct Case {
    kind: &'static str,
    pairing: Pairing,
    positions: BTreeMap<String, i64>,
}

fn main() {
    // Only when it is meant: `cargo test --benches` would run it too.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let source = Kafka::start_own(&["--set", "log.cleaner.backoff.ms=200"]);
    println!("{:<14} {:<28} {:>7} {:>13} {:>9}", "topic", "system", "groups", "re-delivered", "skipped");
    let ours = Kafka::start_own(&[]);
    let cases = [
        case(&source, &ours, "plain", &[], cases::plain),
        case(&source, &ours, "transactional", &[], cases::transactional),
        case(&source, &ours, "compacted", &cases::COMPACTED, cases::compacted),
    ];
    for case in &cases {
        fairlead(case);
    }
    drop(ours);
    for lag in [100, 0] {
        let target = Kafka::start_own(&[]);
        mirror_maker(&cases, source.bootstrap(), target.bootstrap(), lag);
    }
}

fn case(source: &Kafka, target: &Kafka, kind: &'static str, config: &[(&str, &str)], fill: fn(&Pairing)) -> Case {
    let pairing = Pairing::new(source.bootstrap(), target.bootstrap(), &[(kind, 1)], config);
    fill(&pairing);
    let positions = cases::positions(&pairing);
    let dir = tempfile::tempdir().unwrap();
    let carried = Carried::new(&pairing, &follow(&pairing, &dir), None);
    for (group, position) in &positions {
        carried.commit(&carried.source, group, (&pairing.topics[0].0, 0), *position);
    }
    Case { kind, pairing, positions }
}

fn show(case: &Case, system: &str, to: (&Connection, &Topic), committed: &BTreeMap<String, i64>) {
    let switched = cases::switched(&case.pairing, to, &case.positions, committed);
    let cases::Switched { groups, again, skipped } = switched;
    println!("{:<14} {system:<28} {groups:>7} {again:>13} {skipped:>9}", case.kind);
}

fn fairlead(case: &Case) {
    let Case { pairing, positions, .. } = case;
    let copies = pairing.start();
    pairing.prove();
    copies.stop().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let offsets = follow(pairing, &dir);
    harness::until("the ranges are read", || offsets.problem().is_none().then_some(()));
    let carried = Carried::new(pairing, &offsets, None);
    carried.round(false);
    carried.round(false);
    let committed = carried.committed(&carried.target, &positions.keys().cloned().collect::<Vec<_>>());
    show(case, "fairlead", (&pairing.target, &pairing.topics[0].1), &committed);
}

/// Until all records are there, and no group's offset has changed for a while.
fn mirror_maker(cases: &[Case], source: &str, target: &str, lag: u32) {
    let dir = tempfile::tempdir().unwrap();
    let topics: Vec<&str> = cases.iter().map(|case| case.pairing.topics[0].0.as_str()).collect();
    let mut running = start(dir.path(), source, target, &topics.join(","), lag);
    let connection = Connection::new(target);
    let until = Instant::now() + Duration::from_secs(300);
    let (mut last, mut rested) = (BTreeMap::new(), Instant::now());
    loop {
        std::thread::sleep(Duration::from_secs(2));
        let now: BTreeMap<_, _> = cases.iter().map(|case| (case.kind, committed(case, target))).collect();
        let copied = |case: &Case| {
            let topic = &case.pairing.topics[0].0;
            let count = |connection: &Connection| all(connection, topic, 0).map_or(0, |seen| seen.len());
            count(&connection) == count(&case.pairing.source)
        };
        if now != last || !cases.iter().all(copied) || now.values().all(BTreeMap::is_empty) {
            (last, rested) = (now, Instant::now());
        }
        if rested.elapsed() > Duration::from_secs(30) || Instant::now() > until {
            break;
        }
    }
    for case in cases {
        let system = format!("MirrorMaker 2, lag.max {lag}");
        show(case, &system, (&connection, &case.pairing.topics[0].0), &last[case.kind]);
    }
    let _ = running.kill();
    let _ = running.wait();
}

fn committed(case: &Case, target: &str) -> BTreeMap<String, i64> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let names: Vec<String> = case.positions.keys().cloned().collect();
    let admin = fairlead::wire::Admin::new(&Connection::new(target)).unwrap();
    let told = runtime.block_on(admin.group_offsets(&names)).unwrap();
    told.into_iter().filter_map(|(group, offsets)| Some((group, offsets.into_values().next()?.offset))).collect()
}

fn start(dir: &Path, source: &str, target: &str, topics: &str, lag: u32) -> Child {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let libs = Command::new(here.join("benches/mirror/mm2/libs.sh")).output().unwrap();
    assert!(libs.status.success(), "{}", String::from_utf8_lossy(&libs.stderr));
    let libs = String::from_utf8(libs.stdout).unwrap();
    let properties = format!(
        "clusters = a, b\n\
         a.bootstrap.servers = {source}\nb.bootstrap.servers = {target}\n\
         a->b.enabled = true\nb->a.enabled = false\na->b.topics = {topics}\na->b.groups = .*\n\
         a->b.emit.heartbeats.enabled = false\nb->a.emit.heartbeats.enabled = false\n\
         a->b.emit.checkpoints.interval.seconds = 1\na->b.sync.group.offsets.enabled = true\n\
         a->b.sync.group.offsets.interval.seconds = 1\na->b.refresh.groups.interval.seconds = 5\n\
         a->b.refresh.topics.interval.seconds = 5\na->b.sync.topic.acls.enabled = false\n\
         a->b.sync.topic.configs.enabled = false\na->b.offset.lag.max = {lag}\n\
         replication.policy.class = org.apache.kafka.connect.mirror.IdentityReplicationPolicy\n\
         tasks.max = 2\nreplication.factor = 1\noffset-syncs.topic.replication.factor = 1\n\
         checkpoints.topic.replication.factor = 1\nheartbeats.topic.replication.factor = 1\n\
         config.storage.replication.factor = 1\noffset.storage.replication.factor = 1\nstatus.storage.replication.factor = 1\n\
         a.consumer.auto.offset.reset = earliest\na.consumer.isolation.level = read_committed\n"
    );
    let file = dir.join("mm2.properties");
    std::fs::write(&file, properties).unwrap();
    let logs = here.join("tests/kafka/log4j2.properties");
    Command::new("java")
        .args(["-Xmx512m", "-XX:+UseSerialGC", "-Dlevel=WARN"])
        .arg(format!("-Dlog4j2.configurationFile={}", logs.display()))
        .arg("-cp")
        .arg(format!("{}/*", libs.trim()))
        .arg("org.apache.kafka.connect.mirror.MirrorMaker")
        .arg(file)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}
