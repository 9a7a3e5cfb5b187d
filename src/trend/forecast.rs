//! Says when a series will cross a threshold, while there is time to do something.
//!
//! A robust slope of each of three windows: the short one sees a steep rise soon, the long one a gentle rise at all, and the earliest
//! crossing counts. The hours of the day are taken out first if the rule says that they matter. A slope must differ from flat beyond
//! doubt, and even the slowest in doubt must reach the threshold in [`DOUBT`] horizons. Until a seasonal rule knows a whole day it is
//! silent. Not here: what a curve that bends will do; it is found later, when it has bent.

use serde::{Deserialize, Serialize};

use super::ring::Ring;
use super::season::Season;
use super::slope::{Slope, slope};
use super::{Reading, Reason, Sample};
use crate::record::EventTime;

/// Of the slope, in standard deviations.
const CONFIDENCE: f64 = 3.3;
const DOUBT: f64 = 3.0;
/// The windows, as parts of the horizon.
const WINDOWS: [i64; 3] = [8, 3, 1];
/// How finely the horizon is looked at where the hours of the day matter.
const STEPS: i64 = 64;

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Forecast {
    /// The threshold; exactly one of the two.
    pub above: Option<f64>,
    pub below: Option<f64>,
    /// A crossing within so long is told.
    pub horizon_secs: u32,
    /// The hours of the day matter.
    #[serde(default)]
    pub seasonal: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    season: Season,
    windows: Vec<Window>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Window {
    ring: Ring,
    crossing: Option<Crossing>,
}

/// Where the line through the points leads, and where it came from.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Crossing {
    at: EventTime,
    from: f64,
    since: EventTime,
}

impl Forecast {
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.above.is_some() == self.below.is_some() || !self.threshold().is_finite() {
            problems.push("forecast: give one threshold, `above` or `below`".to_owned());
        }
        if self.horizon_secs == 0 {
            problems.push("forecast: horizon_secs must be above 0".to_owned());
        }
        problems
    }

    pub fn observe(&self, state: &mut State, sample: Sample) -> Reading {
        let before = if self.seasonal { state.season.at(sample.at) } else { Some(0.0) };
        let level = Sample { at: sample.at, value: sample.value - before.unwrap_or(0.0) };
        if self.seasonal {
            state.season.add(sample);
        }
        state.windows.resize(WINDOWS.len(), Window::default());
        for (window, part) in state.windows.iter_mut().zip(WINDOWS).filter(|_| before.is_some()) {
            if window.ring.add(level, self.horizon_ms() / part) {
                window.crossing = self.crossing(window.ring.points(), &state.season);
            }
        }
        let first = state.windows.iter().filter_map(|window| window.crossing).min_by_key(|crossing| crossing.at);
        let crosses = |in_ms| {
            let (from, over_ms) =
                first.map_or((sample.value, 0), |first| (first.from, sample.at.since_ms(first.since).max(0)));
            Reason::Crosses { from, over_ms, value: sample.value, threshold: self.threshold(), in_ms }
        };
        if self.gap(sample.value) <= 0.0 {
            return Reading::new(100.0, crosses(0));
        }
        let Some(Crossing { at, .. }) = first else { return Reading::NOTHING };
        let in_ms = at.since_ms(sample.at).max(1);
        Reading::new(self.horizon_ms() as f64 / in_ms as f64, crosses(in_ms))
    }

    pub fn threshold(&self) -> f64 {
        self.above.or(self.below).unwrap_or(f64::NAN)
    }

    fn horizon_ms(&self) -> i64 {
        i64::from(self.horizon_secs) * 1000
    }

    /// How far the value is from the threshold; 0 or less beyond it.
    fn gap(&self, value: f64) -> f64 {
        if self.above.is_some() { self.threshold() - value } else { value - self.threshold() }
    }

    fn crossing(&self, points: &[Sample], season: &Season) -> Option<Crossing> {
        let (begin, end) = (points.first()?.at, points.last()?.at);
        let found = slope(points, CONFIDENCE)?;
        let hour = if self.seasonal { season.at(begin).unwrap_or(0.0) } else { 0.0 };
        self.crosses_at(&found, end, season).map(|at| Crossing { at, from: found.first + hour, since: begin })
    }

    fn crosses_at(&self, found: &Slope, end: EventTime, season: &Season) -> Option<EventTime> {
        let (towards, slowest) = match self.above {
            Some(_) => (found.median, found.low),
            None => (-found.median, -found.high),
        };
        let horizon = self.horizon_ms();
        if slowest <= 0.0 {
            return None;
        }
        if !self.seasonal {
            let gap = self.gap(found.last).max(0.0);
            let surely = gap / slowest <= DOUBT * horizon as f64;
            // The product is below three horizons, so it is a time.
            return surely.then(|| end.plus_ms((gap / towards) as i64));
        }
        let reached = |slope: f64, step: i64| {
            let ms = step * horizon / STEPS;
            let hour = season.at(end.plus_ms(ms)).unwrap_or(0.0);
            self.gap(found.last + slope * ms as f64 + hour) <= 0.0
        };
        let slowest = if self.above.is_some() { found.low } else { found.high };
        let last = (DOUBT as i64) * STEPS;
        let surely = (0..=last).any(|step| reached(slowest, step));
        let step = (0..=last).find(|step| reached(found.median, *step)).filter(|_| surely)?;
        Some(end.plus_ms(step * horizon / STEPS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minutes(forecast: &Forecast, values: impl IntoIterator<Item = f64>) -> Vec<f64> {
        let mut state = State::default();
        let sample = |(minute, value)| Sample { at: EventTime(minute as i64 * 60_000), value };
        values.into_iter().enumerate().map(sample).map(|sample| forecast.observe(&mut state, sample).strength).collect()
    }

    fn hour(above: Option<f64>, below: Option<f64>) -> Forecast {
        Forecast { above, below, horizon_secs: 3600, seasonal: false }
    }

    #[test]
    fn a_ramp_is_told_an_hour_before_it_crosses_either_way() {
        let up = minutes(&hour(Some(300.0), None), (0..301).map(f64::from));
        let first = up.iter().position(|strength| *strength >= 1.0).unwrap();
        assert!((238..=243).contains(&first), "told at {first}");
        assert!(up[first..].iter().all(|strength| *strength >= 1.0));
        let down = minutes(&hour(None, Some(-300.0)), (0..301).map(|minute| -f64::from(minute)));
        let fell = down.iter().position(|strength| *strength >= 1.0).unwrap();
        assert!(fell.abs_diff(first) <= 1, "the middle of an even number of slopes is the upper one: {fell}, {first}");
    }

    #[test]
    fn flat_and_falling_series_cross_nothing() {
        let falling = minutes(&hour(Some(300.0), None), (0..300).map(|minute| 200.0 - f64::from(minute)));
        let flat = minutes(&hour(Some(300.0), None), (0..300).map(|minute| 290.0 + f64::from(minute * 7 % 11)));
        assert!(falling.iter().all(|strength| *strength == 0.0));
        assert!(flat.iter().filter(|strength| **strength > 0.0).count() > 0, "the noise itself reaches 300");
        assert!(flat.iter().all(|strength| *strength == 0.0 || *strength == 100.0), "but nothing is foreseen");
    }

    #[test]
    fn a_rule_has_one_threshold() {
        assert_eq!(hour(None, None).problems().len(), 1);
        assert_eq!(hour(Some(1.0), Some(2.0)).problems().len(), 1);
        assert_eq!(hour(Some(1.0), None).problems(), Vec::<String>::new());
    }
}
