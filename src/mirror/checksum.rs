//! What a range of records sums up to: how many, how many bytes, and a CRC32C over all that a copy must keep.
//!
//! Per record, in order: key (length as i32, big endian, -1 for none; then the bytes), value (alike), timestamp (i64, milliseconds),
//! number of headers (i32), each header's name (length, bytes) and value (as a key). The timestamp is that of the copy
//! ([`time_of_copy`]). Invariant: offsets and partitions are not in it,
//! so that a record and its copy add the same. Lengths are in it, so that no byte can move from one field to the next unseen.
#![deny(clippy::disallowed_methods, clippy::disallowed_types, clippy::disallowed_macros)]

use crc32c::crc32c_append;

/// When a record's copy says that it was written, in milliseconds since 1970: when the record does, but for 0, which librdkafka's
/// producer takes for "now"; the copy then says 1. (`rd_kafka_msg_new0` in its `rdkafka_msg.c`: no call lets 0 through.)
pub fn time_of_copy(timestamp_ms: i64) -> i64 {
    if timestamp_ms == 0 { 1 } else { timestamp_ms }
}

/// Of the records added so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checksum {
    pub crc32c: u32,
    pub records: i64,
    /// Of keys, values and headers (names and values), uncompressed.
    pub bytes: i64,
}

impl Checksum {
    pub fn add<'a, H>(&mut self, key: Option<&[u8]>, value: Option<&[u8]>, timestamp_ms: i64, headers: H)
    where
        H: ExactSizeIterator<Item = (&'a [u8], Option<&'a [u8]>)>,
    {
        self.records += 1;
        self.field(key);
        self.field(value);
        self.crc32c = crc32c_append(self.crc32c, &time_of_copy(timestamp_ms).to_be_bytes());
        self.crc32c = crc32c_append(self.crc32c, &length(headers.len()));
        for (name, value) in headers {
            self.field(Some(name));
            self.field(value);
        }
    }

    fn field(&mut self, bytes: Option<&[u8]>) {
        let Some(bytes) = bytes else {
            self.crc32c = crc32c_append(self.crc32c, &(-1_i32).to_be_bytes());
            return;
        };
        self.crc32c = crc32c_append(self.crc32c, &length(bytes.len()));
        self.crc32c = crc32c_append(self.crc32c, bytes);
        self.bytes += i64::try_from(bytes.len()).unwrap_or(i64::MAX);
    }
}

/// Kafka's lengths are i32; nothing longer is on a topic.
fn length(length: usize) -> [u8; 4] {
    i32::try_from(length).unwrap_or(i32::MAX).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    type Header<'a> = (&'a [u8], Option<&'a [u8]>);

    fn of(key: Option<&[u8]>, value: Option<&[u8]>, at: i64, headers: &[Header<'_>]) -> Checksum {
        let mut sum = Checksum::default();
        sum.add(key, value, at, headers.iter().copied());
        sum
    }

    #[test]
    fn the_bytes_are_those_that_the_head_of_this_file_says() {
        let mut bytes = Vec::new();
        for part in [&[0, 0, 0, 1, b'k'][..], &[0xff; 4], &[0, 0, 0, 0, 0, 0, 1, 2], &[0, 0, 0, 1]] {
            bytes.extend_from_slice(part);
        }
        bytes.extend_from_slice(&[0, 0, 0, 2, b'h', b'1', 0, 0, 0, 0]);
        let sum = of(Some(b"k"), None, 258, &[(b"h1", Some(b""))]);
        assert_eq!(sum, Checksum { crc32c: crc32c::crc32c(&bytes), records: 1, bytes: 3 });
        assert_eq!(crc32c::crc32c(b"123456789"), 0xe306_9283, "the check value of CRC-32C");
    }

    #[test]
    fn whatever_a_copy_could_lose_changes_it() {
        let sums = [
            of(Some(b"ab"), Some(b"c"), 1, &[]),
            of(Some(b"a"), Some(b"bc"), 1, &[]),
            of(None, Some(b"abc"), 1, &[]),
            of(Some(b""), Some(b"abc"), 1, &[]),
            of(Some(b"ab"), None, 1, &[]),
            of(Some(b"ab"), Some(b""), 1, &[]),
            of(Some(b"ab"), Some(b"c"), 2, &[]),
            of(Some(b"ab"), Some(b"c"), 1, &[(b"", None)]),
            of(Some(b"ab"), Some(b"c"), 1, &[(b"", Some(b""))]),
            of(Some(b"ab"), Some(b"c"), 1, &[(b"x", Some(b"")), (b"y", Some(b""))]),
            of(Some(b"ab"), Some(b"c"), 1, &[(b"y", Some(b"")), (b"x", Some(b""))]),
        ];
        for (at, one) in sums.iter().enumerate() {
            assert!(sums[at + 1..].iter().all(|other| one.crc32c != other.crc32c), "{at}");
        }
    }

    #[test]
    fn order_matters_and_records_add_up() {
        let (mut one, mut other) = (Checksum::default(), Checksum::default());
        one.add(Some(b"a"), None, 1, [].into_iter());
        one.add(Some(b"b"), None, 1, [].into_iter());
        other.add(Some(b"b"), None, 1, [].into_iter());
        other.add(Some(b"a"), None, 1, [].into_iter());
        assert_ne!(one.crc32c, other.crc32c);
        assert_eq!((one.records, one.bytes), (2, 2));
    }
}
