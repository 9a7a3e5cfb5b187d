//! Facts and records: what the sink reads from its topics and writes to them.

use crate::codec::{Format, Formats};
use crate::event::{Fact, FactKind, SlackAction, SlackOutcome};
use crate::record::{EventTime, NewRecord, Partition, Record, Topic};
use crate::topology::dead_letter::{DeadLetter, Reason};
use crate::topology::engine::reason;

/// Where the sink's own records go, and how they are written.
pub struct Records {
    pub formats: Formats,
    pub outcomes: Topic,
    pub dead_letters: Topic,
    pub dead_letter_format: Format,
    /// By this name its dead letters say who could not read them.
    pub reader: String,
}

/// An action, or why the record is none.
pub fn action(formats: &Formats, record: &Record<'_>) -> Result<SlackAction, (Reason, String)> {
    let key = record.key.ok_or_else(|| (Reason::NoKey, "the record has no key, so its order is unknown".to_owned()))?;
    let value = record.value.ok_or_else(|| (Reason::NoValue, "a tombstone is no action".to_owned()))?;
    let fact =
        formats.decode_fact(FactKind::SlackAction, value).map_err(|error| (reason(&error), error.to_string()))?;
    match fact {
        Fact::SlackAction(action) if action.incident_id.as_bytes() == key => Ok(action),
        Fact::SlackAction(action) => {
            let found = String::from_utf8_lossy(key);
            Err((Reason::OtherKey, format!("the record's key is `{found}`, the action's is `{}`", action.incident_id)))
        }
        _ => Err((Reason::OtherRecord, "no slack action".to_owned())),
    }
}

/// `None`: nothing that this sink has written.
pub fn outcome(formats: &Formats, record: &Record<'_>) -> Option<SlackOutcome> {
    match formats.decode_fact(FactKind::SlackOutcome, record.value?) {
        Ok(Fact::SlackOutcome(outcome)) => Some(outcome),
        Ok(_) => None,
        Err(error) => {
            let (partition, offset) = (record.partition.0, record.offset.0);
            tracing::error!(%error, topic = %record.topic, partition, offset, "an outcome in the journal cannot be read");
            None
        }
    }
}

impl Records {
    /// Into the partition of its action, so that whoever owns the one reads the other.
    pub fn of_outcome(&self, partition: Partition, outcome: SlackOutcome) -> Result<NewRecord, crate::codec::Error> {
        let (key, timestamp) = (outcome.incident_id.clone().into_bytes(), EventTime(outcome.at_ms));
        let mut value = Vec::new();
        self.formats.encode_fact(&Fact::SlackOutcome(outcome), &mut value)?;
        Ok(NewRecord {
            topic: self.outcomes.clone(),
            partition: Some(partition),
            timestamp,
            key: Some(key),
            value: Some(value),
            headers: Vec::new(),
        })
    }

    pub fn of_dead_letter(
        &self,
        record: &Record<'_>,
        (reason, error): (Reason, String),
        now: EventTime,
    ) -> Result<NewRecord, crate::codec::Error> {
        let letter = DeadLetter::of(record, &self.reader, reason, error, now.0);
        let mut value = Vec::new();
        self.dead_letter_format.encode(&letter, &mut value)?;
        Ok(NewRecord {
            topic: self.dead_letters.clone(),
            partition: None,
            timestamp: now,
            key: Some(letter.id().into_bytes()),
            value: Some(value),
            headers: Vec::new(),
        })
    }
}
