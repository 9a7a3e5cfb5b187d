//! A second opinion that trusts neither the journal nor the engine: a plain model that reads what came in and what incidents say.
//!
//! *Proves*, however batches were cut and whoever processed them: every revision of an incident is there once, in order, in one
//! partition; no incident holds an alert or a suspect that nobody told; every alert that fired is in an incident of its group;
//! an incident whose alerts all ended long enough ago is resolved, one with an alert that fires is open; an incident that is its
//! group's only one holds as many alerts as were told; a deploy just before an open incident began, for the first time if it
//! reopened, is among its suspects; and every record that cannot be a fact has exactly one dead letter, no other has any.
//!
//! *Cannot prove* what depends on how records met: levels and mentions, counts of repetitions and flaps, scores, when a snapshot
//! was made, what was told while a rule dropped alerts by more than their names. `recompute` has that, with the journal's help.
//! Alerts of one fingerprint that were told out of order, and incidents whose first revision retention has taken, are left out.
//! Only what the group has committed must have had its effect; a deadline must have been met if an alert after it was processed.
//! Effects are read before what they came of, so that of an application that runs on none is met whose cause is not.
//!
//! Memory: some 200 bytes an alert's fingerprint, a deploy, and an incident.

mod inputs;
mod opinion;

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;

use super::Site;
use super::live::output_topics;
use super::report::{Kind, ModelReport, Report};
use super::stretch::each_record;
use crate::event::{Fact, FactKind, Incident, IncidentState};
use crate::record::{EventTime, Offset, Partition, Topic, TopicPartition};
use crate::topology::dead_letter::DeadLetter;
use crate::topology::plan::{Content, SubTopologyPlan};
use inputs::{Inputs, Settings, read};
use opinion::Opinion;

/// The last snapshot of an incident, and where it is.
struct Last {
    incident: Incident,
    place: TopicPartition,
    offset: Offset,
    whole: bool,
    /// As its first snapshot has it: the first start among its alerts, or when it was opened.
    onset_at_ms: i64,
    /// Every fingerprint that it ever showed.
    shown: BTreeSet<String>,
    omitted: bool,
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
        let letters = read_letters(site, &plan)?;
        let mut incidents = Vec::with_capacity(topics.len());
        for topic in &topics {
            incidents.push((topic, read_incidents(site, topic, &mut inputs.count, report)?));
        }
        inputs.read(site, &plan, processed, &settings)?;
        check_letters(site, &letters, &inputs, report);
        for (topic, incidents) in incidents {
            Opinion { site, settings: &settings, inputs: &inputs, now }.check(topic, &incidents, report);
        }
        report.model = Some(inputs.count);
    }
    Ok(())
}

/// The plan's dead letters: which record each is of, and where they begin.
struct Letters {
    place: TopicPartition,
    low: Offset,
    of: Vec<(Offset, String)>,
}

fn read_letters(site: &mut Site, plan: &SubTopologyPlan) -> Result<Letters> {
    let place = TopicPartition::new(&site.topology.names.dead_letters(), Partition(0));
    let mut of = Vec::new();
    let (formats, name) = (&site.schemas.formats, &site.dead_letter.name);
    let ends = each_record(&mut site.reader, &place, |record| {
        let letter: Option<DeadLetter> = record.value.and_then(|value| formats.decode(value, name).ok());
        of.extend(letter.filter(|letter| letter.reader == plan.name).map(|letter| (record.offset, letter.id())));
        Ok(())
    })?;
    Ok(Letters { place, low: ends.low, of })
}

fn check_letters(site: &Site, Letters { place, low, of }: &Letters, inputs: &Inputs, report: &mut Report) {
    let (mut seen, mut found) = (BTreeSet::new(), Vec::new());
    for (offset, id) in of {
        if !inputs.rubbish.contains_key(id) {
            let told = format!("one of {id}, which is a fact or not kept any more");
            found.push((Some(*offset), "no dead letter".to_owned(), told));
        } else if !seen.insert(id) {
            found.push((Some(*offset), format!("one dead letter of {id}"), "another one".to_owned()));
        }
    }
    if *low == Offset(0) {
        let missing = inputs.rubbish.iter().filter(|(id, processed)| **processed && !seen.contains(*id));
        found.extend(
            missing.map(|(id, _)| (None, format!("a dead letter of {id}, which is no fact"), "none".to_owned())),
        );
    }
    for (offset, expected, told) in found {
        report.differs(site.difference(Kind::Model, (place, offset), expected, told));
    }
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
                onset_at_ms: incident
                    .alerts
                    .iter()
                    .map(|alert| alert.starts_at_ms)
                    .fold(incident.opened_at_ms, i64::min),
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
