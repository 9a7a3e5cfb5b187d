//! The calendars of `rotations`, read again and again, and what they say as facts.
//!
//! ```text
//! plan, file, feed ── every so often ──► shifts ── another than told last, or known a day further ──► fact rotation ─► Kafka
//! ```
//! What cannot be fetched, or is no calendar, changes nothing: the last good shifts stay, a warning and the metrics say so, and the operator says
//! when they run out. After a start the shifts are told once more, and several processes tell the same: a telling of the same shifts
//! changes nothing downstream. A fact that Kafka did not take is told again soon.
//!
//! Not here: what a calendar means ([`crate::rotation`]), who is told of a hand-over.

pub mod feed;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use prometheus::{IntCounterVec, IntGaugeVec, Opts, Registry};
use tokio::task::JoinSet;

use super::send::{self, Sender, Sending};
use crate::clock::Clock;
use crate::codec::Formats;
use crate::event::{Fact, Rotation};
use crate::record::{EventTime, Topic};
use crate::rotation::{Reading, Rota};
use feed::{Feed, Fetcher};

/// Where a calendar is.
#[derive(Clone, Debug)]
pub enum Place {
    /// In the topology itself.
    Plan,
    File(PathBuf),
    Feed(Feed),
}

#[derive(Clone, Debug)]
pub struct CalendarsConfig {
    pub rotations: Vec<(String, Rota, Place)>,
    pub topic: Topic,
    pub sending: Sending,
    pub clock: Clock,
}

/// Reading, until dropped.
pub struct Calendars {
    _tasks: JoinSet<()>,
}

/// After Kafka has refused.
const AGAIN: Duration = Duration::from_secs(10);
/// A fact that says nothing new is told so often, for the sake of how far the calendar is known.
const DAY_MS: i64 = 86_400_000;

