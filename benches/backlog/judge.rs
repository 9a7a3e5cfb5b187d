//! A consumer of the incidents, read committed: what it has not seen has not happened.

use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail, ensure};
use fairlead::codec::Formats;
use fairlead::event::Fact;
use fairlead::log::client::Connection;
use hdrhistogram::Histogram;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::Message;
use rdkafka::producer::Producer;
use rdkafka::{Offset, TopicPartitionList};
use serde::Serialize;

use crate::load::{self, ALERTS, PARTITIONS};
use crate::mix;

/// From when a record should have been sent until its incident was read, committed.
#[derive(Serialize)]
pub struct Latency {
    pub rate: u64,
    pub count: u64,
    pub p50_ms: f64,
    pub p99_ms: f64,
    pub p999_ms: f64,
    pub max_ms: f64,
}

pub struct Judge {
    consumer: BaseConsumer,
}

impl Judge {
    /// Sees what is committed from now on.
    pub fn new(bootstrap: &str, topic: &str) -> Result<Self> {
        let mut config = Connection::new(bootstrap).consumer("bench.judge");
        let consumer: BaseConsumer = config.set("fetch.wait.max.ms", "10").create()?;
        let mut ends = TopicPartitionList::new();
        for partition in 0..PARTITIONS {
            ends.add_partition_offset(topic, partition, Offset::Offset(end_of(&consumer, topic, partition)?))?;
        }
        consumer.assign(&ends)?;
        Ok(Self { consumer })
    }

    /// The service of the next incident, or nothing within `wait`.
    pub fn next(&self, wait: Duration) -> Result<Option<String>> {
        match self.consumer.poll(wait) {
            None => Ok(None),
            Some(Ok(message)) => Ok(message.key().map(|key| String::from_utf8_lossy(key).into_owned())),
            Some(Err(error)) => Err(error.into()),
        }
    }

    pub fn until_incident_of(&mut self, service: &str, patience: Duration) -> Result<()> {
        let until = Instant::now() + patience;
        while Instant::now() < until {
            if self.next(Duration::from_millis(50))?.as_deref() == Some(service) {
                return Ok(());
            }
        }
        bail!("no incident of {service} within {patience:?}")
    }
}

/// Of a topic that may have just been made, and then has no leader for a moment.
fn end_of(consumer: &BaseConsumer, topic: &str, partition: i32) -> Result<i64> {
    use RDKafkaErrorCode::{LeaderNotAvailable, UnknownPartition, UnknownTopicOrPartition};
    let until = Instant::now() + Duration::from_secs(30);
    loop {
        match consumer.fetch_watermarks(topic, partition, Duration::from_secs(10)) {
            Err(error)
                if Instant::now() < until
                    && matches!(
                        error.rdkafka_error_code(),
                        Some(LeaderNotAvailable | UnknownPartition | UnknownTopicOrPartition)
                    ) =>
            {
                std::thread::sleep(Duration::from_millis(50));
            }
            answer => return Ok(answer?.1),
        }
    }
}

/// Every record is an alert of a service of its own, and so must become one incident.
pub fn latency(bootstrap: &str, incidents: &str, formats: &Formats, rate: u64, length: Duration) -> Result<Latency> {
    let judge = Judge::new(bootstrap, incidents)?;
    let count = rate * length.as_secs();
    let gap = Duration::from_secs(1) / u32::try_from(rate)?;
    let begin = Instant::now() + Duration::from_millis(500);
    let prefix = format!("latency-{rate}-");
    let due = |number: u64| begin + gap * u32::try_from(number).unwrap_or(u32::MAX);
    let send = || {
        let mut config = Connection::new(bootstrap).producer();
        let producer: rdkafka::producer::BaseProducer = config.set("linger.ms", "0").create()?;
        for number in 0..count {
            let at = due(number);
            while Instant::now() < at {
                std::thread::sleep(at.saturating_duration_since(Instant::now()).min(Duration::from_millis(1)));
            }
            let (service, at_ms) = (format!("{prefix}{number}"), load::now_ms());
            load::send(&producer, formats, ALERTS, &Fact::Alert(mix::alert(&service, 0, at_ms)), at_ms)?;
            producer.poll(Duration::ZERO);
        }
        anyhow::Ok(producer.flush(Duration::from_secs(30))?)
    };
    let mut micros = Histogram::<u64>::new_with_max(600_000_000, 3).map_err(|error| anyhow!("{error}"))?;
    std::thread::scope(|scope| {
        let sender = scope.spawn(send);
        let mut seen = 0;
        let until = begin + length + Duration::from_secs(120);
        while seen < count {
            ensure!(Instant::now() < until, "{} of {count} alerts have not become incidents", count - seen);
            let Some(service) = judge.next(Duration::from_millis(100))? else { continue };
            let Some(number) = service.strip_prefix(&prefix) else { continue };
            let took = Instant::now().saturating_duration_since(due(number.parse()?));
            micros.record(u64::try_from(took.as_micros())?).map_err(|error| anyhow!("{error}"))?;
            seen += 1;
        }
        sender.join().expect("the sender does not panic")
    })?;
    let ms = |quantile: f64| micros.value_at_quantile(quantile) as f64 / 1_000.0;
    Ok(Latency {
        rate,
        count,
        p50_ms: ms(0.5),
        p99_ms: ms(0.99),
        p999_ms: ms(0.999),
        max_ms: micros.max() as f64 / 1e3,
    })
}
