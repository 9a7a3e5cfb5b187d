//! One record batch (message format v2) as it lies in the log: its header fields, its checksum, and control batches.
//!
//! A producer's batch is stored as it came. The broker rewrites only the base offset and the leader epoch, which lie
//! outside the checksum; a topic with broker timestamps also gets its time field rewritten, and the checksum with it.

use crate::embedded::broker::Outcome;
use kafka_protocol::error::ResponseError;

/// Bytes before the first record.
pub const HEADER: usize = 61;
/// Bytes before the part that the length field counts.
pub const LENGTH_PREFIX: usize = 12;
/// There is never another leader, so the epoch never moves.
pub const LEADER_EPOCH: i32 = 0;
pub const NO_PRODUCER: i64 = -1;
pub const NO_TIMESTAMP: i64 = -1;

const CRC_AT: usize = 17;
const CRC_FROM: usize = 21;
const MAX_TIMESTAMP_AT: usize = 35;
/// A record with nothing in it: five varints, its attributes, its number of headers.
const MIN_RECORD: usize = 7;
pub const COMPRESSION: i16 = 7;
const TIMESTAMP_TYPE: i16 = 1 << 3;
const TRANSACTIONAL: i16 = 1 << 4;
const CONTROL: i16 = 1 << 5;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Batch {
    pub base_offset: i64,
    /// The whole batch, header included.
    pub size: usize,
    pub magic: i8,
    pub crc: u32,
    pub attributes: i16,
    pub last_offset_delta: i32,
    pub base_timestamp: i64,
    pub max_timestamp: i64,
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub base_sequence: i32,
    pub count: i32,
}

impl Batch {
    /// Reads the header at the start of `bytes`; `None` if there is not a whole header or its length field is absurd.
    pub fn parse(bytes: &[u8]) -> Option<Batch> {
        let header: &[u8; HEADER] = bytes.get(..HEADER)?.try_into().ok()?;
        let length = usize::try_from(i32_at(header, 8)).ok()?;
        if length + LENGTH_PREFIX < HEADER {
            return None;
        }
        Some(Batch {
            base_offset: i64_at(header, 0),
            size: length + LENGTH_PREFIX,
            magic: header[16] as i8,
            crc: i32_at(header, CRC_AT) as u32,
            attributes: i16_at(header, 21),
            last_offset_delta: i32_at(header, 23),
            base_timestamp: i64_at(header, 27),
            max_timestamp: i64_at(header, MAX_TIMESTAMP_AT),
            producer_id: i64_at(header, 43),
            producer_epoch: i16_at(header, 51),
            base_sequence: i32_at(header, 53),
            count: i32_at(header, 57),
        })
    }

    /// Whether `bytes`, which must hold the whole batch, have the checksum that the header says.
    pub fn intact(&self, bytes: &[u8]) -> bool {
        bytes.len() >= self.size && self.magic == 2 && crc32c::crc32c(&bytes[CRC_FROM..self.size]) == self.crc
    }

    pub fn last_offset(&self) -> i64 {
        self.base_offset + i64::from(self.last_offset_delta)
    }

    pub fn is_transactional(&self) -> bool {
        self.attributes & TRANSACTIONAL != 0
    }

    pub fn is_control(&self) -> bool {
        self.attributes & CONTROL != 0
    }

    pub fn has_broker_time(&self) -> bool {
        self.attributes & TIMESTAMP_TYPE != 0
    }

    /// The sequence number of the last record; numbers wrap to 0 after `i32::MAX`.
    pub fn last_sequence(&self) -> i32 {
        let last = i64::from(self.base_sequence) + i64::from(self.last_offset_delta);
        (last % (i64::from(i32::MAX) + 1)) as i32
    }

    /// What a producer may send: whole, intact, and not pretending to be the broker.
    pub fn check_from_client(&self, bytes: &[u8]) -> Outcome {
        if self.magic != 2 {
            return Err(ResponseError::UnsupportedForMessageFormat);
        }
        let counted = self.count > 0 && self.count.checked_sub(1) == Some(self.last_offset_delta);
        // Compressed, a count can only be checked by unfolding the batch, which nobody here does for every one.
        let holds = self.attributes & COMPRESSION != 0 || (self.size - HEADER) / MIN_RECORD >= self.count as usize;
        if !self.intact(bytes) || !counted || !holds || self.attributes & COMPRESSION > 4 {
            return Err(ResponseError::CorruptMessage);
        }
        if self.is_control() || (self.producer_id != NO_PRODUCER && (self.base_sequence < 0 || self.producer_epoch < 0))
        {
            return Err(ResponseError::InvalidRecord);
        }
        Ok(())
    }
}

