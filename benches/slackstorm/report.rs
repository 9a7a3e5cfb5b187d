//! What came of the storm, beside what the limits allow.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use fairlead::event::{Level, SlackAction, SlackActionKind, SlackStatus};

use crate::bounds::{self, Bounds};
use crate::pipeline::{Storm, Told};
use crate::sim::{Counts, START, Sim};

pub struct Report {
    title: String,
    bounds: Bounds,
    /// From the alert to Slack, in milliseconds, sorted.
    critical: Vec<i64>,
    critical_late: usize,
    others: Vec<i64>,
    incidents: usize,
    statuses: BTreeMap<String, u64>,
    unfinished: usize,
    untold: usize,
    wrong_messages: usize,
    doubles: usize,
    storm_ends_ms: i64,
    /// When every root showed its end, and when all was told.
    ended_ms: i64,
    told_ms: i64,
    counts: Counts,
}

impl Report {
    pub fn of(storm: &Storm, told: &Told, sim: &mut Sim) -> Self {
        let roots = told.actions.iter().filter(|(_, action)| action.kind == SlackActionKind::PostRoot);
        let latency = |action: &SlackAction| Some(sim.shown_at.get(&action.id)?.0 - action.created_at_ms);
        let (critical, others): (Vec<_>, Vec<_>) =
            roots.map(|(_, action)| action).partition(|action| action.level == Level::Critical);
        let sorted = |roots: &[&SlackAction]| {
            let mut latencies: Vec<_> = roots.iter().filter_map(|action| latency(action)).collect();
            latencies.sort_unstable();
            latencies
        };
        let (critical_ms, others_ms) = (sorted(&critical), sorted(&others));
        let bounds = bounds::of(&told.actions);
        let late = |action: &&&SlackAction| latency(action) > bounds.critical_roots.get(&action.id).copied();
        let critical_late = critical.iter().filter(late).count();
        let untold = critical.len() + others.len() - critical_ms.len() - others_ms.len();
        let mut statuses: BTreeMap<_, u64> = BTreeMap::new();
        sim.journal().for_each(|outcome| *statuses.entry(format!("{:?}", outcome.status)).or_default() += 1);
        let last = |wanted: &dyn Fn(SlackActionKind) -> bool| {
            let done = sim.journal().filter(|outcome| outcome.status == SlackStatus::Done && wanted(outcome.kind));
            done.map(|outcome| outcome.at_ms).max().unwrap_or(START.0) - START.0
        };
        let (ended_ms, told_ms) = (last(&|kind| kind == SlackActionKind::UpdateRoot), last(&|_| true));
        let (wrong_messages, doubles) = live(storm, told, sim);
        Self {
            title: format!(
                "{} alerts, {} a minute, of {} services into {} channels: {} actions",
                told.alerts,
                storm.alerts_per_minute,
                storm.services,
                storm.channels,
                told.actions.len()
            ),
            bounds,
            incidents: critical.len() + others.len(),
            critical: critical_ms,
            critical_late,
            others: others_ms,
            statuses,
            unfinished: sim.unfinished(),
            untold,
            wrong_messages,
            doubles,
            storm_ends_ms: told.actions.last().map_or(START, |(at, _)| *at).since_ms(START),
            ended_ms,
            told_ms,
            counts: sim.counts.clone(),
        }
    }

    /// Nothing lost, nothing twice, and every thread shows its end.
    pub fn is_whole(&self) -> bool {
        self.unfinished + self.untold + self.wrong_messages + self.doubles == 0
    }

    pub fn is_within_bounds(&self) -> bool {
        let refused = self.counts.answers.contains_key("rate limited");
        !refused && self.critical_late == 0 && self.told_ms - self.storm_ends_ms <= self.bounds.convergence
    }
}

