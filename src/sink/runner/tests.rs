//! The runner on the simulated log with real programs: it is killed at every half call of the log, and each run is done once at
//! most and told to have ended.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use prometheus::Registry;
use serde_json::json;
use tokio::runtime::Runtime;

use super::execute::Executor;
use super::ledger::{HOLDS_MS, Ledger};
use super::metrics::Metrics;
use super::records::{self, Records};
use super::runs::Runs;
use super::worker::{Hold, Worker};
use crate::actions::Actions;
use crate::actions::template::Secret;
use crate::clock::Clock;
use crate::codec::Formats;
use crate::event::{ActionRun, RunStatus};
use crate::log::Error;
use crate::log::sim::{Faults, Sim, SimLog, SimReader};
use crate::record::{Batch, EventTime, Offset, Partition, Topic, TopicPartition};
use crate::topology::dead_letter;

const NOW: EventTime = EventTime(1_700_000_000_000);
const PATIENCE: Duration = Duration::from_secs(60);

struct Rig {
    sim: Sim,
    clock: Clock,
    runtime: Runtime,
    dir: tempfile::TempDir,
    actions: Actions,
}

type Seat = Worker<SimLog, SimReader>;

fn topic() -> Topic {
    Topic::from("oncall.action-runs.v1")
}

fn place() -> TopicPartition {
    TopicPartition::new(&topic(), Partition(0))
}

impl Rig {
    fn new(faults: Faults) -> Self {
        let clock = Clock::at(NOW);
        let sim = Sim::new(7, clock.clone(), faults);
        sim.create_topic(&topic(), 1, false);
        sim.create_topic(&Topic::from("letters"), 1, false);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let actions = actions(&[("note", json!({"command": ["sh", "-c", note(dir.path())], "timeout_ms": 20_000}))]);
        Self { sim, clock, runtime, dir, actions }
    }

    fn seat(&self) -> Seat {
        let executor = Executor::new(self.actions.clone(), BTreeMap::new()).unwrap();
        Worker {
            log: self.sim.member("runner", "runner-1", &[topic()]),
            reader: self.sim.reader(),
            records: self.records(),
            ledger: Ledger::default(),
            runs: Runs::new(executor, self.runtime.handle().clone()),
            clock: self.clock.clone(),
            metrics: Metrics::register(&Registry::new()).unwrap(),
            assigned: std::collections::BTreeSet::new(),
            hold: Hold::Nothing,
            paused: false,
            drain: Duration::from_millis(200),
            to_tell: Vec::new(),
            letters: Vec::new(),
            committed: Vec::new(),
        }
    }

    fn records(&self) -> Records {
        Records {
            formats: Formats::shipped(),
            runs: topic(),
            dead_letters: Topic::from("letters"),
            dead_letter_format: crate::codec::Format::new(crate::codec::SchemaId(999), dead_letter::SCHEMA).unwrap(),
            reader: "runner".to_owned(),
        }
    }

    fn ask(&self, id: &str, action: &str) {
        self.ask_at(id, action, self.clock.now());
    }

    fn ask_at(&self, id: &str, action: &str, at: EventTime) {
        self.sim.append(self.records().of_run(Partition(0), &request(id, action, at)).unwrap());
    }

    /// What was told of a run, in order.
    fn told(&self, id: &str) -> Vec<ActionRun> {
        let formats = Formats::shipped();
        let mut runs = Vec::new();
        for (offset, record) in self.sim.committed_records(&place()) {
            let (mut batch, at) = (Batch::default(), place());
            batch.push(&crate::record::Record {
                topic: &at.topic,
                partition: at.partition,
                offset,
                timestamp: record.timestamp,
                key: record.key.as_deref(),
                value: record.value.as_deref(),
                headers: crate::record::Headers::NONE,
            });
            runs.extend(batch.iter().filter_map(|record| records::run(&formats, &record).ok()));
        }
        runs.into_iter().filter(|run| run.id == id && run.status != RunStatus::Requested).collect()
    }

    fn statuses(&self, id: &str) -> Vec<RunStatus> {
        self.told(id).iter().map(|run| run.status).collect()
    }

