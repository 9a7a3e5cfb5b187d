//! Everything with exactly the rights that `fairlead explain --acls` prints, on a broker that denies all else.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use fairlead::clock::Clock;
use fairlead::embedded::registry::Registry;
use fairlead::embedded::slack::{FakeSlack, Workspace};
use fairlead::topology::graph::acls::{Operation, Pattern, Resource};
use rdkafka::config::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use tokio::runtime::Runtime;

use super::{Answer, Home, PATIENCE, Running, text_of};
use crate::harness::acls::{Rule, superfluous};
use crate::harness::apache::{Kafka, tool, unique};
use crate::harness::issuer::{Issuer, SECRET};
use crate::harness::{registry, until};

/// An application whose every process logs in by a token, as the principal that its part is printed with.
struct Site {
    name: String,
    home: Home,
    slack: FakeSlack,
    runtime: Runtime,
    _registry: (Registry, tempfile::TempDir),
}

impl Site {
    fn new() -> Site {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (kafka, name, data) = (Kafka::secured(), unique("least"), tempfile::tempdir().unwrap());
        let registry = registry::start(data.path());
        let issuer = runtime.block_on(Issuer::start(Duration::from_secs(60)));
        let workspace = Workspace::new("xoxb-test", &["oncall", "oncall-critical"]);
        let slack = runtime.block_on(FakeSlack::start(workspace, Clock::wall())).unwrap();
        let home = Home::new(&name, kafka.secure_bootstrap(), &registry.url());
        let login = format!(
            "  properties:\n    security.protocol: sasl_ssl\n    ssl.ca.location: {}\n    sasl.mechanism: OAUTHBEARER\n    \
             sasl.oauthbearer.method: oidc\n    sasl.oauthbearer.token.endpoint.url: {}\n    \
             sasl.oauthbearer.client.id: ${{env:PRINCIPAL}}\n    sasl.oauthbearer.client.secret: ${{env:SECRET}}\n    \
             sasl.oauthbearer.scope: kafka\nregistry:\n",
            kafka.ca_pem().display(),
            issuer.url()
        );
        let (actions, outcomes) = (home.topic("slack-actions"), home.topic("slack-outcomes"));
        let told = format!(
            "slack: {{ actions: {actions}, outcomes: {outcomes}, token: '${{env:SLACK}}', url: '{}' }}\ntopics:\n",
            slack.base_url()
        );
        let outcome = format!("topics:\n  {outcomes}: {{ fact: slack_outcome, partitions: 1 }}\n");
        for (file, from, to) in [
            ("app.yaml", "registry:\n", login),
            ("topics.yaml", "topics:\n", outcome),
            ("topics.yaml", "topics:\n", told),
        ] {
            let path = home.topology().join(file);
            let text = std::fs::read_to_string(&path).unwrap();
            std::fs::write(path, text.replacen(from, &to, 1)).unwrap();
        }
        Site { name, home, slack, runtime, _registry: (registry, data) }
    }

    /// `part`: none for `fairlead run`.
    fn command(&self, part: &str, args: &[&str]) -> Command {
        let mut command = self.home.command(args, None);
        let principal = if part.is_empty() { self.name.clone() } else { format!("{}-{part}", self.name) };
        command.env("PRINCIPAL", principal).env("SECRET", SECRET).env("SLACK", "xoxb-test");
        command
    }

    fn answer(&self, part: &str, args: &[&str]) -> Answer {
        let output = self.command(part, args).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Answer { fine: output.status.success(), out: text(output.stdout), err: text(output.stderr) }
    }

    fn run(&self) -> Running {
        let log = self.home.dir.path().join("run.log");
        let file = std::fs::File::create(&log).unwrap();
        let child = self.command("", &["run", "--log-json"]).stderr(Stdio::from(file)).spawn().unwrap();
        Running { child, log }
    }

    /// It ends by itself, and says why.
    fn ends(&self, mut running: Running, told: &str) {
        let status = until("the process ends", || running.child.try_wait().unwrap());
        let log = text_of(&running.log);
        assert!(!status.success() && log.contains(told), "{told}: {log}");
    }