/// Roots that do not show the last state of their incident, or are not there once, and so for logs; and messages that are there twice.
fn live(storm: &Storm, told: &Told, sim: &mut Sim) -> (usize, usize) {
    let (mut roots, mut logs) = (BTreeMap::<&str, &SlackAction>::new(), BTreeMap::<&str, &SlackAction>::new());
    for (_, action) in &told.actions {
        match action.kind {
            SlackActionKind::PostRoot | SlackActionKind::UpdateRoot => _ = roots.insert(&action.incident_id, action),
            SlackActionKind::Log => _ = logs.insert(&action.incident_id, action),
            SlackActionKind::Reply | SlackActionKind::SetGroup => {}
        }
    }
    let (mut live_roots, mut live_logs) = (Live::new(), Live::new());
    let (mut ids, mut doubles) = (BTreeSet::new(), 0);
    for number in 0..storm.channels {
        let messages = sim.workspace.messages(&format!("c{number}"), sim.now.0);
        let there: BTreeSet<_> = messages.iter().map(|(ts, _)| *ts).collect();
        // A thread whose root was deleted is out of everybody's sight.
        for (_, message) in messages.into_iter().filter(|(_, m)| m.thread.is_none_or(|root| there.contains(&root))) {
            let id = message.metadata.as_ref().and_then(|metadata| metadata["event_payload"]["id"].as_str());
            let id = id.unwrap_or_default().to_owned();
            // `<incident>-v<version>-<what>`
            let incident = id.rsplitn(3, '-').last().unwrap_or_default().to_owned();
            // A log that found its thread gone has become the root, and is told again.
            let became_root = message.thread.is_none() && id.ends_with("-log");
            if message.thread.is_none() {
                live_roots.entry(incident).or_default().push(message.text);
            } else if id.ends_with("-log") {
                live_logs.entry(incident).or_default().push(message.text);
            }
            doubles += usize::from(!ids.insert((id, became_root)));
        }
    }
    let open = roots.values().filter(|action| !action.terminal).count();
    (open + wrong(&roots, &live_roots) + wrong(&logs, &live_logs), doubles)
}

/// Texts by incident.
type Live = BTreeMap<String, Vec<String>>;

fn wrong(last: &BTreeMap<&str, &SlackAction>, live: &Live) -> usize {
    let right =
        |incident: &str, action: &SlackAction| live.get(incident).is_some_and(|shown| *shown == [action.text.as_str()]);
    let wrong = last.iter().filter(|(incident, action)| !right(incident, action)).count();
    wrong + live.len().saturating_sub(last.len())
}

fn quantile(sorted: &[i64], of_hundred: usize) -> f64 {
    let place = (sorted.len() * of_hundred).div_ceil(100).saturating_sub(1);
    sorted.get(place).copied().unwrap_or(0) as f64 / 1_000.0
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.title)?;
        let mut line = |what: &str, sorted: &[i64]| {
            let [p50, p99, most] = [50, 99, 100].map(|part| quantile(sorted, part));
            let count = sorted.len();
            writeln!(f, "{what:<34} {count:>5}   p50 {p50:>7.2} s   p99 {p99:>7.2} s   most {most:>7.2} s")
        };
        line("Critical roots, alert to Slack", &self.critical)?;
        let mut allowed: Vec<_> = self.bounds.critical_roots.values().copied().collect();
        allowed.sort_unstable();
        line("  no later than, by the limits", &allowed)?;
        line("other roots, alert to Slack", &self.others)?;
        let seconds = |ms: i64| ms as f64 / 1_000.0;
        let (after, bound) = (self.told_ms - self.storm_ends_ms, self.bounds.convergence);
        writeln!(
            f,
            "the last action came after {:.1} s, every root showed its end {:.1} s later, all was told {:.1} s later (bound {:.1} s)",
            seconds(self.storm_ends_ms),
            seconds(self.ended_ms - self.storm_ends_ms),
            seconds(after),
            seconds(bound)
        )?;
        let Self { incidents, unfinished, untold, wrong_messages, doubles, .. } = self;
        writeln!(
            f,
            "{incidents} incidents: {wrong_messages} roots or logs that are not there once and show the end, {doubles} messages twice, {untold} roots and {unfinished} actions lost"
        )?;
        writeln!(f, "journal {:?}", self.statuses)?;
        write!(f, "calls {:?}, answers {:?}", self.counts.calls, self.counts.answers)
    }
}
