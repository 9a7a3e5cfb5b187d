//! SCRAM (RFC 5802, RFC 7677): proves that the password is known without sending it, and has the server prove the same. Pure but for
//! the nonce, which is passed in.
//!
//! The server chooses salt and rounds, so both are bounded: few rounds would make what is sent easy to guess from, many would hold us up.
//! As in Kafka's own clients a password is its UTF-8 bytes, without SASLprep.

use openssl::base64::{decode_block, encode_block};
use openssl::error::ErrorStack;
use openssl::hash::{MessageDigest, hash};
use openssl::memcmp;
use openssl::pkcs5::pbkdf2_hmac;
use openssl::pkey::PKey;
use openssl::sign::Signer;

/// Of Kafka's `ScramMechanism`.
const ROUNDS_MIN: usize = 4_096;
/// A tenth of a second; Kafka's brokers take 16,384 at most.
const ROUNDS_MAX: usize = 100_000;

pub struct Scram {
    digest: MessageDigest,
    password: String,
    /// The client's first message, without its head.
    bare: String,
    nonce: String,
}

/// The client's last message, and what the server must answer with.
pub struct Proof {
    pub message: String,
    signature: Vec<u8>,
}

/// With a text for people, never with a secret.
pub type Told<T> = Result<T, String>;

impl Scram {
    /// `nonce`: random, printable and without a comma.
    pub fn new(digest: MessageDigest, user: &str, password: &str, nonce: &str) -> Scram {
        let user = user.replace('=', "=3D").replace(',', "=2C");
        Scram { digest, password: password.into(), bare: format!("n={user},r={nonce}"), nonce: nonce.into() }
    }

    pub fn first(&self) -> String {
        format!("n,,{}", self.bare)
    }

    pub fn prove(&self, challenge: &[u8]) -> Told<Proof> {
        let challenge = std::str::from_utf8(challenge).map_err(|_| "the server's challenge is no text")?;
        let fields: Vec<&str> = challenge.splitn(4, ',').collect();
        let field = |at: usize, name: &str| fields.get(at).and_then(|field| field.strip_prefix(name));
        let (Some(nonce), Some(salt), Some(rounds)) = (field(0, "r="), field(1, "s="), field(2, "i=")) else {
            return Err("the server's challenge is not one of SCRAM's".into());
        };
        if !nonce.starts_with(&self.nonce) || nonce.len() == self.nonce.len() {
            return Err("the server's challenge is not to our nonce".into());
        }
        let salt = decode_block(salt).map_err(|_| "the server's salt is no base64")?;
        let rounds = rounds.parse::<usize>().ok().filter(|rounds| (ROUNDS_MIN..=ROUNDS_MAX).contains(rounds));
        let rounds = rounds
            .ok_or_else(|| format!("the server wants less than {ROUNDS_MIN} or more than {ROUNDS_MAX} rounds"))?;
        self.sign(challenge, nonce, &salt, rounds).map_err(|error| format!("no proof can be made: {error}"))
    }

    fn sign(&self, challenge: &str, nonce: &str, salt: &[u8], rounds: usize) -> Result<Proof, ErrorStack> {
        let mut salted = vec![0; self.digest.size()];
        pbkdf2_hmac(self.password.as_bytes(), salt, rounds, self.digest, &mut salted)?;
        let client_key = self.hmac(&salted, b"Client Key")?;
        let stored_key = hash(self.digest, &client_key)?;
        // `biws` is the head of the first message in base64: no channel binding.
        let last = format!("c=biws,r={nonce}");
        let signed = format!("{},{challenge},{last}", self.bare);
        let mask = self.hmac(&stored_key, signed.as_bytes())?;
        let proof: Vec<u8> = client_key.iter().zip(mask).map(|(key, mask)| key ^ mask).collect();
        let server_key = self.hmac(&salted, b"Server Key")?;
        Ok(Proof {
            message: format!("{last},p={}", encode_block(&proof)),
            signature: self.hmac(&server_key, signed.as_bytes())?,
        })
    }

    fn hmac(&self, key: &[u8], data: &[u8]) -> Result<Vec<u8>, ErrorStack> {
        Signer::new(self.digest, &*PKey::hmac(key)?)?.sign_oneshot_to_vec(data)
    }
}

impl Proof {
    /// Whether the server knows the password, too.
    pub fn check(&self, answer: &[u8]) -> Told<()> {
        let text = std::str::from_utf8(answer).unwrap_or_default();
        let told = text.split(',').next().unwrap_or_default();
        if let Some(error) = told.strip_prefix("e=") {
            return Err(format!("the server refuses the proof: {error}"));
        }
        let signature = told.strip_prefix("v=").and_then(|signature| decode_block(signature).ok());
        match signature {
            Some(found) if found.len() == self.signature.len() && memcmp::eq(&found, &self.signature) => Ok(()),
            _ => Err("the server does not prove that it knows the password: is it the right one?".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7677 §3.
    const NONCE: &str = "rOprNGfwEbeRWgbNEkqO";
    const CHALLENGE: &[u8] = b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
    const LAST: &str = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                        p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
    const SIGNATURE: &[u8] = b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

    fn scram() -> Scram {
        Scram::new(MessageDigest::sha256(), "user", "pencil", NONCE)
    }

    #[test]
    fn the_example_of_rfc_7677_is_spoken() {
        assert_eq!(scram().first(), "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        let proof = scram().prove(CHALLENGE).unwrap();
        assert_eq!(proof.message, LAST);
        proof.check(SIGNATURE).unwrap();
    }

    #[test]
    fn a_server_that_does_not_know_the_password_is_not_believed() {
        let proof = scram().prove(CHALLENGE).unwrap();
        for answer in [&b"v=7rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="[..], b"v=", b"", b"v=%%", b"\xff"] {
            assert!(proof.check(answer).unwrap_err().contains("does not prove"), "{answer:?}");
        }
        assert_eq!(proof.check(b"e=invalid-proof").unwrap_err(), "the server refuses the proof: invalid-proof");
    }

    #[test]
    fn a_challenge_is_bounded_and_to_our_nonce() {
        let refused = |challenge: &str| scram().prove(challenge.as_bytes()).err().unwrap_or_default();
        let ours = format!("r={NONCE}x,s=W22ZaJ0SNY7soEsUEjb6gQ==");
        for (challenge, why) in [
            (format!("{ours},i=4095"), "rounds"),
            (format!("{ours},i=100001"), "rounds"),
            (format!("{ours},i=-1"), "rounds"),
            (format!("{ours},i=99999999999999999999"), "rounds"),
            (format!("r={NONCE},s=W22Z,i=4096"), "nonce"),
            ("r=other,s=W22Z,i=4096".into(), "nonce"),
            (format!("r={NONCE}x,s=???,i=4096"), "base64"),
            (format!("m=ext,r={NONCE}x,s=W22Z,i=4096"), "SCRAM"),
            (String::new(), "SCRAM"),
        ] {
            assert!(refused(&challenge).contains(why), "{challenge}: {}", refused(&challenge));
        }
        assert_eq!(Scram::new(MessageDigest::sha512(), "a=b,c", "", "n").first(), "n,,n=a=3Db=2Cc,r=n");
    }
}