    /// How often it was done.
    fn done(&self, id: &str) -> usize {
        let noted = std::fs::read_to_string(self.dir.path().join("noted")).unwrap_or_default();
        noted.lines().filter(|line| *line == id).count()
    }

    fn until(&self, seat: &mut Seat, what: impl Fn() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !what() {
            assert!(Instant::now() < deadline, "it did not come to that");
            seat.turn().unwrap();
        }
    }
}

fn actions(all: &[(&str, serde_json::Value)]) -> Actions {
    let one = |(name, action): &(&str, serde_json::Value)| {
        let mut action = action.clone();
        action["label"] = (*name).into();
        ((*name).to_owned(), serde_json::from_value(action).unwrap())
    };
    all.iter().map(one).collect()
}

/// A shell of a test's own, which writes down that it was called.
fn note(dir: &Path) -> String {
    format!("echo \"$FAIRLEAD_RUN_ID\" >> {}/noted; echo done by $FAIRLEAD_BY", dir.display())
}

fn request(id: &str, action: &str, at: EventTime) -> ActionRun {
    ActionRun {
        id: id.to_owned(),
        service: "checkout".to_owned(),
        incident_id: "inc-1".to_owned(),
        action: action.to_owned(),
        by: "ann".to_owned(),
        status: RunStatus::Requested,
        at_ms: at.0,
        result: None,
        output: None,
    }
}

fn has_ended(statuses: &[RunStatus]) -> bool {
    statuses.last().is_some_and(|status| *status > RunStatus::Started)
}

use RunStatus::{Failed, Started, Succeeded, Unknown};

#[test]
fn a_run_is_started_done_and_told_with_its_output_and_its_double_is_not() {
    let rig = Rig::new(Faults::default());
    let mut seat = rig.seat();
    rig.ask("r1", "note");
    rig.ask("r1", "note");
    rig.ask("r2", "gone");
    rig.until(&mut seat, || has_ended(&rig.statuses("r1")) && has_ended(&rig.statuses("r2")));
    rig.ask("r1", "note");
    rig.ask_at("late", "note", rig.clock.now().plus_ms(-HOLDS_MS - 1));
    rig.until(&mut seat, || has_ended(&rig.statuses("late")));
    assert_eq!((rig.statuses("r1"), rig.done("r1")), (vec![Started, Succeeded], 1));
    let ended = rig.told("r1").pop().unwrap();
    assert_eq!((ended.result.as_deref(), ended.output.as_deref()), (Some("exit code 0"), Some("done by ann")));
    assert_eq!((rig.statuses("r2"), rig.statuses("late"), rig.done("late")), (vec![Started, Failed], vec![Failed], 0));
    assert_eq!(rig.sim.committed_offset(&place()).map(|committed| committed.offset > Offset(4)), Some(true));
}

/// Dead after so many half calls of the log, in every place that there is: at once after `started` is durable, while it runs, before
/// its result is written, and after.
#[test]
fn killed_anywhere_a_run_is_done_at_most_once_and_never_left_open() {
    let (mut once, mut never, mut unknown) = (0, 0, 0);
    for lives in 1..60 {
        let rig = Rig::new(Faults::default());
        let mut seat = rig.seat();
        rig.ask("r", "note");
        seat.log.lives().set(Some(lives));
        let deadline = Instant::now() + PATIENCE;
        let died = loop {
            assert!(Instant::now() < deadline);
            match seat.turn() {
                Ok(()) if has_ended(&rig.statuses("r")) => break false,
                Ok(()) => {}
                Err(Error::Fatal(why)) if why == "killed" => break true,
                Err(error) => panic!("{error}"),
            }
        };
        drop(seat);
        let mut seat = rig.seat();
        rig.until(&mut seat, || has_ended(&rig.statuses("r")));
        (0..3).for_each(|_| seat.turn().unwrap());
        let statuses = rig.statuses("r");
        assert!(statuses == [Started, Succeeded] || statuses == [Started, Unknown], "{lives}: {statuses:?}");
        // Its program may have been killed with it, before it wrote anything down.
        assert!(rig.done("r") <= 1, "{lives}: done {} times", rig.done("r"));
        if statuses.last() == Some(&Succeeded) {
            assert_eq!(rig.done("r"), 1, "{lives}");
        }
        once += rig.done("r");
        never += usize::from(rig.done("r") == 0);
        unknown += usize::from(statuses.last() == Some(&Unknown));
        if !died {
            break;
        }
    }
    assert!(once > 5 && unknown > 0, "done {once} times, {never} not, {unknown} unknown");
}

