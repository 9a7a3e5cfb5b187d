//! What an incident names, and which records told it. Pure.
//!
//! An alert is known by its fingerprint, a deploy by its id. A telling that is listed was read by the task, at or before the
//! commit; what is not found is said to be so.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::app::decoded::Decoded;
use crate::event::{FactKind, Incident};
use crate::record::EventTime;

/// Tellings before the moment that an incident gives for them: clocks differ, and a deploy is told when it begins.
const ALERT_LEAD_MS: i64 = 60 * 60 * 1_000;
const DEPLOY_LEAD_MS: i64 = 6 * 60 * 60 * 1_000;

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Named {
    /// `alert` or `deploy`
    pub fact: FactKind,
    /// Fingerprint, or the deploy's id.
    pub id: String,
    /// The alert's name, or the deploy's version.
    pub name: String,
    /// How often it was told; 0: not found on the topics, which may not go back so far.
    pub told: usize,
    pub first: Option<Decoded>,
    /// Another than the first.
    pub last: Option<Decoded>,
}

pub struct Wanted {
    named: BTreeMap<(FactKind, String), Named>,
    alerts_since: EventTime,
    deploys_since: Option<EventTime>,
}

impl Wanted {
    pub fn of(incident: &Incident) -> Self {
        let one = |fact, id: &String, name: &String| {
            let (id, name) = (id.clone(), name.clone());
            ((fact, id.clone()), Named { fact, id, name, told: 0, first: None, last: None })
        };
        let alerts = incident.alerts.iter().map(|alert| one(FactKind::Alert, &alert.fingerprint, &alert.name));
        let deploys = incident.suspects.iter().map(|deploy| one(FactKind::Deploy, &deploy.deploy_id, &deploy.version));
        let began = incident.alerts.iter().map(|alert| alert.starts_at_ms).chain([incident.opened_at_ms]).min();
        let deployed = incident.suspects.iter().map(|deploy| deploy.effective_at_ms).min();
        Self {
            named: alerts.chain(deploys).collect(),
            alerts_since: EventTime(began.unwrap_or_default()).plus_ms(-ALERT_LEAD_MS),
            deploys_since: deployed.map(|at| EventTime(at).plus_ms(-DEPLOY_LEAD_MS)),
        }
    }

    /// From when on to look for it; `None`: nothing of this kind is named.
    pub fn since(&self, fact: FactKind) -> Option<EventTime> {
        match fact {
            FactKind::Alert => Some(self.alerts_since),
            FactKind::Deploy => self.deploys_since,
            _ => None,
        }
    }

    /// Tellings come in the order in which they lie.
    pub fn take(&mut self, fact: FactKind, telling: Decoded) {
        let field = if fact == FactKind::Deploy { "id" } else { "fingerprint" };
        let id = telling.value.get(field).and_then(|id| id.as_str()).unwrap_or_default();
        let Some(named) = self.named.get_mut(&(fact, id.to_owned())) else { return };
        named.told += 1;
        if named.first.is_none() {
            named.first = Some(telling);
        } else {
            named.last = Some(telling);
        }
    }

    /// In the order of kinds and ids.
    pub fn named(self) -> Vec<Named> {
        self.named.into_values().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Offset, Partition, Topic};
    use serde_json::json;

    fn incident() -> Incident {
        serde_json::from_value(json!({
            "id": "i", "version": 1, "service": "checkout", "environment": null, "group": [], "state": "open",
            "change": "opened", "level": "high", "level_reason": "", "mention": "nobody", "opened_at_ms": 90_000_000,
            "changed_at_ms": 90_000_000, "resolved_at_ms": null, "reopened": 0, "flaps": 0, "alerts_omitted": 0,
            "alerts": [{"fingerprint": "a1", "name": "Errors", "status": "firing", "level": "high", "starts_at_ms": 89_000_000,
                "ends_at_ms": null, "repeats": 1, "value": null, "summary": "", "generator_url": null}],
            "suspects": [{"deploy_id": "run-1", "service": "checkout", "version": "v2", "revision": null, "actor": null,
                "url": null, "effective_at_ms": 88_000_000, "score": 70, "reasons": []}],
            "runbook_url": null, "dashboard_url": null
        }))
        .unwrap()
    }

    fn telling(offset: i64, value: serde_json::Value) -> Decoded {
        Decoded {
            topic: Topic::from("t"),
            partition: Partition(0),
            offset: Offset(offset),
            timestamp_ms: 0,
            key: None,
            headers: Vec::new(),
            schema: None,
            value,
            error: None,
        }
    }

    #[test]
    fn what_is_named_is_counted_and_what_is_not_is_left() {
        let mut wanted = Wanted::of(&incident());
        assert_eq!(wanted.since(FactKind::Alert), Some(EventTime(89_000_000 - ALERT_LEAD_MS)));
        assert_eq!(wanted.since(FactKind::Deploy), Some(EventTime(88_000_000 - DEPLOY_LEAD_MS)));
        assert_eq!(wanted.since(FactKind::Incident), None);
        for (offset, fingerprint) in [(4, "a1"), (5, "other"), (6, "a1"), (7, "a1")] {
            wanted.take(FactKind::Alert, telling(offset, json!({"fingerprint": fingerprint})));
        }
        let named = wanted.named();
        let offsets = |named: &Named| [&named.first, &named.last].map(|told| told.as_ref().map(|told| told.offset.0));
        assert_eq!((named[0].told, offsets(&named[0])), (3, [Some(4), Some(7)]));
        assert_eq!((&*named[1].id, named[1].told, offsets(&named[1])), ("run-1", 0, [None, None]));
    }
}
