//! What could not be processed, with its provenance: enough to see why, and to put it back where it came from.

use serde::{Deserialize, Serialize};

use crate::record::Record;

pub const SCHEMA: &str = include_str!("../../schemas/dead_letter.avsc");

/// One record that no operator could take. Its own bytes are kept as they were.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeadLetter {
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    pub timestamp_ms: i64,
    #[serde(default, with = "bytes_or_null")]
    pub key: Option<Vec<u8>>,
    #[serde(default, with = "bytes_or_null")]
    pub value: Option<Vec<u8>>,
    #[serde(default)]
    pub headers: Vec<DeadLetterHeader>,
    /// The sub-topology that read it.
    pub reader: String,
    pub reason: Reason,
    /// In words, with what was expected.
    pub error: String,
    pub at_ms: i64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeadLetterHeader {
    pub name: String,
    #[serde(default, with = "bytes_or_null")]
    pub value: Option<Vec<u8>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Without a key it belongs to no state.
    NoKey,
    /// The record's key is not the fact's: it may lie in the wrong partition.
    OtherKey,
    /// A tombstone on a topic of facts.
    NoValue,
    NoEnvelope,
    UnknownSchema,
    OtherRecord,
    Undecodable,
}

impl Reason {
    pub const ALL: [Reason; 7] = [
        Reason::NoKey,
        Reason::OtherKey,
        Reason::NoValue,
        Reason::NoEnvelope,
        Reason::UnknownSchema,
        Reason::OtherRecord,
        Reason::Undecodable,
    ];

    /// As the schema spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::NoKey => "no_key",
            Reason::OtherKey => "other_key",
            Reason::NoValue => "no_value",
            Reason::NoEnvelope => "no_envelope",
            Reason::UnknownSchema => "unknown_schema",
            Reason::OtherRecord => "other_record",
            Reason::Undecodable => "undecodable",
        }
    }
}

impl DeadLetter {
    pub fn of(record: &Record<'_>, reader: &str, reason: Reason, error: String, at_ms: i64) -> Self {
        let headers = record
            .headers
            .iter()
            .map(|(name, value)| DeadLetterHeader { name: name.to_owned(), value: value.map(<[u8]>::to_vec) });
        Self {
            topic: record.topic.to_string(),
            partition: record.partition.0,
            offset: record.offset.0,
            timestamp_ms: record.timestamp.0,
            key: record.key.map(<[u8]>::to_vec),
            value: record.value.map(<[u8]>::to_vec),
            headers: headers.collect(),
            reader: reader.to_owned(),
            reason,
            error,
            at_ms,
        }
    }

    /// Identity of the original, and key of the dead letter: `topic/partition/offset`.
    pub fn id(&self) -> String {
        format!("{}/{}/{}", self.topic, self.partition, self.offset)
    }
}

/// Avro `bytes` want serde's bytes, not a sequence of integers.
mod bytes_or_null {
    use std::fmt;

    use serde::de::{Error, Visitor};
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    struct Bytes(Vec<u8>);

    impl Serialize for Bytes {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.serialize_bytes(&self.0)
        }
    }

    impl<'de> Deserialize<'de> for Bytes {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct BytesVisitor;
            impl Visitor<'_> for BytesVisitor {
                type Value = Bytes;
                fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str("bytes")
                }
                fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Bytes, E> {
                    Ok(Bytes(bytes.to_vec()))
                }
                fn visit_byte_buf<E: Error>(self, bytes: Vec<u8>) -> Result<Bytes, E> {
                    Ok(Bytes(bytes))
                }
            }
            deserializer.deserialize_bytes(BytesVisitor)
        }
    }

    pub fn serialize<S: Serializer>(value: &Option<Vec<u8>>, serializer: S) -> Result<S::Ok, S::Error> {
        value.clone().map(Bytes).serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<u8>>, D::Error> {
        Ok(Option::<Bytes>::deserialize(deserializer)?.map(|bytes| bytes.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{Format, Formats, SchemaId};
    use crate::record::{EventTime, Headers, Offset, Partition, Topic};

    #[test]
    fn a_dead_letter_keeps_the_bytes_as_they_were_through_avro() {
        let topic = Topic::from("oncall.alerts.v1");
        let record = Record {
            topic: &topic,
            partition: Partition(3),
            offset: Offset(17),
            timestamp: EventTime(5),
            key: None,
            value: Some(b"\xff\x00{"),
            headers: Headers::NONE,
        };
        let letter = DeadLetter::of(&record, "oncall", Reason::NoKey, "no key".into(), 9);
        assert_eq!(letter.id(), "oncall.alerts.v1/3/17");
        let mut formats = Formats::default();
        let format = Format::new(SchemaId(7), SCHEMA).unwrap();
        formats.read_with(format.clone());
        let mut bytes = Vec::new();
        Format::encode(&format, &letter, &mut bytes).unwrap();
        assert_eq!(formats.decode::<DeadLetter>(&bytes, &format.name).unwrap(), letter);
    }
}
