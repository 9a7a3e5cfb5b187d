//! What the hours of the day do to a series: how far each half hour lies from the day around it, learnt from two days on.

use serde::{Deserialize, Serialize};

use super::Sample;
use super::ring::Open;
use crate::record::EventTime;

const SLOTS: usize = 48;
const SLOT_MS: i64 = 1_800_000;
const DAY_MS: i64 = SLOT_MS * SLOTS as i64;
/// How much of it a new day knows better.
const NEWS: f64 = 0.3;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Season {
    open: Open,
    /// The last average of each half hour.
    day: Vec<Option<f64>>,
    /// Its distance from the mean of the day that ended with it.
    profile: Vec<Option<f64>>,
}

impl Season {
    pub fn add(&mut self, sample: Sample) {
        let Some((slot, value)) = self.open.add(sample, SLOT_MS) else { return };
        self.day.resize(SLOTS, None);
        self.profile.resize(SLOTS, None);
        let index = slot.rem_euclid(SLOTS as i64) as usize;
        self.day[index] = Some(value);
        let known: f64 = self.day.iter().flatten().sum();
        if self.day.iter().all(Option::is_some) {
            let distance = value - known / SLOTS as f64;
            let before = self.profile[index].unwrap_or(distance);
            self.profile[index] = Some(before + NEWS * (distance - before));
        }
    }

    /// Between the middles of two half hours; `None` until a whole day of them is known.
    pub fn at(&self, at: EventTime) -> Option<f64> {
        let known = self.profile.len() == SLOTS && self.profile.iter().all(Option::is_some);
        let into = at.0.saturating_sub(SLOT_MS / 2).rem_euclid(DAY_MS);
        let index = (into / SLOT_MS) as usize;
        let share = (into % SLOT_MS) as f64 / SLOT_MS as f64;
        let (from, to) = (self.profile.get(index)?, self.profile.get((index + 1) % SLOTS)?);
        known.then_some(from.unwrap_or(0.0) * (1.0 - share) + to.unwrap_or(0.0) * share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_saw_of_a_day_is_learnt_and_a_steady_rise_is_no_season() {
        let (mut saw, mut rise) = (Season::default(), Season::default());
        for minute in 0..4 * 1440 {
            let at = EventTime(minute * 60_000);
            assert_eq!(saw.at(at).is_some(), minute > 47 * 60 + 30, "at minute {minute}");
            saw.add(Sample { at, value: (minute % 1440) as f64 });
            rise.add(Sample { at, value: minute as f64 });
        }
        let noon = EventTime(4 * DAY_MS + DAY_MS / 2);
        let difference = |season: &Season, ms: i64| season.at(noon.plus_ms(ms)).unwrap() - season.at(noon).unwrap();
        assert!((difference(&saw, 3_600_000) - 60.0).abs() < 1.0);
        assert!(difference(&rise, 3_600_000).abs() < 1.0);
    }
}
