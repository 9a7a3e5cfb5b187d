//! Says to each service that depends on another when an incident of that one may be why its own fail: a cause opens, and closes.
//!
//! ```text
//!  incident of payments, bad enough, people are told ──► Cause, open, to each service that depends on payments
//!  resolved, hidden from people, or forgotten ─────────► Cause, closed
//! ```
//!
//! A cause hides symptoms from people, so it counts only while people are told of it. There are two exceptions: what is in a planned
//! window, of which they know; and what is itself a symptom, for its own cause is told. So of a chain somebody always hears its
//! beginning. A snoozed or silenced cause hides nothing. *Remembers* which incidents it told of to whom, so that a changed catalogue or
//! bound still closes what was opened. *Forgets* a closed one after a day, and closes an open one of which nothing was heard for a
//! week. *Never* says anything twice, nor anything to a service of which nobody says that it depends.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{Operator, Port};
use crate::event::{Cause, Fact, FactKind, Incident, IncidentState, Level, MuteKind};
use crate::record::EventTime;
use crate::services::Services;

const DAY_MS: i64 = 86_400_000;
const INCIDENTS_MAX: usize = 100;

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Dependents {
    /// A lower incident is no cause.
    pub level_at_least: Level,
    /// The topology's section of that name.
    pub services: Services,
}

impl Default for Dependents {
    fn default() -> Self {
        Self { level_at_least: Level::High, services: Services::new() }
    }
}

#[derive(Debug)]
pub enum Event {
    Said(Box<Cause>),
    Known(Known),
    Forgot { at: EventTime },
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    incidents: Vec<Known>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Known {
    incident_id: String,
    version: i32,
    service: String,
    level: Level,
    heard_at_ms: i64,
    /// Services to which it stands open, in order.
    #[serde(default)]
    open_to: BTreeSet<String>,
}

impl Operator for Dependents {
    const KIND: &'static str = "dependents";
    const INPUTS: &'static [FactKind] = &[FactKind::Incident];
    const PORTS: &'static [(Port, FactKind)] = &[("cause", FactKind::Cause)];
    const STATE_SCHEMA: &'static str = include_str!("../../schemas/state/dependents.avsc");
    const SECTIONS: &'static [&'static str] = &["services"];

    type Input<'a> = Incident;
    type Event = Event;
    type State = State;

    fn problems(&self) -> Vec<String> {
        crate::services::dependency_problems(&self.services)
    }

    fn decide(&self, state: &State, incident: &Incident, at: EventTime) -> Vec<Event> {
        let before = state.incidents.iter().find(|known| known.incident_id == incident.id);
        if before.is_some_and(|before| incident.version <= before.version) {
            return Vec::new();
        }
        let open_to = if self.is_cause(incident) { self.dependents_of(&incident.service) } else { BTreeSet::new() };
        if before.is_none() && open_to.is_empty() {
            return Vec::new();
        }
        let known = Known {
            incident_id: incident.id.clone(),
            version: incident.version,
            service: incident.service.clone(),
            level: incident.level,
            heard_at_ms: at.0,
            open_to,
        };
        let mut events = said(before, &known, at);
        events.extend(self.crowded_out(state, &known).into_iter().flat_map(|least| least.closed(at)));
        events.push(Event::Known(known));
        events
    }

    fn evolve(mut state: State, event: &Event) -> State {
        match event {
            Event::Said(_) => {}
            Event::Known(known) => {
                state.incidents.retain(|other| other.incident_id != known.incident_id);
                state.incidents.push(known.clone());
                state.incidents.sort_by_key(|known| (known.open_to.is_empty(), Reverse(known.heard_at_ms)));
                state.incidents.truncate(INCIDENTS_MAX);
            }
            Event::Forgot { at } => state.incidents.retain(|known| known.forgotten_at() > *at),
        }
        state
    }

    fn deadline(&self, state: &State) -> Option<EventTime> {
        state.incidents.iter().map(Known::forgotten_at).min()
    }

    fn due(&self, state: &State, at: EventTime) -> Vec<Event> {
        let gone = state.incidents.iter().filter(|known| known.forgotten_at() <= at);
        gone.flat_map(|known| known.closed(at)).chain([Event::Forgot { at }]).collect()
    }

