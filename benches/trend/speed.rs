//! Samples a second of one core in the detectors alone, over many series in turn, so that each finds its state cold.
//!
//! Samples come every fifteen seconds. Not here: the way of a sample to the detector, and what a state costs to write.

use std::hint::black_box;

use fairlead::codec::avro;
use fairlead::record::EventTime;
use fairlead::trend::Sample;
use fairlead::trend::rule::{Rule, State};

const SCHEMA: &str = include_str!("../../schemas/state/trend.avsc");
const ROUNDS: i64 = 20;
/// Windows are full, hours known.
const WARM_ROUNDS: i64 = 40;

const RULES: [&str; 8] = [
    "{ name: forecast, detect: { forecast: { above: 1000, horizon_secs: 14400 } } }",
    "{ name: 'forecast, seasonal', detect: { forecast: { above: 1000, horizon_secs: 14400, seasonal: true } } }",
    "{ name: monotone, detect: { monotone: { window_secs: 7200, by: 50 } } }",
    "{ name: shift, detect: { shift: {} } }",
    "{ name: 'same time yesterday', detect: { same_time: { period: day } } }",
    "{ name: baseline, detect: { baseline: { over_secs: 86400, points: 5 } } }",
    "{ name: unusual, detect: { unusual: {} } }",
    "{ name: 'two of shift, unusual, same time', detect: { ensemble: { at_least: 2, of: [{ shift: {} }, { unusual: {} }, { same_time: { period: day } }] } } }",
];

pub fn measure(series: usize) {
    println!("{series} series\n\n| rule | samples/s of a core | bytes of state |\n|---|---|---|");
    for rule in RULES {
        let rule: Rule = serde_saphyr::from_str(rule).expect("a rule");
        let (rate, bytes) = one(&rule, series);
        println!("| {} | {rate:.0} | {bytes} |", rule.name);
    }
    println!();
}

/// Of this thread, as Linux counts it: other programs on the same core do not disturb.
pub fn cpu_seconds() -> f64 {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux tells a thread's time on the CPU");
    let nanos: f64 = told.split(' ').next().and_then(|nanos| nanos.parse().ok()).expect("nanoseconds");
    nanos / 1e9
}

fn one(rule: &Rule, series: usize) -> (f64, usize) {
    let mut states = vec![State::default(); series];
    let mut round = |round: i64, every_ms: i64| {
        for (number, state) in states.iter_mut().enumerate() {
            let value = 50.0 + ((number as i64 * 31 + round * 7919) % 101) as f64 / 10.0;
            let sample = Sample { at: EventTime(1_700_000_000_000 + round * every_ms), value };
            _ = black_box(rule.observe(state, sample));
        }
    };
    // The first rounds are half an hour apart.
    (0..WARM_ROUNDS).for_each(|at| round(at - WARM_ROUNDS, 1_800_000));
    let began = cpu_seconds();
    (0..ROUNDS).for_each(|at| round(at, 15_000));
    let rate = (ROUNDS as f64 * series as f64) / (cpu_seconds() - began);
    let mut bytes = Vec::new();
    let whole: serde_json::Value = serde_json::from_str(SCHEMA).expect("JSON");
    let of_rule = whole.pointer("/fields/5/type/items/fields/1/type").expect("what one rule remembers");
    avro::encode(&of_rule.to_string().parse().expect("a schema"), &states[0], &mut bytes).expect("a state");
    (rate, bytes.len())
}
