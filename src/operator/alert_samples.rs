//! Alerts as series, so that rules of trends can watch them: what an alert measures, and how often alerts of a name begin.
//!
//! ```text
//!  alert ──► alert_value{alertname,service,environment,namespace,fingerprint}      its value, if it has one
//!        └─► alert_episodes_total{alertname,service,environment,namespace}         a counter: one more for each episode that fires
//! ```
//!
//! Both are told at each telling of an alert, at its time. The labels are those that stay the same over an alert's episodes; the
//! counter is of a name, because an alert of a pod that is gone never comes again. *Remembers* of each alert its last episode, and the
//! counters. *Forgets* what was not told for a week, and the one told longest ago when there are too many; a counter that is told
//! again begins anew, as counters do. *Never* takes a detection of a trend: what is said of series would become series without end.

use serde::{Deserialize, Serialize};

use super::{Operator, Port};
use crate::event::words::identity;
use crate::event::{Alert, AlertStatus, Fact, FactKind, Sample, Text};
use crate::record::EventTime;
use crate::trend;
use crate::trend::series::{NAME, Series};

const FORGET_AFTER_MS: i64 = 7 * 86_400_000;
const ALERTS_MAX: usize = 1_000;
const COUNTERS_MAX: usize = 1_000;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AlertSamples {}

#[derive(Debug)]
pub enum Event {
    Measured(Box<Sample<'static>>),
    Heard { episode: Episode, counter: Counter },
    Forgot { before: EventTime },
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    episodes: Vec<Episode>,
    counters: Vec<Counter>,
}

/// The last one that fired of an alert.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Episode {
    fingerprint: String,
    starts_at_ms: i64,
    /// Its name, if its source does not tell its start.
    name: Option<String>,
    told_at_ms: i64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Counter {
    alert: String,
    environment: Option<String>,
    namespace: Option<String>,
    total: i64,
    told_at_ms: i64,
}

impl Operator for AlertSamples {
    const KIND: &'static str = "alert_samples";
    const INPUTS: &'static [FactKind] = &[FactKind::Alert];
    const PORTS: &'static [(Port, FactKind)] = &[("sample", FactKind::Sample)];
    const STATE_SCHEMA: &'static str = include_str!("../../schemas/state/alert_samples.avsc");
    /// Detections of trends, which is all that samples lead to, are not taken.
    const COME_TO_REST: &'static [FactKind] = &[FactKind::Alert];

    type Input<'a> = Alert<'a>;
    type Event = Event;
    type State = State;

    fn decide(&self, state: &State, alert: &Alert<'_>, at: EventTime) -> Vec<Event> {
        if *alert.source == *trend::SOURCE {
            return Vec::new();
        }
        let fingerprint = identity(&alert.fingerprint);
        let known = state.episodes.iter().find(|known| known.fingerprint == fingerprint);
        let mut counter = state.counter_of(alert);
        let begins = alert.status == AlertStatus::Firing && known.is_none_or(|known| known.is_before(alert));
        counter.total = counter.total.saturating_add(i64::from(begins));
        counter.told_at_ms = at.0;
        let value = alert.value.filter(|value| value.is_finite());
        let value = value.map(|value| measured("alert_value", alert, Some(&alert.fingerprint), value, at));
        if counter.total == 0 {
            // The end of what nobody heard begin.
            return value.into_iter().collect();
        }
        let total = measured("alert_episodes_total", alert, None, counter.total as f64, at);
        let episode = known.filter(|_| !begins).cloned().unwrap_or_else(|| Episode::of(alert));
        let heard = Event::Heard { episode: Episode { told_at_ms: at.0, ..episode }, counter };
        value.into_iter().chain([total, heard]).collect()
    }

    fn evolve(mut state: State, event: &Event) -> State {
        match event {
            Event::Measured(_) => {}
            Event::Heard { episode, counter } => {
                state.episodes.retain(|known| known.fingerprint != episode.fingerprint);
                state.episodes.push(episode.clone());
                state.counters.retain(|known| !known.is_same(counter));
                state.counters.push(counter.clone());
                // The one told longest ago stands first.
                state.episodes.drain(..state.episodes.len().saturating_sub(ALERTS_MAX));
                state.counters.drain(..state.counters.len().saturating_sub(COUNTERS_MAX));
            }
            Event::Forgot { before } => {
                state.episodes.retain(|known| known.told_at_ms > before.0);
                state.counters.retain(|known| known.told_at_ms > before.0);
            }
        }
        state
    }

    fn deadline(&self, state: &State) -> Option<EventTime> {
        let episodes = state.episodes.iter().map(|known| known.told_at_ms);
        let first = episodes.chain(state.counters.iter().map(|known| known.told_at_ms)).min()?;
        Some(EventTime(first).plus_ms(FORGET_AFTER_MS))
    }

    fn due(&self, _: &State, at: EventTime) -> Vec<Event> {
        vec![Event::Forgot { before: at.plus_ms(-FORGET_AFTER_MS) }]
    }

    fn publish(event: Event) -> Option<(Port, Fact<'static>)> {
        match event {
            Event::Measured(sample) => Some(("sample", Fact::Sample(*sample))),
            Event::Heard { .. } | Event::Forgot { .. } => None,
        }
    }
}

impl State {
    fn counter_of(&self, alert: &Alert<'_>) -> Counter {
        let text = |text: &Option<Text<'_>>| text.as_deref().map(identity);
        let new = Counter {
            alert: identity(&alert.name),
            environment: text(&alert.environment),
            namespace: text(&alert.namespace),
            total: 0,
            told_at_ms: 0,
        };
        self.counters.iter().find(|known| known.is_same(&new)).cloned().unwrap_or(new)
    }
}

impl Episode {
    fn of(alert: &Alert<'_>) -> Self {
        Self {
            fingerprint: identity(&alert.fingerprint),
            starts_at_ms: alert.starts_at_ms,
            name: alert.episode.as_deref().map(identity),
            told_at_ms: 0,
        }
    }

