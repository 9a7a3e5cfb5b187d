//! The commands that look into a running application, as people run them: the real binary, a real broker, a real registry.

mod dead_letters;
mod least_privilege;
mod lineage;
mod offline;
mod payloads;
mod rules;
mod trend;

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// For whatever a busy machine takes.
const PATIENCE: Duration = Duration::from_secs(120);
const OPERATORS: &str = include_str!("../../../topology/oncall.yaml");

/// A topology of its own on a cluster that runs already, and a place for its state.
pub struct Home {
    dir: TempDir,
    alerts: String,
}

/// What a command answered.
pub struct Answer {
    pub fine: bool,
    pub out: String,
    pub err: String,
}

impl Home {
    /// `name` is the application's and part of every topic's: on a shared broker it must be nobody else's.
    pub fn new(name: &str, bootstrap: &str, registry: &str) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let topic = |domain: &str, noun: &str| format!("{domain}.{noun}-{name}.v1");
        let (alerts, deploys) = (topic("oncall", "alerts"), topic("delivery", "deploys"));
        let (incidents, actions) = (topic("oncall", "incidents"), topic("oncall", "slack-actions"));
        let [responses, runs, causes] = ["responses", "action-runs", "causes"].map(|noun| topic("oncall", noun));
        let state = dir.path().join("state");
        let app = format!(
            "application: {name}\nkafka:\n  bootstrap_servers: {bootstrap}\nregistry:\n  url: {registry}\nengine:\n  workers: 1\n  \
             state_dir: {}\nhttp: {{ listen: '127.0.0.1:0' }}\ningest: {{ alerts: {alerts}, deploys: {deploys}, open: true }}\n",
            state.display()
        );
        let topics = format!(
            "topics:\n  {alerts}: {{ fact: alert, partitions: 2 }}\n  {deploys}: {{ fact: deploy, partitions: 2 }}\n  \
             {incidents}: {{ fact: incident, partitions: 2 }}\n  {actions}: {{ fact: slack_action, partitions: 1 }}\n  \
             {responses}: {{ fact: response, partitions: 2 }}\n  {runs}: {{ fact: action_run, partitions: 2 }}\n  \
             {causes}: {{ fact: cause, partitions: 2 }}\n"
        );
        let operators = OPERATORS
            .replace("oncall.alerts.v1", &alerts)
            .replace("delivery.deploys.v1", &deploys)
            .replace("oncall.incidents.v1", &incidents)
            .replace("oncall.responses.v1", &responses)
            .replace("oncall.action-runs.v1", &runs)
            .replace("oncall.causes.v1", &causes)
            .replace("oncall.slack-actions.v1", &actions);
        let topology = dir.path().join("topology");
        std::fs::create_dir(&topology).expect("a writable directory");
        for (file, text) in [("app.yaml", &app), ("topics.yaml", &topics), ("oncall.yaml", &operators)] {
            std::fs::write(topology.join(file), text).expect("a writable directory");
        }
        Self { dir, alerts }
    }

    fn topology(&self) -> PathBuf {
        self.dir.path().join("topology")
    }

    fn topic(&self, noun: &str) -> String {
        self.alerts.replace("alerts", noun)
    }

    fn command(&self, args: &[&str], failpoints: Option<&str>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fairlead"));
        command.args(args).env("FAIRLEAD_TOPOLOGY", self.topology()).env_remove("RUST_LOG").env_remove("FAILPOINTS");
        if let Some(failpoints) = failpoints {
            command.env("FAILPOINTS", failpoints);
        }
        command
    }

    pub fn fairlead(&self, args: &[&str]) -> Answer {
        self.fairlead_at(args, None)
    }

    fn fairlead_at(&self, args: &[&str], failpoints: Option<&str>) -> Answer {
        let output = self.command(args, failpoints).output().expect("the binary can be run");
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Answer { fine: output.status.success(), out: text(output.stdout), err: text(output.stderr) }
    }

    /// Until it answers as wanted.
    pub fn until<T>(&self, args: &[&str], wanted: impl Fn(&Answer) -> Option<T>) -> T {
        let until = Instant::now() + PATIENCE;
        loop {
            let answer = self.fairlead(args);
            if let Some(found) = wanted(&answer) {
                return found;
            }
            assert!(Instant::now() < until, "{args:?} within {PATIENCE:?}: {}{}", answer.out, answer.err);
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// `fairlead run`, until it is dropped.
    pub fn run(&self) -> Running {
        let log = std::fs::File::create(self.dir.path().join("run.log")).expect("a writable directory");
        let child = self.command(&["run"], None).stderr(Stdio::from(log)).spawn().expect("the binary can be run");
        Running { child, log: self.dir.path().join("run.log") }
    }
}

impl Answer {
    pub fn json(&self) -> Value {
        assert!(self.fine, "{}{}", self.out, self.err);
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}", self.out))
    }
}

pub struct Running {
    child: Child,
    log: PathBuf,
}

impl Running {
    /// Politely, as an operator would.
    pub fn stop(mut self) {
        let pid = self.child.id().to_string();
        Command::new("kill").arg(pid).status().expect("kill can be run");
        let status = self.child.wait().expect("the process was started by us");
        assert!(status.success(), "{}", text_of(&self.log));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("{}", text_of(&self.log));
        }
    }
}

fn text_of(path: &Path) -> String {
    let mut text = String::new();
    std::fs::File::open(path).and_then(|mut file| file.read_to_string(&mut text)).map(|_| text).unwrap_or_default()
}
