//! Confluent's envelope: a zero byte, the schema id in four bytes (big endian), then the Avro body.
#![deny(clippy::disallowed_methods, clippy::disallowed_types, clippy::disallowed_macros)]

use thiserror::Error;

/// Id of a schema in the registry, global over all subjects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SchemaId(pub u32);

pub const LENGTH: usize = 5;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Error {
    #[error("no Confluent envelope: {0} bytes, at least 5 are needed")]
    TooShort(usize),
    #[error("no Confluent envelope: the first byte is {0}, not 0")]
    Magic(u8),
}

pub fn open(bytes: &[u8]) -> Result<(SchemaId, &[u8]), Error> {
    let Some((head, body)) = bytes.split_first_chunk::<LENGTH>() else { return Err(Error::TooShort(bytes.len())) };
    let [magic, id @ ..] = *head;
    if magic != 0 {
        return Err(Error::Magic(magic));
    }
    Ok((SchemaId(u32::from_be_bytes(id)), body))
}

/// Starts a message in `out`; the Avro body is appended by the caller.
pub fn begin(id: SchemaId, out: &mut Vec<u8>) {
    out.push(0);
    out.extend_from_slice(&id.0.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_begun_can_be_opened() {
        let mut out = Vec::new();
        begin(SchemaId(0x0102_0304), &mut out);
        out.extend_from_slice(b"body");
        assert_eq!(out[..5], [0, 1, 2, 3, 4]);
        assert_eq!(open(&out), Ok((SchemaId(0x0102_0304), &b"body"[..])));
    }

    #[test]
    fn short_and_foreign_bytes_are_refused() {
        assert_eq!(open(b"\0\0\0\x01"), Err(Error::TooShort(4)));
        assert_eq!(open(b"{\"a\":1}"), Err(Error::Magic(b'{')));
    }
}