    /// Whether the alert is told of a later episode. One without a start is another if its name is.
    fn is_before(&self, alert: &Alert<'_>) -> bool {
        let same_name = alert.episode.is_some() && self.name == alert.episode.as_deref().map(identity);
        self.starts_at_ms < alert.starts_at_ms && !same_name
    }
}

impl Counter {
    fn is_same(&self, other: &Self) -> bool {
        (&self.alert, &self.environment, &self.namespace) == (&other.alert, &other.environment, &other.namespace)
    }
}

/// Names too long for a series stand by their hash, so that each is still one of its own.
fn measured(metric: &str, alert: &Alert<'_>, fingerprint: Option<&str>, value: f64, at: EventTime) -> Event {
    let labels = [
        (NAME, Some(metric)),
        ("alertname", Some(&*alert.name)),
        ("service", Some(&*alert.service)),
        ("environment", alert.environment.as_deref()),
        ("namespace", alert.namespace.as_deref()),
        ("fingerprint", fingerprint),
    ];
    let labels = labels.into_iter().filter_map(|(name, value)| Some((Text::from(name), Text::from(identity(value?)))));
    let series = Series::of(labels).expect("names that differ, and a metric").to_string();
    Event::Measured(Box::new(Sample { series: series.into(), at_ms: at.0, value }))
}

#[cfg(test)]
mod tests {
    use super::super::script::{self, Run};
    use super::*;

    fn told(run: &Run<State>) -> Vec<String> {
        let line = |(at, port, fact): &(EventTime, &str, Fact<'static>)| match fact {
            Fact::Sample(sample) if *port == "sample" && sample.at_ms == at.0 => {
                format!("{} {} {}", script::clock(*at), sample.series, sample.value)
            }
            _ => panic!("{port}"),
        };
        run.told.iter().map(line).collect()
    }

    #[test]
    fn values_and_episodes_are_series_of_labels_that_stay() {
        let run = script::run(
            &AlertSamples::default(),
            "0:00 fire a1 name=Errors env=prod ns=web value=5 pod=x
             1:00 fire a1 name=Errors env=prod ns=web value=7 pod=x
             2:00 resolve a1 name=Errors env=prod ns=web
             3:00 fire a1 name=Errors env=prod ns=web pod=y
             4:00 fire a2 name=Errors env=prod ns=web
             5:00 fire a2 name=Errors env=prod ns=web starts=1:00
             6:00 resolve b1 name=Unheard value=3",
        );
        let value =
            r#"alert_value{alertname="Errors",environment="prod",fingerprint="a1",namespace="web",service="shop"}"#;
        let total = r#"alert_episodes_total{alertname="Errors",environment="prod",namespace="web",service="shop"}"#;
        let expected = [
            format!("0:00 {value} 5"),
            format!("0:00 {total} 1"),
            format!("1:00 {value} 7"),
            format!("1:00 {total} 1"),
            format!("2:00 {total} 1"),
            format!("3:00 {total} 2"),
            format!("4:00 {total} 3"),
            // Of an episode before the last.
            format!("5:00 {total} 3"),
            r#"6:00 alert_value{alertname="Unheard",fingerprint="b1",service="shop"} 3"#.to_owned(),
        ];
        assert_eq!(told(&run), expected);
    }

    #[test]
    fn a_source_that_tells_no_start_begins_an_episode_by_its_name() {
        let run = script::run(
            &AlertSamples::default(),
            "0:00 fire a1 name=E episode=one\n1:00 fire a1 name=E episode=one\n2:00 fire a1 name=E episode=two",
        );
        let totals: Vec<_> = told(&run).iter().map(|line| line.rsplit(' ').next().unwrap().to_owned()).collect();
        assert_eq!(totals, ["1", "1", "2"]);
    }

    #[test]
    fn a_detection_of_a_trend_is_no_series_and_all_is_forgotten_in_the_end() {
        let mut lines = script::lines("0:00 fire a1 value=1\n0:01 fire a2 value=1\n20000:00 wait");
        if let script::Line::Fact(Fact::Alert(alert)) = &mut lines[0].1 {
            alert.source = trend::SOURCE.into();
        }
        let run = script::feed(&AlertSamples::default(), lines);
        assert!(told(&run).iter().all(|line| line.starts_with("0:01 ")) && run.told.len() == 2);
        assert!(run.states.is_empty());
    }

    #[test]
    fn what_is_remembered_is_bounded_and_its_names_are_no_longer_than_a_series() {
        let long = "ä\"".repeat(2_000);
        let line = |number: i64| format!("0:01 fire {number}{long} name={number}{long} env={long} ns={long} value=1\n");
        let run = script::run(&AlertSamples::default(), &(0..1_100).map(line).collect::<String>());
        assert_eq!(run.states["shop"].episodes.len(), ALERTS_MAX);
        assert_eq!(run.states["shop"].counters.len(), COUNTERS_MAX);
        for (_, _, fact) in &run.told {
            assert!(fact.key().len() <= crate::trend::series::BYTES_MAX && Series::parse(fact.key()).is_ok());
        }
    }

    #[test]
    fn the_schema_says_the_same_defaults() {
        script::defaults_agree::<AlertSamples>();
    }
}
