//! The schema registry, asked through `schema_registry_converter`.
//!
//! Before a schema is registered, *our* checker holds it against every version of its subject (BACKWARD_TRANSITIVE): a
//! registry may be set to a laxer level, and a state or a fact that cannot be read back is found now or at night. A registry
//! that does not answer, or is not well, is asked again for a bounded time. Credentials are never logged.

use std::error::Error as _;
use std::time::Duration;

use reqwest::Certificate;
use schema_registry_converter::async_impl::schema_registry::{
    self, SrSettings, get_all_subjects, get_all_versions, get_schema_by_id, get_schema_by_subject_and_version,
};
use schema_registry_converter::error::SRCError;
use schema_registry_converter::schema_registry_common::{RawError, SchemaType, SuppliedSchema};
use thiserror::Error;
use tokio::time::Instant;

use super::SchemaId;
use super::compat::{self, Existing, Level};

const CALL: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(500);
/// Confluent's code for an id that the registry does not know.
const SCHEMA_NOT_FOUND: u32 = 40403;
const UNAUTHORIZED: u16 = 401;

#[derive(Debug, Error)]
pub enum Error {
    #[error("the registry's address or credentials are of no use: {0}")]
    Configuration(String),
    #[error("the registry at {url} does not answer as it should: {error}; is it running, is the address right?")]
    Unavailable { url: String, error: String },
    #[error("the registry at {url} refuses the login: {error}; are registry.username and registry.password right?")]
    Login { url: String, error: String },
    #[error(
        "the registry at {url} is not trusted: {error}; did an authority of registry.ca_pem sign its certificate, for the name in registry.url?"
    )]
    Untrusted { url: String, error: String },
    #[error("subject {subject}: {error}")]
    Refused { subject: String, error: String },
    #[error(
        "subject {subject}: the schema cannot follow what is registered:\n{conflicts}\ngive new fields a default, or write to a new topic"
    )]
    Incompatible { subject: String, conflicts: String },
}

/// A client of one registry.
#[derive(Clone)]
pub struct RegistryClient {
    url: String,
    settings: SrSettings,
    /// How long a registry that does not answer is asked again.
    patience: Duration,
}

/// One of a subject's schemas.
struct Version {
    number: u32,
    id: SchemaId,
    schema_json: String,
}

impl RegistryClient {
    /// `login` is a name and a password, `ca_pem` are authorities to trust beside the system's.
    pub fn new(
        url: &str,
        login: Option<(&str, &str)>,
        ca_pem: Option<&str>,
        patience: Duration,
    ) -> Result<Self, Error> {
        let mut builder = SrSettings::new_builder(url.to_owned());
        builder.set_timeout(CALL);
        if let Some((name, password)) = login {
            builder.set_basic_authorization(name, Some(password));
        }
        let authorities = Certificate::from_pem_bundle(ca_pem.unwrap_or_default().as_bytes());
        let authorities = authorities.map_err(|error| Error::Configuration(format!("registry.ca_pem: {error}")))?;
        if ca_pem.is_some() && authorities.is_empty() {
            return Err(Error::Configuration("registry.ca_pem holds no certificate".to_owned()));
        }
        let http = reqwest::Client::builder().tls_certs_merge(authorities);
        let settings = builder.build_with(http).map_err(|error| Error::Configuration(error.error))?;
        Ok(Self { url: url.to_owned(), settings, patience })
    }

    /// Registers the schema, or finds it registered; refuses one that cannot read what the subject's versions wrote.
    pub async fn register(&self, subject: &str, schema_json: &str) -> Result<SchemaId, Error> {
        let existing = self.versions(subject).await?;
        let existing: Vec<_> = existing.into_iter().map(|version| (version.number, version.schema_json)).collect();
        let conflicts =
            conflicts(schema_json, &existing).map_err(|error| Error::Refused { subject: subject.to_owned(), error })?;
        if !conflicts.is_empty() {
            return Err(Error::Incompatible { subject: subject.to_owned(), conflicts: conflicts.join("\n") });
        }
        let registered = self
            .patiently(async || {
                let supplied = SuppliedSchema::new(None, SchemaType::Avro, schema_json.to_owned());
                schema_registry::post_schema(&self.settings, subject.to_owned(), supplied).await
            })
            .await;
        let registered = registered.map_err(|error| self.refused(subject, &error))?;
        Ok(SchemaId(registered.id))
    }

    /// The id under which the subject has this very schema; asks only.
    pub async fn registered(&self, subject: &str, schema_json: &str) -> Result<Option<SchemaId>, Error> {
        let parse = |json: &str| serde_json::from_str::<serde_json::Value>(json).ok();
        let wanted = parse(schema_json);
        let versions = self.versions(subject).await?;
        let found = versions.iter().rev().find(|version| parse(&version.schema_json) == wanted);
        Ok(found.map(|version| version.id))
    }

    /// A writer's schema; `None` only if the registry says that it does not know the id. Any other refusal (a lost
    /// permission, an inner error, a wrong path) passes or is mended, and is no fault of the record. Asks once.
    pub async fn schema(&self, id: SchemaId) -> Result<Option<String>, Error> {
        match get_schema_by_id(id.0, &self.settings).await {
            Ok(found) => Ok(Some(found.schema)),
            Err(error) if code(&error) == Some(SCHEMA_NOT_FOUND) => Ok(None),
            Err(error) => Err(self.failed(&error)),
        }
    }

