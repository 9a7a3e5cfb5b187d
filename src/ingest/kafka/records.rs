//! What becomes of one record: facts, and what is kept beside them. No I/O.

use std::fmt::Write;

use crate::codec::{self, Format, Formats};
use crate::current::Silences;
use crate::event::{Fact, FactKind};
use crate::ingest::{Reading, Refusal, Rules, TopicFormat, kafka, raw};
use crate::record::{EventTime, NewRecord, Record, Topic};
use crate::topology::dead_letter::{DeadLetter, Reason};

/// With what is around it, it fits into a record of Kafka's default size.
const BYTES_MAX: usize = 900_000;

/// Where it goes, and how it is written.
#[derive(Clone, Debug)]
pub struct Records {
    pub formats: Formats,
    pub alerts: Topic,
    pub deploys: Topic,
    /// There if the format is one of samples.
    pub samples: Option<Topic>,
    /// Of records as they were read; without it none is kept.
    pub raw: Option<Topic>,
    pub dead_letters: Topic,
    pub dead_letter_format: Format,
    /// By this name its dead letters say who could not read them.
    pub reader: String,
    pub format: TopicFormat,
    pub rules: Rules,
}

/// What is written in place of a record.
#[derive(Debug, Default)]
pub struct Told {
    pub records: Vec<NewRecord>,
    pub facts: Vec<FactKind>,
    pub refused: usize,
    pub ignored: usize,
    pub not_kept: bool,
}

impl Records {
    /// All topics that are written.
    pub fn writes(&self) -> Vec<Topic> {
        let topics =
            [&self.alerts, &self.deploys, &self.dead_letters].into_iter().chain(&self.samples).chain(&self.raw);
        topics.cloned().collect()
    }

    /// With `silences` every alert that one in force matches is marked with it.
    pub fn of(&self, record: &Record<'_>, silences: Option<&Silences>, now: EventTime) -> Result<Told, codec::Error> {
        let header = |name: &str| record.headers.get(name).and_then(|value| std::str::from_utf8(value).ok());
        let received = time_of(record.timestamp, now);
        let mut read = kafka::read(self.format, header, record.value, &self.rules, received);
        if let (Some(silences), Ok(reading)) = (silences, &mut read) {
            silences.mark(&mut reading.facts, now);
        }
        let (records, read) = self.facts(read, received)?;
        let mut told = Told { records, ..Told::default() };
        match &read {
            Ok(reading) => {
                told.facts = reading.facts.iter().map(Fact::kind).collect();
                (told.refused, told.ignored) = (reading.refusals(), reading.ignored);
            }
            Err(_) => told.refused = 1,
        }
        if let Some(why) = why(&read) {
            told.records.push(self.dead_letter(record, why, now)?);
        }
        if let (Some(topic), Some(value)) = (&self.raw, record.value) {
            match raw::of_record(record.topic.as_str(), header, value, &read, received) {
                Some(payload) => told.records.push(self.fact(topic, &Fact::Payload(payload), received)?),
                None => told.not_kept = true,
            }
        }
        Ok(told)
    }

    /// Facts that no record can hold are refused: they would hold up all that comes after them.
    fn facts(&self, read: Result<Reading, Refusal>, received: EventTime) -> Result<Read, codec::Error> {
        let Ok(reading) = read else { return Ok((Vec::new(), read)) };
        let mut records = Vec::new();
        for fact in &reading.facts {
            let topic = match (fact.kind(), &self.samples) {
                (FactKind::Deploy, _) => &self.deploys,
                (FactKind::Sample, Some(samples)) => samples,
                (FactKind::Sample, None) => {
                    let mend = "name a topic for `samples` under `ingest`";
                    return Ok((Vec::new(), Err(Refusal::new("$", "samples have nowhere to go", mend))));
                }
                _ => &self.alerts,
            };
            records.push(self.fact(topic, fact, received)?);
        }
        let large = |record: &NewRecord| record.value.as_ref().is_some_and(|value| value.len() > BYTES_MAX);
        if records.iter().any(large) {
            let mend = "shorten labels and annotations, or lower `ingest.limits`";
            return Ok((Vec::new(), Err(Refusal::new("$", "a fact of it is larger than a record may be", mend))));
        }
        Ok((records, Ok(reading)))
    }

    fn fact(&self, topic: &Topic, fact: &Fact<'_>, received: EventTime) -> Result<NewRecord, codec::Error> {
        let mut value = Vec::new();
        self.formats.encode_fact(fact, &mut value)?;
        Ok(record(topic, fact.key(), value, received))
    }

    fn dead_letter(&self, read: &Record<'_>, why: String, now: EventTime) -> Result<NewRecord, codec::Error> {
        let mut letter = DeadLetter::of(read, &self.reader, Reason::Undecodable, why, now.0);
        let headers = letter.headers.iter().map(|header| header.name.len() + header.value.as_ref().map_or(0, Vec::len));
        let bytes =
            headers.sum::<usize>() + [&letter.key, &letter.value].into_iter().flatten().map(Vec::len).sum::<usize>();
        if bytes > BYTES_MAX {
            (letter.key, letter.value, letter.headers) = (None, None, Vec::new());
            _ = write!(letter.error, "; its {bytes} bytes are too many to be kept here, it lies at {}", letter.id());
        }
        let mut value = Vec::new();
        self.dead_letter_format.encode(&letter, &mut value)?;
        Ok(record(&self.dead_letters, &letter.id(), value, now))
    }

    /// A letter of this reader, read again as the parsers and the rules are now: its facts.
    pub fn again(&self, letter: &DeadLetter) -> Result<Vec<NewRecord>, String> {
        let Some(value) = &letter.value else {
            return Err("its bytes were too many to be kept; set the group's offset back to read it again".to_owned());
        };
        let header = |name: &str| {
            let found = letter.headers.iter().find(|header| header.name == name)?;
            std::str::from_utf8(found.value.as_deref()?).ok()
        };
        let received = time_of(EventTime(letter.timestamp_ms), EventTime(letter.at_ms));
        let read = kafka::read(self.format, header, Some(value), &self.rules, received);
        let (records, read) = self.facts(read, received).map_err(|error| error.to_string())?;
        why(&read).map_or(Ok(records), Err)
    }
}

/// Records of its facts, and what was read.
type Read = (Vec<NewRecord>, Result<Reading, Refusal>);

/// Its own, unless that is none: a broker refuses what is written for the future.
fn time_of(timestamp: EventTime, now: EventTime) -> EventTime {
    if (0..=now.0).contains(&timestamp.0) { timestamp } else { now }
}

fn why(read: &Result<Reading, Refusal>) -> Option<String> {
    match read {
        Err(refusal) => Some(refusal.to_string()),
        Ok(reading) => reading.refused.first().map(|first| match reading.refusals() {
            1 => first.to_string(),
            all => format!("{first}; and {} more elements of it", all - 1),
        }),
    }
}

fn record(topic: &Topic, key: &str, value: Vec<u8>, timestamp: EventTime) -> NewRecord {
    let (key, value) = (Some(key.as_bytes().to_vec()), Some(value));
    NewRecord { topic: topic.clone(), partition: None, timestamp, key, value, headers: Vec::new() }
}
