//! Which alerts of an open incident have ended before the incident itself is told to: its end is held back for a while, for an alert may
//! come back, and meanwhile nobody further shall be woken for what is over.
//!
//! Invariant: kept is only what the last snapshot does not say. Identity is fingerprint and start, as in the incident operator, so a late or
//! doubled telling of an episode says nothing.

use serde::{Deserialize, Serialize};

use super::memory::{Known, State};
use super::{Attend, Event};
use crate::event::words::{identity, short_hash};
use crate::event::{Alert, AlertStatus, Incident, IncidentAlert};
use crate::record::EventTime;

/// The newest episode of an alert, if that is newer than its snapshot says, or has ended.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Heard {
    /// Hash of its fingerprint.
    pub alert: i64,
    pub starts_at_ms: i64,
    pub ended: bool,
}

impl Attend {
    pub(super) fn heard(state: &State, alert: &Alert<'_>, at: EventTime) -> Vec<Event> {
        let fingerprint = identity(&alert.fingerprint);
        let shown = |known: &&Known| known.snapshot.alerts.iter().any(|shown| shown.fingerprint == fingerprint);
        let known = state.open().find(shown);
        let heard = known.and_then(|known| known.news_of(alert, &fingerprint).map(|heard| (known, heard)));
        let event = heard.map(|(known, heard)| Event::Heard { incident: known.snapshot.id.clone(), heard, at });
        event.into_iter().collect()
    }
}

impl Known {
    fn news_of(&self, alert: &Alert<'_>, fingerprint: &str) -> Option<Heard> {
        let hash = short_hash(fingerprint);
        let shown = self.snapshot.alerts.iter().find(|shown| shown.fingerprint == fingerprint)?;
        let before = self.heard.iter().find(|before| before.alert == hash);
        let (newest, ended) = before.map_or((shown.starts_at_ms, is_over(shown)), |one| (one.starts_at_ms, one.ended));
        let starts_at_ms = alert.starts_at_ms;
        let is_news = match alert.status {
            AlertStatus::Resolved => starts_at_ms >= newest && !ended,
            // Of a source that names its episodes each telling has a start of its own.
            AlertStatus::Firing => starts_at_ms > newest && (ended || alert.episode.is_none()),
        };
        is_news.then_some(Heard { alert: hash, starts_at_ms, ended: alert.status == AlertStatus::Resolved })
    }

    pub(super) fn hear(&mut self, heard: Heard, at: EventTime) {
        if !heard.ended && self.has_ended() {
            self.resumed_at_ms = at.0;
        }
        self.heard.retain(|before| before.alert != heard.alert);
        self.heard.push(heard);
    }

    /// All its alerts have, though it is still open. One that is not shown may fire.
    pub fn has_ended(&self) -> bool {
        let ended = |shown: &IncidentAlert| self.heard_of(shown).map_or_else(|| is_over(shown), |heard| heard.ended);
        let Incident { alerts, alerts_omitted, .. } = &self.snapshot;
        *alerts_omitted == 0 && !alerts.is_empty() && alerts.iter().all(ended)
    }

    fn heard_of(&self, shown: &IncidentAlert) -> Option<&Heard> {
        let hash = (!self.heard.is_empty()).then(|| short_hash(&shown.fingerprint))?;
        self.heard.iter().find(|heard| heard.alert == hash)
    }

    /// What a new snapshot says itself is not kept any longer.
    pub(super) fn forget_what_is_told(&mut self) {
        let alerts = &self.snapshot.alerts;
        self.heard.retain(|heard| {
            let shown = alerts.iter().find(|shown| short_hash(&shown.fingerprint) == heard.alert);
            shown.is_some_and(|shown| !is_over(shown) && shown.starts_at_ms <= heard.starts_at_ms)
        });
    }
}

fn is_over(shown: &IncidentAlert) -> bool {
    shown.status == AlertStatus::Resolved
}
