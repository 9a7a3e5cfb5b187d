//! What others send and what is read from it: `cases/ingest/*.json`, partly recorded from real senders; and that no bytes
//! whatever make a parser panic.

use std::path::Path;
use std::sync::LazyLock;

use fairlead::codec::Formats;
use fairlead::event::{Fact, FactKind, Payload};
use fairlead::ingest::endpoint::{Format, NoFormat};
use fairlead::ingest::kafka::{self, TopicFormat};
use fairlead::ingest::pagerduty::RoutingKeys;
use fairlead::ingest::{Endpoint, Reading, Refusal, Rules, raw, sns};
use fairlead::record::EventTime;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

/// One file of `cases/ingest`.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    about: String,
    /// A path, or `kafka:<topic>`.
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
    delivery: Option<String>,
    receipt: Option<String>,
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
    /// Of a record.
    fn topic(&self) -> Option<&str> {
        self.endpoint.strip_prefix("kafka:")
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    fn format(&self) -> Result<Format, NoFormat> {
        let endpoint = Endpoint::at(&self.endpoint).expect("a known endpoint");
        endpoint.format(&self.endpoint, |name| self.header(name))
    }

    fn read(&self, body: &[u8]) -> Result<Reading, Refusal> {
        if let Some(topic) = self.topic() {
            return match RULES.topics.get(topic) {
                Some(format) => kafka::read(*format, |name| self.header(name), Some(body), &RULES, self.received()),
                None => raw::read_again(&self.kept(body, &Ok(Reading::default())), &RULES),
            };
        }
        let format = self.format().map_err(|no_format| match no_format {
            NoFormat::Media(refusal) | NoFormat::Headers(refusal) => refusal,
        })?;
        format.read(body, &RULES, self.received())
    }

    fn kept(&self, body: &[u8], read: &Result<Reading, Refusal>) -> Payload {
        let (header, received) = (|name: &str| self.header(name), self.received());
        let kept = match self.topic() {
            Some(topic) => raw::of_record(topic, header, body, read, received),
            None => {
                let at = (Endpoint::at(&self.endpoint).unwrap(), self.endpoint.as_str());
                raw::payload(at, header, body, read, received, &RULES)
            }
        };
        kept.expect("it is small enough")
    }

    fn received(&self) -> EventTime {
        let received_at: jiff::Timestamp = self.received_at.parse().expect("an RFC 3339 time");
        EventTime(received_at.as_millisecond())
    }
}

/// What the cases are read by: the defaults, and of everything that is configured by name one example.
static RULES: LazyLock<Rules> = LazyLock::new(|| Rules {
    repositories: [("acme/shop-api".to_owned(), "checkout".to_owned())].into(),
    routing_keys: RoutingKeys::new([
        ("search", "R0UTINGKEY00000000000000SEARCH00"),
        ("checkout", "R0UTINGKEY00000000000000CHECKOUT"),
    ]),
    json: serde_saphyr::from_str(JSON_MAPPINGS).expect("mappings"),
    topics: [
        ("argo.cdevents".to_owned(), TopicFormat::CloudEvents),
        ("alertmanager.events".to_owned(), TopicFormat::AlertmanagerEvents),
    ]
    .into(),
    ..Rules::default()
});

const JSON_MAPPINGS: &str = r#"
zabbix:
  alerts:
    each: /events
    fingerprint: [/trigger_id, /host]
    resolved: { at: /status, is: [OK, "0"] }
    ignored: { at: /status, is: [UNKNOWN] }
    labels: { alertname: /trigger, severity: /severity, service: /tags/service, env: production }
    annotations: { summary: /message, value: /value }
    link: /url
plain:
  alerts: { starts_at: /since, ends_at: /until, labels: { alertname: /name, service: /a~1b/0 } }
pipeline:
  deploys:
    id: /build/number
    service: /project
    version: /tag
    environment: /stage
    revision: /build/commit
    actor: /build/by
    link: /build/url
    started_at: /build/started
    finished_at: /build/finished
    running: { at: /state, is: [RUNNING] }
    failed: { at: /state, is: [FAILED, ABORTED] }
    rollback: { at: /build/rollback, is: ["true"] }
    ignored: { at: /state, is: [QUEUED] }
