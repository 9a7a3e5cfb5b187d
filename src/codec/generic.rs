//! Any Avro value as JSON, whatever schema wrote it: for people who look into topics.
//!
//! Plain JSON, not Avro's own: a union is its value, bytes are text where they are UTF-8 and `0x…` where not. It allocates
//! freely; the hot path decodes with [`super::avro`].

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value;
use serde_json::{Map, Number, Value as Json};

/// Reads one body to its end.
pub fn read(schema: &Schema, mut body: &[u8]) -> Result<Json, String> {
    let reader = GenericDatumReader::builder(schema).build().map_err(|error| error.to_string())?;
    let value = reader.read_value(&mut body).map_err(|error| error.to_string())?;
    if !body.is_empty() {
        return Err(format!("{} bytes are left over after the value", body.len()));
    }
    Ok(json(value))
}

fn json(value: Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Boolean(yes) => yes.into(),
        Value::Int(n) | Value::Date(n) | Value::TimeMillis(n) => n.into(),
        Value::Long(n)
        | Value::TimeMicros(n)
        | Value::TimestampMillis(n)
        | Value::TimestampMicros(n)
        | Value::TimestampNanos(n)
        | Value::LocalTimestampMillis(n)
        | Value::LocalTimestampMicros(n)
        | Value::LocalTimestampNanos(n) => n.into(),
        Value::Float(x) => number(x.into()),
        Value::Double(x) => number(x),
        Value::Bytes(bytes) | Value::Fixed(_, bytes) => text(&bytes).into(),
        Value::String(text) | Value::Enum(_, text) => text.into(),
        Value::Union(_, value) => json(*value),
        Value::Array(items) => items.into_iter().map(json).collect(),
        Value::Map(entries) => {
            let mut entries: Vec<_> = entries.into_iter().collect();
            entries.sort_by(|a, b| a.0.cmp(&b.0));
            Json::Object(entries.into_iter().map(|(name, value)| (name, json(value))).collect())
        }
        Value::Record(fields) => {
            Json::Object(fields.into_iter().map(|(name, value)| (name, json(value))).collect::<Map<_, _>>())
        }
        // Decimals, durations, UUIDs: as the crate prints them.
        other => format!("{other:?}").into(),
    }
}

/// Not a number and the infinities have no JSON.
fn number(x: f64) -> Json {
    Number::from_f64(x).map_or(Json::Null, Json::Number)
}

/// UTF-8 as it is, other bytes in hexadecimal.
pub fn text(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => format!("0x{}", hex::encode(bytes)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{Format, SchemaId, envelope};

    #[test]
    fn unions_maps_bytes_and_times_become_plain_json() {
        let schema = Schema::parse_str(
            r#"{"type":"record","name":"R","fields":[
                {"name":"at","type":{"type":"long","logicalType":"timestamp-millis"}},
                {"name":"note","type":["null","string"]},
                {"name":"value","type":["null","double"]},
                {"name":"raw","type":"bytes"},
                {"name":"labels","type":{"type":"map","values":"string"}}]}"#,
        )
        .unwrap();
        let fields = vec![
            ("at".to_owned(), Value::TimestampMillis(5)),
            ("note".to_owned(), Value::Union(1, Box::new(Value::String("n".into())))),
            ("value".to_owned(), Value::Union(1, Box::new(Value::Double(f64::NAN)))),
            ("raw".to_owned(), Value::Bytes(vec![0xff, 0])),
            ("labels".to_owned(), Value::Map([("b".to_owned(), "2".into()), ("a".to_owned(), "1".into())].into())),
        ];
        let mut body = Vec::new();
        let writer = apache_avro::writer::datum::GenericDatumWriter::builder(&schema).build().unwrap();
        writer.write_value(&mut body, Value::Record(fields)).unwrap();
        let expected = r#"{"at":5,"note":"n","value":null,"raw":"0xff00","labels":{"a":"1","b":"2"}}"#;
        assert_eq!(read(&schema, &body).unwrap().to_string(), expected);
        body.push(0);
        assert_eq!(read(&schema, &body).unwrap_err(), "1 bytes are left over after the value");
        assert!(read(&schema, &body[..3]).is_err());
    }

    #[test]
    fn what_the_typed_codec_writes_is_read() {
        let json = crate::topology::journal::SCHEMA;
        let format = Format::new(SchemaId(1), json).unwrap();
        let record = crate::topology::journal::Journal {
            task: "oncall/3".into(),
            sequence: 7,
            acted_at_ms: 9,
            tick: true,
            inputs: Vec::new(),
            outputs: 2,
            topology: String::new(),
        };
        let mut bytes = Vec::new();
        format.encode(&record, &mut bytes).unwrap();
        let (_, body) = envelope::open(&bytes).unwrap();
        let read = read(&Schema::parse_str(json).unwrap(), body).unwrap();
        assert_eq!(serde_json::from_value::<crate::topology::journal::Journal>(read).unwrap(), record);
    }
}