impl Calendars {
    pub fn start(config: CalendarsConfig, formats: Arc<Formats>, registry: &Registry) -> Result<Self, Error> {
        let sender = Arc::new(Sender::new(config.sending, formats)?);
        let metrics = Metrics::register(registry)?;
        let fetcher = Fetcher::new()?;
        let mut tasks = JoinSet::new();
        for (name, rota, place) in config.rotations {
            let (topic, clock, sender) = (config.topic.clone(), config.clock.clone(), sender.clone());
            let (metrics, fetcher) = (metrics.clone(), fetcher.clone());
            let calendar = Calendar { name, rota: Arc::new(rota), place, topic, clock, sender, metrics, fetcher };
            tasks.spawn(calendar.run());
        }
        Ok(Self { _tasks: tasks })
    }
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Send(#[from] send::Error),
    #[error(transparent)]
    Metrics(#[from] prometheus::Error),
    #[error("no http client for feeds: {0}")]
    Client(#[from] reqwest::Error),
}

/// One of them.
struct Calendar {
    name: String,
    rota: Arc<Rota>,
    place: Place,
    topic: Topic,
    clock: Clock,
    sender: Arc<Sender>,
    metrics: Metrics,
    fetcher: Fetcher,
}

impl Calendar {
    async fn run(self) {
        let every = Duration::from_secs(self.rota.every_secs.into());
        let (mut told, mut complaint) = (None::<Rotation>, Vec::new());
        loop {
            let now = self.clock.now();
            let mut wait = every;
            let read = read(&self.name, self.rota.clone(), &self.place, &self.fetcher, now).await;
            self.metrics.read(&self.name, &read);
            let complaints = match read {
                Ok(Reading { rotation, problems }) => {
                    if is_news(told.as_ref(), &rotation) {
                        match self.tell(rotation.clone(), now).await {
                            Ok(()) => told = Some(rotation),
                            Err(error) => {
                                tracing::warn!(rotation = self.name, %error, "the shifts could not be told yet");
                                wait = wait.min(AGAIN);
                            }
                        }
                    }
                    problems
                }
                Err(why) => vec![why],
            };
            if complaints != complaint {
                complaints
                    .iter()
                    .for_each(|why| tracing::warn!(rotation = self.name, why, "a calendar is not as it should be"));
                complaint = complaints;
            }
            let next = now.plus_ms(i64::try_from(wait.as_millis()).unwrap_or(DAY_MS));
            tokio::time::sleep(self.clock.until(next)).await;
        }
    }

    async fn tell(&self, rotation: Rotation, now: EventTime) -> Result<(), send::Error> {
        let (shifts, fact) = (rotation.shifts.len(), Fact::Rotation(rotation));
        self.sender.send_to(&self.topic, &fact, now).await?;
        tracing::info!(rotation = self.name, shifts, "shifts told");
        Ok(())
    }
}

/// One calendar as it stands.
pub async fn read(
    name: &str,
    rota: Arc<Rota>,
    place: &Place,
    fetcher: &Fetcher,
    now: EventTime,
) -> Result<Reading, String> {
    let text = match place {
        Place::Plan => None,
        Place::File(path) => Some(file(path)?),
        Place::Feed(feed) => Some(fetcher.fetch(feed).await?),
    };
    let name = name.to_owned();
    // Rules of a hostile calendar take their time.
    let reading = tokio::task::spawn_blocking(move || rota.read(&name, text.as_deref(), now));
    reading.await.map_err(|_| "it could not be read to its end".to_owned())?
}

fn file(path: &Path) -> Result<String, String> {
    let told = |error: std::io::Error| format!("{} cannot be read: {error}", path.display());
    let length = std::fs::metadata(path).map_err(told)?.len();
    if length > feed::BYTES_MAX as u64 {
        return Err(format!("{} is larger than {} bytes", path.display(), feed::BYTES_MAX));
    }
    std::fs::read_to_string(path).map_err(told)
}

fn is_news(told: Option<&Rotation>, rotation: &Rotation) -> bool {
    told.is_none_or(|told| {
        told.shifts != rotation.shifts || (rotation.known_until_ms - told.known_until_ms).abs() >= DAY_MS
    })
}

#[derive(Clone)]
struct Metrics {
    reads: IntCounterVec,
    problems: IntGaugeVec,
    known_until: IntGaugeVec,
}

impl Metrics {
    fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let reads =
            Opts::new("fairlead_rotation_reads_total", "Readings of on-call calendars, by rotation and outcome.");
        let problems =
            Opts::new("fairlead_rotation_problems", "What the last good reading could not read as it was meant.");
        let known =
            Opts::new("fairlead_rotation_known_until_seconds", "Until when the shifts are known, since the epoch.");
        let metrics = Self {
            reads: IntCounterVec::new(reads, &["rotation", "outcome"])?,
            problems: IntGaugeVec::new(problems, &["rotation"])?,
            known_until: IntGaugeVec::new(known, &["rotation"])?,
        };
        registry.register(Box::new(metrics.reads.clone()))?;
        registry.register(Box::new(metrics.problems.clone()))?;
        registry.register(Box::new(metrics.known_until.clone()))?;
        Ok(metrics)
    }

    fn read(&self, rotation: &str, read: &Result<Reading, String>) {
        let outcome = if read.is_ok() { "ok" } else { "failed" };
        self.reads.with_label_values(&[rotation, outcome]).inc();
        if let Ok(Reading { rotation: read, problems }) = read {
            self.problems.with_label_values(&[rotation]).set(i64::try_from(problems.len()).unwrap_or(i64::MAX));
            self.known_until.with_label_values(&[rotation]).set(read.known_until_ms / 1_000);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Shift;

    #[test]
    fn news_are_other_shifts_or_a_calendar_that_is_known_a_day_further() {
        let shift = Shift { starts_at_ms: 0, ends_at_ms: 10, person: "U1".into(), name: "m".into() };
        let told = Rotation { name: "a".into(), read_at_ms: 1, known_until_ms: DAY_MS, shifts: vec![shift] };
        assert!(is_news(None, &told));
        assert!(!is_news(Some(&told), &Rotation { read_at_ms: 2, known_until_ms: DAY_MS + 5, ..told.clone() }));
        assert!(is_news(Some(&told), &Rotation { known_until_ms: 2 * DAY_MS, ..told.clone() }));
        assert!(is_news(Some(&told), &Rotation { known_until_ms: 0, ..told.clone() }));
        assert!(is_news(Some(&told), &Rotation { shifts: Vec::new(), ..told.clone() }));
    }
}
