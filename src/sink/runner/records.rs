//! Facts and records: what the runner reads from its topic and writes to it.

use crate::codec::{Error, Format, Formats};
use crate::event::{ActionRun, Fact, FactKind};
use crate::record::{EventTime, NewRecord, Partition, Record, Topic};
use crate::topology::dead_letter::{DeadLetter, Reason};
use crate::topology::engine::reason;

pub struct Records {
    pub formats: Formats,
    pub runs: Topic,
    pub dead_letters: Topic,
    pub dead_letter_format: Format,
    /// By this name its dead letters say who could not read them.
    pub reader: String,
}

/// A run, or why the record is none.
pub fn run(formats: &Formats, record: &Record<'_>) -> Result<ActionRun, (Reason, String)> {
    let key = record.key.ok_or_else(|| (Reason::NoKey, "the record has no key, so its order is unknown".to_owned()))?;
    let value = record.value.ok_or_else(|| (Reason::NoValue, "a tombstone is no run".to_owned()))?;
    match formats.decode_fact(FactKind::ActionRun, value) {
        Ok(Fact::ActionRun(run)) if run.service.as_bytes() == key => Ok(run),
        Ok(Fact::ActionRun(run)) => {
            let found = String::from_utf8_lossy(key);
            Err((Reason::OtherKey, format!("the record's key is `{found}`, the run's is `{}`", run.service)))
        }
        Ok(_) => Err((Reason::OtherRecord, "no run of an action".to_owned())),
        Err(error) => Err((reason(&error), error.to_string())),
    }
}

impl Records {
    /// Into the partition of its request, so that whoever owns the one reads the other.
    pub fn of_run(&self, partition: Partition, run: &ActionRun) -> Result<NewRecord, Error> {
        let mut value = Vec::new();
        self.formats.encode_fact(&Fact::ActionRun(run.clone()), &mut value)?;
        Ok(NewRecord {
            topic: self.runs.clone(),
            partition: Some(partition),
            timestamp: EventTime(run.at_ms),
            key: Some(run.service.clone().into_bytes()),
            value: Some(value),
            headers: Vec::new(),
        })
    }

    pub fn of_dead_letter(
        &self,
        record: &Record<'_>,
        (reason, error): (Reason, String),
        now: EventTime,
    ) -> Result<NewRecord, Error> {
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
