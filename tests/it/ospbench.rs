//! OSPBench's stages in our operators against its definition, without a broker: `benches/ospbench` on the very engine.

#[path = "../../benches/ospbench/change.rs"]
mod change;
#[path = "../../benches/ospbench/facts.rs"]
mod facts;
#[path = "../../benches/ospbench/join.rs"]
mod join;
#[path = "../../benches/ospbench/lanes.rs"]
mod lanes;
#[path = "../../benches/ospbench/readings.rs"]
mod readings;
#[path = "../../benches/ospbench/reference.rs"]
mod reference;
#[path = "../../benches/ospbench/topology.rs"]
mod topology;

use std::collections::{BTreeMap, BTreeSet};

use facts::{CHANGE, Change, INTERVAL_MS, Relative, Twin};
use fairlead::event::FactKind;
use fairlead::record::{EventTime, Topic};
use fairlead::topology::driver::TopologyDriver;
use readings::{Reading, Told};
use topology::{FLOWS, SPEEDS};

const CHANGES: &str = "ospbench.changes.v1";
const BEGIN_MS: i64 = 1_700_000_000_000;

fn driver(batch_records_max: usize) -> TopologyDriver {
    TopologyDriver::new(&topology::topology("application: ospbench", "changes.v1"), batch_records_max).unwrap()
}

fn send(driver: &mut TopologyDriver, reading: &Reading) {
    let topic = if matches!(reading.told, Told::Flow { .. }) { FLOWS } else { SPEEDS };
    driver.send(&Topic::from(topic), &reading.fact(), EventTime(reading.at_ms)).unwrap();
}

fn told(driver: &TopologyDriver) -> BTreeMap<String, Vec<Change>> {
    let mut told: BTreeMap<String, Vec<Change>> = BTreeMap::new();
    for (_, fact) in driver.facts(&Topic::from(CHANGES), FactKind::Own(CHANGE)).unwrap() {
        let change = Change::of_fact(&fact).unwrap();
        told.entry(change.measurement_id.clone()).or_default().push(change);
    }
    told.values_mut().for_each(|of_point| of_point.sort_by_key(|change| change.aggregate.timestamp_ms));
    told
}

#[test]
fn join_tumbling_and_sliding_window_say_what_the_definition_says_and_forget_the_rest() {
    let readings = readings::readings(1, 8_000, 40, BEGIN_MS);
    let expected = reference::expected(&readings);
    // Whatever the size of a batch: with the larger one most partners meet within it.
    for batch_records_max in [7, 1_000] {
        let mut driver = driver(batch_records_max);
        for (number, reading) in readings.iter().enumerate() {
            send(&mut driver, reading);
            if number % 100 == 0 {
                driver.run(EventTime(BEGIN_MS)).unwrap();
            }
            if number % 1_500 == 1_499 {
                driver.crash().unwrap();
            }
        }
        driver.run(EventTime(BEGIN_MS)).unwrap();
        assert_eq!(told(&driver), expected);
        assert!(driver.state_bytes() > 0, "the flows at the end wait for their speeds");
        driver.run(EventTime(i64::MAX)).unwrap();
        assert_eq!((driver.state_bytes(), driver.first_timer()), (0, None), "what will not be complete is forgotten");
        assert_eq!(told(&driver), expected, "nothing is told after all");
    }
}

