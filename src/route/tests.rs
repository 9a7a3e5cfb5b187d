use expect_test::{Expect, expect};

use super::payload::Payload;
use super::*;
use crate::ingest::{Endpoint, Rules};
use crate::topology::catalog::catalog;
use crate::topology::compile::compile;
use crate::topology::spec::SourceFile;

const NOW: EventTime = EventTime(1_700_000_000_000);

/// The topology that ships, with its rules for the ingress as one would write them in CEL's syntax.
fn topology() -> Topology {
    let oncall = include_str!("../../topology/oncall.yaml");
    let begin = oncall.find("        - name: ingress-503-flood").unwrap();
    let end = oncall.find("        - name: critical").unwrap();
    let rules = r#"        - name: "503"
          when: 'alert.labels["code"] == "503" && (alert.labels["response_flag"] == "UC" || alert.value > 1000.0)'
          level: high
          mention: owner
          reason: its requests fail
"#;
    let oncall = [&oncall[..begin], rules, &oncall[end..]].concat();
    let files = [
        ("app.yaml", include_str!("../../topology/app.yaml")),
        ("topics.yaml", include_str!("../../topology/topics.yaml")),
        ("oncall.yaml", &oncall),
    ];
    let file = |(name, text): (&str, &str)| SourceFile { name: name.to_owned(), text: text.to_owned() };
    let compiled = compile(&files.map(file), &catalog());
    compiled.topology.unwrap_or_else(|| panic!("{:#?}", compiled.problems))
}

fn read(body: &str) -> Payload {
    payload::read(body.as_bytes(), None, &Rules::default(), NOW).unwrap()
}

#[track_caller]
fn check(body: &str, before: &[f64], expected: Expect) {
    let topology = topology();
    let verdicts = read(body).alerts;
    let verdicts = verdicts.iter().map(|alert| test(&topology, alert, before, NOW).unwrap());
    let texts: Vec<_> = verdicts.map(|verdict| text::verdict(&verdict)).collect();
    expected.assert_eq(&texts.concat());
}

