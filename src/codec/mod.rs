//! Facts and states to and from bytes: Confluent's envelope around Avro.
//!
//! [`Formats`] is the table of schemas by id. It is filled from outside (the registry at run time, numbers in order in
//! tests) and asks nobody: an id it does not know is an error that its caller may mend with [`Formats::learn`].

#[cfg(test)]
pub mod any;
pub mod avro;
pub mod compat;
pub mod envelope;
pub mod generic;
pub mod ordered;
#[cfg(feature = "runtime")]
pub mod registry;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_avro_fast::Schema;
use thiserror::Error;

pub use envelope::SchemaId;

use crate::event::{Fact, FactKind, OwnFact, OwnKind};

#[derive(Debug, Error)]
pub enum Error {
    #[error(transparent)]
    Envelope(#[from] envelope::Error),
    #[error("schema id {} is not known", .0.0)]
    UnknownSchema(SchemaId),
    #[error("schema id {} is of {found}, expected {expected}", id.0)]
    OtherRecord { id: SchemaId, found: String, expected: String },
    #[error(transparent)]
    Avro(#[from] avro::Error),
    #[error("no schema to write {0} with: it was not registered")]
    NotRegistered(String),
    #[error("schema id {} is no Avro schema: {error}", id.0)]
    Schema { id: SchemaId, error: String },
}

/// A schema and the id under which it is known.
#[derive(Clone, Debug)]
pub struct Format {
    pub id: SchemaId,
    /// Full name of the record.
    pub name: Arc<str>,
    schema: Arc<Schema>,
    /// The types that it is for were made for it, field by field.
    is_ours: bool,
}

impl Format {
    /// Of a schema that this program has, with the type that is written and read with it.
    pub fn new(id: SchemaId, schema_json: &str) -> Result<Self, Error> {
        Ok(Self { is_ours: true, ..Self::of_others(id, schema_json)? })
    }

    fn of_others(id: SchemaId, schema_json: &str) -> Result<Self, Error> {
        let refuse = |error: String| Error::Schema { id, error };
        let schema: Schema = schema_json.parse().map_err(|error| refuse(format!("{error}")))?;
        let name = record_name(schema_json).ok_or_else(|| refuse("the root is no named record".to_owned()))?;
        Ok(Self { id, name: name.into(), schema: Arc::new(schema), is_ours: false })
    }

    /// Appends envelope and body to `out`; on an error `out` is as it was.
    pub fn encode<T: Serialize>(&self, value: &T, out: &mut Vec<u8>) -> Result<(), Error> {
        let start = out.len();
        envelope::begin(self.id, out);
        let written = if self.is_ours { ordered::encode(value, out) } else { avro::encode(&self.schema, value, out) };
        written.map_err(|error| {
            out.truncate(start);
            error.into()
        })
    }
}

/// Every schema this process can read, and those it writes.
#[derive(Clone, Debug, Default)]
pub struct Formats {
    readers: BTreeMap<SchemaId, Format>,
    facts: BTreeMap<FactKind, Format>,
}

impl Formats {
    /// The shipped schemas under ids counted from 1: for tests and tools without a registry.
    pub fn shipped() -> Self {
        let mut formats = Self::default();
        for (id, kind) in (1..).zip(FactKind::ALL) {
            let format =
                Format::new(SchemaId(id), kind.schema_json()).expect("the shipped schemas parse: a test says so");
            formats.write_fact_with(kind, format);
        }
        formats
    }

    /// From now on facts of this kind are written with this schema.
    pub fn write_fact_with(&mut self, kind: FactKind, format: Format) {
        self.read_with(format.clone());
        self.facts.insert(kind, format);
    }

    /// Makes a schema known that this program has, so that what it wrote can be read.
    pub fn read_with(&mut self, format: Format) {
        self.readers.insert(format.id, format);
    }

    /// Makes a writer's schema known, whoever that is, so that what was written with it can be read.
    pub fn learn(&mut self, id: SchemaId, schema_json: &str) -> Result<(), Error> {
        let format = Format::of_others(id, schema_json)?;
        self.readers.entry(id).or_insert(format);
        Ok(())
    }

    pub fn knows(&self, id: SchemaId) -> bool {
        self.readers.contains_key(&id)
    }

    pub fn decode<'a, T: Deserialize<'a>>(&self, bytes: &'a [u8], expected: &str) -> Result<T, Error> {
        let (id, body) = envelope::open(bytes)?;
        let format = self.readers.get(&id).ok_or(Error::UnknownSchema(id))?;
        if *format.name != *expected {
            return Err(Error::OtherRecord { id, found: format.name.to_string(), expected: expected.to_owned() });
        }
        Ok(if format.is_ours { ordered::decode(body)? } else { avro::decode(&format.schema, body)? })
    }

    pub fn decode_fact<'a>(&self, kind: FactKind, bytes: &'a [u8]) -> Result<Fact<'a>, Error> {
        let expected = &*self.fact(kind)?.name;
        Ok(match kind {
            FactKind::Alert => Fact::Alert(self.decode(bytes, expected)?),
            FactKind::Deploy => Fact::Deploy(self.decode(bytes, expected)?),
            FactKind::Incident => Fact::Incident(self.decode(bytes, expected)?),
            FactKind::SlackAction => Fact::SlackAction(self.decode(bytes, expected)?),
            FactKind::SlackOutcome => Fact::SlackOutcome(self.decode(bytes, expected)?),
            FactKind::Payload => Fact::Payload(self.decode(bytes, expected)?),
            FactKind::Response => Fact::Response(self.decode(bytes, expected)?),
            FactKind::ActionRun => Fact::ActionRun(self.decode(bytes, expected)?),
            FactKind::Cause => Fact::Cause(self.decode(bytes, expected)?),
            FactKind::Silence => Fact::Silence(self.decode(bytes, expected)?),
            FactKind::Rotation => Fact::Rotation(self.decode(bytes, expected)?),
            FactKind::MirrorRange => Fact::MirrorRange(self.decode(bytes, expected)?),
            FactKind::GroupOffset => Fact::GroupOffset(self.decode(bytes, expected)?),
            FactKind::Audit => Fact::Audit(self.decode(bytes, expected)?),
            FactKind::Sample => Fact::Sample(self.decode(bytes, expected)?),
            FactKind::Own(kind) => Fact::Own(self.open_own(kind, bytes)?),
        })
    }

