//! The alerts that fire, of all services, by fingerprint.
//!
//! An alert goes when it is told to be resolved, or was not told for [`STALE_MS`]. Memory is bounded by [`BYTES_MAX`]: what was told
//! longest ago goes first, and is there again when it is told again.

use std::collections::{BTreeMap, BTreeSet};

use crate::event::{Alert, AlertStatus};
use crate::record::EventTime;

/// As `stale_after_secs` of the incident operator ships: longer than Alertmanager's `repeat_interval`, after which its webhook tells
/// what still fires.
pub const STALE_MS: i64 = 5 * 60 * 60 * 1_000;
const BYTES_MAX: usize = 64 << 20;
/// Of an alert beside its texts.
const OVERHEAD: usize = 512;

#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    pub alert: Alert<'static>,
    /// When it was told last.
    pub at: EventTime,
}

#[derive(Debug, Default)]
pub struct Alerts {
    by_fingerprint: BTreeMap<String, Told>,
    by_time: BTreeSet<(EventTime, String)>,
    bytes: usize,
}

impl Alerts {
    /// In the order of the log. Says whether the alert fires and is held now.
    pub fn apply(&mut self, alert: Alert<'static>, at: EventTime) -> bool {
        let fingerprint = alert.fingerprint.to_string();
        let starts_at_ms = match self.by_fingerprint.get(&fingerprint) {
            // Of an episode before.
            Some(known) if alert.ends_at_ms.is_some_and(|end| end < known.alert.starts_at_ms) => return true,
            // A source that does not tell a start tells another one each time.
            Some(known) => known.alert.starts_at_ms.min(alert.starts_at_ms),
            None => alert.starts_at_ms,
        };
        self.remove(&fingerprint);
        if alert.status == AlertStatus::Resolved {
            return false;
        }
        self.bytes += bytes(&alert);
        self.by_time.insert((at, fingerprint.clone()));
        self.by_fingerprint.insert(fingerprint.clone(), Told { alert: Alert { starts_at_ms, ..alert }, at });
        while self.bytes > BYTES_MAX
            && let Some((_, oldest)) = self.by_time.first().cloned()
        {
            self.remove(&oldest);
        }
        self.by_fingerprint.contains_key(&fingerprint)
    }

    pub fn forget_stale(&mut self, now: EventTime) {
        while let Some((at, oldest)) = self.by_time.first()
            && at.plus_ms(STALE_MS) <= now
        {
            let oldest = oldest.clone();
            self.remove(&oldest);
        }
    }

    pub fn get(&self, fingerprint: &str) -> Option<&Told> {
        self.by_fingerprint.get(fingerprint)
    }

    /// By fingerprint.
    pub fn iter(&self) -> impl Iterator<Item = &Told> {
        self.by_fingerprint.values()
    }

    fn remove(&mut self, fingerprint: &str) {
        if let Some((fingerprint, told)) = self.by_fingerprint.remove_entry(fingerprint) {
            self.bytes -= bytes(&told.alert);
            self.by_time.remove(&(told.at, fingerprint));
        }
    }
}

fn bytes(alert: &Alert<'_>) -> usize {
    let pairs = alert.labels.iter().chain(alert.annotations.iter());
    let link = alert.generator_url.as_ref().map_or(0, |link| link.len());
    OVERHEAD + link + pairs.map(|(name, value)| name.len() + value.len() + 48).sum::<usize>()
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::event::Labels;
    use crate::ingest::Mapping;

    /// One that fires from second 1 on, with its labels for its fingerprint.
    pub fn alert(labels: &[(&str, &str)]) -> Alert<'static> {
        let fingerprint = format!("{labels:?}");
        let labels: Labels<'static> =
            labels.iter().map(|(name, value)| ((*name).to_owned().into(), (*value).to_owned().into())).collect();
        Alert { starts_at_ms: 1_000, ..Mapping::default().alert("test", fingerprint, labels, Labels::default()) }
    }

    fn resolved(alert: &Alert<'static>, starts_at_ms: i64, end: i64) -> Alert<'static> {
        Alert { status: AlertStatus::Resolved, starts_at_ms, ends_at_ms: Some(end), ..alert.clone() }
    }

    #[test]
    fn an_alert_is_there_from_its_first_telling_to_its_end_and_keeps_its_start() {
        let (mut alerts, one) = (Alerts::default(), alert(&[("alertname", "A")]));
        assert!(alerts.apply(one.clone(), EventTime(5_000)));
        assert!(alerts.apply(Alert { starts_at_ms: 9_000, ..one.clone() }, EventTime(9_000)));
        let told = alerts.get(&one.fingerprint).unwrap();
        assert_eq!((told.alert.starts_at_ms, told.at), (1_000, EventTime(9_000)));
        assert!(alerts.apply(resolved(&one, 100, 900), EventTime(9_500)), "the end of an episode before");
        assert!(!alerts.apply(resolved(&one, 9_900, 9_900), EventTime(9_900)));
        assert_eq!((alerts.iter().count(), alerts.bytes, alerts.by_time.len()), (0, 0, 0));
    }

    #[test]
    fn what_is_not_told_for_long_is_forgotten() {
        let mut alerts = Alerts::default();
        alerts.apply(alert(&[("a", "1")]), EventTime(1_000));
        alerts.apply(alert(&[("a", "2")]), EventTime(2_000));
        alerts.forget_stale(EventTime(1_000 + STALE_MS));
        assert_eq!(alerts.iter().map(|told| told.at.0).collect::<Vec<_>>(), [2_000]);
    }

    #[test]
    fn of_too_many_those_told_longest_ago_go() {
        let mut alerts = Alerts::default();
        let large = "x".repeat(BYTES_MAX / 4);
        for (n, name) in ["1", "2", "3", "4", "5"].into_iter().enumerate() {
            alerts.apply(alert(&[("a", name), ("b", &large)]), EventTime(n as i64));
        }
        assert!(alerts.bytes <= BYTES_MAX);
        let names: Vec<_> = alerts.iter().filter_map(|told| told.alert.labels.get("a")).collect();
        assert_eq!(names, ["3", "4", "5"]);
    }
}
