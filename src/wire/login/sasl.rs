//! SASL over Kafka's own calls (SaslHandshake, SaslAuthenticate): PLAIN, SCRAM, OAUTHBEARER.

use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::{SaslAuthenticateRequest, SaslHandshakeRequest};
use kafka_protocol::protocol::StrBytes;
use openssl::hash::MessageDigest;

use super::super::connection::{Failure, Wire};
use super::super::error::{Error, Refusal};
use super::required;
use super::scram::Scram;
use crate::log::client::Connection;

/// How a client says who it is, with its secrets.
pub enum Mechanism {
    Plain {
        user: String,
        password: String,
    },
    Scram {
        name: &'static str,
        user: String,
        password: String,
    },
    /// Tokens of an endpoint, which are fetched by the connection for all its clients.
    Token(Connection),
}

impl Mechanism {
    pub fn of(connection: &Connection) -> Result<Mechanism, Error> {
        let properties = &connection.properties;
        let named = properties.get("sasl.mechanism").or_else(|| properties.get("sasl.mechanisms"));
        let Some(named) = named else {
            return Err(Error::Unusable("the property sasl.mechanism is missing; security.protocol needs it".into()));
        };
        let secret = |name: &str| required(properties, name, named).map(str::to_owned);
        let scram = |name: &'static str| {
            Ok(Mechanism::Scram { name, user: secret("sasl.username")?, password: secret("sasl.password")? })
        };
        match &**named {
            "PLAIN" => Ok(Mechanism::Plain { user: secret("sasl.username")?, password: secret("sasl.password")? }),
            "SCRAM-SHA-256" => scram("SCRAM-SHA-256"),
            "SCRAM-SHA-512" => scram("SCRAM-SHA-512"),
            "OAUTHBEARER" => {
                secret("sasl.oauthbearer.token.endpoint.url")?;
                Ok(Mechanism::Token(connection.clone()))
            }
            other => Err(Error::Unusable(format!(
                "sasl.mechanism: {other}: this client speaks PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 and OAUTHBEARER"
            ))),
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Mechanism::Plain { .. } => "PLAIN",
            Mechanism::Scram { name, .. } => name,
            Mechanism::Token(_) => "OAUTHBEARER",
        }
    }

    /// How long it lasts, if the broker ends it.
    pub async fn log_in(&self, wire: &mut Wire) -> Result<Option<Duration>, Failure> {
        let name = StrBytes::from_static_str(self.name());
        let answer = wire.call(|_| SaslHandshakeRequest::default().with_mechanism(name)).await?;
        if let Err(refusal) = Refusal::check(answer.error_code, None) {
            let enabled: Vec<&str> = answer.mechanisms.iter().map(|mechanism| &**mechanism).collect();
            return Err(refused(wire, &format!("{refusal}; it enables {}", enabled.join(", "))));
        }
        match self {
            Mechanism::Plain { user, password } => {
                let message = format!("\0{user}\0{password}");
                Ok(say(wire, message.into()).await?.1)
            }
            Mechanism::Scram { name, user, password } => scram(wire, name, user, password).await,
            Mechanism::Token(connection) => bearer(wire, connection).await,
        }
    }
}

async fn scram(wire: &mut Wire, name: &str, user: &str, password: &str) -> Result<Option<Duration>, Failure> {
    let mut random = [0; 24];
    openssl::rand::rand_bytes(&mut random)
        .map_err(|error| Error::Unusable(format!("no random number can be had: {error}")))?;
    let digest = match name {
        "SCRAM-SHA-256" => MessageDigest::sha256(),
        _ => MessageDigest::sha512(),
    };
    let scram = Scram::new(digest, user, password, &hex::encode(random));
    let (challenge, _) = say(wire, scram.first().into()).await?;
    let proof = scram.prove(&challenge).map_err(|why| refused(wire, &why))?;
    let (answer, session) = say(wire, proof.message.clone().into()).await?;
    proof.check(&answer).map_err(|why| refused(wire, &why))?;
    Ok(session)
}

/// RFC 7628. A server that refuses a token says why in a challenge, and does so only after the client has taken note.
async fn bearer(wire: &mut Wire, connection: &Connection) -> Result<Option<Duration>, Failure> {
    let connection = connection.clone();
    let token = tokio::task::spawn_blocking(move || connection.token()).await;
    let token = match token {
        Ok(Ok(Some(token))) => token.text,
        Ok(Ok(None)) => return Err(Error::Unusable("no token endpoint is configured".into()).into()),
        Ok(Err(crate::log::Error::Unavailable(why))) => return Err(Failure::Passing(why)),
        Ok(Err(error)) => return Err(Error::Unusable(error.to_string()).into()),
        Err(error) => return Err(Failure::Passing(format!("fetching a token did not end: {error}"))),
    };
    let (challenge, session) = say(wire, format!("n,,\u{1}auth=Bearer {token}\u{1}\u{1}").into()).await?;
    if challenge.is_empty() {
        return Ok(session);
    }
    say(wire, Bytes::from_static(b"\x01")).await?;
    Err(refused(wire, &String::from_utf8_lossy(&challenge)))
}

/// One message of the exchange: the server's answer, and how long a login that it completes lasts.
async fn say(wire: &mut Wire, message: Bytes) -> Result<(Bytes, Option<Duration>), Failure> {
    let answer = wire.call(|_| SaslAuthenticateRequest::default().with_auth_bytes(message)).await?;
    match ResponseError::try_from_code(answer.error_code) {
        None => {
            let life = u64::try_from(answer.session_lifetime_ms).ok().filter(|life| *life > 0);
            Ok((answer.auth_bytes, life.map(Duration::from_millis)))
        }
        Some(error) => {
            let told = answer.error_message.filter(|told| !told.is_empty());
            Err(refused(wire, &told.map_or_else(|| error.to_string(), |told| told.to_string())))
        }
    }
}

fn refused(wire: &Wire, why: &str) -> Failure {
    Failure::Lasting(Error::Unusable(format!(
        "kafka cannot be logged into: {}: {why}; check sasl.mechanism and the user's name and secret",
        wire.address()
    )))
}
