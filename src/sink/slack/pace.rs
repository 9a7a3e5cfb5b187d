//! How fast Slack may be called, by method and, for posts, by channel.
//!
//! A limit lets a small burst through, then one call an interval. It stays below what Slack allows, because a refused call
//! costs more than a patient one; when Slack refuses all the same, its word (`Retry-After`) holds.

use std::collections::BTreeMap;

use super::call::Method;
use crate::record::EventTime;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pace {
    Method(Method),
    /// Posts into one channel.
    Channel(String),
}

impl Pace {
    /// Interval and burst.
    fn limit(&self) -> (i64, i64) {
        match self {
            Pace::Channel(_) => (1_000, 3),
            // Limited by channel; this only keeps one process from flooding a workspace.
            Pace::Method(Method::PostMessage) => (100, 20),
            Pace::Method(Method::Update | Method::History | Method::Replies) => (1_250, 20),
            Pace::Method(Method::List) => (3_500, 5),
        }
    }
}

/// When each limit would be free of all calls it has let through.
#[derive(Debug, Default)]
pub struct Paces {
    free_at: BTreeMap<Pace, EventTime>,
}

impl Paces {
    /// Channels are as many as people make, so what has come to rest is forgotten beyond this.
    const KEPT_MAX: usize = 1_000;

    /// The earliest time at which a call may go.
    pub fn earliest(&self, pace: &Pace, now: EventTime) -> EventTime {
        let (interval, burst) = pace.limit();
        let free_at = self.free_at.get(pace).copied().unwrap_or(now);
        free_at.plus_ms(-(burst - 1) * interval).max(now)
    }

    pub fn take(&mut self, pace: &Pace, now: EventTime) {
        let (interval, _) = pace.limit();
        let free_at = self.free_at.get(pace).copied().unwrap_or(now).max(now);
        self.free_at.insert(pace.clone(), free_at.plus_ms(interval));
        if self.free_at.len() > Self::KEPT_MAX {
            self.free_at.retain(|_, free_at| *free_at > now);
        }
    }

    /// Nothing goes before `until`, and then one call at a time.
    pub fn block(&mut self, pace: &Pace, until: EventTime) {
        let (interval, burst) = pace.limit();
        let free_at = until.plus_ms((burst - 1) * interval);
        let known = self.free_at.get(pace).copied().unwrap_or(free_at);
        self.free_at.insert(pace.clone(), known.max(free_at));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_goes_at_once_then_one_an_interval() {
        let pace = Pace::Channel("C1".into());
        let mut paces = Paces::default();
        let went: Vec<_> = (0..6)
            .scan(EventTime(0), |now, _| {
                *now = paces.earliest(&pace, *now);
                paces.take(&pace, *now);
                Some(now.0)
            })
            .collect();
        assert_eq!(went, [0, 0, 0, 1_000, 2_000, 3_000]);
    }

    #[test]
    fn slacks_own_word_holds_and_no_burst_follows_it() {
        let pace = Pace::Method(Method::Update);
        let mut paces = Paces::default();
        paces.block(&pace, EventTime(30_000));
        assert_eq!(paces.earliest(&pace, EventTime(10)), EventTime(30_000));
        paces.take(&pace, EventTime(30_000));
        assert_eq!(paces.earliest(&pace, EventTime(30_000)), EventTime(31_250));
    }
}
