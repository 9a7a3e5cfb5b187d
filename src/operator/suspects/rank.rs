//! How suspect a deploy is: points that people can add up, each with its reason.
//!
//! | points | for |
//! |---|---|
//! | +60 | it still ran when the incident began |
//! | up to +55 | the time since it finished; half of it at `fades_after_secs` |
//! | +20 | it failed |
//! | +15 | it was rolled back after the incident began |
//! | +15 / -40 | same / another environment |
//! | +10 | the first change after a healthy time |
//! | -10 | the service stayed healthy for a while after it |
//! | -20 | it is a rollback itself |
//!
//! | +20 | it came after the incident began, but before that reopened: nothing of the times above counts then |
//!
//! The score is their sum within 0 to 100. What began after the incident is no cause, but may be why it came back.

use super::{KnownDeploy, KnownIncident, Suspects};
use crate::event::words::span;
use crate::event::{DeployKind, DeployOutcome, Suspect};

/// Whose causes are looked for.
#[derive(Clone, Copy)]
pub struct Question<'a> {
    pub environment: Option<&'a str>,
    pub onset_at_ms: i64,
    /// When it came back last, if it did.
    pub reopened_at_ms: Option<i64>,
}

/// Deploys and incidents of one service, as evidence.
#[derive(Clone, Copy)]
pub struct Evidence<'a> {
    pub deploys: &'a [KnownDeploy],
    pub incidents: &'a [KnownIncident],
}

impl Suspects {
    /// Whether a deploy can have caused what began at `onset_at_ms`.
    pub(super) fn may_have_caused(&self, deploy: &KnownDeploy, onset_at_ms: i64) -> bool {
        let window = i64::from(self.window_secs) * 1_000;
        deploy.starts_at_ms <= onset_at_ms && deploy.effective_at_ms() >= onset_at_ms.saturating_sub(window)
    }

    /// Whether a deploy came after the beginning, and not long before a reopening.
    pub(super) fn preceded_reopening(&self, deploy: &KnownDeploy, question: Question<'_>) -> bool {
        let reopened = question.reopened_at_ms;
        deploy.starts_at_ms > question.onset_at_ms && reopened.is_some_and(|at| self.may_have_caused(deploy, at))
    }

    /// The best first.
    pub(super) fn rank(&self, question: Question<'_>, evidence: Evidence<'_>) -> Vec<Suspect> {
        let mut candidates: Vec<_> =
            evidence.deploys.iter().filter(|deploy| self.may_have_caused(deploy, question.onset_at_ms)).collect();
        candidates.sort_by(|a, b| order(a).cmp(&order(b)));
        let causes =
            candidates.iter().map(|deploy| suspect(deploy, &self.points(&candidates, deploy, question, evidence)));
        let later = evidence.deploys.iter().filter(|deploy| self.preceded_reopening(deploy, question));
        let mut ranked: Vec<_> = causes
            .chain(later.map(|deploy| suspect(deploy, &points_before_reopening(deploy, question))))
            .filter(|suspect| suspect.score >= self.score_min)
            .collect();
        ranked.sort_by(|a, b| {
            (b.score, b.effective_at_ms, &a.deploy_id).cmp(&(a.score, a.effective_at_ms, &b.deploy_id))
        });
        ranked.truncate(self.suspects_max as usize);
        ranked
    }

    /// Points and reasons of one of the candidates, which stand in order of time.
    fn points(
        &self,
        candidates: &[&KnownDeploy],
        deploy: &KnownDeploy,
        question: Question<'_>,
        evidence: Evidence<'_>,
    ) -> Vec<(i32, String)> {
        let onset = question.onset_at_ms;
        let mut points = vec![self.timing(deploy, onset)];
        points.extend(failed(deploy));
        if let Some(rollback) = rolled_back(deploy, onset, evidence.deploys) {
            points.push((15, format!("rolled back {} after it began", span(rollback.saturating_sub(onset)))));
        }
        points.extend(place(deploy, question));
        // What went to another environment says nothing about health in this one.
        let peers = candidates.iter().copied().filter(|other| other.environment == deploy.environment);
        let (before, after): (Vec<_>, Vec<_>) = peers.partition(|other| precedes(other, deploy));
        let healthy = |pair: &[&KnownDeploy]| self.healthy_between(pair[0], pair[1], evidence);
        match after.get(1) {
            Some(next) if healthy(&[deploy, next]) => {
                let span = span(next.starts_at_ms.saturating_sub(deploy.effective_at_ms()));
                points.push((-10, format!("the service stayed healthy for {span} after it")));
            }
            // Whatever followed came before the service had proven healthy again.
            _ if before.last().is_none_or(|last| healthy(&[last, deploy])) && !after.windows(2).any(healthy) => {
                points.push((10, "first change after a healthy time".to_owned()));
            }
            _ => {}
        }
        points.extend(rollback(deploy));
        points
    }

