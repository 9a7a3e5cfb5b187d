//! What is going on, at hand in every process: two threads follow the topics of alerts and silences and keep [`crate::current`]'s folds.
//!
//! ```text
//! oncall.alerts.v1,   from five hours ago ─► follow ─┐
//!                                                    ├─► State ◄─ read by the API, and for each alert that is received
//! oncall.silences.v1, from its beginning ──► follow ─┘    └────► what is due ─► told by the server's own task
//! ```
//!
//! Invariants: until both topics were read to their ends once, [`View::problem`] says so, and nobody is answered from half of them. A
//! topic that cannot be read any more is told there and in the log, while what was read goes on to hold. A record that cannot be read
//! is told and passed over. Not here: any decision.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::Notify;

use crate::clock::Clock;
use crate::codec::Formats;
use crate::current::{Alerts, Due, Effects, STALE_MS, Silences};
use crate::event::{Fact, FactKind, Silence};
use crate::log::client::Connection;
use crate::log::kafka::{Since, Tail};
use crate::record::{EventTime, Offset, Record, Topic};
use crate::runtime::{SchemaSource, Schemas};

/// How long a thread may take to see that it shall stop.
const WAIT: Duration = Duration::from_millis(100);
/// Before a topic, or the registry, is tried again.
const PAUSE: Duration = Duration::from_millis(500);
/// A failure that did not come again for so long is over.
const OVER: Duration = Duration::from_secs(10);

pub struct ViewConfig {
    pub connection: Connection,
    /// Only a name, for access rules.
    pub group: String,
    pub alerts: Topic,
    pub silences: Topic,
    pub formats: Formats,
    pub schemas: SchemaSource,
    /// Whose name the API shows for the one who receives.
    pub application: String,
    pub clock: Clock,
}

pub struct View {
    shared: Arc<Shared>,
    /// As the API tells it.
    pub application: String,
    pub up_since: EventTime,
    /// One change of silences at a time.
    pub changing: tokio::sync::Mutex<()>,
    /// From what is due to what was stored: so that it is told once.
    pub telling: tokio::sync::Mutex<()>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    state: RwLock<State>,
    clock: Clock,
    stop: AtomicBool,
    changed: Arc<Notify>,
}

#[derive(Default)]
pub struct State {
    pub alerts: Alerts,
    /// Copied when it changes while somebody matches with it.
    pub silences: Arc<Silences>,
    effects: Effects,
    followed: [Followed; 2],
}

#[derive(Clone, Copy)]
enum Of {
    Alerts,
    Silences,
}

#[derive(Default)]
struct Followed {
    is_read: bool,
    failed: Option<(Duration, String)>,
}

impl View {
    pub fn start(config: ViewConfig) -> std::io::Result<Self> {
        let ViewConfig { connection, group, alerts, silences, formats, schemas, application, clock } = config;
        let (stop, changed) = (AtomicBool::new(false), Arc::default());
        let up_since = clock.now();
        let shared = Arc::new(Shared { state: RwLock::default(), clock, stop, changed });
        let mut threads = Vec::new();
        for (name, of, topic) in [("alerts-view", Of::Alerts, alerts), ("silences-view", Of::Silences, silences)] {
            let schemas = Schemas::new(formats.clone(), Arc::clone(&schemas));
            let (shared, connection, group) = (Arc::clone(&shared), connection.clone(), group.clone());
            let follow = move || Follower { shared, connection, group, topic, of, schemas }.run();
            threads.push(std::thread::Builder::new().name(name.to_owned()).spawn(follow)?);
        }
        let (changing, telling) = Default::default();
        Ok(Self { shared, application, up_since, changing, telling, threads })
    }

    pub fn state(&self) -> RwLockReadGuard<'_, State> {
        self.shared.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why what is known is not all, or no longer. `None`: it is.
    pub fn problem(&self) -> Option<String> {
        let (state, now) = (self.state(), self.shared.clock.elapsed());
        let failed = state.followed.iter().filter_map(|followed| followed.failed.as_ref());
        let failed = failed.filter(|(at, _)| now.saturating_sub(*at) < OVER).map(|(_, why)| why.clone());
        let unread = !state.followed.iter().all(|followed| followed.is_read);
        failed.chain(unread.then(|| "alerts and silences are being read".to_owned())).next()
    }

    /// The silences, as soon as all of them were read once; else why not.
    pub fn silences(&self) -> Result<Arc<Silences>, String> {
        let state = self.state();
        if state.followed[Of::Silences as usize].is_read {
            return Ok(Arc::clone(&state.silences));
        }
        drop(state);
        Err(self.problem().unwrap_or_else(|| "silences are being read".to_owned()))
    }

    pub fn is_read(&self) -> bool {
        self.state().followed.iter().all(|followed| followed.is_read)
    }

