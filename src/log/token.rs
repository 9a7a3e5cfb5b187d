//! Tokens for SASL OAUTHBEARER from a token endpoint: OAuth's client credentials grant, which Kafka calls OIDC (KIP-768).
//!
//! librdkafka would ask the endpoint through libcurl, which is not built in. So the properties have its names, but are read
//! here, and the token is handed to each client. One token serves all clients of a connection; it is renewed when four
//! fifths of its life are over, and used to its end when the endpoint is away. Neither secret nor token is ever told. Not here: SASL
//! extensions (librdkafka refuses the property, as it does all that wants libcurl).

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rdkafka::client::{Client, ClientContext};
use reqwest::{Certificate, Url, redirect};
use serde::Deserialize;

use super::Error;
use super::client::Connection;
use super::kafka::set_token;

/// Of the properties of such tokens.
pub(super) const PREFIX: &str = "sasl.oauthbearer.";
pub(super) const ENDPOINT: &str = "sasl.oauthbearer.token.endpoint.url";
const CLIENT_ID: &str = "sasl.oauthbearer.client.id";
const CLIENT_SECRET: &str = "sasl.oauthbearer.client.secret";
const SCOPE: &str = "sasl.oauthbearer.scope";
const CA: &str = "https.ca.location";
/// What librdkafka must not see, for without libcurl it refuses them.
const OURS: [&str; 6] = ["sasl.oauthbearer.method", ENDPOINT, CLIENT_ID, CLIENT_SECRET, SCOPE, CA];

const CALL: Duration = Duration::from_secs(5);
/// How soon an endpoint that was away is asked again while the old token lives.
const RETRY: Duration = Duration::from_secs(5);
const ANSWER_BYTES_MAX: usize = 256 << 10;

/// Whether tokens are fetched here, and so whether the property is none of librdkafka's.
pub(super) fn is_ours(properties: &BTreeMap<String, String>, name: &str) -> bool {
    properties.contains_key(ENDPOINT) && OURS.contains(&name)
}

#[derive(Clone)]
pub struct Token {
    pub text: String,
    /// Milliseconds since 1970.
    pub expires_ms: i64,
    /// The client that it was given to.
    pub principal: String,
    renew: Instant,
    expires: Instant,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(hidden)")
    }
}

/// Keeps one client's token fresh. Does nothing for a connection that fetches none.
pub struct Login {
    connection: Connection,
    renew: Option<Instant>,
}

impl Login {
    pub fn new(connection: &Connection) -> Self {
        Self { connection: connection.clone(), renew: None }
    }

    /// To be called before a client is first used and then from time to time; asks the endpoint at most, and seldom.
    pub fn refresh<C: ClientContext>(&mut self, client: &Client<C>) -> Result<(), Error> {
        if self.renew.is_some_and(|renew| Instant::now() < renew) {
            return Ok(());
        }
        if let Some(token) = self.connection.token()? {
            set_token(client, &token).map_err(Error::Fatal)?;
            self.renew = Some(token.renew);
        }
        Ok(())
    }
}

/// The token to use now: the one at hand, or a new one. `None`: this connection fetches none.
pub(super) fn current(
    properties: &BTreeMap<String, String>,
    at_hand: &mut Option<Token>,
) -> Result<Option<Token>, Error> {
    if !properties.contains_key(ENDPOINT) {
        return Ok(None);
    }
    let now = Instant::now();
    match at_hand {
        Some(token) if now < token.renew => {}
        _ => match (fetch(properties), &mut *at_hand) {
            (Ok(token), _) => *at_hand = Some(token),
            (Err(error), Some(token)) if now < token.expires => {
                tracing::warn!(%error, "the old token is used for now");
                token.renew = now + RETRY;
            }
            // It was right once: the endpoint, not the configuration, is to be mended.
            (Err(error), Some(_)) => return Err(Error::Unavailable(error.to_string())),
            (Err(error), None) => return Err(error),
        },
    }
    Ok(at_hand.clone())
}

/// On a thread of its own: callers are on async and on plain threads.
fn fetch(properties: &BTreeMap<String, String>) -> Result<Token, Error> {
    let ask = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.map_err(|error| Error::Unavailable(error.to_string()))?.block_on(ask(properties))
    };
    std::thread::scope(|scope| scope.spawn(ask).join())
        .unwrap_or_else(|_| Err(Error::Fatal("fetching a token panicked".into())))
}

#[derive(Deserialize)]
struct Granted {
    access_token: String,
    expires_in: u32,
}

