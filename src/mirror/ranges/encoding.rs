//! Spans as a store keeps them: a key that sorts by offset, a value of a few bytes.
//!
//! ```text
//! key    side 's' | 't', topic, 0, partition, offset        numbers big-endian, so that bytes sort as they do
//! value  distance to the other side (zigzag), count         varints: mostly two to four bytes
//! ```
//! Invariants: what is encoded is decoded to the same; offsets are not negative. A topic's name holds no zero byte (Kafka's rule).
#![deny(clippy::disallowed_methods, clippy::disallowed_types, clippy::disallowed_macros)]

use super::Span;

/// Of which cluster a key's offset is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Source,
    Target,
}

impl Side {
    fn tag(self) -> u8 {
        match self {
            Self::Source => b's',
            Self::Target => b't',
        }
    }
}

/// What all keys of one partition begin with.
pub fn prefix(side: Side, topic: &str, partition: i32) -> Vec<u8> {
    let mut key = Vec::with_capacity(topic.len() + 14);
    key.push(side.tag());
    key.extend_from_slice(topic.as_bytes());
    key.push(0);
    key.extend_from_slice(&partition.to_be_bytes());
    key
}

pub fn key(mut prefix: Vec<u8>, offset: i64) -> Vec<u8> {
    prefix.extend_from_slice(&offset.to_be_bytes());
    prefix
}

/// Of a span whose `source` is in the key.
pub fn value(span: &Span) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(8);
    let apart = span.target.wrapping_sub(span.source);
    put(&mut bytes, ((apart << 1) ^ (apart >> 63)).cast_unsigned());
    put(&mut bytes, span.count.cast_unsigned());
    bytes
}

/// `None`: that is no span.
pub fn span(key: &[u8], value: &[u8]) -> Option<Span> {
    let source = i64::from_be_bytes(*key.last_chunk::<8>()?);
    let mut rest = value;
    let apart = take(&mut rest)?;
    let apart = (apart >> 1).cast_signed() ^ -(apart & 1).cast_signed();
    let count = i64::try_from(take(&mut rest)?).ok()?;
    rest.is_empty().then_some(Span { source, target: source.wrapping_add(apart), count })
}

fn put(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    bytes.push(number.to_le_bytes()[0]);
}

fn take(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_is_decoded_and_sorts_by_offset() {
        let spans = [(0, 0, 1), (5, 3, 200), (3, 1 << 40, 1 << 20), (i64::MAX - 9, 0, 9), (0, i64::MAX - 9, 9)];
        for (source, target, count) in spans {
            let told = Span { source, target, count };
            let key = key(prefix(Side::Source, "t", 7), source);
            assert_eq!(span(&key, &value(&told)), Some(told));
        }
        let keys =
            [(0, 2), (0, 300), (1, 1), (1, 1 << 33), (256, 0)].map(|(p, o)| key(prefix(Side::Target, "t", p), o));
        assert!(keys.is_sorted(), "{keys:?}");
        assert_eq!(value(&Span { source: 1_000_000, target: 1_000_007, count: 90 }).len(), 2);
    }

    #[test]
    fn a_value_that_is_cut_or_has_more_is_none() {
        let (key, whole) = (key(prefix(Side::Source, "t", 0), 1), value(&Span { source: 1, target: 900, count: 900 }));
        for cut in 0..whole.len() {
            assert_eq!(span(&key, &whole[..cut]), None);
        }
        assert_eq!(span(&key, &[whole.as_slice(), &[0]].concat()), None);
        assert_eq!(span(&key[..3], &whole), None);
    }
}
