//! The alerts of the storm, and what the operators make of them.

use std::collections::BTreeMap;

use anyhow::{Result, anyhow};
use fairlead::event::{Alert, AlertStatus, Fact, FactKind, Labels, Mention, SlackAction, SlackActionKind};
use fairlead::record::{EventTime, Topic};
use fairlead::topology::catalog::catalog;
use fairlead::topology::compile::compile;
use fairlead::topology::driver::TopologyDriver;
use fairlead::topology::plan::Topology;
use fairlead::topology::spec::SourceFile;

use crate::sim::{Random, START};

const COMMIT_MS: i64 = 100;
const BATCH_RECORDS_MAX: usize = 1_000;
/// Of a service, each an alert of its own.
const NAMES: u64 = 8;
/// After the storm: how long until all that fired has resolved.
const CALM_MS: i64 = 60_000;
/// Longer than an incident has to be quiet until it resolves.
const QUIET_MS: i64 = 400_000;

pub struct Storm {
    pub alerts_per_minute: u64,
    pub minutes: u64,
    pub services: u64,
    pub channels: u64,
    pub critical_percent: u64,
}

pub struct Told {
    pub alerts: u64,
    /// When each is on its topic, in this order.
    pub actions: Vec<(EventTime, SlackAction)>,
}

impl Told {
    /// A log beside every rendering of a root, in the place of those that were told.
    pub fn log_everything(&mut self) {
        let all = std::mem::take(&mut self.actions).into_iter();
        self.actions = all
            .filter(|(_, action)| action.kind != SlackActionKind::Log)
            .flat_map(|(at, action)| {
                let renders = action.kind != SlackActionKind::Reply;
                let log = SlackAction {
                    id: format!("{}-v{}-log", action.incident_id, action.version),
                    kind: SlackActionKind::Log,
                    text: format!("log {}", action.version),
                    terminal: false,
                    ..action.clone()
                };
                [(at, action)].into_iter().chain(renders.then_some((at, log)))
            })
            .collect();
    }
}

impl Storm {
    pub fn run(&self, seed: u64) -> Result<Told> {
        let topology = self.topology()?;
        let mut driver = TopologyDriver::new(&topology, BATCH_RECORDS_MAX)?;
        let (alerts, actions) = (Topic::from("storm.alerts.v1"), Topic::from("storm.actions.v1"));
        let mut coming = self.alerts(&mut Random(seed)).into_iter().peekable();
        let (mut sent, mut wall) = (0, START);
        let last = START.plus_ms(self.minutes as i64 * 60_000 + CALM_MS + QUIET_MS);
        while wall < last {
            wall = wall.plus_ms(COMMIT_MS);
            while let Some((at, alert)) = coming.next_if(|(at, _)| *at <= wall) {
                driver.send(&alerts, &Fact::Alert(alert), at)?;
                sent += 1;
            }
            driver.run(wall)?;
        }
        let facts = driver.facts(&actions, FactKind::SlackAction)?.into_iter();
        let mut actions: Vec<_> = facts
            .filter_map(|(at, fact)| match fact {
                Fact::SlackAction(action) => Some((committed(at), action)),
                _ => None,
            })
            .collect();
        // Stable: actions of one incident stay in the order in which they were told.
        actions.sort_by_key(|(at, _)| *at);
        Ok(Told { alerts: sent, actions })
    }

    fn topology(&self) -> Result<Topology> {
        let rule = |channel| {
            let services = (0..self.services).filter(|service| service % self.channels == channel);
            let services: Vec<_> = services.map(service_name).collect();
            format!("{{ services: [{}], channel: '#c{channel}' }}", services.join(", "))
        };
        let rules: Vec<_> = (0..self.channels).map(rule).collect();
        let text = include_str!("topology.yaml").replace("CHANNELS", &rules.join(", "));
        let compiled = compile(&[SourceFile { name: "topology.yaml".to_owned(), text }], &catalog());
        compiled.topology.ok_or_else(|| anyhow!("{:?}", compiled.problems))
    }

    /// An alert that fires not yet fires; one that does is told again or resolves. At the end all resolve.
    fn alerts(&self, random: &mut Random) -> Vec<(EventTime, Alert<'static>)> {
        let mut firing: BTreeMap<(u64, u64), EventTime> = BTreeMap::new();
        let total = self.alerts_per_minute * self.minutes;
        let mut alerts = Vec::new();
        for number in 0..total {
            let at = START.plus_ms((number * 60_000 / self.alerts_per_minute) as i64);
            let (service, name) = (random.below(self.services), random.below(NAMES));
            let began = *firing.entry((service, name)).or_insert(at);
            let resolves = began < at && random.below(3) == 0;
            if resolves {
                firing.remove(&(service, name));
            }
            alerts.push((at, self.alert(service, name, began, resolves.then_some(at))));
        }
        let end = START.plus_ms(self.minutes as i64 * 60_000);
        for ((service, name), began) in firing {
            let at = end.plus_ms(random.ms(0, CALM_MS));
            alerts.push((at, self.alert(service, name, began, Some(at))));
        }
        alerts.sort_by_key(|(at, _)| *at);
        alerts
    }

    fn alert(&self, service: u64, name: u64, began: EventTime, ended: Option<EventTime>) -> Alert<'static> {
        let severity = match name {
            _ if service % 100 < self.critical_percent => "critical",
            0..2 => "high",
            _ => "warning",
        };
        Alert {
            source: "storm".into(),
            fingerprint: format!("{service}-{name}").into(),
            starts_at_ms: began.0,
            ends_at_ms: ended.map(|at| at.0),
            status: if ended.is_some() { AlertStatus::Resolved } else { AlertStatus::Firing },
            service: service_name(service).into(),
            name: format!("Alert{name}").into(),
            environment: Some("production".into()),
            namespace: Some("shop".into()),
            labels: labels("severity", severity),
            annotations: labels("summary", "more errors than usual for five minutes"),
            value: None,
            generator_url: None,
            level: None,
            mention: Mention::Nobody,
            level_reason: None,
            episode: None,
            muted_until_ms: None,
            muted_by: None,
        }
    }
}

/// The commit after it.
fn committed(at: EventTime) -> EventTime {
    EventTime((at.0 / COMMIT_MS + 1) * COMMIT_MS)
}

fn labels(name: &'static str, value: &'static str) -> Labels<'static> {
    [(name.into(), value.into())].into_iter().collect()
}

fn service_name(number: u64) -> String {
    format!("s{number}")
}