    fn timing(&self, deploy: &KnownDeploy, onset: i64) -> (i32, String) {
        match deploy.ends_at_ms {
            Some(end) if end <= onset => {
                let age = onset.saturating_sub(end);
                let fades = i64::from(self.fades_after_secs) * 1_000;
                let points = 55 * i128::from(fades) / (i128::from(fades) + i128::from(age)).max(1);
                let verb = if deploy.kind == DeployKind::Remove { "removed" } else { "finished" };
                (i32::try_from(points).unwrap_or(55), format!("{verb} {} before it began", span(age)))
            }
            _ => (60, "still running when it began".to_owned()),
        }
    }

    /// Whether the service went `healthy_after_secs` without an incident between one change and the next.
    fn healthy_between(&self, one: &KnownDeploy, next: &KnownDeploy, evidence: Evidence<'_>) -> bool {
        let (from, to) = (one.effective_at_ms(), next.starts_at_ms);
        let troubled = |incident: &KnownIncident| {
            // What an older version remembers of a reopened one is when it came back; it was troubled before, too.
            let began = incident.onset_at_ms.min(incident.snapshot.opened_at_ms) <= to;
            let over = incident.snapshot.resolved_at_ms.is_some_and(|resolved| resolved < from);
            let elsewhere = match (&incident.snapshot.environment, &one.environment) {
                (Some(troubled), Some(changed)) => troubled != changed,
                _ => false,
            };
            began && !over && !elsewhere
        };
        to.saturating_sub(from) >= i64::from(self.healthy_after_secs) * 1_000
            && !evidence.incidents.iter().any(troubled)
    }
}

/// Of a deploy between the beginning and the reopening, which cannot be why it began.
fn points_before_reopening(deploy: &KnownDeploy, question: Question<'_>) -> Vec<(i32, String)> {
    let reopened = question.reopened_at_ms.unwrap_or(question.onset_at_ms);
    let when = match deploy.ends_at_ms {
        Some(end) if end <= reopened => format!("{} before it reopened", span(reopened.saturating_sub(end))),
        _ => "still running when it reopened".to_owned(),
    };
    let after = (20, format!("after it began, {when}"));
    [Some(after), failed(deploy), place(deploy, question), rollback(deploy)].into_iter().flatten().collect()
}

fn failed(deploy: &KnownDeploy) -> Option<(i32, String)> {
    (deploy.outcome == DeployOutcome::Failed).then(|| (20, "it failed".to_owned()))
}

fn place(deploy: &KnownDeploy, question: Question<'_>) -> Option<(i32, String)> {
    match (deploy.environment.as_deref(), question.environment) {
        (Some(one), Some(other)) if one == other => Some((15, format!("same environment ({one})"))),
        (Some(one), Some(other)) => Some((-40, format!("it went to {one}, the alerts are in {other}"))),
        _ => None,
    }
}

fn rollback(deploy: &KnownDeploy) -> Option<(i32, String)> {
    (deploy.kind == DeployKind::Rollback).then(|| (-20, "it is a rollback, rarely the cause".to_owned()))
}

/// In the order of candidates.
fn precedes(one: &KnownDeploy, other: &KnownDeploy) -> bool {
    order(one) < order(other)
}

fn order(deploy: &KnownDeploy) -> impl Ord + use<'_> {
    (deploy.effective_at_ms(), &deploy.id, &deploy.source)
}

/// When a rollback followed the deploy, after the onset and before any other deploy to that environment.
fn rolled_back(deploy: &KnownDeploy, onset: i64, deploys: &[KnownDeploy]) -> Option<i64> {
    let after = deploys.iter().filter(|other| {
        other.starts_at_ms > onset
            && other.starts_at_ms >= deploy.effective_at_ms()
            && other.environment == deploy.environment
            && other.kind != DeployKind::Remove
    });
    let next = after.min_by_key(|other| other.starts_at_ms)?;
    let newest = deploys.iter().filter(|other| other.environment == deploy.environment && other.starts_at_ms <= onset);
    let was_running = newest.max_by_key(|other| other.effective_at_ms()).is_some_and(|newest| newest.same_as(deploy));
    (next.kind == DeployKind::Rollback && was_running && deploy.kind == DeployKind::Deploy).then_some(next.starts_at_ms)
}

fn suspect(deploy: &KnownDeploy, points: &[(i32, String)]) -> Suspect {
    let score = points.iter().map(|(points, _)| points).sum::<i32>().clamp(0, 100);
    let mut points: Vec<_> = points.iter().collect();
    points.sort_by_key(|(points, _)| std::cmp::Reverse(points.abs()));
    Suspect {
        deploy_id: deploy.id.clone(),
        service: deploy.service.clone(),
        version: deploy.version.clone(),
        revision: deploy.revision.clone(),
        actor: deploy.actor.clone(),
        url: deploy.url.clone(),
        effective_at_ms: deploy.effective_at_ms(),
        score,
        reasons: points.into_iter().map(|(points, reason)| format!("{reason} ({points:+})")).collect(),
    }
}
