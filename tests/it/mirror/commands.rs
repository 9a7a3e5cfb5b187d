//! `fairlead mirror` as people run it: the real binary, a topology of files, two Kafkas.

use std::process::{Command, Output};

use fairlead::embedded::registry::Registry;
use serde_json::Value;
use tempfile::TempDir;

use super::clusters::Clusters;
use crate::harness::registry;

struct Home {
    dir: TempDir,
    _registry: Registry,
}

impl Home {
    fn new(clusters: &Clusters) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let registry = registry::start(&dir.path().join("registry"));
        let (name, source, target) = (&clusters.name, &clusters.source, &clusters.target);
        let app = format!(
            "application: mirrors\nkafka: {{ bootstrap_servers: '{target}' }}\nregistry: {{ url: '{}' }}\n",
            registry.url()
        );
        let mirrors = format!(
            "clusters:\n  old: {{ bootstrap_servers: '{source}' }}\nmirrors:\n  flow:\n    from: old\n    shards: 2\n    \
             offsets: migration.offsets-{name}.v1\n    audits: migration.audits-{name}.v1\n    topics:\n      - {{ pattern: '{name}\\.(.*)', to: 'new-{name}.$1' }}\n"
        );
        let topology = dir.path().join("topology");
        std::fs::create_dir_all(topology.join("mirrors")).unwrap();
        std::fs::write(topology.join("app.yaml"), app).unwrap();
        std::fs::write(topology.join("mirrors/flow.yaml"), mirrors).unwrap();
        Self { dir, _registry: registry }
    }

    fn mirror(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fairlead"));
        command.arg("mirror").args(arguments).arg("--topology").arg(self.dir.path().join("topology"));
        command.output().unwrap()
    }

    fn json(&self, arguments: &[&str]) -> (bool, Value) {
        let output = self.mirror(&[arguments, &["--output", "json"]].concat());
        let told = String::from_utf8_lossy(&output.stderr);
        let json = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {told}"));
        (output.status.success(), json)
    }
}

#[test]
fn plan_says_what_apply_does_and_then_nothing_is_left() {
    let clusters = Clusters::new("commands");
    clusters.create("a", 3, &[]);
    clusters.write(&clusters.source, &clusters.topic("a"), 3, &["x", "y"], true);
    let home = Home::new(&clusters);
    let (fine, plan) = home.json(&["plan"]);
    assert!(fine, "{plan:#}");
    let calls = |told: &Value| told["flows"][0]["calls"].as_array().unwrap().clone();
    let planned = calls(&plan);
    assert_eq!(planned.len(), 3, "{plan:#}");
    let copy = planned.iter().find(|call| call["topic"] == clusters.copy_of("a").as_str()).unwrap();
    assert_eq!(
        (&copy["call"], &copy["partitions"], &copy["configs"]["retention.ms"]),
        (&"CreateTopics".into(), &3.into(), &"-1".into())
    );
    assert_eq!(calls(&home.json(&["plan"]).1), planned, "a plan changes nothing");
    let text = home.mirror(&["apply"]);
    let told = String::from_utf8_lossy(&text.stdout).into_owned();
    assert!(text.status.success() && told.ends_with("flow: 3 calls, 1 topics can be copied\n"), "{told}");
    let (fine, after) = home.json(&["plan", "--flow", "flow"]);
    assert!(fine && calls(&after).is_empty(), "{after:#}");

    let (_, status) = home.json(&["status"]);
    let row = &status["flows"][0]["topics"][0];
    assert_eq!(
        (&row["topic"], &row["lag_records"], &row["audit"]),
        (&clusters.topic("a").into(), &9.into(), &Value::Null),
        "{status:#}"
    );
    let (fine, verified) = home.json(&["verify"]);
    assert!(fine && verified["audits"].as_array().unwrap().is_empty(), "{verified:#}");
    let unknown = home.mirror(&["plan", "--flow", "flwo"]);
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("did you mean `flow`?"));
}

#[test]
fn a_plan_with_a_problem_fails_and_says_why() {
    let clusters = Clusters::new("problem");
    clusters.create("a.b", 1, &[]);
    clusters.create("c", 1, &[]);
    let home = Home::new(&clusters);
    super::clusters::create(&clusters.at_target(), &clusters.copy_of("a_b"), 1, &[]);
    let (fine, plan) = home.json(&["plan"]);
    assert!(!fine && plan["fine"] == false, "{plan:#}");
    let problem = &plan["flows"][0]["problems"][0];
    assert_eq!(problem["topic"], clusters.topic("a.b").as_str());
    assert!(problem["message"].as_str().unwrap().contains("in `.` and `_` alone"), "{plan:#}");
    assert_eq!(plan["flows"][0]["topics"].as_array().unwrap().len(), 1);
}
