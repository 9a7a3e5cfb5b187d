//! Puts the mix into the topics. Event times rise by the record, over the fifty minutes before the load, so that no retention takes
//! them, no incident is forgotten meanwhile, and nothing that is told depends on how far one topic is read before the other.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Result, anyhow};
use fairlead::codec::registry::RegistryClient;
use fairlead::codec::{Format, Formats, SchemaId};
use fairlead::event::{Fact, FactKind};
use fairlead::log::client::Connection;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use crate::mix;

pub const ALERTS: &str = "bench.alerts.v1";
pub const DEPLOYS: &str = "bench.deploys.v1";
pub const PARTITIONS: i32 = 4;
const SPAN_MS: u64 = 3_000_000;

/// The facts' ids in the registry, which are the ones under which the engine registered them if it ran before.
pub fn schemas(registry: &str, facts: &[(&str, FactKind)]) -> Result<BTreeMap<FactKind, SchemaId>> {
    let client = RegistryClient::new(registry, None, None, Duration::from_secs(5))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut schemas = BTreeMap::new();
    for (topic, kind) in facts {
        schemas.insert(*kind, runtime.block_on(client.register(&format!("{topic}-value"), kind.schema_json()))?);
    }
    Ok(schemas)
}

pub fn formats(schemas: &BTreeMap<FactKind, SchemaId>) -> Result<Formats> {
    let mut formats = Formats::default();
    for (kind, id) in schemas {
        formats.write_fact_with(*kind, Format::new(*id, kind.schema_json())?);
    }
    Ok(formats)
}

pub fn producer(bootstrap: &str) -> Result<BaseProducer> {
    let mut config = Connection::new(bootstrap).producer();
    config.set("linger.ms", "5").set("compression.type", "lz4").set("queue.buffering.max.messages", "200000");
    Ok(config.create()?)
}

/// Answers with the last event time.
pub fn backlog(bootstrap: &str, formats: &Formats, records: u64, keys: u64) -> Result<u64> {
    let producer = producer(bootstrap)?;
    let begin_ms = now_ms() - SPAN_MS;
    for number in 0..records {
        let at_ms = begin_ms + number * SPAN_MS / records;
        let (service, round) = mix::service(number, keys);
        let fact = mix::fact(&service, round, at_ms);
        let topic = if fact.kind() == FactKind::Deploy { DEPLOYS } else { ALERTS };
        send(&producer, formats, topic, &fact, at_ms)?;
    }
    producer.flush(Duration::from_secs(120))?;
    Ok(begin_ms + SPAN_MS)
}

/// One alert of a service of its own, which so opens an incident.
pub fn one(bootstrap: &str, formats: &Formats, service: &str) -> Result<()> {
    let producer = producer(bootstrap)?;
    let at_ms = now_ms();
    send(&producer, formats, ALERTS, &Fact::Alert(mix::alert(service, 0, at_ms)), at_ms)?;
    Ok(producer.flush(Duration::from_secs(30))?)
}

pub fn send(producer: &BaseProducer, formats: &Formats, topic: &str, fact: &Fact<'_>, at_ms: u64) -> Result<()> {
    let mut value = Vec::new();
    formats.encode_fact(fact, &mut value)?;
    let mut record = BaseRecord::to(topic).key(fact.key()).payload(&value).timestamp(mix::signed(at_ms));
    loop {
        match producer.send(record) {
            Ok(()) => break,
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                record = back;
                producer.poll(Duration::from_millis(1));
            }
            Err((error, _)) => return Err(anyhow!("{topic}: {error}")),
        }
    }
    Ok(())
}

pub fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or_default()
}
