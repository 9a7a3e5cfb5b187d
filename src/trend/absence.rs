//! Says that a series is not told any more. It is no sample that says so but a deadline that passes, or, where nobody wakes the rule,
//! the next sample, which ends it.

use serde::{Deserialize, Serialize};

use super::{Reading, Reason};
use crate::record::EventTime;

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Absence {
    /// So long without a sample.
    pub after_secs: u32,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    seen_at: Option<EventTime>,
}

impl Absence {
    pub fn problems(&self) -> Vec<String> {
        (self.after_secs == 0).then(|| "absence: after_secs must be above 0".to_owned()).into_iter().collect()
    }

    pub fn observe(&self, state: &mut State, at: EventTime) -> Reading {
        state.seen_at = Some(at);
        Reading::NOTHING
    }

    pub fn deadline(&self, state: &State) -> Option<EventTime> {
        state.seen_at.map(|at| at.plus_ms(i64::from(self.after_secs) * 1000))
    }

    /// What is to be said at a time without a sample.
    pub fn due(&self, state: &State, at: EventTime) -> Reading {
        match (state.seen_at, self.deadline(state)) {
            (Some(seen), Some(deadline)) if at >= deadline => {
                let for_ms = at.since_ms(seen);
                Reading::new(for_ms as f64 / (f64::from(self.after_secs) * 1000.0), Reason::Absent { for_ms })
            }
            _ => Reading::NOTHING,
        }
    }
}
