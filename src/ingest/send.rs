//! Facts into Kafka: durable or not, and nothing in between that a sender must know of.
//!
//! Invariants: success means that every fact was acknowledged by all in-sync replicas. A failure means that some may be
//! stored and some not; whoever sends again tells the same facts with the same identity. The answer comes within
//! [`Sending::timeout`] and a little, whatever the broker does: librdkafka gives up on a record after that time, so that
//! what was refused is not stored behind the sender's back later, except what was already on the wire.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::client::OAuthToken;
use rdkafka::config::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, DeliveryResult, Message};
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};
use serde::Serialize;
use thiserror::Error;
use tokio::sync::mpsc;

use crate::codec::{self, Formats};
use crate::event::{Fact, FactKind};
use crate::log;
use crate::log::client::{Connection, unusable};
use crate::record::{EventTime, Offset, Partition, Topic};

/// What librdkafka needs beyond its own deadline to tell of it.
const GRACE: Duration = Duration::from_secs(2);

#[derive(Debug, Error)]
pub enum Error {
    #[error("kafka did not store it: {0}")]
    Unavailable(String),
    /// No use to send it again.
    #[error("a record is larger than the topic's max.message.bytes")]
    TooLarge,
    #[error(transparent)]
    Encode(#[from] codec::Error),
    /// A fault of who sends it: it was to ask first.
    #[error("no topic is named for facts of kind {0}")]
    NoTopic(FactKind),
    #[error(transparent)]
    Configuration(log::Error),
}

/// Where facts go and how long that may take.
#[derive(Clone, Debug)]
pub struct Sending {
    pub connection: Connection,
    pub alerts: Topic,
    pub deploys: Topic,
    /// Of requests as they were received; without it none is kept.
    pub raw: Option<Topic>,
    /// Of what Alertmanager's API is asked for; without it, or without `responses`, it is not.
    pub silences: Option<Topic>,
    /// Of what people answer, and of whom silences cover; without it nobody can.
    pub responses: Option<Topic>,
    /// Of samples that a trend rule selects; without it none are taken.
    pub samples: Option<Topic>,
    pub timeout: Duration,
}

/// Where a fact lies now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Stored {
    pub topic: Topic,
    pub partition: Partition,
    pub offset: Offset,
}

pub struct Sender {
    sending: Sending,
    formats: Arc<Formats>,
    /// Replaced when it has failed for good.
    producer: Mutex<Arc<ThreadedProducer<Reports>>>,
}

/// Topic, key, value; without a value it is a tombstone.
type NewRecord<'r> = (&'r Topic, &'r str, Option<Vec<u8>>);

/// Passes each record's fate on to the request that waits for it.
struct Reports(Connection);

impl ClientContext for Reports {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn error(&self, error: KafkaError, reason: &str) {
        self.0.outage().hear(error, reason);
    }

    /// On the producer's own thread, when the broker wants tokens; librdkafka asks again before one expires.
    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        token(&self.0)
    }
}

pub(super) fn token(connection: &Connection) -> Result<OAuthToken, Box<dyn std::error::Error>> {
    let token = connection.token()?.ok_or("kafka.properties.sasl.oauthbearer.token.endpoint.url is missing")?;
    Ok(OAuthToken { token: token.text, principal_name: token.principal, lifetime_ms: token.expires_ms })
}

/// Which record of its request, and where it lies or why it does not.
type Fate = (usize, Result<(Partition, Offset), KafkaError>);

impl ProducerContext for Reports {
    type DeliveryOpaque = Box<(usize, mpsc::Sender<Fate>)>;

    fn delivery(&self, result: &DeliveryResult<'_>, opaque: Self::DeliveryOpaque) {
        let place = |message: &BorrowedMessage<'_>| (Partition(message.partition()), Offset(message.offset()));
        let (number, request) = *opaque;
        if result.is_ok() {
            self.0.outage().answered();
        }
        let fate = result.as_ref().map(place).map_err(|(error, _)| error.clone());
        // The channel has room for every record of its request; a request that is gone needs no answer.
        let _ = request.try_send((number, fate));
    }
}

impl Sender {
    pub fn new(sending: Sending, formats: Arc<Formats>) -> Result<Self, Error> {
        let producer = Mutex::new(Arc::new(producer(&sending)?));
        Ok(Self { sending, formats, producer })
    }

