//! Trends: detectors over one series' samples, each a small deterministic state machine.
//!
//! ```text
//! sample ─► intake (late, stale, reset, NaN) ─► detectors ─► strength and reason ─► episode: began, recovering, ended
//! ```
//!
//! | file | says |
//! |---|---|
//! | `forecast` | crosses a threshold within the horizon: a robust slope with its confidence, the hours of the day taken out |
//! | `monotone` | rises or falls all through its window (Mann–Kendall), and by enough |
//! | `shift` | lives on another level than before (a CUSUM of the normalised residual) |
//! | `same_time` | is not what it was yesterday, or last week, at this time |
//! | `baseline` | differs from its own average of long by so many points or percent |
//! | `absence` | is not told any more |
//! | `unusual` | leaves all that it was before, in value, mean, change or for the hour |
//!
//! What people are told of it: `reason`, in words and in the unit of the series, `spark`, the last while as one line of text, and
//! `chart`, the same as a picture that is all in its link; `picture` draws it, with the feature `runtime`.
//!
//! Strength is one scale for all: 0 is nothing, from 1 on it is what the rule asks for. An ensemble is the strength that enough of its
//! members reach. Always: event time only; a fixed order of operations, and none but `+ - * /` and `sqrt`, so that a state is equal to
//! the bit on every machine; a state of bounded size, whatever comes; from a snapshot follows what follows from the beginning; no input
//! panics. Not here: where samples come from, topics, the words of messages, clocks.
#![deny(clippy::disallowed_methods, clippy::disallowed_types, clippy::disallowed_macros)]

pub mod absence;
pub mod backtest;
pub mod baseline;
pub mod chart;
pub mod csv;
pub mod episode;
pub mod forecast;
pub mod intake;
pub mod monotone;
#[cfg(feature = "runtime")]
pub mod picture;
pub mod plot;
mod reason;
mod ring;
pub mod rule;
pub mod same_time;
mod season;
pub mod select;
pub mod series;
pub mod shift;
mod slope;
mod spark;
#[cfg(test)]
mod tests;
mod text;
pub mod tune;
pub mod unusual;

use serde::{Deserialize, Serialize};

use crate::record::EventTime;
pub use reason::{Reason, Unit};

/// The source of an alert that is a detection.
pub const SOURCE: &str = "trend";

/// One value of one series.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    pub at: EventTime,
    pub value: f64,
}

/// What a detector makes of a sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reading {
    /// 0 is nothing; from 1 on it is what the rule asks for.
    pub strength: f64,
    pub reason: Reason,
}

impl Reading {
    pub const NOTHING: Self = Self { strength: 0.0, reason: Reason::Nothing };

    /// Strength beyond this says no more, and what is not a number says nothing.
    fn new(strength: f64, reason: Reason) -> Self {
        if strength > 0.0 { Self { strength: strength.min(100.0), reason } } else { Self::NOTHING }
    }
}
