//! How a cluster is logged into: what the properties of a connection say, TLS, SASL.
//!
//! The properties have librdkafka's names, so that one section serves both clients; what this one cannot do is an error that says
//! so, never a weaker login. No secret is told.

mod sasl;
mod scram;
mod tls;

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::net::TcpStream;

use super::connection::{Address, Failure, Stream, Wire};
use super::error::Error;
use crate::log::client::Connection;

/// By default in the clear, as nobody.
#[derive(Default)]
pub struct Login {
    tls: Option<tls::Connector>,
    sasl: Option<sasl::Mechanism>,
}

impl Login {
    pub fn of(connection: &Connection) -> Result<Login, Error> {
        let properties = &connection.properties;
        let protocol = properties.get("security.protocol").map_or("plaintext", String::as_str).to_ascii_lowercase();
        let (encrypted, named) = match &*protocol {
            "plaintext" => (false, false),
            "ssl" => (true, false),
            "sasl_plaintext" => (false, true),
            "sasl_ssl" => (true, true),
            _ => {
                return Err(Error::Unusable(format!(
                    "security.protocol: {protocol} is none of plaintext, ssl, sasl_plaintext, sasl_ssl"
                )));
            }
        };
        let tls = encrypted.then(|| tls::Connector::of(properties)).transpose()?;
        let sasl = named.then(|| sasl::Mechanism::of(connection)).transpose()?;
        Ok(Login { tls, sasl })
    }

    pub(super) async fn secure(&self, address: &Address, tcp: TcpStream) -> Result<Box<dyn Stream>, Failure> {
        match &self.tls {
            None => Ok(Box::new(tcp)),
            Some(connector) => connector.connect(address, tcp).await,
        }
    }

    /// How long the broker lets it last, if it ends at all.
    pub(super) async fn log_in(&self, wire: &mut Wire) -> Result<Option<Duration>, Failure> {
        match &self.sasl {
            None => Ok(None),
            Some(mechanism) => mechanism.log_in(wire).await,
        }
    }
}

/// A property that must be there.
fn required<'a>(properties: &'a BTreeMap<String, String>, name: &str, whose: &str) -> Result<&'a str, Error> {
    let missing = || Error::Unusable(format!("the property {name} is missing; {whose} needs it"));
    properties.get(name).map(String::as_str).ok_or_else(missing)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(properties: &[(&str, &str)]) -> String {
        let mut connection = Connection::new("localhost:9092");
        connection.properties = properties.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        Login::of(&connection).err().map_or_else(String::new, |error| error.to_string())
    }

    #[test]
    fn what_is_wrong_with_a_property_is_told_without_its_secret() {
        assert_eq!(refused(&[]), "");
        assert_eq!(refused(&[("security.protocol", "SSL")]), "");
        let sasl = |more: &[(&str, &str)]| refused(&[&[("security.protocol", "sasl_ssl")], more].concat());
        for (told, reason) in [
            (refused(&[("security.protocol", "tls")]), "security.protocol: tls is none of"),
            (sasl(&[]), "sasl.mechanism"),
            (sasl(&[("sasl.mechanism", "GSSAPI")]), "this client speaks PLAIN"),
            (sasl(&[("sasl.mechanisms", "PLAIN"), ("sasl.username", "a")]), "sasl.password is missing"),
            (sasl(&[("sasl.mechanism", "OAUTHBEARER")]), "sasl.oauthbearer.token.endpoint.url is missing"),
            (
                refused(&[("security.protocol", "ssl"), ("ssl.ca.location", "/nowhere.pem")]),
                "ssl.ca.location: /nowhere.pem",
            ),
            (
                refused(&[("security.protocol", "ssl"), ("ssl.crl.location", "hush")]),
                "ssl.crl.location: this client cannot",
            ),
            (refused(&[("security.protocol", "ssl"), ("ssl.ca.pem", "hush")]), "ssl.ca.pem: no certificate"),
            (refused(&[("security.protocol", "ssl"), ("ssl.key.pem", "hush")]), "ssl.certificate.pem"),
        ] {
            assert!(told.contains(reason) && !told.contains("hush"), "{reason}: {told:?}");
        }
        let login = [("sasl.mechanism", "SCRAM-SHA-512"), ("sasl.username", "a"), ("sasl.password", "hush")];
        assert_eq!(sasl(&login), "");
    }
}