    /// All facts in one go; `received` becomes their records' timestamp. Answers with their places, in their order.
    pub async fn send<'f>(
        &self,
        facts: impl IntoIterator<Item = &'f Fact<'f>>,
        received: EventTime,
    ) -> Result<Vec<Stored>, Error> {
        let mut records = Vec::new();
        for fact in facts {
            let mut value = Vec::new();
            self.formats.encode_fact(fact, &mut value)?;
            records.push((self.topic(fact)?, fact.key(), Some(value)));
        }
        self.send_records(&records, received).await
    }

    /// A fact that goes to a topic of its own.
    pub async fn send_to(&self, topic: &Topic, fact: &Fact<'_>, received: EventTime) -> Result<(), Error> {
        let mut value = Vec::new();
        self.formats.encode_fact(fact, &mut value)?;
        self.send_records(&[(topic, fact.key(), Some(value))], received).await.map(drop)
    }

    /// From then on the topic of silences holds nothing of these ids.
    pub async fn forget_silences(&self, ids: &[String], at: EventTime) -> Result<Vec<Stored>, Error> {
        let Some(silences) = &self.sending.silences else { return Ok(Vec::new()) };
        let records: Vec<_> = ids.iter().map(|id| (silences, id.as_str(), None)).collect();
        self.send_records(&records, at).await
    }

    async fn send_records(&self, records: &[NewRecord<'_>], received: EventTime) -> Result<Vec<Stored>, Error> {
        let producer = self.producer();
        let sent = enqueue_and_await(&producer, records, received, self.sending.timeout + GRACE).await;
        if sent.is_err() && producer.client().fatal_error().is_some() {
            self.replace(&producer)?;
        }
        sent
    }

    pub fn keeps_payloads(&self) -> bool {
        self.sending.raw.is_some()
    }

    fn topic(&self, fact: &Fact<'_>) -> Result<&Topic, Error> {
        let Sending { alerts, deploys, raw, silences, responses, .. } = &self.sending;
        let topic = match fact {
            Fact::Alert(_) => Some(alerts),
            Fact::Deploy(_) => Some(deploys),
            Fact::Payload(_) => raw.as_ref(),
            Fact::Silence(_) => silences.as_ref(),
            Fact::Response(_) => responses.as_ref(),
            _ => None,
        };
        topic.ok_or_else(|| Error::NoTopic(fact.kind()))
    }

    fn producer(&self) -> Arc<ThreadedProducer<Reports>> {
        self.producer.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// An idempotent producer with a fatal error refuses everything from then on; the next one starts afresh.
    fn replace(&self, failed: &Arc<ThreadedProducer<Reports>>) -> Result<(), Error> {
        let mut current = self.producer.lock().unwrap_or_else(PoisonError::into_inner);
        if Arc::ptr_eq(&current, failed) {
            tracing::warn!(error = ?failed.client().fatal_error(), "the ingest producer failed for good and is replaced");
            *current = Arc::new(producer(&self.sending)?);
        }
        Ok(())
    }
}

fn producer(sending: &Sending) -> Result<ThreadedProducer<Reports>, Error> {
    let mut config: ClientConfig = sending.connection.producer();
    config
        .set("message.timeout.ms", sending.timeout.as_millis().to_string())
        // Back within a second after a broker is back, rather than ten.
        .set("reconnect.backoff.max.ms", "1000");
    let made = config.create_with_context(Reports(sending.connection.clone()));
    made.map_err(|error| Error::Configuration(unusable(&error)))
}

async fn enqueue_and_await(
    producer: &ThreadedProducer<Reports>,
    records: &[NewRecord<'_>],
    received: EventTime,
    patience: Duration,
) -> Result<Vec<Stored>, Error> {
    let (request, mut fates) = mpsc::channel(records.len().max(1));
    for (number, (topic, key, value)) in records.iter().enumerate() {
        let record = BaseRecord::with_opaque_to(topic.as_str(), Box::new((number, request.clone())));
        let record = record.key(*key).timestamp(received.0);
        let record = match value {
            Some(value) => record.payload(value),
            None => record,
        };
        producer.send(record).map_err(|(error, _)| refused(&error, topic))?;
    }
    drop(request);
    let all = async {
        let mut stored = Vec::with_capacity(records.len());
        while let Some((number, fate)) = fates.recv().await {
            let place = fate.map_err(|error| refused(&error, records[number].0))?;
            stored.push((number, stored_at(records[number].0, place)?));
        }
        // A producer that goes away drops what it held without a word: only what was told counts.
        if stored.len() < records.len() {
            return Err(Error::Unavailable("the producer was closed".to_owned()));
        }
        stored.sort_by_key(|(number, _)| *number);
        Ok(stored.into_iter().map(|(_, stored)| stored).collect())
    };
    tokio::time::timeout(patience, all)
        .await
        .unwrap_or_else(|_| Err(Error::Unavailable("no answer in time".to_owned())))
}

/// librdkafka takes a record whose request broke off for stored once a later one of its partition is, and then knows no offset. But a
/// broker to which the producer is new takes the later one without it: only an offset is an acknowledgement.
fn stored_at(topic: &Topic, (partition, offset): (Partition, Offset)) -> Result<Stored, Error> {
    if offset < Offset(0) {
        return Err(Error::Unavailable("the connection broke, and whether it is stored is not certain".to_owned()));
    }
    Ok(Stored { topic: topic.clone(), partition, offset })
}

pub(super) fn refused(error: &KafkaError, topic: &Topic) -> Error {
    match error.rdkafka_error_code() {
        Some(RDKafkaErrorCode::TopicAuthorizationFailed) => {
            // Senders are told to try again; this is for who can mend it.
            let denied = log::denied("Write", &format!("topic {topic}"));
            tracing::error!("{denied}");
            Error::Unavailable(denied)
        }
        Some(RDKafkaErrorCode::MessageSizeTooLarge) => Error::TooLarge,
        Some(code) => Error::Unavailable(code.to_string()),
        None => Error::Unavailable(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Deploy, DeployKind, DeployOutcome};

    fn sender() -> Sender {
        let sending = Sending {
            // Port 1 is never listened on: nothing can be stored there.
            connection: Connection::new("127.0.0.1:1"),
            alerts: "alerts".into(),
            deploys: "deploys".into(),
            raw: None,
            silences: None,
            responses: None,
            samples: None,
            timeout: Duration::from_millis(300),
        };
        Sender::new(sending, Arc::new(Formats::shipped())).unwrap()
    }

    fn deploy() -> Fact<'static> {
        Fact::Deploy(Deploy {
            id: "run-1".into(),
            source: "api".into(),
            service: "checkout".into(),
            environment: None,
            kind: DeployKind::Deploy,
            outcome: DeployOutcome::Succeeded,
            version: "v42".into(),
            revision: None,
            actor: None,
            url: None,
            started_at_ms: None,
            finished_at_ms: None,
        })
    }

    #[test]
    fn what_has_no_offset_is_not_acknowledged() {
        let topic = Topic::from("alerts");
        let stored = stored_at(&topic, (Partition(1), Offset(0))).unwrap();
        assert_eq!((stored.partition, stored.offset), (Partition(1), Offset(0)));
        // As librdkafka writes that it knows none.
        assert!(matches!(stored_at(&topic, (Partition(1), Offset(-1001))), Err(Error::Unavailable(_))));
    }

    #[tokio::test]
    async fn a_fact_that_no_topic_is_named_for_goes_nowhere() {
        let json = include_str!("../../schemas/examples/response/minimal.json");
        let response = FactKind::Response.read_json(json).unwrap();
        let sent = sender().send(&[response], EventTime(1)).await;
        assert!(matches!(sent, Err(Error::NoTopic(FactKind::Response))), "{sent:?}");
    }

    #[tokio::test]
    async fn without_a_broker_it_fails_in_time_and_nothing_to_send_is_no_failure() {
        let sender = sender();
        assert!(matches!(sender.send(&[deploy()], EventTime(1)).await, Err(Error::Unavailable(_))));
        assert!(sender.send(&[], EventTime(1)).await.is_ok());
    }

    #[tokio::test]
    #[expect(unsafe_code, reason = "only librdkafka itself can be told to fail for good")]
    async fn a_producer_that_failed_for_good_is_replaced() {
        let sender = sender();
        let failed = sender.producer();
        let code = rdkafka_sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER;
        // SAFETY: the client lives as long as `failed`, and librdkafka copies the reason.
        unsafe { rdkafka_sys::rd_kafka_test_fatal_error(failed.client().native_ptr(), code, c"a test".as_ptr()) };
        assert!(sender.send(&[deploy()], EventTime(1)).await.is_err());
        let next = sender.producer();
        assert!(!Arc::ptr_eq(&failed, &next) && next.client().fatal_error().is_none());
    }
}
