//! Two mirrors, each the other's way back, while both clusters are written to: each record is once on each side, nothing goes round,
//! and a group's position is carried over exactly, or told to be impossible.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use fairlead::event::GroupOffsetState;
use fairlead::log::kafka::{Identity, KafkaWriter};
use fairlead::mirror::copy::{Copies, Flow};
use fairlead::mirror::offsets::Offsets;
use fairlead::mirror::offsets::native::Natives;
use fairlead::record::Topic;

use super::carry::{Carried, follow};
use super::pair::{Pairing, SHARDS, all, create, record};
use crate::harness::apache::Kafka;
use crate::harness::until;

/// The way back of `forward`.
fn back(forward: &Pairing) -> Pairing {
    let offsets = Topic::from(&*format!("{}.back.offsets", forward.flow));
    create(&forward.source, &offsets, SHARDS.into(), &[("retention.ms", "-1")]);
    let topics = forward.topics.iter().map(|(from, to, partitions)| (to.clone(), from.clone(), *partitions)).collect();
    let (source, target) = (forward.target.clone(), forward.source.clone());
    Pairing { source, target, flow: format!("{}-back", forward.flow), offsets, topics }
}

/// It copies only what the opposite flow has not written.
fn natives_of(pairing: &Pairing, opposite: &Arc<Offsets>) -> Flow {
    let natives = Natives::new(Arc::clone(opposite), pairing.source.clone(), "it.natives".into());
    let native = move |partition: &_, offset| natives.is_native(partition, offset);
    Flow { native: Some(Arc::new(native)), ..pairing.flow() }
}

fn values(pairing: &Pairing, topic: &Topic) -> Vec<(i64, Vec<u8>)> {
    let connection = if pairing.topics[0].0 == *topic { &pairing.source } else { &pairing.target };
    let seen = all(connection, topic, 0).unwrap();
    seen.into_iter().map(|seen| (seen.offset, seen.value.unwrap())).collect()
}

#[test]
fn records_of_both_sides_are_once_on_each_and_positions_are_exact_or_blocked() {
    let other = Kafka::start_own(&[]);
    let forward = Pairing::new(Kafka::shared(), other.bootstrap(), &[("both", 1)], &[]);
    let backward = back(&forward);
    let dir = tempfile::tempdir().unwrap();
    let (there, here) = (follow(&forward, &dir), follow(&backward, &dir));
    let flows = vec![natives_of(&forward, &here), natives_of(&backward, &there)];
    let copies = Copies::start(flows, &prometheus::Registry::new()).unwrap();
    let (old, new, _) = forward.topics[0].clone();
    let write = |pairing: &Pairing, topic: &Topic, name: &str, numbers: std::ops::Range<i64>| {
        let transactional_id = format!("{}.{name}", pairing.flow);
        let identity =
            Identity { group: "it".into(), transactional_id, instance_id: None, writes: vec![topic.clone()] };
        let mut writer = KafkaWriter::new(&pairing.source, &identity).unwrap();
        for number in numbers {
            writer.begin().unwrap();
            let mut record = record(topic, 0, number);
            record.value = Some(format!("{name}-{number}").into_bytes());
            writer.produce(&record).unwrap();
            writer.commit().unwrap();
        }
    };
    // First the old side alone, then both at the same time, then the new side alone, as in a migration.
    write(&forward, &old, "old", 0..60);
    until("the first are copied", || (values(&forward, &new).len() == 60).then_some(()));
    std::thread::scope(|scope| {
        scope.spawn(|| write(&forward, &old, "old", 60..90));
        write(&backward, &new, "new", 0..30);
    });
    until("the second are copied", || (values(&forward, &new).len() == 120).then_some(()));
    until("the second are copied back", || (values(&forward, &old).len() == 120).then_some(()));
    write(&backward, &new, "new", 30..60);
    until("all are copied back", || (values(&forward, &old).len() == 150).then_some(()));
    // Nothing goes round: it would have by now.
    std::thread::sleep(Duration::from_secs(2));
    let (at_old, at_new) = (values(&forward, &old), values(&forward, &new));
    let set = |values: &[(i64, Vec<u8>)]| values.iter().map(|(_, value)| value.clone()).collect::<BTreeSet<_>>();
    assert_eq!((at_old.len(), at_new.len()), (150, 150));
    assert_eq!((set(&at_old).len(), set(&at_old)), (150, set(&at_new)));

    let exact = carried(&forward, (&there, &here), (&at_old, &at_new));
    let exact_back = carried(&backward, (&here, &there), (&at_new, &at_old));
    println!("positions exact: {exact} of {} there, {exact_back} of {} back", at_old.len(), at_new.len());
    // At the least those while one side alone was written to.
    assert!(exact >= 60 + 30 && exact_back >= 60 + 30);
    copies.stop().unwrap();
}

/// Offsets and values.
type Seen = [(i64, Vec<u8>)];

/// Each position of the flow's source, carried over: exact, or blocked because no offset is. How many are exact.
fn carried(
    pairing: &Pairing,
    (offsets, opposite): (&Arc<Offsets>, &Arc<Offsets>),
    (source, target): (&Seen, &Seen),
) -> usize {
    let carried = Carried::new(pairing, offsets, Some(opposite));
    let from = &pairing.topics[0].0;
    let positions: BTreeMap<String, i64> = source
        .iter()
        .map(|(offset, _)| offset + 1)
        .map(|position| (format!("{}.{position}", pairing.flow), position))
        .collect();
    for (group, position) in &positions {
        carried.commit(&carried.source, group, (from, 0), *position);
    }
    let findings = until("nobody waits any more", || {
        let findings = carried.round(false);
        findings.iter().all(|fact| fact.state != GroupOffsetState::Waiting).then_some(findings)
    });
    assert_eq!(findings.len(), positions.len());
    let mut exact = 0;
    for fact in findings {
        let read: BTreeSet<&Vec<u8>> =
            source.iter().filter(|(offset, _)| *offset < fact.source_offset).map(|(_, value)| value).collect();
        let is_exact = |offset: i64| target.iter().all(|(at, value)| (*at < offset) == read.contains(value));
        match fact.target_offset {
            Some(offset) => {
                assert!(is_exact(offset), "{} -> {offset}", fact.source_offset);
                exact += 1;
            }
            None => {
                let any = target.iter().map(|(at, _)| *at).chain([target.len() as i64 * 4]).find(|at| is_exact(*at));
                assert_eq!(any, None, "{}: {:?}", fact.source_offset, fact.reason);
            }
        }
    }
    exact
}
