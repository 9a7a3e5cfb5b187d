//! Samples into Kafka: all of a request acknowledged, or not, and nothing in between that a sender must know of.
//!
//! A producer of their own, so that a flood of samples does not fill the queue in which an alert waits. Invariants: what waits in it is
//! bounded, and what does not fit is refused at once, to be sent again. One sample costs a record and no channel: a request's records
//! share one count of what is still owed.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::client::OAuthToken;
use rdkafka::error::KafkaError;
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};
use tokio::sync::Notify;

use super::door::Kept;
use crate::codec::Formats;
use crate::event::{Fact, Sample, Text};
use crate::ingest::send::{Error, refused, token};
use crate::log::client::{Connection, unusable};
use crate::record::{EventTime, Topic};

/// What librdkafka needs beyond its own deadline to tell of it.
const GRACE: Duration = Duration::from_secs(2);

pub struct SampleSender {
    connection: Connection,
    topic: Topic,
    timeout: Duration,
    formats: Arc<Formats>,
    /// Replaced when it has failed for good.
    producer: Mutex<Arc<ThreadedProducer<Acks>>>,
}

struct Acks(Connection);

/// What a request waits for.
#[derive(Debug)]
struct Owed {
    left: AtomicUsize,
    /// The first of them; one is enough.
    failed: OnceLock<Error>,
    changed: Notify,
}

impl Owed {
    fn failed(&self, error: Error) {
        // An earlier one is told.
        let _ = self.failed.set(error);
        self.changed.notify_one();
    }
}

impl ClientContext for Acks {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn error(&self, error: KafkaError, reason: &str) {
        self.0.outage().hear(error, reason);
    }

    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        token(&self.0)
    }
}

impl ProducerContext for Acks {
    type DeliveryOpaque = Arc<Owed>;

    fn delivery(&self, result: &DeliveryResult<'_>, owed: Arc<Owed>) {
        match result {
            Ok(message) if message.offset() >= 0 => {
                if owed.left.fetch_sub(1, Ordering::AcqRel) == 1 {
                    self.0.outage().answered();
                    owed.changed.notify_one();
                }
            }
            // Only an offset is an acknowledgement.
            Ok(_) => owed.failed(Error::Unavailable("whether it is stored is not certain".to_owned())),
            Err((error, message)) => owed.failed(refused(error, &Topic::from(message.topic()))),
        }
    }
}

impl SampleSender {
    pub fn new(connection: Connection, topic: Topic, timeout: Duration, formats: Arc<Formats>) -> Result<Self, Error> {
        let producer = Mutex::new(Arc::new(producer(&connection, timeout)?));
        Ok(Self { connection, topic, timeout, formats, producer })
    }

    /// `received` becomes the records' timestamp.
    pub async fn send(&self, samples: &[Kept], received: EventTime) -> Result<(), Error> {
        if samples.is_empty() {
            return Ok(());
        }
        let producer = self.producer.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let sent = match self.enqueue(&producer, samples, received) {
            Ok(owed) => settled(&owed, self.timeout + GRACE).await,
            Err(error) => Err(error),
        };
        if sent.is_err() && producer.client().fatal_error().is_some() {
            self.replace(&producer)?;
        }
        sent
    }

    fn enqueue(
        &self,
        producer: &ThreadedProducer<Acks>,
        samples: &[Kept],
        received: EventTime,
    ) -> Result<Arc<Owed>, Error> {
        let owed =
            Arc::new(Owed { left: AtomicUsize::new(samples.len()), failed: OnceLock::new(), changed: Notify::new() });
        let mut value = Vec::new();
        for Kept { series, at_ms, value: measured } in samples {
            value.clear();
            let sample = Sample { series: Text::from(&**series), at_ms: *at_ms, value: *measured };
            self.formats.encode_fact(&Fact::Sample(sample), &mut value)?;
            let record = BaseRecord::with_opaque_to(self.topic.as_str(), Arc::clone(&owed));
            let record = record.key(&**series).payload(&value).timestamp(received.0);
            producer.send(record).map_err(|(error, _)| refused(&error, &self.topic))?;
        }
        Ok(owed)
    }

    fn replace(&self, failed: &Arc<ThreadedProducer<Acks>>) -> Result<(), Error> {
        let mut current = self.producer.lock().unwrap_or_else(PoisonError::into_inner);
        if Arc::ptr_eq(&current, failed) {
            *current = Arc::new(producer(&self.connection, self.timeout)?);
        }
        Ok(())
    }
}

async fn settled(owed: &Owed, patience: Duration) -> Result<(), Error> {
    let all = async {
        loop {
            if let Some(error) = owed.failed.get() {
                return Err(Error::Unavailable(error.to_string()));
            }
            if owed.left.load(Ordering::Acquire) == 0 {
                return Ok(());
            }
            owed.changed.notified().await;
        }
    };
    tokio::time::timeout(patience, all)
        .await
        .unwrap_or_else(|_| Err(Error::Unavailable("no answer in time".to_owned())))
}

fn producer(connection: &Connection, timeout: Duration) -> Result<ThreadedProducer<Acks>, Error> {
    let mut config = connection.producer();
    config
        .set("message.timeout.ms", timeout.as_millis().to_string())
        .set("reconnect.backoff.max.ms", "1000")
        // A batch's samples repeat most of their labels.
        .set("compression.type", "lz4")
        .set("queue.buffering.max.messages", "500000")
        .set("queue.buffering.max.kbytes", "65536");
    let made = config.create_with_context(Acks(connection.clone()));
    made.map_err(|error| Error::Configuration(unusable(&error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn without_a_broker_it_fails_in_time_and_nothing_to_send_is_no_failure() {
        // Port 1 is never listened on.
        let (connection, formats) = (Connection::new("127.0.0.1:1"), Arc::new(Formats::shipped()));
        let sender = SampleSender::new(connection, "samples".into(), Duration::from_millis(300), formats).unwrap();
        let sample = Kept { series: "up".into(), at_ms: 1, value: 1.0 };
        let sent = sender.send(&[sample.clone(), sample], EventTime(1)).await;
        assert!(matches!(sent, Err(Error::Unavailable(_))), "{sent:?}");
        assert!(sender.send(&[], EventTime(1)).await.is_ok());
    }
}
