//! The first call on a cluster: which topics there are, or what is wrong with the way there.
//!
//! librdkafka goes on trying for ever, whatever the reason. Here a login that is refused, or a certificate that cannot be
//! trusted, ends the start at once, with what to mend; a broker that is merely away is waited for. No secret is told.
//!
//! The client is a producer, though nothing is produced: its own thread takes in what librdkafka tells, while we wait.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{Producer, ProducerContext, ThreadedProducer};

use super::Error;
use super::client::{Connection, unusable};
use super::token::Login;

/// Of the first attempt; each further one may take twice as long, for what is refused is heard of between them.
const ATTEMPT: Duration = Duration::from_millis(100);

/// The newest error; one that will not pass is kept.
#[derive(Default)]
struct Watch(Mutex<Option<(RDKafkaErrorCode, String)>>);

impl ClientContext for Watch {
    fn error(&self, error: KafkaError, reason: &str) {
        let Ok(mut seen) = self.0.lock() else { return };
        if let (Some(code), false) = (error.rdkafka_error_code(), seen.as_ref().is_some_and(|(code, _)| lasts(*code))) {
            // Telling that all brokers are down says less than why.
            if seen.is_none() || code != RDKafkaErrorCode::AllBrokersDown {
                *seen = Some((code, reason.to_owned()));
            }
        }
    }
}

impl ProducerContext for Watch {
    type DeliveryOpaque = ();

    fn delivery(&self, _: &DeliveryResult<'_>, (): ()) {}
}

fn lasts(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SSL | RDKafkaErrorCode::SaslAuthenticationFailed
    )
}

/// The topics that may be seen, and how many partitions each has; within `patience`. Gives way to other work between attempts.
pub async fn topics(connection: &Connection, patience: Duration) -> Result<BTreeMap<String, usize>, Error> {
    let client: ThreadedProducer<Watch> =
        connection.client().create_with_context(Watch::default()).map_err(|error| unusable(&error))?;
    let (mut login, until) = (Login::new(connection), Instant::now() + patience);
    let mut attempt = ATTEMPT;
    loop {
        login.refresh(client.client())?;
        let failed = match client.client().fetch_metadata(None, attempt) {
            Ok(metadata) => {
                let topics = metadata.topics().iter();
                return Ok(topics.map(|topic| (topic.name().to_owned(), topic.partitions().len())).collect());
            }
            Err(error) => error,
        };
        let seen = client.client().context().0.lock().ok().and_then(|seen| seen.clone());
        match seen {
            Some((code, reason)) if lasts(code) => return Err(refused(code, &reason)),
            _ if Instant::now() < until => tokio::task::yield_now().await,
            Some((_, reason)) => return Err(Error::Unavailable(away(connection, &reason))),
            None => return Err(Error::Unavailable(away(connection, &failed.to_string()))),
        }
        attempt = (attempt * 2).min(until.saturating_duration_since(Instant::now())).max(ATTEMPT);
    }
}

fn away(connection: &Connection, reason: &str) -> String {
    let servers = &connection.bootstrap_servers;
    format!("{servers}: {reason}; is it running, are kafka.bootstrap_servers and security.protocol right?")
}

fn refused(code: RDKafkaErrorCode, reason: &str) -> Error {
    let mend = match code {
        RDKafkaErrorCode::SSL => {
            "check ssl.ca.location, the broker's certificate and its host name (kafka.properties); the check itself is not to \
             be switched off"
        }
        _ => "check sasl.mechanism and the user's name and secret (kafka.properties)",
    };
    Error::Fatal(format!("kafka cannot be logged into: {reason}; {mend}"))
}
