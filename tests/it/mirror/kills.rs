//! The copy under kill -9: of the mirror at every step of a commit, of either broker, and of one of two processes on one flow; and a
//! process that sleeps for longer than a transaction and a session.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fairlead::log::Error;
use fairlead::log::kafka::KafkaWriter;

use super::pair::{Pairing, SHARDS, record, two};
use crate::harness::load::Random;
use crate::harness::process::Process;
use crate::harness::registry;

const POINTS: [&str; 4] =
    ["mirror: before begin", "mirror: after produce", "mirror: before commit", "mirror: after commit"];

/// One after the other: each has two brokers of its own, and is about what happens in time.
fn alone() -> std::sync::MutexGuard<'static, ()> {
    static ALONE: std::sync::Mutex<()> = std::sync::Mutex::new(());
    ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

struct Rig {
    pairing: Pairing,
    dir: tempfile::TempDir,
    _registry: fairlead::embedded::registry::Registry,
}

impl Rig {
    fn new(source: &str, target: &str) -> Rig {
        let pairing = Pairing::new(source, target, &[("a", 3), ("b", 2)], &[]);
        let dir = tempfile::tempdir().unwrap();
        let registry = registry::start(&dir.path().join("registry"));
        std::fs::create_dir(dir.path().join("topology")).unwrap();
        let Pairing { flow, offsets, .. } = &pairing;
        let yaml = format!(
            "application: it-{flow}\n\
             kafka:\n  bootstrap_servers: {target}\n  properties:\n    session.timeout.ms: 6000\n    heartbeat.interval.ms: 1000\n\
             registry:\n  url: {registry}\n\
             engine:\n  instance: ${{env:FAIRLEAD_TEST_INSTANCE}}\n\
             clusters:\n  old:\n    bootstrap_servers: {source}\n\
             mirrors:\n  {flow}:\n    from: old\n    shards: {SHARDS}\n    refresh_secs: 1\n    offsets: {offsets}\n    topics:\n    \
             - {{pattern: '{flow}\\.(.)', to: 'copy.{flow}.$1'}}\n",
            registry = registry.url(),
        );
        std::fs::write(dir.path().join("topology/app.yaml"), yaml).unwrap();
        Rig { pairing, dir, _registry: registry }
    }

    fn start(&self, instance: &str, failpoints: &str) -> Process {
        let home = self.dir.path().join(instance);
        std::fs::create_dir_all(&home).unwrap();
        let env = [("FAILPOINTS", failpoints), ("RUST_LOG", "info")];
        let env = if failpoints.is_empty() { &env[1..] } else { &env[..] };
        let topology = self.dir.path().join("topology");
        Process::command(&home, &["mirror", "run", "--flow", &self.pairing.flow], &topology, instance, env)
    }

    fn log(&self, instance: &str) -> String {
        std::fs::read_to_string(self.home(instance).join("log")).unwrap_or_default()
    }

    fn home(&self, instance: &str) -> std::path::PathBuf {
        Path::new(self.dir.path()).join(instance)
    }
}

/// Writes transactions, every fourth of them aborted, until told to stop; survives what befalls the broker.
fn load(pairing: &Pairing, stop: &AtomicBool) {
    let mut writer: Option<KafkaWriter> = None;
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        let mut transaction = |writer: &mut KafkaWriter| {
            writer.begin()?;
            for _ in 0..20 {
                let (topic, _, partitions) = &pairing.topics[usize::try_from(number % 2).unwrap()];
                writer.produce(&record(topic, i32::try_from(number / 2).unwrap() % partitions, number))?;
                number += 1;
            }
            if number % 80 == 0 { writer.abort() } else { writer.commit() }
        };
        let made = writer.get_or_insert_with(|| pairing.writer("load"));
        if let Err(error) = transaction(made) {
            let abort = matches!(error, Error::Abort(_));
            if !abort || made.abort().is_err() {
                // Until the broker is back.
                while made.renew().is_err() && !stop.load(Ordering::Relaxed) {
                    std::thread::sleep(Duration::from_millis(200));
                }
            }
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Under load, which ends with it.
fn under_load(pairing: &Pairing, what: impl FnOnce()) {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let loading = scope.spawn(|| load(pairing, &stop));
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(what));
        stop.store(true, Ordering::Relaxed);
        loading.join().unwrap();
        done.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
}

#[test]
fn killed_at_every_step_of_a_commit_it_loses_nothing_and_doubles_nothing() {
    let _alone = alone();
    let (source, target) = two();
    let rig = Rig::new(source.bootstrap(), target.bootstrap());
    under_load(&rig.pairing, || {
        for turn in 0..12 {
            // After a few commits, so that there is something behind it.
            let point = format!("{}=3*off->return(die)", POINTS[turn % POINTS.len()]);
            let mut process = rig.start("a", &point);
            let until = std::time::Instant::now() + Duration::from_secs(60);
            while process.is_running() {
                let told = || rig.log("a").lines().rev().take(20).collect::<Vec<_>>().join("\n");
                assert!(std::time::Instant::now() < until, "it does not come to `{point}`:\n{}", told());
                std::thread::sleep(Duration::from_millis(50));
            }
        }
    });
    let process = rig.start("a", "");
    rig.pairing.prove();
    process.end();
}

#[test]
fn two_processes_share_a_flow_and_either_may_die() {
    let _alone = alone();
    let (source, target) = two();
    let rig = Rig::new(source.bootstrap(), target.bootstrap());
    let mut random = Random(7);
    let mut processes = [rig.start("a", ""), rig.start("b", "")].map(Some);
    under_load(&rig.pairing, || {
        for turn in 0..6 {
            std::thread::sleep(Duration::from_millis(1500 + random.below(3000)));
            let (at, instance) = [(0, "a"), (1, "b")][turn % 2];
            processes[at].take().unwrap().kill();
            std::thread::sleep(Duration::from_millis(random.below(5000)));
            processes[at] = Some(rig.start(instance, ""));
        }
    });
    rig.pairing.prove();
    processes.into_iter().flatten().for_each(Process::end);
}

#[test]
fn one_that_slept_is_fenced_and_what_it_had_open_is_not_seen() {
    let _alone = alone();
    let (source, target) = two();
    let rig = Rig::new(source.bootstrap(), target.bootstrap());
    let (sleeper, other) = (rig.start("a", ""), rig.start("b", ""));
    under_load(&rig.pairing, || {
        for _ in 0..2 {
            std::thread::sleep(Duration::from_secs(4));
            sleeper.signal("STOP");
            // Longer than a session (6 s) and a transaction (10 s).
            std::thread::sleep(Duration::from_secs(14));
            sleeper.signal("CONT");
        }
        std::thread::sleep(Duration::from_secs(5));
    });
    rig.pairing.prove();
    sleeper.end();
    other.end();
}

#[test]
fn brokers_of_both_sides_are_killed_under_it() {
    let _alone = alone();
    let (mut source, mut target) = two();
    let rig = Rig::new(source.bootstrap(), target.bootstrap());
    let process = rig.start("a", "");
    let mut random = Random(11);
    under_load(&rig.pairing, || {
        for turn in 0..4 {
            std::thread::sleep(Duration::from_millis(2000 + random.below(3000)));
            let broker = if turn % 2 == 0 { &mut target } else { &mut source };
            broker.kill();
            std::thread::sleep(Duration::from_millis(random.below(2000)));
            broker.start();
        }
    });
    rig.pairing.prove();
    process.end();
}
