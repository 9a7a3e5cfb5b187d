//! The first call on a cluster: which topics there are, or what is wrong with the way there.
//!
//! librdkafka goes on trying for ever, whatever the reason. Here a login that is refused, or a certificate that cannot be
//! trusted, ends the start at once, with what to mend; a broker that is merely away is waited for. No secret is told.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::Error;
use super::client::Connection;
use super::token::Login;

/// How long a broker may take to come up.
const PATIENCE: Duration = Duration::from_secs(30);
/// Of the first attempt; each further one may take twice as long.
const ATTEMPT: Duration = Duration::from_secs(1);

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

impl ConsumerContext for Watch {}

fn lasts(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SSL | RDKafkaErrorCode::SaslAuthenticationFailed
    )
}

/// The topics that may be seen, and how many partitions each has. Gives way to other work between attempts.
pub async fn topics(connection: &Connection) -> Result<BTreeMap<String, usize>, Error> {
    let client: BaseConsumer<Watch> =
        connection.client().create_with_context(Watch::default()).map_err(|error| configuration(&error))?;
    Login::new(connection).refresh(client.client())?;
    let until = Instant::now() + PATIENCE;
    let mut attempt = ATTEMPT;
    loop {
        let failed = match client.fetch_metadata(None, attempt) {
            Ok(metadata) => {
                let topics = metadata.topics().iter();
                return Ok(topics.map(|topic| (topic.name().to_owned(), topic.partitions().len())).collect());
            }
            Err(error) => error,
        };
        // Serves the errors told meanwhile.
        while client.poll(Duration::ZERO).is_some() {}
        let seen = client.context().0.lock().ok().and_then(|seen| seen.clone());
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

/// Never with a value: it may be a secret.
fn configuration(error: &KafkaError) -> Error {
    Error::Fatal(match error {
        KafkaError::ClientConfig(_, _, name, _) => {
            format!("kafka.properties.{name}: librdkafka knows no such property, or not with this value")
        }
        KafkaError::ClientCreation(why) => format!(
            "kafka.properties: {why} (this build speaks PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 and OAUTHBEARER; tokens of an \
             endpoint need sasl.oauthbearer.token.endpoint.url)"
        ),
        error => format!("kafka.properties: {error}"),
    })
}
