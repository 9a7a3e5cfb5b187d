//! From samples to what people are told, through the whole topology that ships, without a broker; and what `check` says of wrong rules.

use std::path::Path;

use fairlead::event::{Alert, Fact, FactKind, Incident, IncidentChange, Mention, Sample, SlackAction};
use fairlead::record::{EventTime, Topic};
use fairlead::topology::catalog::catalog;
use fairlead::topology::compile::{Compiled, compile};
use fairlead::topology::driver::TopologyDriver;
use fairlead::topology::spec::SourceFile;
use fairlead::trend::series::Series;

const MINUTE_MS: i64 = 60_000;
const DISK: &str = r#"node_filesystem_avail_bytes{fstype="ext4",instance="db-1",mountpoint="/",service="storage"}"#;

/// The files that ship, after a change to `trends.yaml`.
fn shipped(change: impl Fn(String) -> String) -> Compiled {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("topology");
    let file = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    let files = ["app.yaml", "oncall.yaml", "rotations.yaml", "topics.yaml", "trends.yaml"].map(|name| SourceFile {
        name: name.to_owned(),
        text: if name == "trends.yaml" { change(file(name)) } else { file(name) },
    });
    compile(&files, &catalog())
}

struct Told {
    alerts: Vec<Alert<'static>>,
    incidents: Vec<Incident>,
    actions: Vec<SlackAction>,
    samples: Vec<Sample<'static>>,
}