/// Gives the batch in `bytes` its place in the log.
pub fn set_offset(bytes: &mut [u8], base_offset: i64) {
    bytes[0..8].copy_from_slice(&base_offset.to_be_bytes());
    bytes[12..16].copy_from_slice(&LEADER_EPOCH.to_be_bytes());
}

/// Replaces the producer's time by the broker's (`message.timestamp.type=LogAppendTime`).
pub fn set_broker_time(bytes: &mut [u8], now: i64) {
    set_time(bytes, i16_at(bytes, 21) | TIMESTAMP_TYPE, now);
    seal(bytes);
}

/// Writes attributes and largest timestamp; the checksum is the caller's to mend.
pub fn set_time(bytes: &mut [u8], attributes: i16, max_timestamp: i64) {
    bytes[21..23].copy_from_slice(&attributes.to_be_bytes());
    bytes[MAX_TIMESTAMP_AT..MAX_TIMESTAMP_AT + 8].copy_from_slice(&max_timestamp.to_be_bytes());
}

/// Writes length, count of records and checksum of a batch whose records were replaced.
pub fn reseal(bytes: &mut [u8], count: i32) {
    let length = (bytes.len() - LENGTH_PREFIX) as i32;
    bytes[8..12].copy_from_slice(&length.to_be_bytes());
    bytes[57..61].copy_from_slice(&count.to_be_bytes());
    seal(bytes);
}

fn seal(bytes: &mut [u8]) {
    let crc = crc32c::crc32c(&bytes[CRC_FROM..]);
    bytes[CRC_AT..CRC_FROM].copy_from_slice(&crc.to_be_bytes());
}

/// The batch with one control record that ends a transaction in a partition. Offsets are set on append.
pub fn marker(producer_id: i64, producer_epoch: i16, commit: bool, now: i64) -> Vec<u8> {
    let mut bytes = vec![0; HEADER];
    bytes[16] = 2;
    bytes[21..23].copy_from_slice(&(TRANSACTIONAL | CONTROL).to_be_bytes());
    bytes[27..35].copy_from_slice(&now.to_be_bytes());
    bytes[MAX_TIMESTAMP_AT..MAX_TIMESTAMP_AT + 8].copy_from_slice(&now.to_be_bytes());
    bytes[43..51].copy_from_slice(&producer_id.to_be_bytes());
    bytes[51..53].copy_from_slice(&producer_epoch.to_be_bytes());
    bytes[53..57].copy_from_slice(&(-1i32).to_be_bytes());
    // Lengths are zig-zag varints. Record: length 16, attributes, time delta, offset delta;
    // key (4 bytes): version 0, type; value (6 bytes): version 0, coordinator epoch 0; no headers.
    bytes.extend([32, 0, 0, 0, 8, 0, 0, 0, u8::from(commit), 12, 0, 0, 0, 0, 0, 0, 0]);
    reseal(&mut bytes, 1);
    bytes
}

/// Whether a control batch ends its transaction with a commit (`None`: not a transaction marker).
pub fn marker_commits(bytes: &[u8]) -> Option<bool> {
    // The layout that `marker` writes: the type is the last byte of the record's four-byte key.
    match bytes.get(HEADER + 5..HEADER + 9)? {
        [0, 0, 0, 0] => Some(false),
        [0, 0, 0, 1] => Some(true),
        _ => None,
    }
}

fn i16_at(bytes: &[u8], at: usize) -> i16 {
    i16::from_be_bytes([bytes[at], bytes[at + 1]])
}

