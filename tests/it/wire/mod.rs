//! The wire client (`src/wire`): the same checks against a real Apache Kafka and the embedded broker, as far as that serves; logins and
//! rights (`secured`); brokers that die (`broken`); more topics and groups than anybody looks at one by one (`scale`).

mod broken;
mod scale;
mod secured;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::Duration;

use fairlead::embedded::broker::{Broker, BrokerConfig};
use fairlead::log::client::Connection;
use fairlead::wire::{
    Admin, At, Committed, ConfigView, Error, GroupKind, NewTopic, OffsetView, Refusal, TopicPartition, TopicView,
};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use crate::harness::apache::{Kafka, tool, unique};
use crate::harness::until;

const PATIENCE: Duration = Duration::from_secs(60);

fn embedded() -> String {
    static SHARED: OnceLock<Broker> = OnceLock::new();
    let broker = SHARED.get_or_init(|| {
        // A static is never dropped, so the data goes where the build's other scratch data is, and only the last is kept.
        let dir = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("wire");
        let _ = std::fs::remove_dir_all(&dir);
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        Broker::start(BrokerConfig { listen, ..BrokerConfig::new(dir) }).unwrap()
    });
    broker.addr().to_string()
}

fn admin(bootstrap: &str) -> Admin {
    Admin::new(&Connection::new(bootstrap)).unwrap()
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

fn new_topic(name: &str, partitions: i32) -> NewTopic {
    NewTopic { name: name.into(), partitions, replication: None, configs: BTreeMap::new() }
}

/// Created, and known to the broker that is asked.
fn create(admin: &Admin, topic: &NewTopic) -> TopicView {
    let created = block_on(admin.create_topics(std::slice::from_ref(topic), false)).unwrap();
    assert_eq!(created, BTreeMap::from([(topic.name.clone(), Ok(()))]));
    until("the topic", || view(admin, &topic.name))
}

fn view(admin: &Admin, name: &str) -> Option<TopicView> {
    block_on(admin.topics(Some(&[name.to_owned()]))).unwrap().pop()
}

fn refused<K: Ord>(outcomes: &BTreeMap<K, Result<(), Refusal>>, key: &K) -> &'static str {
    outcomes[key].as_ref().map_or_else(|refusal| refusal.name, |()| "done")
}

fn offset(offset: i64) -> Committed {
    Committed { offset, leader_epoch: None, metadata: format!("as of {offset}") }
}

fn client(bootstrap: &str, more: &[(&str, &str)]) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap);
    more.iter().for_each(|(name, value)| _ = config.set(*name, *value));
    config
}

/// One record each, with this timestamp.
fn produce(producer: &BaseProducer, topic: &str, timestamps: &[i64]) {
    for timestamp in timestamps {
        let record = BaseRecord::<(), str>::to(topic).partition(0).payload("a").timestamp(*timestamp);
        producer.send(record).map_err(|(error, _)| error).unwrap();
        producer.flush(PATIENCE).unwrap();
    }
}

/// A member of the group that has its assignment, and goes on being one while it is polled.
fn member(bootstrap: &str, group: &str, topic: &str, protocol: &str) -> BaseConsumer {
    let config = client(
        bootstrap,
        &[("group.id", group), ("group.protocol", protocol), ("client.id", "reader"), ("enable.auto.commit", "false")],
    );
    let consumer: BaseConsumer = config.create().unwrap();
    consumer.subscribe(&[topic]).unwrap();
    until("an assignment", || {
        consumer.poll(Duration::from_millis(50));
        (consumer.assignment().unwrap().count() > 0).then_some(())
    });
    consumer
}

