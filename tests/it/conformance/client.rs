//! The clients that the checks use: rdkafka, as fairlead itself does.

use crate::harness::apache::unique;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::{ClientContext, DefaultClientContext};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Headers, Message};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};
use rdkafka::{Offset, TopicPartitionList};
use std::future::Future;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Longer than anything takes on a busy machine; only a failing check waits so long.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The cluster under test.
#[derive(Debug, Clone)]
pub struct Cluster {
    pub bootstrap: String,
}

/// A record as a consumer got it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Got {
    pub partition: i32,
    pub offset: i64,
    pub key: Option<String>,
    pub value: Option<String>,
    pub headers: Vec<(String, Option<String>)>,
    pub timestamp: i64,
}

/// Collects what became of each record, in order of the reports.
#[derive(Default)]
pub struct Deliveries(pub Mutex<Vec<Result<(i32, i64), KafkaError>>>);

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let outcome = match result {
            Ok(message) => Ok((message.partition(), message.offset())),
            Err((error, _)) => Err(error.clone()),
        };
        self.0.lock().unwrap().push(outcome);
    }
}

pub type TestProducer = BaseProducer<Deliveries>;

impl Cluster {
    pub fn config(&self, more: &[(&str, &str)]) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.bootstrap);
        for (key, value) in more {
            config.set(*key, *value);
        }
        config
    }

    pub fn producer(&self, more: &[(&str, &str)]) -> TestProducer {
        let mut config = self.config(&[("acks", "all"), ("linger.ms", "1")]);
        for (key, value) in more {
            config.set(*key, *value);
        }
        config.create_with_context(Deliveries::default()).unwrap()
    }

    /// A transactional producer that has been initialised.
    pub fn transactional(&self, id: &str, more: &[(&str, &str)]) -> TestProducer {
        let producer = self.producer(&[&[("transactional.id", id)], more].concat());
        producer.init_transactions(PATIENCE).unwrap();
        producer
    }

    pub fn consumer(&self, group: &str, more: &[(&str, &str)]) -> BaseConsumer {
        let mut config = self.config(&[
            ("group.id", group),
            ("auto.offset.reset", "earliest"),
            ("enable.auto.commit", "false"),
            ("fetch.wait.max.ms", "100"),
        ]);
        for (key, value) in more {
            config.set(*key, *value);
        }
        config.create().unwrap()
    }

    pub fn admin(&self) -> AdminClient<DefaultClientContext> {
        self.config(&[]).create().unwrap()
    }

    /// A new topic with a name of its own.
    pub fn topic(&self, partitions: i32, configs: &[(&str, &str)]) -> String {
        let name = unique("conformance");
        let mut topic = NewTopic::new(&name, partitions, TopicReplication::Fixed(1));
        for (key, value) in configs {
            topic = topic.set(key, value);
        }
        let created = wait(self.admin().create_topics([&topic], &AdminOptions::new())).unwrap();
        assert_eq!(created, [Ok(name.clone())]);
        name
    }

    /// Everything that a reader of this isolation sees now, partition by partition.
    pub fn read_all(&self, topic: &str, partitions: i32, isolation: &str) -> Vec<Got> {
        let consumer = self.consumer("nobody", &[("isolation.level", isolation)]);
        (0..partitions).flat_map(|partition| read_partition(&consumer, topic, partition)).collect()
    }

    /// Low and high watermark as a reader that does not care for transactions sees them.
    pub fn watermarks(&self, topic: &str, partition: i32) -> (i64, i64) {
        let consumer = self.consumer("nobody", &[("isolation.level", "read_uncommitted")]);
        consumer.fetch_watermarks(topic, partition, PATIENCE).unwrap()
    }

    pub fn send_all(&self, topic: &str, partition: i32, values: &[&str]) {
        let producer = self.producer(&[]);
        values.iter().for_each(|value| send(&producer, topic, partition, value));
        drain(&producer);
        producer.context().0.lock().unwrap().iter().for_each(|outcome| assert!(outcome.is_ok(), "{outcome:?}"));
    }
}

/// Reads a partition from its start until the end that this consumer's isolation allows.
pub fn read_partition(consumer: &BaseConsumer, topic: &str, partition: i32) -> Vec<Got> {
    let (_, end) = consumer.fetch_watermarks(topic, partition, PATIENCE).unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, partition, Offset::Beginning).unwrap();
    consumer.assign(&list).unwrap();
    let mut got = Vec::new();
    until("the end of the partition is read", || {
        while let Some(message) = consumer.poll(Duration::from_millis(20)) {
            got.push(taken(&message.unwrap()));
        }
        // A control record is never handed out, so only the position tells that the end was reached.
        let position = consumer.position().unwrap().elements()[0].offset();
        end == 0 || matches!(position, Offset::Offset(at) if at >= end)
    });
    consumer.unassign().unwrap();
    got
}

pub fn taken(message: &impl Message) -> Got {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let headers = message.headers().into_iter().flat_map(|headers| headers.iter());
    Got {
        partition: message.partition(),
        offset: message.offset(),
        key: message.key().map(text),
        value: message.payload().map(text),
        headers: headers.map(|header| (header.key.to_owned(), header.value.map(text))).collect(),
        timestamp: message.timestamp().to_millis().unwrap(),
    }
}

pub fn send(producer: &TestProducer, topic: &str, partition: i32, value: &str) {
    producer
        .send(BaseRecord::<(), str>::to(topic).partition(partition).payload(value))
        .map_err(|(error, _)| error)
        .unwrap();
}

/// Waits until every record has its report. (The crate's own `flush` takes 100 ms at least.)
pub fn drain(producer: &TestProducer) {
    until("all records are delivered or failed", || {
        producer.poll(Duration::from_millis(1));
        producer.in_flight_count() == 0
    });
}

pub fn commit(producer: &TestProducer) -> KafkaResult<()> {
    drain(producer);
    producer.commit_transaction(PATIENCE)
}

pub fn abort(producer: &TestProducer) {
    drain(producer);
    producer.abort_transaction(PATIENCE).unwrap();
}

pub fn values(got: &[Got]) -> Vec<&str> {
    got.iter().map(|got| got.value.as_deref().unwrap()).collect()
}

/// Polls until `done`, or fails the check.
pub fn until(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < PATIENCE, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

pub fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// The code inside an rdkafka error.
pub fn code(error: &KafkaError) -> RDKafkaErrorCode {
    error.rdkafka_error_code().unwrap_or_else(|| panic!("no code in {error:?}"))
}
