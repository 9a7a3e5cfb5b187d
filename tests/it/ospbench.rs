//! OSPBench's stages in our operators against its definition, without a broker: `benches/ospbench` on the very engine.

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

use std::collections::BTreeMap;

use facts::{AGGREGATE, Aggregate, Twin};
use fairlead::event::FactKind;
use fairlead::record::{EventTime, Topic};
use fairlead::topology::driver::TopologyDriver;
use readings::Told;
use topology::{FLOWS, SPEEDS};

const AGGREGATES: &str = "ospbench.aggregates.v1";
const BEGIN_MS: i64 = 1_700_000_000_000;

fn told(driver: &TopologyDriver) -> BTreeMap<String, Vec<Aggregate>> {
    let mut told: BTreeMap<String, Vec<Aggregate>> = BTreeMap::new();
    for (_, fact) in driver.facts(&Topic::from(AGGREGATES), FactKind::Own(AGGREGATE)).unwrap() {
        let aggregate = Aggregate::of_fact(&fact).unwrap();
        told.entry(aggregate.measurement_id.clone()).or_default().push(aggregate);
    }
    told.values_mut().for_each(|of_point| of_point.sort_by_key(|aggregate| aggregate.timestamp_ms));
    told
}

#[test]
fn join_and_tumbling_window_say_what_the_definition_says_and_forget_the_rest() {
    let topology = topology::topology("application: ospbench", "aggregates.v1");
    let readings = readings::readings(1, 8_000, 40, BEGIN_MS);
    let expected = reference::expected(&readings);
    // Whatever the size of a batch: with the larger one most partners meet within it.
    for batch_records_max in [7, 1_000] {
        let mut driver = TopologyDriver::new(&topology, batch_records_max).unwrap();
        for (number, reading) in readings.iter().enumerate() {
            let topic = if matches!(reading.told, Told::Flow { .. }) { FLOWS } else { SPEEDS };
            driver.send(&Topic::from(topic), &reading.fact(), EventTime(reading.at_ms)).unwrap();
            if number % 100 == 0 {
                driver.run(EventTime(BEGIN_MS)).unwrap();
            }
        }
        driver.crash().unwrap();
        driver.run(EventTime(BEGIN_MS)).unwrap();
        assert_eq!(told(&driver), expected);
        assert!(driver.state_bytes() > 0, "the last incomplete intervals are remembered");
        driver.run(EventTime(i64::MAX)).unwrap();
        assert_eq!((driver.state_bytes(), driver.first_timer()), (0, None), "what will not be complete is forgotten");
    }
}

#[test]
fn every_case_of_the_definition_comes_up_in_the_observations() {
    let readings = readings::readings(1, 8_000, 40, BEGIN_MS);
    let expected = reference::expected(&readings);
    let complete: usize = expected.values().map(Vec::len).sum();
    let intervals = readings.iter().map(|reading| (reading.point, reading.timestamp_ms));
    let all = intervals.collect::<std::collections::BTreeSet<_>>().len();
    assert!(complete * 10 > all * 9 && complete < all, "{complete} of {all} intervals are complete");
    let late = readings.iter().filter(|reading| reading.at_ms >= facts::closes_at_ms(reading.timestamp_ms)).count();
    let told = |accuracy: i32| expected.values().flatten().filter(|told| told.flow_accuracy == accuracy).count();
    assert!(late > 0 && told(-1) > 0 && told(95) > 0 && told(100) > 0);
    let out_of_order = readings.windows(2).filter(|pair| pair[1].at_ms < pair[0].at_ms).count();
    assert!(out_of_order * 3 > readings.len(), "{out_of_order}");
}