    /// Marks every alert with the silence in force that ends last. `Err`: they are not known yet.
    pub fn mark(&self, facts: &mut [Fact<'static>], now: EventTime) -> Result<(), String> {
        self.silences()?.mark(facts, now);
        Ok(())
    }

    /// What this process has just written, sooner than it is read.
    pub fn took(&self, silence: &Silence, at: Offset) {
        self.shared.take_silence(&silence.id, Some(silence.clone()), at);
    }

    /// Says that there may be something to be told.
    pub fn changed(&self) -> Arc<Notify> {
        Arc::clone(&self.shared.changed)
    }

    /// `None` until everything was read.
    pub fn due(&self) -> Option<Due> {
        let now = self.shared.clock.now();
        let mut state = self.shared.write();
        if !state.followed.iter().all(|followed| followed.is_read) {
            return None;
        }
        let State { alerts, silences, effects, .. } = &mut *state;
        alerts.forget_stale(now);
        Some(effects.due(alerts, silences, now))
    }

    pub fn stored(&self, due: Due, stored: bool) {
        let State { silences, effects, .. } = &mut *self.shared.write();
        if stored { effects.stored(&due, silences) } else { effects.not_stored(due) }
    }
}

impl Drop for View {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread that follows a topic has panicked");
            }
        }
    }
}

impl Shared {
    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_silence(&self, id: &str, silence: Option<Silence>, at: Offset) {
        let mut state = self.write();
        if let Err(problem) = Arc::make_mut(&mut state.silences).apply(id, silence, at) {
            tracing::warn!(id, problem, "a silence in the topic silences nothing");
        }
        state.effects.silence_changed(id);
        drop(state);
        self.changed.notify_one();
    }
}

/// One topic's thread.
struct Follower {
    shared: Arc<Shared>,
    connection: Connection,
    group: String,
    topic: Topic,
    of: Of,
    schemas: Schemas,
}

/// A record, copied, for a registry may have to be waited for.
struct Taken {
    key: String,
    value: Option<Vec<u8>>,
    at: Offset,
    timestamp: EventTime,
}

impl Follower {
    fn run(mut self) {
        let mut tail = loop {
            if self.stops() {
                return;
            }
            let since = match self.of {
                Of::Alerts => Since::Time(self.shared.clock.now().plus_ms(-STALE_MS)),
                Of::Silences => Since::Beginning,
            };
            match Tail::new(&self.connection, &self.group, &self.topic, since) {
                Ok(tail) => break tail,
                Err(error) => self.failed(&error.to_string()),
            }
            std::thread::sleep(PAUSE);
        };
        while !self.stops() {
            let mut taken = None;
            if let Err(error) = tail.next(WAIT, |record| taken = Some(Taken::of(record))) {
                self.failed(&error.to_string());
                std::thread::sleep(PAUSE);
            }
            if let Some(taken) = taken {
                self.take(taken);
            }
            if tail.is_read() {
                self.is_read();
            }
        }
    }

    fn stops(&self) -> bool {
        self.shared.stop.load(Ordering::Relaxed)
    }

    fn take(&mut self, taken: Taken) {
        let Some(value) = &taken.value else {
            if let Of::Silences = self.of {
                self.shared.take_silence(&taken.key, None, taken.at);
            }
            return;
        };
        while let Err(error) = self.schemas.learn_of(value, self.shared.clock.elapsed()) {
            self.failed(&error);
            std::thread::sleep(PAUSE);
            if self.stops() {
                return;
            }
        }
        let kind = match self.of {
            Of::Alerts => FactKind::Alert,
            Of::Silences => FactKind::Silence,
        };
        match self.schemas.formats.decode_fact(kind, value).map(Fact::into_owned) {
            Ok(Fact::Alert(alert)) => {
                let fingerprint = alert.fingerprint.to_string();
                let mut state = self.shared.write();
                if state.alerts.apply(alert, taken.timestamp) {
                    state.effects.alert_changed(&fingerprint);
                }
                drop(state);
                self.shared.changed.notify_one();
            }
            Ok(Fact::Silence(silence)) => self.shared.take_silence(&taken.key, Some(silence), taken.at),
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(%error, topic = %self.topic, offset = taken.at.0, "a record cannot be read and is passed over");
            }
        }
    }

    fn is_read(&self) {
        let followed = |state: &State| state.followed[self.of as usize].is_read;
        if !followed(&self.shared.state.read().unwrap_or_else(PoisonError::into_inner)) {
            self.shared.write().followed[self.of as usize].is_read = true;
            self.shared.changed.notify_one();
        }
    }

    fn failed(&self, why: &str) {
        let now = self.shared.clock.elapsed();
        let mut state = self.shared.write();
        let failed = &mut state.followed[self.of as usize].failed;
        let is_news = failed.as_ref().is_none_or(|(at, before)| before != why || now.saturating_sub(*at) >= OVER);
        *failed = Some((now, why.to_owned()));
        drop(state);
        if is_news {
            tracing::warn!(topic = %self.topic, "what is going on is not followed: {why}");
        }
    }
}

impl Taken {
    fn of(record: &Record<'_>) -> Self {
        Self {
            key: String::from_utf8_lossy(record.key.unwrap_or_default()).into_owned(),
            value: record.value.map(<[u8]>::to_vec),
            at: record.offset,
            timestamp: record.timestamp,
        }
    }
}
