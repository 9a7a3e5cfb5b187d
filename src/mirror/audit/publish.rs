//! Audits as facts on their topic, and how far they went, read back from there.
//!
//! Died before the commit: the round is made again. Died after it: the next one goes on behind it. Two of one id fence each other.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::Duration;

use crate::codec::Formats;
use crate::event::{Audit, Fact};
use crate::log::kafka::{Identity, KafkaReader, KafkaWriter};
use crate::log::scan::scan;
use crate::mirror::provision::{Error, FlowConfig};
use crate::record::{EventTime, NewRecord, Offset, Partition, Topic, TopicPartition};
use crate::runtime::{SchemaSource, Schemas};

/// Full name of what an audit is written as.
const AUDIT: &str = "fairlead.migration.Audit";

pub struct Publisher {
    topic: Topic,
    formats: Formats,
    writer: KafkaWriter,
}

impl Publisher {
    /// `formats` writes audits. Blocks while an earlier one with the same id is fenced.
    pub fn new(config: &FlowConfig, topic: &str, formats: Formats, transactional_id: &str) -> Result<Self, Error> {
        let topic = Topic::from(topic);
        let identity = Identity {
            group: config.reader_group.clone(),
            transactional_id: transactional_id.to_owned(),
            instance_id: None,
            writes: vec![topic.clone()],
        };
        Ok(Self { topic, formats, writer: KafkaWriter::new(&config.target.connection, &identity)? })
    }

    /// All of them, or none.
    pub fn publish(&mut self, audits: &[Audit]) -> Result<(), Error> {
        if audits.is_empty() {
            return Ok(());
        }
        self.writer.begin()?;
        for audit in audits {
            let mut value = Vec::new();
            let encoded = self.formats.encode_fact(&Fact::Audit(audit.clone()), &mut value);
            encoded.map_err(|error| Error::Ranges(format!("an audit cannot be written: {error}")))?;
            self.writer.produce(&NewRecord {
                topic: self.topic.clone(),
                partition: None,
                timestamp: EventTime(audit.at_ms),
                key: Some(audit.flow_partition.clone().into_bytes()),
                value: Some(value),
                headers: Vec::new(),
            })?;
        }
        Ok(self.writer.commit()?)
    }
}

/// The last audit of each flow partition of one flow, read on from the topic of audits.
pub struct LastAudits {
    flow: String,
    topic: Topic,
    reader: KafkaReader,
    schemas: Schemas,
    next: BTreeMap<i32, Offset>,
    last: BTreeMap<String, Audit>,
}

impl LastAudits {
    pub fn new(config: &FlowConfig, topic: &str, schemas: SchemaSource) -> Result<Self, Error> {
        let reader = KafkaReader::new(&config.target.connection, &config.reader_group)?;
        let schemas = Schemas::new(Formats::default(), schemas);
        let (flow, topic) = (config.name.clone(), Topic::from(topic));
        Ok(Self { flow, topic, reader, schemas, next: BTreeMap::new(), last: BTreeMap::new() })
    }

    pub fn last(&self) -> &BTreeMap<String, Audit> {
        &self.last
    }

    /// Up to where flow partitions were audited.
    pub fn ends(&self) -> BTreeMap<String, i64> {
        self.last.iter().map(|(partition, audit)| (partition.clone(), audit.source_end)).collect()
    }

    /// `partitions` are how many the topic has.
    pub fn read_on(&mut self, partitions: i32) -> Result<(), Error> {
        for number in 0..partitions {
            self.read(number)?;
        }
        Ok(())
    }

    fn read(&mut self, number: i32) -> Result<(), Error> {
        let Self { flow, topic, reader, schemas, next, last } = self;
        let partition = TopicPartition::new(topic, Partition(number));
        let ends = reader.watermarks(&partition)?;
        let from = next.get(&number).copied().unwrap_or(ends.low).max(ends.low);
        let mut failed = None;
        scan(reader, &partition, from, ends.high, |record| {
            let Some(value) = record.value else { return ControlFlow::Continue(()) };
            let learnt = schemas.learn_of(value, Duration::ZERO);
            let decode = |()| schemas.formats.decode::<Audit>(value, AUDIT).map_err(|error| error.to_string());
            match learnt.and_then(decode) {
                Ok(audit) if audit.flow == *flow => _ = last.insert(audit.flow_partition.clone(), audit),
                Ok(_) => {}
                Err(why) => {
                    let offset = record.offset.0;
                    failed = Some(Error::Ranges(format!("{partition} at offset {offset}: this is no audit: {why}")));
                    return ControlFlow::Break(());
                }
            }
            ControlFlow::Continue(())
        })?;
        if let Some(failed) = failed {
            return Err(failed);
        }
        next.insert(number, ends.high);
        Ok(())
    }
}
