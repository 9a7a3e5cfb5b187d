//! Every failpoint, each way it can go wrong, with one worker and with two; and what the guard against KIP-890 is for.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::rig::{Rig, Seat};
use crate::log::sim::Faults;
use crate::runtime::{Error, failpoint};

/// The points, and what can happen at each short of the process dying.
const POINTS: [(&str, &[&str]); 10] = [
    ("before begin", &["unavailable"]),
    ("after begin", &["unavailable", "unknown", "abort"]),
    ("after produce", &["unavailable", "unknown", "abort"]),
    ("before commit", &["unavailable", "unknown", "abort"]),
    ("after commit", &["unavailable", "unknown"]),
    ("after store write", &["unavailable"]),
    ("in revoke", &["unavailable"]),
    ("in restore", &["unavailable"]),
    ("store write", &["full"]),
    ("restore", &["full"]),
];

fn tell(rig: &mut Rig, round: u64) {
    for (number, key) in ["api", "billing", "checkout", "web"].into_iter().enumerate() {
        rig.tell(key, (round + number as u64).is_multiple_of(3));
    }
}

/// Steps a worker; a dead one comes back on what a kill leaves on the disk. True if it panicked.
fn step(rig: &Rig, seats: &mut Vec<Seat>, number: usize) -> bool {
    let stepped = catch_unwind(AssertUnwindSafe(|| seats[number].worker.step()));
    match &stepped {
        Ok(Ok(())) => return false,
        Ok(Err(Error::Log(crate::log::Error::Fatal(why)))) if why == "killed" => {}
        Ok(Err(error)) => panic!("worker {number}: {error}"),
        Err(_) => {}
    }
    seats[number].lives.set(Some(0));
    let image = rig.image_of_disk(number);
    drop(seats.remove(number));
    rig.put_image(number, image);
    seats.insert(number, rig.seat(number));
    stepped.is_err()
}

fn run(point: &str, action: &str, workers: usize) {
    let mut rig = Rig::new(7, Faults { rebalance: 8, late_marker: 100, ..Faults::default() });
    let mut seats: Vec<_> = (0..workers).map(|number| rig.seat(number)).collect();
    fail::cfg(point, &format!("1*off->1*{action}")).unwrap();
    let fired_before = failpoint::fired();
    let mut panics = 0;
    for round in 0..60 {
        tell(&mut rig, round);
        if round % 20 == 10 {
            seats[0].lives.set(Some(3)); // so that there is something to restore
        }
        for number in 0..workers {
            for _ in 0..4 {
                panics += u32::from(step(&rig, &mut seats, number));
            }
        }
    }
    rig.sim.set_faults(Faults::default());
    fail::remove(point);
    assert!(failpoint::fired() - fired_before + panics > 0, "{point} {action}: the point was not met");
    for number in 0..workers {
        seats[number].lives.set(None);
        step(&rig, &mut seats, number);
    }
    rig.drain(&mut seats).unwrap_or_else(|error| panic!("{point} {action} with {workers} workers: {error}"));
    rig.check(&seats);
}

#[test]
fn whatever_fails_at_whichever_point_nothing_is_lost_or_doubled() {
    failpoint::arm();
    for (point, actions) in POINTS {
        for workers in [1, 2] {
            actions.iter().for_each(|action| run(point, &format!("return({action})"), workers));
            run(point, "panic", workers);
        }
    }
}

/// Whether a worker or two that may not see a hazard get through, if `hides_hazards`, and nothing is torn.
fn is_sound(seed: u64, workers: usize, faults: Faults) -> bool {
    let run = || {
        let mut rig = Rig::new(seed, faults);
        let mut seats: Vec<_> = (0..workers).map(|number| rig.seat(number)).collect();
        for round in 0..40 {
            tell(&mut rig, round);
            for seat in &mut seats {
                (0..4).for_each(|_| seat.worker.step().unwrap());
            }
        }
        rig.sim.set_faults(Faults { hides_hazards: faults.hides_hazards, ..Faults::default() });
        rig.drain(&mut seats).unwrap();
        rig.check(&seats);
    };
    catch_unwind(AssertUnwindSafe(run)).is_ok()
}

/// A late repetition of a commit ends the next transaction half-way, unless the producer is renewed before it.
#[test]
fn without_renewed_producers_a_repeated_end_tears_transactions() {
    let sound = |seed: u64, hides_hazards: bool| {
        is_sound(seed, 1, Faults { repeated_end: 900, undelivered: 40, hides_hazards, ..Faults::default() })
    };
    assert!((0..8).all(|seed| sound(seed, false)), "with the guard nothing is torn");
    assert!((0..8).any(|seed| !sound(seed, true)), "the simulation does not show the hazard any more");
}

/// Offsets whose markers went with a broker are waited for without an end, unless who left them takes them back.
#[test]
fn without_a_doubt_whoever_reads_on_waits_for_ever() {
    let sound = |seed: u64, hides_hazards: bool| {
        is_sound(seed, 2, Faults { dropped_markers: 200, rebalance: 20, hides_hazards, ..Faults::default() })
    };
    assert!((0..8).all(|seed| sound(seed, false)), "who is in doubt takes them back");
    assert!((0..8).any(|seed| !sound(seed, true)), "the simulation does not show the hazard any more");
}
