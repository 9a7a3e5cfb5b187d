//! Says of every incident which deploys of its service may have caused it, ranked, with the reasons.
//!
//! ```text
//!  incident ──► ranked against the remembered deploys ──► incident, with suspects
//!  deploy ────► remembered; open incidents ranked anew ─► incident, SuspectsChanged, if the ranking is another
//! ```
//!
//! *Remembers* recent deploys, and of each incident when it began, when it reopened, and the last snapshot told. *Forgets* a
//! deploy after twice the window, unless a remembered incident may be its doing; a resolved incident, which may reopen, after a
//! day; an open one that nobody tells of any more after a week. *Never* mentions anybody by itself, never tells a lower version
//! than before, and never counts what began after an incident among its causes: a reopening moves no beginning, and what came
//! before it is told as that. How points are given: `suspects/rank.rs`.

mod rank;

use serde::{Deserialize, Serialize};

use super::{Operator, Port};
use crate::event::words::clipped;
use crate::event::{
    Deploy, DeployKind, DeployOutcome, Fact, FactKind, Incident, IncidentChange, IncidentState, Mention, Suspect, Text,
};
use crate::record::EventTime;
use rank::{Evidence, Question};

const DAY_MS: i64 = 86_400_000;
const NAME_CHARS_MAX: usize = 200;
const URL_BYTES_MAX: usize = 2_000;

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Suspects {
    /// How long before an incident a deploy may have finished to be suspect.
    pub window_secs: u32,
    /// At this age the time since the deploy counts half.
    pub fades_after_secs: u32,
    /// So long without an incident after a deploy, and it was a healthy one.
    pub healthy_after_secs: u32,
    /// A lower score is not told.
    pub score_min: i32,
    pub suspects_max: u32,
    /// Remembered deploys of one service.
    pub deploys_max: u32,
    /// Remembered incidents of one service.
    pub incidents_max: u32,
}

impl Default for Suspects {
    fn default() -> Self {
        Self {
            window_secs: 7_200,
            fades_after_secs: 1_200,
            healthy_after_secs: 900,
            score_min: 10,
            suspects_max: 5,
            deploys_max: 50,
            incidents_max: 60,
        }
    }
}

#[derive(Clone, Debug)]
pub enum Input<'a> {
    Incident(Incident),
    Deploy(Deploy<'a>),
}

impl<'a> TryFrom<Fact<'a>> for Input<'a> {
    type Error = FactKind;
    fn try_from(fact: Fact<'a>) -> Result<Self, FactKind> {
        match fact {
            Fact::Incident(incident) => Ok(Input::Incident(incident)),
            Fact::Deploy(deploy) => Ok(Input::Deploy(deploy)),
            other => Err(other.kind()),
        }
    }
}

