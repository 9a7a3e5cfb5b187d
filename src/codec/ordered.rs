//! Avro bodies by the order of their fields: for a schema of ours and the type that was made for it, which agree in every field.
//!
//! [`super::avro`] walks a body by its writer's schema and finds each field by its name, so it reads what other versions wrote. Most that
//! is read was written by ourselves a moment ago; there the names are known to agree, and looking for them was half of the time that a
//! state took. Here a record is its fields in order, a union with null is an option, an enum or a union of records is an enum in the
//! order of its branches. Bytes are the same either way: the laws of facts and of states say so for all that they try.
//!
//! Not here: schemas, defaults, anything that is left out; a type that needs them is an error here, and not made for its schema.
//! Source: the Avro specification, "Binary Encoding".
#![deny(clippy::disallowed_methods, clippy::disallowed_types, clippy::disallowed_macros)]

mod read;
mod write;

use serde::{Deserialize, Serialize};

use super::avro::Error;

pub fn decode<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Error> {
    let mut reader = read::Reader::new(body);
    let value = T::deserialize(&mut reader).map_err(|error| Error::Decode(error.to_string()))?;
    match reader.rest() {
        0 => Ok(value),
        left => Err(Error::Trailing(left)),
    }
}

/// Appends the body to `out`; on an error `out` is as it was.
pub fn encode<T: Serialize>(value: &T, out: &mut Vec<u8>) -> Result<(), Error> {
    let start = out.len();
    value.serialize(&mut write::Writer::new(out)).map_err(|error| {
        out.truncate(start);
        Error::Encode(error.to_string())
    })
}

/// What is not as it has to be, in words.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Mismatch(String);

impl serde::de::Error for Mismatch {
    fn custom<T: std::fmt::Display>(why: T) -> Self {
        Self(why.to_string())
    }
}

impl serde::ser::Error for Mismatch {
    fn custom<T: std::fmt::Display>(why: T) -> Self {
        Self(why.to_string())
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use proptest::prelude::*;
    use serde_avro_fast::Schema;

    use super::super::avro;
    use super::*;
    use crate::event::{Labels, Text};

    const SCHEMA: &str = r#"{"type":"record","name":"Mixed","fields":[
        {"name":"text","type":"string"},
        {"name":"bytes","type":{"type":"array","items":"int"}},
        {"name":"maybe","type":["null","long"]},
        {"name":"is","type":"boolean"},
        {"name":"share","type":"float"},
        {"name":"kind","type":{"type":"enum","name":"Kind","symbols":["First","Second"]}},
        {"name":"parts","type":{"type":"array","items":[
            {"type":"record","name":"Whole","fields":[{"name":"of","type":"double"}]},
            {"type":"record","name":"Half","fields":[{"name":"of","type":["null","string"]}]}]}},
        {"name":"labels","type":{"type":"map","values":"string"}}]}"#;

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Mixed<'a> {
        #[serde(borrow)]
        text: Text<'a>,
        bytes: Vec<u16>,
        maybe: Option<i64>,
        is: bool,
        share: f32,
        kind: Kind,
        parts: Vec<Part>,
        labels: Labels<'a>,
    }

    #[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
    enum Kind {
        First,
        Second,
    }

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    enum Part {
        Whole(Whole),
        Half(Half),
    }

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Whole {
        of: f64,
    }

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Half {
        of: Option<String>,
    }

    prop_compose! {
        fn mixed()(
            text: String, bytes: Vec<u16>, maybe: Option<i64>, is: bool, share in -1e9_f32..1e9, second: bool,
            parts in prop::collection::vec(prop_oneof![
                (-1e9..1e9_f64).prop_map(|of| Part::Whole(Whole { of })),
                any::<Option<String>>().prop_map(|of| Part::Half(Half { of })),
            ], 0..4),
            labels in prop::collection::btree_map("[a-z]{1,3}", ".{0,3}", 0..10),
        ) -> Mixed<'static> {
            let kind = if second { Kind::Second } else { Kind::First };
            let labels = labels.into_iter().map(|(name, value)| (Text::from(name), Text::from(value))).collect();
            Mixed { text: text.into(), bytes, maybe, is, share, kind, parts, labels }
        }
    }

    proptest! {
        #[test]
        fn the_bytes_are_those_of_the_schema_and_are_read_again(told in mixed(), cut: prop::sample::Index) {
            let schema: Schema = SCHEMA.parse().unwrap();
            let (mut by_name, mut by_order) = (Vec::new(), b"before".to_vec());
            avro::encode(&schema, &told, &mut by_name).unwrap();
            encode(&told, &mut by_order).unwrap();
            prop_assert_eq!(&by_order[6..], &by_name[..]);
            let read: Mixed<'_> = decode(&by_name).unwrap();
            prop_assert!(matches!(read.text.0, Cow::Borrowed(_)));
            prop_assert_eq!(&read, &told);
            let part = &by_name[..cut.index(by_name.len())];
            prop_assert!(matches!(decode::<Mixed<'_>>(part), Err(Error::Decode(_))));
            let longer = [&by_name[..], &[0]].concat();
            prop_assert!(matches!(decode::<Mixed<'_>>(&longer), Err(Error::Trailing(1))));
        }

        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            _ = decode::<Mixed<'_>>(&bytes);
        }

        #[test]
        fn both_ways_read_the_same_of_a_body_with_another_byte(told in mixed(), at: prop::sample::Index, byte: u8) {
            let (schema, mut bytes): (Schema, _) = (SCHEMA.parse().unwrap(), Vec::new());
            encode(&told, &mut bytes).unwrap();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            if let (Ok(by_name), Ok(by_order)) = (avro::decode::<Mixed<'_>>(&schema, &bytes), decode::<Mixed<'_>>(&bytes)) {
                let mut told = [Vec::new(), Vec::new()];
                encode(&by_name, &mut told[0]).unwrap();
                encode(&by_order, &mut told[1]).unwrap();
                prop_assert_eq!(&told[0], &told[1]); // and not the values: a share may be no number
            }
        }
    }

    #[test]
    fn a_list_in_several_pieces_is_one_list() {
        // Two items, then one whose bytes are told too, then the end.
        let read: Vec<i64> = decode(&[4, 2, 4, 1, 2, 6, 0]).unwrap();
        assert_eq!(read, [1, 2, 3]);
    }

    #[test]
    fn what_is_beyond_its_type_or_its_branches_is_refused() {
        let mut out = b"before".to_vec();
        assert!(matches!(encode(&u64::MAX, &mut out), Err(Error::Encode(_))));
        assert_eq!(out, b"before");
        assert!(matches!(decode::<u8>(&[0x80, 0x04]), Err(Error::Decode(_))), "256");
        assert!(matches!(decode::<Option<bool>>(&[4]), Err(Error::Decode(_))), "a third branch");
        assert!(matches!(decode::<Kind>(&[4]), Err(Error::Decode(_))), "a third symbol");
        assert!(matches!(decode::<bool>(&[2]), Err(Error::Decode(_))));
        assert!(matches!(decode::<String>(&[1]), Err(Error::Decode(_))), "a length below nothing");
        assert!(matches!(decode::<String>(&[2, 0xff]), Err(Error::Decode(_))), "no UTF-8");
        assert!(matches!(decode::<i64>(&[0xff; 11]), Err(Error::Decode(_))), "longer than any number");
        let endless = [&[0xfe, 0xff, 0xff, 0xff, 0x0f][..], &[0; 100]].concat();
        assert!(matches!(decode::<Vec<i64>>(&endless), Err(Error::Decode(_))), "more items than bytes");
    }
}
