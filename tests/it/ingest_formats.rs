//! What others send and what is read from it: `cases/ingest/*.json`, partly recorded from real senders; and that no bytes
//! whatever make a parser panic.

use std::path::Path;
use std::sync::LazyLock;

use fairlead::codec::Formats;
use fairlead::event::Fact;
use fairlead::ingest::endpoint::{Format, NoFormat};
use fairlead::ingest::{Endpoint, Reading, Refusal, Rules};
use fairlead::record::EventTime;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

/// One file of `cases/ingest`.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    about: String,
    endpoint: String,
    headers: std::collections::BTreeMap<String, String>,
    /// RFC 3339.
    received_at: String,
    body: Value,
    /// Without the fields that are null.
    #[serde(default)]
    facts: Vec<Value>,
    /// Paths of the elements refused.
    #[serde(default)]
    refused: Vec<String>,
    #[serde(default)]
    ignored: usize,
    #[serde(default)]
    omitted_by_sender: u64,
    refused_whole: Option<Whole>,
    #[serde(default)]
    refused_media: bool,
}

#[derive(serde::Deserialize)]
struct Whole {
    path: String,
    /// Words that the mend contains.
    mend: String,
}

impl Case {
    fn format(&self) -> Result<Format, NoFormat> {
        let endpoint = Endpoint::ALL.into_iter().find(|endpoint| endpoint.path() == self.endpoint);
        endpoint.expect("a known endpoint").format(|name| self.headers.get(name).map(String::as_str))
    }

    fn read(&self, body: &[u8]) -> Result<Reading, Refusal> {
        let format = self.format().map_err(|no_format| match no_format {
            NoFormat::Media(refusal) | NoFormat::Headers(refusal) => refusal,
        })?;
        let received_at: jiff::Timestamp = self.received_at.parse().expect("an RFC 3339 time");
        format.read(body, &Rules::default(), EventTime(received_at.as_millisecond()))
    }
}

static CASES: LazyLock<Vec<(String, Case)>> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/cases/ingest");
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let read = |path: &std::path::PathBuf| {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let case =
            serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap_or_else(|error| panic!("{name}: {error}"));
        (name, case)
    };
    paths.iter().map(read).collect()
});

static FORMATS: LazyLock<Formats> = LazyLock::new(Formats::shipped);

#[test]
fn every_case_gives_its_facts_and_refusals() {
    assert!(CASES.len() >= 20, "the cases were not found");
    for (name, case) in CASES.iter() {
        let about = format!("{name}: {}", case.about);
        if case.refused_media {
            assert!(matches!(case.format(), Err(NoFormat::Media(_))), "{about}");
            continue;
        }
        let read = case.read(&serde_json::to_vec(&case.body).unwrap());
        if let Some(whole) = &case.refused_whole {
            let refusal = read.expect_err(&about);
            assert_eq!(refusal.path, whole.path, "{about}: {refusal}");
            assert!(refusal.mend.contains(&whole.mend), "{about}: {refusal}");
            continue;
        }
        let reading = read.unwrap_or_else(|refusal| panic!("{about}: {refusal}"));
        let facts: Vec<_> = reading.facts.iter().map(as_json).collect();
        assert_eq!(json!(facts), json!(case.facts), "{about}");
        let refused: Vec<_> = reading.refused.iter().map(|refusal| &refusal.path).collect();
        assert_eq!(refused, case.refused.iter().collect::<Vec<_>>(), "{about}: {:?}", reading.refused);
        assert_eq!((reading.ignored, reading.omitted_by_sender), (case.ignored, case.omitted_by_sender), "{about}");
    }
}

fn as_json(fact: &Fact<'_>) -> Value {
    let (kind, fields) = match fact {
        Fact::Alert(alert) => ("alert", serde_json::to_value(alert)),
        Fact::Deploy(deploy) => ("deploy", serde_json::to_value(deploy)),
        other => panic!("ingest makes no {}", other.kind()),
    };
    let Ok(Value::Object(mut fields)) = fields else { panic!("a fact is an object") };
    fields.retain(|_, value| !value.is_null());
    json!({ kind: fields })
}