fn run(given: impl IntoIterator<Item = (i64, Fact<'static>)>, until_minutes: i64) -> Told {
    let topology = shipped(|text| text).topology.unwrap();
    let mut driver = TopologyDriver::new(&topology, 50).unwrap();
    for (minute, fact) in given {
        let topic = if fact.kind() == FactKind::Sample { "oncall.samples.v1" } else { "oncall.alerts.v1" };
        driver.send(&Topic::from(topic), &fact, EventTime(minute * MINUTE_MS)).unwrap();
        driver.run(EventTime(minute * MINUTE_MS)).unwrap();
    }
    driver.run(EventTime(until_minutes * MINUTE_MS)).unwrap();
    assert_eq!(driver.replay().unwrap(), driver.written());
    let facts = |topic: &str, kind| driver.facts(&Topic::from(topic), kind).unwrap().into_iter().map(|(_, fact)| fact);
    Told {
        alerts: facts("oncall.alerts.v1", FactKind::Alert).map(|fact| fact.try_into().unwrap()).collect(),
        incidents: facts("oncall.incidents.v1", FactKind::Incident).map(|fact| fact.try_into().unwrap()).collect(),
        samples: facts("oncall.samples.v1", FactKind::Sample).map(|fact| fact.try_into().unwrap()).collect(),
        actions: facts("oncall.slack-actions.v1", FactKind::SlackAction)
            .map(|fact| if let Fact::SlackAction(action) = fact { action } else { panic!("{}", fact.kind()) })
            .collect(),
    }
}

fn sample(minute: i64, value: f64) -> (i64, Fact<'static>) {
    (minute, Fact::Sample(Sample { series: DISK.into(), at_ms: minute * MINUTE_MS, value }))
}

fn trends(told: &Told) -> Vec<&str> {
    told.alerts.iter().filter_map(|alert| alert.annotations.get("trend")).collect()
}

/// 100 MB a minute until somebody makes room.
fn filling(minute: i64, room_at: i64) -> f64 {
    if minute < room_at { 1e9 + 1e8 * (140 - minute) as f64 } else { 40e9 }
}

#[test]
fn a_disk_that_fills_up_is_told_once_long_before_and_ends_as_resolved() {
    let told = run((0..90).map(|minute| sample(minute, filling(minute, 40))), 240);
    assert_eq!(trends(&told), ["began", "recovering", "ended"]);
    let began = &told.alerts[0];
    assert!(began.starts_at_ms <= 20 * MINUTE_MS, "{} min", began.starts_at_ms / MINUTE_MS);
    assert!(told.alerts.iter().all(|alert| alert.starts_at_ms == began.starts_at_ms));
    let summary = began.annotations.get("summary").unwrap();
    assert!(summary.starts_with("free space ") && summary.contains(", crosses 954 MiB in about 1"), "{summary}");
    let changes: Vec<_> = told.incidents.iter().map(|incident| incident.change).collect();
    assert_eq!((changes[0], changes[changes.len() - 1]), (IncidentChange::Opened, IncidentChange::Resolved));
    let opened = changes.iter().filter(|change| matches!(change, IncidentChange::Opened | IncidentChange::Reopened));
    assert_eq!(opened.count(), 1);
    assert!(told.incidents.iter().all(|incident| incident.mention == Mention::Nobody && incident.service == "storage"));
    assert!(told.actions.first().is_some_and(|action| action.text.contains("DiskFillsUp")), "{:?}", told.actions);
    assert!(told.actions.last().unwrap().text.contains("Resolved"), "{:?}", told.actions.last());
}

#[test]
fn what_comes_true_soon_wakes_the_owner_and_what_goes_on_is_told_again() {
    let told = run((0..135).map(|minute| sample(minute, filling(minute, 1_000))), 135);
    let words = trends(&told);
    assert_eq!((words[0], words.iter().filter(|word| **word == "began").count()), ("began", 1));
    assert!(words[1..].iter().all(|word| *word == "goes_on") && words.len() >= 2, "{words:?}");
    let woken = told.incidents.iter().find(|incident| incident.mention == Mention::Owner).expect("somebody is told");
    assert!(woken.level_reason.contains("trend-soon"), "{}", woken.level_reason);
}

/// What an alert measures is itself watched, and what is found of it is not.
#[test]
fn the_alert_stream_is_series_and_the_loop_comes_to_rest() {
    let alert = |minute: i64| {
        let text = format!(
            r#"{{"source": "test", "fingerprint": "i1", "starts_at_ms": 0, "status": "firing", "service": "ingress",
                "name": "Ingress5xx", "value": {}}}"#,
            300 + 10 * minute
        );
        (minute, Fact::Alert(serde_json::from_str::<Alert<'_>>(&text).unwrap()).into_owned())
    };
    let told = run((0..85).map(alert), 300);
    let series = told.samples.iter().map(|sample| Series::parse(&sample.series).unwrap().metric.to_string());
    let series: Vec<String> = series.collect();
    assert_eq!(series.iter().filter(|metric| *metric == "alert_value").count(), 85);
    assert_eq!(series.iter().filter(|metric| *metric == "alert_episodes_total").count(), 85);
    assert_eq!(series.len(), 170, "no detection is a series");
    let found: Vec<_> = told.alerts.iter().filter(|alert| *alert.source == *"trend").collect();
    assert!(found.iter().all(|alert| *alert.name == *"AlertGrowsWorse" && *alert.service == *"ingress"));
    // Nothing is told for an hour after the last: silence ends it.
    assert_eq!(found.last().and_then(|alert| alert.annotations.get("trend")), Some("ended"));
    assert_eq!(found[0].labels.get("exported_alertname"), Some("Ingress5xx"));
}

#[test]
fn a_topology_tells_what_its_rules_select() {
    let topology = shipped(|text| text).topology.unwrap();
    let selects = |series: &str| {
        let series = Series::parse(series).unwrap();
        topology.selectors().iter().any(|selector| selector.matches(&series))
    };
    assert!(selects(DISK) && selects(r#"job:http_errors:ratio5m{job="web"}"#));
    assert!(!selects("up") && !selects(r#"node_filesystem_avail_bytes{fstype="tmpfs"}"#));
}

#[test]
fn wrong_rules_are_told_with_file_and_line() {
    let rule = |rule: &str| format!("        - {rule}\n        - name: disk-full\n");
    for (wrong, place, said) in [
        ("{ name: a, detect: { shift: {} } }", ":11", "says of no series"),
        ("{ name: a, select: 'rate(up[5m])', detect: { shift: {} } }", ":30", "expected the end at character 5"),
        ("{ name: a, select: '{a=~\".*\"}', detect: { shift: {} } }", ":30", "selects every series"),
        ("{ name: a, select: up, detect: { shift: { sum: 0 } } }", ":11", "sum"),
        ("{ name: a, select: up, detect: { shfit: {} } }", "", "did you mean `shift`?"),
        ("{ name: latency, select: up, detect: { shift: {} } }", ":11", "is taken by an earlier rule"),
        (
            "{ name: a, select: 'up{service=\"\",job=\"\"}', detect: { shift: {} } }",
            ":11",
            "nobody knows whose they are",
        ),
        ("{ name: a, select: up, detekt: { shift: {} } }", ":34", "`detekt` is unknown; did you mean `detect`?"),
    ] {
        let compiled = shipped(|text| text.replace("        - name: disk-full\n", &rule(wrong)));
        assert!(compiled.topology.is_none(), "{wrong}");
        let problems: Vec<_> = compiled.problems.iter().map(ToString::to_string).collect();
        let shipped =
            std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("topology/trends.yaml")).unwrap();
        let line = shipped.lines().position(|line| line == "        - name: disk-full").unwrap() + 1;
        let found =
            problems.iter().any(|told| told.starts_with(&format!("trends.yaml:{line}{place}")) && told.contains(said))
                || said.contains("taken")
                    && problems.iter().any(|told| told.starts_with("trends.yaml:") && told.contains(said));
        assert!(found, "{wrong}: {problems:#?}");
    }
}