#[derive(Debug)]
pub enum Event {
    Remembered { deploy: Box<KnownDeploy>, deploys_max: u32 },
    Told { known: Box<KnownIncident>, incidents_max: u32 },
    Forgot { deploys: Vec<(String, String)>, incidents: Vec<String> },
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    deploys: Vec<KnownDeploy>,
    incidents: Vec<KnownIncident>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KnownDeploy {
    source: String,
    id: String,
    service: String,
    #[serde(default)]
    environment: Option<String>,
    kind: DeployKind,
    outcome: DeployOutcome,
    version: String,
    #[serde(default)]
    revision: Option<String>,
    #[serde(default)]
    actor: Option<String>,
    #[serde(default)]
    url: Option<String>,
    starts_at_ms: i64,
    #[serde(default)]
    ends_at_ms: Option<i64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KnownIncident {
    told_version: i32,
    onset_at_ms: i64,
    #[serde(default)]
    reopened_at_ms: Option<i64>,
    snapshot: Incident,
}

impl Operator for Suspects {
    const KIND: &'static str = "suspects";
    const INPUTS: &'static [FactKind] = &[FactKind::Incident, FactKind::Deploy];
    const PORTS: &'static [(Port, FactKind)] = &[("incident", FactKind::Incident)];
    const STATE_SCHEMA: &'static str = include_str!("../../schemas/state/suspects.avsc");

    type Input<'a> = Input<'a>;
    type Event = Event;
    type State = State;

    fn problems(&self) -> Vec<String> {
        let numbers = [
            ("window_secs", self.window_secs),
            ("fades_after_secs", self.fades_after_secs),
            ("suspects_max", self.suspects_max),
            ("deploys_max", self.deploys_max),
            ("incidents_max", self.incidents_max),
        ];
        let zero = numbers.iter().filter(|(_, number)| *number == 0);
        let mut problems: Vec<_> = zero.map(|(name, _)| format!("{name}: must be at least 1")).collect();
        if !(0..=100).contains(&self.score_min) {
            problems.push("score_min: scores go from 0 to 100".to_owned());
        }
        problems
    }

    fn decide(&self, state: &State, input: &Input<'_>, at: EventTime) -> Vec<Event> {
        match input {
            Input::Incident(incident) => self.enrich(state, incident).into_iter().collect(),
            Input::Deploy(deploy) => self.remember(state, deploy, at),
        }
    }

    fn evolve(mut state: State, event: &Event) -> State {
        match event {
            Event::Remembered { deploy, deploys_max } => remember(&mut state.deploys, deploy, *deploys_max as usize),
            Event::Told { known, incidents_max } => {
                let id = &known.snapshot.id;
                state.incidents.retain(|other| other.snapshot.id != *id);
                let mut known = (**known).clone();
                if known.snapshot.state == IncidentState::Resolved {
                    // Remembered as a troubled time; what it said is not told again.
                    known.snapshot.alerts.clear();
                }
                state.incidents.push(known);
                while state.incidents.len() > (*incidents_max).max(1) as usize {
                    let least = |known: &&KnownIncident| (known.is_open(), known.snapshot.changed_at_ms);
                    let Some(id) = state.incidents.iter().min_by_key(least).map(|least| least.snapshot.id.clone())
                    else {
                        break;
                    };
                    state.incidents.retain(|known| known.snapshot.id != id);
                }
            }
            Event::Forgot { deploys, incidents } => {
                state.deploys.retain(|known| !deploys.iter().any(|(source, id)| known.is(source, id)));
                state.incidents.retain(|known| !incidents.contains(&known.snapshot.id));
            }
        }
        state
    }

    fn deadline(&self, state: &State) -> Option<EventTime> {
        let deploys = state.deploys.iter().filter(|deploy| !self.is_needed(deploy, state.incidents.iter()));
        let deploys = deploys.map(|deploy| self.forgets_deploy_at(deploy));
        deploys.chain(state.incidents.iter().map(KnownIncident::forgotten_at)).min()
    }

    fn due(&self, state: &State, at: EventTime) -> Vec<Event> {
        let (gone, kept): (Vec<_>, Vec<_>) = state.incidents.iter().partition(|known| known.forgotten_at() <= at);
        // What only these needed goes with them: its own time is over already, and a deadline never goes back.
        let deploys = state
            .deploys
            .iter()
            .filter(|deploy| self.forgets_deploy_at(deploy) <= at && !self.is_needed(deploy, kept.iter().copied()));
        vec![Event::Forgot {
            deploys: deploys.map(|known| (known.source.clone(), known.id.clone())).collect(),
            incidents: gone.iter().map(|known| known.snapshot.id.clone()).collect(),
        }]
    }

    fn publish(event: Event) -> Option<(Port, Fact<'static>)> {
        match event {
            Event::Told { known, .. } => Some(("incident", Fact::Incident(known.snapshot))),
            Event::Remembered { .. } | Event::Forgot { .. } => None,
        }
    }
}

impl Suspects {
    /// The snapshot with its suspects; nothing if it is an old one.
    fn enrich(&self, state: &State, incident: &Incident) -> Option<Event> {
        let before = state.incidents.iter().find(|known| known.snapshot.id == incident.id);
        if before.is_some_and(|before| incident.version <= before.told_version) {
            return None;
        }
        let onset_at_ms = before.map_or_else(|| onset_of(incident), |before| before.onset_at_ms);
        let reopened_at_ms = match incident.change {
            IncidentChange::Reopened => Some(reopening_of(incident)),
            _ => before.and_then(|before| before.reopened_at_ms),
        };
        let version = before.map_or(0, |before| before.snapshot.version).saturating_add(1).max(incident.version);
        let mut known = KnownIncident {
            told_version: incident.version,
            onset_at_ms,
            reopened_at_ms,
            snapshot: Incident { version, ..incident.clone() },
        };
        known.snapshot.suspects = self.suspects(state, &known, &state.deploys);
        let known = Box::new(known);
        Some(Event::Told { known, incidents_max: self.incidents_max })
    }

    fn remember(&self, state: &State, deploy: &Deploy<'_>, at: EventTime) -> Vec<Event> {
        let deploys_max = self.deploys_max;
        let deploy = Box::new(KnownDeploy::of(deploy, at));
        let mut deploys = state.deploys.clone();
        remember(&mut deploys, &deploy, deploys_max as usize);
        if deploys == state.deploys {
            return Vec::new();
        }
        let told = state.incidents.iter().filter(|known| known.is_open()).filter_map(|known| {
            let suspects = self.suspects(state, known, &deploys);
            (suspects != known.snapshot.suspects).then(|| {
                let snapshot = Incident {
                    version: known.snapshot.version.saturating_add(1),
                    change: IncidentChange::SuspectsChanged,
                    mention: Mention::Nobody,
                    changed_at_ms: at.0.max(known.snapshot.changed_at_ms),
                    suspects,
                    ..known.snapshot.clone()
                };
                let known = Box::new(KnownIncident { snapshot, ..known.clone() });
                Event::Told { known, incidents_max: self.incidents_max }
            })
        });
        std::iter::once(Event::Remembered { deploy, deploys_max }).chain(told).collect()
    }

    fn suspects(&self, state: &State, known: &KnownIncident, deploys: &[KnownDeploy]) -> Vec<Suspect> {
        self.rank(known.question(), Evidence { deploys, incidents: &state.incidents })
    }

    /// An incident may be its doing, however long that lasts or however late it reopens.
    fn is_needed<'a>(&self, deploy: &KnownDeploy, incidents: impl Iterator<Item = &'a KnownIncident>) -> bool {
        incidents.map(KnownIncident::question).any(|question| {
            self.may_have_caused(deploy, question.onset_at_ms) || self.preceded_reopening(deploy, question)
        })
    }

    /// Twice the window, for an incident is told some time after it began.
    fn forgets_deploy_at(&self, deploy: &KnownDeploy) -> EventTime {
        EventTime(deploy.effective_at_ms()).plus_ms(2_000 * i64::from(self.window_secs))
    }
}

impl KnownIncident {
    fn question(&self) -> Question<'_> {
        let environment = self.snapshot.environment.as_deref();
        Question { environment, onset_at_ms: self.onset_at_ms, reopened_at_ms: self.reopened_at_ms }
    }

