//! Says that a series is away from its own baseline: the rule "five percentage points more errors than usual". What the last while has
//! on average against the average of long. A deviation that stays for as long as the baseline remembers becomes the baseline.

use serde::{Deserialize, Serialize};

use super::{Reading, Reason, Sample};
use crate::record::EventTime;

/// The last while is this part of the baseline's time.
const RECENT: f64 = 24.0;

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Baseline {
    /// Of about so long is the baseline.
    pub over_secs: u32,
    /// How far away, in the unit of the series (percentage points of a series in percent); or in percent of the baseline.
    pub points: Option<f64>,
    pub percent: Option<f64>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    since: Option<EventTime>,
    last: EventTime,
    baseline: f64,
    recent: f64,
}

impl Baseline {
    pub fn problems(&self) -> Vec<String> {
        let given: Vec<f64> = self.points.into_iter().chain(self.percent).collect();
        let right = self.over_secs > 0 && given.len() == 1 && given[0] > 0.0 && given[0].is_finite();
        let mend =
            || "baseline: over_secs must be above 0, and one of `points` and `percent` given, above 0".to_owned();
        (!right).then(mend).into_iter().collect()
    }

    pub fn observe(&self, state: &mut State, sample: Sample) -> Reading {
        let over = f64::from(self.over_secs) * 1000.0;
        let Some(since) = state.since else {
            let (baseline, recent) = (sample.value, sample.value);
            *state = State { since: Some(sample.at), last: sample.at, baseline, recent };
            return Reading::NOTHING;
        };
        let step = sample.at.since_ms(state.last).max(0) as f64;
        let age = sample.at.since_ms(since) as f64;
        state.last = sample.at;
        // A young baseline is the plain average of all there was. A gap counts as what comes after it.
        state.baseline += (sample.value - state.baseline) * (step / (step + over.min(age))).min(1.0);
        state.recent += (sample.value - state.recent) * (step / (step + over / RECENT)).min(1.0);
        let limit = self.points.unwrap_or(self.percent.unwrap_or(0.0) / 100.0 * state.baseline.abs());
        if age < over || limit <= 0.0 {
            return Reading::NOTHING;
        }
        let strength = (state.recent - state.baseline).abs() / limit;
        Reading::new(strength, Reason::OffBaseline { value: state.recent, baseline: state.baseline })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(rule: &Baseline, value: impl Fn(i64) -> f64) -> Option<i64> {
        let mut state = State::default();
        (0..1000).find(|minute| {
            let sample = Sample { at: EventTime(minute * 60_000), value: value(*minute) };
            rule.observe(&mut state, sample).strength >= 1.0
        })
    }

    #[test]
    fn five_points_more_than_usual_are_found_and_four_are_not() {
        let points = Baseline { over_secs: 14_400, points: Some(5.0), percent: None };
        let with = |more: f64| move |minute: i64| 2.0 + (minute % 3) as f64 + if minute >= 600 { more } else { 0.0 };
        assert!(matches!(first(&points, with(8.0)), Some(600..620)), "{:?}", first(&points, with(8.0)));
        assert!(matches!(first(&points, with(-8.0)), Some(600..620)));
        assert_eq!(first(&points, with(4.0)), None);
        let percent = Baseline { points: None, percent: Some(100.0), ..points };
        assert!(matches!(first(&percent, with(8.0)), Some(600..620)));
        assert_eq!(percent.problems(), Vec::<String>::new());
        assert_eq!(Baseline { points: Some(1.0), ..percent }.problems().len(), 1);
    }
}
