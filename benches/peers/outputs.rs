//! What an engine has told: read back, committed records only, and compared.
//!
//! Equal means: the same keys, and for each the same incidents in the same order with the same event times. The bytes are compared,
//! and decoded where they differ. Not compared: headers (fairlead's name the commit that an output came from), offsets, and which key
//! was told before which other.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use fairlead::codec::Formats;
use fairlead::event::{Fact, FactKind};
use fairlead::log::client::Connection;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};
use serde::Serialize;

use crate::load::PARTITIONS;

/// An output topic that brings nothing for so long has brought all: Kafka Streams fires what is due a second after its input ended.
const QUIET: Duration = Duration::from_secs(3);

/// By key, in the order of the log: event time and value.
pub struct Outputs(HashMap<Box<[u8]>, Vec<Output>>);

#[derive(PartialEq, Eq)]
struct Output {
    at_ms: i64,
    partition: i32,
    value: Box<[u8]>,
}

#[derive(Default, Serialize)]
pub struct Equality {
    pub keys: usize,
    pub outputs: usize,
    pub different_keys: usize,
    /// In words.
    pub first_difference: Option<String>,
}

impl Outputs {
    /// All up to an event time: what deadlines say that lie behind all records depends on when an engine ran, and goes on for as long
    /// as it runs. They pass in their order, so a partition that has come to them has told all that is asked for.
    pub fn read(bootstrap: &str, topic: &str, until_ms: i64) -> Result<Self> {
        let consumer: BaseConsumer = Connection::new(bootstrap).consumer("bench.outputs").create()?;
        let mut starts = TopicPartitionList::new();
        for partition in 0..PARTITIONS {
            starts.add_partition_offset(topic, partition, Offset::Beginning)?;
        }
        consumer.assign(&starts)?;
        let mut by_key: HashMap<Box<[u8]>, Vec<Output>> = HashMap::new();
        let (mut last, mut done) = (Instant::now(), BTreeSet::new());
        while last.elapsed() < QUIET && done.len() < PARTITIONS as usize {
            let Some(polled) = consumer.poll(Duration::from_millis(100)) else { continue };
            let message = polled?;
            last = Instant::now();
            let at_ms = message.timestamp().to_millis().context("an output has a time")?;
            if at_ms <= until_ms {
                let value = message.payload().context("an output has a value")?.into();
                let output = Output { at_ms, partition: message.partition(), value };
                by_key.entry(message.key().context("an output has a key")?.into()).or_default().push(output);
            } else {
                done.insert(message.partition());
            }
        }
        Ok(Self(by_key))
    }

    /// Keys and values.
    pub fn values(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.0.iter().flat_map(|(key, told)| told.iter().map(|output| (&**key, &*output.value)))
    }

    /// How often each kind of change was told.
    pub fn changes(&self, formats: &Formats) -> BTreeMap<String, usize> {
        let mut changes = BTreeMap::new();
        for output in self.0.values().flatten() {
            if let Ok(Fact::Incident(incident)) = formats.decode_fact(FactKind::Incident, &output.value) {
                *changes.entry(format!("{:?}", incident.change)).or_default() += 1;
            }
        }
        changes
    }

    pub fn compare(&self, other: &Self, formats: &Formats) -> Equality {
        let all: BTreeSet<_> = self.0.keys().chain(other.0.keys()).collect();
        let different: Vec<_> = all.iter().filter(|key| self.of(key) != other.of(key)).collect();
        let first_difference = different.first().map(|key| {
            let [ours, theirs] = [self, other].map(|told| decoded(told.of(key), formats));
            difference(key, &ours, &theirs)
        });
        let outputs = self.0.values().map(Vec::len).sum();
        Equality { keys: all.len(), outputs, different_keys: different.len(), first_difference }
    }

    fn of(&self, key: &[u8]) -> &[Output] {
        self.0.get(key).map_or(&[], Vec::as_slice)
    }
}

/// As it is shown: event time, partition, incident.
fn decoded(told: &[Output], formats: &Formats) -> Vec<String> {
    let show = |output: &Output| match formats.decode_fact(FactKind::Incident, &output.value) {
        Ok(fact) => format!("{} in partition {}: {fact:?}", output.at_ms, output.partition),
        Err(error) => error.to_string(),
    };
    told.iter().map(show).collect()
}

fn difference(key: &[u8], ours: &[String], theirs: &[String]) -> String {
    let at = ours.iter().zip(theirs).take_while(|(one, other)| one == other).count();
    let show = |told: &[String]| told.get(at).map_or("nothing".to_owned(), Clone::clone);
    let key = String::from_utf8_lossy(key);
    format!("{key}, output {at}:\n  fairlead: {}\n  streams:  {}", show(ours), show(theirs))
}
