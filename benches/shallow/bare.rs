//! The bare loop: consume and produce with librdkafka, and what fills and reads topics around it.

use std::time::Duration;

use anyhow::{Result, bail, ensure};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::BorrowedMessage;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Message, Offset, TopicPartitionList};

use crate::{PATIENCE, client};

/// Until `end` of the source is copied.
pub fn copy(bootstrap: &str, source: &str, target: &str, end: i64) -> Result<u64> {
    let producer = producer(bootstrap, 1_000_000)?;
    each(bootstrap, source, end, |message| {
        let mut record = BaseRecord::<[u8], [u8]>::to(target).partition(0);
        record.key = message.key();
        record.payload = message.payload();
        record.timestamp = message.timestamp().to_millis();
        send(&producer, record)
    })?;
    producer.flush(PATIENCE)?;
    Ok(0)
}

/// Values that compress to about half, in batches of about `batch_bytes` before compression.
pub fn fill(bootstrap: &str, topic: &str, bytes: usize, record_bytes: usize, batch_bytes: usize) -> Result<()> {
    let producer = producer(bootstrap, batch_bytes)?;
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut value = vec![b'.'; record_bytes];
    for number in 0..bytes / record_bytes {
        // The first half is noise.
        for chunk in value[..record_bytes / 2].chunks_mut(8) {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let noise = (random ^ random >> 29).to_le_bytes();
            chunk.copy_from_slice(&noise[..chunk.len()]);
        }
        let key = number.to_string();
        let record = BaseRecord::<[u8], [u8]>::to(topic).partition(0).key(key.as_bytes()).payload(&value);
        send(&producer, record)?;
    }
    producer.flush(PATIENCE)?;
    Ok(())
}

/// Of keys, values, timestamps and their order.
pub fn digest(bootstrap: &str, topic: &str, end: i64) -> Result<u32> {
    let (mut digest, mut next) = (0, 0);
    each(bootstrap, topic, end, |message| {
        ensure!(message.offset() == next, "offset {} of {topic} where {next} was expected", message.offset());
        next += 1;
        digest = crc32c::crc32c_append(digest, message.key().unwrap_or_default());
        digest = crc32c::crc32c_append(digest, message.payload().unwrap_or_default());
        digest = crc32c::crc32c_append(digest, &message.timestamp().to_millis().unwrap_or_default().to_be_bytes());
        Ok(())
    })?;
    Ok(digest)
}

fn each(
    bootstrap: &str,
    topic: &str,
    end: i64,
    mut seen: impl FnMut(&BorrowedMessage<'_>) -> Result<()>,
) -> Result<()> {
    let config = client(bootstrap, &[("group.id", "shallow"), ("enable.auto.commit", "false")]);
    let consumer: BaseConsumer = config.create()?;
    let mut from = TopicPartitionList::new();
    from.add_partition_offset(topic, 0, Offset::Beginning)?;
    consumer.assign(&from)?;
    loop {
        match consumer.poll(PATIENCE) {
            Some(message) => {
                let message = message?;
                seen(&message)?;
                if message.offset() + 1 >= end {
                    return Ok(());
                }
            }
            None => bail!("{topic} does not come to offset {end}"),
        }
    }
}

fn producer(bootstrap: &str, batch_bytes: usize) -> Result<BaseProducer> {
    let (size, count) = (batch_bytes.to_string(), (batch_bytes / 1_000).max(1).to_string());
    // Java's batch.size is one of bytes; librdkafka's lets a batch pass it by a record.
    let settings = [
        ("enable.idempotence", "true"),
        ("acks", "all"),
        ("compression.type", "lz4"),
        ("linger.ms", "20"),
        ("batch.size", &size),
        ("batch.num.messages", &count),
        ("queue.buffering.max.messages", "200000"),
    ];
    Ok(client(bootstrap, &settings).create()?)
}

/// Waits while the queue is full.
fn send(producer: &BaseProducer, record: BaseRecord<'_, [u8], [u8]>) -> Result<()> {
    let mut record = record;
    loop {
        match producer.send(record) {
            Ok(()) => break,
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), refused)) => {
                record = refused;
                producer.poll(Duration::from_millis(10));
            }
            Err((error, _)) => return Err(error.into()),
        }
    }
    producer.poll(Duration::ZERO);
    Ok(())
}
