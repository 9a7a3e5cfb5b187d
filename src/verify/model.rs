//! A second opinion that trusts neither the journal nor the engine: a plain model that reads what came in and what incidents say.
//!
//! *Proves*, however batches were cut and whoever processed them: every revision of an incident is there once, in order, in one
//! partition; no incident holds an alert or a suspect that nobody told; every alert that fired is in an incident of its group;
//! an incident whose alerts all ended long enough ago is resolved, one with an alert that fires is open; an incident that is its
//! group's only one holds as many alerts as were told; a deploy just before an open incident is among its suspects; and every
//! record that cannot be a fact has exactly one dead letter, no other has any.
//!
//! *Cannot prove* what depends on how records met: levels and mentions, counts of repetitions and flaps, scores, when a snapshot
//! was made, what was told while a rule dropped alerts by more than their names. `recompute` has that, with the journal's help.
//! Alerts of one fingerprint that were told out of order, and incidents whose first revision retention has taken, are left out.
//! Only what the group has committed must have had its effect; a deadline must have been met if an alert after it was processed.
//!
//! Memory: some 200 bytes an alert's fingerprint, a deploy, and an incident.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;

use super::Site;
use super::live::output_topics;
use super::report::{Kind, ModelReport, Report};
use super::stretch::each_record;
use crate::event::{Alert, AlertStatus, Deploy, DeployKind, DeployOutcome, Fact, FactKind, Incident, IncidentState};
use crate::operator::incident::Incidents;
use crate::operator::suspects::Suspects;
use crate::record::{Batch, EventTime, Offset, Partition, Record, Topic, TopicPartition};
use crate::topology::dead_letter::DeadLetter;
use crate::topology::plan::{Content, SubTopologyPlan};

#[derive(Default)]
struct Inputs {
    /// By service and fingerprint.
    alerts: BTreeMap<(String, String), Told>,
    deploys: BTreeMap<String, Vec<ToldDeploy>>,
    /// Records that are no facts, and whether they were processed.
    rubbish: BTreeMap<String, bool>,
    /// Of each partition of alerts the latest that was processed.
    reached: BTreeMap<Partition, EventTime>,
    count: ModelReport,
}

/// What was told of one fingerprint.
#[derive(Default)]
struct Told {
    groups: BTreeSet<Vec<String>>,
    fired: bool,
    starts: BTreeSet<i64>,
    /// The last telling.
    last: Option<(EventTime, AlertStatus, i64)>,
    /// Told out of order, perhaps dropped by a rule, or not processed to the end: nothing is certain of it.
    uncertain: bool,
    partition: Option<Partition>,
}

struct ToldDeploy {
    id: String,
    processed: bool,
    environment: Option<String>,
    is_plain: bool,
    starts_at_ms: i64,
    ends_at_ms: Option<i64>,
}

/// The last snapshot of an incident, and where it is.
struct Last {
    incident: Incident,
    place: TopicPartition,
    offset: Offset,
    whole: bool,
    /// Every fingerprint that it ever showed.
    shown: BTreeSet<String>,
    omitted: bool,
}

struct Settings {
    incidents: Incidents,
    suspects: Option<Suspects>,
    dropped_names: Vec<String>,
    drops_by_more: bool,
}

/// Nothing if the topology makes no incidents of alerts.
pub fn check(
    site: &mut Site,
    processed: &BTreeMap<TopicPartition, Offset>,
    now: EventTime,
    report: &mut Report,
) -> Result<()> {
    let plans: Vec<_> = site.topology.sub_topologies.values().cloned().collect();
    for plan in plans {
        let Some(settings) = Settings::of(&plan) else { continue };
        let outputs = output_topics(&site.topology);
        let is_incident = |topic: &&Topic| {
            site.topology.topics.get(*topic).is_some_and(|planned| planned.content == Content::Fact(FactKind::Incident))
        };
        let topics: Vec<_> = outputs.iter().filter(is_incident).cloned().collect();
        let mut inputs = Inputs::default();
        inputs.read(site, &plan, processed, &settings)?;
        check_dead_letters(site, &plan, &inputs, report)?;
        for topic in topics {
            let incidents = read_incidents(site, &topic, &mut inputs.count, report)?;
            Opinion { site, settings: &settings, inputs: &inputs, now }.check(&topic, &incidents, report);
        }
        report.model = Some(inputs.count);
    }
    Ok(())
}

impl Settings {
    fn of(plan: &SubTopologyPlan) -> Option<Self> {
        let node = |kind: &str| plan.nodes.iter().find(|node| node.kind == kind);
        let incidents = serde_json::from_value(node("incident")?.config.clone()).ok()?;
        let suspects = node("suspects").and_then(|node| serde_json::from_value(node.config.clone()).ok());
        let (mut dropped_names, mut drops_by_more) = (Vec::new(), false);
        let rules = node("level").and_then(|node| node.config.get("rules")?.as_array());
        for rule in rules.into_iter().flatten().filter(|rule| rule.get("drop").is_some_and(|drop| !drop.is_null())) {
            let names =
                rule.pointer("/when/alerts").and_then(|names| names.as_array()).filter(|names| !names.is_empty());
            match names {
                Some(names) => dropped_names.extend(names.iter().filter_map(|name| Some(name.as_str()?.to_owned()))),
                None => drops_by_more = true,
            }
        }
        Some(Self { incidents, suspects, dropped_names, drops_by_more })
    }