    fn is_open(&self) -> bool {
        self.snapshot.state == IncidentState::Open
    }

    fn forgotten_at(&self) -> EventTime {
        EventTime(self.snapshot.changed_at_ms).plus_ms(if self.is_open() { 7 * DAY_MS } else { DAY_MS })
    }
}

impl KnownDeploy {
    fn of(deploy: &Deploy<'_>, at: EventTime) -> Self {
        let text = |text: &Text<'_>| clipped(text, NAME_CHARS_MAX);
        let ends_at_ms = match deploy.outcome {
            DeployOutcome::Running => None,
            DeployOutcome::Succeeded | DeployOutcome::Failed => Some(deploy.finished_at_ms.unwrap_or(at.0)),
        };
        let starts_at_ms = deploy.started_at_ms.or(ends_at_ms).unwrap_or(at.0);
        Self {
            source: text(&deploy.source),
            id: text(&deploy.id),
            service: deploy.service.to_string(),
            environment: deploy.environment.as_ref().map(text),
            kind: deploy.kind,
            outcome: deploy.outcome,
            version: text(&deploy.version),
            revision: deploy.revision.as_ref().map(text),
            actor: deploy.actor.as_ref().map(text),
            url: deploy.url.as_ref().filter(|url| url.len() <= URL_BYTES_MAX).map(|url| url.to_string()),
            starts_at_ms: starts_at_ms.min(ends_at_ms.unwrap_or(i64::MAX)),
            ends_at_ms,
        }
    }

    fn effective_at_ms(&self) -> i64 {
        self.ends_at_ms.unwrap_or(self.starts_at_ms)
    }

    fn is(&self, source: &str, id: &str) -> bool {
        self.source == source && self.id == id
    }

    fn same_as(&self, other: &Self) -> bool {
        self.is(&other.source, &other.id)
    }

    /// A later telling of the same deploy; that it runs is no news once it has ended.
    fn updated(&self, later: &Self) -> Self {
        if later.outcome == DeployOutcome::Running && self.outcome != DeployOutcome::Running {
            return Self { starts_at_ms: self.starts_at_ms.min(later.starts_at_ms), ..self.clone() };
        }
        Self {
            environment: later.environment.clone().or_else(|| self.environment.clone()),
            revision: later.revision.clone().or_else(|| self.revision.clone()),
            actor: later.actor.clone().or_else(|| self.actor.clone()),
            url: later.url.clone().or_else(|| self.url.clone()),
            starts_at_ms: self.starts_at_ms.min(later.starts_at_ms),
            ..later.clone()
        }
    }
}

/// In order of source and id, the longest past left out when there are too many.
fn remember(deploys: &mut Vec<KnownDeploy>, deploy: &KnownDeploy, deploys_max: usize) {
    match deploys.binary_search_by(|known| (&known.source, &known.id).cmp(&(&deploy.source, &deploy.id))) {
        Ok(known) => deploys[known] = deploys[known].updated(deploy),
        Err(place) => deploys.insert(place, deploy.clone()),
    }
    while deploys.len() > deploys_max.max(1) {
        let oldest = deploys.iter().enumerate().min_by_key(|(_, known)| known.effective_at_ms());
        let Some(oldest) = oldest.map(|(at, _)| at) else { break };
        deploys.remove(oldest);
    }
}

/// When it began: the first start among its alerts.
fn onset_of(incident: &Incident) -> i64 {
    let told = incident.opened_at_ms;
    incident.alerts.iter().map(|alert| alert.starts_at_ms).chain([told]).min().unwrap_or(told)
}

/// When it came back: the first start among the alerts that fire now.
fn reopening_of(incident: &Incident) -> i64 {
    let told = incident.changed_at_ms;
    let firing = incident.alerts.iter().filter(|alert| alert.ends_at_ms.is_none());
    firing.map(|alert| alert.starts_at_ms).chain([told]).min().unwrap_or(told)
}

#[cfg(test)]
mod tests;
