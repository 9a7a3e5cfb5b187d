//! The sink on a real Apache Kafka: its journal survives it, and two members share the partitions.

use std::collections::BTreeMap;
use std::time::Duration;

use fairlead::codec::Formats;
use fairlead::embedded::slack::FakeSlack;
use fairlead::event::Fact;
use fairlead::log::client::Connection;
use fairlead::sink::slack::{SlackSink, SlackSinkConfig};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseRecord, Producer, ThreadedProducer};
use rdkafka::{Offset, TopicPartitionList};

use super::{ACTIONS, assert_told_once, clock, config, fake, incident, until};
use crate::harness::apache::{Kafka, tool, unique};

struct Site {
    application: String,
    connection: Connection,
    producer: ThreadedProducer<rdkafka::producer::DefaultProducerContext>,
}

impl Site {
    fn new() -> Self {
        let (application, bootstrap) = (unique("slack"), Kafka::shared());
        for topic in ["slack-actions", "slack-outcomes", "dead-letters"] {
            let topic = format!("{application}.{topic}");
            tool(
                "kafka-topics",
                &["--bootstrap-server", bootstrap, "--create", "--topic", &topic, "--partitions", "2"],
            );
        }
        let connection = Connection::new(bootstrap);
        let producer = connection.producer().create().unwrap();
        Self { application, connection, producer }
    }

    fn tell(&self, name: &str, from: usize, to: usize) {
        for action in incident(name).drain(from..to) {
            let mut value = Vec::new();
            Formats::shipped().encode_fact(&Fact::SlackAction(action), &mut value).unwrap();
            let topic = format!("{}.slack-actions", self.application);
            self.producer.send(BaseRecord::to(&topic).key(name).payload(&value)).map_err(|(error, _)| error).unwrap();
        }
        self.producer.flush(Duration::from_secs(30)).unwrap();
    }

    fn config(&self, fake: &FakeSlack, clock: &fairlead::clock::Clock, instance: &str) -> SlackSinkConfig {
        let mut connection = self.connection.clone();
        connection.properties = BTreeMap::from([("session.timeout.ms".to_owned(), "6000".to_owned())]);
        SlackSinkConfig { connection, ..config(fake, clock, &self.application, instance) }
    }

    /// The sum over both partitions of the group's committed offsets.
    fn committed(&self) -> Result<i64, String> {
        let group = format!("{}.sink.slack", self.application);
        let consumer: BaseConsumer = self.connection.consumer(&group).create().unwrap();
        let mut asked = TopicPartitionList::new();
        asked.add_partition_range(&format!("{}.slack-actions", self.application), 0, 1);
        let answer = consumer.committed_offsets(asked, Duration::from_secs(10)).map_err(|error| error.to_string())?;
        let offset = |offset| if let Offset::Offset(offset) = offset { offset } else { 0 };
        Ok(answer.elements().iter().map(|element| offset(element.offset())).sum())
    }

    async fn until_committed(&self, actions: i64, fake: &FakeSlack) {
        until("the actions are told", || match self.committed()? {
            told if told == actions => Ok(()),
            told => Err(format!("{told} of {actions} committed\n{}", fake.threads())),
        })
        .await;
    }
}

fn start(config: SlackSinkConfig) -> SlackSink {
    SlackSink::start(config, Formats::shipped(), &prometheus::Registry::new()).unwrap()
}

async fn stop(sink: SlackSink) {
    tokio::task::spawn_blocking(move || sink.stop()).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sink_that_was_stopped_goes_on_from_its_journal() {
    let (site, clock) = (Site::new(), clock());
    let fake = fake(&clock).await;
    site.tell("inc", 0, 3);
    let sink = start(site.config(&fake, &clock, "a"));
    site.until_committed(3, &fake).await;
    stop(sink).await;
    site.tell("inc", 3, ACTIONS);
    let sink = start(site.config(&fake, &clock, "a"));
    site.until_committed(ACTIONS as i64, &fake).await;
    assert_told_once(&fake, "inc", "stopped and started");
    stop(sink).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_members_share_the_incidents_and_when_one_leaves_the_other_goes_on() {
    let (site, clock) = (Site::new(), clock());
    let fake = fake(&clock).await;
    let names: Vec<_> = (0..8).map(|number| format!("i{number}")).collect();
    let a = start(site.config(&fake, &clock, "a"));
    names.iter().for_each(|name| site.tell(name, 0, 2));
    let b = start(site.config(&fake, &clock, "b"));
    names.iter().for_each(|name| site.tell(name, 2, 3));
    site.until_committed(24, &fake).await;
    stop(a).await;
    names.iter().for_each(|name| site.tell(name, 3, ACTIONS));
    site.until_committed(8 * ACTIONS as i64, &fake).await;
    names.iter().for_each(|name| assert_told_once(&fake, name, "two members"));
    stop(b).await;
}
