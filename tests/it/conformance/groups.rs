//! Consumer groups: who reads what, and from where after a restart.

use super::client::*;
use crate::harness::apache::unique;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};
use std::collections::BTreeSet;
use std::time::Duration;

const POLL: Duration = Duration::from_millis(10);

fn subscriber(cluster: &Cluster, group: &str, topic: &str, more: &[(&str, &str)]) -> BaseConsumer {
    let consumer =
        cluster.consumer(group, &[&[("session.timeout.ms", "6000"), ("heartbeat.interval.ms", "300")], more].concat());
    consumer.subscribe(&[topic]).unwrap();
    consumer
}

/// Polls all members until everybody's share has these sizes.
fn settle(members: &[&BaseConsumer], sizes: &[usize]) -> Vec<String> {
    let mut read = Vec::new();
    until(&format!("the members have {sizes:?} partitions"), || {
        read.extend(members.iter().flat_map(|member| poll(member)));
        members.iter().zip(sizes).all(|(member, size)| member.assignment().unwrap().count() == *size)
    });
    read
}

fn poll(member: &BaseConsumer) -> Option<String> {
    match member.poll(POLL)? {
        Ok(message) => taken(&message).value,
        Err(error) => panic!("{error:?}"),
    }
}

fn shares(members: &[&BaseConsumer]) -> BTreeSet<i32> {
    let partitions = |member: &&BaseConsumer| {
        member.assignment().unwrap().elements().iter().map(|element| element.partition()).collect::<Vec<_>>()
    };
    members.iter().flat_map(partitions).collect()
}

pub fn a_group_resumes_where_it_committed(cluster: &Cluster) {
    let (topic, group) = (cluster.topic(1, &[]), unique("group"));
    cluster.send_all(&topic, 0, &["a", "b", "c", "d"]);
    let first = subscriber(cluster, &group, &topic, &[]);
    let mut read = Vec::new();
    until("two records are read", || {
        read.extend(poll(&first));
        read.len() >= 2
    });
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(&topic, 0, Offset::Offset(2)).unwrap();
    list.elements()[0].set_metadata("what the application remembers");
    first.commit(&list, CommitMode::Sync).unwrap();
    drop(list);
    drop(first);
    let second = subscriber(cluster, &group, &topic, &[]);
    let mut read = Vec::new();
    until("the rest is read", || {
        read.extend(poll(&second));
        read.len() >= 2
    });
    assert_eq!(read, ["c", "d"]);
    let committed = second.committed(PATIENCE).unwrap();
    let kept = (committed.elements()[0].offset(), committed.elements()[0].metadata().to_owned());
    assert_eq!(kept, (Offset::Offset(2), "what the application remembers".to_owned()));
}

pub fn two_members_share_by_range(cluster: &Cluster) {
    two_members_share(cluster, "range");
}

pub fn two_members_share_by_roundrobin(cluster: &Cluster) {
    two_members_share(cluster, "roundrobin");
}

pub fn two_members_share_by_cooperative_sticky(cluster: &Cluster) {
    two_members_share(cluster, "cooperative-sticky");
}

/// Join, split, leave: each partition has one reader at any time, and nothing stays unread.
fn two_members_share(cluster: &Cluster, strategy: &str) {
    let (topic, group) = (cluster.topic(4, &[]), unique("group"));
    let strategy = [("partition.assignment.strategy", strategy)];
    let one = subscriber(cluster, &group, &topic, &strategy);
    let mut read = settle(&[&one], &[4]);
    let two = subscriber(cluster, &group, &topic, &strategy);
    read.extend(settle(&[&one, &two], &[2, 2]));
    assert_eq!(shares(&[&one, &two]), (0..4).collect());
    for partition in 0..4 {
        cluster.send_all(&topic, partition, &[&format!("shared {partition}")]);
    }
    until("both read their share", || {
        read.extend([&one, &two].into_iter().flat_map(poll));
        read.len() >= 4
    });
    for member in [&one, &two] {
        // The positions are those of this member's partitions only.
        member.commit_consumer_state(CommitMode::Sync).unwrap();
    }
    drop(one);
    read.extend(settle(&[&two], &[4]));
    for partition in 0..4 {
        cluster.send_all(&topic, partition, &[&format!("alone {partition}")]);
    }
    until("the one that stayed reads all", || {
        read.extend(poll(&two));
        read.len() >= 8
    });
    read.sort();
    let expected = ["alone", "shared"].into_iter().flat_map(|word| (0..4).map(move |at| format!("{word} {at}")));
    assert_eq!(read, expected.collect::<Vec<_>>());
}

pub fn a_member_that_falls_silent_is_replaced(cluster: &Cluster) {
    let (topic, group) = (cluster.topic(2, &[]), unique("group"));
    super::wire::join_and_fall_silent(cluster, &group);
    let other = subscriber(cluster, &group, &topic, &[]);
    let start = std::time::Instant::now();
    settle(&[&other], &[2]);
    assert!(start.elapsed() > Duration::from_secs(3), "the session of the silent one was not waited for");
}

pub fn a_static_member_returns_without_a_rebalance(cluster: &Cluster) {
    let (topic, group) = (cluster.topic(2, &[]), unique("group"));
    let (name, other_name) = (unique("instance"), unique("instance"));
    let one = subscriber(cluster, &group, &topic, &[("group.instance.id", &name)]);
    let two = subscriber(cluster, &group, &topic, &[("group.instance.id", &other_name)]);
    settle(&[&one, &two], &[1, 1]);
    let mine = shares(&[&one]);
    // A static member does not leave when it is closed.
    drop(one);
    let again = subscriber(cluster, &group, &topic, &[("group.instance.id", &name)]);
    let returned = std::time::Instant::now();
    // Several heartbeats long the other member is told of no rebalance, which would take its partition for a moment.
    until("the member has its partition again", || {
        let _ = [&again, &two].map(poll);
        assert_eq!(two.assignment().unwrap().count(), 1, "the other member went through a rebalance");
        again.assignment().unwrap().count() == 1 && returned.elapsed() > Duration::from_secs(2)
    });
    assert_eq!(shares(&[&again]), mine);
    // A second one under the same name puts the first out.
    let double = subscriber(cluster, &group, &topic, &[("group.instance.id", &name)]);
    let mut fenced = None;
    until("the older holder of the name is fenced", || {
        let _ = double.poll(POLL);
        let _ = two.poll(POLL);
        if let Some(Err(error)) = again.poll(POLL) {
            fenced = Some(error);
        }
        fenced.is_some()
    });
    let fatal = again.client().fatal_error().map(|(code, _)| code);
    let told = matches!(fenced, Some(KafkaError::MessageConsumptionFatal(RDKafkaErrorCode::FencedInstanceId)));
    assert!(told || fatal == Some(RDKafkaErrorCode::FencedInstanceId), "{fenced:?} {fatal:?}");
}
