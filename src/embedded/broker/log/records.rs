//! The records inside a batch, as raw slices: enough to find times and keys and to write a batch with fewer records,
//! without decoding (and possibly changing) what producers wrote.

use super::batch::{self, Batch, HEADER};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::compression::{Compressor, Decompressor, Gzip, Lz4, Snappy, Zstd};

#[derive(Debug, thiserror::Error)]
#[error("the records of the batch at offset {0} cannot be read")]
pub struct Unreadable(i64);

#[derive(Debug, Clone, Copy)]
pub struct Raw<'a> {
    /// The whole record, length included.
    pub bytes: &'a [u8],
    pub timestamp_delta: i64,
    pub offset_delta: i32,
    pub key: Option<&'a [u8]>,
    /// A record without a value deletes its key.
    pub has_value: bool,
}

/// The records of a batch, decompressed. `bytes` is the whole batch.
pub fn payload(batch: &Batch, bytes: &[u8]) -> Result<Bytes, Unreadable> {
    let mut packed = Bytes::copy_from_slice(&bytes[HEADER..batch.size]);
    let all = |unpacked: &mut Bytes| Ok(unpacked.split_off(0));
    let unpacked = match batch.attributes & 7 {
        0 => Ok(packed),
        1 => Gzip::decompress(&mut packed, |unpacked| Ok(unpacked.copy_to_bytes(unpacked.remaining()))),
        2 => Snappy::decompress(&mut packed, all),
        3 => Lz4::decompress(&mut packed, |unpacked| Ok(unpacked.copy_to_bytes(unpacked.remaining()))),
        4 => Zstd::decompress(&mut packed, |unpacked| Ok(unpacked.copy_to_bytes(unpacked.remaining()))),
        _ => return Err(Unreadable(batch.base_offset)),
    };
    unpacked.map_err(|_| Unreadable(batch.base_offset))
}

/// All records of a payload, in order.
pub fn walk<'a>(batch: &Batch, payload: &'a [u8]) -> Result<Vec<Raw<'a>>, Unreadable> {
    let mut rest = payload;
    let mut records = Vec::new();
    for _ in 0..batch.count {
        records.push(next(&mut rest).ok_or(Unreadable(batch.base_offset))?);
    }
    Ok(records)
}

fn next<'a>(rest: &mut &'a [u8]) -> Option<Raw<'a>> {
    let whole = *rest;
    let length = usize::try_from(varint(rest)?).ok()?;
    let mut body = rest.get(..length)?;
    *rest = &rest[length..];
    let bytes = &whole[..whole.len() - rest.len()];
    body = body.get(1..)?;
    let timestamp_delta = varint(&mut body)?;
    let offset_delta = i32::try_from(varint(&mut body)?).ok()?;
    let key_length = varint(&mut body)?;
    let key = match usize::try_from(key_length) {
        Ok(length) => {
            let key = body.get(..length)?;
            body = &body[length..];
            Some(key)
        }
        Err(_) => None,
    };
    let has_value = varint(&mut body)? >= 0;
    Some(Raw { bytes, timestamp_delta, offset_delta, key, has_value })
}

/// A zig-zag varint of up to 64 bits.
fn varint(bytes: &mut &[u8]) -> Option<i64> {
    let mut raw = 0u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        raw |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some((raw >> 1) as i64 ^ -((raw & 1) as i64));
        }
    }
    None
}

/// The batch with only these of its records; offsets, times and sequence numbers stay what they were.
pub fn with_only(batch: &Batch, bytes: &[u8], kept: &[Raw<'_>]) -> Result<Vec<u8>, Unreadable> {
    let mut records = BytesMut::new();
    kept.iter().for_each(|record| records.put_slice(record.bytes));
    let mut packed = BytesMut::new();
    let write = |plain: &mut BytesMut| {
        plain.put_slice(&records);
        Ok(())
    };
    let done = match batch.attributes & 7 {
        0 => {
            packed.put_slice(&records);
            Ok(())
        }
        1 => Gzip::compress(&mut packed, write),
        2 => Snappy::compress(&mut packed, write),
        3 => Lz4::compress(&mut packed, write),
        _ => Zstd::compress(&mut packed, write),
    };
    done.map_err(|_| Unreadable(batch.base_offset))?;
    let mut fresh = bytes[..HEADER].to_vec();
    fresh.extend_from_slice(&packed);
    batch::reseal(&mut fresh, kept.len() as i32);
    Ok(fresh)
}

#[cfg(test)]
mod tests {
    use super::super::batch::tests::{Plain, packed};
    use super::*;
    use kafka_protocol::records::{Compression, RecordBatchDecoder};

    #[test]
    fn what_is_kept_is_byte_for_byte_what_was_written_in_every_compression() {
        let long = "v".repeat(300);
        let plain: [Plain<'_>; 4] =
            [(Some("a"), Some("1"), 10), (Some("b"), None, 900), (None, Some(&long), 5), (Some(""), Some(""), 20)];
        for compression in
            [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd]
        {
            let bytes = packed((7, 1, 40), true, &plain, compression);
            let batch = Batch::parse(&bytes).unwrap();
            let payload = payload(&batch, &bytes).unwrap();
            let records = walk(&batch, &payload).unwrap();
            let keys: Vec<_> = records.iter().map(|record| record.key).collect();
            assert_eq!(keys, [Some(&b"a"[..]), Some(b"b"), None, Some(b"")]);
            assert_eq!(records.iter().map(|record| record.has_value).collect::<Vec<_>>(), [true, false, true, true]);
            let times: Vec<_> = records.iter().map(|record| batch.base_timestamp + record.timestamp_delta).collect();
            assert_eq!(times, [10, 900, 5, 20]);

            let fewer = with_only(&batch, &bytes, &[records[1], records[3]]).unwrap();
            let after = Batch::parse(&fewer).unwrap();
            assert!(after.intact(&fewer));
            assert_eq!((after.last_offset(), after.last_sequence()), (batch.last_offset(), batch.last_sequence()));
            let decoded = RecordBatchDecoder::decode(&mut Bytes::from(fewer)).unwrap().records;
            let read: Vec<_> = decoded.iter().map(|record| (record.offset, record.timestamp)).collect();
            assert_eq!(read, [(1, 900), (3, 20)], "{compression:?}");
        }
    }

    #[test]
    fn broken_records_are_an_error_and_not_a_panic() {
        let bytes = packed((-1, -1, -1), false, &[(Some("key"), Some("value"), 1); 2], Compression::None);
        let batch = Batch::parse(&bytes).unwrap();
        let whole = payload(&batch, &bytes).unwrap();
        for cut in 0..whole.len() {
            assert!(walk(&batch, &whole[..cut]).is_err());
        }
        assert!(walk(&batch, &[0xff; 40]).is_err());
        let zstd = Batch { attributes: 4, ..batch };
        assert!(payload(&zstd, &bytes).is_err());
    }
}
