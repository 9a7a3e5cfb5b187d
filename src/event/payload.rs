//! A request as it was received, so that a better parser can read it again. A topic of its own, keyed by endpoint.
//!
//! Bears no credential: headers of that kind are left out, and a routing key in a body is replaced.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Payload {
    /// Path that it was sent to.
    pub endpoint: String,
    /// By their lower-case names.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    #[serde(with = "as_bytes")]
    pub body: Vec<u8>,
    pub received_at_ms: i64,
    /// Made of it when it was received.
    #[serde(default)]
    pub facts: i32,
    /// Of the first thing in it that was refused then.
    #[serde(default)]
    pub refusal: Option<String>,
}

/// Avro `bytes` want serde's bytes, not a sequence of integers.
mod as_bytes {
    use std::fmt;

    use serde::de::{Error, Visitor};
    use serde::{Deserializer, Serializer};

    pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(bytes)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        struct BytesVisitor;
        impl Visitor<'_> for BytesVisitor {
            type Value = Vec<u8>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes")
            }
            fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
                Ok(bytes.to_vec())
            }
            fn visit_byte_buf<E: Error>(self, bytes: Vec<u8>) -> Result<Vec<u8>, E> {
                Ok(bytes)
            }
        }
        deserializer.deserialize_bytes(BytesVisitor)
    }
}
