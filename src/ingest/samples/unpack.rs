//! Bodies as they were before they were compressed, within bounds that hold whatever they say of themselves.

use std::io::Read;

use flate2::read::MultiGzDecoder;

#[derive(Debug, PartialEq, Eq)]
pub enum NotUnpacked {
    TooLarge,
    Malformed(&'static str),
}

/// Snappy's block format, which says its length in front; not the framed one.
pub fn snappy(body: &[u8], bytes_max: usize) -> Result<Vec<u8>, NotUnpacked> {
    const MALFORMED: NotUnpacked = NotUnpacked::Malformed("the body is not compressed with snappy's block format");
    let length = snap::raw::decompress_len(body).map_err(|_| MALFORMED)?;
    if length > bytes_max {
        return Err(NotUnpacked::TooLarge);
    }
    snap::raw::Decoder::new().decompress_vec(body).map_err(|_| MALFORMED)
}

pub fn gzip(body: &[u8], bytes_max: usize) -> Result<Vec<u8>, NotUnpacked> {
    let mut unpacked = Vec::new();
    let within = u64::try_from(bytes_max).unwrap_or(u64::MAX).saturating_add(1);
    let read = MultiGzDecoder::new(body).take(within).read_to_end(&mut unpacked);
    match read {
        Ok(_) if unpacked.len() > bytes_max => Err(NotUnpacked::TooLarge),
        Ok(_) => Ok(unpacked),
        Err(_) => Err(NotUnpacked::Malformed("the body is not compressed with gzip")),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use proptest::prelude::*;

    use super::*;

    fn gzipped(body: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(body).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn what_becomes_larger_than_the_bound_is_refused_and_what_fits_is_read() {
        let body = vec![7; 100_000];
        let snappied = snap::raw::Encoder::new().compress_vec(&body).unwrap();
        for (unpack, packed) in [(snappy as fn(&[u8], usize) -> _, snappied), (gzip, gzipped(&body))] {
            assert!(packed.len() < 10_000);
            assert_eq!(unpack(&packed, 100_000).as_ref(), Ok(&body));
            assert_eq!(unpack(&packed, 99_999), Err(NotUnpacked::TooLarge));
            assert!(matches!(unpack(&packed[..packed.len() / 2], 100_000), Err(NotUnpacked::Malformed(_))));
            assert!(matches!(unpack(b"plain", 100_000), Err(NotUnpacked::Malformed(_))));
        }
        // It says that four gigabytes follow.
        assert_eq!(snappy(&[0xff, 0xff, 0xff, 0xff, 0x0f, 0], 100_000), Err(NotUnpacked::TooLarge));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            for unpack in [snappy, gzip] {
                if let Ok(unpacked) = unpack(&bytes, 1000) {
                    prop_assert!(unpacked.len() <= 1000);
                }
            }
        }
    }
}