    fn publish(event: Event) -> Option<(Port, Fact<'static>)> {
        match event {
            Event::Said(cause) => Some(("cause", Fact::Cause(*cause))),
            Event::Known(_) | Event::Forgot { .. } => None,
        }
    }
}

impl Dependents {
    /// Whether it hides its symptoms: it is bad enough, and people are told of it, or know of it, or are told of its own cause.
    fn is_cause(&self, incident: &Incident) -> bool {
        let muted = incident.attention.as_ref().and_then(|attention| attention.muted.as_ref());
        incident.state == IncidentState::Open
            && incident.level >= self.level_at_least
            && muted.is_none_or(|muted| matches!(muted.kind, MuteKind::Maintenance | MuteKind::Symptom))
    }

    fn dependents_of(&self, service: &str) -> BTreeSet<String> {
        let depends = self.services.iter().filter(|(_, of)| of.depends_on.iter().any(|name| name == service));
        depends.map(|(name, _)| name.clone()).collect()
    }

    /// What will have been forgotten to make room for this one: nobody would close it.
    fn crowded_out<'s>(&self, state: &'s State, known: &Known) -> Option<&'s Known> {
        let mut others: Vec<_> =
            state.incidents.iter().filter(|other| other.incident_id != known.incident_id).collect();
        others.sort_by_key(|known| (known.open_to.is_empty(), Reverse(known.heard_at_ms)));
        others.get(INCIDENTS_MAX - 1).copied()
    }
}

impl Known {
    fn cause(&self, dependent: &str, open: bool, at: EventTime) -> Event {
        Event::Said(Box::new(Cause {
            service: dependent.to_owned(),
            cause_service: self.service.clone(),
            incident_id: self.incident_id.clone(),
            version: self.version,
            open,
            level: self.level,
            at_ms: at.0,
        }))
    }

    /// To all that it was open to: it is forgotten, and later than what was told last.
    fn closed(&self, at: EventTime) -> Vec<Event> {
        let last = Self { version: self.version.saturating_add(1), ..self.clone() };
        self.open_to.iter().map(|dependent| last.cause(dependent, false, at)).collect()
    }

    fn forgotten_at(&self) -> EventTime {
        EventTime(self.heard_at_ms).plus_ms(if self.open_to.is_empty() { DAY_MS } else { 7 * DAY_MS })
    }
}

