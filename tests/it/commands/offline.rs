//! What needs no cluster: check and explain.

use super::Home;

/// Where nobody listens.
const NOBODY: &str = "127.0.0.1:1";

#[test]
fn check_tells_all_problems_at_once_and_its_exit_code_says_whether_it_can_run() {
    let home = Home::new("checked", NOBODY, "http://127.0.0.1:1");
    let fine = home.fairlead(&["check"]);
    assert!(fine.fine, "{}{}", fine.out, fine.err);
    assert!(fine.out.contains("app.yaml:10:89: warning: ingest.open: whoever can reach the port"), "{}", fine.out);
    assert!(fine.out.contains("\nfine: checked, 6 operators in 2 sub-topologies, 15 topics"), "{}", fine.out);

    assert!(
        fine.out.contains("level: 16 of 48 ways through its rules lead to a mention, none from low"),
        "{}",
        fine.out
    );
    let chain =
        "attention: 4 of 64 ways through its escalation chain lead to a mention, none from low, what is resolved";
    assert!(fine.out.contains(chain), "{}", fine.out);

    let app = home.topology().join("app.yaml");
    let text = std::fs::read_to_string(&app)
        .unwrap()
        .replace("127.0.0.1:0", "0.0.0.0:8080")
        .replace("workers: 1", "workers: 0");
    std::fs::write(&app, text).unwrap();
    let broken = home.fairlead(&["check", "--output", "json"]);
    assert!(!broken.fine && broken.err.is_empty(), "{}", broken.err);
    let report: serde_json::Value = serde_json::from_str(&broken.out).unwrap();
    let told = |index: usize| report["problems"][index]["message"].as_str().unwrap_or_default().to_owned();
    assert_eq!((&report["fine"], &report["errors"]), (&false.into(), &2.into()), "{report}");
    assert!(told(0).starts_with("engine.workers: must be at least 1"), "{report}");
    assert!(told(1).starts_with("ingest.open: 0.0.0.0:8080 can be reached from outside"), "{report}");
    let refused = home.fairlead(&["run"]);
    assert!(!refused.fine && refused.err.contains("can be reached from outside"), "{}", refused.err);
}

#[test]
fn explain_draws_the_graph_shows_an_operator_and_lists_rights() {
    let home = Home::new("explained", NOBODY, "http://127.0.0.1:1");
    assert!(home.fairlead(&["explain"]).out.contains("sub-topology oncall   2 tasks"));
    assert!(home.fairlead(&["explain", "--format", "mermaid"]).out.starts_with("flowchart LR\n"));
    let operator = home.fairlead(&["explain", "incident", "-o", "json"]).json();
    assert_eq!((&operator["kind"], &operator["config"]["alerts_max"]), (&"incident".into(), &50.into()));
    let unknown = home.fairlead(&["explain", "incidnet"]);
    assert!(!unknown.fine && unknown.err.contains("did you mean `incident`?"), "{}", unknown.err);
    let rights = home.fairlead(&["explain", "--acls", "--output", "kafka-acls"]).out;
    assert!(rights.contains("\nrun=User:explained\n"), "{rights}");
    assert!(rights.contains("# retry: whoever runs `fairlead dead-letter retry`\nallow \"$retry\" --op"), "{rights}");
}

#[test]
fn templates_to_paste_are_printed_as_they_are() {
    let home = Home::new("pasted", NOBODY, "http://127.0.0.1:1");
    assert_eq!(home.fairlead(&["template", "datadog"]).json()["alert_id"], "$ALERT_ID");
    assert!(home.fairlead(&["template", "argo-cd"]).out.contains("name: argocd-notifications-cm\n"));
}

/// Nobody listens where Kafka and the registry should be, and nothing is asked of them.
#[test]
fn a_token_that_will_not_do_is_told_before_anything_is_made() {
    let home = Home::new("guarded", NOBODY, "http://127.0.0.1:1");
    let app = home.topology().join("app.yaml");
    let text = std::fs::read_to_string(&app).unwrap().replace("open: true", "token: '${env:INGEST_TOKEN}'");
    std::fs::write(&app, text).unwrap();
    for (token, told) in [("short", "secret 1 of ingest.token is shorter than"), ("", "holds no secret")] {
        let output = home.command(&["run"], None).env("INGEST_TOKEN", token).output().unwrap();
        let err = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && err.contains(told), "{err}");
        assert!(!err.contains("127.0.0.1:1"), "{err}");
    }
}