fn a_topic_is_created_grown_changed_and_deleted(bootstrap: &str) {
    let (admin, name) = (admin(bootstrap), unique("wire"));
    let mut topic = new_topic(&name, 2);
    topic.configs.insert("retention.ms".into(), "86400000".into());
    assert_eq!(refused(&block_on(admin.create_topics(&[topic.clone()], true)).unwrap(), &name), "done");
    assert_eq!(view(&admin, &name), None, "validating created it");
    let created = create(&admin, &topic);
    assert_eq!((created.internal, created.partitions.len()), (false, 2));
    assert!(created.partitions.iter().all(|p| p.leader.is_some() && p.replicas.len() == 1), "{created:?}");

    let mut wrong = new_topic(&unique("wire"), 1);
    wrong.configs.insert("retention.ms".into(), "soon".into());
    let illegal = new_topic("no/topic", 1);
    let outcomes = block_on(admin.create_topics(&[topic.clone(), wrong.clone(), illegal], false)).unwrap();
    assert_eq!(refused(&outcomes, &name), "TOPIC_ALREADY_EXISTS");
    assert_eq!(refused(&outcomes, &wrong.name), "INVALID_CONFIG");
    assert_eq!(refused(&outcomes, &"no/topic".into()), "INVALID_TOPIC_EXCEPTION");

    let grow = |count: i32, validate_only: bool| {
        let outcomes =
            block_on(admin.create_partitions(&BTreeMap::from([(name.clone(), count)]), validate_only)).unwrap();
        refused(&outcomes, &name)
    };
    assert_eq!([grow(5, true), grow(3, false), grow(1, false)], ["done", "done", "INVALID_PARTITIONS"]);
    until("three partitions", || view(&admin, &name).filter(|view| view.partitions.len() == 3));

    let change = |config: &str, value: Option<&str>, validate_only: bool| {
        let configs = BTreeMap::from([(config.to_owned(), value.map(str::to_owned))]);
        let changes = BTreeMap::from([(name.clone(), configs)]);
        refused(&block_on(admin.alter_topic_configs(&changes, validate_only)).unwrap(), &name)
    };
    let config = |wanted: &str| -> ConfigView {
        let names = [name.clone(), "not-there".into()];
        let mut configs = block_on(admin.topic_configs(&names)).unwrap();
        assert_eq!(configs.len(), 1, "a topic that is not there has configs");
        configs.remove(&name).unwrap().into_iter().find(|config| config.name == wanted).unwrap()
    };
    let retention = config("retention.ms");
    assert_eq!((retention.value.as_deref(), retention.own), (Some("86400000"), true));
    assert!(!config("cleanup.policy").own);
    assert_eq!(change("cleanup.policy", Some("compact"), true), "done");
    assert_eq!(change("cleanup.policy", Some("burn"), false), "INVALID_CONFIG");
    assert_eq!(change("cleanup.policy", Some("compact"), false), "done");
    until("compaction", || (config("cleanup.policy").value.as_deref() == Some("compact")).then_some(()));
    assert_eq!(change("cleanup.policy", None, false), "done");
    until("the default", || (!config("cleanup.policy").own).then_some(()));
    assert!(config("retention.ms").own, "what was not named has changed");

    let gone = block_on(admin.delete_topics(&[name.clone(), "not-there".into()])).unwrap();
    assert_eq!(refused(&gone, &name), "done");
    assert_eq!(refused(&gone, &"not-there".into()), "UNKNOWN_TOPIC_OR_PARTITION");
    until("no topic", || view(&admin, &name).is_none().then_some(()));
}

fn offsets_are_told_and_records_deleted(bootstrap: &str) {
    let (admin, topic) = (admin(bootstrap), unique("wire"));
    // The records are old.
    let configs = BTreeMap::from([("retention.ms".into(), "-1".into())]);
    create(&admin, &NewTopic { configs, ..new_topic(&topic, 2) });
    let plain: BaseProducer = client(bootstrap, &[]).create().unwrap();
    produce(&plain, &topic, &[1_000, 2_000, 3_000]);
    let open: BaseProducer = client(bootstrap, &[("transactional.id", &topic)]).create().unwrap();
    open.init_transactions(PATIENCE).unwrap();
    open.begin_transaction().unwrap();
    produce(&open, &topic, &[4_000]);

    let partitions: Vec<TopicPartition> = [0, 1, 2].map(|number| (topic.clone(), number)).into();
    let ask = |at: At| block_on(admin.offsets(&partitions, at)).unwrap();
    let offsets = |at: At| ask(at).into_iter().map(|((_, number), view)| (number, view.offset)).collect::<Vec<_>>();
    // Partition 2 is not there.
    assert_eq!(offsets(At::Earliest), [(0, 0), (1, 0)]);
    assert_eq!(offsets(At::Latest { committed: false }), [(0, 4), (1, 0)]);
    assert_eq!(offsets(At::Latest { committed: true }), [(0, 3), (1, 0)]);
    let found: OffsetView = ask(At::Time(1_500))[&partitions[0]];
    assert_eq!((found.offset, found.timestamp), (1, Some(2_000)));
    assert_eq!(offsets(At::Time(9_000)), []);
    open.commit_transaction(PATIENCE).unwrap();
    until("the commit", || (offsets(At::Latest { committed: true })[0] == (0, 5)).then_some(()));

    let before = BTreeMap::from([(partitions[0].clone(), 2), (partitions[1].clone(), 9), (partitions[2].clone(), 0)]);
    let deleted = block_on(admin.delete_records(&before)).unwrap();
    assert_eq!(deleted[&partitions[0]], Ok(2));
    assert_eq!(deleted[&partitions[1]].as_ref().unwrap_err().name, "OFFSET_OUT_OF_RANGE");
    assert_eq!(deleted.len(), 2);
    assert_eq!(offsets(At::Earliest)[0], (0, 2));
}