"#;

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
        assert_eq!((&reading.delivery, &reading.receipt), (&case.delivery, &case.receipt), "{about}");
    }
}

/// Whoever reads the payload that was kept gets what was told then, and no credential is in it.
#[test]
fn what_is_kept_of_a_request_is_read_again_as_it_was() {
    let rules = Rules { routing_keys: RoutingKeys::by_name(["search", "checkout"]), ..RULES.clone() };
    for (name, case) in CASES.iter().filter(|(_, case)| case.topic().is_some() || case.format().is_ok()) {
        let body = serde_json::to_vec(&case.body).unwrap();
        let read = case.read(&body);
        let kept = case.kept(&body, &read);
        assert!(!String::from_utf8_lossy(&kept.body).contains("R0UTINGKEY"), "{name}");
        assert!(!kept.headers.contains_key("x-hub-signature-256") && !kept.headers.contains_key("authorization"));
        let facts = read.as_ref().map_or(0, |reading| reading.facts.len());
        assert_eq!(
            (kept.facts as usize, kept.refusal.is_some()),
            (facts, read.as_ref().map_or(true, |read| read.refusals() > 0))
        );
        let again = raw::read_again(&kept, &rules);
        match (&read, &again) {
            // Its key was nobody's, so it would not have been kept.
            _ if name == "pagerduty_unknown_key" => {}
            _ => assert_eq!(again, read, "{name}"),
        }
        let mut record = Vec::new();
        FORMATS.encode_fact(&Fact::Payload(kept.clone()), &mut record).unwrap();
        assert_eq!(FORMATS.decode_fact(FactKind::Payload, &record).unwrap(), Fact::Payload(kept), "{name}");
    }
}

#[test]
fn a_routing_key_that_is_spelt_with_escapes_is_not_kept_either() {
    let body =
        br#"{"routing_key": "R0UTINGKEY00000000000000CHECK\u004fUT", "event_action": "resolve", "dedup_key": "x"}"#;
    let read = Format::PagerDutyAlert.read(body, &RULES, EventTime(0));
    let at = (Endpoint::PagerDutyAlerts, "/v2/enqueue");
    let kept = raw::payload(at, |_| None, body, &read, EventTime(0), &RULES).unwrap();
    let kept = String::from_utf8(kept.body).unwrap();
    assert!(kept.contains(r#""routing_key":"service:checkout""#) && !kept.contains("R0UTINGKEY"), "{kept}");
}

#[test]
fn what_is_too_large_for_a_record_is_not_kept() {
    let kept = |bytes: usize| {
        let body = vec![b' '; bytes];
        let at = (Endpoint::Grafana, "/webhooks/grafana");
        raw::payload(at, |_| None, &body, &Ok(Reading::default()), EventTime(0), &RULES).is_some()
    };
    assert!(kept(900_000) && !kept(900_001));
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

/// A message of SNS is JSON within JSON.
fn edit_within(body: &mut Value, edits: &[(prop::sample::Index, Value)]) {
    let Some(mut message) = body["Message"].as_str().and_then(|text| serde_json::from_str::<Value>(text).ok()) else {
        return;
    };
    edit(&mut message, edits);
    body["Message"] = message.to_string().into();
}

fn edit(body: &mut Value, edits: &[(prop::sample::Index, Value)]) {
    for (place, value) in edits {
        let mut found = Vec::new();
        pointers(body, String::new(), &mut found);
        if let Some(spot) = body.pointer_mut(&found[place.index(found.len())]) {
            *spot = value.clone();
        }
    }
}

/// What holds for any input: it ends, each element is accounted for, and what is refused says where and how to mend it.
fn check_total(case: &Case, body: &[u8]) -> Result<(), TestCaseError> {
    // Before anything is believed.
    if let Err(refusal) = sns::envelope(body) {
        prop_assert!(refusal.to_string().len() < 2_000, "{refusal}");
    }
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
        within in any::<bool>(),
    ) {
        let (_, case) = &CASES[pick.index(CASES.len())];
        let mut body = case.body.clone();
        if within {
            edit_within(&mut body, &edits);
        } else {
            edit(&mut body, &edits);
        }
        let mut bytes = serde_json::to_vec(&body).unwrap();
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len() + 1));
        }
        check_total(case, &bytes)?;
    }
}
