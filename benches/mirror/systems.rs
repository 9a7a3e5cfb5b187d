//! The systems, each a process of its own.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use fairlead::clock::Clock;
use fairlead::codec::Formats;
use fairlead::log;
use fairlead::log::admin::{TopicPlan, ensure_topics};
use fairlead::log::client::Connection;
use fairlead::mirror::copy::{Copies, Flow, Pair};
use fairlead::record::Topic;
use fairlead::runtime::SchemaAnswer;
use fairlead::wire::Admin;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};

pub const TOPIC: &str = "bench.records";
/// As MirrorMaker 2's own policy calls it.
pub const TARGET_TOPIC: &str = "a.bench.records";

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum System {
    Bare,
    Fairlead,
    Mm2,
    Mm2Eos,
}

pub struct Running {
    child: Child,
    _dir: tempfile::TempDir,
}

impl Running {
    pub fn start(system: System, source: &str, target: &str, partitions: i32) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let mut command = match system {
            System::Bare | System::Fairlead => {
                let mut command = Command::new(std::env::current_exe()?);
                let name = if system == System::Bare { "bare" } else { "fairlead" };
                command.args(["--partitions", &partitions.to_string(), "--as-system", name, source, target]);
                command.args([TOPIC, TARGET_TOPIC]);
                command
            }
            System::Mm2 | System::Mm2Eos => mirror_maker(dir.path(), system == System::Mm2Eos, source, target)?,
        };
        let log = std::fs::File::create(dir.path().join("log"))?;
        command.stdin(Stdio::piped()).stdout(log.try_clone()?).stderr(log);
        Ok(Self { child: command.spawn()?, _dir: dir })
    }

    /// It has not ended by itself.
    pub fn check(&mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            let log = std::fs::read_to_string(self._dir.path().join("log")).unwrap_or_default();
            let tail: Vec<_> = log.lines().rev().take(20).collect();
            anyhow::bail!("it has ended: {status}\n{}", tail.into_iter().rev().collect::<Vec<_>>().join("\n"));
        }
        Ok(())
    }

    /// User and system time since its start.
    pub fn cpu_seconds(&self) -> Result<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // The name, which may hold anything, ends with the last parenthesis.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok()).context("no such field");
        Ok((ticks(11)? + ticks(12)?) / 100.0)
    }

    pub fn peak_bytes(&self) -> Result<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find(|line| line.starts_with("VmHWM")).context("no peak")?;
        let kib: f64 = line.split_whitespace().nth(1).context("no number")?.parse()?;
        Ok(kib * 1024.0)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Gone already if it failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One node, as many tasks as this machine has cores, all topics of the flow; what is no part of copying (heartbeats, checkpoints) is off.
fn mirror_maker(dir: &Path, exactly_once: bool, source: &str, target: &str) -> Result<Command> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/mirror/mm2");
    let libs = Command::new(here.join("libs.sh")).output()?;
    ensure!(libs.status.success(), "{}", String::from_utf8_lossy(&libs.stderr));
    let libs = String::from_utf8(libs.stdout)?;
    let mut properties = format!(
        "clusters = a, b\n\
         a.bootstrap.servers = {source}\nb.bootstrap.servers = {target}\n\
         a->b.enabled = true\nb->a.enabled = false\na->b.topics = {TOPIC}\n\
         a->b.emit.heartbeats.enabled = false\nb->a.emit.heartbeats.enabled = false\n\
         a->b.emit.checkpoints.enabled = false\na->b.sync.topic.acls.enabled = false\n\
         tasks.max = 2\nreplication.factor = 1\noffset-syncs.topic.replication.factor = 1\n\
         config.storage.replication.factor = 1\noffset.storage.replication.factor = 1\nstatus.storage.replication.factor = 1\n\
         a.consumer.auto.offset.reset = earliest\na.consumer.max.poll.records = 2000\n\
         b.producer.compression.type = lz4\nb.producer.linger.ms = 10\nb.producer.batch.size = 524288\n"
    );
    if exactly_once {
        properties.push_str(
            "b.exactly.once.source.support = enabled\ndedicated.mode.enable.internal.rest = true\n\
             listeners = http://127.0.0.1:0\na.consumer.isolation.level = read_committed\n",
        );
    }
    let file = dir.join("mm2.properties");
    std::fs::write(&file, properties)?;
    let mut command = Command::new("java");
    let logs = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kafka/log4j2.properties");
    command.arg("-Xmx512m").arg("-XX:+UseG1GC").arg(format!("-Dlog4j2.configurationFile={}", logs.display()));
    command.arg("-Dlevel=INFO").arg("-cp").arg(format!("{}/*", libs.trim()));
    command.arg("org.apache.kafka.connect.mirror.MirrorMaker").arg(file);
    Ok(command)
}