    /// Appends envelope and body to `out`.
    pub fn encode_fact(&self, fact: &Fact<'_>, out: &mut Vec<u8>) -> Result<(), Error> {
        let format = self.fact(fact.kind())?;
        match fact {
            Fact::Alert(alert) => format.encode(alert, out),
            Fact::Deploy(deploy) => format.encode(deploy, out),
            Fact::Incident(incident) => format.encode(incident, out),
            Fact::SlackAction(action) => format.encode(action, out),
            Fact::SlackOutcome(outcome) => format.encode(outcome, out),
            Fact::Payload(payload) => format.encode(payload, out),
            Fact::Response(response) => format.encode(response, out),
            Fact::ActionRun(run) => format.encode(run, out),
            Fact::Cause(cause) => format.encode(cause, out),
            Fact::Silence(silence) => format.encode(silence, out),
            Fact::Rotation(rotation) => format.encode(rotation, out),
            Fact::MirrorRange(range) => format.encode(range, out),
            Fact::GroupOffset(offset) => format.encode(offset, out),
            Fact::Audit(audit) => format.encode(audit, out),
            Fact::Sample(sample) => format.encode(sample, out),
            Fact::Own(own) => {
                envelope::begin(format.id, out);
                out.extend_from_slice(&own.body);
                Ok(())
            }
        }
    }

    /// The body is walked once, so that what comes to an operator fits its schema.
    fn open_own<'a>(&self, kind: &'static OwnKind, bytes: &'a [u8]) -> Result<OwnFact<'a>, Error> {
        let format = self.fact(FactKind::Own(kind))?;
        let (id, body) = envelope::open(bytes)?;
        if id != format.id {
            let found = self.readers.get(&id).ok_or(Error::UnknownSchema(id))?.name.to_string();
            return Err(Error::OtherRecord {
                id,
                found,
                expected: format!("{} of schema id {}", format.name, format.id.0),
            });
        }
        let avro::Leading(key) = avro::decode(&format.schema, body)?;
        Ok(OwnFact { kind, key, body: body.into() })
    }

    fn fact(&self, kind: FactKind) -> Result<&Format, Error> {
        self.facts.get(&kind).ok_or_else(|| Error::NotRegistered(kind.to_string()))
    }
}

