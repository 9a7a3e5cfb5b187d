//! From strengths to one detection: pending, firing, recovering, quiet.
//!
//! ```text
//! quiet ─► pending ─(for_secs)─► firing ◄─► recovering ─(recovering_secs)─► quiet
//! ```
//!
//! It begins when the strength was at 1 for long enough, and ends when it was below half of that for long enough. Between the two it
//! keeps what it is: that is the hysteresis. Recovering is told as such and is no new detection if it fails.

use serde::{Deserialize, Serialize};

use crate::record::EventTime;

/// Below this a firing episode recovers.
pub const RECOVERS_BELOW: f64 = 0.5;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    #[default]
    Quiet,
    Pending,
    Firing,
    Recovering,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Episode {
    pub phase: Phase,
    /// When the phase began.
    pub since: EventTime,
}

/// What happened to an episode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// The detection, one an episode.
    Began,
    Recovering,
    /// It recovers no more.
    Resumed,
    Ended,
}

impl Episode {
    pub fn step(&mut self, strength: f64, at: EventTime, for_ms: i64, recovering_ms: i64) -> Option<Change> {
        let lasted = at.since_ms(self.since);
        let to = match self.phase {
            Phase::Quiet if strength >= 1.0 && for_ms > 0 => Phase::Pending,
            Phase::Quiet if strength >= 1.0 => Phase::Firing,
            Phase::Pending if strength < 1.0 => Phase::Quiet,
            Phase::Pending if lasted >= for_ms => Phase::Firing,
            Phase::Firing if strength < RECOVERS_BELOW => Phase::Recovering,
            Phase::Recovering if strength >= 1.0 => Phase::Firing,
            // What is half way back has not recovered; its time counts from when it is below again.
            Phase::Recovering if strength >= RECOVERS_BELOW => {
                self.since = at;
                return None;
            }
            Phase::Recovering if lasted >= recovering_ms => Phase::Quiet,
            _ => return None,
        };
        let change = match (self.phase, to) {
            (Phase::Quiet | Phase::Pending, Phase::Firing) => Some(Change::Began),
            (Phase::Recovering, Phase::Firing) => Some(Change::Resumed),
            (_, Phase::Recovering) => Some(Change::Recovering),
            (Phase::Recovering, Phase::Quiet) => Some(Change::Ended),
            _ => None,
        };
        *self = Self { phase: to, since: at };
        change
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes(strengths: &[f64]) -> Vec<(usize, Change)> {
        let mut episode = Episode::default();
        let step = |(at, strength): (usize, &f64)| Some((at, episode.step(*strength, EventTime(at as i64), 2, 3)?));
        strengths.iter().enumerate().filter_map(step).collect()
    }

    #[test]
    fn one_detection_an_episode() {
        let told = [0.0, 1.0, 1.2, 1.0, 0.7, 0.9, 0.4, 0.3, 1.5, 0.1, 0.1, 0.6, 0.1, 0.1, 0.1, 0.0, 1.0];
        use Change::{Began, Ended, Recovering, Resumed};
        assert_eq!(changes(&told), [(3, Began), (6, Recovering), (8, Resumed), (9, Recovering), (14, Ended)]);
    }

    #[test]
    fn a_moment_is_none() {
        assert!(changes(&[1.0, 1.0, 0.0, 1.0, 1.0, 0.9, 1.0]).is_empty());
    }
}