    fn group_of(&self, alert: &Alert<'_>) -> Vec<String> {
        let value = |name: &str| match name {
            "environment" => alert.environment.as_deref().or_else(|| alert.labels.get(name)),
            "namespace" => alert.namespace.as_deref().or_else(|| alert.labels.get(name)),
            _ => alert.labels.get(name),
        };
        let names = self.incidents.group_by.iter();
        let mut group: Vec<_> = names.filter_map(|name| Some(format!("{name}={}", value(name)?))).collect();
        group.sort();
        group
    }
}

impl Inputs {
    fn read(
        &mut self,
        site: &mut Site,
        plan: &SubTopologyPlan,
        processed: &BTreeMap<TopicPartition, Offset>,
        settings: &Settings,
    ) -> Result<()> {
        for (topic, source) in &plan.sources {
            for partition in (0..plan.partitions).map(Partition) {
                let place = TopicPartition::new(topic, partition);
                let end = processed.get(&place).copied().unwrap_or(Offset(0));
                // Schemas that are not known yet can only be asked for between reads.
                let mut unread = Batch::default();
                let formats = site.schemas.formats.clone();
                each_record(&mut site.reader, &place, |record| {
                    let known = record.value.and_then(|value| crate::codec::envelope::open(value).ok());
                    match known {
                        Some((id, _)) if !formats.knows(id) => unread.push(record),
                        _ => self.take(record, read(&formats, source.fact, record), record.offset < end, settings),
                    }
                    Ok(())
                })?;
                site.learn(&unread)?;
                for record in unread.iter() {
                    let fact = read(&site.schemas.formats, source.fact, &record);
                    self.take(&record, fact, record.offset < end, settings);
                }
            }
        }
        Ok(())
    }

    fn take(&mut self, record: &Record<'_>, fact: Option<Fact<'_>>, processed: bool, settings: &Settings) {
        match fact {
            Some(Fact::Alert(alert)) => self.take_alert(&alert, record, processed, settings),
            Some(Fact::Deploy(deploy)) => self.take_deploy(&deploy, record.timestamp, processed),
            Some(_) => {}
            None => {
                self.count.rubbish += 1;
                let id = format!("{}/{}/{}", record.topic, record.partition.0, record.offset.0);
                self.rubbish.insert(id, processed);
            }
        }
    }

    fn take_alert(&mut self, alert: &Alert<'_>, record: &Record<'_>, processed: bool, settings: &Settings) {
        self.count.alerts += 1;
        if processed {
            let reached = self.reached.entry(record.partition).or_insert(record.timestamp);
            *reached = record.timestamp.max(*reached);
        }
        let (at, fires) = (record.timestamp, alert.status == AlertStatus::Firing);
        let told = self.alerts.entry((alert.service.to_string(), alert.fingerprint.to_string())).or_default();
        told.partition = Some(record.partition);
        told.groups.insert(settings.group_of(alert));
        told.fired |= fires;
        told.starts.insert(alert.starts_at_ms);
        let may_be_dropped = settings.drops_by_more || settings.dropped_names.iter().any(|name| **name == *alert.name);
        let out_of_order = match told.last {
            None => !fires,
            Some((before, status, starts)) => {
                before > at || starts > alert.starts_at_ms || before == at && status != alert.status
            }
        };
        told.uncertain |= may_be_dropped || out_of_order || !processed;
        told.last = Some((at, alert.status, alert.starts_at_ms));
    }

    fn take_deploy(&mut self, deploy: &Deploy<'_>, at: EventTime, processed: bool) {
        self.count.deploys += 1;
        let ends_at_ms = match deploy.outcome {
            DeployOutcome::Running => None,
            _ => Some(deploy.finished_at_ms.unwrap_or(at.0)),
        };
        let told = ToldDeploy {
            id: deploy.id.to_string(),
            processed,
            environment: deploy.environment.as_ref().map(|name| name.to_string()),
            is_plain: deploy.kind == DeployKind::Deploy,
            starts_at_ms: deploy.started_at_ms.or(ends_at_ms).unwrap_or(at.0),
            ends_at_ms,
        };
        self.deploys.entry(deploy.service.to_string()).or_default().push(told);
    }
}

/// The fact that the record is; nothing if it is none, or lies under another key.
fn read<'a>(formats: &crate::codec::Formats, kind: FactKind, record: &Record<'a>) -> Option<Fact<'a>> {
    let fact = formats.decode_fact(kind, record.value?).ok()?;
    (fact.key().as_bytes() == record.key?).then_some(fact)
}

