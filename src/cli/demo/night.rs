//! The recorded night: what was sent to which endpoint, when; moved to any other night.
//!
//! Invariant: every time stamp of a body keeps its distance from the moment it was sent, so that an alert that started 30
//! seconds before its payload does so again.

use anyhow::{Context, Result};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::Value;

use crate::record::EventTime;

const RECORDED: &str = include_str!("../../../tests/it/cases/night/night.jsonl");

/// One request of the night.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sent {
    /// Seconds since the night began.
    pub at_secs: f64,
    pub endpoint: String,
    #[serde(default)]
    pub headers: std::collections::BTreeMap<String, String>,
    pub body: Value,
}

pub struct Night {
    pub begin: Timestamp,
    pub sent: Vec<Sent>,
}

impl Night {
    /// The first line says when it began, each further one is a request.
    pub fn recorded() -> Result<Self> {
        #[derive(Deserialize)]
        struct Head {
            begin: Timestamp,
        }
        let mut lines = RECORDED.lines();
        let head: Head = serde_json::from_str(lines.next().unwrap_or_default()).context("the night's first line")?;
        let read = |(number, line): (usize, &str)| {
            serde_json::from_str(line).with_context(|| format!("the night's line {}", number + 2))
        };
        let sent = lines.enumerate().map(read).collect::<Result<Vec<Sent>>>()?;
        Ok(Self { begin: head.begin, sent })
    }

    pub fn length_ms(&self) -> i64 {
        // Bounded by what the file holds: a few hours.
        self.sent.last().map_or(0, |last| (last.at_secs * 1_000.0) as i64)
    }

    /// The same night, begun at another time.
    pub fn moved_to(mut self, begin: EventTime) -> Result<Self> {
        let begin = Timestamp::from_millisecond(begin.0).context("the night's new begin")?;
        let by = begin.duration_since(self.begin);
        self.sent.iter_mut().for_each(|sent| shift(&mut sent.body, by));
        self.begin = begin;
        Ok(self)
    }
}

/// Moves everything that looks like a time stamp; Alertmanager's zero time means "none" and stays.
fn shift(value: &mut Value, by: SignedDuration) {
    match value {
        Value::String(text) if text.len() >= 20 && !text.starts_with("0001-") => {
            if let Some(moved) = text.parse::<Timestamp>().ok().and_then(|at| at.checked_add(by).ok()) {
                *text = moved.to_string();
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| shift(item, by)),
        Value::Object(fields) => fields.values_mut().for_each(|field| shift(field, by)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moved_night_keeps_its_distances_and_zero_times() {
        let body = serde_json::json!({
            "alerts": [{"startsAt": "2026-11-02T01:00:30Z", "endsAt": "0001-01-01T00:00:00Z", "name": "a text"}]
        });
        let begin: Timestamp = "2026-11-02T01:00:00Z".parse().unwrap();
        let sent = vec![Sent { at_secs: 60.0, endpoint: "/".into(), headers: Default::default(), body }];
        let moved = Night { begin, sent }.moved_to(EventTime(1_000_000_000_000)).unwrap();
        let alert = &moved.sent[0].body["alerts"][0];
        assert_eq!(alert["startsAt"], "2001-09-09T01:47:10Z");
        assert_eq!((&alert["endsAt"], &alert["name"]), (&"0001-01-01T00:00:00Z".into(), &"a text".into()));
        assert_eq!(moved.length_ms(), 60_000);
    }

    #[test]
    fn the_recorded_night_can_be_read_and_is_in_order() {
        let night = Night::recorded().unwrap();
        assert!(night.sent.len() > 50);
        assert!(night.sent.is_sorted_by(|a, b| a.at_secs <= b.at_secs));
    }
}
