//! Audits as facts on their topic, and how far they went, read back from there.
//!
//! Died before the commit: the round is made again. Died after it: the next one goes on behind it. Two at once fence each other.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

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

/// The last audit of each flow partition of this flow that is on the topic. `partitions` are how many the topic has.
pub fn last_audits(
    config: &FlowConfig,
    topic: &str,
    partitions: i32,
    schemas: SchemaSource,
) -> Result<BTreeMap<String, Audit>, Error> {
    let mut reader = KafkaReader::new(&config.target.connection, &config.reader_group)?;
    let mut schemas = Schemas::new(Formats::default(), schemas);
    let mut last = BTreeMap::new();
    for number in 0..partitions {
        let partition = TopicPartition::new(&Topic::from(topic), Partition(number));
        let ends = reader.watermarks(&partition)?;
        let mut failed = None;
        scan(&mut reader, &partition, ends.low, ends.high.max(Offset(0)), |record| {
            let Some(value) = record.value else { return ControlFlow::Continue(()) };
            let read = schemas.learn_of(value, std::time::Duration::ZERO);
            let read =
                read.and_then(|()| schemas.formats.decode::<Audit>(value, AUDIT).map_err(|error| error.to_string()));
            match read {
                Ok(audit) if audit.flow == config.name => _ = last.insert(audit.flow_partition.clone(), audit),
                Ok(_) => {}
                Err(why) => {
                    failed = Some(Error::Ranges(format!(
                        "{partition} at offset {}: this is no audit: {why}",
                        record.offset.0
                    )));
                    return ControlFlow::Break(());
                }
            }
            ControlFlow::Continue(())
        })?;
        if let Some(failed) = failed {
            return Err(failed);
        }
    }
    Ok(last)
}
