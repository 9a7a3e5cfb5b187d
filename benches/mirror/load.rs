//! What the source is filled with, and the steady stream that is followed later.

use std::time::{Duration, Instant};

use anyhow::Result;
use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

/// Key of the last record of each partition.
pub const LAST: &[u8] = b"last";
const PATIENCE: Duration = Duration::from_secs(60);

/// Values that compress to about half, keyed, over all partitions.
pub struct Load {
    producer: BaseProducer,
    topic: String,
    partitions: i32,
    value: Vec<u8>,
    random: u64,
    number: i64,
}

impl Load {
    pub fn new(bootstrap: &str, topic: &str, partitions: i32, record_bytes: usize) -> Result<Self> {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", bootstrap).set("compression.type", "lz4").set("linger.ms", "5");
        let (value, topic) = (vec![b'.'; record_bytes], topic.to_owned());
        Ok(Self { producer: config.create()?, topic, partitions, value, random: 0x9e37_79b9_7f4a_7c15, number: 0 })
    }

    pub fn send(&mut self) -> Result<()> {
        let noise = self.value.len() / 2;
        for chunk in self.value[..noise].chunks_mut(8) {
            self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let bytes = (self.random ^ self.random >> 29).to_le_bytes();
            chunk.copy_from_slice(&bytes[..chunk.len()]);
        }
        self.number += 1;
        let (key, partition) = (self.number.to_string(), i32::try_from(self.number % i64::from(self.partitions))?);
        self.put(partition, key.as_bytes())
    }

    /// One more in each partition: whoever has these has all.
    pub fn finish(&mut self) -> Result<()> {
        for partition in 0..self.partitions {
            self.put(partition, LAST)?;
        }
        Ok(self.producer.flush(PATIENCE)?)
    }

    fn put(&self, partition: i32, key: &[u8]) -> Result<()> {
        let mut record = BaseRecord::<[u8], [u8]>::to(&self.topic).partition(partition).key(key).payload(&self.value);
        loop {
            match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    record = back;
                    self.producer.poll(Duration::from_millis(5));
                }
                Err((error, _)) => return Err(error.into()),
            }
        }
    }

    /// So many bytes a second, in small portions, for so long.
    pub fn steadily(&mut self, bytes_per_second: usize, time: Duration) -> Result<()> {
        let (began, mut sent) = (Instant::now(), 0);
        while began.elapsed() < time {
            let due = began.elapsed().as_secs_f64() * bytes_per_second as f64;
            while (sent as f64) < due {
                self.send()?;
                sent += self.value.len();
            }
            self.producer.poll(Duration::from_millis(2));
        }
        Ok(self.producer.flush(PATIENCE)?)
    }
}
