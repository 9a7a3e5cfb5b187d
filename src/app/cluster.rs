//! What commands look into: the cluster and the registry of a topology, and how what is met there is decoded.
//!
//! Nothing is started and nothing registered. A topology that names no cluster is looked for where a running `fairlead run`
//! serves its embedded one.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use apache_avro::Schema;

use super::Endpoints;
use super::decoded::Decoded;
use super::embedded::Embedded;
use crate::codec::registry::RegistryClient;
use crate::codec::{SchemaId, envelope, generic};
use crate::log::kafka::KafkaReader;
use crate::log::{self, Watermarks, reach, scan};
use crate::record::{Batch, Offset, Partition, Record, Topic, TopicPartition};
use crate::topology::plan::Topology;
use crate::topology::problem::suggest;

/// How long a cluster or a registry may take to answer before it counts as absent.
const PATIENCE: Duration = Duration::from_secs(10);

pub struct Cluster {
    pub topology: Topology,
    pub endpoints: Endpoints,
    pub reader: KafkaReader,
    pub registry: RegistryClient,
    /// Partitions of every topic.
    topics: BTreeMap<String, usize>,
    /// Writers' schemas as they are met: the full name of the record, or why there is none.
    schemas: BTreeMap<SchemaId, Result<(String, Schema), String>>,
}

impl Cluster {
    /// Connects, and fails with the mend if nobody is there.
    pub async fn reach(topology: Topology) -> Result<Self> {
        let endpoints = Endpoints::resolve(&topology.settings, Embedded::elsewhere())?;
        let registry = endpoints.registry(PATIENCE)?;
        let reader = KafkaReader::new(&endpoints.connection, &topology.names.reader_group())?;
        let topics = reach::topics(&endpoints.connection, PATIENCE).await.map_err(|error| match error {
            log::Error::Unavailable(_) if topology.settings.kafka.bootstrap_servers.is_none() => anyhow!(
                "no Kafka answers at {}, where the embedded broker of a running `fairlead run` serves; start it, or name a \
                 cluster by --kafka or in the topology",
                endpoints.connection.bootstrap_servers
            ),
            error => error.into(),
        })?;
        Ok(Self { topology, endpoints, reader, registry, topics, schemas: BTreeMap::new() })
    }

    /// Every partition of the topic, or what there is instead.
    pub fn partitions(&self, topic: &Topic) -> Result<Vec<TopicPartition>> {
        match self.topics.get(topic.as_str()) {
            Some(count) => {
                let count = i32::try_from(*count)?;
                Ok((0..count).map(|number| TopicPartition::new(topic, Partition(number))).collect())
            }
            None => {
                let known = suggest(topic.as_str(), self.topics.keys().map(String::as_str));
                bail!("there is no topic `{topic}` on {}{known}", self.endpoints.connection.bootstrap_servers)
            }
        }
    }

    pub fn partition(&self, topic: &Topic, number: Partition) -> Result<TopicPartition> {
        let partitions = self.partitions(topic)?;
        let count = partitions.len();
        let found = partitions.into_iter().find(|partition| partition.partition == number);
        found.ok_or_else(|| anyhow!("`{topic}` has no partition {}; it has 0 to {}", number.0, count.saturating_sub(1)))
    }

    /// What is still kept of `from..to`, read to its end; `take` breaks off. Answers with the first offset that is kept.
    pub fn scan(
        &mut self,
        partition: &TopicPartition,
        (from, to): (Offset, Offset),
        take: impl FnMut(&Record<'_>) -> ControlFlow<()>,
    ) -> Result<Offset> {
        let Watermarks { low, high } = self.reader.watermarks(partition)?;
        scan::scan(&mut self.reader, partition, from.max(low), to.min(high), take)?;
        Ok(low)
    }

    /// The same, kept: those that `wanted` wants.
    pub fn collect(
        &mut self,
        partition: &TopicPartition,
        range: (Offset, Offset),
        mut wanted: impl FnMut(&Record<'_>) -> bool,
    ) -> Result<Batch> {
        let mut batch = Batch::default();
        self.scan(partition, range, |record| {
            if wanted(record) {
                batch.push(record);
            }
            ControlFlow::Continue(())
        })?;
        Ok(batch)
    }

    /// The record at exactly this offset.
    pub fn record(&mut self, partition: &TopicPartition, offset: Offset) -> Result<Batch> {
        let Watermarks { low, high } = self.reader.watermarks(partition)?;
        if offset < low {
            bail!("{partition} begins at offset {}: {} is no longer retained", low.0, offset.0);
        }
        if offset >= high {
            let last = if high > low { format!("the last is {}", high.0 - 1) } else { "it is empty".to_owned() };
            bail!("{partition} has no offset {} yet; {last}", offset.0);
        }
        let (mut found, mut next) = (Batch::default(), None);
        self.scan(partition, (offset, high), |record| {
            if record.offset == offset {
                found.push(record);
            } else {
                next = Some(record.offset);
            }
            ControlFlow::Break(())
        })?;
        if found.is_empty() {
            let next =
                next.map_or_else(|| "no record follows".to_owned(), |next| format!("the next record is at {}", next.0));
            bail!(
                "{partition} holds no record at offset {}: it is the mark of a transaction, or what was there was aborted or \
                 compacted away; {next}",
                offset.0
            );
        }
        Ok(found)
    }

    /// A schema that cannot be had is told with the record, and is no failure.
    pub async fn decode(&mut self, record: &Record<'_>) -> Decoded {
        let read = match record.value {
            Some(value) => Some(self.read(value).await),
            None => None,
        };
        Decoded::of(record, read)
    }

    pub async fn decode_all(&mut self, batch: &Batch) -> Vec<Decoded> {
        let mut decoded = Vec::with_capacity(batch.len());
        for record in batch.iter() {
            decoded.push(self.decode(&record).await);
        }
        decoded
    }

    async fn read(&mut self, value: &[u8]) -> Result<(String, serde_json::Value), String> {
        let (id, body) = envelope::open(value).map_err(|error| error.to_string())?;
        if !self.schemas.contains_key(&id) {
            let learnt = self.learn(id).await;
            self.schemas.insert(id, learnt);
        }
        match &self.schemas[&id] {
            Ok((name, schema)) => Ok((name.clone(), generic::read(schema, body)?)),
            Err(error) => Err(error.clone()),
        }
    }

    async fn learn(&self, id: SchemaId) -> Result<(String, Schema), String> {
        let json = self.registry.schema(id).await.map_err(|error| error.to_string())?;
        let json = json.ok_or_else(|| format!("the registry knows no schema id {}", id.0))?;
        let schema =
            Schema::parse_str(&json).map_err(|error| format!("schema id {} is no Avro schema: {error}", id.0))?;
        let name = schema.name().map_or_else(|| "value".to_owned(), |name| name.to_string());
        Ok((name, schema))
    }
}
