//! Says that a series leaves all that it was before.
//!
//! Five features of it (the value; its mean over 6 and 48 samples; its change over 24; its distance from what the hour of the day had)
//! each live between a lowest and a highest value seen so far. One that leaves this range by a part of it was never seen before: heavy
//! tails, bursts and spikes that a series is known for widen its range and are no news. The range narrows slowly, so that what was long
//! ago is forgotten. Nothing is assumed of the distribution, no scale is set, and no parameter depends on the series.
//!
//! An alarm lasts [`LASTS`] samples; what comes in it is the same episode. Not here: what is unusual by being too regular, and the
//! order of values that are usual each.

use serde::{Deserialize, Serialize};

use super::{Reading, Reason, Sample};

const HOURS: usize = 24;
const HOUR_MS: i64 = 3_600_000;
const LONG: usize = 48;
const SHORT: usize = 6;
const BACK: usize = 24;
/// How fast the hour of the day follows.
const HOUR_NEWS: f64 = 0.2;
/// Samples before which nothing is unusual, of a feature, and of the hours of the day.
const WARM: i64 = 50;
const WARM_HOURS: i64 = 288;
/// The part of the range by which it must be left.
const MARGIN: f64 = 0.05;
/// With each sample the range narrows towards the middle by this part.
const NARROWS: f64 = 0.000_02;
const LASTS: i64 = 120;
/// A middle is the mean of about so many samples.
const MIDDLE: f64 = 500.0;

const FEATURES: [&str; 5] = ["value", "mean of 6", "mean of 48", "change over 24", "distance from the hour's mean"];

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unusual {}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    seen: i64,
    /// The last values, oldest first.
    last: Vec<f64>,
    hours: Vec<Option<f64>>,
    ranges: Vec<Range>,
    alarm: Option<Alarm>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Range {
    seen: i64,
    low: f64,
    middle: f64,
    high: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Alarm {
    since: i64,
    feature: i32,
    by: f64,
    value: f64,
    low: f64,
    high: f64,
}

impl Unusual {
    pub fn observe(&self, state: &mut State, sample: Sample) -> Reading {
        let features = features(state, sample);
        state.ranges.resize(FEATURES.len(), Range::default());
        state.seen = state.seen.saturating_add(1);
        let mut found: Option<Alarm> = None;
        for (index, value) in features.into_iter().enumerate() {
            let Some(value) = value else { continue };
            let Range { low, high, .. } = state.ranges[index];
            let by = state.ranges[index].leave(value, if index == 4 { WARM_HOURS } else { WARM });
            if by >= MARGIN && found.is_none_or(|found| by > found.by) {
                found = Some(Alarm { since: state.seen, feature: index as i32, by, value, low, high });
            }
        }
        if state.alarm.is_none_or(|alarm| state.seen - alarm.since > LASTS) {
            state.alarm = found;
        }
        state.alarm.map_or(Reading::NOTHING, |alarm| {
            let what = FEATURES.get(alarm.feature as usize).copied().unwrap_or_default();
            let reason = Reason::Unusual { what, value: alarm.value, low: alarm.low, high: alarm.high };
            Reading::new(alarm.by / MARGIN, reason)
        })
    }
}

impl State {
    /// From 0 to 1 in the sample that began an alarm, 0 in all others.
    pub fn news(&self) -> f64 {
        self.alarm.filter(|alarm| alarm.since == self.seen).map_or(0.0, |alarm| alarm.by / (1.0 + alarm.by))
    }
}

fn features(state: &mut State, sample: Sample) -> [Option<f64>; 5] {
    let value = sample.value;
    state.hours.resize(HOURS, None);
    let hour = &mut state.hours[sample.at.0.div_euclid(HOUR_MS).rem_euclid(HOURS as i64) as usize];
    let distance = hour.map(|mean| value - mean);
    *hour = Some(hour.map_or(value, |mean| mean + HOUR_NEWS * (value - mean)));
    if state.last.len() >= LONG {
        state.last.remove(0);
    }
    state.last.push(value);
    let mean = |of: usize| {
        let last = state.last.get(state.last.len().checked_sub(of)?..)?;
        Some(last.iter().sum::<f64>() / of as f64)
    };
    let change = state.last.len().checked_sub(BACK + 1).map(|back| value - state.last[back]);
    [Some(value), mean(SHORT), mean(LONG), change, distance]
}

impl Range {
    /// By which part of the range the value is outside of it; then the range knows the value.
    fn leave(&mut self, value: f64, warm: i64) -> f64 {
        if self.seen == 0 {
            *self = Self { seen: 1, low: value, middle: value, high: value };
            return 0.0;
        }
        // What never moved has a range of a billionth of its size.
        let size = (self.high - self.low).max(1e-9 * (self.high.abs() + self.low.abs()) + 1e-12);
        let outside = (value - self.high).max(self.low - value) / size;
        let by = if self.seen >= warm { outside.clamp(0.0, 1e6) } else { 0.0 };
        self.seen = self.seen.saturating_add(1);
        self.middle += (value - self.middle) / (self.seen as f64).min(MIDDLE);
        self.high = (self.high - (self.high - self.middle) * NARROWS).max(value);
        self.low = (self.low + (self.middle - self.low) * NARROWS).min(value);
        by
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::EventTime;

    fn news(value: impl Fn(i64) -> f64) -> Vec<i64> {
        let mut state = State::default();
        let mut told = |at: &i64| {
            Unusual {}.observe(&mut state, Sample { at: EventTime(at * 300_000), value: value(*at) });
            state.news() > 0.0
        };
        (0..3000).filter(|at| told(at)).collect()
    }

    #[test]
    fn what_was_never_seen_is_told_once() {
        let bursts = |at: i64| if at % 37 == 0 { 90.0 } else { (at * 7919 % 11) as f64 };
        assert!(news(bursts).is_empty());
        assert_eq!(news(|at| if (2000..2050).contains(&at) { 120.0 } else { bursts(at) }), [2000]);
        assert!(news(|_| 5.0).is_empty());
    }

    #[test]
    fn a_common_value_at_an_uncommon_hour_is_told() {
        let day = |at: i64| if at % 288 < 144 { 0.0 } else { 100.0 } + (at * 7919 % 11) as f64;
        let told = news(|at| if (2000..2010).contains(&at) { 100.0 - day(at) } else { day(at) });
        assert!(told.iter().any(|at| (2000..2010).contains(at)), "{told:?}");
    }
}
