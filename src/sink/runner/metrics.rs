//! What the runner tells Prometheus.

use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry};

use crate::event::RunStatus;

pub struct Metrics {
    runs: IntCounterVec,
    pub running: IntGauge,
    pub dead_letters: IntCounter,
    pub restarts: IntCounter,
}

impl Metrics {
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let runs = Opts::new("fairlead_runs_total", "Runs of actions by status: started, succeeded, failed, unknown");
        let metrics = Self {
            runs: IntCounterVec::new(runs, &["action", "status"])?,
            running: IntGauge::new("fairlead_runs_running", "Runs that are under way")?,
            dead_letters: IntCounter::new("fairlead_runner_dead_letters_total", "Runs that could not be read")?,
            restarts: IntCounter::new("fairlead_runner_restarts_total", "Starts over from the topic after a failure")?,
        };
        registry.register(Box::new(metrics.runs.clone()))?;
        registry.register(Box::new(metrics.running.clone()))?;
        registry.register(Box::new(metrics.dead_letters.clone()))?;
        registry.register(Box::new(metrics.restarts.clone()))?;
        Ok(metrics)
    }

    pub fn run(&self, action: &str, status: RunStatus) {
        let status = match status {
            RunStatus::Requested => "requested",
            RunStatus::Started => "started",
            RunStatus::Succeeded => "succeeded",
            RunStatus::Failed => "failed",
            RunStatus::Unknown => "unknown",
        };
        self.runs.with_label_values(&[action, status]).inc();
    }
}
