//! The proof of a message of SNS: a signature by a certificate that Amazon serves.
//!
//! Invariants: a topic that is not configured is refused before anything is fetched. Only a [`Place`] is ever fetched, without
//! following redirections, in bounded time and size. A certificate is fetched once. A subscription is confirmed only for a
//! configured topic, and only once its message is proven. What cannot be fetched now is the sender's to send again.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use openssl::asn1::Asn1Time;
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::sign::Verifier;
use openssl::x509::X509;

use super::{Envelope, Kind, Place, SignatureVersion, envelope};
use crate::record::EventTime;

/// A certificate is some two KiB, and so is the answer to a confirmation.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
/// Amazon has one for each region and replaces it once in a while.
const CERTIFICATES_MAX: usize = 64;

/// Gets what lies at a place. Tests bring their own.
pub type Fetch = Arc<dyn Fn(Place) -> Fetching + Send + Sync>;
pub type Fetching = Pin<Box<dyn Future<Output = Result<Vec<u8>, String>> + Send>>;

/// Topics whose messages are wanted.
pub struct Subscriptions {
    topics: BTreeSet<String>,
    fetch: Fetch,
    certificates: Mutex<BTreeMap<Place, X509>>,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Failure {
    /// It is not to be believed, and why.
    Unproven(String),
    /// It cannot be judged now, and why.
    Unavailable(String),
}

impl fmt::Debug for Subscriptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.topics)
    }
}

impl Subscriptions {
    pub fn new(topics: impl IntoIterator<Item = String>, fetch: Fetch) -> Self {
        Self { topics: topics.into_iter().collect(), fetch, certificates: Mutex::default() }
    }

    /// Judges a message, and confirms the subscription that it asks for.
    pub async fn admit(&self, body: &[u8], now: EventTime) -> Result<(), Failure> {
        let message = envelope(body).map_err(|refusal| Failure::Unproven(refusal.to_string()))?;
        if !self.topics.contains(&message.topic) {
            return Err(Failure::Unproven("the topic of this message is not configured".to_owned()));
        }
        let certificate = self.certificate(&message.certificate).await?;
        if !is_valid(&certificate, now).unwrap_or(false) {
            return Err(Failure::Unproven("the certificate has expired, or is not valid yet".to_owned()));
        }
        if !is_signed(&message, &certificate).unwrap_or(false) {
            return Err(Failure::Unproven("the signature is not that of this message".to_owned()));
        }
        if let Kind::Subscription(confirmation) = message.kind {
            let confirmed = (self.fetch)(confirmation).await;
            confirmed
                .map_err(|error| Failure::Unavailable(format!("the subscription cannot be confirmed: {error}")))?;
            tracing::info!(topic = message.topic, "subscription confirmed");
        }
        Ok(())
    }

    async fn certificate(&self, place: &Place) -> Result<X509, Failure> {
        let known = self.certificates.lock().unwrap_or_else(PoisonError::into_inner).get(place).cloned();
        if let Some(certificate) = known {
            return Ok(certificate);
        }
        let fetched = (self.fetch)(place.clone()).await;
        let pem =
            fetched.map_err(|error| Failure::Unavailable(format!("the certificate cannot be fetched: {error}")))?;
        let certificate = X509::from_pem(&pem)
            .map_err(|_| Failure::Unproven("what lies at SigningCertURL is no certificate".to_owned()))?;
        let mut known = self.certificates.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= CERTIFICATES_MAX {
            known.clear();
        }
        known.insert(place.clone(), certificate.clone());
        Ok(certificate)
    }
}

fn is_valid(certificate: &X509, now: EventTime) -> Result<bool, ErrorStack> {
    let now = Asn1Time::from_unix(now.0 / 1_000)?;
    Ok(certificate.not_before() <= now && now <= certificate.not_after())
}

fn is_signed(message: &Envelope, certificate: &X509) -> Result<bool, ErrorStack> {
    let digest = match message.version {
        SignatureVersion::One => MessageDigest::sha1(),
        SignatureVersion::Two => MessageDigest::sha256(),
    };
    let signature = openssl::base64::decode_block(&message.signature)?;
    let key = certificate.public_key()?;
    Verifier::new(digest, &key)?.verify_oneshot(&signature, message.signed.as_bytes())
}

/// Over the network.
pub fn over_https() -> Result<Fetch, reqwest::Error> {
    let client = reqwest::Client::builder()
        .https_only(true)
        .redirect(reqwest::redirect::Policy::none())
        .timeout(FETCH_TIMEOUT)
        .build()?;
    Ok(Arc::new(move |place| {
        let client = client.clone();
        Box::pin(async move { get(&client, &place).await })
    }))
}

async fn get(client: &reqwest::Client, place: &Place) -> Result<Vec<u8>, String> {
    let told = |error: reqwest::Error| error.without_url().to_string();
    let answer = client.get(place.url()).send().await.map_err(told)?;
    let status = answer.status();
    if !status.is_success() {
        return Err(format!("the answer is {status}"));
    }
    let mut answer = answer;
    let mut bytes = Vec::new();
    while let Some(piece) = answer.chunk().await.map_err(told)? {
        if bytes.len() + piece.len() > ANSWER_BYTES_MAX {
            return Err("the answer is too large".to_owned());
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}
