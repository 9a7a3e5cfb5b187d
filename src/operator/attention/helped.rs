//! What helped the last times: what came before the end of incidents that bore the same alerts.
//!
//! It is what came before, not a proof: a run that succeeded in the hour before the end, a deploy or rollback that finished in the
//! half hour before it. An end that did not last (the incident reopened) is forgotten.

use super::memory::{Ending, HOUR_MS, Known, Rollout, State};
use crate::event::words::{clipped, short_hash, span};
use crate::event::{Deploy, DeployKind, DeployOutcome, Helped, Incident, RunStatus};

const TOLD_MAX: usize = 3;
/// Fingerprints remembered of one service, each as often as it is told.
const FINGERPRINTS_MAX: usize = 200;
const FINGERPRINTS_OF_ONE_MAX: usize = 20;
const VERSION_CHARS_MAX: usize = 100;

impl Known {
    pub fn ending(&self) -> Ending {
        let end = self.snapshot.resolved_at_ms.unwrap_or(self.snapshot.changed_at_ms).min(self.snapshot.changed_at_ms);
        let before = |at_ms: i64| span(end.saturating_sub(at_ms).max(0));
        let runs = self.attention().map(|attention| attention.runs.as_slice()).unwrap_or_default();
        let mut runs = runs.iter().rev().filter(|run| run.status == RunStatus::Succeeded);
        let run = runs.find(|run| (end.saturating_sub(HOUR_MS)..=self.snapshot.changed_at_ms).contains(&run.at_ms));
        let run = run.map(|run| format!("{} ran {} {} before it resolved", run.by, run.action, before(run.at_ms)));
        let rollout = self.rollout.as_ref().filter(|rollout| rollout.finished_at_ms >= end.saturating_sub(HOUR_MS / 2));
        let rollout = rollout.map(|rollout| {
            let what = if rollout.kind == DeployKind::Rollback { "rolled back to" } else { "deployed" };
            format!("{what} {} {} before it resolved", rollout.version, before(rollout.finished_at_ms))
        });
        let text = match (run, rollout) {
            (Some(run), Some(rollout)) => format!("{run}; {rollout}"),
            (Some(one), None) | (None, Some(one)) => one,
            (None, None) => format!("it resolved by itself after {}", before(self.began_at_ms)),
        };
        let alerts = self.snapshot.alerts.iter().take(FINGERPRINTS_OF_ONE_MAX);
        Ending {
            incident_id: self.snapshot.id.clone(),
            resolved_at_ms: end,
            text,
            fingerprints: alerts.map(|alert| short_hash(&alert.fingerprint)).collect(),
        }
    }
}

impl State {
    /// The latest first.
    pub fn helped(&self, incident: &Incident) -> Vec<Helped> {
        if self.endings.is_empty() {
            return Vec::new();
        }
        let fingerprints: Vec<_> = incident.alerts.iter().map(|alert| short_hash(&alert.fingerprint)).collect();
        let alike = |ending: &&Ending| {
            ending.incident_id != incident.id && ending.fingerprints.iter().any(|one| fingerprints.contains(one))
        };
        let told = |ending: &Ending| Helped {
            incident_id: ending.incident_id.clone(),
            resolved_at_ms: ending.resolved_at_ms,
            text: ending.text.clone(),
        };
        self.endings.iter().rev().filter(alike).take(TOLD_MAX).map(told).collect()
    }

    /// In the order of their ends; of each fingerprint the latest, and no more than are told.
    pub fn learn(&mut self, ending: &Ending) {
        self.unlearn(&ending.incident_id);
        let place = self.endings.partition_point(|other| other.resolved_at_ms <= ending.resolved_at_ms);
        self.endings.insert(place, ending.clone());
        let mut seen: Vec<i64> = Vec::new();
        for known in self.endings.iter_mut().rev() {
            known.fingerprints.retain(|fingerprint| {
                let often = seen.iter().filter(|other| *other == fingerprint).count();
                seen.push(*fingerprint);
                often < TOLD_MAX && seen.len() <= FINGERPRINTS_MAX
            });
        }
        self.endings.retain(|known| !known.fingerprints.is_empty());
    }

    pub fn unlearn(&mut self, incident: &str) {
        self.endings.retain(|ending| ending.incident_id != incident);
    }

    /// Open incidents whose end this deploy may bring.
    pub fn rolled_out(&self, deploy: &Deploy<'_>) -> Vec<(String, Rollout)> {
        let (DeployOutcome::Succeeded, Some(finished_at_ms)) = (deploy.outcome, deploy.finished_at_ms) else {
            return Vec::new();
        };
        if deploy.kind == DeployKind::Remove {
            return Vec::new();
        }
        let concerned = |known: &&Known| {
            let same = known.snapshot.environment.as_deref().zip(deploy.environment.as_deref());
            same.is_none_or(|(mine, theirs)| mine == theirs)
                && finished_at_ms >= known.began_at_ms
                && known.rollout.as_ref().is_none_or(|before| before.finished_at_ms < finished_at_ms)
        };
        let version = clipped(&deploy.version, VERSION_CHARS_MAX);
        let rollout = Rollout { kind: deploy.kind, version, finished_at_ms };
        self.open().filter(concerned).map(|known| (known.snapshot.id.clone(), rollout.clone())).collect()
    }
}
