//! Schemas of writers that were not known at the start: asked for before a batch is processed.
//!
//! A registry that does not answer holds the batch back; only an id that it does not know makes dead letters.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::codec::{Formats, SchemaId, envelope};
use crate::record::Batch;

/// How long an id counts as unknown before it is asked for again: it may be registered meanwhile.
const UNKNOWN: Duration = Duration::from_secs(30);
/// Ids remembered as unknown; rubbish in a topic must not fill the memory.
const UNKNOWN_MAX: usize = 1_000;

pub enum SchemaAnswer {
    Found(String),
    NotFound,
    Unavailable(String),
}

pub type SchemaSource = Arc<dyn Fn(SchemaId) -> SchemaAnswer + Send + Sync>;

pub struct Schemas {
    pub formats: Formats,
    source: SchemaSource,
    unknown: BTreeMap<SchemaId, Duration>,
}

impl Schemas {
    pub fn new(formats: Formats, source: SchemaSource) -> Self {
        Self { formats, source, unknown: BTreeMap::new() }
    }

    /// Learns what the batch was written with. `Err`: the registry does not answer, the batch must wait.
    pub fn learn(&mut self, batch: &Batch, elapsed: Duration) -> Result<(), String> {
        let mut last = None;
        for record in batch.iter() {
            let Some(Ok((id, _))) = record.value.map(envelope::open) else { continue };
            if last.replace(id) != Some(id) && !self.formats.knows(id) {
                self.ask(id, elapsed)?;
            }
        }
        Ok(())
    }

    /// The same for one value.
    pub fn learn_of(&mut self, value: &[u8], elapsed: Duration) -> Result<(), String> {
        match envelope::open(value) {
            Ok((id, _)) if !self.formats.knows(id) => self.ask(id, elapsed),
            _ => Ok(()),
        }
    }

    /// Whether the id is known, or can be learnt now.
    pub fn learn_id(&mut self, id: SchemaId, elapsed: Duration) -> Result<bool, String> {
        self.ask(id, elapsed)?;
        Ok(self.formats.knows(id))
    }

    fn ask(&mut self, id: SchemaId, elapsed: Duration) -> Result<(), String> {
        self.unknown.retain(|_, since| elapsed.saturating_sub(*since) < UNKNOWN);
        if self.unknown.contains_key(&id) {
            return Ok(());
        }
        let learnt = match (self.source)(id) {
            SchemaAnswer::Unavailable(why) => return Err(format!("schema id {} cannot be asked for: {why}", id.0)),
            SchemaAnswer::NotFound => Err("the registry does not know it".to_owned()),
            SchemaAnswer::Found(json) => self.formats.learn(id, &json).map_err(|error| error.to_string()),
        };
        if let Err(error) = learnt {
            tracing::warn!(id = id.0, error, "unknown schema: its records become dead letters");
            if self.unknown.len() < UNKNOWN_MAX {
                self.unknown.insert(id, elapsed);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::record::{EventTime, Headers, Offset, Partition, Record, Topic};

    fn batch(values: &[&[u8]]) -> Batch {
        let (topic, mut batch) = (Topic::from("t"), Batch::default());
        for (offset, value) in (0..).zip(values) {
            let (timestamp, headers) = (EventTime(0), Headers::NONE);
            let (partition, offset) = (Partition(0), Offset(offset));
            batch.push(&Record { topic: &topic, partition, offset, timestamp, key: None, value: Some(value), headers });
        }
        batch
    }

    #[test]
    fn an_unknown_id_is_asked_for_once_a_silent_registry_holds_back() {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let answers = asked.clone();
        let source: SchemaSource = Arc::new(move |id| {
            answers.lock().unwrap().push(id.0);
            match id.0 {
                7 => SchemaAnswer::Found(crate::topology::journal::SCHEMA.to_owned()),
                8 => SchemaAnswer::NotFound,
                _ => SchemaAnswer::Unavailable("down".to_owned()),
            }
        });
        let mut schemas = Schemas::new(Formats::default(), source);
        let known_and_not =
            batch(&[b"\0\0\0\0\x07a", b"\0\0\0\0\x08b", b"no envelope", b"\0\0\0\0\x07c", b"\0\0\0\0\x08d"]);
        schemas.learn(&known_and_not, Duration::ZERO).unwrap();
        schemas.learn(&known_and_not, Duration::from_secs(29)).unwrap();
        assert_eq!(*asked.lock().unwrap(), [7, 8]);
        schemas.learn(&known_and_not, Duration::from_secs(31)).unwrap();
        assert_eq!(*asked.lock().unwrap(), [7, 8, 8]);
        assert!(schemas.learn(&batch(&[b"\0\0\0\0\x09x"]), Duration::ZERO).unwrap_err().contains("down"));
    }
}
