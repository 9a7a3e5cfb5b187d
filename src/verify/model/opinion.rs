//! What must be so of the last snapshots, whatever the order in which things met.

use std::collections::{BTreeMap, BTreeSet};

use super::super::Site;
use super::super::report::{Kind, Report};
use super::Last;
use super::inputs::{Inputs, Settings, Told};
use crate::event::{AlertStatus, IncidentState};
use crate::record::{EventTime, Partition, Topic, TopicPartition};

/// A resolved incident is remembered for a day.
const REMEMBERED_SECS: u32 = 86_400;

/// What is to be said of the last snapshots.
pub struct Opinion<'a> {
    pub site: &'a Site,
    pub settings: &'a Settings,
    pub inputs: &'a Inputs,
    pub now: EventTime,
}

impl Opinion<'_> {
    pub fn check(&self, topic: &Topic, incidents: &BTreeMap<String, Last>, report: &mut Report) {
        let mut found = Vec::new();
        for last in incidents.values() {
            let said = [
                self.invented(last),
                self.ended(last),
                self.alert_count(last, incidents),
                self.suspected(last, incidents),
            ];
            found.extend(said.into_iter().flatten().map(|told| ((last.place.clone(), Some(last.offset)), told)));
        }
        let nowhere = TopicPartition::new(topic, Partition(-1));
        for ((service, fingerprint), told) in &self.inputs.alerts {
            if told.fired && !told.uncertain && !self.has_incident(service, fingerprint, told, incidents) {
                let expected = format!("an incident of {service} with alert {fingerprint}, which fired");
                found.push(((nowhere.clone(), None), (expected, "none".to_owned())));
            }
        }
        for ((place, offset), (expected, told)) in found {
            report.differs(self.site.difference(Kind::Model, (&place, offset), expected, told));
        }
    }

    fn has_incident(&self, service: &str, fingerprint: &str, told: &Told, all: &BTreeMap<String, Last>) -> bool {
        let mut of_service = all.values().filter(|last| last.incident.service == *service);
        of_service.any(|last| {
            let group = &last.incident.group;
            (told.groups.contains(group) || *group == ["*"]) && (last.shown.contains(fingerprint) || last.omitted)
                || !last.whole
        })
    }

    /// An alert or a suspect that nobody told.
    fn invented(&self, last: &Last) -> Option<(String, String)> {
        let incident = &last.incident;
        for alert in &incident.alerts {
            let told = self.inputs.alerts.get(&(incident.service.clone(), alert.fingerprint.clone()));
            if told.is_none_or(|told| !told.starts.contains(&alert.starts_at_ms)) && last.whole {
                let found = format!("{} with alert {}, started {}", incident.id, alert.fingerprint, alert.starts_at_ms);
                return Some(("alerts that were told only".to_owned(), found));
            }
        }
        let deploys = self.inputs.deploys.get(&incident.service);
        let known = |id: &str| deploys.is_some_and(|deploys| deploys.iter().any(|deploy| deploy.id == *id));
        let suspect = incident.suspects.iter().find(|suspect| !known(&suspect.deploy_id) && last.whole)?;
        Some(("deploys that were told only".to_owned(), format!("{} suspects {}", incident.id, suspect.deploy_id)))
    }

    /// Open although all ended, or resolved although something fires.
    fn ended(&self, last: &Last) -> Option<(String, String)> {
        let incident = &last.incident;
        let told: Option<Vec<_>> = last
            .shown
            .iter()
            .map(|fingerprint| self.inputs.alerts.get(&(incident.service.clone(), fingerprint.clone())))
            .collect();
        let told = told.filter(|told| !last.omitted && told.iter().all(|told| !told.uncertain))?;
        let settings = &self.settings.incidents;
        let after = |at: EventTime, secs: u32| at.plus_ms(i64::from(secs) * 1_000);
        let partition = told.iter().find_map(|told| told.partition);
        let reached = partition.and_then(|partition| self.inputs.reached.get(&partition)).copied();
        let over = told.iter().filter_map(|told| told.last).all(|(at, status, _)| {
            let secs = match status {
                AlertStatus::Resolved => settings.resolve_after_secs,
                AlertStatus::Firing => settings.stale_after_secs,
            };
            Some(after(at, secs)) < reached
        });
        if over && incident.state == IncidentState::Open {
            return Some((format!("{} resolved: all its alerts ended", incident.id), "open".to_owned()));
        }
        // What fires now and is shown as firing by no other incident keeps this one open.
        let fires = incident.alerts.iter().find(|alert| {
            let told = self.inputs.alerts.get(&(incident.service.clone(), alert.fingerprint.clone()));
            told.and_then(|told| told.last).is_some_and(|(at, status, starts)| {
                status == AlertStatus::Firing
                    && starts == alert.starts_at_ms
                    && after(at, settings.stale_after_secs) > self.now
            })
        });
        let fires = fires.filter(|_| incident.state == IncidentState::Resolved)?;
        Some((format!("{} open: its alert {} fires", incident.id, fires.fingerprint), "resolved".to_owned()))
    }

    /// Of a group that had one incident only, which never resolved and came back.
    fn alert_count(&self, last: &Last, all: &BTreeMap<String, Last>) -> Option<(String, String)> {
        let incident = &last.incident;
        let same = all.values().filter(|other| other.incident.service == incident.service);
        let shares =
            same.filter(|other| other.incident.group == incident.group || other.incident.group == ["*"]).count() > 1;
        if shares || !last.whole || last.omitted || incident.group == ["*"] {
            return None;
        }
        let of_group = self.inputs.alerts.iter().filter(|((service, _), told)| {
            *service == incident.service && told.fired && told.groups.contains(&incident.group)
        });
        let mut expected = 0;
        for (_, told) in of_group {
            if told.uncertain || told.groups.len() > 1 {
                return None;
            }
            expected += 1;
        }
        let found = incident.alerts.len();
        (found != expected).then(|| (format!("{expected} alerts in {}", incident.id), found.to_string()))
    }

    /// A deploy to the same environment that ended shortly before an open incident began, and is not suspected. That it reopened
    /// changes nothing, unless the incidents of its service were too many to remember, or it may have been forgotten meanwhile.
    fn suspected(&self, last: &Last, all: &BTreeMap<String, Last>) -> Option<(String, String)> {
        let (incident, suspects) = (&last.incident, self.settings.suspects.as_ref()?);
        let deploys = self.inputs.deploys.get(&incident.service)?;
        let onset = last.onset_at_ms;
        let of_service = all.values().filter(|other| other.incident.service == incident.service).count();
        let forgotten = of_service > suspects.incidents_max as usize
            || self.settings.incidents.reopen_within_secs >= REMEMBERED_SECS
            || !last.whole;
        let window = i64::from(suspects.window_secs) * 1_000;
        let ids: BTreeSet<_> = deploys.iter().map(|deploy| &deploy.id).collect();
        let in_window =
            deploys.iter().filter(|deploy| deploy.ends_at_ms.is_none_or(|end| end >= onset - window)).count();
        let crowded = in_window > suspects.suspects_max as usize || ids.len() > suspects.deploys_max as usize;
        if incident.state != IncidentState::Open
            || incident.reopened > 0 && forgotten
            || crowded
            || ids.len() < deploys.len()
        {
            return None;
        }
        // At half-value age a plain deploy still has more points than the most that are taken off it.
        let fades = i64::from(suspects.fades_after_secs) * 1_000;
        let certain = deploys.iter().filter(|deploy| {
            let ended = deploy.ends_at_ms.filter(|end| *end <= onset && *end >= onset - fades.min(window));
            deploy.is_plain
                && deploy.processed
                && ended.is_some()
                && deploy.starts_at_ms <= onset
                && deploy.environment == incident.environment
        });
        let mut certain = certain.filter(|_| suspects.score_min <= 17);
        let missing = certain.find(|deploy| incident.suspects.iter().all(|suspect| suspect.deploy_id != deploy.id))?;
        let found = incident.suspects.iter().map(|suspect| suspect.deploy_id.as_str()).collect::<Vec<_>>().join(", ");
        Some((format!("deploy {} among the suspects of {}", missing.id, incident.id), format!("[{found}]")))
    }
}