fn groups_are_told_and_committed_for_while_empty(bootstrap: &str) {
    let (admin, topic, group) = (admin(bootstrap), unique("wire"), unique("wire"));
    create(&admin, &new_topic(&topic, 2));
    let offsets = BTreeMap::from([((topic.clone(), 0), offset(7)), ((topic.clone(), 1), offset(0))]);
    let commit = |offsets: &_| block_on(admin.commit_group_offsets(&group, offsets)).unwrap();
    let committed = |group: &str| {
        let mut told = block_on(admin.group_offsets(&[group.to_owned(), "not-there".into()])).unwrap();
        assert_eq!(told.remove("not-there"), Some(BTreeMap::new()));
        told.remove(group).unwrap()
    };
    let listed = || block_on(admin.groups()).unwrap().into_iter().find(|listed| listed.name == group).unwrap();
    let detail = || block_on(admin.describe_groups(std::slice::from_ref(&group))).unwrap().remove(&group).unwrap();

    assert_eq!(detail().state, "Dead");
    assert!(commit(&offsets).values().all(Result::is_ok));
    assert_eq!(committed(&group), offsets);
    let view = listed();
    assert_eq!((view.state.as_deref(), view.kind), (Some("Empty"), GroupKind::Classic));
    assert_eq!((&*detail().state, detail().members.len()), ("Empty", 0));

    let consumer = member(bootstrap, &group, &topic, "classic");
    let told = detail();
    assert_eq!((&*told.state, &told.kind, told.members.len()), ("Stable", &GroupKind::Classic, 1));
    assert_eq!(told.members[0].client_id, "reader");
    assert_eq!(told.members[0].assigned, Some(vec![(topic.clone(), 0), (topic.clone(), 1)]));
    assert_eq!(listed().protocol_type, "consumer");
    let other = BTreeMap::from([((topic.clone(), 0), offset(9))]);
    assert_eq!(refused(&commit(&other), &(topic.clone(), 0)), "UNKNOWN_MEMBER_ID");
    assert_eq!(
        refused(&block_on(admin.delete_groups(std::slice::from_ref(&group))).unwrap(), &group),
        "NON_EMPTY_GROUP"
    );
    drop(consumer);

    until("an empty group", || (detail().state == "Empty").then_some(()));
    assert_eq!(committed(&group), offsets);
    assert!(commit(&other).values().all(Result::is_ok));
    assert_eq!(committed(&group)[&(topic.clone(), 0)], offset(9));
    let long = Committed { metadata: "m".repeat(5_000), ..offset(1) };
    let refusal = commit(&BTreeMap::from([((topic.clone(), 0), long)]));
    assert_eq!(refused(&refusal, &(topic.clone(), 0)), "OFFSET_METADATA_TOO_LARGE");
    assert_eq!(refused(&block_on(admin.delete_groups(std::slice::from_ref(&group))).unwrap(), &group), "done");
    assert_eq!((committed(&group), &*detail().state), (BTreeMap::new(), "Dead"));
}

mod on_embedded {
    use super::*;

    #[test]
    fn a_topic_is_created_grown_changed_and_deleted() {
        super::a_topic_is_created_grown_changed_and_deleted(&embedded());
    }

    #[test]
    fn offsets_are_told_and_records_deleted() {
        super::offsets_are_told_and_records_deleted(&embedded());
    }

    #[test]
    fn groups_are_told_and_committed_for_while_empty() {
        super::groups_are_told_and_committed_for_while_empty(&embedded());
    }

    #[test]
    fn there_is_one_broker_and_nobody_to_ask_for_rights() {
        let admin = admin(&embedded());
        let cluster = block_on(admin.cluster()).unwrap();
        assert!(cluster.id.is_some() && cluster.brokers.len() == 1, "{cluster:?}");
        assert_eq!(block_on(admin.acls()), Ok(None));
        let refused = block_on(admin.create_acls(&[secured::rule("User:a", "b")])).unwrap_err();
        assert!(matches!(refused, Error::Unsupported { call: "CreateAcls", versions: None, .. }), "{refused}");
    }
}

mod on_apache {
    use super::*;

    #[test]
    fn a_topic_is_created_grown_changed_and_deleted() {
        super::a_topic_is_created_grown_changed_and_deleted(Kafka::shared());
    }