    /// Through the application's own HTTP server, which the log tells of.
    fn post(&self, running: &Running, path: &str, body: &str) -> u16 {
        let address = until("HTTP serves", || {
            let log = text_of(&running.log);
            let (_, address) = log.split_once(r#""address":""#)?;
            Some(address.split_once('"')?.0.to_owned())
        });
        let request = reqwest::Client::new().post(format!("http://{address}{path}"));
        let request = request.header("content-type", "application/json").body(body.to_owned());
        self.runtime.block_on(async { request.send().await.unwrap().status().as_u16() })
    }

    fn send_alert(&self, service: &str) {
        let sent = self.answer("send", &["send", "alert", "Errors", &format!("service={service}")]);
        assert!(sent.fine, "{}", sent.err);
    }

    fn until_slack_is_told(&self, text: &str) {
        until(&format!("{text} on Slack"), || self.slack.threads().contains(text).then_some(()));
    }
}

#[test]
fn the_printed_rights_are_all_that_is_needed_and_one_that_is_taken_back_is_told_and_costs_nothing() {
    let (kafka, site) = (Kafka::secured(), Site::new());
    let (rules, arguments) = printed(&site);
    site.ends(
        site.run(),
        &format!("or grant Create on topic {}", site.home.topic("alerts").replace("oncall.alerts", "delivery.deploys")),
    );
    let group = format!("{}.engine", site.name);
    let is_missing =
        |rule: &&Rule| rule.resource == Resource::Group && rule.name == group && rule.operation == Operation::Read;
    let (missing, rest): (Vec<_>, Vec<_>) = rules.iter().partition(is_missing);
    let (missing, rest): (Vec<Rule>, Vec<Rule>) =
        (missing.into_iter().cloned().collect(), rest.into_iter().cloned().collect());
    kafka.grant(&rest);
    site.ends(site.run(), &format!("kafka denies Read on group {group}; grant it"));
    kafka.grant(&missing);

    let before = kafka.decisions().len();
    std::thread::scope(|scope| {
        // Kafka's own tool takes what is printed.
        scope.spawn(|| tool("kafka-acls", &arguments.iter().map(String::as_str).collect::<Vec<_>>()));
        everything(&site);
    });
    none_is_denied(&site.name, &kafka.decisions()[before..]);

    taken_back(&site, &rules);
    is_sound(&site);
    none_is_superfluous(&rules, &site.name, &kafka.decisions());
}

/// Each time the process ends with what to grant; the next one, after that was granted, goes on where it ended.
fn taken_back(site: &Site, rules: &[Rule]) {
    let (kafka, run) = (Kafka::secured(), format!("User:{}", site.name));
    let right = |name: &str, operation| {
        let mut found =
            rules.iter().filter(|rule| rule.principal == run && rule.name == name && rule.operation == operation);
        [found.next().unwrap_or_else(|| panic!("no {operation:?} on {name}")).clone()]
    };
    let (alerts, incidents) = (site.home.alerts.clone(), site.home.topic("incidents"));
    let engine = format!("{}.engine", site.name);
    let mut running = site.run();
    site.send_alert("ready");
    site.until_slack_is_told("ready");
    senders_are_told(site, &running, &right(&alerts, Operation::Write));
    for (right, denied) in [
        (right(&incidents, Operation::Write), format!("Write on topic {incidents}")),
        (right(&alerts, Operation::Read), format!("Read on topic {alerts}")),
        (right(&engine, Operation::Read), format!("Read on group {engine}")),
        (right(&format!("{engine}."), Operation::Write), format!("Write on transactional-id {engine}.1.0")),
    ] {
        kafka.revoke(&right);
        let service = denied.replace(' ', "-");
        site.send_alert(&service);
        site.ends(running, &format!("kafka denies {denied}; grant it"));
        kafka.grant(&right);
        // The changelogs are read where there is no state.
        std::fs::remove_dir_all(site.home.dir.path().join("state")).unwrap();
        running = site.run();
        site.until_slack_is_told(&service);
    }
    running.stop();
}

/// The HTTP server refuses what it cannot store, for so long.
fn senders_are_told(site: &Site, running: &Running, right: &[Rule]) {
    let alert = r#"[{"labels":{"alertname":"Errors","service":"refused"}}]"#;
    Kafka::secured().revoke(right);
    assert_eq!(site.post(running, "/api/v2/alerts", alert), 503);
    let (log, denied) = (text_of(&running.log), format!("kafka denies Write on topic {}; grant it", right[0].name));
    assert!(log.contains(&denied), "{log}");
    Kafka::secured().grant(right);
    assert_eq!(site.post(running, "/api/v2/alerts", alert), 200);
}

/// But for the records that we wrote ourselves on the topics of actions, incidents, runs and causes.
fn is_sound(site: &Site) {
    let Answer { out, err, .. } = site.answer("verify", &["verify"]);
    assert!(out.contains("inputs:  lost 0, doubled 0\noutputs: lost 0, doubled 4\n"), "{out}{err}");
}

/// What the printed script grants, and the arguments of one of its calls: bash runs it with a tool that only tells them.
fn printed(site: &Site) -> (Vec<Rule>, Vec<String>) {
    let dir = tempfile::tempdir().unwrap();
    let (tool, script) = (dir.path().join("kafka-acls.sh"), dir.path().join("acls.sh"));
    std::fs::write(&tool, "#!/bin/sh\nprintf '%s ' \"$@\"; echo\n").unwrap();
    std::fs::set_permissions(&tool, std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::write(&script, site.answer("", &["explain", "--acls", "--output", "kafka-acls"]).out).unwrap();
    let path = format!("{}:{}", dir.path().display(), std::env::var("PATH").unwrap());
    let mut bash = Command::new("bash");
    bash.args(["-euo", "pipefail"]).arg(&script).env("PATH", path).env("KAFKA", Kafka::secured().bootstrap());
    let told = bash.output().unwrap();
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    let told = String::from_utf8(told.stdout).unwrap();
    let calls: Vec<Vec<String>> =
        told.lines().map(|line| line.split_whitespace().map(str::to_owned).collect()).collect();
    let rules: BTreeSet<Rule> = calls.iter().flat_map(|call| rules_of(call)).collect();
    let prefixed = calls.iter().find(|call| call.contains(&"prefixed".to_owned())).unwrap().clone();
    (rules.into_iter().collect(), prefixed)
}

fn rules_of(call: &[String]) -> Vec<Rule> {
    let values = |option: &str| {
        let found = call.windows(2).filter(|pair| pair[0] == option).map(|pair| pair[1].clone());
        found.collect::<Vec<_>>()
    };
    let resources =
        [("--topic", Resource::Topic), ("--group", Resource::Group), ("--transactional-id", Resource::TransactionalId)];
    let mut resource = resources.into_iter().filter_map(|(option, kind)| Some((kind, values(option).pop()?)));
    let (resource, name) = resource.next().unwrap();
    let pattern = if values("--resource-pattern-type") == ["prefixed"] { Pattern::Prefixed } else { Pattern::Literal };
    let operations = values("--operation").into_iter().map(|operation| match &*operation {
        "Read" => Operation::Read,
        "Write" => Operation::Write,
        "Create" => Operation::Create,
        "Describe" => Operation::Describe,
        other => panic!("{other}"),
    });
    let principal = &values("--allow-principal")[0];
    let rule = |operation| Rule { principal: principal.clone(), resource, pattern, name: name.clone(), operation };
    operations.map(rule).collect()
}

/// Alert and deploy in, incident and Slack's thread out, letters of every reader, and every command.
fn everything(site: &Site) {
    let running = site.run();
    let deploy = r#"{"id":"run-1","service":"checkout","version":"v2"}"#;
    let alert = r#"[{"labels":{"alertname":"Errors","service":"checkout"}}]"#;
    let posted = [("/api/v1/deploys", deploy), ("/api/v2/alerts", alert)];
    let answers = posted.map(|(path, body)| site.post(&running, path, body));
    assert!(answers.iter().all(|status| (200..300).contains(status)), "{answers:?}");
    site.until_slack_is_told("checkout");
    let sent = site.answer("send", &["send", "deploy", "--id", "run-2", "--service", "checkout", "--version", "v3"]);
    assert!(sent.fine, "{}", sent.err);
    site.send_alert("cart");
    site.until_slack_is_told("cart");
    let alerts = site.home.alerts.clone();
    let deploys = alerts.replace("oncall.alerts", "delivery.deploys");
    let others = ["slack-actions", "incidents", "responses", "action-runs", "causes"].map(|name| site.home.topic(name));
    let read: Vec<_> = [alerts, deploys].into_iter().chain(others).collect();
    let producer: BaseProducer =
        ClientConfig::new().set("bootstrap.servers", Kafka::secured().bootstrap()).create().unwrap();
    for topic in &read {
        producer
            .send(BaseRecord::to(topic).partition(0).key("k").payload("no avro"))
            .map_err(|(error, _)| error)
            .unwrap();
    }
    producer.flush(PATIENCE).unwrap();
    let listed = until("a letter of each", || {
        let letters = site.answer("dead-letter", &["dead-letter", "list", "-o", "json"]).json();
        (letters.as_array()?.len() == read.len()).then_some(letters)
    });
    let shown = site.answer("dead-letter", &["dead-letter", "show", listed[0]["id"].as_str().unwrap()]);
    assert!(shown.fine, "{}", shown.err);
    let retried = site.answer("retry", &["dead-letter", "retry", "--all", "-o", "json"]).json();
    assert_eq!(retried["retried"].as_array().map(Vec::len), Some(read.len()), "{retried}");
    until("they die again", || {
        let letters = site.answer("dead-letter", &["dead-letter", "list", "-o", "json"]).json();
        (letters.as_array()?.len() == 2 * read.len()).then_some(())
    });
    running.stop();
    let own = ["journal", "dead-letters"].map(|noun| format!("{}.{noun}.v1", site.name));
    let facts: Vec<_> = read.into_iter().chain([site.home.topic("slack-outcomes")]).collect();
    std::thread::scope(|scope| {
        for topic in own.iter().chain(&facts) {
            // Of what no commit wrote it says so; it has looked nevertheless.
            scope
                .spawn(move || ["0", "1"].map(|partition| site.answer("lineage", &["lineage", topic, partition, "0"])));
        }
        scope.spawn(|| {
            let replayed = site.answer("replay", &["replay", "--diff", "-o", "json"]).json();
            assert_eq!(replayed["replay"]["incidents"].as_array().map(Vec::len), Some(2), "{replayed}");
        });
        is_sound(site);
    });
}

fn of<'a>(name: &str, decisions: &'a [String]) -> Vec<&'a String> {
    decisions.iter().filter(|line| line.contains(&format!("Principal = User:{name}"))).collect()
}

