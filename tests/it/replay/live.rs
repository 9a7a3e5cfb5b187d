//! From a running application on the embedded broker: the cluster and the file that is exported from it tell the same.

use fairlead::app::Embedded;
use serde_json::Value;

use crate::commands::Home;

#[test]
fn a_cluster_and_its_export_tell_the_same_and_nothing_else_than_was_told() {
    let data = tempfile::tempdir().unwrap();
    let any = "127.0.0.1:0".parse().unwrap();
    let embedded = Embedded::start(data.path(), any, any).unwrap();
    let home = Home::new("replayed", &embedded.bootstrap_servers(), &embedded.registry_url().unwrap());
    let running = home.run();
    let deploy = ["send", "deploy", "--id", "run-17", "--service", "checkout", "--version", "v2", "-o", "json"];
    home.until(&deploy, |answer| answer.fine.then_some(()));
    for (name, service) in [("Errors", "checkout"), ("Latency", "search"), ("Errors", "search")] {
        let label = format!("service={service}");
        home.fairlead(&["send", "alert", name, &label, "severity=critical", "-o", "json"]).json();
    }
    // Three alerts in two incidents: the second of search changes its incident.
    let last_hour = || {
        let now = jiff::Timestamp::now();
        [now - jiff::SignedDuration::from_hours(1), now].map(|at| at.to_string())
    };
    let args =
        |[from, to]: &[String; 2]| ["replay", "--from", from, "--to", to, "--diff", "-o", "json"].map(str::to_owned);
    let range = home.until(&["check"], |_| {
        let range = last_hour();
        let args = args(&range);
        let answer = home.fairlead(&args.each_ref().map(String::as_str));
        let told: Value = serde_json::from_str(&answer.out).ok()?;
        (told["other"]["told"]["roots"] == 2 && told["diff"]["same"] == 2).then_some(range)
    });
    running.stop();
    let args = args(&range);
    let args = args.each_ref().map(String::as_str);
    let of_cluster = home.fairlead(&args);
    let told = of_cluster.json();
    assert_eq!(
        (&told["replay"]["order"], &told["replay"]["read"]["alerts"]),
        (&"journal".into(), &3.into()),
        "{told:#}"
    );
    assert_eq!(told["diff"]["incidents"], Value::Array(Vec::new()), "{told:#}");
    assert_eq!(told["replay"]["incidents"], told["other"]["incidents"]);

    let file = data.path().join("hour.jsonl").display().to_string();
    let begin = (range[0].parse::<jiff::Timestamp>().unwrap() - jiff::SignedDuration::from_hours(24)).to_string();
    let exported = home.fairlead(&["export", &file, "--from", &begin, "--to", &range[1]]);
    assert!(
        exported.fine && exported.out.ends_with(&format!(" records in {file}\n")),
        "{}{}",
        exported.out,
        exported.err
    );
    assert!(exported.err.contains("3 alerts in "), "{}", exported.err);
    let of_file = home.fairlead(&[&args[..], &["--file", &file]].concat());
    assert!(of_file.fine, "{}", of_file.err);
    assert_eq!(of_file.out, of_cluster.out);
    let strange = home.fairlead(&["export", &file, "--topics", "oncall.alert-replayed.v1"]);
    assert!(!strange.fine && strange.err.contains("did you mean `oncall.alerts-replayed.v1`?"), "{}", strange.err);
    let changelog = home.fairlead(&["export", &file, "--topics", "replayed.level-changelog.v1"]);
    assert!(!changelog.fine && changelog.err.contains("holds states or dead letters"), "{}", changelog.err);
}
