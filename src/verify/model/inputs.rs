//! What was told, read plainly: every alert, deploy and unreadable record of the input topics.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;

use super::super::Site;
use super::super::report::ModelReport;
use super::super::stretch::each_record;
use crate::codec::{Formats, envelope};
use crate::event::{Alert, AlertStatus, Deploy, DeployKind, DeployOutcome, Fact, FactKind};
use crate::operator::incident::Incidents;
use crate::operator::suspects::Suspects;
use crate::record::{Batch, EventTime, Offset, Partition, Record, TopicPartition};
use crate::topology::plan::SubTopologyPlan;

#[derive(Default)]
pub struct Inputs {
    /// By service and fingerprint.
    pub alerts: BTreeMap<(String, String), Told>,
    pub deploys: BTreeMap<String, Vec<ToldDeploy>>,
    /// Records that are no facts, and whether they were processed.
    pub rubbish: BTreeMap<String, bool>,
    /// Of each partition of alerts the latest that was processed.
    pub reached: BTreeMap<Partition, EventTime>,
    pub count: ModelReport,
}

/// What was told of one fingerprint.
#[derive(Default)]
pub struct Told {
    pub groups: BTreeSet<Vec<String>>,
    pub fired: bool,
    pub starts: BTreeSet<i64>,
    /// The last telling.
    pub last: Option<(EventTime, AlertStatus, i64)>,
    /// Told out of order, perhaps dropped by a rule, or not processed to the end: nothing is certain of it.
    pub uncertain: bool,
    pub partition: Option<Partition>,
}

pub struct ToldDeploy {
    pub id: String,
    pub processed: bool,
    pub environment: Option<String>,
    pub is_plain: bool,
    pub starts_at_ms: i64,
    pub ends_at_ms: Option<i64>,
}

/// What of the operators' configuration decides what must be so.
pub struct Settings {
    pub incidents: Incidents,
    pub suspects: Option<Suspects>,
    pub dropped_names: Vec<String>,
    pub drops_by_more: bool,
}

impl Settings {
    pub fn of(plan: &SubTopologyPlan) -> Option<Self> {
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
    pub fn read(
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
                    let known = record.value.and_then(|value| envelope::open(value).ok());
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
pub fn read<'a>(formats: &Formats, kind: FactKind, record: &Record<'a>) -> Option<Fact<'a>> {
    let fact = formats.decode_fact(kind, record.value?).ok()?;
    (fact.key().as_bytes() == record.key?).then_some(fact)
}
