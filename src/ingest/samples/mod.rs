//! Samples of time series from outside, of which only those are kept that a trend rule selects.
//!
//! ```text
//!  POST /api/v1/write ─ snappy ─► remote_write, remote_write_v2 ─┐
//!  POST /v1/metrics ── (gzip) ──► otlp ──────────────────────────┼─► door: selected? ─► oncall.samples.v1 ─► all acknowledged ─► 2xx
//!  topics of others ────────────► adapter ───────────────────────┘          └─► counted under its reason, dropped
//! ```
//!
//! Invariants: a request's samples are written once all of it was read, so that of one that cannot be read nothing is kept. Memory is
//! bounded: by bytes before and after decompression, by [`ELEMENTS_MAX`] in one request, by [`LABELS_MAX`] and
//! [`BYTES_MAX`] of a series, and by the size of what the door remembers. Whoever sends again tells the same samples, and a sample that is
//! not later than the one before is dropped by the operator. A stale marker passes: what it means is the operator's to say.
//!
//! Not here: native (exponential) histograms, exemplars, metadata, start times. What is not kept of a series that a rule selects is
//! counted by name ([`door::Reason`]).

pub mod adapter;
pub mod door;
pub mod format;
#[cfg(feature = "runtime")]
mod metrics;
pub mod otlp;
pub mod protobuf;
pub mod remote_write;
pub mod remote_write_v2;
#[cfg(feature = "runtime")]
mod send;
#[cfg(feature = "runtime")]
pub(super) mod serve;
#[cfg(feature = "runtime")]
mod unpack;

use thiserror::Error;

use crate::event::Text;
pub use crate::trend::series::BYTES_MAX;

/// Samples, histograms and exemplars in one request; Prometheus sends 2,000 samples in one, an OpenTelemetry collector 8,192 points.
pub const ELEMENTS_MAX: usize = 200_000;
/// Of one series.
pub const LABELS_MAX: usize = 128;

/// A label as its sender has it.
pub type Label<'a> = (Text<'a>, Text<'a>);

/// Why nothing of a request is taken; no use to send it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Unreadable {
    #[error("{0}")]
    Malformed(&'static str),
    #[error("more than {ELEMENTS_MAX} samples, histograms and exemplars in one request")]
    TooMany,
}

/// Beyond [`LABELS_MAX`] one more is taken, so that the door sees that there are too many.
fn add<'a>(labels: &mut Vec<Label<'a>>, label: Label<'a>) {
    if labels.len() <= LABELS_MAX {
        labels.push(label);
    }
}
