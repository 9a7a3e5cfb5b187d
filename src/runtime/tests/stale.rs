//! A group's coordinator that tells offsets of long ago, or none; and a person who sets them.

use std::collections::BTreeMap;

use super::rig::{Rig, Seat};
use super::zombies::tell_and_commit;
use crate::log::Committed;
use crate::log::sim::Faults;
use crate::record::{Offset, TopicPartition};

type Offsets = BTreeMap<TopicPartition, Committed>;

/// Seven commits of one task; and what the group told after the first of them.
fn with_history() -> (Rig, Seat, Offsets) {
    let mut rig = Rig::new(1, Faults::default());
    let mut seat = rig.seat(0);
    tell_and_commit(&mut rig, "api", &mut seat);
    let old = rig.sim.offsets();
    (0..6).for_each(|_| tell_and_commit(&mut rig, "api", &mut seat));
    (rig, seat, old)
}

/// With the store of the last commit, and with none.
fn each_way(told: impl Fn(Offsets) -> Offsets, check: impl Fn(Rig, Seat)) {
    for number in [0, 1] {
        let (rig, seat, old) = with_history();
        drop(seat);
        rig.sim.tell_offsets(Some(told(old)));
        let seat = rig.seat(number);
        check(rig, seat);
    }
}

fn goes_on_from_the_last_commit(mut rig: Rig, mut seat: Seat) {
    tell_and_commit(&mut rig, "api", &mut seat);
    let mut seats = [seat];
    rig.drain(&mut seats).unwrap();
    rig.check(&seats);
}

#[test]
fn a_task_goes_on_from_its_last_commit_although_the_group_tells_an_older_one() {
    each_way(|old| old, goes_on_from_the_last_commit);
}

#[test]
fn a_task_goes_on_from_its_last_commit_although_the_group_tells_none() {
    each_way(|_| Offsets::new(), goes_on_from_the_last_commit);
}

/// As with `kafka-consumer-groups.sh --reset-offsets`.
#[test]
fn offsets_that_somebody_else_committed_are_where_it_goes_on() {
    let by_hand = |old: Offsets| {
        let reset = |(at, _)| (at, Committed { offset: Offset(0), metadata: String::new() });
        old.into_iter().map(reset).collect()
    };
    each_way(by_hand, |mut rig, mut seat| {
        let before = rig.records("out").len();
        rig.tell("api", false);
        for _ in 0..30 {
            seat.worker.step().unwrap();
        }
        assert!(rig.records("out").len() >= before + 8, "all eight alerts once more");
    });
}
