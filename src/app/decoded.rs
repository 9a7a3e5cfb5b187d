//! A record as people and programs are shown it: where it lies, its key, its headers, its value decoded.

use serde::Serialize;
use serde_json::{Map, Value};

use crate::codec::generic::text;
use crate::record::{Offset, Partition, Record, Topic};

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Decoded {
    pub topic: Topic,
    pub partition: Partition,
    pub offset: Offset,
    pub timestamp_ms: i64,
    /// Text where it is UTF-8, else `0x…`.
    pub key: Option<String>,
    pub headers: Vec<Header>,
    /// Full name of the schema that wrote it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
    /// `null` too if it cannot be decoded: `error` says why.
    pub value: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Header {
    pub name: String,
    pub value: Option<String>,
}

impl Decoded {
    /// `read`: schema name and value, or why not; `None` for a tombstone.
    pub fn of(record: &Record<'_>, read: Option<Result<(String, Value), String>>) -> Self {
        let (schema, value, error) = match read {
            Some(Ok((schema, value))) => (Some(schema), value, None),
            Some(Err(error)) => (None, Value::Null, Some(error)),
            None => (None, Value::Null, None),
        };
        Self {
            topic: record.topic.clone(),
            partition: record.partition,
            offset: record.offset,
            timestamp_ms: record.timestamp.0,
            key: record.key.map(text),
            headers: record
                .headers
                .iter()
                .map(|(name, value)| Header { name: name.to_owned(), value: value.map(text) })
                .collect(),
            schema,
            value,
            error,
        }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|header| header.name == name)?.value.as_deref()
    }

    /// `topic-partition@offset`
    pub fn place(&self) -> String {
        format!("{}-{}@{}", self.topic, self.partition.0, self.offset.0)
    }

    /// A line for the record, then a line for each field that says something.
    pub fn text(&self, indent: &str) -> String {
        let key = self.key.as_deref().map_or("no key".to_owned(), |key| format!("key {key}"));
        let what = self.schema.as_deref().and_then(|name| name.rsplit('.').next()).unwrap_or("");
        let mut out =
            format!("{indent}{}  {}  {key}  {what}", self.place(), time(self.timestamp_ms)).trim_end().to_owned();
        match (&self.error, &self.value) {
            (Some(error), _) => out += &format!("\n{indent}  cannot be decoded: {error}"),
            (None, Value::Object(fields)) => out += &lines(fields, indent),
            (None, Value::Null) => out += "  tombstone",
            (None, other) => out += &format!("\n{indent}  {other}"),
        }
        out + "\n"
    }
}

/// What is null or empty says nothing.
fn lines(fields: &Map<String, Value>, indent: &str) -> String {
    let told: Vec<_> = fields.iter().filter(|(_, value)| says_something(value)).collect();
    let width = told.iter().map(|(name, _)| label(name).len()).max().unwrap_or_default();
    told.into_iter().fold(String::new(), |out, (name, value)| {
        let value = match value {
            Value::String(text) => text.replace('\n', " ⏎ "),
            Value::Number(n) if is_time(name) => n.as_i64().map_or_else(|| n.to_string(), time),
            other => other.to_string(),
        };
        format!("{out}\n{indent}  {:width$}  {value}", label(name))
    })
}

fn says_something(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
        _ => true,
    }
}

/// As the facts name moments.
fn is_time(name: &str) -> bool {
    name.ends_with("at_ms") || name == "timestamp_ms"
}

fn label(name: &str) -> &str {
    if is_time(name) { name.trim_end_matches("_ms") } else { name }
}

/// UTC, to the millisecond only where there are some.
pub fn time(ms: i64) -> String {
    match jiff::Timestamp::from_millisecond(ms) {
        Ok(at) => at.strftime(if ms % 1_000 == 0 { "%F %TZ" } else { "%F %T%.3fZ" }).to_string(),
        Err(_) => format!("{ms} ms"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{EventTime, Headers};
    use serde_json::json;

    fn decoded(read: Option<Result<(String, Value), String>>) -> Decoded {
        let topic = Topic::from("oncall.alerts.v1");
        let record = Record {
            topic: &topic,
            partition: Partition(3),
            offset: Offset(17),
            timestamp: EventTime(1_700_000_000_250),
            key: Some(b"checkout"),
            value: None,
            headers: Headers::NONE,
        };
        Decoded::of(&record, read)
    }

    #[test]
    fn the_text_leaves_out_what_says_nothing_and_shows_moments_as_time() {
        let value =
            json!({"name": "Errors", "starts_at_ms": 1_700_000_000_000_i64, "note": null, "labels": {}, "n": 3});
        let shown = decoded(Some(Ok(("fairlead.oncall.Alert".to_owned(), value))));
        assert_eq!(
            shown.text("  "),
            "  oncall.alerts.v1-3@17  2023-11-14 22:13:20.250Z  key checkout  Alert\n    name       Errors\n    starts_at  \
             2023-11-14 22:13:20Z\n    n          3\n"
        );
    }

    #[test]
    fn tombstones_and_what_cannot_be_decoded_say_so() {
        assert!(decoded(None).text("").ends_with("key checkout  tombstone\n"));
        assert!(decoded(Some(Err("cut off".to_owned()))).text("").ends_with("\n  cannot be decoded: cut off\n"));
    }
}
