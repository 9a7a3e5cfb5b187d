//! A flow as processes, with exactly the rights on both of its clusters that `fairlead explain --acls` prints: it copies, grows, carries
//! access rules and a group over, says where offsets lie, and audits. Nothing is denied, and each right is asked for.

use std::collections::BTreeMap;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use fairlead::embedded::registry::Registry;
use fairlead::topology::graph::acls::{Acl, Operation, Pattern, Resource};
use fairlead::wire::Committed;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::clusters::{Clusters, block_on};
use crate::harness::acls::{Rule, superfluous};
use crate::harness::apache::{Kafka, tool};
use crate::harness::issuer::{Issuer, SECRET};
use crate::harness::{registry, until};

struct Home {
    dir: TempDir,
    _registry: Registry,
}

impl Home {
    fn new(clusters: &Clusters, source: &Kafka) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let registry = registry::start(&dir.path().join("registry"));
        let (name, target) = (&clusters.name, Kafka::secured());
        let issuer = block_on(Issuer::start(Duration::from_secs(600)));
        // One principal on both, of this test alone.
        let cluster = |kafka: &Kafka, indent: &str| {
            let lines = [
                format!("bootstrap_servers: '{}'", kafka.secure_bootstrap()),
                "properties:".to_owned(),
                "  security.protocol: sasl_ssl".to_owned(),
                format!("  ssl.ca.location: {}", kafka.ca_pem().display()),
                "  sasl.mechanism: OAUTHBEARER".to_owned(),
                "  sasl.oauthbearer.method: oidc".to_owned(),
                format!("  sasl.oauthbearer.token.endpoint.url: {}", issuer.url()),
                format!("  sasl.oauthbearer.client.id: {name}"),
                "  sasl.oauthbearer.client.secret: ${env:SECRET}".to_owned(),
                "  sasl.oauthbearer.scope: kafka".to_owned(),
            ];
            lines.map(|line| format!("{indent}{line}\n")).concat()
        };
        let app = format!(
            "application: app-{name}\nhttp: {{ listen: '127.0.0.1:0' }}\nengine: {{ state_dir: '{}' }}\nregistry: {{ url: '{}' }}\nkafka:\n{}\
             ingest: {{ alerts: oncall.alerts-{name}.v1, deploys: delivery.deploys-{name}.v1, open: true }}\ntopics:\n  \
             oncall.alerts-{name}.v1: {{ fact: alert, partitions: 1 }}\n  delivery.deploys-{name}.v1: {{ fact: deploy, partitions: 1 }}\n",
            dir.path().join("state").display(),
            registry.url(),
            cluster(target, "  "),
        );
        let mirrors = format!(
            "clusters:\n  old:\n{}mirrors:\n  flow:\n    from: old\n    shards: 2\n    acls: true\n    offsets: migration.offsets-{name}.v1\n    \
             audits: migration.audits-{name}.v1\n    refresh_secs: 1\n    topics:\n      - {{ pattern: '{name}\\.(.*)', to: 'new-{name}.$1' }}\n    \
             groups: {{ include: ['{name}-.*'], every_secs: 1, offsets: migration.groups-{name}.v1 }}\n",
            cluster(source, "    "),
        );
        let topology = dir.path().join("topology");
        std::fs::create_dir_all(&topology).unwrap();
        std::fs::write(topology.join("app.yaml"), app).unwrap();
        std::fs::write(topology.join("mirrors.yaml"), mirrors).unwrap();
        Self { dir, _registry: registry }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fairlead"));
        command.args(arguments).arg("--topology").arg(self.dir.path().join("topology")).env("SECRET", SECRET);
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

/// On one of the clusters; and those of the mirror among them.
fn printed(home: &Home, principal: &str, cluster: Option<&str>) -> (Vec<Rule>, Vec<Rule>) {
    let acls: Vec<Acl> = serde_json::from_value(home.json(&["explain", "--acls"])).unwrap();
    let there = || acls.iter().filter(|acl| acl.cluster.as_deref() == cluster);
    let rules = |acl: &Acl| {
        let rule = |operation: &Operation| Rule {
            principal: format!("User:{principal}"),
            resource: acl.resource,
            pattern: acl.pattern,
            name: acl.name.clone(),
            operation: *operation,
        };
        acl.operations.iter().map(rule).collect::<Vec<_>>()
    };
    let mut all: Vec<Rule> = there().flat_map(rules).collect();
    all.sort();
    all.dedup();
    (all, there().filter(|acl| acl.part == "mirror").flat_map(rules).collect())
}

fn ask(address: &str, question: &str) -> (u16, Value) {
    block_on(async {
        let answer = reqwest::get(format!("http://{address}/api/v1/mirrors/flow/offsets?{question}")).await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    })
}

#[test]
fn with_the_printed_rights_alone_a_flow_copies_grows_audits_and_carries_rules_and_a_group_over() {
    let (old, new) = (Kafka::start_own(&["--secure"]), Kafka::secured());
    let mut clusters = Clusters::new("least-mirror");
    clusters.source = old.bootstrap().to_owned();
    let (source, copy) = (clusters.topic("a"), clusters.copy_of("a"));
    clusters.create("a", 1, &[("retention.ms", "-1")]);
    clusters.write(&clusters.source, &source, 1, &["x", "y", "z"], true);
    let ends = clusters.end(&clusters.source, &source, 0);
    let home = Home::new(&clusters, &old);
    let on_old = printed(&home, &clusters.name, Some("old"));
    let on_new = printed(&home, &clusters.name, None);
    old.grant(&on_old.0);
    new.grant(&on_new.0);
    let reader = Rule {
        principal: "User:reader".to_owned(),
        resource: Resource::Topic,
        pattern: Pattern::Literal,
        name: source.clone(),
        operation: Operation::Read,
    };
    old.grant(std::slice::from_ref(&reader));

    let mut running = home.run();
    let address = home.address(&mut running);
    everything(&home, &clusters, &address, ends);
    let carried = Rule { name: copy, ..reader };
    until("the rule is carried over", || new.holds(&carried).then_some(()));
    drop(running);
    for (kafka, rules) in [(&old, on_old.1), (new, on_new.1)] {
        let ours = format!("Principal = User:{} ", clusters.name);
        let decisions: Vec<_> = kafka.decisions().into_iter().filter(|line| line.contains(&ours)).collect();
        let denied: Vec<_> = decisions.iter().filter(|line| line.contains(" is Denied ")).collect();
        assert!(denied.is_empty(), "{denied:#?}\n{}", home.log());
        let superfluous = superfluous(&rules, &decisions);
        assert!(superfluous.is_empty(), "of {} decisions: {superfluous:#?}", decisions.len());
    }
}

/// What a flow does, and the commands that look at it.
fn everything(home: &Home, clusters: &Clusters, address: &str, ends: i64) {
    let (source, copy) = (clusters.topic("a"), clusters.copy_of("a"));
    let at_end = until("the answer over HTTP", || {
        let (status, answer) = ask(address, &format!("topic={source}&partition=0&offset={ends}"));
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
    assert_eq!(ask(address, "topic=nowhere&partition=0&offset=0").0, 404);

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
    tool("kafka-topics", &["--bootstrap-server", &clusters.source, "--alter", "--topic", &source, "--partitions", "2"]);
    until("the copy grows", || {
        let told = block_on(clusters.at_target().topics(Some(std::slice::from_ref(&copy)))).ok()?;
        (told.first()?.partitions.len() == 2).then_some(())
    });
    until("an audit", || home.json(&["mirror", "status"]).to_string().contains("\"audit\":{").then_some(()));
    for command in [["mirror", "verify"], ["mirror", "plan"]] {
        let told = home.answer(&command);
        assert!(told.status.success(), "{command:?}: {}", String::from_utf8_lossy(&told.stderr));
    }
}
