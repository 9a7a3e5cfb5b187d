//! The records inside a batch, as far as the broker asks: place, time, key or none. Nothing is believed, and nothing allocated
//! for what a batch only claims; decompressing stops at [`MAX_PLAIN`].

use super::batch::{Batch, COMPRESSION, HEADER};
use std::borrow::Cow;
use std::io::{self, Read};

/// A batch that unfolds to more is not looked into.
const MAX_PLAIN: usize = 64 << 20;
/// What snappy-java writes before its blocks, which librdkafka and the Java client do alike.
const SNAPPY_JAVA: &[u8] = b"\x82SNAPPY\0";
const SNAPPY_JAVA_HEADER: usize = 16;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record {
    pub offset: i64,
    pub timestamp: i64,
    pub has_key: bool,
}

/// The first record of the batch that is `wanted`.
pub fn find(batch: &Batch, bytes: &[u8], wanted: impl Fn(&Record) -> bool) -> io::Result<Option<Record>> {
    let plain = plain(batch.attributes & COMPRESSION, bytes.get(HEADER..).unwrap_or_default())?;
    let mut rest = &plain[..];
    for _ in 0..batch.count {
        let mut fields = take(&mut rest, None)?;
        take(&mut fields, Some(1))?;
        let (timestamp, offset) = (varint(&mut fields)?, varint(&mut fields)?);
        let record = Record {
            offset: batch.base_offset.wrapping_add(offset),
            timestamp: batch.base_timestamp.wrapping_add(timestamp),
            has_key: varint(&mut fields)? >= 0,
        };
        if wanted(&record) {
            return Ok(Some(record));
        }
    }
    Ok(None)
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

fn plain(codec: i16, bytes: &[u8]) -> io::Result<Cow<'_, [u8]>> {
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
    use super::super::batch::tests::compressed;
    use super::*;
    use kafka_protocol::records::Compression;

    const CODECS: [Compression; 5] =
        [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];

    #[test]
    fn records_are_found_in_every_compression() {
        for codec in CODECS {
            let bytes = compressed(&[(Some("k"), Some("v"), 10), (None, Some("w"), 30)], codec);
            let batch = Batch::parse(&bytes).unwrap();
            let at = |time| find(&batch, &bytes, |record| record.timestamp >= time).unwrap();
            assert_eq!(at(10), Some(Record { offset: 0, timestamp: 10, has_key: true }), "{codec:?}");
            assert_eq!(at(11), Some(Record { offset: 1, timestamp: 30, has_key: false }), "{codec:?}");
            assert_eq!(at(31), None, "{codec:?}");
        }
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