#[derive(Deserialize)]
struct Refused {
    error: String,
}

async fn ask(properties: &BTreeMap<String, String>) -> Result<Token, Error> {
    let option = |name: &str| {
        let missing = || Error::Fatal(format!("kafka.properties.{name} is missing; tokens of {ENDPOINT} need it"));
        properties.get(name).ok_or_else(missing)
    };
    let (url, id, secret) = (option(ENDPOINT)?, option(CLIENT_ID)?, option(CLIENT_SECRET)?);
    // The query of a URL is encoded as a form's body is.
    let mut form = Url::parse(url).map_err(|error| Error::Fatal(format!("kafka.properties.{ENDPOINT}: {error}")))?;
    let endpoint = form.clone();
    form.query_pairs_mut().clear().append_pair("grant_type", "client_credentials");
    if let Some(scope) = properties.get(SCOPE) {
        form.query_pairs_mut().append_pair("scope", scope);
    }
    let request = client(properties.get(CA))?
        .post(endpoint.clone())
        .basic_auth(id, Some(secret))
        .header("content-type", "application/x-www-form-urlencoded")
        .header("accept", "application/json")
        .body(form.query().unwrap_or_default().to_owned());
    let away = |error: reqwest::Error| {
        let mut told = format!("the token endpoint {url} does not answer: {error}");
        let mut cause: Option<&dyn std::error::Error> = std::error::Error::source(&error);
        while let Some(error) = cause {
            told += &format!(": {error}");
            cause = error.source();
        }
        Error::Unavailable(told)
    };
    let asked = Instant::now();
    let mut answer = request.send().await.map_err(away)?;
    let (status, mut body) = (answer.status(), Vec::new());
    while let Some(chunk) = answer.chunk().await.map_err(away)? {
        body.extend_from_slice(&chunk);
        if body.len() > ANSWER_BYTES_MAX {
            return Err(Error::Fatal(format!(
                "the token endpoint {url} answers with more than {ANSWER_BYTES_MAX} bytes"
            )));
        }
    }
    if status.is_client_error() {
        let why = serde_json::from_slice::<Refused>(&body).map(|refused| refused.error).unwrap_or_default();
        let mend = format!("check kafka.properties.{CLIENT_ID} and .{CLIENT_SECRET}, and the scope");
        return Err(Error::Fatal(format!("the token endpoint {url} refuses client `{id}`: {status} {why}; {mend}")));
    }
    if !status.is_success() {
        return Err(Error::Unavailable(format!("the token endpoint {url} answers with {status}")));
    }
    let granted: Granted = serde_json::from_slice(&body).map_err(|_| {
        Error::Fatal(format!(
            "the token endpoint {url} answers without access_token and expires_in; is it the right URL?"
        ))
    })?;
    let life = Duration::from_secs(granted.expires_in.into());
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default() + life;
    Ok(Token {
        text: granted.access_token,
        expires_ms: i64::try_from(wall.as_millis()).unwrap_or(i64::MAX),
        principal: id.clone(),
        renew: asked + life.mul_f32(0.8),
        expires: asked + life,
    })
}

fn client(ca: Option<&String>) -> Result<reqwest::Client, Error> {
    let unusable =
        |path: &str, error: &dyn fmt::Display| Error::Fatal(format!("kafka.properties.{CA}: {path}: {error}"));
    let mut builder = reqwest::Client::builder().timeout(CALL).redirect(redirect::Policy::none());
    if let Some(path) = ca {
        let pem = std::fs::read(path).map_err(|error| unusable(path, &error))?;
        let certificate = Certificate::from_pem(&pem).map_err(|error| unusable(path, &error))?;
        builder = builder.add_root_certificate(certificate);
    }
    builder.build().map_err(|error| Error::Fatal(format!("no http client: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_an_endpoint_no_token_is_fetched_and_every_property_is_librdkafkas() {
        let properties = BTreeMap::from([(CA.to_owned(), "/ca.pem".to_owned())]);
        assert!(current(&properties, &mut None).unwrap().is_none());
        assert!(!is_ours(&properties, CA));
    }

    #[test]
    fn what_is_missing_for_a_token_is_told() {
        let properties = BTreeMap::from([(ENDPOINT.to_owned(), "http://127.0.0.1:1/".to_owned())]);
        let error = current(&properties, &mut None).unwrap_err();
        assert!(matches!(&error, Error::Fatal(told) if told.contains(CLIENT_ID)), "{error:?}");
    }
}
