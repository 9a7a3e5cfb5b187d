//! The laws of a fact, over the examples in `schemas/examples/` and over generated values: two Avro libraries write and read the
//! same bytes, a field that its writer did not know has the schema's default, every field says what it is.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::path::Path;

use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value as AvroValue;
use apache_avro::writer::datum::GenericDatumWriter;
use fairlead::codec::{avro, ordered};
use fairlead::event::{
    ActionRun, Alert, Audit, Cause, Deploy, FactKind, GroupOffset, Incident, MirrorRange, Payload, Response, Rotation,
    Sample, Silence, SlackAction, SlackOutcome,
};
use fairlead::topology::dead_letter::{self, DeadLetter};
use fairlead::topology::journal::{self, Journal};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Name and text of every example of a schema, in order.
pub fn of(schema: &str) -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas/examples").join(schema);
    let read = |entry: std::io::Result<std::fs::DirEntry>| {
        let path = entry.unwrap().path();
        (path.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read_to_string(&path).unwrap())
    };
    let mut examples: Vec<_> = std::fs::read_dir(&folder).unwrap().map(read).collect();
    examples.sort();
    examples
}

/// A schema as three readers have it.
struct Schema {
    json: Value,
    fast: serde_avro_fast::Schema,
    apache: apache_avro::Schema,
}

impl Schema {
    fn of(json: Value) -> Self {
        let text = json.to_string();
        Self { fast: text.parse().unwrap(), apache: apache_avro::Schema::parse_str(&text).unwrap(), json }
    }

    /// Without the fields that have a default: as somebody writes who never heard of them.
    fn narrow(&self) -> Self {
        let mut json = self.json.clone();
        each_record(&mut json, &mut |fields| {
            fields.retain(|field| field.get("default").is_none() || is_list_of_records(&field["type"]));
        });
        Self::of(json)
    }

    /// What the other library makes of it, which needs no twin: the value, and its bytes.
    fn by_apache(&self, json: &str) -> (AvroValue, Vec<u8>) {
        let json: Value = serde_json::from_str(json).unwrap();
        let value = AvroValue::try_from(json).unwrap().resolve(&self.apache).unwrap();
        let writer = GenericDatumWriter::builder(&self.apache).build().unwrap();
        (value.clone(), writer.write_value_to_vec(value).unwrap())
    }
}

fn schemas() -> BTreeMap<&'static str, Schema> {
    let facts = FactKind::ALL.into_iter().map(|kind| (kind.name(), kind.schema_json()));
    let engines = [("journal", journal::SCHEMA), ("dead_letter", dead_letter::SCHEMA)];
    facts.chain(engines).map(|(name, text)| (name, Schema::of(serde_json::from_str(text).unwrap()))).collect()
}

/// Calls `act` with the fields of the record and of every record in it.
fn each_record(schema: &mut Value, act: &mut impl FnMut(&mut Vec<Value>)) {
    let Some(fields) = schema.get_mut("fields").and_then(Value::as_array_mut) else { return };
    act(fields);
    for field in fields {
        match field["type"].as_array_mut() {
            Some(branches) => branches.iter_mut().for_each(|branch| each_record(branch, act)),
            None => field["type"].get_mut("items").into_iter().for_each(|items| each_record(items, act)),
        }
    }
}

fn is_list_of_records(schema: &Value) -> bool {
    schema["items"]["fields"].is_array()
}

/// The value with every default filled in (`known`), or with all taken out that a narrow schema lacks.
fn with_defaults(schema: &Value, value: &Value, known: bool) -> Value {
    let mut told = Map::new();
    for field in schema["fields"].as_array().unwrap() {
        let name = field["name"].as_str().unwrap();
        let list = is_list_of_records(&field["type"]);
        let value = match (value.get(name), field.get("default")) {
            (Some(value), default) if known || list || default.is_none() => value.clone(),
            (_, Some(default)) if known || list => default.clone(),
            (_, None) => panic!("{name} has no default and no value"),
            _ => continue,
        };
        let inner = |items: &Value| with_defaults(&field["type"]["items"], items, known);
        let value = if list { value.as_array().unwrap().iter().map(inner).collect() } else { value };
        told.insert(name.to_owned(), value);
    }
    told.into()
}

