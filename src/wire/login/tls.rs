//! TLS to a broker: whom to trust, and the client's own certificate, by librdkafka's properties.
//!
//! As there: who names an authority trusts it alone; the broker's name is checked unless the properties say otherwise.

use std::collections::BTreeMap;
use std::error::Error as _;
use std::io;

use openssl::pkey::PKey;
use tokio::net::TcpStream;
use tokio_native_tls::native_tls::{self, Certificate, Identity, TlsConnector};

use super::super::connection::{Address, Failure, Stream};
use super::super::error::Error;

type Properties = BTreeMap<String, String>;

const CA: &str = "ssl.ca.location";
const CA_PEM: &str = "ssl.ca.pem";
const KEYSTORE: &str = "ssl.keystore.location";

/// Leaving these aside would be a weaker check than was asked for.
const UNHEARD: [&str; 3] = ["ssl.crl.location", "ssl.engine.location", "ssl.providers"];

pub struct Connector(tokio_native_tls::TlsConnector);

impl Connector {
    pub fn of(properties: &Properties) -> Result<Connector, Error> {
        let is = |name: &str, value: &str| properties.get(name).is_some_and(|found| found.eq_ignore_ascii_case(value));
        if let Some(name) = UNHEARD.iter().find(|name| properties.contains_key(**name)) {
            return Err(unusable(
                name,
                &"this client cannot go by it; leave it out, or have the cluster reached another way",
            ));
        }
        let mut builder = TlsConnector::builder();
        builder.danger_accept_invalid_certs(is("enable.ssl.certificate.verification", "false"));
        builder.danger_accept_invalid_hostnames(is("ssl.endpoint.identification.algorithm", "none"));
        if let Some((name, pem)) = authorities(properties)? {
            let certificates = Certificate::stack_from_pem(&pem).map_err(|error| unusable(name, &error))?;
            if certificates.is_empty() {
                return Err(unusable(name, &"no certificate in PEM is in there"));
            }
            builder.disable_built_in_roots(true);
            for certificate in certificates {
                builder.add_root_certificate(certificate);
            }
        }
        if let Some(identity) = identity(properties)? {
            builder.identity(identity);
        }
        let connector = builder.build().map_err(|error| unusable("ssl.*", &error))?;
        Ok(Connector(connector.into()))
    }

    pub async fn connect(&self, address: &Address, tcp: TcpStream) -> Result<Box<dyn Stream>, Failure> {
        match self.0.connect(&address.host, tcp).await {
            Ok(stream) => Ok(Box::new(stream)),
            Err(error) if is_io(&error) => Err(Failure::Passing(format!(
                "{address}: the connection ended while TLS was agreed on ({error}); is security.protocol right?"
            ))),
            Err(error) => Err(Failure::Lasting(Error::Unusable(format!(
                "kafka cannot be logged into: {address}: {error}; check ssl.ca.location, the broker's certificate and its host \
                 name; the check itself is not to be switched off"
            )))),
        }
    }
}

/// A connection that broke is no verdict on a certificate.
fn is_io(error: &native_tls::Error) -> bool {
    let mut cause = error.source();
    while let Some(error) = cause {
        if error.is::<io::Error>() {
            return true;
        }
        cause = error.source();
    }
    false
}

/// The property that names them, and what it names; `None`: those of the system.
fn authorities(properties: &Properties) -> Result<Option<(&'static str, Vec<u8>)>, Error> {
    match (properties.get(CA_PEM), properties.get(CA)) {
        (Some(pem), _) => Ok(Some((CA_PEM, pem.clone().into_bytes()))),
        (None, Some(path)) if path != "probe" => Ok(Some((CA, read(CA, path)?))),
        _ => Ok(None),
    }
}

/// The client's certificate and key: a PKCS#12 store, or PEM in files or in properties.
fn identity(properties: &Properties) -> Result<Option<Identity>, Error> {
    if let Some(path) = properties.get(KEYSTORE) {
        let password = properties.get("ssl.keystore.password").map_or("", String::as_str);
        let store = Identity::from_pkcs12(&read(KEYSTORE, path)?, password);
        return store.map(Some).map_err(|error| unusable(KEYSTORE, &error));
    }
    let pem = |pem: &'static str, location: &'static str| match (properties.get(pem), properties.get(location)) {
        (Some(text), _) => Ok(Some((pem, text.clone().into_bytes()))),
        (None, Some(path)) => read(location, path).map(|bytes| Some((location, bytes))),
        (None, None) => Ok(None),
    };
    let certificate = pem("ssl.certificate.pem", "ssl.certificate.location")?;
    let key = pem("ssl.key.pem", "ssl.key.location")?;
    let ((_, certificate), (name, key)) = match (certificate, key) {
        (Some(certificate), Some(key)) => (certificate, key),
        (None, None) => return Ok(None),
        (None, Some(_)) => return Err(half("ssl.certificate.pem", "ssl.certificate.location", "the key")),
        (Some(_), None) => return Err(half("ssl.key.pem", "ssl.key.location", "the certificate")),
    };
    let password = properties.get("ssl.key.password").map_or("", String::as_str);
    let key = PKey::private_key_from_pem_passphrase(&key, password.as_bytes())
        .and_then(|key| key.private_key_to_pem_pkcs8())
        .map_err(|_| unusable(name, &"no private key in PEM is in there, or ssl.key.password is wrong"))?;
    let identity = Identity::from_pkcs8(&certificate, &key);
    identity.map(Some).map_err(|error| unusable("ssl.certificate", &error))
}

fn half(pem: &str, location: &str, other: &str) -> Error {
    Error::Unusable(format!("the property {pem} (or {location}) is missing; {other} needs it"))
}

fn read(name: &str, path: &str) -> Result<Vec<u8>, Error> {
    std::fs::read(path).map_err(|error| unusable(name, &format!("{path}: {error}")))
}

fn unusable(name: &str, why: &dyn std::fmt::Display) -> Error {
    Error::Unusable(format!("the property {name}: {why}"))
}
