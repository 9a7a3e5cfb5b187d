//! What is remembered of a service's incidents, and how one more telling changes it.
//!
//! Invariants: alerts stand the worst first and are at most as many as the event that added them allowed; whatever still fires
//! and found no room is in `omitted`, so an incident never ends while an alert of it fires unseen.

use serde::{Deserialize, Serialize};

use crate::event::words::short_hash;
use crate::event::{AlertStatus, AlertTrend, Incident, IncidentAlert, IncidentChange, IncidentState, Level, Mention};
use crate::record::EventTime;

/// Beyond so many, omitted alerts are no longer told apart; the count then means "so many or more".
const OMITTED_MAX: usize = 1_000;
/// Ends without a beginning that are remembered of one service.
const ENDED_MAX: usize = 200;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    pub(super) incidents: Vec<Tracked>,
    pub(super) ended: Vec<Ended>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tracked {
    pub id: String,
    pub version: i32,
    pub service: String,
    #[serde(default)]
    pub environment: Option<String>,
    #[serde(default)]
    pub group: Vec<String>,
    pub state: IncidentState,
    pub level: Level,
    pub level_reason: String,
    /// The widest mention since it last opened.
    pub mention: Mention,
    pub opened_at_ms: i64,
    pub changed_at_ms: i64,
    #[serde(default)]
    pub resolved_at_ms: Option<i64>,
    pub reopened: i32,
    pub flaps: i32,
    #[serde(default)]
    pub alerts: Vec<TrackedAlert>,
    #[serde(default)]
    pub omitted: Vec<i64>,
    #[serde(default)]
    pub omitted_told_at_ms: i64,
    #[serde(default)]
    pub left_out: i32,
    #[serde(default)]
    pub runbook_url: Option<String>,
    #[serde(default)]
    pub dashboard_url: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrackedAlert {
    pub fingerprint: String,
    pub phase: Phase,
    pub told_at_ms: i64,
    pub name: String,
    pub level: Level,
    pub starts_at_ms: i64,
    #[serde(default)]
    pub ends_at_ms: Option<i64>,
    pub repeats: i32,
    #[serde(default)]
    pub value: Option<f64>,
    pub summary: String,
    #[serde(default)]
    pub generator_url: Option<String>,
    #[serde(default)]
    pub episode: Option<String>,
    #[serde(default)]
    pub muted_until_ms: Option<i64>,
    #[serde(default)]
    pub muted_by: Option<String>,
    #[serde(default)]
    pub trend: Option<AlertTrend>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    Firing,
    /// Its end was told but is not believed yet: it may be flapping, and counts as firing.
    Quiet,
    Resolved,
    /// Its source fell silent without an end.
    Expired,
}

impl Phase {
    pub fn is_live(self) -> bool {
        matches!(self, Phase::Firing | Phase::Quiet)
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ended {
    pub fingerprint: String,
    pub starts_at_ms: i64,
    pub told_at_ms: i64,
}

impl State {
    /// The incident that knows this alert, an open one first.
    pub fn knowing(&self, fingerprint: &str) -> Option<&Tracked> {
        let known = |one: &&Tracked| one.alert(fingerprint).is_some() || one.omits(fingerprint);
        let mut knowing = self.incidents.iter().filter(known);
        let first = knowing.next()?;
        if first.is_open() { Some(first) } else { knowing.find(|one| one.is_open()).or(Some(first)) }
    }

    pub fn of_group(&self, group: &[String]) -> Option<&Tracked> {
        let mut of_group = self.incidents.iter().filter(|one| one.group == group);
        let first = of_group.next()?;
        if first.is_open() { Some(first) } else { of_group.find(|one| one.is_open()).or(Some(first)) }
    }

    pub fn has_ended(&self, fingerprint: &str, starts_at_ms: i64) -> bool {
        self.ended.iter().any(|ended| ended.fingerprint == fingerprint && ended.starts_at_ms >= starts_at_ms)
    }

    pub fn end(&mut self, ended: &Ended) {
        self.ended.retain(|other| other.fingerprint != ended.fingerprint || other.starts_at_ms > ended.starts_at_ms);
        if self.ended.len() == ENDED_MAX {
            self.ended.remove(0);
        }
        self.ended.push(ended.clone());
    }

    /// Takes over what a snapshot says of the incident itself; its alerts are heard one by one.
    pub fn tell(&mut self, told: &Incident) {
        let known = self.incidents.iter_mut().find(|one| one.id == told.id);
        match known {
            Some(known) => known.take_over(told),
            None => self.incidents.push(Tracked::from_snapshot(told)),
        }
    }
}

impl Tracked {
    pub fn is_open(&self) -> bool {
        self.state == IncidentState::Open
    }

    pub fn alert(&self, fingerprint: &str) -> Option<&TrackedAlert> {
        self.alerts.iter().find(|alert| alert.fingerprint == fingerprint)
    }

    fn omits(&self, fingerprint: &str) -> bool {
        !self.omitted.is_empty() && self.omitted.contains(&short_hash(fingerprint))
    }

    pub fn is_live(&self) -> bool {
        !self.omitted.is_empty() || self.alerts.iter().any(|alert| alert.phase.is_live())
    }

    /// Puts an alert in its place by rank. Who finds no room is remembered as omitted while it fires.
    pub fn hear(&mut self, alert: &TrackedAlert, alerts_max: usize) {
        let known = self.alerts.iter().position(|known| known.fingerprint == alert.fingerprint);
        match known {
            Some(known) => drop(self.alerts.remove(known)),
            None => self.forget_omitted(alert),
        }
        if known.is_none() && !alert.phase.is_live() {
            return;
        }
        let place = self.alerts.partition_point(|other| other.rank() <= alert.rank());
        self.alerts.insert(place, alert.clone());
        while self.alerts.len() > alerts_max.max(1) {
            let Some(last) = self.alerts.pop() else { return };
            if !last.phase.is_live() {
                self.left_out = self.left_out.saturating_add(1);
            } else if self.omitted.len() < OMITTED_MAX {
                self.omitted.push(short_hash(&last.fingerprint));
                self.omitted_told_at_ms = self.omitted_told_at_ms.max(last.told_at_ms);
            }
        }
    }

    fn forget_omitted(&mut self, alert: &TrackedAlert) {
        if self.omitted.is_empty() {
            return;
        }
        let hash = short_hash(&alert.fingerprint);
        let before = self.omitted.len();
        self.omitted.retain(|omitted| *omitted != hash);
        if self.omitted.len() < before {
            self.omitted_told_at_ms = self.omitted_told_at_ms.max(alert.told_at_ms);
        }
    }

    /// Believes the ends told until `quiet_before`, and gives up on what was last heard of until `silent_before`.
    /// Whether anything changed.
    pub fn settle(&mut self, quiet_before: EventTime, silent_before: EventTime) -> bool {
        let mut changed = false;
        for alert in &mut self.alerts {
            let (limit, next) = match alert.phase {
                Phase::Quiet => (quiet_before, Phase::Resolved),
                Phase::Firing => (silent_before, Phase::Expired),
                Phase::Resolved | Phase::Expired => continue,
            };
            if alert.told_at_ms <= limit.0 {
                alert.phase = next;
                changed = true;
            }
        }
        if !self.omitted.is_empty() && self.omitted_told_at_ms <= silent_before.0 {
            self.left_out = self.left_out.saturating_add(saturated(self.omitted.len()));
            self.omitted.clear();
            changed = true;
        }
        self.alerts.sort_by(|a, b| a.rank().cmp(&b.rank()));
        changed
    }

    /// The next snapshot.
    pub fn snapshot(&self, change: IncidentChange, mention: Mention, at: EventTime) -> Incident {
        let over = change == IncidentChange::Resolved;
        let last_heard = self.alerts.iter().map(|alert| alert.told_at_ms).max().unwrap_or(at.0);
        Incident {
            id: self.id.clone(),
            version: self.version.saturating_add(1),
            service: self.service.clone(),
            environment: self.environment.clone(),
            group: self.group.clone(),
            state: if over { IncidentState::Resolved } else { IncidentState::Open },
            change,
            level: self.level,
            level_reason: self.level_reason.clone(),
            mention,
            opened_at_ms: self.opened_at_ms,
            changed_at_ms: at.0,
            resolved_at_ms: over.then_some(last_heard.max(self.omitted_told_at_ms).max(self.opened_at_ms)),
            reopened: self.reopened,
            flaps: self.flaps,
            alerts: self.alerts.iter().map(TrackedAlert::shown).collect(),
            alerts_omitted: saturated(self.omitted.len()).saturating_add(self.left_out),
            suspects: Vec::new(),
            runbook_url: self.runbook_url.clone(),
            dashboard_url: self.dashboard_url.clone(),
            attention: None,
        }
    }

    fn take_over(&mut self, told: &Incident) {
        let anew = matches!(told.change, IncidentChange::Opened | IncidentChange::Reopened);
        self.version = told.version;
        self.state = told.state;
        self.level = told.level;
        self.level_reason.clone_from(&told.level_reason);
        self.mention = if anew { told.mention } else { self.mention.max(told.mention) };
        self.changed_at_ms = told.changed_at_ms;
        self.resolved_at_ms = told.resolved_at_ms;
        self.reopened = told.reopened;
        self.runbook_url.clone_from(&told.runbook_url);
        self.dashboard_url.clone_from(&told.dashboard_url);
    }

    fn from_snapshot(told: &Incident) -> Self {
        Self {
            id: told.id.clone(),
            version: told.version,
            service: told.service.clone(),
            environment: told.environment.clone(),
            group: told.group.clone(),
            state: told.state,
            level: told.level,
            level_reason: told.level_reason.clone(),
            mention: told.mention,
            opened_at_ms: told.opened_at_ms,
            changed_at_ms: told.changed_at_ms,
            resolved_at_ms: told.resolved_at_ms,
            reopened: told.reopened,
            flaps: told.flaps,
            alerts: Vec::new(),
            omitted: Vec::new(),
            omitted_told_at_ms: 0,
            left_out: 0,
            runbook_url: told.runbook_url.clone(),
            dashboard_url: told.dashboard_url.clone(),
        }
    }
}

impl TrackedAlert {
    /// The worst first: what fires, then the higher level, then the older.
    fn rank(&self) -> impl Ord + use<'_> {
        (!self.phase.is_live(), std::cmp::Reverse(self.level), self.starts_at_ms, &self.fingerprint)
    }

    fn shown(&self) -> IncidentAlert {
        let live = self.phase.is_live();
        IncidentAlert {
            fingerprint: self.fingerprint.clone(),
            name: self.name.clone(),
            status: if live { AlertStatus::Firing } else { AlertStatus::Resolved },
            level: self.level,
            starts_at_ms: self.starts_at_ms,
            ends_at_ms: if live { None } else { self.ends_at_ms },
            repeats: self.repeats,
            value: self.value,
            summary: self.summary.clone(),
            generator_url: self.generator_url.clone(),
            muted_until_ms: self.muted_until_ms,
            muted_by: self.muted_by.clone(),
            trend: self.trend.clone().map(|trend| AlertTrend { recovering: live && trend.recovering, ..trend }),
        }
    }
}

fn saturated(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}
