//! An operator for tests: numbers everything a key tells, and says when the key has gone quiet.

use serde::{Deserialize, Serialize};

use crate::event::{Alert, AlertStatus, Fact, FactKind, Mention};
use crate::operator::{Operator, Port};
use crate::record::EventTime;

pub const QUIET_MS: i64 = 1_000;
pub const QUIET: &str = "quiet";

pub struct Ledger;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Counts {
    pub alerts: i64,
    pub deploys: i64,
    pub quiet_at_ms: Option<i64>,
}

pub enum Input {
    Alert { service: String, id: String },
    Deploy { service: String, id: String },
}

pub enum Event {
    Alert(Told),
    Deploy(Told),
    Quiet(Told),
}

pub struct Told {
    service: String,
    id: String,
    number: i64,
    at: EventTime,
}

impl<'a> TryFrom<Fact<'a>> for Input {
    type Error = ();

    fn try_from(fact: Fact<'a>) -> Result<Self, ()> {
        match fact {
            Fact::Alert(alert) => {
                Ok(Self::Alert { service: alert.service.to_string(), id: alert.fingerprint.to_string() })
            }
            Fact::Deploy(deploy) => Ok(Self::Deploy { service: deploy.service.to_string(), id: deploy.id.to_string() }),
            _ => Err(()),
        }
    }
}

impl Operator for Ledger {
    const KIND: &'static str = "ledger";
    const INPUTS: &'static [FactKind] = &[FactKind::Alert, FactKind::Deploy];
    const PORTS: &'static [(Port, FactKind)] = &[("told", FactKind::Alert)];
    const STATE_SCHEMA: &'static str = r#"{"type": "record", "name": "Counts", "fields": [
        {"name": "alerts", "type": "long"}, {"name": "deploys", "type": "long"},
        {"name": "quiet_at_ms", "type": ["null", "long"]}]}"#;

    type Input<'a> = Input;
    type Event = Event;
    type State = Counts;

    fn decide(&self, state: &Counts, input: &Input, at: EventTime) -> Vec<Event> {
        let told =
            |service: &String, id: &String, number| Told { service: service.clone(), id: id.clone(), number, at };
        vec![match input {
            Input::Alert { service, id } => Event::Alert(told(service, id, state.alerts + 1)),
            Input::Deploy { service, id } => Event::Deploy(told(service, id, state.deploys + 1)),
        }]
    }

    fn evolve(state: Counts, event: &Event) -> Counts {
        let quiet_at = |at: EventTime| state.quiet_at_ms.max(Some(at.0 + QUIET_MS));
        match event {
            Event::Alert(told) => Counts { alerts: told.number, quiet_at_ms: quiet_at(told.at), ..state },
            Event::Deploy(told) => Counts { deploys: told.number, quiet_at_ms: quiet_at(told.at), ..state },
            Event::Quiet(_) => Counts { quiet_at_ms: None, ..state },
        }
    }

    fn deadline(&self, state: &Counts) -> Option<EventTime> {
        state.quiet_at_ms.map(EventTime)
    }

    fn due(&self, state: &Counts, at: EventTime) -> Vec<Event> {
        let number = state.alerts + state.deploys;
        vec![Event::Quiet(Told { service: QUIET.to_owned(), id: QUIET.to_owned(), number, at })]
    }

    fn publish(event: Event) -> Option<(Port, Fact<'static>)> {
        let (Event::Alert(told) | Event::Deploy(told) | Event::Quiet(told)) = event;
        Some(("told", Fact::Alert(alert(&told.service, &told.id, Some(told.number as f64)))))
    }
}

pub fn alert(service: &str, id: &str, value: Option<f64>) -> Alert<'static> {
    Alert {
        source: "test".into(),
        fingerprint: id.to_owned().into(),
        starts_at_ms: 0,
        ends_at_ms: None,
        status: AlertStatus::Firing,
        service: service.to_owned().into(),
        name: "test".into(),
        environment: None,
        namespace: None,
        labels: Default::default(),
        annotations: Default::default(),
        value,
        generator_url: None,
        level: None,
        mention: Mention::Nobody,
        level_reason: None,
        episode: None,
        muted_until_ms: None,
        muted_by: None,
    }
}
