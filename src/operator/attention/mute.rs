//! Whether people are told of an incident, and why not: the first of maintenance, snooze, silences, and what it depends on.
//!
//! A symptom comes last, so that a cause changes nothing but whether its symptom is told: what is said of causes never goes round.
//! Whatever is not known to be muted is told: an alert that found no room in the snapshot counts as firing and unmuted.

use super::Attend;
use super::memory::{Known, KnownCause, Silence};
use crate::event::words::short_hash;
use crate::event::{AlertStatus, IncidentAlert, MuteKind, Muted};
use crate::record::EventTime;

/// What a service's incidents are quiet by, besides themselves and the configuration.
#[derive(Clone, Copy)]
pub struct Quiet<'a> {
    pub silences: &'a [Silence],
    pub causes: &'a [KnownCause],
}

impl Attend {
    pub fn muted(&self, known: &Known, quiet: Quiet<'_>, at: EventTime) -> Option<Muted> {
        self.maintained(known, at)
            .or_else(|| snoozed(known, at))
            .or_else(|| silenced(known, quiet.silences, at))
            .or_else(|| self.symptom(known, quiet.causes, at))
    }

    /// The next moment, after it was judged last, at which that may be otherwise though nothing is heard.
    pub fn judged_anew_at(&self, known: &Known, causes: &[KnownCause]) -> Option<EventTime> {
        let judged = EventTime(known.judged_at_ms);
        let muted = known.attention().and_then(|attention| attention.muted.as_ref());
        let ends = muted.and_then(|muted| muted.until_ms).map(EventTime);
        let forgotten = causes.iter().filter(|cause| cause.open).map(KnownCause::forgotten_at);
        let forgotten = forgotten.filter(|_| muted.is_some_and(|muted| muted.kind == MuteKind::Symptom));
        let windows = self.maintenance.iter().filter(|window| window.covers(&known.snapshot));
        let windows = windows.filter_map(|window| window.begins_after(judged));
        ends.into_iter().chain(forgotten).chain(windows).filter(|at| *at > judged).min()
    }

    fn maintained(&self, known: &Known, at: EventTime) -> Option<Muted> {
        let windows = self.maintenance.iter().filter(|window| window.covers(&known.snapshot));
        let (ends, window) =
            windows.filter_map(|window| Some((window.ends(at)?, window))).max_by_key(|(ends, _)| *ends)?;
        let reason = window.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        let reason = format!("maintenance {}{reason}", window.name);
        Some(Muted { kind: MuteKind::Maintenance, until_ms: Some(ends.0), reason })
    }

    fn symptom(&self, known: &Known, causes: &[KnownCause], at: EventTime) -> Option<Muted> {
        let latest = EventTime(known.began_at_ms).plus_ms(i64::from(self.inhibit_within_secs) * 1_000);
        let hides = |cause: &&KnownCause| {
            cause.open
                && cause.since_ms <= latest.0
                && cause.level >= known.snapshot.level
                && cause.service != known.snapshot.service
                && cause.forgotten_at() > at
        };
        let cause = causes.iter().filter(hides).min_by_key(|cause| (cause.since_ms, &cause.incident_id))?;
        let reason = format!("symptom of {}, which has {}", cause.service, cause.incident_id);
        Some(Muted { kind: MuteKind::Symptom, until_ms: None, reason })
    }
}

fn snoozed(known: &Known, at: EventTime) -> Option<Muted> {
    let snooze = known.snooze.as_ref().filter(|snooze| snooze.until_ms > at.0)?;
    Some(Muted { kind: MuteKind::Snoozed, until_ms: Some(snooze.until_ms), reason: snooze.reason.clone() })
}

/// Until the first of its firing alerts is not silenced any more.
fn silenced(known: &Known, silences: &[Silence], at: EventTime) -> Option<Muted> {
    if known.snapshot.alerts_omitted > 0 {
        return None;
    }
    let firing = known.snapshot.alerts.iter().filter(|alert| alert.status == AlertStatus::Firing);
    let silenced: Option<Vec<_>> = firing.map(|alert| silence_of(alert, silences, at)).collect();
    let (until_ms, reason) = silenced?.into_iter().min()?;
    Some(Muted { kind: MuteKind::Silenced, until_ms: Some(until_ms), reason })
}

/// Of all that cover it the one that lasts longest: its end, and what it is.
fn silence_of(alert: &IncidentAlert, silences: &[Silence], at: EventTime) -> Option<(i64, String)> {
    let hash = if silences.is_empty() { 0 } else { short_hash(&alert.fingerprint) };
    let named = alert.muted_by.as_deref();
    let covers = |silence: &&Silence| {
        silence.is_live(at) && (named == Some(&silence.id) || silence.fingerprints.contains(&hash))
    };
    let told = silences.iter().filter(covers).map(|silence| (silence.until_ms, silence.reason.clone()));
    // What is told of a silence itself is newer than what an alert was told with.
    let heard_of = |name: &str| silences.iter().any(|silence| silence.id == name);
    let unheard = alert.muted_until_ms.filter(|until| *until > at.0 && !named.is_some_and(heard_of));
    let unheard = unheard.map(|until| (until, named.map_or_else(|| "silenced".to_owned(), silence_name)));
    told.chain(unheard).max()
}

pub fn silence_name(id: &str) -> String {
    format!("silence {id}")
}
