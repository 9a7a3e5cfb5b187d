//! The file of an export: nothing of a record is lost in it, and a file that is not whole is refused.

use fairlead::event::Fact;
use fairlead::record::{EventTime, Header, Offset, Partition, Topic};
use fairlead::replay::{self, Recorded, Recording, Value, Writer};
use fairlead::topology::catalog::catalog;
use fairlead::topology::compile::compile;
use fairlead::topology::spec::SourceFile;

use super::recording::{BEGIN_MS, Night, SHIPPED, facts, shipped};
use super::{refused, topologies};

const RANGE: (EventTime, EventTime) = (EventTime(i64::MIN), EventTime(i64::MAX));

fn write(file: &std::path::Path, records: &[Recorded]) {
    let topics = replay::chosen(&shipped(), &[]).unwrap();
    let mut writer = Writer::create(file, "fairlead", &topics, RANGE).unwrap();
    records.iter().for_each(|record| writer.write(record).unwrap());
    assert_eq!(writer.end().unwrap(), records.len() as u64);
}

fn read(file: &std::path::Path) -> Vec<Recorded> {
    let mut records = Vec::new();
    let topics = replay::chosen(&shipped(), &[]).unwrap();
    let keep = &mut |record| {
        records.push(record);
        Ok(())
    };
    Recording::open(file).unwrap().each(&topics, RANGE, keep).unwrap();
    records
}

#[test]
fn a_whole_night_comes_back_as_it_was() {
    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join("night.jsonl");
    let Night { inputs, told, journal } = Night::lived();
    let records = [inputs, told, journal].concat();
    write(&file, &records);
    assert_eq!(read(&file), records);
    assert!(!scratch.path().join("night.jsonl.partial").exists());
}

#[test]
fn what_json_cannot_say_and_what_nobody_can_read_comes_back_too() {
    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join("odd.jsonl");
    let record = |offset: i64, key: Option<&[u8]>, value: Value| Recorded {
        topic: Topic::from("oncall.alerts.v1"),
        partition: Partition(3),
        offset: Offset(offset),
        timestamp: EventTime(BEGIN_MS),
        key: key.map(<[u8]>::to_vec),
        headers: vec![
            Header { name: "text".into(), value: Some("grün".into()) },
            Header { name: "bytes".into(), value: Some(vec![0xff, 0]) },
            Header { name: "none".into(), value: None },
        ],
        value,
    };
    let Some((_, Fact::Alert(alert))) = facts().into_iter().find(|(_, fact)| matches!(fact, Fact::Alert(_))) else {
        panic!("a night without an alert")
    };
    let valued = |value: f64| Value::Fact(Fact::Alert(fairlead::event::Alert { value: Some(value), ..alert.clone() }));
    let unreadable =
        Value::Unreadable { bytes: vec![0, 0, 0, 0, 99, 1], error: "schema id 99 is not known".to_owned() };
    let records = [
        record(0, Some(b"\xff\xfe"), valued(0.1 + 0.2)),
        record(1, None, Value::Tombstone),
        record(2, Some(b""), unreadable),
        record(3, Some(b"key"), valued(f64::NEG_INFINITY)),
    ];
    write(&file, &records);
    assert_eq!(read(&file), records);
    // Not a number is equal to nothing.
    write(&file, &[record(4, None, valued(f64::NAN))]);
    let Value::Fact(Fact::Alert(back)) = &read(&file)[0].value else { panic!("an alert") };
    assert!(back.value.is_some_and(f64::is_nan));
}

#[test]
fn what_is_no_whole_export_is_refused_with_its_place() {
    let scratch = tempfile::tempdir().unwrap();
    let (topology, _) = topologies(scratch.path(), |shipped| format!("{shipped}\n"));
    let file = scratch.path().join("night.jsonl");
    Night::lived().write(&file);
    let whole = std::fs::read_to_string(&file).unwrap();
    let replayed = |text: &str| {
        std::fs::write(&file, text).unwrap();
        refused(&["replay", "--topology", &topology, "--file", file.to_str().unwrap()])
    };
    let lines: Vec<&str> = whole.lines().collect();
    let cut = replayed(&lines[..lines.len() - 1].join("\n"));
    assert!(cut.contains("night.jsonl: it was cut off; export it again"), "{cut}");
    let torn = replayed(&whole[..whole.len() / 2]);
    assert!(torn.contains("night.jsonl:"), "{torn}");
    let fewer = replayed(&[&lines[..3], &lines[4..]].concat().join("\n"));
    assert!(fewer.contains("records, and holds"), "{fewer}");
    assert!(replayed("{}").contains("night.jsonl:1: this is no export of fairlead's"));
    assert!(replayed("").contains("night.jsonl:1: this is no export of fairlead's"));
    let newer = replayed(&whole.replacen("\"fairlead_export\":1", "\"fairlead_export\":2", 1));
    assert!(newer.contains("version 2 of the format; this fairlead reads version 1"), "{newer}");
    let renamed = replayed(&whole.replace("delivery.deploys.v1", "delivery.rollouts.v1"));
    assert!(renamed.contains("has no delivery.deploys.v1; it has "), "{renamed}");
}

/// Silences and answers, causes and rotations are read if they are there.
#[test]
fn a_recording_may_be_older_than_what_people_answer_and_than_rotations() {
    let rotations = ("rotations.yaml", include_str!("../../../topology/rotations.yaml"));
    let files = SHIPPED.into_iter().chain([rotations]);
    let files = files.map(|(name, text)| SourceFile { name: name.to_owned(), text: text.to_owned() });
    let topology = compile(&files.collect::<Vec<_>>(), &catalog()).topology.unwrap();
    let names = |topics: replay::Topics| topics.into_keys().map(|topic| topic.to_string()).collect::<Vec<_>>();
    assert_eq!(names(replay::required(&topology)), ["delivery.deploys.v1", "oncall.alerts.v1"]);
    assert!(names(replay::inputs(&topology)).contains(&"oncall.rotations.v1".to_owned()));
}
