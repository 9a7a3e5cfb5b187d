//! Records in words, for differences.

use anyhow::Result;
use serde_json::Value;

use super::Site;
use super::live::Seen;
use crate::event::Fact;
use crate::log::Reader;
use crate::record::{Batch, NewRecord, Offset, Topic, TopicPartition};
use crate::topology::plan::Content;

const CHARS_MAX: usize = 400;

pub fn of_new(site: &Site, record: &NewRecord) -> String {
    let value = record.value.as_deref();
    told(record.key.as_deref(), record.timestamp.0, &value_of(site, &record.topic, value))
}

/// The record that is there.
pub fn of_record(site: &mut Site, place: &TopicPartition, offset: Offset) -> Result<String> {
    let batch = fetch(site, place, offset)?;
    let Some(record) = batch.iter().find(|record| record.offset == offset) else { return Ok("it is gone".to_owned()) };
    Ok(told(record.key, record.timestamp.0, &value_of(site, &place.topic, record.value)))
}

/// Expected and found, reduced to where they are apart.
pub fn apart(site: &mut Site, expected: &NewRecord, seen: &Seen) -> Result<(String, String)> {
    let batch = fetch(site, &seen.place, seen.offset)?;
    let Some(record) = batch.iter().find(|record| record.offset == seen.offset) else {
        return Ok((of_new(site, expected), "it is gone".to_owned()));
    };
    let mut one = value_of(site, &expected.topic, expected.value.as_deref());
    let mut other = value_of(site, &expected.topic, record.value);
    if let (Value::Object(one), Value::Object(other)) = (&mut one, &mut other) {
        let same: Vec<_> =
            one.iter().filter(|(name, value)| other.get(*name) == Some(value)).map(|(name, _)| name.clone()).collect();
        for name in same {
            one.shift_remove(&name);
            other.shift_remove(&name);
        }
    }
    let expected = told(expected.key.as_deref(), expected.timestamp.0, &one);
    Ok((expected, told(record.key, record.timestamp.0, &other)))
}

fn fetch(site: &mut Site, place: &TopicPartition, offset: Offset) -> Result<Batch> {
    let mut batch = Batch::default();
    site.reader.read(place, offset, 1, std::time::Duration::from_secs(10), &mut batch)?;
    Ok(batch)
}

fn value_of(site: &Site, topic: &Topic, value: Option<&[u8]>) -> Value {
    let Some(bytes) = value else { return Value::Null };
    let content = site.topology.topics.get(topic).map(|planned| &planned.content);
    let formats = &site.schemas.formats;
    let read = match content {
        Some(Content::Fact(kind)) => formats.decode_fact(*kind, bytes).ok().and_then(|fact| match fact {
            Fact::Payload(payload) => serde_json::to_value(payload).ok(),
            fact => serde_json::from_str(&fact.to_json()?).ok(),
        }),
        _ => None,
    };
    read.unwrap_or_else(|| Value::String(format!("{} bytes", bytes.len())))
}

fn told(key: Option<&[u8]>, timestamp_ms: i64, value: &Value) -> String {
    let key = key.map_or_else(|| "no key".to_owned(), |key| format!("key `{}`", String::from_utf8_lossy(key)));
    let value: String = value.to_string().chars().take(CHARS_MAX).collect();
    format!("{key}, time {timestamp_ms}, {value}")
}
