//! A cluster of 1,100 topics and 2,000 groups is looked at in bounded time and memory; both are printed.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use fairlead::wire::{At, Committed, TopicPartition};

use super::{admin, block_on, new_topic};
use crate::harness::apache::{Kafka, unique};

const TOPICS: usize = 1_100;
const GROUPS: usize = 2_000;
/// On a busy machine; it takes a few seconds each.
const PATIENCE: Duration = Duration::from_secs(240);

/// Resident memory in MiB.
fn memory() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 4 / 1024
}

fn timed<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let began = Instant::now();
    let done = work();
    println!("{what}: {:.2} s, resident {} MiB", began.elapsed().as_secs_f64(), memory());
    assert!(began.elapsed() < PATIENCE, "{what} took {:?}", began.elapsed());
    done
}

#[test]
fn eleven_hundred_topics_and_two_thousand_groups_are_looked_at() {
    // Of its own: that many topics would slow the shared one down.
    let (kafka, began) = (Kafka::start_own(&[]), Instant::now());
    let (admin, prefix) = (admin(kafka.bootstrap()), unique("scale"));
    let names: Vec<String> = (0..TOPICS).map(|number| format!("{prefix}-{number:04}")).collect();
    let groups: Vec<String> = (0..GROUPS).map(|number| format!("{prefix}-{number:04}")).collect();

    let topics: Vec<_> = names.iter().map(|name| new_topic(name, 1)).collect();
    let created = timed("1,100 topics created", || block_on(admin.create_topics(&topics, false)).unwrap());
    assert!(created.len() == TOPICS && created.values().all(Result::is_ok));
    // The broker makes as many logs meanwhile.
    timed("all of them there", || {
        while block_on(admin.topics(Some(&names))).unwrap().len() < TOPICS {
            assert!(began.elapsed() < PATIENCE, "{:?}", began.elapsed());
            std::thread::sleep(Duration::from_millis(200));
        }
    });
    let all = timed("all topics listed", || block_on(admin.topics(None)).unwrap());
    assert!(all.len() >= TOPICS, "{}", all.len());
    let configs = timed("their configs read", || block_on(admin.topic_configs(&names)).unwrap());
    assert_eq!(configs.len(), TOPICS);
    let partitions: Vec<TopicPartition> = names.iter().map(|name| (name.clone(), 0)).collect();
    let ends =
        timed("1,100 ends asked for", || block_on(admin.offsets(&partitions, At::Latest { committed: true })).unwrap());
    assert_eq!(ends.len(), TOPICS);

    let committed = |number: usize| {
        let partition = (names[number % TOPICS].clone(), 0);
        BTreeMap::from([(partition, Committed { offset: 0, leader_epoch: None, metadata: format!("g{number}") })])
    };
    timed("2,000 groups committed for", || {
        block_on(async {
            for (number, group) in groups.iter().enumerate() {
                let outcomes = admin.commit_group_offsets(group, &committed(number)).await.unwrap();
                assert!(outcomes.values().all(Result::is_ok), "{outcomes:?}");
            }
        });
    });
    let listed = timed("groups listed", || block_on(admin.groups()).unwrap());
    assert_eq!(listed.len(), GROUPS);
    let details = timed("2,000 groups described", || block_on(admin.describe_groups(&groups)).unwrap());
    assert!(details.len() == GROUPS && details.values().all(|detail| detail.state == "Empty"));
    let offsets = timed("their offsets read", || block_on(admin.group_offsets(&groups)).unwrap());
    for (number, group) in groups.iter().enumerate() {
        assert_eq!(offsets[group], committed(number), "{group}");
    }
    assert!(memory() < 500, "{} MiB", memory());
}
