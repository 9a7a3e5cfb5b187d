//! Samples a second of one core in the stage of operator `trend`: a sample and its series' state are decoded, the rule looks at it, the new
//! state is encoded for the changelog. Nothing is cached, as with many series in turn; or each series is told several times a commit.
//!
//! Not here: Kafka, the store, the door.

use std::collections::BTreeMap;

use fairlead::codec::{Format, Formats, SchemaId};
use fairlead::event::{Fact, FactKind, Sample};
use fairlead::operator::Operator;
use fairlead::operator::trend::Trend;
use fairlead::record::EventTime;
use fairlead::topology::stage::stage;

use super::speed::cpu_seconds;

/// Of one commit.
const BATCH: usize = 1_000;
const ROUNDS: i64 = 8;
/// Windows are full, hours known.
const WARM_ROUNDS: i64 = 60;
const BEGIN_MS: i64 = 1_700_000_000_000;

const RULES: [(&str, &str); 6] = [
    ("forecast", "{ forecast: { above: 1000, horizon_secs: 14400 } }"),
    ("forecast, seasonal", "{ forecast: { above: 1000, horizon_secs: 14400, seasonal: true } }"),
    ("monotone", "{ monotone: { window_secs: 7200, by: 50 } }"),
    ("shift", "{ shift: {} }"),
    ("baseline", "{ baseline: { over_secs: 86400, points: 5 } }"),
    ("unusual", "{ unusual: {} }"),
];

pub fn measure(series: usize) {
    println!(
        "{series} series\n\n| rule | samples/s of a core, one a commit | eight a commit | bytes of state |\n|---|---|---|---|"
    );
    for (name, detect) in RULES {
        let (single, bytes) = one(detect, series, 1);
        let (eight, _) = one(detect, series, 8);
        println!("| {name} | {single:.0} | {eight:.0} | {bytes} |");
    }
    println!();
}

fn one(detect: &str, series: usize, a_commit: i64) -> (f64, usize) {
    let trend: Trend =
        serde_saphyr::from_str(&format!("rules: [{{ name: rule, select: http_errors_ratio, detect: {detect} }}]"))
            .expect("a rule");
    let mut formats = Formats::shipped();
    let format = Format::new(SchemaId(1_000), Trend::STATE_SCHEMA).expect("a schema");
    formats.read_with(format.clone());
    let mut stage = stage("trend", trend, format);
    let keys: Vec<String> = (0..series)
        .map(|number| {
            format!(
                r#"http_errors_ratio{{cluster="eu-1",instance="10.0.{}.{}:8080",job="web",service="checkout"}}"#,
                number / 250,
                number % 250
            )
        })
        .collect();
    let mut store: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
    let (mut spent, mut told) = (0.0, 0_u32);
    let rounds = (-WARM_ROUNDS..0).map(|round| (round, BEGIN_MS + round * 1_800_000, 1));
    let measured = (1..=ROUNDS).map(|round| (round, BEGIN_MS + round * 15_000 * a_commit, a_commit));
    for (round, at_ms, times) in rounds.chain(measured) {
        for keys in keys.chunks(BATCH) {
            let samples: Vec<(&str, EventTime, Vec<u8>)> = (0..times)
                .flat_map(|time| keys.iter().enumerate().map(move |(number, key)| (time, number as i64, key)))
                .map(|(time, number, key)| {
                    let value = 50.0 + ((number * 31 + (round + time) * 7919).rem_euclid(101)) as f64 / 10.0;
                    let at = EventTime(at_ms + time * 15_000);
                    let sample = Fact::Sample(Sample { series: key.as_str().into(), at_ms: at.0, value });
                    let mut bytes = Vec::new();
                    formats.encode_fact(&sample, &mut bytes).expect("a sample");
                    (key.as_str(), at, bytes)
                })
                .collect();
            let began = cpu_seconds();
            for key in keys {
                stage.load(key.as_bytes(), store.get(key.as_bytes()).map(Vec::as_slice), &formats).expect("a state");
            }
            for (key, at, bytes) in &samples {
                let fact = formats.decode_fact(FactKind::Sample, bytes).expect("a sample");
                told += stage.step(key.as_bytes(), fact, *at).emissions.len() as u32;
            }
            let changes = stage.changes().expect("states");
            if round > 0 {
                spent += cpu_seconds() - began;
            }
            store.extend(changes.into_iter().filter_map(|change| Some((change.key, change.state?))));
            stage.discard();
        }
    }
    assert!(told < 100_000, "it is the usual that is measured");
    let bytes = store.values().map(Vec::len).sum::<usize>() / store.len().max(1);
    ((ROUNDS * a_commit) as f64 * series as f64 / spent, bytes)
}
