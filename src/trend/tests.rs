//! What holds for every detector and every input: from a snapshot follows what follows from the beginning, to the bit; a state is
//! bounded; nothing panics.

use proptest::prelude::*;
use serde_avro_fast::Schema;

use super::rule::{Observed, Rule, State};
use super::{Reason, Sample};
use crate::codec::avro;
use crate::record::EventTime;

/// Of a series' whole memory; what one rule remembers is within.
const SCHEMA: &str = include_str!("../../schemas/state/trend.avsc");
/// The largest: an ensemble with the hours of a week, of a day and two windows.
const STATE_BYTES_MAX: usize = 8_000;

const RULES: &str = "
- { name: up, detect: { forecast: { above: 100, horizon_secs: 600 } }, for_secs: 60 }
- { name: down, detect: { forecast: { below: -100, horizon_secs: 4000000000 } } }
- { name: season, counter: true, detect: { forecast: { above: 100, horizon_secs: 7200, seasonal: true } } }
- { name: moves, detect: { monotone: { window_secs: 320, by: -3 } } }
- { name: level, detect: { shift: {} } }
- { name: day, detect: { same_time: { period: day } } }
- { name: week, detect: { same_time: { period: week, distances: 3 } } }
- { name: points, detect: { baseline: { over_secs: 600, points: 5 } } }
- { name: percent, counter: true, detect: { baseline: { over_secs: 1, percent: 5 } } }
- { name: gone, detect: { absence: { after_secs: 120 } } }
- { name: odd, detect: { unusual: {} }, recovering_secs: 0 }
- name: most
  detect:
    ensemble:
      at_least: 2
      of:
      - forecast: { above: 100, horizon_secs: 3600, seasonal: true }
      - monotone: { window_secs: 600, by: 10 }
      - shift: { sum: 5 }
      - same_time: { period: day }
      - same_time: { period: week }
      - baseline: { over_secs: 3600, percent: 10 }
      - absence: { after_secs: 300 }
      - unusual: {}
";

fn rules() -> Vec<Rule> {
    serde_saphyr::from_str(RULES).unwrap()
}

fn schema() -> Schema {
    let whole: serde_json::Value = serde_json::from_str(SCHEMA).unwrap();
    whole.pointer("/fields/5/type/items/fields/1/type").unwrap().to_string().parse().unwrap()
}

fn bytes(schema: &Schema, state: &State) -> Vec<u8> {
    let mut out = Vec::new();
    avro::encode(schema, state, &mut out).unwrap();
    out
}

/// Steps of time that go back, stand, are small, or leap; values that are anything at all, or near to each other.
fn series() -> impl Strategy<Value = Vec<Sample>> {
    let step = prop_oneof![1 => -100_000_i64..=0, 8 => 1_i64..120_000, 2 => 600_000_i64..90_000_000, 1 => any::<i64>()];
    let value =
        prop_oneof![2 => any::<u64>().prop_map(f64::from_bits), 6 => -200.0..200.0, 2 => Just(7.0), 1 => Just(1e100)];
    prop::collection::vec((step, value), 0..400).prop_map(|steps| {
        let mut at = 1_700_000_000_000_i64;
        let sample = |(step, value)| {
            let told = EventTime(at.saturating_add(step));
            // A leap out of all time happens once and is not where the series goes on.
            at = if (0..4_000_000_000_000).contains(&told.0) { told.0 } else { at };
            Sample { at: told, value }
        };
        steps.into_iter().map(sample).collect()
    })
}

/// As a task does it: the deadline first, if it has passed.
fn run(rule: &Rule, state: &mut State, sample: Sample) -> Vec<Option<Observed>> {
    let due = rule.deadline(state).filter(|due| *due < sample.at);
    let due = due.map(|due| rule.due(state, due));
    vec![due, rule.observe(state, sample).ok()]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn from_a_snapshot_follows_what_follows_from_the_beginning(series in series(), cut in 0_usize..400) {
        let schema = schema();
        let cut = cut.min(series.len());
        for rule in rules() {
            let mut whole = State::default();
            series[..cut].iter().for_each(|sample| _ = run(&rule, &mut whole, *sample));
            let snapshot = bytes(&schema, &whole);
            let mut restored: State = avro::decode(&schema, &snapshot).unwrap();
            for sample in &series[cut..] {
                let (one, other) = (run(&rule, &mut whole, *sample), run(&rule, &mut restored, *sample));
                prop_assert_eq!(one, other, "{}", rule.name);
                let lines = [rule.sparkline(&whole, sample.at), rule.sparkline(&restored, sample.at)];
                prop_assert_eq!(&lines[0], &lines[1], "{}", rule.name);
                prop_assert!(lines[0].chars().count() <= 24);
            }
            let bytes_of = [bytes(&schema, &whole), bytes(&schema, &restored)];
            prop_assert_eq!(&bytes_of[0], &bytes_of[1], "{}", rule.name);
            prop_assert!(bytes_of[0].len() <= STATE_BYTES_MAX, "{}: {}", rule.name, bytes_of[0].len());
        }
    }

    #[test]
    fn strengths_are_numbers_and_reasons_are_words(series in series()) {
        for rule in rules() {
            let mut state = State::default();
            for sample in &series {
                for observed in run(&rule, &mut state, *sample).into_iter().flatten() {
                    let strength = observed.reading.strength;
                    prop_assert!((0.0..=100.0).contains(&strength), "{}: {strength}", rule.name);
                    prop_assert!(rule.summary("node_filesystem_used_ratio", &observed.reading.reason).len() < 250);
                    prop_assert!(strength == 0.0 || observed.reading.reason != Reason::Nothing);
                }
            }
        }
    }
}

#[test]
fn the_rules_of_these_tests_are_fine_and_wrong_ones_are_told() {
    assert_eq!(rules().iter().flat_map(Rule::problems).collect::<Vec<_>>(), Vec::<String>::new());
    let wrong = "
    - { name: '', detect: { shift: { sum: 0 } }, as: ' ' }
    - { name: a, detect: { ensemble: { at_least: 2, of: [{ shift: {} }] } } }
    - { name: b, detect: { ensemble: { at_least: 1, of: [{ ensemble: { at_least: 1, of: [{ shift: {} }] } }] } } }
    ";
    let problems: Vec<usize> =
        serde_saphyr::from_str::<Vec<Rule>>(wrong).unwrap().iter().map(|rule| rule.problems().len()).collect();
    assert_eq!(problems, [3, 1, 1]);
}

/// A rule that was changed must not read what another detector remembered.
#[test]
fn a_state_of_another_rule_is_forgotten() {
    let mut state = State::default();
    let sample = |at: i64| Sample { at: EventTime(at * 60_000), value: at as f64 };
    let [first, .., last] = &rules()[..] else { panic!("rules") };
    (0..50).for_each(|at| _ = first.observe(&mut state, sample(at)));
    let mut fresh = State::default();
    last.observe(&mut state, sample(50)).unwrap();
    last.observe(&mut fresh, sample(50)).unwrap();
    assert_eq!(state, fresh);
}
