//! A worker that slept through its session goes on for a while as if its partitions were still its own.

use std::collections::BTreeMap;
use std::time::Duration;

use super::ledger::QUIET_MS;
use super::rig::{PARTITIONS, Rig, Seat, at};
use crate::log::sim::Faults;
use crate::record::{Offset, TopicPartition};

/// The ends of changelogs are asked for so often (`worker::MEASURE`).
const MEASURE_MS: u64 = 10_000;

fn inputs() -> impl Iterator<Item = TopicPartition> {
    (0..PARTITIONS as i32).flat_map(|partition| [at("alerts", partition), at("deploys", partition)])
}

/// One more alert, and steps until it is committed; no more, for an idle worker lets time pass.
pub fn tell_and_commit(rig: &mut Rig, key: &str, seat: &mut Seat) {
    rig.tell(key, false);
    let next = |input: &TopicPartition| rig.sim.committed_offset(input).map_or(Offset(0), |committed| committed.offset);
    let mut steps = 0;
    while inputs().any(|input| next(&input) < rig.sim.high(&input)) {
        seat.worker.step().unwrap();
        steps += 1;
        assert!(steps < 50, "not committed");
    }
}

/// A tick that has nothing to commit proves nothing: what the other one wrote meanwhile is to be restored when the task comes back.
#[test]
fn what_another_wrote_is_restored_although_a_zombie_looked_at_the_changelog_after_it() {
    let quiet = QUIET_MS as u64;
    let mut rig = Rig::new(1, Faults::default());
    let mut zombie = rig.seat(0);
    tell_and_commit(&mut rig, "api", &mut zombie);
    let began = rig.clock.elapsed();
    let pass_until = |rig: &Rig, ms: u64| {
        let left = (began + Duration::from_millis(ms)).checked_sub(rig.clock.elapsed());
        rig.clock.sleep(left.expect("it is not that late yet"));
    };
    // Its deadline is noted for the first of the two, and moved on by the second: a tick in between is silent.
    pass_until(&rig, MEASURE_MS - quiet);
    tell_and_commit(&mut rig, "api", &mut zombie);
    pass_until(&rig, MEASURE_MS - quiet / 2);
    tell_and_commit(&mut rig, "api", &mut zombie);

    rig.sim.expel("m0", 1);
    let mut other = rig.seat(1);
    tell_and_commit(&mut rig, "api", &mut other);
    pass_until(&rig, MEASURE_MS + quiet / 4);
    let told = rig.records("out").len();
    zombie.worker.step().unwrap();
    assert_eq!(
        (rig.records("out").len(), zombie.worker.tasks().count()),
        (told, PARTITIONS),
        "it ticks, and is silent"
    );
    zombie.worker.step().unwrap();
    assert_eq!(zombie.worker.tasks().count(), 0, "it knows");

    drop(other);
    tell_and_commit(&mut rig, "api", &mut zombie);
    let mut seats = [zombie];
    rig.drain(&mut seats).unwrap();
    rig.check(&seats);
}

/// It restores, is told of no offsets, and reads of a commit that another one made since it began.
#[test]
fn a_zombie_that_goes_on_from_the_changelog_has_all_of_that_commit() {
    // Wherever it is in its restore, and however little more it is given of the rest.
    for (before, whole) in (0..3).flat_map(|before| (0..6).map(move |whole| (before, whole))) {
        let mut rig = Rig::new(1, Faults::default());
        let mut first = rig.seat(0);
        tell_and_commit(&mut rig, "api", &mut first);
        drop(first);
        rig.sim.tell_offsets(Some(BTreeMap::new()));
        let mut zombie = rig.seat(1);
        while zombie.worker.tasks().count() == 0 {
            zombie.worker.step().unwrap();
        }
        (0..before).for_each(|_| zombie.worker.step().unwrap());
        rig.sim.expel("m1", 20);
        rig.sim.tell_offsets(None);
        let mut other = rig.seat(2);
        tell_and_commit(&mut rig, "api", &mut other);
        (0..whole).for_each(|_| zombie.worker.step().unwrap());
        rig.sim.set_faults(Faults { short_read: 1_000, ..Faults::default() });
        while zombie.worker.tasks().count() > 0 {
            zombie.worker.step().unwrap();
        }
        drop(other);
        tell_and_commit(&mut rig, "api", &mut zombie);
        let mut seats = [zombie];
        rig.drain(&mut seats).unwrap();
        rig.check(&seats);
    }
}
