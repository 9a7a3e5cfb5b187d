//! Watches the demo from outside, as a consumer of its topics would, and says in the end what came of it.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use hdrhistogram::Histogram;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;

use super::SPEED;
use crate::app::App;
use crate::clock::Clock;
use crate::codec::Formats;
use crate::embedded::slack::FakeSlack;
use crate::embedded::slack::workspace::EventKind;
use crate::event::{Fact, FactKind, IncidentState, SlackStatus};
use crate::topology::plan::{Content, Topology};

/// Nothing new for so long in real time: the demo is quiet.
const QUIET: Duration = Duration::from_secs(4);

/// What was seen on the topics.
struct Seen {
    /// When each version of an incident changed, by the fast clock.
    changed_at_ms: BTreeMap<(String, i32), i64>,
    open: BTreeMap<String, bool>,
    /// From received to readable on the incidents topic, and from received to answered by Slack, in microseconds.
    decided: Histogram<u64>,
    told: Histogram<u64>,
    last: Instant,
}

pub struct Watch {
    seen: Arc<Mutex<Seen>>,
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Watch {
    pub fn start(app: &App, topology: &Topology, clock: Clock) -> Result<Self> {
        let topics: Vec<(String, FactKind)> = topology
            .topics
            .iter()
            .filter_map(|(topic, planned)| match planned.content {
                Content::Fact(kind @ (FactKind::Incident | FactKind::SlackOutcome)) => Some((topic.to_string(), kind)),
                _ => None,
            })
            .collect();
        let mut config = app.connection().consumer(&format!("{}.demo", topology.names.application()));
        config.set("auto.offset.reset", "earliest").set("fetch.wait.max.ms", "20");
        let consumer: BaseConsumer = config.create()?;
        consumer.subscribe(&topics.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>())?;
        let histogram = || Histogram::new_with_max(60_000_000, 3).map_err(|error| anyhow!("{error}"));
        let (decided, told) = (histogram()?, histogram()?);
        let (changed_at_ms, open, last) = (BTreeMap::new(), BTreeMap::new(), Instant::now());
        let seen = Arc::new(Mutex::new(Seen { changed_at_ms, open, decided, told, last }));
        let stop = Arc::new(AtomicBool::new(false));
        let (shared, stopped, formats) = (seen.clone(), stop.clone(), app.formats().clone());
        let work = move || {
            while !stopped.load(Ordering::Relaxed) {
                let Some(Ok(message)) = consumer.poll(Duration::from_millis(100)) else { continue };
                let now_ms = clock.now().0;
                let kind = topics.iter().find(|(name, _)| name == message.topic()).map(|(_, kind)| *kind);
                if let (Some(kind), Some(value)) = (kind, message.payload()) {
                    shared.lock().unwrap_or_else(PoisonError::into_inner).take(kind, value, now_ms, &formats);
                }
            }
        };
        let thread = std::thread::Builder::new().name("demo-watch".into()).spawn(work).context("no thread")?;
        Ok(Self { seen, stop, thread: Some(thread) })
    }

    /// Returns once nothing has come for a while.
    pub async fn until_quiet(&self, slack: &FakeSlack, patience: Duration) -> Result<()> {
        let until = Instant::now() + patience;
        let mut events = 0;
        loop {
            let now = slack.inspect(|workspace, _| workspace.events().count());
            let quiet = {
                let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
                if now != events {
                    (events, seen.last) = (now, Instant::now());
                }
                seen.last.elapsed() > QUIET
            };
            if quiet {
                return Ok(());
            }
            anyhow::ensure!(Instant::now() < until, "the demo did not become quiet within {patience:?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    pub fn summary(&self, requests: usize, slack: &FakeSlack) -> String {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let count = |kind| slack.inspect(|workspace, _| workspace.events().filter(|event| event.kind == kind).count());
        let (posted, changed) = (count(EventKind::Posted), count(EventKind::Changed));
        let open = seen.open.values().filter(|open| **open).count();
        let line = |name: &str, told: &Histogram<u64>| {
            let ms = |quantile| millis(told.value_at_quantile(quantile));
            format!("{name:<34} p50 {:>7}   p99 {:>7}   ({} measured)", ms(0.5), ms(0.99), told.len())
        };
        [
            format!("requests sent                      {requests}"),
            format!("incidents                          {} ({open} still open)", seen.open.len()),
            format!("Slack messages posted              {posted}"),
            format!("Slack messages rewritten           {changed}"),
            line("request to incident on its topic", &seen.decided),
            line("request to Slack's answer", &seen.told),
        ]
        .join("\n")
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::warn!("the demo's watch panicked");
        }
    }
}

impl Seen {
    fn take(&mut self, kind: FactKind, value: &[u8], now_ms: i64, formats: &Formats) {
        self.last = Instant::now();
        match formats.decode_fact(kind, value) {
            Ok(Fact::Incident(incident)) => {
                record(&mut self.decided, now_ms - incident.changed_at_ms);
                self.open.insert(incident.id.clone(), incident.state == IncidentState::Open);
                self.changed_at_ms.insert((incident.id, incident.version), incident.changed_at_ms);
            }
            Ok(Fact::SlackOutcome(outcome)) if outcome.status == SlackStatus::Done => {
                if let Some(changed_at_ms) = self.changed_at_ms.get(&(outcome.incident_id, outcome.version)) {
                    record(&mut self.told, outcome.at_ms - changed_at_ms);
                }
            }
            _ => {}
        }
    }
}

/// Milliseconds of the fast clock as microseconds of real time.
fn record(histogram: &mut Histogram<u64>, fast_ms: i64) {
    let micros = u64::try_from(fast_ms).unwrap_or(0).saturating_mul(1_000) / u64::from(SPEED);
    histogram.saturating_record(micros);
}

fn millis(micros: u64) -> String {
    format!("{}.{} ms", micros / 1_000, micros % 1_000 / 100)
}

/// One line that stays in place on a terminal; elsewhere a line now and then.
pub fn progress(done: usize, all: usize, at_secs: f64, slack: &FakeSlack) {
    let posted = slack.inspect(|workspace, _| workspace.events().filter(|e| e.kind == EventKind::Posted).count());
    // Bounded by the length of the night.
    let minutes = (at_secs / 60.0) as u64;
    let line = format!("night +{:02}:{:02}  {done}/{all} requests  {posted} messages", minutes / 60, minutes % 60);
    let mut out = std::io::stdout();
    let written = if out.is_terminal() {
        write!(out, "\r{line}   ").and_then(|()| out.flush())
    } else if done == all || done.is_multiple_of(20) {
        writeln!(out, "{line}")
    } else {
        Ok(())
    };
    // A closed pipe must not end the demo.
    drop(written);
}
