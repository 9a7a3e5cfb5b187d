//! From an output back to what made it, on the embedded broker.

use fairlead::app::Embedded;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::{Offset, TopicPartitionList};
use serde_json::Value;

use super::Home;

fn offset(lineage: &Value) -> (&str, i64) {
    (lineage["topic"].as_str().unwrap_or_default(), lineage["offset"].as_i64().unwrap_or(-1))
}

#[test]
fn an_incident_and_what_slack_is_told_lead_back_to_the_alerts_and_deploys_behind_them() {
    let data = tempfile::tempdir().unwrap();
    let any = "127.0.0.1:0".parse().unwrap();
    let embedded = Embedded::start(data.path(), any, any).unwrap();
    let home = Home::new("traced", &embedded.bootstrap_servers(), &embedded.registry_url().unwrap());
    let running = home.run();
    let deploy = ["send", "deploy", "--id", "run-17", "--service", "checkout", "--version", "v2", "-o", "json"];
    let deployed = home.until(&deploy, |answer| answer.fine.then(|| answer.json()));
    let deployed = &deployed[0];
    // The alert comes once the deploy is known, so that the incident names it from its first version on.
    home.until(&["lineage", "traced.journal.v1", "0", "0", "-o", "json"], |answer| {
        let inputs = |lineage: Value| lineage["inputs"].as_array().map(Vec::len);
        answer.fine.then(|| assert_eq!(inputs(answer.json()), Some(1)))
    });
    let alert =
        home.fairlead(&["send", "alert", "Errors", "service=checkout", "severity=critical", "-o", "json"]).json();
    let alerted = &alert[0];
    let partition = alerted["partition"].to_string();
    let incidents = home.topic("incidents");
    let args = ["lineage", &incidents, &partition, "0", "-o", "json"];
    let traced = home.until(&args, |answer| answer.fine.then(|| answer.json()));
    assert_eq!(traced["record"]["value"]["change"], "opened", "{traced}");
    assert_eq!(traced["shown"]["key"], "checkout");
    let inputs: Vec<_> = traced["inputs"].as_array().unwrap().iter().map(offset).collect();
    assert!(inputs.contains(&offset(alerted)), "{traced}");
    assert_eq!(traced["commit"]["same_topology"], true);
    let named = traced["named"].as_array().unwrap();
    let of = |fact: &str| named.iter().find(|named| named["fact"] == fact).map(|named| offset(&named["first"]));
    assert_eq!((of("alert"), of("deploy")), (Some(offset(alerted)), Some(offset(deployed))), "{traced}");

    let actions = home.topic("slack-actions");
    let action = home.fairlead(&["lineage", &actions, "0", "0", "-o", "json"]).json();
    assert_eq!(action["record"]["value"]["kind"], "post_root", "{action}");
    assert_eq!((&action["shown"]["key"], &action["commit"]), (&"checkout".into(), &traced["commit"]), "{action}");
    assert_eq!(action["inputs"], traced["inputs"]);

    let text = home.fairlead(&["lineage", &incidents, &partition, "0"]).out;
    assert!(
        text.contains("\ninput records with key checkout\n") && text.contains("  deploy  v2  run-17  told at "),
        "{text}"
    );
    refusals(&home, alerted, &partition);
    running.stop();
    forget_the_journal(&embedded.bootstrap_servers());
    let forgotten = home.fairlead(&args).err;
    assert!(forgotten.contains("is no longer retained: traced.journal.v1-0 begins later"), "{forgotten}");
}

/// As its retention would.
fn forget_the_journal(bootstrap: &str) {
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", bootstrap).create().unwrap();
    let mut all = TopicPartitionList::new();
    all.add_partition_offset("traced.journal.v1", 0, Offset::End).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(admin.delete_records(&all, &AdminOptions::new())).unwrap();
}

fn refusals(home: &Home, alerted: &Value, partition: &str) {
    let refused = |topic: &str, partition: &str, offset: &str| {
        let answer = home.fairlead(&["lineage", topic, partition, offset]);
        assert!(!answer.fine, "{}", answer.out);
        answer.err
    };
    let incidents = home.topic("incidents");
    let input = refused(&home.alerts, partition, &alerted["offset"].to_string());
    assert!(input.contains("is an input: this alert came from outside"), "{input}");
    // The mark of the transaction lies behind its one incident.
    let mark = refused(&incidents, partition, "1");
    assert!(mark.contains("it is the mark of a transaction"), "{mark}");
    let future = refused(&incidents, partition, "1000");
    assert!(future.contains("has no offset 1000 yet"), "{future}");
    assert!(refused(&incidents, "7", "0").contains("has no partition 7; it has 0 to 1"));
    assert!(refused("oncall.incidents", "0", "0").contains("there is no topic `oncall.incidents`"));
}