/// Everything at once, for the twin of a schema.
fn laws<'a, T>(schema: &Schema, json: &'a str, apache: &'a (AvroValue, Vec<u8>), narrow: &'a Narrow)
where
    T: Deserialize<'a> + Serialize + PartialEq + Debug,
{
    let told: T = serde_json::from_str(json).unwrap();
    let mut bytes = Vec::new();
    avro::encode(&schema.fast, &told, &mut bytes).unwrap();
    let mut by_order = Vec::new();
    ordered::encode(&told, &mut by_order).unwrap();
    assert_eq!(by_order, bytes, "its fields are not in the schema's order: {json}");
    let (value, apache_bytes) = apache;
    if has_one_order(value) {
        assert_eq!(&bytes, apache_bytes, "written otherwise by the other library: {json}");
    }
    assert_eq!(bytes.len(), apache_bytes.len(), "{json}");
    let reader = GenericDatumReader::builder(&schema.apache).build().unwrap();
    assert_eq!(&reader.read_value(&mut &bytes[..]).unwrap(), value, "read otherwise by the other library");
    assert_eq!(avro::decode::<T>(&schema.fast, apache_bytes).unwrap(), told, "what the other library wrote");
    assert_eq!(ordered::decode::<T>(apache_bytes).unwrap(), told, "its fields are not in the schema's order");
    assert_eq!(apache_avro::from_value::<T>(value).unwrap(), told);
    let filled: T = serde_json::from_str(&narrow.filled).unwrap();
    assert_eq!(avro::decode::<T>(&narrow.schema.fast, &narrow.bytes).unwrap(), filled, "a default is not the schema's");
    assert_eq!(serde_json::from_str::<T>(&narrow.json).unwrap(), filled, "a default is not the schema's");
}

/// What somebody wrote who does not know the optional fields, and what a reader has to make of it.
struct Narrow {
    schema: Schema,
    json: String,
    bytes: Vec<u8>,
    filled: String,
}

impl Narrow {
    fn of(schema: &Schema, json: &str) -> Self {
        let narrow = schema.narrow();
        let told = with_defaults(&schema.json, &serde_json::from_str(json).unwrap(), false);
        let filled = with_defaults(&schema.json, &told, true).to_string();
        let json = told.to_string();
        let (_, bytes) = narrow.by_apache(&json);
        Self { schema: narrow, json, bytes, filled }
    }
}

/// A map of several entries may be written in any order.
fn has_one_order(value: &AvroValue) -> bool {
    match value {
        AvroValue::Map(entries) => entries.len() < 2,
        AvroValue::Record(fields) => fields.iter().all(|(_, value)| has_one_order(value)),
        _ => true,
    }
}

fn check(name: &str, schema: &Schema, json: &str) {
    let (apache, narrow) = (schema.by_apache(json), Narrow::of(schema, json));
    match name {
        "alert" => laws::<Alert<'_>>(schema, json, &apache, &narrow),
        "deploy" => laws::<Deploy<'_>>(schema, json, &apache, &narrow),
        "incident" => laws::<Incident>(schema, json, &apache, &narrow),
        "slack_action" => laws::<SlackAction>(schema, json, &apache, &narrow),
        "payload" => laws::<Payload>(schema, json, &apache, &narrow),
        "response" => laws::<Response>(schema, json, &apache, &narrow),
        "action_run" => laws::<ActionRun>(schema, json, &apache, &narrow),
        "cause" => laws::<Cause>(schema, json, &apache, &narrow),
        "silence" => laws::<Silence>(schema, json, &apache, &narrow),
        "rotation" => laws::<Rotation>(schema, json, &apache, &narrow),
        "mirror_range" => laws::<MirrorRange>(schema, json, &apache, &narrow),
        "group_offset" => laws::<GroupOffset>(schema, json, &apache, &narrow),
        "audit" => laws::<Audit>(schema, json, &apache, &narrow),
        "sample" => laws::<Sample<'_>>(schema, json, &apache, &narrow),
        "slack_outcome" => laws::<SlackOutcome>(schema, json, &apache, &narrow),
        "journal" => laws::<Journal>(schema, json, &apache, &narrow),
        "dead_letter" => laws::<DeadLetter>(schema, json, &apache, &narrow),
        other => panic!("a schema without a twin here: {other}"),
    }
}