#[test]
fn a_log_that_fails_in_every_way_leaves_no_run_open_and_does_none_twice() {
    let faults = Faults {
        unavailable: 15,
        undelivered: 15,
        lost_request: 15,
        lost_answer: 25,
        repeated_end: 10,
        late_marker: 100,
        ..Faults::default()
    };
    let rig = Rig::new(faults);
    let mut seat = rig.seat();
    let ids: Vec<_> = (0..30).map(|number| format!("r{number}")).collect();
    let stop = std::sync::atomic::AtomicBool::new(false);
    let deadline = Instant::now() + PATIENCE;
    for id in &ids {
        rig.ask(id, "note");
        while !has_ended(&rig.statuses(id)) {
            assert!(Instant::now() < deadline, "{id}: {:?}", rig.statuses(id));
            if let Err(error) = seat.turn() {
                seat.start_over(error, &stop).unwrap();
            }
        }
    }
    for id in &ids {
        let statuses = rig.statuses(id);
        assert!(statuses.iter().filter(|status| **status > Started).count() == 1, "{id}: {statuses:?}");
        assert!(rig.done(id) <= 1, "{id}");
    }
    let succeeded = ids.iter().filter(|id| rig.statuses(id).last() == Some(&Succeeded)).count();
    assert!(succeeded > 15, "{succeeded} of 30");
}

#[test]
fn after_a_rebalance_it_goes_on_and_does_nothing_again() {
    let rig = Rig::new(Faults::default());
    let mut seat = rig.seat();
    rig.ask("r", "note");
    rig.until(&mut seat, || has_ended(&rig.statuses("r")));
    rig.sim.expel("runner", 0);
    rig.ask("s", "note");
    rig.until(&mut seat, || has_ended(&rig.statuses("s")));
    assert_eq!((rig.done("r"), rig.done("s")), (1, 1));
}

#[test]
fn who_stops_ends_what_does_not_end_by_itself_and_says_that_nobody_knows() {
    let mut rig = Rig::new(Faults::default());
    let survived = rig.dir.path().join("survived");
    let slow = format!("echo begun > {0}.begun; sleep 2; touch {0}", survived.display());
    rig.actions.extend(actions(&[("slow", json!({"command": ["sh", "-c", slow], "timeout_ms": 60_000}))]));
    let mut seat = rig.seat();
    rig.ask("r", "slow");
    rig.until(&mut seat, || rig.dir.path().join("survived.begun").exists());
    assert_eq!(rig.statuses("r"), [Started]);
    seat.run(&std::sync::atomic::AtomicBool::new(true)).unwrap();
    assert_eq!(rig.statuses("r"), [Started, Unknown]);
    std::thread::sleep(Duration::from_millis(2_500));
    assert!(!survived.exists());
}

