//! What the sink tells Prometheus.

use prometheus::{HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry};

use super::call::{Answer, Method};
use super::form::NO_PICTURES;
use crate::event::{SlackOutcome, SlackStatus};

pub struct Metrics {
    outcomes: IntCounterVec,
    reduced: IntCounterVec,
    call_seconds: HistogramVec,
    pub waiting: IntGauge,
    pub dead_letters: IntCounter,
    pub restarts: IntCounter,
}

impl Metrics {
    /// Fails if the registry has these names already.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let outcomes = Opts::new("fairlead_slack_outcomes_total", "Actions by what has come of them");
        let reduced = Opts::new(
            "fairlead_slack_reduced_total",
            "Actions that Slack took only without their pictures, or as plain text; the outcome says why",
        );
        let seconds = HistogramOpts::new("fairlead_slack_call_seconds", "Calls of Slack by method and kind of answer")
            .buckets(vec![0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0]);
        let metrics = Self {
            outcomes: IntCounterVec::new(outcomes, &["status"])?,
            reduced: IntCounterVec::new(reduced, &["to"])?,
            call_seconds: HistogramVec::new(seconds, &["method", "answer"])?,
            waiting: IntGauge::new("fairlead_slack_waiting", "Actions that are waiting to be told")?,
            dead_letters: IntCounter::new("fairlead_slack_dead_letters_total", "Actions that could not be read")?,
            restarts: IntCounter::new("fairlead_slack_restarts_total", "Starts over from the journal after a failure")?,
        };
        registry.register(Box::new(metrics.outcomes.clone()))?;
        registry.register(Box::new(metrics.reduced.clone()))?;
        registry.register(Box::new(metrics.call_seconds.clone()))?;
        registry.register(Box::new(metrics.waiting.clone()))?;
        registry.register(Box::new(metrics.dead_letters.clone()))?;
        registry.register(Box::new(metrics.restarts.clone()))?;
        Ok(metrics)
    }

    pub fn outcome(&self, outcome: &SlackOutcome) {
        let status = match outcome.status {
            SlackStatus::Intended => "intended",
            SlackStatus::Done => "done",
            SlackStatus::Rejected => "rejected",
            SlackStatus::Unknown => "unknown",
            SlackStatus::Superseded => "superseded",
            SlackStatus::Removing => "removing",
            SlackStatus::Swept => "swept",
        };
        self.outcomes.with_label_values(&[status]).inc();
        if let Some(why) = outcome.error.as_ref().filter(|_| outcome.status == SlackStatus::Done) {
            let to = if why.starts_with(NO_PICTURES) { "no_pictures" } else { "text" };
            self.reduced.with_label_values(&[to]).inc();
        }
    }

    pub fn call(&self, method: Method, answer: &Answer, seconds: f64) {
        let answer = match answer {
            Answer::Message(_) | Answer::Channel(_) | Answer::Set | Answer::More { .. } | Answer::Missing => "ok",
            Answer::Rejected(_) => "rejected",
            Answer::NotSent(_) => "not_sent",
            Answer::RateLimited { .. } => "rate_limited",
            Answer::Unknown(_) => "unknown",
        };
        self.call_seconds.with_label_values(&[method.name(), answer]).observe(seconds);
    }
}