/// What the dependents do not know yet.
fn said(before: Option<&Known>, now: &Known, at: EventTime) -> Vec<Event> {
    let nobody = BTreeSet::new();
    let was_open_to = before.map_or(&nobody, |before| &before.open_to);
    let worse = before.is_some_and(|before| before.level != now.level);
    let closed = was_open_to.difference(&now.open_to).map(|dependent| now.cause(dependent, false, at));
    let opened = now.open_to.iter().filter(|dependent| worse || !was_open_to.contains(*dependent));
    closed.chain(opened.map(|dependent| now.cause(dependent, true, at))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Attention, Muted};
    use crate::operator::script::{self, Line, clock};

    fn dependents() -> Dependents {
        let yaml = "services: { shop: {}, cart: { depends_on: [shop] }, till: { depends_on: [shop, cart] }, blog: {} }";
        let dependents: Dependents = serde_saphyr::from_str(yaml).unwrap();
        assert_eq!(dependents.problems(), Vec::<String>::new());
        dependents
    }

    /// As scripts, with `muted` kinds at the ends of lines.
    fn told(dependents: &Dependents, script: &str) -> Vec<String> {
        let lines = script.lines().map(str::trim).flat_map(|line| {
            let (line, muted) = line.split_once(" muted ").map_or((line, None), |(line, kind)| (line, Some(kind)));
            let muted = muted.map(|kind| Muted {
                kind: serde_json::from_value(kind.into()).expect("a kind"),
                until_ms: None,
                reason: String::new(),
            });
            script::lines(line).into_iter().map(move |(at, mut line)| {
                if let Line::Fact(Fact::Incident(incident)) = &mut line {
                    incident.attention = Some(Attention { muted: muted.clone(), ..Attention::default() });
                }
                (at, line)
            })
        });
        let run = script::feed(dependents, lines);
        let line = |(at, _, fact): &(EventTime, _, Fact<'static>)| {
            let Fact::Cause(cause) = fact else { panic!("causes only") };
            let state = if cause.open { "open" } else { "closed" };
            format!("{} {} {state} to {} {:?}", clock(*at), cause.incident_id, cause.service, cause.level)
        };
        run.told.iter().map(line).collect()
    }

    #[test]
    fn a_cause_is_told_to_all_that_depend_when_it_opens_gets_worse_and_closes_and_only_then() {
        let told = told(
            &dependents(),
            "0:00 incident i1 v=1 level=medium
             1:00 incident i1 v=2 change=escalated level=high
             2:00 incident i1 v=3 change=alerts_changed level=high
             3:00 incident i1 v=4 change=escalated level=critical
             3:01 incident i1 v=2 change=escalated level=high
             4:00 incident i1 v=5 change=resolved level=critical
             5:00 incident c1 v=1 level=high service=cart
             6:00 incident b1 v=1 level=critical service=blog
             6:30 incident c1 v=2 level=high service=cart change=resolved",
        );
        assert_eq!(
            told,
            [
                "1:00 i1 open to cart High",
                "1:00 i1 open to till High",
                "3:00 i1 open to cart Critical",
                "3:00 i1 open to till Critical",
                "4:00 i1 closed to cart Critical",
                "4:00 i1 closed to till Critical",
                "5:00 c1 open to till High",
                "6:30 c1 closed to till High",
            ]
        );
    }

    #[test]
    fn what_people_are_not_told_of_hides_nothing_unless_it_is_planned_or_itself_a_symptom() {
        let told = told(
            &dependents(),
            "0:00 incident c1 v=1 service=cart
             1:00 incident c1 v=2 service=cart change=muted muted symptom
             2:00 incident c1 v=3 service=cart change=muted muted snoozed
             3:00 incident c1 v=4 service=cart change=muted muted maintenance
             4:00 incident c1 v=5 service=cart change=muted muted silenced
             5:00 incident c1 v=6 service=cart change=resolved muted silenced
             10:00 incident c2 v=1 service=cart muted silenced",
        );
        let expected = ["0:00 c1 open", "2:00 c1 closed", "3:00 c1 open", "4:00 c1 closed"];
        assert_eq!(told, expected.map(|line| format!("{line} to till High")));
    }

    #[test]
    fn what_is_forgotten_or_crowded_out_is_closed_and_a_changed_catalogue_closes_what_was_open() {
        let forgotten = told(&dependents(), "0:00 incident c1 v=1 service=cart\n10081:00 wait");
        assert_eq!(forgotten, ["0:00 c1 open to till High", "10080:00 c1 closed to till High"]);
        let many: String = (0..=INCIDENTS_MAX).map(|n| format!("{n}:00 incident c{n} v=1 service=cart\n")).collect();
        let crowded = told(&dependents(), &many);
        assert_eq!(crowded.len(), INCIDENTS_MAX + 2);
        assert!(crowded.contains(&"100:00 c0 closed to till High".to_owned()));

        let incident = |version: i32| {
            let line = format!("0:00 incident i1 v={version} change=alerts_changed");
            let Some((at, Line::Fact(Fact::Incident(incident)))) = script::lines(&line).pop() else { panic!("one") };
            (at, incident)
        };
        let (at, first) = incident(1);
        let (state, _) = crate::operator::step(&dependents(), State::default(), &first, at);
        let (_, events) = crate::operator::step(&Dependents::default(), state, &incident(2).1, at);
        let closed = events.iter().filter(|event| matches!(event, Event::Said(cause) if !cause.open)).count();
        assert_eq!(closed, 2);
    }

    #[test]
    fn the_state_s_defaults_are_its_schema_s_and_a_service_that_nobody_depends_on_leaves_none() {
        script::defaults_agree::<Dependents>();
        assert!(script::run(&dependents(), "0:00 incident b1 v=1 service=blog level=critical").states.is_empty());
    }
}
