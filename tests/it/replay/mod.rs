//! What a replay says of a recorded night: the story that happened, from a file or a cluster, and what other rules would have changed.

mod effects;
mod formats;
mod live;
mod recording;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use recording::{BEGIN_MS, Night, SHIPPED};

/// The real binary, which needs neither Kafka nor a registry for this.
fn fairlead(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fairlead"));
    command.args(args).env_remove("RUST_LOG").env_remove("FAIRLEAD_TOPOLOGY").output().unwrap()
}

fn told(args: &[&str]) -> String {
    let output = fairlead(args);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn json(args: &[&str]) -> Value {
    serde_json::from_str(&told(&[args, &["--output", "json"]].concat())).unwrap()
}

fn refused(args: &[&str]) -> String {
    let output = fairlead(args);
    assert!(!output.status.success(), "{args:?}");
    String::from_utf8(output.stderr).unwrap()
}

/// The shipped topology, and another with this change of its operators.
fn topologies(scratch: &Path, change: impl Fn(&str) -> String) -> (String, String) {
    let write = |name: &str, operators: String| {
        let directory: PathBuf = scratch.join(name);
        std::fs::create_dir_all(&directory).unwrap();
        for (file, text) in SHIPPED {
            let text = if file == "oncall.yaml" { operators.clone() } else { text.to_owned() };
            std::fs::write(directory.join(file), text).unwrap();
        }
        directory.display().to_string()
    };
    let shipped = SHIPPED[2].1;
    let changed = change(shipped);
    assert_ne!(changed, shipped, "the change found its place");
    (write("topology", shipped.to_owned()), write("other", changed))
}

/// Service, minutes after the night began at which it opened and was told as over, worst level.
fn story(incident: &Value) -> (String, i64, i64, String) {
    let minute = |at: &Value| at.as_i64().map_or(-1, |at| (at - BEGIN_MS).div_euclid(60_000));
    let steps = incident["steps"].as_array().unwrap();
    let levels = ["low", "medium", "high", "critical"];
    let rank = |step: &Value| levels.iter().position(|level| step["level"] == *level);
    let worst = steps.iter().filter_map(rank).max().unwrap();
    let over = steps.iter().rfind(|step| step["state"] == "resolved").map_or(&Value::Null, |step| &step["at_ms"]);
    (
        incident["service"].as_str().unwrap().to_owned(),
        minute(&incident["opened_at_ms"]),
        minute(over),
        levels[worst].to_owned(),
    )
}

#[test]
fn a_replay_of_the_night_tells_what_was_told() {
    let scratch = tempfile::tempdir().unwrap();
    let (topology, _) = topologies(scratch.path(), |shipped| format!("{shipped}\n"));
    let file = scratch.path().join("night.jsonl");
    Night::lived().write(&file);
    let file = file.to_str().unwrap();
    let args = ["replay", "--topology", &topology, "--file", file];
    let replay = json(&args);
    // The journal is of this very topology.
    assert_eq!(replay["replay"]["order"], "journal");
    // As `night.rs` has it, told over five minutes after the last alert was heard of as resolved; the certificate is forgotten after
    // five hours of silence.
    let stories: Vec<_> = replay["replay"]["incidents"].as_array().unwrap().iter().map(story).collect();
    let expected = [
        ("search", 10, 34, "high"),
        ("payments-gateway", 40, 400, "low"),
        ("checkout", 53, 62, "low"),
        ("checkout", 73, 129, "critical"),
        ("payments-gateway", 76, 103, "medium"),
        ("search", 146, 168, "medium"),
    ];
    assert_eq!(stories, expected.map(|(service, from, to, level)| (service.to_owned(), from, to, level.to_owned())));
    let told_now = &replay["replay"]["told"];
    assert_eq!((&told_now["incidents"], &told_now["roots"], &told_now["mentions"]), (&6.into(), &6.into(), &9.into()));

    let diff = json(&[&args[..], &["--diff"]].concat());
    assert_eq!((&diff["diff"]["same"], &diff["diff"]["incidents"]), (&6.into(), &Value::Array(Vec::new())));
    assert_eq!(diff["diff"]["before"]["told"], diff["diff"]["after"]["told"]);
    assert_eq!(diff["other"]["order"], "recorded");
    assert_eq!(diff["other"]["incidents"], diff["replay"]["incidents"], "to the last word");
}

#[test]
fn without_a_journal_the_order_of_event_time_tells_the_same() {
    let scratch = tempfile::tempdir().unwrap();
    let (topology, _) = topologies(scratch.path(), |shipped| format!("{shipped}\n"));
    let file = scratch.path().join("night.jsonl");
    Night { journal: Vec::new(), ..Night::lived() }.write(&file);
    let diff = json(&["replay", "--topology", &topology, "--file", file.to_str().unwrap(), "--diff"]);
    assert_eq!(diff["replay"]["order"], "event_time");
    assert_eq!((&diff["diff"]["same"], &diff["diff"]["incidents"]), (&6.into(), &Value::Array(Vec::new())));
}

#[test]
fn twice_the_same_input_is_twice_the_same_bytes() {
    let scratch = tempfile::tempdir().unwrap();
    let dropping = |shipped: &str| shipped.replace("alerts: [Watchdog, ", "alerts: [SearchLatencyP99High, Watchdog, ");
    let (topology, other) = topologies(scratch.path(), dropping);
    let file = scratch.path().join("night.jsonl");
    Night::lived().write(&file);
    let file = file.to_str().unwrap();
    let pages = ["one.html", "two.html"].map(|name| scratch.path().join(name));
    let all = |page: &Path| {
        let args = ["replay", "--topology", &topology, "--file", file, "--html", page.to_str().unwrap()];
        let mut told_all = told(&args);
        for more in [&["--diff"][..], &["--diff", &other], &["--diff", &other, "--output", "json"]] {
            told_all += &told(&[&args[..], more].concat());
        }
        told_all + &told(&["report", "noise", "--topology", &topology, "--file", file])
    };
    assert_eq!(all(&pages[0]), all(&pages[1]));
    let [one, two] = pages.map(|page| std::fs::read_to_string(page).unwrap());
    assert_eq!(one, two);
}