/// Worked out by hand, with intervals counted from the first.
#[test]
fn a_change_is_told_when_what_it_misses_cannot_come_any_more() {
    let mut driver = driver(1_000);
    let mut one_lane = |number: i64, vehicles, kmh, after_ms| {
        let timestamp_ms = BEGIN_MS + number * INTERVAL_MS;
        for told in [Told::Flow { vehicles, accuracy: 100 }, Told::Speed { kmh, accuracy: 100 }] {
            let at_ms = timestamp_ms + after_ms;
            send(&mut driver, &Reading { point: 1, lane: 1, num_lanes: 1, timestamp_ms, at_ms, told });
        }
        driver.run(EventTime(BEGIN_MS)).unwrap();
        told(&driver).into_values().flatten().count()
    };
    assert_eq!(one_lane(1, 900, 80.0, 100), 0, "the first may come");
    assert_eq!(one_lane(0, 600, 100.0, 900), 0, "the one before the first may come");
    assert_eq!(one_lane(3, 0, 0.0, 100), 0);
    assert_eq!(one_lane(4, 450, 80.0, 100), 0);
    assert_eq!(
        one_lane(2, 300, 60.0, 6_000),
        4,
        "too late itself, but it closes the third interval, and those before the first"
    );
    assert_eq!(one_lane(6, 900, 100.0, 5_999), 4, "just in time, and what it is compared with is still known");
    let relative = |flow, speed| Some(Relative { flow: Some(flow), speed: Some(speed) });
    let nothing_then = Some(Relative { flow: None, speed: None });
    let must = [
        (0, None, None),
        (1, relative(0.5, -0.2), None),
        (3, None, relative(-1.0, -1.0)),
        (4, nothing_then, None),
        (6, None, relative(1.0, 0.25)),
    ];
    for (closes_after_ms, count) in [(10_999, 4), (11_000, 5)] {
        driver.run(EventTime(BEGIN_MS + closes_after_ms)).unwrap();
        let told: Vec<_> = told(&driver).into_values().flatten().collect();
        let changes: Vec<_> = told
            .iter()
            .map(|change| {
                let number = (change.aggregate.timestamp_ms - BEGIN_MS) / INTERVAL_MS;
                (number, change.short_term, change.long_term)
            })
            .collect();
        assert_eq!(changes, must[..count]);
    }
    driver.run(EventTime(BEGIN_MS + 13_999)).unwrap();
    assert!(driver.state_bytes() > 0, "the eighth could still be compared with the sixth");
    driver.run(EventTime(BEGIN_MS + 14_000)).unwrap();
    assert_eq!((driver.state_bytes(), driver.first_timer()), (0, None));
}

#[test]
fn every_case_of_the_definition_comes_up_in_the_observations() {
    let readings = readings::readings(1, 8_000, 40, BEGIN_MS);
    let expected = reference::expected(&readings);
    let told: Vec<_> = expected.values().flatten().collect();
    let all: BTreeSet<_> = readings.iter().map(|reading| (reading.measurement_id(), reading.timestamp_ms)).collect();
    assert!(told.len() * 10 > all.len() * 9 && told.len() < all.len(), "{} of {} are complete", told.len(), all.len());
    let late = |reading: &&Reading| reading.at_ms >= facts::closes_at_ms(reading.timestamp_ms);
    let late: BTreeSet<_> =
        readings.iter().filter(late).map(|reading| (reading.measurement_id(), reading.timestamp_ms)).collect();
    let with_accuracy = |accuracy| told.iter().filter(|change| change.aggregate.flow_accuracy == accuracy).count();
    assert!(with_accuracy(-1) > 0 && with_accuracy(95) > 0 && with_accuracy(100) > 0);
    let out_of_order = readings.windows(2).filter(|pair| pair[1].at_ms < pair[0].at_ms).count();
    assert!(out_of_order * 3 > readings.len(), "{out_of_order}");

    // Of changes: none earlier, each of both alone, both; a gap that something late has left; nothing to divide by.
    let mut compared: BTreeMap<(bool, bool), usize> = BTreeMap::new();
    for change in &told {
        *compared.entry((change.short_term.is_some(), change.long_term.is_some())).or_default() += 1;
    }
    assert_eq!(compared.len(), 4, "{compared:?}");
    let after_late = |change: &&&Change| {
        late.contains(&(change.measurement_id.clone(), change.aggregate.timestamp_ms - INTERVAL_MS))
    };
    let after_late = told.iter().filter(after_late).count();
    assert!(after_late > 0 && told.iter().filter(|change| change.short_term.is_none()).count() > after_late);
    let divided = told.iter().filter_map(|change| change.short_term);
    let by_nothing = divided.filter(|short| *short == Relative { flow: None, speed: None }).count();
    assert!(by_nothing > 0);
    assert!(overtaken(&readings, &told) > 0);
}

/// How many aggregates were complete only after the one that follows.
fn overtaken(readings: &[Reading], told: &[&Change]) -> usize {
    let mut complete = BTreeMap::new();
    for (number, reading) in readings.iter().enumerate() {
        complete.insert((reading.measurement_id(), reading.timestamp_ms), number);
    }
    let of = |change: &Change, after_ms| {
        complete.get(&(change.measurement_id.clone(), change.aggregate.timestamp_ms + after_ms)).copied()
    };
    let followed = told.iter().filter(|change| {
        told.iter().any(|next| {
            next.measurement_id == change.measurement_id
                && next.aggregate.timestamp_ms == change.aggregate.timestamp_ms + INTERVAL_MS
        })
    });
    followed.filter(|change| of(change, 0) > of(change, INTERVAL_MS)).count()
}