    /// Every version of the subject and its schema; none if there is no such subject.
    async fn versions(&self, subject: &str) -> Result<Vec<Version>, Error> {
        let subjects = self.patiently(async || get_all_subjects(&self.settings).await).await;
        let subjects = subjects.map_err(|error| self.refused(subject, &error))?;
        if !subjects.iter().any(|known| known == subject) {
            return Ok(Vec::new());
        }
        let numbers = self.patiently(async || get_all_versions(&self.settings, subject.to_owned()).await).await;
        let mut versions = Vec::new();
        for number in numbers.map_err(|error| self.refused(subject, &error))? {
            let found = self
                .patiently(async || get_schema_by_subject_and_version(&self.settings, subject, Some(number)).await)
                .await;
            let found = found.map_err(|error| self.refused(subject, &error))?;
            versions.push(Version { number, id: SchemaId(found.id), schema_json: found.schema });
        }
        Ok(versions)
    }

    async fn patiently<T>(&self, call: impl AsyncFn() -> Result<T, SRCError>) -> Result<T, SRCError> {
        let until = Instant::now() + self.patience;
        loop {
            match call().await {
                Err(error) if passes(&error) && Instant::now() < until => {
                    tracing::warn!(url = self.url, error = told(&error), "the registry does not answer yet");
                    tokio::time::sleep(PAUSE).await;
                }
                answer => return answer,
            }
        }
    }

    fn refused(&self, subject: &str, error: &SRCError) -> Error {
        match self.failed(error) {
            Error::Unavailable { error: told, .. } if !passes(error) => {
                Error::Refused { subject: subject.to_owned(), error: told }
            }
            failed => failed,
        }
    }

    fn failed(&self, error: &SRCError) -> Error {
        let (url, told) = (self.url.clone(), told(error));
        match status(error) {
            Some(UNAUTHORIZED) => Error::Login { url, error: told },
            None if is_untrusted(error) => Error::Untrusted { url, error: told },
            _ => Error::Unavailable { url, error: told },
        }
    }
}

/// The registry's own error code, if it was the registry that refused; 0 if its answer had none.
fn code(error: &SRCError) -> Option<u32> {
    error.source()?.downcast_ref::<RawError>().map(|raw| raw.error_code)
}

/// The HTTP status of a refusal. A registry's code begins with it; of an answer without one the client has it in its words only.
fn status(error: &SRCError) -> Option<u16> {
    match code(error)? {
        0 => error.error.split_once(" status ")?.1.get(..3)?.parse().ok(),
        code => code.to_string().get(..3)?.parse().ok(),
    }
}

/// Whether asking again may help: nobody answers, or who does is not well yet.
fn passes(error: &SRCError) -> bool {
    match status(error) {
        Some(status) => status == 408 || status == 429 || status >= 500,
        None => error.retriable && !is_untrusted(error),
    }
}

/// A certificate that does not become another one by waiting. OpenSSL's words.
fn is_untrusted(error: &SRCError) -> bool {
    told(error).contains("certificate verify failed")
}

/// What failed, and the innermost reason of it.
fn told(error: &SRCError) -> String {
    let mut innermost = error.source();
    while let Some(inner) = innermost.and_then(|reason| reason.source()) {
        innermost = Some(inner);
    }
    match innermost {
        Some(reason) => format!("{}: {reason}", error.error),
        None => error.error.clone(),
    }
}

/// What of the existing versions the new schema could not read, one line each.
fn conflicts(new: &str, existing: &[(u32, String)]) -> Result<Vec<String>, String> {
    let parse = |json: &str| apache_avro::Schema::parse_str(json).map_err(|error| error.to_string());
    let new = parse(new)?;
    let parsed = existing.iter().map(|(version, json)| Ok((*version, parse(json)?)));
    let parsed = parsed.collect::<Result<Vec<_>, String>>()?;
    let existing: Vec<_> = parsed.iter().map(|(version, schema)| Existing { version: *version, schema }).collect();
    Ok(compat::conflicts(Level::BackwardTransitive, &new, &existing).iter().map(ToString::to_string).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_is_that_of_the_code_or_where_there_is_none_of_the_words() {
        let refusal = |code: u32, words: &str| {
            let raw: RawError = serde_json::from_str(&format!(r#"{{"error_code":{code},"message":"m"}}"#)).unwrap();
            SRCError::non_retryable_with_cause(raw, words)
        };
        assert_eq!(status(&refusal(40403, "refused")), Some(404));
        assert_eq!(status(&refusal(401, "refused")), Some(401));
        assert_eq!(status(&refusal(0, "failed with status 503 Service Unavailable")), Some(503));
        assert_eq!(status(&SRCError::non_retryable_without_cause("no route to status 200")), None);
    }

    #[test]
    fn a_field_without_a_default_cannot_follow_and_one_with_it_can() {
        let record = |fields: &str| format!(r#"{{"type":"record","name":"R","fields":[{fields}]}}"#);
        let old = record(r#"{"name":"a","type":"string"}"#);
        let grown = record(r#"{"name":"a","type":"string"},{"name":"b","type":"int","default":0}"#);
        let broken = record(r#"{"name":"a","type":"string"},{"name":"b","type":"int"}"#);
        assert_eq!(conflicts(&grown, &[(1, old.clone())]), Ok(vec![]));
        let told = conflicts(&broken, &[(1, old), (2, grown)]).unwrap();
        assert_eq!(told.len(), 1, "version 2 has the field, version 1 has not: {told:?}");
        assert!(told[0].contains('b'), "{told:?}");
    }
}
