//! Says that a series lives on another level than before: a CUSUM, to both sides, of its distance from a slow mean in units of its usual
//! distance. What stays becomes the new normal, and the detection ends.

use serde::{Deserialize, Serialize};

use super::{Reading, Reason, Sample};

/// One sample, however far away, counts no more than so many usual distances.
const CLIP: f64 = 4.0;
/// Distances up to this are usual.
const SLACK: f64 = 1.0;
/// The mean is that of about so many samples.
const MEMORY: f64 = 200.0;
const WARM: f64 = 30.0;

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Shift {
    /// How many usual distances, beyond the first of each sample, must come together.
    pub sum: f64,
}

impl Default for Shift {
    fn default() -> Self {
        Self { sum: 20.0 }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    seen: f64,
    mean: f64,
    /// Mean absolute distance.
    usual: f64,
    up: f64,
    down: f64,
    /// For so many samples it has been another level: after [`MEMORY`] of them it is learnt anew.
    beyond: f64,
}

impl Shift {
    pub fn problems(&self) -> Vec<String> {
        let mend = || "shift: `sum` must be above 0".to_owned();
        (!(self.sum > 0.0 && self.sum.is_finite())).then(mend).into_iter().collect()
    }

    pub fn observe(&self, state: &mut State, sample: Sample) -> Reading {
        let value = sample.value;
        if state.seen == 0.0 || state.beyond >= MEMORY {
            *state = State { seen: 1.0, mean: value, ..State::default() };
            return Reading::NOTHING;
        }
        let distance = value - state.mean;
        // A series that never moved has no usual distance: a thousandth of its size then.
        let usual = state.usual.max(state.mean.abs() / 1000.0).max(f64::MIN_POSITIVE);
        let known = state.seen >= WARM;
        // One wild sample moves neither the mean nor what is usual by more than it counts.
        let distance = if known { distance.clamp(-CLIP * usual, CLIP * usual) } else { distance };
        if known {
            state.up = (state.up + distance / usual - SLACK).clamp(0.0, 2.0 * self.sum);
            state.down = (state.down - distance / usual - SLACK).clamp(0.0, 2.0 * self.sum);
        }
        let strength = state.up.max(state.down) / self.sum;
        state.beyond = if strength >= 1.0 { state.beyond + 1.0 } else { 0.0 };
        let from = state.mean;
        state.seen = (state.seen + 1.0).min(MEMORY);
        state.mean += distance / state.seen;
        state.usual += (distance.abs() - state.usual) / state.seen;
        Reading::new(strength, Reason::Shifted { from, to: value })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::EventTime;

    fn strengths(value: impl Fn(i64) -> f64) -> Vec<f64> {
        let mut state = State::default();
        let sample = |at: i64| Sample { at: EventTime(at * 1000), value: value(at) };
        (0..2000).map(|at| Shift::default().observe(&mut state, sample(at)).strength).collect()
    }

    /// -5 to 5, as even as can be.
    fn noise(at: i64) -> f64 {
        (at * 7919 % 101) as f64 / 10.0 - 5.0
    }

    #[test]
    fn a_shift_is_found_soon_and_becomes_normal() {
        for step in [8.0, -8.0] {
            let found = strengths(|at| noise(at) + if at >= 1000 { step } else { 0.0 });
            assert!(found[..1000].iter().all(|strength| *strength < 1.0));
            let first = found.iter().position(|strength| *strength >= 1.0).unwrap();
            assert!((1000..1030).contains(&first), "{first}");
            assert!(found[1900..].iter().all(|strength| *strength < 0.5), "it is normal by now");
        }
    }

    #[test]
    fn one_wild_sample_is_no_shift_and_a_flat_line_may_step() {
        assert!(strengths(|at| if at == 1000 { 1e99 } else { noise(at) }).iter().take(1030).all(|s| *s < 1.0));
        let flat = strengths(|at| if at < 500 { 7.0 } else { 8.0 });
        assert_eq!(flat.iter().position(|strength| *strength >= 1.0), Some(506));
    }
}
