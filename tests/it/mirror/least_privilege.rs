//! A flow as processes, with exactly the rights on its target that `fairlead explain --acls` prints: it copies, says where offsets lie, and
//! carries a group over. The source is a broker without access rules.

use std::collections::BTreeMap;
use std::process::{Child, Command, Output, Stdio};

use fairlead::embedded::registry::Registry;
use fairlead::topology::graph::acls::{Acl, Operation};
use fairlead::wire::Committed;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::clusters::{Clusters, block_on};
use crate::harness::acls::Rule;
use crate::harness::apache::Kafka;
use crate::harness::{registry, until};

struct Home {
    dir: TempDir,
    _registry: Registry,
}

impl Home {
    fn new(clusters: &Clusters) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let registry = registry::start(&dir.path().join("registry"));
        let (name, source, kafka) = (&clusters.name, &clusters.source, Kafka::secured());
        let app = format!(
            "application: app-{name}\nhttp: {{ listen: '127.0.0.1:0' }}\nengine: {{ state_dir: '{}' }}\nregistry: {{ url: '{}' }}\nkafka:\n  \
             bootstrap_servers: '{}'\n  properties:\n    security.protocol: sasl_ssl\n    ssl.ca.location: {}\n    sasl.mechanism: PLAIN\n    \
             sasl.username: fairlead\n    sasl.password: ${{env:PASSWORD}}\ningest: {{ alerts: oncall.alerts-{name}.v1, deploys: \
             delivery.deploys-{name}.v1, open: true }}\ntopics:\n  oncall.alerts-{name}.v1: {{ fact: alert, partitions: 1 }}\n  \
             delivery.deploys-{name}.v1: {{ fact: deploy, partitions: 1 }}\n",
            dir.path().join("state").display(),
            registry.url(),
            kafka.secure_bootstrap(),
            kafka.ca_pem().display(),
        );
        let mirrors = format!(
            "clusters:\n  old: {{ bootstrap_servers: '{source}' }}\nmirrors:\n  flow:\n    from: old\n    shards: 2\n    offsets: \
             migration.offsets-{name}.v1\n    audits: migration.audits-{name}.v1\n    refresh_secs: 1\n    topics:\n      - {{ pattern: \
             '{name}\\.(.*)', to: 'new-{name}.$1' }}\n    groups: {{ include: ['{name}-.*'], every_secs: 1, offsets: migration.groups-{name}.v1 }}\n"
        );
        let topology = dir.path().join("topology");
        std::fs::create_dir_all(&topology).unwrap();
        std::fs::write(topology.join("app.yaml"), app).unwrap();
        std::fs::write(topology.join("mirrors.yaml"), mirrors).unwrap();
        Self { dir, _registry: registry }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fairlead"));
        command
            .args(arguments)
            .arg("--topology")
            .arg(self.dir.path().join("topology"))
            .env("PASSWORD", "fairlead-secret");
        command
    }

    fn answer(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let output = self.answer(&[arguments, &["--output", "json"]].concat());
        let told = String::from_utf8_lossy(&output.stderr);
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {told}"))
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    fn run(&self) -> Running {
        let log = std::fs::File::create(self.dir.path().join("log")).unwrap();
        Running(self.command(&["run", "--log-json"]).stderr(Stdio::from(log)).stdout(Stdio::null()).spawn().unwrap())
    }

    fn address(&self, running: &mut Running) -> String {
        until("HTTP serves", || {
            let ended = running.0.try_wait().unwrap();
            assert!(ended.is_none(), "{ended:?}: {}", self.log());
            Some(self.log().split_once(r#""address":""#)?.1.split_once('"')?.0.to_owned())
        })
    }
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// On the application's own cluster, for the one user of the test.
fn printed(home: &Home) -> Vec<Rule> {
    let acls: Vec<Acl> = serde_json::from_value(home.json(&["explain", "--acls"])).unwrap();
    let of_target = acls.into_iter().filter(|acl| acl.cluster.is_none());
    let rules = of_target.flat_map(|Acl { resource, pattern, name, operations, .. }| {
        let principal = "User:fairlead".to_owned();
        let rule = Rule { principal, resource, pattern, name, operation: Operation::Read };
        operations.into_iter().map(move |operation| Rule { operation, ..rule.clone() })
    });
    let mut rules: Vec<_> = rules.collect();
    rules.sort();
    rules.dedup();
    rules
}

fn ask(address: &str, question: &str) -> (u16, Value) {
    block_on(async {
        let answer = reqwest::get(format!("http://{address}/api/v1/mirrors/flow/offsets?{question}")).await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    })
}

#[test]
fn with_the_printed_rights_alone_a_flow_copies_answers_and_carries_a_group_over() {
    let clusters = Clusters::new("least-mirror");
    let (source, copy) = (clusters.topic("a"), clusters.copy_of("a"));
    clusters.create("a", 1, &[]);
    clusters.write(&clusters.source, &source, 1, &["x", "y", "z"], true);
    let ends = clusters.end(&clusters.source, &source, 0);
    let home = Home::new(&clusters);
    Kafka::secured().grant(&printed(&home));
    let before = Kafka::secured().decisions().len();
    let mut running = home.run();
    let address = home.address(&mut running);
    let at_end = until("the answer over HTTP", || {
        let (status, answer) = ask(&address, &format!("topic={source}&partition=0&offset={ends}"));
        (status == 200).then_some(answer)
    });
    // Three records; behind them on the source is the mark of their transaction.
    let place = |topic: &str, offset: i64| json!({ "topic": topic, "partition": 0, "offset": offset });
    assert_eq!((&at_end["state"], &at_end["answer"]), (&json!("at_end"), &place(&copy, 3)), "{at_end:#}");
    let translate = |topic: &str, more: &[&str]| {
        let given = ["offsets", "translate", "--flow", "flow", "--topic", topic, "--partition", "0", "--offset", "1"];
        home.json(&[&given[..], more].concat())
    };
    let there = translate(&source, &[]);
    assert_eq!((&there["state"], &there["answer"]), (&json!("exact"), &place(&copy, 1)), "{there:#}");
    assert_eq!(translate(&copy, &["--reverse"])["answer"], place(&source, 1));
    assert_eq!(ask(&address, "topic=nowhere&partition=0&offset=0").0, 404);

    let group = format!("{}-readers", clusters.name);
    let place = (source.clone(), 0);
    let offsets = BTreeMap::from([(place, Committed { offset: 1, leader_epoch: None, metadata: String::new() })]);
    block_on(clusters.at_source().commit_group_offsets(&group, &offsets)).unwrap();
    let carried = until("the group on the target", || {
        let all = block_on(clusters.at_target().group_offsets(std::slice::from_ref(&group))).ok()?;
        all.get(&group)?.get(&(copy.clone(), 0)).map(|committed| committed.offset)
    });
    assert_eq!(carried, 1);
    let told = home.json(&["mirror", "groups"]);
    assert_eq!((&told[0]["group"], &told[0]["state"]), (&json!(group), &json!("exact")), "{told:#}");
    until("an audit", || home.json(&["mirror", "status"]).to_string().contains("\"audit\":{").then_some(()));
    let verified = home.answer(&["mirror", "verify"]);
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
    drop(running);
    let decisions = Kafka::secured().decisions();
    let ours = |line: &&String| line.contains("User:fairlead is") && line.contains(&clusters.name);
    let denied: Vec<_> = decisions[before..].iter().filter(ours).filter(|line| line.contains(" is Denied ")).collect();
    assert!(denied.is_empty(), "{denied:#?}\n{}", home.log());
}
