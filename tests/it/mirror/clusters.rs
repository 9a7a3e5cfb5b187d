//! Two real Kafkas for one flow of its own, and copies with their ranges made by hand, so that what reads them is tried without the mirror.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::{Arc, OnceLock};

use fairlead::codec::Formats;
use fairlead::event::migration::flow_partition;
use fairlead::event::{Fact, FactKind, MirrorRange, MirrorRun};
use fairlead::log::client::Connection;
use fairlead::log::kafka::{Identity, KafkaReader, KafkaWriter};
use fairlead::log::scan::scan;
use fairlead::mirror::Mirror;
use fairlead::mirror::checksum::Checksum;
use fairlead::mirror::provision::{Cluster, FlowConfig, KnownNames, OwnTopics, Provision};
use fairlead::mirror::rename::Renames;
use fairlead::record::{Batch, EventTime, Header, NewRecord, Offset, Partition, Topic, TopicPartition};
use fairlead::runtime::{SchemaAnswer, SchemaSource};
use fairlead::wire::{Admin, At, NewTopic};

use tokio::runtime::Runtime;

use crate::harness::apache::{Kafka, unique};
use crate::harness::until;

pub struct Clusters {
    /// Part of every topic's name: the clusters are shared.
    pub name: String,
    pub source: String,
    pub target: String,
}

pub fn block_on<T>(work: impl Future<Output = T>) -> T {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    let build = || tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    RUNTIME.get_or_init(build).block_on(work)
}

/// The shipped schemas under the ids of [`Formats::shipped`].
pub fn schemas() -> SchemaSource {
    Arc::new(|id| {
        let kind = usize::try_from(id.0).ok().and_then(|id| FactKind::ALL.get(id.checked_sub(1)?).copied());
        kind.map_or(SchemaAnswer::NotFound, |kind| SchemaAnswer::Found(kind.schema_json().to_owned()))
    })
}

impl Clusters {
    pub fn new(name: &str) -> Self {
        let target = Kafka::secured().bootstrap().to_owned();
        Self { name: unique(name), source: Kafka::shared().to_owned(), target }
    }

    /// From `<name>.x` to `new-<name>.x`; `more` are further options, as JSON, each after a comma.
    pub fn flow(&self, more: &str) -> FlowConfig {
        let name = &self.name;
        let json = format!(
            r#"{{"from": "old", "shards": 2, "offsets": "migration.offsets-{name}.v1", "topics": [{{"pattern": "{name}\\.(.*)", "to": "new-{name}.$1"}}]{more}}}"#
        );
        let mirror: Mirror = serde_json::from_str(&json).unwrap();
        let cluster = |name: &str, bootstrap: &str| Cluster {
            name: name.to_owned(),
            connection: Connection::new(bootstrap),
            replication: None,
        };
        FlowConfig {
            name: "flow".to_owned(),
            renames: KnownNames::fixed(Renames::of(&mirror).unwrap()),
            opposite: Vec::new(),
            source: cluster("old", &self.source),
            target: cluster("new", &self.target),
            own: OwnTopics { prefix: "fairlead.".to_owned(), names: [mirror.offsets.clone()].into() },
            reader_group: "fairlead.reader".to_owned(),
            mirror,
        }
    }

    pub fn provision(&self, more: &str) -> Provision {
        Provision::new(self.flow(more), schemas()).unwrap()
    }

    pub fn topic(&self, noun: &str) -> String {
        format!("{}.{noun}", self.name)
    }

    pub fn copy_of(&self, noun: &str) -> String {
        format!("new-{}.{noun}", self.name)
    }

    pub fn at_source(&self) -> Admin {
        Admin::new(&Connection::new(&self.source)).unwrap()
    }

    pub fn at_target(&self) -> Admin {
        Admin::new(&Connection::new(&self.target)).unwrap()
    }

    /// On the source.
    pub fn create(&self, noun: &str, partitions: i32, configs: &[(&str, &str)]) {
        create(&self.at_source(), &self.topic(noun), partitions, configs);
    }

    /// So many on each of the first partitions, in one transaction that is committed or aborted.
    pub fn write(&self, bootstrap: &str, topic: &str, partitions: i32, values: &[&str], commits: bool) {
        let mut writer = writer(bootstrap, topic);
        writer.begin().unwrap();
        for number in 0..partitions {
            for value in values {
                writer.produce(&record(topic, number, value)).unwrap();
            }
        }
        match commits {
            true => writer.commit().unwrap(),
            false => {
                // What is aborted must have been there.
                std::thread::sleep(std::time::Duration::from_millis(300));
                writer.abort().unwrap();
            }
        }
    }