    #[test]
    fn offsets_are_told_and_records_deleted() {
        super::offsets_are_told_and_records_deleted(Kafka::shared());
    }

    #[test]
    fn groups_are_told_and_committed_for_while_empty() {
        super::groups_are_told_and_committed_for_while_empty(Kafka::shared());
    }

    #[test]
    fn cluster_and_topic_have_the_ids_that_kafkas_tools_print() {
        let (admin, name) = (admin(Kafka::shared()), unique("wire"));
        let topic = create(&admin, &new_topic(&name, 1));
        let described = tool("kafka-topics", &["--bootstrap-server", Kafka::shared(), "--describe", "--topic", &name]);
        let id = described.split("TopicId: ").nth(1).and_then(|rest| rest.split_whitespace().next()).unwrap();
        assert_eq!(topic.id.as_deref(), Some(id));
        let told = tool("kafka-metadata-quorum", &["--bootstrap-server", Kafka::shared(), "describe", "--status"]);
        let cluster = block_on(admin.cluster()).unwrap();
        assert!(told.contains(&cluster.id.unwrap()), "{told}");
        assert_eq!(cluster.brokers.len(), 1);
        assert_eq!(block_on(admin.acls()), Ok(None));
    }

    /// KIP-848: another call describes it, the same rules hold for committing.
    #[test]
    fn a_group_whose_broker_assigns_is_told_with_its_members() {
        let (admin, topic, group) = (admin(Kafka::shared()), unique("wire"), unique("wire"));
        create(&admin, &new_topic(&topic, 2));
        let consumer = member(Kafka::shared(), &group, &topic, "consumer");
        let detail = || block_on(admin.describe_groups(std::slice::from_ref(&group))).unwrap().remove(&group).unwrap();
        let told = until("a stable group", || {
            consumer.poll(Duration::from_millis(50));
            Some(detail()).filter(|told| told.state == "Stable" && !told.members.is_empty())
        });
        assert_eq!((&told.kind, &*told.members[0].client_id), (&GroupKind::Consumer, "reader"));
        assert_eq!(told.members[0].assigned, Some(vec![(topic.clone(), 0), (topic.clone(), 1)]));
        let listed = block_on(admin.groups()).unwrap().into_iter().find(|listed| listed.name == group).unwrap();
        assert_eq!((listed.kind, listed.state.as_deref()), (GroupKind::Consumer, Some("Stable")));
        let offsets = BTreeMap::from([((topic.clone(), 0), offset(7))]);
        let commit = || block_on(admin.commit_group_offsets(&group, &offsets)).unwrap();
        assert_eq!(refused(&commit(), &(topic.clone(), 0)), "UNKNOWN_MEMBER_ID");
        drop(consumer);
        until("an empty group", || (detail().state == "Empty").then_some(()));
        assert_eq!(refused(&commit(), &(topic.clone(), 0)), "done");
        assert_eq!(block_on(admin.group_offsets(std::slice::from_ref(&group))).unwrap()[&group], offsets);
    }

    /// Where something was committed before: of what was never committed brokers do not tell that it is about to be.
    #[test]
    fn offsets_that_a_transaction_may_change_are_waited_for() {
        let (admin, topic, group) = (admin(Kafka::shared()), unique("wire"), unique("wire"));
        create(&admin, &new_topic(&topic, 1));
        let before = BTreeMap::from([((topic.clone(), 0), offset(1))]);
        assert!(block_on(admin.commit_group_offsets(&group, &before)).unwrap().values().all(Result::is_ok));
        let consumer = member(Kafka::shared(), &group, &topic, "classic");
        let producer: BaseProducer = client(Kafka::shared(), &[("transactional.id", &group)]).create().unwrap();
        producer.init_transactions(PATIENCE).unwrap();
        producer.begin_transaction().unwrap();
        let mut offsets = rdkafka::TopicPartitionList::new();
        offsets.add_partition_offset(&topic, 0, rdkafka::Offset::Offset(3)).unwrap();
        let metadata = consumer.group_metadata().unwrap();
        producer.send_offsets_to_transaction(&offsets, &metadata, PATIENCE).unwrap();
        let asked = std::thread::scope(|scope| {
            let asked = scope.spawn(|| block_on(admin.group_offsets(std::slice::from_ref(&group))).unwrap());
            std::thread::sleep(Duration::from_millis(500));
            assert!(!asked.is_finished(), "an offset was told that may not hold");
            producer.commit_transaction(PATIENCE).unwrap();
            asked.join().unwrap()
        });
        assert_eq!(asked[&group][&(topic.clone(), 0)].offset, 3);
    }
}