fn executed(action: serde_json::Value, secrets: &[(&str, &str)]) -> super::execute::Ended {
    let secrets = secrets.iter().map(|(name, value)| (Secret::Env((*name).to_owned()), (*value).to_owned()));
    let executor = Executor::new(actions(&[("a", action)]), secrets.collect()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(executor.execute(&request("r", "a", NOW)))
}

#[test]
fn a_program_has_no_shell_no_environment_of_ours_and_its_secrets_are_not_told() {
    let ended = executed(json!({"command": ["echo", "$FAIRLEAD_BY;", "`id`"]}), &[]);
    assert_eq!((ended.status, ended.output.as_deref()), (Succeeded, Some("$FAIRLEAD_BY; `id`")));
    let environment = json!({"command": ["env"], "environment": {"TOKEN": "x-${env:T}-${incident.id}"}});
    let ended = executed(environment, &[("T", "hunter22")]);
    let output = ended.output.unwrap();
    assert!(output.contains("TOKEN=x-•••-inc-1") && output.contains("FAIRLEAD_SERVICE=checkout"), "{output}");
    assert!(!output.contains("hunter22") && !output.contains("CARGO"), "{output}");
    let ended = executed(json!({"command": ["sh", "-c", "echo oops >&2; exit 3"]}), &[]);
    assert_eq!((ended.status, &*ended.result, ended.output.as_deref()), (Failed, "exit code 3", Some("oops")));
    let ended = executed(json!({"command": ["/no/such/program"]}), &[]);
    assert!(ended.status == Failed && ended.result.contains("cannot be started"), "{ended:?}");
}

#[test]
fn when_its_time_is_over_the_whole_group_is_killed_and_output_is_cut() {
    let dir = tempfile::tempdir().unwrap();
    let script = format!("(sleep 2; touch {}/survived) & echo begun; sleep 60", dir.path().display());
    let began = Instant::now();
    let ended = executed(json!({"command": ["sh", "-c", script], "timeout_ms": 300}), &[]);
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    assert_eq!((ended.status, ended.output.as_deref()), (Failed, Some("begun")));
    assert!(ended.result.starts_with("killed"), "{}", ended.result);
    let endless = json!({"command": ["yes", "é"], "timeout_ms": 300, "output_bytes_max": 100});
    let output = executed(endless, &[]).output.unwrap();
    assert!(output.len() < 130 && output.starts_with('…'), "{output}");
    std::thread::sleep(Duration::from_secs(3).saturating_sub(began.elapsed().saturating_sub(Duration::from_secs(1))));
    assert!(!dir.path().join("survived").exists());
}

/// Answers each connection with `answer` once and tells what it was sent.
fn server(answer: &'static str) -> (String, std::thread::JoinHandle<String>) {
    use std::io::{Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let thread = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = Vec::new();
        let mut buffer = [0; 4096];
        while !String::from_utf8_lossy(&request).ends_with('}') {
            let length = stream.read(&mut buffer).unwrap();
            request.extend_from_slice(&buffer[..length]);
            if length == 0 {
                break;
            }
        }
        stream.write_all(answer.as_bytes()).unwrap();
        String::from_utf8(request).unwrap()
    });
    (url, thread)
}

#[test]
fn an_http_call_is_filled_in_expects_its_status_and_follows_no_redirection() {
    let call = |url: &str| {
        json!({"http": {
            "url": format!("{url}/run/${{incident.service}}?id=${{run.id}}"),
            "headers": {"Authorization": "Bearer ${env:T}"},
            "body": r#"{"by": "${run.by}"}"#,
            "expect": [202],
        }})
    };
    let (url, thread) = server("HTTP/1.1 202 Accepted\r\ncontent-length: 15\r\n\r\ntoken: hunter22");
    let ended = executed(call(&url), &[("T", "hunter22")]);
    let sent = thread.join().unwrap();
    assert!(sent.starts_with("POST /run/checkout?id=r HTTP/1.1") && sent.ends_with(r#"{"by": "ann"}"#), "{sent}");
    assert!(
        sent.contains("authorization: Bearer hunter22") && sent.contains("content-type: application/json"),
        "{sent}"
    );
    assert_eq!(
        (ended.status, &*ended.result, ended.output.as_deref()),
        (Succeeded, "http status 202", Some("token: •••"))
    );
    for answer in [
        "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n",
    ] {
        let (url, thread) = server(answer);
        let ended = executed(call(&url), &[("T", "hunter22")]);
        thread.join().unwrap();
        assert_eq!((ended.status, ended.output), (Failed, None), "{}", ended.result);
    }
    // Nothing was sent; and sent, but never answered.
    assert_eq!(executed(call("http://127.0.0.1:1"), &[("T", "x")]).status, Failed);
    let (url, thread) = server("");
    assert_eq!(executed(call(&url), &[("T", "x")]).status, Unknown);
    thread.join().unwrap();
}
