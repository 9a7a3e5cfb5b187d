//! Avro bodies to and from typed values, without an allocation where the value borrows.
//!
//! Resolution between writer's and reader's schema is serde's: the body is walked by its *writer's* schema, fields the
//! twin does not know are skipped, fields it misses take the twin's default. `serde_avro_fast` has no reader schema; a test
//! proves that the twins' defaults are the schemas'.
#![deny(clippy::disallowed_methods, clippy::disallowed_types, clippy::disallowed_macros)]

use std::fmt;
use std::io::Read;

use serde::de::{Error as _, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_avro_fast::Schema;
use serde_avro_fast::de::DeserializerState;
use serde_avro_fast::de::read::SliceRead;
use serde_avro_fast::ser::SerializerConfig;
use thiserror::Error;

use crate::event::Text;

#[derive(Debug, Error)]
pub enum Error {
    #[error("the Avro body does not match its schema: {0}")]
    Decode(String),
    #[error("{0} bytes are left over after the Avro body")]
    Trailing(usize),
    #[error("the value does not fit its Avro schema: {0}")]
    Encode(String),
}

pub fn decode<'a, T: Deserialize<'a>>(schema: &Schema, body: &'a [u8]) -> Result<T, Error> {
    let mut state = DeserializerState::new(SliceRead::new(body), schema);
    let value = T::deserialize(state.deserializer()).map_err(|error| Error::Decode(error.to_string()))?;
    let mut rest = Vec::new();
    match state.into_reader().read_to_end(&mut rest) {
        Ok(0) => Ok(value),
        Ok(left) => Err(Error::Trailing(left)),
        Err(error) => Err(Error::Decode(error.to_string())),
    }
}

/// Appends the body to `out`; on an error `out` is as it was.
pub fn encode<T: Serialize>(schema: &Schema, value: &T, out: &mut Vec<u8>) -> Result<(), Error> {
    let start = out.len();
    let mut config = SerializerConfig::new(schema);
    let written = serde_avro_fast::to_datum(value, &mut *out, &mut config).map(|_| ());
    written.map_err(|error| {
        out.truncate(start);
        Error::Encode(error.to_string())
    })
}

/// The first field of a record, a string; the others are walked over.
pub struct Leading<'a>(pub Text<'a>);

impl<'de: 'a, 'a> Deserialize<'de> for Leading<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Leading<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a record that begins with a string")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Self::Value, A::Error> {
                let first = fields.next_entry::<IgnoredAny, Text<'de>>()?;
                let (_, leading) = first.ok_or_else(|| A::Error::custom("a record without fields"))?;
                while fields.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Leading(leading))
            }
        }
        deserializer.deserialize_map(Fields)
    }
}
