//! The records inside a batch, as raw slices: enough to find times and keys and to write a batch with fewer records, without
//! decoding (and possibly changing) what producers wrote. Nothing is believed, and nothing allocated for what a batch only
//! claims; unfolding stops at [`MAX_PLAIN`].

use super::batch::{self, Batch, COMPRESSION, HEADER, NO_TIMESTAMP};
use bytes::{BufMut, BytesMut};
use kafka_protocol::compression::{Compressor, Gzip, Lz4, Snappy, Zstd};
use std::borrow::Cow;
use std::io::{self, Read};

/// A batch that unfolds to more is not looked into.
const MAX_PLAIN: usize = 64 << 20;
/// What snappy-java writes before its blocks, which librdkafka and the Java client do alike.
const SNAPPY_JAVA: &[u8] = b"\x82SNAPPY\0";
const SNAPPY_JAVA_HEADER: usize = 16;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// The whole record, length included.
    pub bytes: &'a [u8],
    pub offset: i64,
    pub timestamp: i64,
    pub key: Option<&'a [u8]>,
    /// A record without a value deletes its key.
    pub has_value: bool,
}

/// The records of a batch, unfolded. `bytes` is the whole batch.
pub fn plain<'a>(batch: &Batch, bytes: &'a [u8]) -> io::Result<Cow<'a, [u8]>> {
    unfold(batch.attributes & COMPRESSION, bytes.get(HEADER..).unwrap_or_default())
}

/// The records of an unfolded batch, in order.
pub fn walk<'a>(batch: &Batch, plain: &'a [u8]) -> impl Iterator<Item = io::Result<Record<'a>>> {
    let (batch, mut rest) = (*batch, plain);
    // The first error is the last item: what comes after it is anybody's guess.
    let mut left = batch.count;
    std::iter::from_fn(move || {
        left = left.checked_sub(1).filter(|left| *left >= 0)?;
        let read = next(&batch, &mut rest);
        left = if read.is_ok() { left } else { 0 };
        Some(read)
    })
}

fn next<'a>(batch: &Batch, rest: &mut &'a [u8]) -> io::Result<Record<'a>> {
    let whole = *rest;
    let mut fields = take(rest, None)?;
    take(&mut fields, Some(1))?;
    let (timestamp, offset) = (varint(&mut fields)?, varint(&mut fields)?);
    let key = optional(&mut fields)?;
    Ok(Record {
        bytes: &whole[..whole.len() - rest.len()],
        offset: batch.base_offset.wrapping_add(offset),
        timestamp: batch.base_timestamp.wrapping_add(timestamp),
        key,
        has_value: varint(&mut fields)? >= 0,
    })
}

/// Offset and time of the first record of the batch that is `wanted`.
pub fn find(batch: &Batch, bytes: &[u8], wanted: impl Fn(&Record<'_>) -> bool) -> io::Result<Option<(i64, i64)>> {
    for record in walk(batch, &plain(batch, bytes)?) {
        let record = record?;
        if wanted(&record) {
            return Ok(Some((record.offset, record.timestamp)));
        }
    }
    Ok(None)
}

/// The batch with only these of its records; their offsets and times, and the batch's sequence numbers, stay what they were.
pub fn with_only(batch: &Batch, bytes: &[u8], kept: &[Record<'_>]) -> io::Result<Vec<u8>> {
    let mut packed = BytesMut::new();
    let write = |plain: &mut BytesMut| {
        kept.iter().for_each(|record| plain.put_slice(record.bytes));
        Ok(())
    };
    let codec = if kept.is_empty() { 0 } else { batch.attributes & COMPRESSION };
    let done = match codec {
        0 => write(&mut packed),
        1 => Gzip::compress(&mut packed, write),
        2 => Snappy::compress(&mut packed, write),
        3 => Lz4::compress(&mut packed, write),
        _ => Zstd::compress(&mut packed, write),
    };
    done.map_err(io::Error::other)?;
    let newest = kept.iter().map(|record| record.timestamp).max();
    let newest = if batch.has_broker_time() { batch.max_timestamp } else { newest.unwrap_or(NO_TIMESTAMP) };
    let mut fresh = [&bytes[..HEADER], &packed].concat();
    batch::set_time(&mut fresh, batch.attributes & !COMPRESSION | codec, newest);
    batch::reseal(&mut fresh, kept.len() as i32);
    Ok(fresh)
}

/// Bytes with their length before them, which may say that there are none.
fn optional<'a>(bytes: &mut &'a [u8]) -> io::Result<Option<&'a [u8]>> {
    match usize::try_from(varint(bytes)?) {
        Ok(length) => take(bytes, Some(length)).map(Some),
        Err(_) => Ok(None),
    }
}