fn none_is_denied(name: &str, decisions: &[String]) {
    let (ours, is_denied) = (of(name, decisions), |line: &&&String| line.contains(" is Denied "));
    let denied: Vec<_> = ours.iter().filter(is_denied).collect();
    assert!(ours.len() > 100 && denied.is_empty(), "{} decisions: {denied:#?}", ours.len());
}

/// Each rule was asked for what it says, not only for what it implies.
fn none_is_superfluous(rules: &[Rule], name: &str, decisions: &[String]) {
    let ours: Vec<String> = of(name, decisions).into_iter().cloned().collect();
    // A consumer asks for its group's coordinator after a while; these may have ended before.
    let is_short = |rule: &Rule| ["-send", "-replay"].iter().any(|part| rule.principal.ends_with(part));
    let may_be_early = |rule: &Rule| is_short(rule) && rule.resource == Resource::Group;
    // Nobody asked for a run, and no service depends on another.
    let was_idle = |rule: &Rule| {
        let told = ["oncall.action-runs-", "oncall.causes-"].iter().any(|topic| rule.name.starts_with(topic));
        told && rule.operation == Operation::Write && !rule.principal.ends_with("-retry")
    };
    let excused = |rule: &Rule| may_be_early(rule) || was_idle(rule);
    let superfluous: Vec<_> = superfluous(rules, &ours).into_iter().filter(|rule| !excused(rule)).collect();
    assert!(superfluous.is_empty(), "of {} decisions: {superfluous:#?}", ours.len());
}