/// Values of a schema, as JSON; what is defined once and used again by its name is in `named`.
fn any_of(schema: &Value, named: &mut BTreeMap<String, BoxedStrategy<Value>>) -> BoxedStrategy<Value> {
    if let Some(branches) = schema.as_array() {
        assert_eq!((branches.len(), branches[0].as_str()), (2, Some("null")), "an optional value");
        let some = any_of(&branches[1], named);
        return prop_oneof![Just(Value::Null), some].boxed();
    }
    let text = || prop::collection::vec(any::<char>(), 0..6).prop_map(String::from_iter);
    match schema["type"].as_str().or(schema.as_str()).unwrap() {
        "string" => text().prop_map(Value::from).boxed(),
        // JSON has no bytes: ASCII is the same in every convention.
        "bytes" => "[ -~]{0,8}".prop_map(Value::from).boxed(),
        "boolean" => any::<bool>().prop_map(Value::from).boxed(),
        "int" => any::<i32>().prop_map(Value::from).boxed(),
        "long" => any::<i64>().prop_map(Value::from).boxed(),
        "double" => prop::num::f64::NORMAL.prop_map(Value::from).boxed(),
        "map" => {
            let entries = prop::collection::btree_map(text(), any_of(&schema["values"], named), 0..3);
            entries.prop_map(|entries| Value::from(Map::from_iter(entries))).boxed()
        }
        "array" => prop::collection::vec(any_of(&schema["items"], named), 0..3).prop_map(Value::from).boxed(),
        "enum" => {
            let symbols = schema["symbols"].as_array().unwrap().clone();
            let symbols = prop::sample::select(symbols).boxed();
            named.insert(schema["name"].as_str().unwrap().to_owned(), symbols.clone());
            symbols
        }
        "record" => {
            let fields = schema["fields"].as_array().unwrap().iter().map(|field| {
                let name = field["name"].as_str().unwrap().to_owned();
                any_of(&field["type"], named).prop_map(move |value| (name.clone(), value))
            });
            fields.collect::<Vec<_>>().prop_map(|fields| Value::from(Map::from_iter(fields))).boxed()
        }
        name => named[name].clone(),
    }
}

#[test]
fn every_example_is_written_and_read_the_same_by_both_avro_libraries() {
    for (name, schema) in schemas() {
        let examples = of(name);
        assert!(examples.iter().any(|(file, _)| file == "minimal.json"), "{name}: what the least of it is");
        for (file, text) in &examples {
            println!("{name}/{file}");
            check(name, &schema, text);
        }
    }
}

#[test]
fn an_example_misspells_no_field_and_some_example_tells_each() {
    for (name, schema) in schemas() {
        let mut untold = schema.json["fields"].as_array().unwrap().clone();
        for (file, text) in of(name) {
            let told: Map<String, Value> = serde_json::from_str(&text).unwrap();
            for field in told.keys() {
                assert!(
                    schema.json["fields"].as_array().unwrap().iter().any(|known| known["name"] == **field),
                    "schemas/examples/{name}/{file}: there is no field {field}"
                );
            }
            untold.retain(|field| told.get(field["name"].as_str().unwrap()).is_none_or(Value::is_null));
        }
        assert_eq!(untold, Vec::<Value>::new(), "schemas/examples/{name}: no example tells these");
    }
}

#[test]
fn every_field_of_a_fact_says_what_it_is_and_a_time_its_unit() {
    for (name, mut schema) in schemas() {
        each_record(&mut schema.json, &mut |fields| {
            for field in fields {
                let doc = field["doc"].as_str().unwrap_or_default();
                assert!(!doc.is_empty(), "schemas/{name}.avsc: {} has no doc", field["name"]);
                let holds_records = is_list_of_records(&field["type"]) || field["type"][1]["fields"].is_array();
                let time = !holds_records && field["type"].to_string().contains("timestamp-millis");
                assert!(!time || doc.contains("Milliseconds since the epoch"), "{name}: {} has no unit", field["name"]);
                assert_eq!(time, field["name"].as_str().unwrap().ends_with("_ms"), "{name}: {}", field["name"]);
            }
        });
    }
}

#[test]
fn any_value_is_written_and_read_the_same_by_both_avro_libraries() {
    for (name, schema) in schemas() {
        let config = ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() };
        let values = any_of(&schema.json, &mut BTreeMap::new());
        let outcome = proptest::test_runner::TestRunner::new(config).run(&values, |value| {
            check(name, &schema, &value.to_string());
            Ok(())
        });
        outcome.unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}