fn broken(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

/// The next bytes: so many, or as many as the varint before them says.
fn take<'a>(bytes: &mut &'a [u8], count: Option<usize>) -> io::Result<&'a [u8]> {
    let count = match count {
        Some(count) => count,
        None => usize::try_from(varint(bytes)?).map_err(|_| broken("a negative length"))?,
    };
    let (taken, rest) = bytes.split_at_checked(count).ok_or_else(|| broken("fewer bytes than claimed"))?;
    *bytes = rest;
    Ok(taken)
}

/// A zig-zag varint.
fn varint(bytes: &mut &[u8]) -> io::Result<i64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let byte = take(bytes, Some(1))?[0];
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok((value >> 1) as i64 ^ -((value & 1) as i64));
        }
    }
    Err(broken("an endless number"))
}

fn unfold(codec: i16, bytes: &[u8]) -> io::Result<Cow<'_, [u8]>> {
    let stream: Box<dyn Read + '_> = match codec {
        0 => return Ok(Cow::Borrowed(bytes)),
        1 => Box::new(flate2::read::GzDecoder::new(bytes)),
        2 => return snappy(bytes).map(Cow::Owned),
        3 => Box::new(lz4::Decoder::new(bytes)?),
        4 => Box::new(zstd::Decoder::new(bytes)?),
        _ => return Err(broken("an unknown compression")),
    };
    let mut plain = Vec::new();
    stream.take(MAX_PLAIN as u64 + 1).read_to_end(&mut plain)?;
    if plain.len() > MAX_PLAIN { Err(broken("too much to unfold")) } else { Ok(Cow::Owned(plain)) }
}

/// Blocks as snappy-java frames them, or one without a frame.
fn snappy(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut blocks = bytes;
    let framed = bytes.starts_with(SNAPPY_JAVA);
    if framed {
        take(&mut blocks, Some(SNAPPY_JAVA_HEADER))?;
    }
    let mut plain = Vec::new();
    while !blocks.is_empty() {
        let block = match framed {
            true => {
                let size = take(&mut blocks, Some(4))?.iter().fold(0, |size, byte| size << 8 | usize::from(*byte));
                take(&mut blocks, Some(size))?
            }
            false => std::mem::take(&mut blocks),
        };
        if plain.len() + snap::raw::decompress_len(block)? > MAX_PLAIN {
            return Err(broken("too much to unfold"));
        }
        plain.extend(snap::raw::Decoder::new().decompress_vec(block)?);
    }
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use super::super::batch::reseal;
    use super::super::batch::tests::{Plain, compressed, packed};
    use super::*;
    use bytes::Bytes;
    use kafka_protocol::records::{Compression, RecordBatchDecoder};

    const CODECS: [Compression; 5] =
        [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];

    #[test]
    fn what_is_kept_is_byte_for_byte_what_was_written_in_every_compression() {
        let long = "v".repeat(300);
        let plain: [Plain<'_>; 4] =
            [(Some("a"), Some("1"), 10), (Some("b"), None, 900), (None, Some(&long), 5), (Some(""), Some(""), 20)];
        for compression in CODECS {
            let bytes = packed((7, 1, 40), true, &plain, compression);
            let batch = Batch::parse(&bytes).unwrap();
            let plain = super::plain(&batch, &bytes).unwrap();
            let records: Vec<_> = walk(&batch, &plain).map(Result::unwrap).collect();
            let keys: Vec<_> = records.iter().map(|record| record.key).collect();
            assert_eq!(keys, [Some(&b"a"[..]), Some(b"b"), None, Some(b"")]);
            assert_eq!(records.iter().map(|record| record.has_value).collect::<Vec<_>>(), [true, false, true, true]);
            let times: Vec<_> = records.iter().map(|record| record.timestamp).collect();
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
        let whole = plain(&batch, &bytes).unwrap();
        for cut in 0..whole.len() {
            assert!(walk(&batch, &whole[..cut]).any(|record| record.is_err()));
        }
        assert_eq!(walk(&batch, &[0xff; 40]).filter(Result::is_err).count(), 1);
        let zstd = Batch { attributes: 4, ..batch };
        assert!(plain(&zstd, &bytes).is_err());
    }

    #[test]
    fn a_bomb_is_not_unfolded_and_a_count_is_not_believed() {
        let zeros = "0".repeat(MAX_PLAIN);
        for codec in CODECS {
            let mut bytes = compressed(&[(None, Some("v"), 10)], codec);
            reseal(&mut bytes, i32::MAX);
            assert!(find(&Batch::parse(&bytes).unwrap(), &bytes, |_| false).is_err(), "{codec:?}");
            if codec != Compression::None {
                let bomb = compressed(&[(None, Some(&zeros), 10)], codec);
                assert!(bomb.len() < MAX_PLAIN / 10, "{codec:?}: {}", bomb.len());
                assert!(find(&Batch::parse(&bomb).unwrap(), &bomb, |_| true).is_err(), "{codec:?}");
            }
        }
    }
}