#[test]
fn each_rule_tells_what_it_looked_at_and_the_topology_what_comes_of_it() {
    let labels =
        r#""alertname":"Ingress5xx","service":"checkout","code":"503","environment":"production","namespace":"shop""#;
    check(
        &format!(r#"[{{"labels":{{{labels}}},"annotations":{{"value":"1100","summary":"<!channel>"}}}}]"#),
        &[],
        expect![[r#"
            Ingress5xx of checkout fires, value 1100.0
              rule  ✗ watchdog
                      ✗ alerts: [Watchdog, InfoInhibitor]   (name: "Ingress5xx")
              rule  ✗ not-production
                      ✗ environments: [development, test, staging]   (environment: "production")
              rule  ✓ 503
                      ✓ alert.labels["code"] == "503"   (alert.labels["code"]: "503")
                      ? alert.labels["response_flag"] == "UC"   (alert.labels["response_flag"]: there is no such label)
                      ✓ alert.value > 1000.0   (alert.value: 1100.0)
              raise ✗ third-and-worse
                      ✗ repeats_at_least: 3   (repeats: 1)
                      ✗ worsening: rising   (values: [1100.0])
              level     high: its requests fail (rule 503)
              mention   owner
              incident  opened, high, environment=production, namespace=shop
              channel   #oncall, new root, wakes <!subteam^S0CHECKOUT>
              message   🟠 High: checkout (production): Ingress5xx: &lt;!channel&gt;⏎<!subteam^S0CHECKOUT> please have a look
        "#]],
    );
}

#[test]
fn earlier_tellings_count_and_a_raise_tells_why_it_holds() {
    check(
        r#"{"labels":{"alertname":"A","service":"s","severity":"warning"},"annotations":{"value":"3"}}"#,
        &[1.0, 2.0],
        expect![[r#"
            A of s fires, value 3.0
              told 3 times, rising
              rule  ✗ watchdog
                      ✗ alerts: [Watchdog, InfoInhibitor]   (name: "A")
              rule  ✗ not-production
                      ✗ environments: [development, test, staging]   (environment: null)
              rule  ? 503
                      ? alert.labels["code"] == "503"   (alert.labels["code"]: there is no such label)
                      ? alert.labels["response_flag"] == "UC"   (alert.labels["response_flag"]: there is no such label)
                      ✗ alert.value > 1000.0   (alert.value: 3.0)
              rule  ✗ critical
                      ✗ severity=~"critical|page"   (severity: "warning")
              rule  ✗ high
                      ✗ severity=~"error|high|major"   (severity: "warning")
              rule  ✓ warning
                      ✓ severity=~"warning|medium|minor"   (severity: "warning")
              raise ✓ third-and-worse
                      ✓ repeats_at_least: 3   (repeats: 3)
                      ✓ worsening: rising   (values: [1.0, 2.0, 3.0])
              level     medium: its severity is warning (rule warning); mention raised: told three times and worse each time (rule third-and-worse)
              mention   owner
              incident  escalated, medium, no group
              channel   #oncall, root rewritten, wakes nobody
              message   🟡 Medium: s: A: A
              channel   #oncall, reply, wakes <!subteam^S0SREONCALL>
              message   🟡 *Escalated: Medium*: its severity is warning (rule warning); mention raised: told three times and worse each time (rule third-and-worse)⏎<!subteam^S0SREONCALL> please have a look
        "#]],
    );
}

#[test]
fn a_drop_says_why_and_a_resolve_wakes_nobody() {
    check(
        r#"{"version":"4","alerts":[
            {"status":"firing","startsAt":"2023-11-14T22:00:00Z","labels":{"alertname":"Watchdog","service":"s"}},
            {"status":"resolved","startsAt":"2023-11-14T22:00:00Z","endsAt":"2023-11-14T22:05:00Z",
             "labels":{"alertname":"A","service":"s","severity":"critical"},"annotations":{"value":"5000"}}]}"#,
        &[],
        expect![[r#"
            Watchdog of s fires
              rule  ✓ watchdog
                      ✓ alerts: [Watchdog, InfoInhibitor]   (name: "Watchdog")
              level     dropped: it always fires, to show that alerting works (rule watchdog)
              mention   nobody
              message   none at once
            A of s is resolved, value 5000.0
              rule  ✗ watchdog
                      ✗ alerts: [Watchdog, InfoInhibitor]   (name: "A")
              rule  ✗ not-production
                      ✗ environments: [development, test, staging]   (environment: null)
              rule  ? 503
                      ? alert.labels["code"] == "503"   (alert.labels["code"]: there is no such label)
                      ? alert.labels["response_flag"] == "UC"   (alert.labels["response_flag"]: there is no such label)
                      ? alert.value > 1000.0   (alert.value: a resolve says nothing of it)
              rule  ✓ critical
                      ✓ severity=~"critical|page"   (severity: "critical")
              level     critical: its severity is critical (rule critical)
              mention   nobody
              message   none at once
        "#]],
    );
}

#[test]
fn a_payload_is_taken_by_the_endpoint_that_finds_alerts_in_it() {
    let one = r#"{"labels":{"alertname":"A"}}"#;
    let webhook =
        r#"{"version":"4","alerts":[{"status":"firing","startsAt":"2023-11-14T22:00:00Z","labels":{"a":"b"}},{}]}"#;
    let taken = |body: &str| {
        let payload = read(body);
        (payload.endpoint, payload.alerts.len(), payload.refused.len())
    };
    assert_eq!(taken(one), (Endpoint::AlertmanagerApi, 1, 0));
    assert_eq!(taken(&format!("[{one},{one}]")), (Endpoint::AlertmanagerApi, 2, 0));
    assert_eq!(taken(webhook), (Endpoint::AlertmanagerWebhook, 1, 1));
    let only = |body: &str| payload::read(body.as_bytes(), Some("/webhooks/alertmanager"), &Rules::default(), NOW);
    let payload::NoAlerts(why) = only(one).err().unwrap();
    assert!(why.len() == 1 && why[0].1.contains("no Alertmanager webhook of version 4"), "{why:?}");
    let deploy = r#"{"id":"1","service":"s","version":"v2","environment":"production","outcome":"succeeded"}"#;
    let payload::NoAlerts(why) = payload::read(deploy.as_bytes(), None, &Rules::default(), NOW).err().unwrap();
    assert!(why.contains(&(Endpoint::Deploys.path().to_owned(), "there is no alert in it".to_owned())), "{why:?}");
}

#[test]
fn programs_are_told_the_same() {
    let alert = &read(r#"[{"labels":{"alertname":"A","code":"503"},"annotations":{"value":"7"}}]"#).alerts[0];
    let json = serde_json::to_value(test(&topology(), alert, &[], NOW).unwrap()).unwrap();
    let rule = &json["levels"][0]["rules"][2];
    assert_eq!((&rule["name"], &rule["holds"]), (&"503".into(), &serde_json::Value::Null));
    assert_eq!(rule["tests"][2]["found"][0], serde_json::json!({"at": "alert.value", "value": "7.0"}));
    assert_eq!(rule["tests"][1]["found"][0]["missing"], "there is no such label");
    assert_eq!((&json["levels"][0]["level"], &json["levels"][0]["mention"]), (&"medium".into(), &"nobody".into()));
    assert_eq!(json["messages"][0]["channel"], "#oncall");
}
