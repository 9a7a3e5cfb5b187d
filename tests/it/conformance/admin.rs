//! Topics, configurations and groups as an administrator handles them.

use super::client::*;
use crate::harness::apache::unique;
use rdkafka::admin::{AdminOptions, AlterConfig, NewPartitions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};

fn options() -> AdminOptions {
    AdminOptions::new().operation_timeout(Some(PATIENCE))
}

fn config(cluster: &Cluster, topic: &str, name: &str) -> Option<String> {
    let described = wait(cluster.admin().describe_configs(&[ResourceSpecifier::Topic(topic)], &options())).unwrap();
    described[0].as_ref().unwrap().get(name).unwrap().value.clone()
}

pub fn a_topic_is_created_once_as_asked(cluster: &Cluster) {
    let topic = cluster.topic(3, &[("cleanup.policy", "compact"), ("retention.ms", "1234567")]);
    let again = NewTopic::new(&topic, 3, TopicReplication::Fixed(1));
    let refused = wait(cluster.admin().create_topics([&again], &options())).unwrap();
    assert_eq!(refused, [Err((topic.clone(), RDKafkaErrorCode::TopicAlreadyExists))]);
    for (name, expected) in [
        ("cleanup.policy", "compact"),
        ("retention.ms", "1234567"),
        ("max.message.bytes", "1048588"),
        ("segment.bytes", "1073741824"),
        ("min.cleanable.dirty.ratio", "0.5"),
        ("message.timestamp.type", "CreateTime"),
    ] {
        assert_eq!(config(cluster, &topic, name).as_deref(), Some(expected), "{name}");
    }
    let consumer = cluster.consumer("nobody", &[]);
    let metadata = consumer.fetch_metadata(Some(&topic), PATIENCE).unwrap();
    assert_eq!(metadata.topics()[0].partitions().len(), 3);
    for (bad, name, code) in [
        (("retention.ms", "soon"), unique("bad"), RDKafkaErrorCode::InvalidConfig),
        (("no.such.key", "1"), unique("bad"), RDKafkaErrorCode::InvalidConfig),
        (("retention.ms", "1"), "no spaces".to_owned(), RDKafkaErrorCode::InvalidTopic),
    ] {
        let wrong = NewTopic::new(&name, 1, TopicReplication::Fixed(1)).set(bad.0, bad.1);
        let refused = wait(cluster.admin().create_topics([&wrong], &options())).unwrap();
        assert_eq!(refused, [Err((name.clone(), code))]);
    }
}

pub fn a_topic_grows_changes_and_goes(cluster: &Cluster) {
    let topic = cluster.topic(1, &[("retention.ms", "1000000")]);
    let admin = cluster.admin();
    wait(admin.create_partitions(&[NewPartitions::new(&topic, 3)], &options())).unwrap()[0].as_ref().unwrap();
    let shrunk = wait(admin.create_partitions(&[NewPartitions::new(&topic, 2)], &options())).unwrap();
    assert_eq!(shrunk, [Err((topic.clone(), RDKafkaErrorCode::InvalidPartitions))]);
    until("the new partitions are there", || {
        let metadata = cluster.consumer("nobody", &[]).fetch_metadata(Some(&topic), PATIENCE).unwrap();
        metadata.topics()[0].partitions().len() == 3
    });
    cluster.send_all(&topic, 2, &["on a new partition"]);

    // The older call replaces the whole configuration.
    let change = AlterConfig::new(ResourceSpecifier::Topic(&topic)).set("max.message.bytes", "2000000");
    wait(admin.alter_configs(&[change], &options())).unwrap()[0].as_ref().unwrap();
    until("the change is told", || config(cluster, &topic, "max.message.bytes").as_deref() == Some("2000000"));
    assert_eq!(config(cluster, &topic, "retention.ms").as_deref(), Some("604800000"));

    wait(admin.delete_topics(&[&topic], &options())).unwrap()[0].as_ref().unwrap();
    let gone = wait(admin.delete_topics(&[&topic], &options())).unwrap();
    assert_eq!(gone, [Err((topic.clone(), RDKafkaErrorCode::UnknownTopicOrPartition))]);
    // Created again, it is another topic: empty, and with offsets from 0.
    until("the name is free", || {
        let anew = NewTopic::new(&topic, 1, TopicReplication::Fixed(1));
        wait(admin.create_topics([&anew], &options())).unwrap()[0].is_ok()
    });
    cluster.send_all(&topic, 0, &["new"]);
    assert_eq!(cluster.watermarks(&topic, 0), (0, 1));
}

pub fn deleted_records_are_out_of_reach(cluster: &Cluster) {
    let topic = cluster.topic(1, &[]);
    cluster.send_all(&topic, 0, &["a", "b", "c", "d"]);
    let delete = |offset| {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&topic, 0, offset).unwrap();
        let deleted = wait(cluster.admin().delete_records(&list, &options())).unwrap();
        deleted.elements()[0].error().map(|()| deleted.elements()[0].offset())
    };
    assert_eq!(delete(Offset::Offset(2)), Ok(Offset::Offset(2)));
    assert_eq!(cluster.watermarks(&topic, 0), (2, 4));
    assert_eq!(values(&cluster.read_all(&topic, 1, "read_committed")), ["c", "d"]);
    assert!(delete(Offset::Offset(9)).is_err(), "beyond the end");
    assert_eq!(delete(Offset::End), Ok(Offset::Offset(4)));
    cluster.send_all(&topic, 0, &["e"]);
    assert_eq!(cluster.watermarks(&topic, 0), (4, 5));
}

fn commit_as(consumer: &BaseConsumer, topic: &str, offset: i64) {
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, 0, Offset::Offset(offset)).unwrap();
    consumer.commit(&list, CommitMode::Sync).unwrap();
}

pub fn groups_are_listed_described_and_deleted(cluster: &Cluster) {
    let (topic, group, gone) = (cluster.topic(1, &[]), unique("group"), unique("group"));
    let member = cluster.consumer(&group, &[("client.id", "a-member")]);
    member.subscribe(&[&topic]).unwrap();
    until("the group is stable", || {
        let _ = member.poll(std::time::Duration::from_millis(20));
        let list = member.fetch_group_list(Some(&group), PATIENCE).unwrap();
        list.groups().iter().any(|one| one.state() == "Stable")
    });
    let list = member.fetch_group_list(Some(&group), PATIENCE).unwrap();
    let described = &list.groups()[0];
    assert_eq!((described.protocol_type(), described.protocol()), ("consumer", "range"));
    assert_eq!(described.members().len(), 1);
    assert_eq!(described.members()[0].client_id(), "a-member");
    let all = member.fetch_group_list(None, PATIENCE).unwrap();
    assert!(all.groups().iter().any(|one| one.name() == group));

    let admin = cluster.admin();
    let delete =
        |name: &str| wait(admin.delete_groups(&[name], &options())).unwrap().remove(0).map_err(|(_, code)| code);
    assert_eq!(delete(&group), Err(RDKafkaErrorCode::NonEmptyGroup));
    assert_eq!(delete(&gone), Err(RDKafkaErrorCode::GroupIdNotFound));
    commit_as(&member, &topic, 0);
    drop(member);
    until("the empty group is deleted", || delete(&group).is_ok());
    let reader = cluster.consumer(&group, &[]);
    let mut list = TopicPartitionList::new();
    list.add_partition(&topic, 0);
    let committed = reader.committed_offsets(list, PATIENCE).unwrap();
    assert_eq!(committed.elements()[0].offset(), Offset::Invalid, "its offsets went with it");
}
