//! Token buckets: how fast Slack may be called, by method and, for posts, by channel.
//!
//! A bucket lets a small burst through, then one call an interval. Slack publishes (docs.slack.dev, "Rate limits"): about one
//! message a second in a channel with short bursts, several hundred posts a minute in a workspace, fifty a minute of `chat.update`,
//! `chat.delete`, `conversations.history` and `conversations.replies`, twenty of `conversations.list` and `usergroups.users.update`. The sink stays below that,
//! because a refused call costs more than a patient one; when Slack refuses all the same, its word (`Retry-After`) holds.
//!
//! Not here: other processes of the same app. Slack counts them together, so several of them learn their share from refusals.

use std::collections::BTreeMap;

use super::call::Method;
use crate::record::EventTime;

/// What a call is about to use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target<'a> {
    method: Method,
    /// Posts are limited by channel too.
    channel: Option<&'a str>,
    /// It leaves half of a burst to what is more urgent and may come next.
    patient: bool,
}

impl<'a> Target<'a> {
    pub fn of(method: Method) -> Self {
        Self { method, channel: None, patient: false }
    }

    pub fn post_into(channel: &'a str) -> Self {
        Self { method: Method::PostMessage, channel: Some(channel), patient: false }
    }

    pub fn patient(self) -> Self {
        Self { patient: true, ..self }
    }
}

#[derive(Clone, Copy, Debug)]
struct Limit {
    interval_ms: i64,
    burst: i64,
}

const BY_CHANNEL: Limit = Limit { interval_ms: 1_000, burst: 3 };

fn by_method(method: Method) -> Limit {
    match method {
        Method::PostMessage => Limit { interval_ms: 100, burst: 20 },
        Method::Update | Method::Delete | Method::History | Method::Replies => Limit { interval_ms: 1_250, burst: 20 },
        Method::List | Method::SetGroup => Limit { interval_ms: 3_500, burst: 5 },
    }
}

/// One limit's tokens, as the time at which all of them will be back.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    full_at: EventTime,
}

impl Bucket {
    fn earliest(self, limit: Limit, patient: bool, now: EventTime) -> EventTime {
        let left = if patient { limit.burst / 2 } else { 0 };
        self.full_at.plus_ms(-(limit.burst - 1 - left) * limit.interval_ms).max(now)
    }

    fn take(&mut self, limit: Limit, now: EventTime) {
        self.full_at = self.full_at.max(now).plus_ms(limit.interval_ms);
    }

    /// Nothing goes before `until`, and then one call an interval.
    fn block(&mut self, limit: Limit, until: EventTime) {
        self.full_at = self.full_at.max(until.plus_ms((limit.burst - 1) * limit.interval_ms));
    }
}

#[derive(Debug, Default)]
pub struct Paces {
    methods: BTreeMap<Method, Bucket>,
    channels: BTreeMap<String, Bucket>,
}

impl Paces {
    /// Channels are as many as people make, so what has come to rest is forgotten beyond this.
    const KEPT_MAX: usize = 1_000;

    /// The earliest time at which a call may go.
    pub fn earliest(&self, target: Target<'_>, now: EventTime) -> EventTime {
        let Target { method, channel, patient } = target;
        let method = self.methods.get(&method).map(|bucket| bucket.earliest(by_method(method), patient, now));
        let channel = channel.and_then(|channel| self.channels.get(channel));
        let channel = channel.map(|bucket| bucket.earliest(BY_CHANNEL, patient, now));
        method.into_iter().chain(channel).max().unwrap_or(now)
    }

    pub fn take(&mut self, target: Target<'_>, now: EventTime) {
        self.method(target.method, now).take(by_method(target.method), now);
        if let Some(channel) = target.channel {
            self.channel(channel, now).take(BY_CHANNEL, now);
        }
    }

    /// Slack has refused: nothing of the kind goes before `until`. A refused post is about its channel.
    pub fn block(&mut self, target: Target<'_>, until: EventTime, now: EventTime) {
        match target.channel {
            Some(channel) => self.channel(channel, now).block(BY_CHANNEL, until),
            None => self.method(target.method, now).block(by_method(target.method), until),
        }
    }

    fn method(&mut self, method: Method, now: EventTime) -> &mut Bucket {
        self.methods.entry(method).or_insert(Bucket { full_at: now })
    }

    fn channel(&mut self, channel: &str, now: EventTime) -> &mut Bucket {
        if self.channels.len() >= Self::KEPT_MAX {
            self.channels.retain(|kept, bucket| bucket.full_at > now || kept == channel);
        }
        self.channels.entry(channel.to_owned()).or_insert(Bucket { full_at: now })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_goes_at_once_then_one_an_interval() {
        let target = Target::post_into("C1");
        let mut paces = Paces::default();
        let went: Vec<_> = (0..6)
            .scan(EventTime(0), |now, _| {
                *now = paces.earliest(target, *now);
                paces.take(target, *now);
                Some(now.0)
            })
            .collect();
        assert_eq!(went, [0, 0, 0, 1_000, 2_000, 3_000]);
    }

    #[test]
    fn many_channels_share_the_limit_of_the_workspace() {
        let mut paces = Paces::default();
        let channels: Vec<_> = (0..40).map(|number| format!("C{number}")).collect();
        let went = channels.iter().map(|channel| {
            let target = Target::post_into(channel);
            let at = paces.earliest(target, EventTime(0));
            paces.take(target, at);
            at.0
        });
        let went: Vec<_> = went.collect();
        assert_eq!((went[19], went[20], went[39]), (0, 100, 2_000));
    }

    #[test]
    fn who_is_patient_leaves_half_of_a_burst_to_others() {
        let target = Target::of(Method::Update);
        let mut paces = Paces::default();
        let mut went = 0;
        while paces.earliest(target.patient(), EventTime(0)) == EventTime(0) {
            paces.take(target.patient(), EventTime(0));
            went += 1;
        }
        assert_eq!((went, paces.earliest(target.patient(), EventTime(0))), (10, EventTime(1_250)));
        (0..10).for_each(|_| {
            assert_eq!(paces.earliest(target, EventTime(0)), EventTime(0));
            paces.take(target, EventTime(0));
        });
        assert_eq!(paces.earliest(target, EventTime(0)), EventTime(1_250));
    }

    #[test]
    fn slacks_own_word_holds_and_no_burst_follows_it() {
        let target = Target::of(Method::Update);
        let mut paces = Paces::default();
        paces.block(target, EventTime(30_000), EventTime(0));
        assert_eq!(paces.earliest(target, EventTime(10)), EventTime(30_000));
        paces.take(target, EventTime(30_000));
        assert_eq!(paces.earliest(target, EventTime(30_000)), EventTime(31_250));
    }
}
