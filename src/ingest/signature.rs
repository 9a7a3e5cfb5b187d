//! Signatures over the bytes of a request as they came: HMAC-SHA256 with a secret that both sides know.
//!
//! Invariants: what is signed is what was received, before anybody parsed it. Comparison takes the same time whatever is
//! told, over all secrets, several of which are valid at once while one is replaced. No secret is ever printed.

use std::fmt;

use hmac::{Hmac, Mac};
use sha2::Sha256;
use subtle::{Choice, ConstantTimeEq};

#[derive(Clone)]
pub struct Secrets(Vec<Vec<u8>>);

impl Secrets {
    pub fn new<S: Into<Vec<u8>>>(secrets: impl IntoIterator<Item = S>) -> Self {
        Self(secrets.into_iter().map(Into::into).collect())
    }

    /// Whether `told`, hexadecimal, is the signature of all `parts` in a row by one of the secrets.
    pub fn signed(&self, parts: &[&[u8]], told: &str) -> bool {
        let Ok(told) = hex::decode(told.trim()) else { return false };
        let known = self.0.iter().fold(Choice::from(0), |known, secret| known | sign(secret, parts).ct_eq(&told));
        bool::from(known)
    }
}

fn sign(secret: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes keys of any length");
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().to_vec()
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} secrets", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of GitHub's documentation on validating webhook deliveries.
    const SECRET: &str = "It's a Secret to Everybody";
    const BODY: &[u8] = b"Hello, World!";
    const SIGNATURE: &str = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";

    #[test]
    fn the_signature_of_these_bytes_by_any_secret_will_do_and_nothing_else() {
        let secrets = Secrets::new(["the secret of last month", SECRET]);
        assert!(secrets.signed(&[BODY], SIGNATURE) && secrets.signed(&[b"Hello, ", b"World!"], SIGNATURE));
        assert!(secrets.signed(&[BODY], &SIGNATURE.to_uppercase()));
        for told in ["", "757107", "zz", &SIGNATURE.replace('7', "8"), &format!("{SIGNATURE}00")] {
            assert!(!secrets.signed(&[BODY], told), "{told}");
        }
        assert!(!secrets.signed(&[b"Hello, World"], SIGNATURE));
        assert!(!Secrets::new([""; 0]).signed(&[BODY], SIGNATURE));
        assert_eq!(format!("{secrets:?}"), "2 secrets");
    }
}