    /// Copies what can be read of a source partition from an offset on, with its range, as a mirror does. `spoil` changes a value.
    pub fn copy(&self, flow: &FlowConfig, noun: &str, number: i32, from: i64, spoil: impl Fn(&[u8]) -> Vec<u8>) -> i64 {
        let (topic, target) = (self.topic(noun), self.copy_of(noun));
        let end = self.end(&self.source, &topic, number);
        let id = block_on(self.at_source().topics(Some(std::slice::from_ref(&topic)))).unwrap()[0].id.clone();
        let batch = read(&self.source, &topic, number, from, end);
        let start = self.end(&self.target, &target, number);
        let mut writer = writer(&self.target, &target);
        writer.begin().unwrap();
        let (mut sum, mut runs, mut next): (_, Vec<MirrorRun>, _) = (Checksum::default(), Vec::new(), from);
        for record in batch.iter() {
            let headers: Vec<_> = record.headers.iter().map(|(name, value)| (name.as_bytes(), value)).collect();
            sum.add(record.key, record.value, record.timestamp.0, headers.into_iter());
            let skip = record.offset.0 - next;
            match runs.last_mut().filter(|_| skip == 0) {
                Some(run) => run.count += 1,
                None => runs.push(MirrorRun { skip, shift: 0, count: 1 }),
            }
            next = record.offset.0 + 1;
            let headers = record
                .headers
                .iter()
                .map(|(name, value)| Header { name: name.into(), value: value.map(<[u8]>::to_vec) });
            let copy = NewRecord {
                topic: Topic::from(&*target),
                partition: Some(Partition(number)),
                timestamp: record.timestamp,
                key: record.key.map(<[u8]>::to_vec),
                value: record.value.map(&spoil),
                headers: headers.collect(),
            };
            writer.produce(&copy).unwrap();
        }
        let range = MirrorRange {
            flow_partition: flow_partition(&flow.name, &topic, number),
            flow: flow.name.clone(),
            source_topic: topic.clone(),
            source_topic_id: id,
            source_partition: number,
            source_start: from,
            source_end: end,
            source_epoch: None,
            target_topic: target.clone(),
            target_partition: number,
            target_start: (sum.records > 0).then_some(start),
            runs,
            records: sum.records,
            bytes: sum.bytes,
            crc32c: sum.crc32c.into(),
            first_timestamp_ms: None,
            last_timestamp_ms: None,
            copied_at_ms: 0,
        };
        let mut value = Vec::new();
        Formats::shipped().encode_fact(&Fact::MirrorRange(range.clone()), &mut value).unwrap();
        let fact = NewRecord {
            topic: Topic::from(&*flow.mirror.offsets),
            partition: None,
            timestamp: EventTime(0),
            key: Some(range.flow_partition.into_bytes()),
            value: Some(value),
            headers: Vec::new(),
        };
        writer.produce(&fact).unwrap();
        writer.commit().unwrap();
        end
    }

    /// Once no transaction is open there: a commit is told before its mark stands on the partition, and the stable end lies before it.
    pub fn end(&self, bootstrap: &str, topic: &str, number: i32) -> i64 {
        let admin = Admin::new(&Connection::new(bootstrap)).unwrap();
        let key = (topic.to_owned(), number);
        let end = |committed| {
            block_on(admin.offsets(std::slice::from_ref(&key), At::Latest { committed })).unwrap()[&key].offset
        };
        until("no transaction is open", || {
            let stable = end(true);
            (stable == end(false)).then_some(stable)
        })
    }

    /// What is set on the target's topic itself.
    pub fn configs(&self, topic: &str) -> BTreeMap<String, String> {
        let configs = block_on(self.at_target().topic_configs(&[topic.to_owned()])).unwrap();
        let own = configs[topic].iter().filter(|config| config.own);
        own.map(|config| (config.name.clone(), config.value.clone().unwrap_or_default())).collect()
    }
}

pub fn create(admin: &Admin, name: &str, partitions: i32, configs: &[(&str, &str)]) {
    let configs = configs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let topic = NewTopic { name: name.to_owned(), partitions, replication: None, configs };
    assert_eq!(block_on(admin.create_topics(&[topic], false)).unwrap()[name], Ok(()));
    until("the topic", || block_on(admin.topics(Some(&[name.to_owned()]))).unwrap().pop());
}

pub fn read(bootstrap: &str, topic: &str, number: i32, from: i64, to: i64) -> Batch {
    let mut reader = KafkaReader::new(&Connection::new(bootstrap), "fairlead.reader").unwrap();
    let partition = TopicPartition::new(&Topic::from(topic), Partition(number));
    let mut batch = Batch::default();
    scan(&mut reader, &partition, Offset(from), Offset(to), |record| {
        batch.push(record);
        ControlFlow::Continue(())
    })
    .unwrap();
    batch
}

fn writer(bootstrap: &str, topic: &str) -> KafkaWriter {
    let identity = Identity {
        group: "fairlead.reader".to_owned(),
        transactional_id: unique("writer"),
        instance_id: None,
        writes: vec![Topic::from(topic)],
    };
    KafkaWriter::new(&Connection::new(bootstrap), &identity).unwrap()
}

fn record(topic: &str, number: i32, value: &str) -> NewRecord {
    NewRecord {
        topic: Topic::from(topic),
        partition: Some(Partition(number)),
        timestamp: EventTime(1_795_420_800_000),
        key: Some(value.as_bytes().to_vec()),
        value: Some(value.as_bytes().to_vec()),
        headers: vec![Header { name: "h".into(), value: None }],
    }
}