fn i32_at(bytes: &[u8], at: usize) -> i32 {
    i32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn i64_at(bytes: &[u8], at: usize) -> i64 {
    (i64::from(i32_at(bytes, at)) << 32) | i64::from(i32_at(bytes, at + 4) as u32)
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use bytes::{Bytes, BytesMut};
    use kafka_protocol::records::{
        Compression, Record, RecordBatchDecoder, RecordBatchEncoder, RecordEncodeOptions, TimestampType,
    };

    /// What a batch of a test is made of: `(key, value, timestamp)` each.
    pub type Plain<'a> = (Option<&'a str>, Option<&'a str>, i64);

    pub fn records(producer: (i64, i16, i32), transactional: bool, plain: &[Plain<'_>]) -> Vec<u8> {
        packed(producer, transactional, plain, Compression::None)
    }

    pub fn compressed(plain: &[Plain<'_>], compression: Compression) -> Vec<u8> {
        packed((-1, -1, -1), false, plain, compression)
    }

    pub fn packed(
        producer: (i64, i16, i32),
        transactional: bool,
        plain: &[Plain<'_>],
        compression: Compression,
    ) -> Vec<u8> {
        let records: Vec<Record> = plain
            .iter()
            .enumerate()
            .map(|(at, (key, value, timestamp))| Record {
                transactional,
                control: false,
                delete_horizon: false,
                partition_leader_epoch: -1,
                producer_id: producer.0,
                producer_epoch: producer.1,
                timestamp_type: TimestampType::Creation,
                offset: at as i64,
                sequence: if producer.0 < 0 { -1 } else { producer.2 + at as i32 },
                timestamp: *timestamp,
                key: key.map(|key| Bytes::copy_from_slice(key.as_bytes())),
                value: value.map(|value| Bytes::copy_from_slice(value.as_bytes())),
                headers: Default::default(),
            })
            .collect();
        let mut bytes = BytesMut::new();
        let options = RecordEncodeOptions { version: 2, compression };
        // The codec splits batches where offset minus sequence changes, so records without a sequence go as one batch
        // only if their sequence follows the offset; the header is mended below.
        let numbered: Vec<Record> = records
            .into_iter()
            .map(|mut record| {
                if record.sequence < 0 {
                    record.sequence = record.offset as i32;
                }
                record
            })
            .collect();
        RecordBatchEncoder::encode(&mut bytes, &numbered, &options).unwrap();
        let mut bytes = bytes.to_vec();
        if producer.0 < 0 {
            bytes[53..57].copy_from_slice(&(-1i32).to_be_bytes());
            seal(&mut bytes);
        }
        bytes
    }

    #[test]
    fn a_marker_reads_back_as_what_kafka_calls_one() {
        for commit in [false, true] {
            let mut bytes = marker(7, 3, commit, 1_000);
            set_offset(&mut bytes, 42);
            let batch = Batch::parse(&bytes).unwrap();
            assert!(batch.intact(&bytes) && batch.is_control() && batch.is_transactional());
            assert_eq!((batch.last_offset(), batch.producer_id, batch.producer_epoch), (42, 7, 3));
            assert_eq!(marker_commits(&bytes), Some(commit));
            let decoded = RecordBatchDecoder::decode(&mut Bytes::from(bytes)).unwrap();
            assert_eq!(decoded.records.len(), 1);
            assert_eq!(decoded.records[0].key.as_deref(), Some(&[0, 0, 0, u8::from(commit)][..]));
        }
    }

    #[test]
    fn a_changed_byte_is_noticed_and_rewritten_offsets_are_not_a_change() {
        let mut bytes = records((5, 0, 0), false, &[(Some("k"), Some("v"), 10), (Some("k"), None, 11)]);
        set_offset(&mut bytes, 1_000);
        let batch = Batch::parse(&bytes).unwrap();
        assert!(batch.check_from_client(&bytes).is_ok());
        assert_eq!((batch.base_offset, batch.last_offset(), batch.last_sequence()), (1_000, 1_001, 1));
        assert_eq!((batch.base_timestamp, batch.max_timestamp), (10, 11));
        for at in 21..bytes.len() {
            let mut broken = bytes.clone();
            broken[at] ^= 1;
            assert!(!batch.intact(&broken), "byte {at}");
        }
    }

    #[test]
    fn a_count_that_the_bytes_cannot_hold_is_refused() {
        for (count, fine) in [(1, true), (2, false), (i32::MAX, false), (0, false), (-1, false), (i32::MIN, false)] {
            let mut bytes = records((-1, -1, -1), false, &[(None, Some("v"), 10)]);
            bytes[23..27].copy_from_slice(&count.wrapping_sub(1).to_be_bytes());
            reseal(&mut bytes, count);
            assert_eq!(Batch::parse(&bytes).unwrap().check_from_client(&bytes).is_ok(), fine, "{count}");
        }
    }

    #[test]
    fn broker_time_keeps_the_batch_intact() {
        let mut bytes = records((-1, -1, -1), false, &[(None, Some("v"), 10)]);
        set_broker_time(&mut bytes, 99);
        let batch = Batch::parse(&bytes).unwrap();
        assert!(batch.intact(&bytes) && batch.has_broker_time());
        assert_eq!(batch.max_timestamp, 99);
    }

    #[test]
    fn sequences_wrap() {
        let mut bytes = records((5, 0, 0), false, &[(None, Some("a"), 1), (None, Some("b"), 1)]);
        bytes[53..57].copy_from_slice(&i32::MAX.to_be_bytes());
        assert_eq!(Batch::parse(&bytes).unwrap().last_sequence(), 0);
    }
}
