//! Messages of SNS, signed with a certificate of our own, which lies where Amazon's would lie.

use std::sync::Mutex;

use fairlead::ingest::sns::Place;
use fairlead::ingest::sns::proof::{Fetch, Subscriptions};
use openssl::asn1::Asn1Time;
use openssl::hash::MessageDigest;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::sign::Signer;
use openssl::x509::{X509, X509NameBuilder};

use super::*;

const PATH: &str = "/webhooks/sns";
const TOPIC: &str = "arn:aws:sns:eu-west-1:123456789012:alarms";

/// Amazon's part: a key, its certificate, and what was fetched so far.
struct Amazon {
    key: PKey<Private>,
    certificate: Vec<u8>,
    fetched: Arc<Mutex<Vec<String>>>,
}

impl Amazon {
    /// The certificate holds for a day from `NOW` on.
    fn new() -> Self {
        let key = PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap();
        let mut name = X509NameBuilder::new().unwrap();
        name.append_entry_by_text("CN", "sns.amazonaws.com").unwrap();
        let name = name.build();
        let mut certificate = X509::builder().unwrap();
        certificate.set_subject_name(&name).unwrap();
        certificate.set_issuer_name(&name).unwrap();
        certificate.set_pubkey(&key).unwrap();
        let at = |secs| Asn1Time::from_unix(NOW.0 / 1_000 + secs).unwrap();
        certificate.set_not_before(&at(-60)).unwrap();
        certificate.set_not_after(&at(86_400)).unwrap();
        certificate.sign(&key, MessageDigest::sha256()).unwrap();
        let certificate = certificate.build().to_pem().unwrap();
        Self { key, certificate, fetched: Arc::default() }
    }

    /// Serves certificates; of anything else only that it was asked for.
    fn serves(&self) -> Fetch {
        let (certificate, fetched) = (self.certificate.clone(), Arc::clone(&self.fetched));
        Arc::new(move |place: Place| {
            fetched.lock().unwrap().push(place.url().to_owned());
            let answer = match place.url() {
                url if url.ends_with("gone.pem") => Err("connection refused".to_owned()),
                url if url.ends_with("page.pem") => Ok(b"<html>".to_vec()),
                url if url.ends_with(".pem") => Ok(certificate.clone()),
                _ => Ok(b"<ConfirmSubscriptionResponse/>".to_vec()),
            };
            Box::pin(async { answer })
        })
    }

    /// As Amazon documents it: name and value of these fields on lines of their own.
    fn sign(&self, mut message: Value, version: &str) -> Value {
        let fields: &[&str] = match message["Type"].as_str() {
            Some("Notification") => &["Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"],
            _ => &["Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"],
        };
        let lines = fields.iter().filter_map(|name| Some(format!("{name}\n{}\n", message[*name].as_str()?)));
        let text: String = lines.collect();
        let digest = if version == "1" { MessageDigest::sha1() } else { MessageDigest::sha256() };
        let mut signer = Signer::new(digest, &self.key).unwrap();
        let signature = signer.sign_oneshot_to_vec(text.as_bytes()).unwrap();
        message["SignatureVersion"] = version.into();
        message["Signature"] = openssl::base64::encode_block(&signature).into();
        message
    }

    fn fetched(&self) -> Vec<String> {
        self.fetched.lock().unwrap().clone()
    }
}

async fn start(amazon: &Amazon, clock: Clock) -> Server {
    let sending = sending(Kafka::shared(), Duration::from_secs(4));
    create_topics(Kafka::shared(), &[sending.alerts.as_str(), sending.deploys.as_str()]).await;
    let sns = Some(Arc::new(Subscriptions::new([TOPIC.to_owned()], amazon.serves())));
    let guards = Guards { sns, ..Guards::default() };
    Server::start_with(IngestConfig { guards, ..config(sending, Capacity::default(), clock) }).await
}

impl Server {
    async fn told_by_sns(&self, message: &Value) -> (u16, Value) {
        let request = self.http.post(self.url(PATH)).header("content-type", "text/plain; charset=UTF-8");
        let answer = request.body(message.to_string()).timeout(PATIENCE).send().await.expect("an answer");
        (answer.status().as_u16(), answer.json().await.unwrap_or(Value::Null))
    }
}

/// The case with another value somewhere.
fn with(case: &str, field: &str, value: impl Into<Value>) -> Value {
    let mut message = recorded(case);
    message[field] = value.into();
    message
}

