//! What is remembered of one series. Shared, for it is large: a sample makes a new one and leaves the old to whoever holds it.

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::record::EventTime;
use crate::trend::rule;

/// `None`: nothing is known.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State(Option<Arc<Memory>>);

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Memory {
    /// A deadline has no record to say it.
    pub series: String,
    /// The fingerprint of the rules that were tried on it.
    pub chosen_by: i64,
    /// When the last record came of which a sample was taken.
    pub heard_at: EventTime,
    /// How much later that was than its sample: what is between the time that rules see and that of deadlines.
    pub lag_ms: i64,
    /// Deadlines until then have been told, and no sample came since.
    pub woken_at: Option<EventTime>,
    /// In the order of the rules; those whose selector fits.
    pub watched: Vec<Watched>,
}

/// What one rule remembers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Watched {
    pub rule: Arc<str>,
    pub state: rule::State,
    /// The detection that was told and has not ended.
    pub open: Option<Open>,
}

/// As it was told, so that its end finds it, whatever the rules say by then.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Open {
    pub alert: String,
    pub service: String,
    pub environment: Option<String>,
    /// By the samples' time.
    pub starts_at_ms: i64,
    /// Last; by the records' time.
    pub told_at: EventTime,
    /// Of the strongest reading, in words.
    pub reason: String,
    pub value: Option<f64>,
}

impl State {
    pub fn of(memory: &Arc<Memory>) -> Self {
        Self(Some(memory.clone()))
    }

    pub fn known(&self) -> Option<&Memory> {
        self.0.as_deref()
    }
}

impl Serialize for State {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            Some(memory) => memory.serialize(serializer),
            None => Memory::default().serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for State {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let memory = Memory::deserialize(deserializer)?;
        Ok(if memory == Memory::default() { Self(None) } else { Self(Some(Arc::new(memory))) })
    }
}
