//! The measurements, the same for every system: none asks the system anything, all look at the target and the kernel.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use hdrhistogram::Histogram;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};

use crate::Args;
use crate::apache::Kafka;
use crate::load::{LAST, Load};
use crate::systems::{Running, System, TARGET_TOPIC, TOPIC};

const PATIENCE: Duration = Duration::from_secs(600);
/// So many offsets before the end the last record is, marks of transactions behind it.
const TAIL: i64 = 30;
const SAMPLE: Duration = Duration::from_millis(50);

pub struct Drain {
    /// From the start of the process to the last record.
    pub whole: Stretch,
    /// From when half of the records were there.
    pub later: Stretch,
    pub peak_bytes: f64,
}

pub struct Stretch {
    pub bytes: f64,
    pub seconds: f64,
    pub cpu_seconds: f64,
}

impl Stretch {
    pub fn megabytes_per_second(&self) -> f64 {
        self.bytes / 1e6 / self.seconds
    }

    pub fn cpu_per_gigabyte(&self) -> f64 {
        self.cpu_seconds / (self.bytes / 1e9)
    }
}

pub struct Lag {
    pub p50_ms: f64,
    pub p99_ms: f64,
    pub cpu_percent: f64,
}

/// On two clusters of its own.
pub fn run(system: System, record_bytes: usize, args: &Args) -> Result<(Drain, Option<Lag>)> {
    let (source, target) = (Kafka::start_own(&[]), Kafka::start_own(&[]));
    for (kafka, topic) in [(&source, TOPIC), (&target, TARGET_TOPIC)] {
        create(kafka.bootstrap(), topic, args.partitions)?;
    }
    let mut load = Load::new(source.bootstrap(), TOPIC, args.partitions, record_bytes)?;
    let records = args.megabytes * 1_000_000 / record_bytes;
    for _ in 0..records {
        load.send()?;
    }
    load.finish()?;
    let ends = Ends::new(target.bootstrap(), args.partitions)?;
    let began = Instant::now();
    let mut running = Running::start(system, source.bootstrap(), target.bootstrap(), args.partitions)?;
    let drain = drain(&mut running, &ends, began, records, record_bytes)?;
    let lag = (args.steady > 0).then(|| lag(&running, &target, &mut load, args)).transpose()?;
    Ok((drain, lag))
}

fn drain(running: &mut Running, ends: &Ends, began: Instant, records: usize, record_bytes: usize) -> Result<Drain> {
    let (mut peak, mut half) = (0.0_f64, None);
    loop {
        std::thread::sleep(SAMPLE);
        running.check()?;
        ensure!(began.elapsed() < PATIENCE, "the target has not all after {PATIENCE:?}");
        peak = peak.max(running.peak_bytes()?);
        // Marks of transactions are on the target too.
        let there = ends.sum()?;
        let now = (Instant::now(), running.cpu_seconds()?, there);
        if there * 2 >= records && half.is_none() {
            half = Some(now);
        }
        if there >= records && ends.complete()? {
            let half = half.unwrap_or(now);
            let bytes = |count: usize| (count * record_bytes) as f64;
            let stretch = |bytes: f64, since: Instant, cpu: f64| Stretch {
                bytes,
                seconds: now.0.duration_since(since).as_secs_f64(),
                cpu_seconds: now.1 - cpu,
            };
            let whole = stretch(bytes(records), began, 0.0);
            let later = stretch(bytes(records.saturating_sub(half.2)), half.0, half.1);
            return Ok(Drain { whole, later, peak_bytes: peak });
        }
    }
}

/// Ends of the copy's partitions.
struct Ends {
    consumer: BaseConsumer,
    partitions: i32,
}

impl Ends {
    fn new(bootstrap: &str, partitions: i32) -> Result<Self> {
        Ok(Self { consumer: reader(bootstrap)?, partitions })
    }

    fn sum(&self) -> Result<usize> {
        let mut sum = 0;
        for partition in 0..self.partitions {
            sum += self.consumer.fetch_watermarks(TARGET_TOPIC, partition, Duration::from_secs(10))?.1;
        }
        Ok(usize::try_from(sum)?)
    }

    /// The last record of each partition can be read.
    fn complete(&self) -> Result<bool> {
        let mut list = TopicPartitionList::new();
        for partition in 0..self.partitions {
            list.add_partition_offset(TARGET_TOPIC, partition, Offset::OffsetTail(TAIL))?;
        }
        self.consumer.assign(&list)?;
        let (mut last, until) = (std::collections::BTreeSet::new(), Instant::now() + SAMPLE * 4);
        while last.len() < usize::try_from(self.partitions)? && Instant::now() < until {
            if let Some(Ok(message)) = self.consumer.poll(SAMPLE)
                && message.key() == Some(LAST)
            {
                last.insert(message.partition());
            }
        }
        self.consumer.unassign()?;
        Ok(last.len() == usize::try_from(self.partitions)?)
    }
}

fn lag(running: &Running, target: &Kafka, load: &mut Load, args: &Args) -> Result<Lag> {
    let consumer = reader(target.bootstrap())?;
    let mut list = TopicPartitionList::new();
    for partition in 0..args.partitions {
        list.add_partition_offset(TARGET_TOPIC, partition, Offset::End)?;
    }
    consumer.assign(&list)?;
    let (time, cpu, began) = (Duration::from_secs(args.seconds), running.cpu_seconds()?, Instant::now());
    let mut lags = Histogram::<u64>::new_with_bounds(1, 3_600_000, 3)?;
    std::thread::scope(|scope| {
        let loading = scope.spawn(|| load.steadily(args.steady * 1_000_000, time));
        while !loading.is_finished() {
            let Some(message) = consumer.poll(Duration::from_millis(10)) else { continue };
            let written = message?.timestamp().to_millis().context("no time")?;
            // The beginning, in which everything gets going, is not told.
            if began.elapsed() > time / 5 {
                let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_millis();
                lags.record(u64::try_from(i64::try_from(now)? - written).unwrap_or(0).max(1))?;
            }
        }
        loading.join().map_err(|_| anyhow::anyhow!("the load panicked"))?
    })?;
    let cpu_percent = (running.cpu_seconds()? - cpu) / began.elapsed().as_secs_f64() * 100.0;
    ensure!(!lags.is_empty(), "nothing came to the target while its lag was measured");
    Ok(Lag { p50_ms: lags.value_at_quantile(0.5) as f64, p99_ms: lags.value_at_quantile(0.99) as f64, cpu_percent })
}

fn reader(bootstrap: &str) -> Result<BaseConsumer> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap).set("group.id", "bench").set("enable.auto.commit", "false");
    config.set("fetch.wait.max.ms", "10").set("isolation.level", "read_committed");
    Ok(config.create()?)
}

fn create(bootstrap: &str, topic: &str, partitions: i32) -> Result<()> {
    use fairlead::log::admin::{TopicPlan, ensure_topics};
    let plan = TopicPlan { name: topic.to_owned(), partitions, replication: Some(1), config: Default::default() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(ensure_topics(&fairlead::log::client::Connection::new(bootstrap), &[plan]))?;
    Ok(())
}
