//! Which letters are meant. Pure.

use std::str::FromStr;

use super::Letter;
use crate::record::EventTime;
use crate::topology::dead_letter::Reason;
use crate::topology::problem::suggest;

/// All that is said must hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Choice {
    /// Of the original.
    pub topic: Option<String>,
    pub reason: Option<Reason>,
    /// Died then or later.
    pub since: Option<EventTime>,
    /// Never put back.
    pub open: bool,
}

impl Choice {
    pub fn takes(&self, Letter { letter, retried, .. }: &Letter) -> bool {
        self.topic.as_ref().is_none_or(|topic| *topic == letter.topic)
            && self.reason.is_none_or(|reason| reason == letter.reason)
            && self.since.is_none_or(|since| letter.at_ms >= since.0)
            && !(self.open && retried.times > 0)
    }
}

/// A moment as people write it: RFC 3339, or a span before now such as `30m`, `-2h`, `7d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    At(EventTime),
    /// Milliseconds before now.
    Ago(i64),
}

impl Moment {
    pub fn from(self, now: EventTime) -> EventTime {
        match self {
            Moment::At(at) => at,
            Moment::Ago(ms) => now.plus_ms(-ms),
        }
    }
}

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let span = || {
            let unit = text.chars().next_back()?;
            let ms = match unit {
                's' => 1_000,
                'm' => 60_000,
                'h' => 3_600_000,
                'd' => 86_400_000,
                _ => return None,
            };
            let number = text.strip_suffix(unit)?;
            number.strip_prefix('-').unwrap_or(number).parse::<u32>().ok().map(|n| Moment::Ago(i64::from(n) * ms))
        };
        let at = || Some(Moment::At(EventTime(text.parse::<jiff::Timestamp>().ok()?.as_millisecond())));
        span().or_else(at).ok_or_else(|| format!("`{text}` is no moment; write 30m, 2h, 7d or 2026-11-23T08:00:00Z"))
    }
}

impl FromStr for Reason {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Reason::ALL.into_iter().find(|reason| reason.as_str() == text).ok_or_else(|| {
            let known = suggest(text, Reason::ALL.map(Reason::as_str));
            format!("there is no reason `{text}`{known}")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dead_letters::Marks;
    use crate::record::{Offset, Partition};
    use crate::topology::dead_letter::DeadLetter;

    pub fn letter(topic: &str, reason: Reason, at_ms: i64, times: u32) -> Letter {
        let letter = DeadLetter {
            topic: topic.to_owned(),
            partition: 0,
            offset: 1,
            timestamp_ms: 0,
            key: None,
            value: None,
            headers: Vec::new(),
            reader: "oncall".to_owned(),
            reason,
            error: String::new(),
            at_ms,
        };
        Letter { partition: Partition(0), offset: Offset(0), letter, retried: Marks { times, ..Marks::default() } }
    }

    #[test]
    fn all_that_is_said_must_hold() {
        let choice = Choice {
            topic: Some("alerts".to_owned()),
            reason: Some(Reason::NoKey),
            since: Some(EventTime(10)),
            open: true,
        };
        assert!(choice.takes(&letter("alerts", Reason::NoKey, 10, 0)));
        assert!(!choice.takes(&letter("deploys", Reason::NoKey, 10, 0)));
        assert!(!choice.takes(&letter("alerts", Reason::NoValue, 10, 0)));
        assert!(!choice.takes(&letter("alerts", Reason::NoKey, 9, 0)));
        assert!(!choice.takes(&letter("alerts", Reason::NoKey, 10, 1)));
        assert!(Choice::default().takes(&letter("any", Reason::NoValue, 0, 3)));
    }

    #[test]
    fn moments_are_spans_before_now_or_times() {
        let now = EventTime(100_000_000);
        let since = |text: &str| text.parse::<Moment>().map(|moment| moment.from(now).0);
        assert_eq!(since("30m"), Ok(100_000_000 - 1_800_000));
        assert_eq!(since("1d"), Ok(100_000_000 - 86_400_000));
        assert_eq!(since("-1d"), since("1d"));
        assert!(since("--1d").is_err());
        assert_eq!(since("1970-01-01T00:00:05Z"), Ok(5_000));
        assert!(since("yesterday").unwrap_err().contains("write 30m"));
        assert!(since("5 minutes").is_err() && since("").is_err() && since("é").is_err());
    }

    #[test]
    fn reasons_are_spelled_as_in_the_schema() {
        assert_eq!("no_key".parse(), Ok(Reason::NoKey));
        assert!("nokey".parse::<Reason>().unwrap_err().ends_with("did you mean `no_key`?"));
    }
}