/// In the child.
pub fn be(system: System, source: &str, target: &str, topic: &str, copy: &str, partitions: i32) -> Result<()> {
    // Not longer than its parent: the other end of standard input.
    std::thread::spawn(|| {
        let _ = std::io::read_to_string(std::io::stdin());
        std::process::exit(0);
    });
    if system == System::Bare {
        bare(source, target, topic, copy, partitions)
    } else {
        fairlead(source, target, topic, copy, partitions)
    }
}

fn fairlead(source: &str, target: &str, topic: &str, copy: &str, partitions: i32) -> Result<()> {
    let (from, to, shards) = (Connection::new(source), Connection::new(target), 2_u16);
    let name = "migration.mirror-offsets.v1";
    let offsets = TopicPlan {
        name: name.to_owned(),
        partitions: shards.into(),
        replication: Some(1),
        config: Default::default(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(ensure_topics(&to, &[offsets]))?;
    let admin = Admin::new(&from)?;
    let ids = move |names: &[String], _: &AtomicBool| {
        runtime.block_on(admin.topic_ids(names)).map_err(|error| log::Error::Unavailable(error.to_string()))
    };
    let topic_id = ids(&[topic.to_owned()], &AtomicBool::new(false))?.into_iter().next().map(|(_, id)| id);
    let (from_topic, to_topic) = (Topic::from(topic), Topic::from(copy));
    let pair = Pair { from: from_topic, topic_id, partitions, to: to_topic, to_partitions: partitions };
    let flow = Flow {
        name: "bench".to_owned(),
        from,
        to,
        offsets: Topic::from(name),
        shards,
        group: "bench.mirror".to_owned(),
        instance: "1".to_owned(),
        rate_bytes_max: None,
        refresh: Duration::from_secs(30),
        pairs: Arc::new(move |_| Ok(vec![pair.clone()])),
        ids: Arc::new(ids),
        native: None,
        formats: Arc::new(Formats::shipped()),
        schemas: Arc::new(|_| SchemaAnswer::NotFound),
        clock: Clock::wall(),
    };
    let copies = Copies::start(vec![flow], &prometheus::Registry::new())?;
    loop {
        std::thread::sleep(Duration::from_secs(1));
        if let Some(why) = copies.stopped() {
            anyhow::bail!(why);
        }
    }
}

/// As it is written with librdkafka's crate: nothing is kept but the copies.
fn bare(source: &str, target: &str, topic: &str, copy: &str, partitions: i32) -> Result<()> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", source).set("group.id", "bare").set("enable.auto.commit", "false");
    let consumer: BaseConsumer = config.create()?;
    let mut list = TopicPartitionList::new();
    for partition in 0..partitions {
        list.add_partition_offset(topic, partition, Offset::Beginning)?;
    }
    consumer.assign(&list)?;
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", target).set("enable.idempotence", "true").set("compression.type", "lz4");
    config.set("linger.ms", "10").set("delivery.report.only.error", "true");
    let producer: BaseProducer = config.create()?;
    loop {
        let Some(message) = consumer.poll(Duration::from_millis(100)) else { continue };
        let message = message?;
        let mut record = BaseRecord::<[u8], [u8]>::to(copy).partition(message.partition());
        (record.key, record.payload) = (message.key(), message.payload());
        record.timestamp = message.timestamp().to_millis();
        loop {
            match producer.send(record) {
                Ok(()) => break,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    record = back;
                    producer.poll(Duration::from_millis(5));
                }
                Err((error, _)) => return Err(error.into()),
            }
        }
    }
}
