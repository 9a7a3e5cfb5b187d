//! What is told of groups: a fact for each change, and what was told last.
//!
//! Invariants: a fact is written when a group's state, its reason or its offset on the target changes, and not when only time passes;
//! what was told before a restart is read from the topic. Written in transactions, so that of two processes that both tell, the
//! later fences the earlier.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::Duration;

use anyhow::Result;

use crate::codec::Formats;
use crate::event::{Fact, GroupOffset};
use crate::log::client::Connection;
use crate::log::kafka::{Identity, KafkaReader, KafkaWriter};
use crate::log::scan;
use crate::record::{EventTime, NewRecord, Topic};
use crate::runtime::{SchemaSource, Schemas};

/// Full name of the fact's schema.
const GROUP_OFFSET: &str = "fairlead.migration.GroupOffset";

/// Group, source topic, partition.
type Key = (String, String, i32);

pub struct Told {
    topic: Topic,
    formats: Formats,
    writer: KafkaWriter,
    last: BTreeMap<Key, GroupOffset>,
}

impl Told {
    /// Fences whoever told before. Blocks.
    pub fn start(
        connection: &Connection,
        identity: &Identity,
        flow: &str,
        topic: &Topic,
        (formats, schemas): (Formats, SchemaSource),
    ) -> Result<Self> {
        let writer = KafkaWriter::new(connection, identity)?;
        let mut reader = KafkaReader::new(connection, &identity.group)?;
        let recorded = recorded(&mut reader, topic, (formats.clone(), schemas))?;
        let last = recorded.into_iter().filter(|fact| fact.flow == flow).map(|fact| (key(&fact), fact)).collect();
        Ok(Self { topic: topic.clone(), formats, writer, last })
    }

    /// Writes those that are news, in one transaction. Blocks.
    pub fn tell(&mut self, findings: Vec<GroupOffset>) -> Result<()> {
        let news: Vec<_> = findings.into_iter().filter(|fact| is_news(self.last.get(&key(fact)), fact)).collect();
        if news.is_empty() {
            return Ok(());
        }
        self.writer.begin()?;
        for fact in &news {
            let mut value = Vec::new();
            self.formats.encode_fact(&Fact::GroupOffset(fact.clone()), &mut value)?;
            let record = NewRecord {
                topic: self.topic.clone(),
                partition: None,
                timestamp: EventTime(fact.at_ms),
                key: Some(fact.group.clone().into_bytes()),
                value: Some(value),
                headers: Vec::new(),
            };
            if let Err(error) = self.writer.produce(&record) {
                self.writer.abort()?;
                return Err(error.into());
            }
        }
        self.writer.commit()?;
        self.last.extend(news.into_iter().map(|fact| (key(&fact), fact)));
        Ok(())
    }
}

fn key(fact: &GroupOffset) -> Key {
    (fact.group.clone(), fact.source_topic.clone(), fact.source_partition)
}

fn is_news(before: Option<&GroupOffset>, fact: &GroupOffset) -> bool {
    let told = |fact: &GroupOffset| (fact.state, fact.target_offset, fact.reason.clone());
    before.is_none_or(|before| told(before) != told(fact))
}

/// The newest fact of each group and partition of each flow. Blocks.
pub fn recorded(
    reader: &mut KafkaReader,
    topic: &Topic,
    (formats, schemas): (Formats, SchemaSource),
) -> Result<Vec<GroupOffset>> {
    let mut schemas = Schemas::new(formats, schemas);
    let mut newest: BTreeMap<(String, Key), GroupOffset> = BTreeMap::new();
    let partitions = reader.partitions(topic)?;
    let ends = reader.true_ends(&partitions)?;
    for (partition, end) in partitions.iter().zip(ends) {
        let (low, mut failed) = (reader.watermarks(partition)?.low, None);
        scan::scan(reader, partition, low, end, |record| {
            let Some(value) = record.value else { return ControlFlow::Continue(()) };
            let learnt = schemas.learn_of(value, Duration::ZERO);
            match learnt.map(|()| schemas.formats.decode::<GroupOffset>(value, GROUP_OFFSET)) {
                Ok(Ok(fact)) => drop(newest.insert((fact.flow.clone(), key(&fact)), fact)),
                Ok(Err(error)) => failed = Some(format!("{partition} at {}: {error}", record.offset.0)),
                Err(error) => failed = Some(error),
            }
            if failed.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        if let Some(failed) = failed {
            anyhow::bail!(failed);
        }
    }
    Ok(newest.into_values().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::GroupOffsetState;

    #[test]
    fn only_a_change_is_told() {
        let fact = GroupOffset {
            group: "g".into(),
            flow: "f".into(),
            source_topic: "old".into(),
            source_partition: 0,
            source_offset: 5,
            target_topic: "new".into(),
            target_partition: 0,
            target_offset: Some(3),
            state: GroupOffsetState::Exact,
            reason: None,
            at_ms: 1,
        };
        assert!(is_news(None, &fact));
        assert!(!is_news(Some(&fact), &GroupOffset { at_ms: 2, source_offset: 6, ..fact.clone() }));
        assert!(is_news(Some(&fact), &GroupOffset { target_offset: Some(4), ..fact.clone() }));
        assert!(is_news(Some(&fact), &GroupOffset { reason: Some("why".into()), ..fact.clone() }));
        assert!(is_news(Some(&fact), &GroupOffset { state: GroupOffsetState::Waiting, ..fact.clone() }));
    }
}
