//! The identity of an alert as Prometheus computes it: FNV-1a, 64 bits, over the sorted labels.
//!
//! Alertmanager tells it in its webhook; for alerts that come straight from a Prometheus it is computed here, so that one
//! alert has one identity at both doors. Other sources have identities of their own.

use sha2::{Digest, Sha256};

use crate::event::Labels;

const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0000_0100_0000_01b3;
/// Stands behind every name and value; it occurs in no UTF-8 text.
const SEPARATOR: u8 = 0xff;

/// Sixteen hexadecimal digits.
pub fn of(labels: &Labels<'_>) -> String {
    let hash = labels.iter().fold(OFFSET, |hash, (name, value)| add(add(hash, name), value));
    format!("{hash:016x}")
}

/// Of what tells an alert apart at a source that knows no labels: thirty-two hexadecimal digits.
pub fn of_parts(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    hex::encode(&hash.finalize()[..16])
}

fn add(hash: u64, text: &str) -> u64 {
    let bytes = text.bytes().chain([SEPARATOR]);
    bytes.fold(hash, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fingerprint(labels: &[(&'static str, &'static str)]) -> String {
        of(&labels.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect())
    }

    /// The expected values were read from Alertmanager 0.25, which was given these labels.
    #[test]
    fn it_is_the_one_that_alertmanager_tells() {
        let checkout = [("severity", "critical"), ("alertname", "HighErrorRatio"), ("service", "checkout")];
        assert_eq!(fingerprint(&checkout), "e0df2298e77d85e2");
        assert_eq!(fingerprint(&[("alertname", "Ümlaut"), ("zone", "a\"b")]), "40faae9dbfcd2be9");
        assert_eq!(fingerprint(&[("service", "noname")]), "4efaedde60ff6ade");
    }

    #[test]
    fn parts_are_told_apart_by_where_they_end() {
        assert_eq!(of_parts(&["a", "b"]).len(), 32);
        assert_eq!(of_parts(&["a", "b"]), of_parts(&["a", "b"]));
        assert_ne!(of_parts(&["ab", ""]), of_parts(&["a", "b"]));
    }
}
