//! How every Kafka client of fairlead is configured: one place for addresses, security and defaults.
//!
//! Any librdkafka property passes through `properties`; what correctness rests on (read_committed, no automatic commits,
//! murmur2 partitioning, idempotence) is set after them and cannot be overridden. Secrets are never printed.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;

use super::Error;
use super::outage::Outage;
use super::token::{self, Token};

/// How to reach one Kafka cluster.
#[derive(Clone, Default)]
pub struct Connection {
    /// `host:port`, comma separated.
    pub bootstrap_servers: String,
    /// librdkafka properties (`security.protocol`, `sasl.*`, `ssl.*`, …).
    pub properties: BTreeMap<String, String>,
    /// The newest, of all clients.
    token: Arc<Mutex<Option<Token>>>,
    outage: Arc<Outage>,
}

impl Connection {
    pub fn new(bootstrap_servers: &str) -> Self {
        Self { bootstrap_servers: bootstrap_servers.to_owned(), ..Self::default() }
    }

    /// Where all its clients tell that no broker answers.
    pub fn outage(&self) -> &Arc<Outage> {
        &self.outage
    }

    /// For SASL OAUTHBEARER with a token endpoint: the token to use now, perhaps a new one. `None` without such an endpoint.
    pub fn token(&self) -> Result<Option<Token>, Error> {
        let mut at_hand = self.token.lock().map_err(|_| Error::Fatal("fetching a token panicked".into()))?;
        token::current(&self.properties, &mut at_hand)
    }

    /// For admin calls and look-ups.
    pub fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        // librdkafka's own bound is 10 s, as long as a transaction may take: a broker that is back is to be heard of sooner.
        config.set("reconnect.backoff.max.ms", "1000");
        for (name, value) in self.properties.iter().filter(|(name, _)| !token::is_ours(&self.properties, name)) {
            config.set(name, value);
        }
        config.set("bootstrap.servers", &self.bootstrap_servers).set("client.id", "fairlead");
        config
    }

    /// A member of `group` that reads committed records only and commits nothing by itself.
    pub fn consumer(&self, group: &str) -> ClientConfig {
        let mut config = self.client();
        config
            .set("group.id", group)
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("isolation.level", "read_committed")
            // Only `range` gives one member the same partition number of every topic, which joins need.
            .set("partition.assignment.strategy", "range");
        config
    }

    /// Idempotent, acknowledged by all replicas, partitioned as Java's default producer does.
    pub fn producer(&self) -> ClientConfig {
        let mut config = self.client();
        config.set("enable.idempotence", "true").set("acks", "all").set("partitioner", "murmur2_random");
        config
    }
}

/// What is wrong with the properties of a client that could not be made. Never with a value: it may be a secret.
pub fn unusable(error: &KafkaError) -> Error {
    Error::Fatal(match error {
        KafkaError::ClientConfig(_, _, name, _) if name.starts_with(token::PREFIX) => format!(
            "kafka.properties.{name} is not supported: fairlead itself fetches tokens, by client credentials alone, from \
             {endpoint}, with .client.id, .client.secret and .scope",
            endpoint = token::ENDPOINT
        ),
        KafkaError::ClientConfig(_, _, name, _) => {
            format!("kafka.properties.{name}: librdkafka knows no such property, or not with this value")
        }
        KafkaError::ClientCreation(why) => format!(
            "kafka.properties: {why} (this build speaks PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 and OAUTHBEARER; tokens of an \
             endpoint need {})",
            token::ENDPOINT
        ),
        error => format!("kafka.properties: {error}"),
    })
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Values may be secrets: only the names are shown.
        let properties: Vec<_> = self.properties.keys().collect();
        f.debug_struct("Connection")
            .field("bootstrap_servers", &self.bootstrap_servers)
            .field("properties", &properties)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_pass_through_but_not_over_what_correctness_rests_on() {
        let mut connection = Connection::new("localhost:9092");
        connection.properties.insert("sasl.password".into(), "hush".into());
        connection.properties.insert("enable.auto.commit".into(), "true".into());
        let consumer = connection.consumer("g");
        assert_eq!(consumer.get("sasl.password"), Some("hush"));
        assert_eq!(consumer.get("enable.auto.commit"), Some("false"));
        assert_eq!(connection.producer().get("partitioner"), Some("murmur2_random"));
        assert!(!format!("{connection:?}").contains("hush"));
    }
}