fn record_name(schema_json: &str) -> Option<String> {
    let root: serde_json::Value = serde_json::from_str(schema_json).ok()?;
    let name = root.get("name")?.as_str()?;
    match root.get("namespace").and_then(|space| space.as_str()) {
        Some(space) if !name.contains('.') => Some(format!("{space}.{name}")),
        _ => Some(name.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Alert, AlertStatus, Mention};
    use std::borrow::Cow;

    fn alert() -> Alert<'static> {
        Alert {
            source: "alertmanager".into(),
            fingerprint: "a1b2c3".into(),
            starts_at_ms: 1_000,
            ends_at_ms: None,
            status: AlertStatus::Firing,
            service: "checkout".into(),
            name: "HighErrorRatio".into(),
            environment: Some("production".into()),
            namespace: None,
            labels: [("severity".into(), "critical".into())].into_iter().collect(),
            annotations: Default::default(),
            value: Some(7.5),
            generator_url: None,
            level: None,
            mention: Mention::Nobody,
            level_reason: None,
            episode: None,
            muted_until_ms: None,
            muted_by: None,
        }
    }

    #[test]
    fn a_fact_comes_back_as_it_was_and_borrows_from_its_bytes() {
        let formats = Formats::shipped();
        let mut bytes = Vec::new();
        formats.encode_fact(&Fact::Alert(alert()), &mut bytes).unwrap();
        let Fact::Alert(read) = formats.decode_fact(FactKind::Alert, &bytes).unwrap() else { panic!("an alert") };
        assert_eq!(read, alert());
        assert!(matches!(read.service.0, Cow::Borrowed("checkout")));
        assert!(matches!(read.environment, Some(Text(Cow::Borrowed("production")))));
    }

    use crate::event::Text;

    #[test]
    fn unknown_ids_other_records_cut_and_overlong_bodies_are_refused() {
        let formats = Formats::shipped();
        let mut bytes = Vec::new();
        formats.encode_fact(&Fact::Alert(alert()), &mut bytes).unwrap();
        let refused = |bytes: &[u8], kind| formats.decode_fact(kind, bytes).unwrap_err();
        assert!(matches!(refused(&bytes, FactKind::Deploy), Error::OtherRecord { .. }));
        assert!(matches!(refused(&bytes[..bytes.len() - 3], FactKind::Alert), Error::Avro(avro::Error::Decode(_))));
        let overlong = [&bytes[..], b"x"].concat();
        assert!(matches!(refused(&overlong, FactKind::Alert), Error::Avro(avro::Error::Trailing(1))));
        bytes[4] = 99;
        assert!(matches!(refused(&bytes, FactKind::Alert), Error::UnknownSchema(SchemaId(99))));
    }

    #[test]
    fn an_own_fact_is_its_body_and_what_does_not_fit_its_schema_is_refused() {
        const SCHEMA: &str = r#"{"type":"record","name":"Passage","fields":[
            {"name":"gate","type":"string"},{"name":"cars","type":"int"},{"name":"note","type":["null","string"]}]}"#;
        static PASSAGE: OwnKind = OwnKind { name: "passage", keyed_by: "gate", schema_json: SCHEMA };
        let kind = FactKind::Own(&PASSAGE);
        let mut formats = Formats::shipped();
        let refused = |formats: &Formats, bytes: &[u8]| formats.decode_fact(kind, bytes).unwrap_err();
        assert!(matches!(refused(&formats, b""), Error::NotRegistered(_)));
        formats.write_fact_with(kind, Format::new(SchemaId(40), SCHEMA).unwrap());
        let body = b"\x04g1\x06\x02\x04hm";
        let fact = Fact::Own(OwnFact { kind: &PASSAGE, key: "g1".into(), body: Cow::Borrowed(body) });
        let mut bytes = Vec::new();
        formats.encode_fact(&fact, &mut bytes).unwrap();
        assert_eq!(bytes, [&[0, 0, 0, 0, 40][..], body].concat());
        assert_eq!(formats.decode_fact(kind, &bytes).unwrap(), fact);
        let cut = &bytes[..bytes.len() - 1];
        assert!(matches!(refused(&formats, cut), Error::Avro(avro::Error::Decode(_))));
        let overlong = [&bytes[..], b"x"].concat();
        assert!(matches!(refused(&formats, &overlong), Error::Avro(avro::Error::Trailing(1))));
        formats.learn(SchemaId(41), SCHEMA).unwrap();
        bytes[4] = 41;
        assert!(matches!(refused(&formats, &bytes), Error::OtherRecord { .. }));
        bytes[4] = 42;
        assert!(matches!(refused(&formats, &bytes), Error::UnknownSchema(SchemaId(42))));
    }

    #[test]
    fn every_fact_has_its_schemas_fields_in_their_order() {
        let ours = Formats::shipped();
        for (id, kind) in (1..).map(SchemaId).zip(FactKind::ALL) {
            let (json, mut others) = (serde_json::from_str(kind.schema_json()).unwrap(), ours.clone());
            others.readers.clear();
            others.learn(id, kind.schema_json()).unwrap();
            let by_name = others.readers[&id].clone();
            others.facts.insert(kind, by_name);
            for seed in 0..2_000 {
                let mut bytes = Vec::new();
                envelope::begin(id, &mut bytes);
                bytes.extend(any::Maker::body(&json, seed));
                let read = others.decode_fact(kind, &bytes).unwrap();
                assert_eq!(ours.decode_fact(kind, &bytes).unwrap(), read);
                let mut written = [Vec::new(), Vec::new()];
                others.encode_fact(&read, &mut written[0]).unwrap();
                ours.encode_fact(&read, &mut written[1]).unwrap();
                assert_eq!(written[0], written[1], "{kind}");
            }
        }
    }

    #[test]
    fn every_shipped_schema_parses_and_is_named() {
        assert_eq!(Formats::shipped().facts.len(), FactKind::ALL.len());
    }
}
