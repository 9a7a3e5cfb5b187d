//! One value of one time series at one time, as it was measured. Topic `oncall.samples.v1`, keyed by the series.
//!
//! A series is one text ([`crate::trend::series`] writes and reads it): its labels are looked at only where a rule is chosen for it or
//! something is said of it, never sample by sample. What a value means, and whether it is late or a counter, is the rule's to say.

use serde::{Deserialize, Serialize};

use super::text::Text;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample<'a> {
    #[serde(borrow)]
    pub series: Text<'a>,
    /// When it was measured, milliseconds since the epoch.
    pub at_ms: i64,
    pub value: f64,
}

impl Sample<'_> {
    pub fn into_owned(self) -> Sample<'static> {
        Sample { series: self.series.into_owned(), at_ms: self.at_ms, value: self.value }
    }
}