#[test]
fn more_elements_than_allowed_are_refused_and_refusals_are_bounded() {
    let read = |count: usize| {
        let alerts = json!(vec![json!({"labels": {}}); count]);
        let rules = Rules::default();
        Format::AlertmanagerApi.read(&serde_json::to_vec(&alerts).unwrap(), &rules, EventTime(0))
    };
    let reading = read(2_000).unwrap();
    assert_eq!((reading.refused.len(), reading.refused_more), (Reading::REFUSALS, 2_000 - Reading::REFUSALS));
    assert!(read(2_001).unwrap_err().to_string().contains("at most 2000"));
}

#[test]
fn the_largest_alert_within_the_limits_fits_into_a_kafka_record() {
    let text = |bytes: usize| "x".repeat(bytes);
    let names = (0..64).map(|n| format!("{n:0>128}"));
    let set = |bytes| names.clone().map(|name| (name, json!(text(bytes)))).collect::<Map<_, _>>();
    let mut labels: Map<_, _> = set(2_048).into_iter().take(60).collect();
    for name in ["alertname", "service", "environment", "namespace"] {
        labels.insert(name.to_owned(), json!(text(2_048)));
    }
    let alert = json!([{"labels": labels, "annotations": set(20_000), "generatorURL": text(2_048)}]);
    let body = serde_json::to_vec(&alert).unwrap();
    let reading = Format::AlertmanagerApi.read(&body, &Rules::default(), EventTime(0)).unwrap();
    let mut record = Vec::new();
    FORMATS.encode_fact(&reading.facts[0], &mut record).unwrap();
    // Kafka's default max.message.bytes is 1,048,588, with a little for the batch around it.
    assert!((600_000..1_000_000).contains(&record.len()), "{} bytes", record.len());
}

/// Every place in `value`, as a JSON pointer.
fn pointers(value: &Value, at: String, found: &mut Vec<String>) {
    match value {
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(n, item)| pointers(item, format!("{at}/{n}"), found));
        }
        Value::Object(fields) => {
            fields.iter().for_each(|(name, field)| pointers(field, format!("{at}/{name}"), found));
        }
        _ => {}
    }
    found.push(at);
}

fn junk() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,80}".prop_map(Value::from),
        "-?[0-9]{1,6}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\\.[0-9]{1,12})?(Z|[+-][0-9]{2}:[0-9]{2})"
            .prop_map(Value::from),
        Just(json!([])),
        Just(json!([[], {}, null])),
        Just(json!({})),
        Just(json!({"": "", "\u{0}": {"a": 1}})),
        (1_000..20_000usize).prop_map(|length| "é".repeat(length).into()),
    ]
}

/// What holds for any input: it ends, each element is accounted for, and what is refused says where and how to mend it.
fn check_total(case: &Case, body: &[u8]) -> Result<(), TestCaseError> {
    match case.read(body) {
        Ok(reading) => {
            prop_assert!(reading.refused.len() <= Reading::REFUSALS);
            for fact in &reading.facts {
                prop_assert!(!fact.key().is_empty());
                let mut record = Vec::new();
                prop_assert!(FORMATS.encode_fact(fact, &mut record).is_ok());
            }
            for refusal in &reading.refused {
                prop_assert!(refusal.path.starts_with('$') && !refusal.mend.is_empty());
            }
        }
        Err(refusal) => {
            prop_assert!(refusal.path.starts_with('$') && !refusal.mend.is_empty());
            prop_assert!(refusal.to_string().len() < 2_000, "{refusal}");
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_never_panic(pick in any::<prop::sample::Index>(), body in prop::collection::vec(any::<u8>(), 0..400)) {
        let (_, case) = &CASES[pick.index(CASES.len())];
        check_total(case, &body)?;
    }

    #[test]
    fn payloads_with_anything_anywhere_never_panic(
        pick in any::<prop::sample::Index>(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), junk()), 1..4),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let (_, case) = &CASES[pick.index(CASES.len())];
        let mut body = case.body.clone();
        for (place, value) in edits {
            let mut found = Vec::new();
            pointers(&body, String::new(), &mut found);
            if let Some(spot) = body.pointer_mut(&found[place.index(found.len())]) {
                *spot = value;
            }
        }
        let mut bytes = serde_json::to_vec(&body).unwrap();
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len() + 1));
        }
        check_total(case, &bytes)?;
    }
}
