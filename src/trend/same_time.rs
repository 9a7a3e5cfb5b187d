//! Says that a series is not what it was at this time yesterday, or on this day last week: the distance from the mean of earlier such
//! times, in units of the usual distance of all times.

use serde::{Deserialize, Serialize};

use super::ring::Open;
use super::{Reading, Reason, Sample};

const DAY_MS: i64 = 86_400_000;
const HOUR_MS: i64 = 3_600_000;
/// How much a new day knows better.
const NEWS: f64 = 0.3;
/// So many slots must have been compared before the usual distance is known.
const COMPARED_MIN: f64 = 12.0;
const COMPARED_MAX: f64 = 200.0;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Period {
    Day,
    Week,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SameTime {
    pub period: Period,
    /// So many usual distances away.
    #[serde(default = "distances")]
    pub distances: f64,
}

fn distances() -> f64 {
    6.0
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    open: Open,
    /// The distances from then, of the samples of the same stretch.
    off: Open,
    /// By half hour of the day, or hour of the week.
    then: Vec<Option<f64>>,
    usual: f64,
    compared: f64,
}

impl SameTime {
    pub fn problems(&self) -> Vec<String> {
        let mend = || "same_time: `distances` must be above 0".to_owned();
        (!(self.distances > 0.0 && self.distances.is_finite())).then(mend).into_iter().collect()
    }

    pub fn observe(&self, state: &mut State, sample: Sample) -> Reading {
        let (slots, width) = match self.period {
            Period::Day => (48, HOUR_MS / 2),
            Period::Week => (7 * DAY_MS / HOUR_MS, HOUR_MS),
        };
        state.then.resize(slots as usize, None);
        let index = sample.at.0.div_euclid(width).rem_euclid(slots) as usize;
        if let Some((slot, value)) = state.open.add(sample, width) {
            let then = &mut state.then[slot.rem_euclid(slots) as usize];
            *then = Some(then.map_or(value, |before| before + NEWS * (value - before)));
        }
        let Some(then) = state.then[index] else { return Reading::NOTHING };
        let distance = (sample.value - then).abs();
        if let Some((_, off)) = state.off.add(Sample { at: sample.at, value: distance }, width) {
            // One bad hour must not make all that follows usual.
            let off = if state.compared >= COMPARED_MIN { off.min(4.0 * state.usual) } else { off };
            state.compared = (state.compared + 1.0).min(COMPARED_MAX);
            state.usual += (off - state.usual) / state.compared;
        }
        if state.compared < COMPARED_MIN {
            return Reading::NOTHING;
        }
        let usual = state.usual.max(then.abs() / 1000.0).max(f64::MIN_POSITIVE);
        let strength = distance / usual / self.distances;
        Reading::new(strength, Reason::OtherThanThen { value: sample.value, then, weekly: self.period == Period::Week })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::EventTime;

    fn strengths(period: Period, days: i64, value: impl Fn(i64) -> f64) -> Vec<f64> {
        let rule = SameTime { period, distances: 6.0 };
        let mut state = State::default();
        let sample = |quarter: i64| Sample { at: EventTime(quarter * 900_000), value: value(quarter) };
        (0..days * 96).map(|quarter| rule.observe(&mut state, sample(quarter)).strength).collect()
    }

    #[test]
    fn an_hour_that_differs_from_yesterdays_is_found_though_the_value_is_common() {
        let daily = |quarter: i64| (quarter % 96) as f64 + (quarter * 7919 % 7) as f64;
        let found = strengths(Period::Day, 5, |at| if (400..404).contains(&at) { 80.0 } else { daily(at) });
        assert!(found[..400].iter().all(|strength| *strength < 1.0));
        assert!(found[400..404].iter().all(|strength| *strength >= 1.0));
        assert!(found[404..].iter().all(|strength| *strength < 1.0));
    }

    #[test]
    fn a_weekend_is_usual_for_who_compares_with_last_week() {
        let weekly = |at: i64| if at / 96 % 7 >= 5 { 10.0 } else { 100.0 } + (at * 7919 % 7) as f64;
        assert!(strengths(Period::Day, 28, weekly).iter().any(|strength| *strength >= 1.0));
        assert!(strengths(Period::Week, 28, weekly).iter().all(|strength| *strength < 1.0));
    }
}