fn check_dead_letters(site: &mut Site, plan: &SubTopologyPlan, inputs: &Inputs, report: &mut Report) -> Result<()> {
    let place = TopicPartition::new(&site.topology.names.dead_letters(), Partition(0));
    let (mut letters, mut found) = (BTreeSet::new(), Vec::new());
    let (formats, name) = (&site.schemas.formats, &site.dead_letter.name);
    let ends = each_record(&mut site.reader, &place, |record| {
        let letter: Option<DeadLetter> = record.value.and_then(|value| formats.decode(value, name).ok());
        let Some(letter) = letter.filter(|letter| letter.reader == plan.name) else { return Ok(()) };
        if !inputs.rubbish.contains_key(&letter.id()) {
            found.push((
                Some(record.offset),
                "no dead letter".to_owned(),
                format!("one of {}, which is a fact or not kept any more", letter.id()),
            ));
        } else if !letters.insert(letter.id()) {
            found.push((Some(record.offset), format!("one dead letter of {}", letter.id()), "another one".to_owned()));
        }
        Ok(())
    })?;
    if ends.low == Offset(0) {
        let missing = inputs.rubbish.iter().filter(|(id, processed)| **processed && !letters.contains(*id));
        found.extend(
            missing.map(|(id, _)| (None, format!("a dead letter of {id}, which is no fact"), "none".to_owned())),
        );
    }
    for (offset, expected, told) in found {
        report.differs(site.difference(Kind::Model, (&place, offset), expected, told));
    }
    Ok(())
}

fn read_incidents(
    site: &mut Site,
    topic: &Topic,
    count: &mut ModelReport,
    report: &mut Report,
) -> Result<BTreeMap<String, Last>> {
    let mut incidents: BTreeMap<String, Last> = BTreeMap::new();
    let partitions = site.topology.topics.get(topic).map_or(1, |planned| planned.partitions);
    for partition in (0..partitions).map(Partition) {
        let (place, mut found) = (TopicPartition::new(topic, partition), Vec::new());
        let formats = &site.schemas.formats;
        each_record(&mut site.reader, &place, |record| {
            let Some(Fact::Incident(incident)) = read(formats, FactKind::Incident, record) else {
                found.push((
                    record.offset,
                    "an incident under its service's key".to_owned(),
                    "another record".to_owned(),
                ));
                return Ok(());
            };
            count.snapshots += 1;
            let before = incidents.get(&incident.id);
            let expected = before.map_or(1, |before| before.incident.version + 1);
            let elsewhere = before.is_some_and(|before| before.place != place);
            if elsewhere || incident.version != expected && (before.is_some() || incident.version < 1) {
                let expected = format!("version {expected} of {} in the partition of the one before", incident.id);
                found.push((record.offset, expected, format!("version {}", incident.version)));
            }
            let entry = incidents.entry(incident.id.clone()).or_insert_with(|| Last {
                whole: incident.version == 1,
                incident: incident.clone(),
                place: place.clone(),
                offset: record.offset,
                shown: BTreeSet::new(),
                omitted: false,
            });
            entry.shown.extend(incident.alerts.iter().map(|alert| alert.fingerprint.clone()));
            entry.omitted |= incident.alerts_omitted > 0;
            (entry.offset, entry.incident) = (record.offset, incident);
            Ok(())
        })?;
        for (offset, expected, told) in found {
            report.differs(site.difference(Kind::Model, (&place, Some(offset)), expected, told));
        }
    }
    count.incidents += incidents.len() as u64;
    count.open += incidents.values().filter(|last| last.incident.state == IncidentState::Open).count() as u64;
    Ok(incidents)
}

/// What is to be said of the last snapshots.
struct Opinion<'a> {
    site: &'a Site,
    settings: &'a Settings,
    inputs: &'a Inputs,
    now: EventTime,
}

impl Opinion<'_> {
    fn check(&self, topic: &Topic, incidents: &BTreeMap<String, Last>, report: &mut Report) {
        let mut found = Vec::new();
        for last in incidents.values() {
            let said = [self.invented(last), self.ended(last), self.alert_count(last, incidents), self.suspected(last)];
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

    /// A deploy to the same environment that ended shortly before an open incident, and is not suspected.
    fn suspected(&self, last: &Last) -> Option<(String, String)> {
        let (incident, suspects) = (&last.incident, self.settings.suspects.as_ref()?);
        let deploys = self.inputs.deploys.get(&incident.service)?;
        let onset = incident.alerts.iter().map(|alert| alert.starts_at_ms).chain([incident.opened_at_ms]).min()?;
        let window = i64::from(suspects.window_secs) * 1_000;
        let ids: BTreeSet<_> = deploys.iter().map(|deploy| &deploy.id).collect();
        let in_window =
            deploys.iter().filter(|deploy| deploy.ends_at_ms.is_none_or(|end| end >= onset - window)).count();
        let crowded = in_window > suspects.suspects_max as usize || ids.len() > suspects.deploys_max as usize;
        if incident.state != IncidentState::Open || incident.reopened > 0 || crowded || ids.len() < deploys.len() {
            return None;
        }
        // At half-value age a plain deploy still has more points than the most that are taken off it.
        let fades = i64::from(suspects.fades_after_secs) * 1_000;
        let certain = deploys.iter().filter(|deploy| {
            let ended = deploy.ends_at_ms.filter(|end| *end <= onset && *end >= onset - fades.min(window));
            deploy.is_plain
                && deploy.processed
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