#[tokio::test(flavor = "multi_thread")]
async fn signed_alarms_of_both_versions_are_stored_once_each() {
    let amazon = Amazon::new();
    let server = start(&amazon, Clock::at(NOW)).await;
    let stored = (200, json!({"stored": 1, "ignored": 0}));
    let alarm = amazon.sign(recorded("sns_alarm"), "1");
    assert_eq!(server.told_by_sns(&alarm).await, stored);
    let again = server.told_by_sns(&alarm).await;
    assert_eq!(again, (200, json!({"stored": 0, "ignored": 0, "repeated": 1})));
    // Without a subject, signed by version 2.
    assert_eq!(server.told_by_sns(&amazon.sign(with("sns_ok", "MessageId", "m-2"), "2")).await, stored);
    let certificates = amazon.fetched();
    assert_eq!(certificates.len(), 1, "a certificate is fetched once: {certificates:?}");
    let stored = server.stored(&server.alerts, FactKind::Alert);
    assert!(stored.iter().all(|record| record.key == "checkout"));
    assert_eq!(stored.len(), 2);
    server.ingest.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_is_confirmed_for_a_configured_topic_and_only_once_it_is_proven() {
    let amazon = Amazon::new();
    let server = start(&amazon, Clock::at(NOW)).await;
    let confirmations = || amazon.fetched().into_iter().filter(|url| !url.ends_with(".pem")).collect::<Vec<_>>();
    let message = recorded("sns_subscription");
    let foreign = amazon.sign(with("sns_subscription", "TopicArn", "arn:aws:sns:eu-west-1:999999999999:theirs"), "1");
    let elsewhere = amazon.sign(with("sns_subscription", "SubscribeURL", "https://169.254.169.254/latest"), "1");
    for refused in [message.clone(), foreign, elsewhere] {
        let (code, told) = server.told_by_sns(&refused).await;
        assert_eq!((code, confirmations()), (401, vec![]), "{told}");
    }
    assert_eq!(server.told_by_sns(&amazon.sign(message.clone(), "2")).await.0, 200);
    assert_eq!(confirmations(), [message["SubscribeURL"].as_str().unwrap()]);
    server.ingest.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_amazon_did_not_sign_is_refused_and_what_cannot_be_judged_is_to_be_sent_again() {
    let amazon = Amazon::new();
    let server = start(&amazon, Clock::at(NOW)).await;
    let signed = amazon.sign(recorded("sns_alarm"), "1");
    let changed = |field: &str, value: &str| {
        let mut message = signed.clone();
        message[field] = value.into();
        message
    };
    for (message, said) in [
        (recorded("sns_alarm"), "the signature is not that of this message"),
        (changed("Message", "{}"), "the signature is not that of this message"),
        (changed("SignatureVersion", "2"), "the signature is not that of this message"),
        (changed("Signature", "no base64!"), "the signature is not that of this message"),
        (changed("SigningCertURL", "https://sns.eu-west-1.amazonaws.com.evil.example/a.pem"), "SigningCertURL"),
        (changed("SigningCertURL", "http://sns.eu-west-1.amazonaws.com/a.pem"), "SigningCertURL"),
        (
            changed("SigningCertURL", "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-page.pem"),
            "no certificate",
        ),
        (recorded("sns_raw"), "raw message delivery"),
    ] {
        let (code, told) = server.told_by_sns(&message).await;
        assert!(code == 401 && told["error"].as_str().unwrap().contains(said), "{said}: {told}");
    }
    assert!(amazon.fetched().iter().all(|url| url.starts_with("https://sns.eu-west-1.amazonaws.com/")));
    let (code, told) = server
        .told_by_sns(&changed(
            "SigningCertURL",
            "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-gone.pem",
        ))
        .await;
    assert!(code == 503 && told["error"].as_str().unwrap().contains("cannot be fetched"), "{told}");
    assert_eq!(server.stored(&server.alerts, FactKind::Alert).len(), 0);
    server.ingest.stop().await;

    let late = start(&amazon, Clock::at(EventTime(NOW.0 + 86_401_000))).await;
    let (code, told) = late.told_by_sns(&signed).await;
    assert!(code == 401 && told["error"].as_str().unwrap().contains("expired"), "{told}");
    late.ingest.stop().await;
}
