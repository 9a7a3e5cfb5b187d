//! What a telling says: from an alert to the one remembered, with every text bounded and every identity kept whole.

use sha2::{Digest, Sha256};

use super::memory::{Phase, Tracked, TrackedAlert};
use crate::event::words::{clipped, identity};
use crate::event::{Alert, AlertStatus, AlertTrend, IncidentState, Level, Mention};
use crate::record::EventTime;
use crate::trend;

const NAME_CHARS_MAX: usize = 200;
const SUMMARY_CHARS_MAX: usize = 500;
const SPARKLINE_CHARS_MAX: usize = 60;
const CHART_BYTES_MAX: usize = 200;
const URL_BYTES_MAX: usize = 2_000;

/// Whether the telling is of an episode that has ended, or of one before it.
pub fn is_over(before: &TrackedAlert, alert: &Alert<'_>) -> bool {
    match before.phase {
        Phase::Firing | Phase::Expired => alert.starts_at_ms < before.starts_at_ms,
        Phase::Quiet | Phase::Resolved => {
            // Without a start the telling has its own time: one before the end belongs to what has ended.
            let ended_at_ms = alert.episode.as_ref().and(before.ends_at_ms).unwrap_or(before.starts_at_ms);
            alert.starts_at_ms <= before.starts_at_ms.max(ended_at_ms)
        }
    }
}

/// When the episode began that is told of once more, by a source that names it but does not tell its start.
pub fn began(before: &TrackedAlert, alert: &Alert<'_>) -> Option<i64> {
    let goes_on = before.phase == Phase::Firing || alert.status == AlertStatus::Resolved;
    let name = alert.episode.as_deref().map(identity);
    let same = name.is_some() && name == before.episode && before.starts_at_ms <= alert.starts_at_ms;
    (goes_on && same).then_some(before.starts_at_ms)
}

pub fn next_telling(
    before: Option<&TrackedAlert>,
    alert: &Alert<'_>,
    fingerprint: String,
    level: Level,
    at: EventTime,
) -> TrackedAlert {
    let said = |name| alert.annotations.get(name).filter(|text| !text.trim().is_empty());
    let summary = said("summary").or_else(|| said("description")).unwrap_or(&alert.name);
    let known = before.filter(|before| before.starts_at_ms == alert.starts_at_ms);
    let trend = trend_of(alert, known.and_then(|known| known.trend.as_ref()));
    let goes_back = alert.status == AlertStatus::Resolved || trend.as_ref().is_some_and(|trend| trend.recovering);
    // How it ends is seen in its line; the words stay those of why it began.
    let summary = match known.filter(|_| trend.is_some() && goes_back) {
        Some(known) => known.summary.clone(),
        None => clipped(summary, SUMMARY_CHARS_MAX),
    };
    TrackedAlert {
        fingerprint,
        phase: Phase::Firing,
        told_at_ms: at.0.max(before.map_or(i64::MIN, |before| before.told_at_ms)),
        name: clipped(&alert.name, NAME_CHARS_MAX),
        level,
        starts_at_ms: alert.starts_at_ms,
        ends_at_ms: None,
        repeats: before.map_or(0, |before| before.repeats).saturating_add(1),
        value: alert.value.filter(|value| value.is_finite()),
        summary,
        generator_url: alert.generator_url.as_deref().and_then(bounded_url),
        episode: alert.episode.as_deref().map(identity),
        muted_until_ms: alert.muted_until_ms,
        muted_by: alert.muted_by.as_deref().map(identity),
        trend,
    }
}

/// What a detector of trends annotates its alerts with. That it goes on says that nothing has changed.
fn trend_of(alert: &Alert<'_>, before: Option<&AlertTrend>) -> Option<AlertTrend> {
    let said = |name| alert.annotations.get(name).unwrap_or_default();
    let recovering = match said("trend") {
        "goes_on" => before.is_some_and(|before| before.recovering),
        phase => phase == "recovering",
    };
    let told = || AlertTrend {
        recovering,
        sparkline: clipped(said("sparkline"), SPARKLINE_CHARS_MAX),
        // Cut it would be no chart. Whether it is one at all is asked where it is shown.
        chart: Some(said("chart")).filter(|text| text.len() <= CHART_BYTES_MAX).unwrap_or_default().to_owned(),
    };
    (&*alert.source == trend::SOURCE).then(told)
}

/// Whether a known episode began or ceased to recover.
pub fn turned(before: &TrackedAlert, heard: &TrackedAlert) -> bool {
    let recovering = |alert: &TrackedAlert| alert.trend.as_ref().is_some_and(|trend| trend.recovering);
    before.phase == Phase::Firing && recovering(before) != recovering(heard)
}

pub fn opened(alert: &Alert<'_>, group: Vec<String>, at: EventTime) -> Tracked {
    let mut hash = Sha256::new();
    for part in std::iter::once(&*alert.service).chain(group.iter().map(String::as_str)) {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    hash.update(alert.starts_at_ms.to_be_bytes());
    hash.update(at.0.to_be_bytes());
    Tracked {
        id: format!("inc-{}", hex::encode(&hash.finalize()[..8])),
        version: 0,
        service: alert.service.to_string(),
        environment: alert.environment.as_deref().map(|name| clipped(name, NAME_CHARS_MAX)),
        group,
        state: IncidentState::Open,
        level: Level::Low,
        level_reason: String::new(),
        mention: Mention::Nobody,
        opened_at_ms: at.0,
        changed_at_ms: at.0,
        resolved_at_ms: None,
        reopened: 0,
        flaps: 0,
        alerts: Vec::new(),
        omitted: Vec::new(),
        omitted_told_at_ms: 0,
        left_out: 0,
        runbook_url: None,
        dashboard_url: None,
    }
}

pub fn reason_of(alert: &Alert<'_>) -> String {
    alert.level_reason.as_deref().map_or_else(|| "not levelled".to_owned(), |why| clipped(why, SUMMARY_CHARS_MAX))
}

/// A link that is too long is no link once cut.
pub fn bounded_url(url: &str) -> Option<String> {
    (!url.is_empty() && url.len() <= URL_BYTES_MAX).then(|| url.to_owned())
}
