//! Alerts by episode: how often each was told, and what the rules made of it.
//!
//! An episode is one fingerprint and one start. Of an episode that was judged differently from telling to telling the highest level stays,
//! with its reason.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Serialize;

use crate::event::{Alert, AlertStatus, Level, Mention};
use crate::record::EventTime;

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Episode {
    pub service: Arc<str>,
    pub name: Arc<str>,
    pub first_ms: i64,
    pub last_ms: i64,
    /// When its end was told.
    pub ended_ms: Option<i64>,
    /// Tellings that it fires.
    pub told: u32,
    /// `None`: dropped each time, or its end alone is known.
    pub level: Option<Level>,
    pub mention: Mention,
    /// Of the level, or of the dropping.
    pub reason: Arc<str>,
    pub dropped: u32,
}

#[derive(Clone, Debug, Default)]
pub struct Episodes {
    by_start: BTreeMap<(Arc<str>, i64), Episode>,
    /// Names, services and reasons are few, and episodes many.
    words: BTreeSet<Arc<str>>,
}

impl Episodes {
    /// What the source told.
    pub fn hear(&mut self, alert: &Alert<'_>, at: EventTime) {
        let key = (Arc::from(&*alert.fingerprint), alert.starts_at_ms);
        if !self.by_start.contains_key(&key) {
            let (service, name, reason) = (self.word(&alert.service), self.word(&alert.name), self.word(""));
            let episode = Episode {
                service,
                name,
                first_ms: at.0,
                last_ms: at.0,
                ended_ms: None,
                told: 0,
                level: None,
                mention: Mention::Nobody,
                reason,
                dropped: 0,
            };
            self.by_start.insert(key.clone(), episode);
        }
        let Some(episode) = self.by_start.get_mut(&key) else { return };
        episode.last_ms = episode.last_ms.max(at.0);
        match alert.status {
            AlertStatus::Firing => episode.told += 1,
            AlertStatus::Resolved => drop(episode.ended_ms.get_or_insert(at.0)),
        }
    }

    /// What an operator made of it.
    pub fn judge(&mut self, alert: &Alert<'_>, dropped: bool) {
        if alert.status == AlertStatus::Resolved {
            return;
        }
        let reason = self.word(alert.level_reason.as_deref().unwrap_or_default());
        let key = (Arc::from(&*alert.fingerprint), alert.starts_at_ms);
        let Some(episode) = self.by_start.get_mut(&key) else { return };
        episode.mention = episode.mention.max(alert.mention);
        if dropped {
            episode.dropped += 1;
            if episode.level.is_none() {
                episode.reason = reason;
            }
        } else if alert.level > episode.level || episode.level.is_none() {
            (episode.level, episode.reason) = (alert.level, reason);
        }
    }

    pub fn get(&self, fingerprint: &str, starts_at_ms: i64) -> Option<&Episode> {
        self.by_start.get(&(Arc::from(fingerprint), starts_at_ms))
    }

    /// In the order of fingerprints, then starts.
    pub fn iter(&self) -> impl Iterator<Item = (&str, i64, &Episode)> {
        self.by_start.iter().map(|((fingerprint, start), episode)| (&**fingerprint, *start, episode))
    }

    fn word(&mut self, word: &str) -> Arc<str> {
        if let Some(known) = self.words.get(word) {
            return known.clone();
        }
        let new: Arc<str> = Arc::from(word);
        self.words.insert(new.clone());
        new
    }
}
