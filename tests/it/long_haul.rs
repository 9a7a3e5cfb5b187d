//! The decisions of `make longhaul` (benches/longhaul/): its plan, and the line through what it measures.

#[path = "../../benches/longhaul/memory.rs"]
#[allow(dead_code)] // the program alone watches a process
mod memory;
#[allow(dead_code)] // and has words for what it does
#[path = "../../benches/longhaul/plan.rs"]
mod plan;

use std::collections::BTreeSet;

use plan::{Disturbance, Kind, Member, Round, plan};

const SEEDS: u64 = 500;
/// The least that a plan must keep its word in, and the default.
const DURATIONS_SECS: [u64; 2] = [180, 1_800];

fn each_plan(check: impl Fn(&[Round])) {
    for seed in 0..SEEDS {
        DURATIONS_SECS.iter().for_each(|secs| check(&plan(seed, *secs)));
    }
}

#[test]
fn a_seed_repeats_its_plan_and_another_has_another() {
    assert_eq!(plan(7, 1_800), plan(7, 1_800));
    assert_ne!(plan(7, 1_800), plan(8, 1_800));
}

#[test]
fn every_kind_comes_up_in_three_minutes() {
    each_plan(|rounds| {
        let kinds: BTreeSet<_> = rounds.iter().flat_map(|round| &round.disturbances).map(|one| one.kind()).collect();
        assert_eq!(kinds.len(), Kind::ClockBack as usize + 1, "{rounds:?}");
    });
}

#[test]
fn rounds_follow_each_other_within_the_duration_and_fill_it() {
    for secs in DURATIONS_SECS {
        for seed in 0..SEEDS {
            let rounds = plan(seed, secs);
            assert!(rounds.windows(2).all(|two| two[0].at_secs + two[0].held_secs < two[1].at_secs), "{rounds:?}");
            let end = rounds.last().map_or(0, |last| last.at_secs + last.held_secs);
            assert!(end < secs && end + 120 > secs, "{secs} s: {rounds:?}");
        }
    }
}

/// Of the two that are always there, or the broker, something is left to go on by itself; no process is meant twice at once.
#[test]
fn nothing_is_held_for_longer_than_can_be_awaited() {
    each_plan(|rounds| {
        for round in rounds {
            let who: Vec<_> = round.disturbances.iter().filter_map(|one| one.member()).collect();
            assert_eq!(who.iter().collect::<BTreeSet<_>>().len(), who.len(), "{round:?}");
            assert!(round.held_secs <= 12 && matches!(round.disturbances.len(), 1 | 2), "{round:?}");
        }
    });
}

/// From the return of one until the next goes.
#[test]
fn a_broker_is_there_for_a_minute() {
    let is_outage = |one: &Disturbance| matches!(one, Disturbance::StopBroker | Disturbance::KillBroker);
    each_plan(|rounds| {
        let outages: Vec<_> = rounds.iter().filter(|round| round.disturbances.iter().any(is_outage)).collect();
        assert!(outages.windows(2).all(|two| two[1].at_secs > two[0].at_secs + two[0].held_secs + 60), "{rounds:?}");
    });
}

#[test]
fn a_pause_outlasts_a_session_and_member_a_never_ends() {
    each_plan(|rounds| {
        for round in rounds {
            for disturbance in &round.disturbances {
                match disturbance {
                    Disturbance::Pause(_) => assert!(round.held_secs > 4, "{round:?}"),
                    Disturbance::Kill(member) => assert_ne!(*member, Member::A, "{round:?}"),
                    _ => {}
                }
            }
        }
    });
}

#[test]
fn the_guest_comes_before_it_goes_and_clocks_go_forward_before_they_go_back() {
    each_plan(|rounds| {
        let (mut there, mut ahead) = (false, None);
        for disturbance in rounds.iter().flat_map(|round| &round.disturbances) {
            match *disturbance {
                Disturbance::Join => assert!(!std::mem::replace(&mut there, true), "{rounds:?}"),
                Disturbance::Leave => assert!(std::mem::replace(&mut there, false), "{rounds:?}"),
                Disturbance::Kill(Member::C) => assert!(there, "{rounds:?}"),
                Disturbance::Clock(member, 60..=600) => assert_eq!(ahead.replace(member), None, "{rounds:?}"),
                Disturbance::Clock(member, -600..=-60) => assert_eq!(ahead.take(), Some(member), "{rounds:?}"),
                Disturbance::Clock(..) => panic!("not by minutes: {rounds:?}"),
                _ => {}
            }
        }
    });
}

#[test]
fn the_line_through_samples_has_their_slope() {
    let line: Vec<_> = (0..60).map(|second| (f64::from(second) / 60.0, 1_000.0 + 5.0 * f64::from(second))).collect();
    assert!((memory::slope(&line) - 300.0).abs() < 1e-6);
    let flat: Vec<_> = (0..60).map(|second| (f64::from(second), 1_000.0 + f64::from(second % 2))).collect();
    assert!(memory::slope(&flat).abs() < 0.01);
    assert_eq!([memory::slope(&[]), memory::slope(&line[..1])], [0.0, 0.0]);
}
