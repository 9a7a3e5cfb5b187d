//! What one task does with one batch: the pure half of the runtime, shared with the brokerless driver.
//!
//! ```text
//! records, sorted ──► fire deadlines ≤ its time ──► decode ──► stage ──► stage ──► outputs
//!                                                     │          │state
//!                                                dead letter     ▼
//!                                                             changes
//! ```
//! All state that a batch can touch is read before the first record (one `get_many`); nothing is read afterwards. A batch
//! and its tick decide the result, to the byte. Nothing here polls, commits or knows what time it is.
//!
//! The index of deadlines is lazy: each key that has a deadline stands in it at that time *or earlier*. What it wakes too early
//! is noted anew and otherwise left alone, so a deadline that every record moves on costs no write a record.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use thiserror::Error;

use super::dead_letter::{DeadLetter, Reason};
use super::journal::{HEADER, JournalPosition};
use super::stage::{Emission, Key, Stage, StateChange, Step};
use crate::codec::{self, Formats};
use crate::event::{Fact, FactKind};
use crate::operator::Port;
use crate::record::{Batch, EventTime, Header, NewRecord, Record, Topic};

/// Index of a stage within its sub-topology.
pub type StageIndex = usize;

/// Operators joined by the same key and partitioning: one poll, one transaction, no topic between them.
pub struct SubTopology {
    pub name: String,
    pub sources: BTreeMap<Topic, Source>,
    /// In an order in which every edge leads forward.
    pub nodes: Vec<Node>,
}

/// A topic that is read: what is on it, and which stages take it.
#[derive(Clone, Debug)]
pub struct Source {
    pub fact: FactKind,
    pub stages: Vec<StageIndex>,
}

pub struct Node {
    pub stage: Box<dyn Stage>,
    pub changelog: Topic,
    /// Where each port leads; a port without a route is counted and dropped.
    pub routes: BTreeMap<Port, Vec<Route>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    Stage(StageIndex),
    Topic(Topic),
}

/// Committed state, read batch-wise.
pub trait StateView {
    /// In the order asked, which is that of keys, then stages.
    fn get_many(&self, keys: &[(&[u8], StageIndex)]) -> Result<Vec<Option<Vec<u8>>>, StateError>;

    /// Timers that are not after `until`, in their order.
    fn due(&self, until: EventTime) -> Result<Vec<Timer>, StateError>;
}

/// A note in the index of deadlines; ordered by time, then stage, then key.
pub type Timer = (EventTime, StageIndex, Key);

/// A note of the index that has served, and the deadline that the key has now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Woken {
    pub timer: Timer,
    pub deadline: Option<EventTime>,
}

#[derive(Debug, Error)]
#[error("the state store cannot be read: {0}")]
pub struct StateError(pub String);

/// Why a task cannot go on. A record that cannot be taken is no error but a dead letter.
#[derive(Debug, Error)]
pub enum Error {
    #[error(transparent)]
    State(#[from] StateError),
    #[error("stage {stage}: the stored state of a key cannot be read: {error}")]
    Stored { stage: String, error: codec::Error },
    #[error("stage {stage}: what it said cannot be written: {error}")]
    Encode { stage: String, error: codec::Error },
    #[error("stage {stage}: the deadline {deadline:?} did not move when it was due")]
    StuckDeadline { stage: String, deadline: EventTime },
}

/// What is to be committed: all of it, or nothing.
#[derive(Debug, Default)]
pub struct Effects {
    pub outputs: Vec<NewRecord>,
    pub dead_letters: Vec<DeadLetter>,
    pub changes: Vec<(StageIndex, StateChange)>,
    /// For the index of deadlines alone: it may be forgotten, and is then found again.
    pub woken: Vec<Woken>,
    /// How often each port spoke, routed or not.
    pub emissions: BTreeMap<(StageIndex, Port), u64>,
    /// How often each rule made a port speak.
    pub rules: BTreeMap<(StageIndex, Port, Arc<str>), u64>,
}

impl Effects {
    /// Nothing was said and nothing is remembered: only the index of deadlines moves.
    pub fn is_silent(&self) -> bool {
        self.outputs.is_empty() && self.dead_letters.is_empty() && self.changes.is_empty() && self.emissions.is_empty()
    }
}

/// When a batch acts, which is all it knows of the world.
#[derive(Clone, Debug)]
pub struct Moment {
    pub position: JournalPosition,
    /// The input is quiet: fire what is due by the wall clock too.
    pub tick: bool,
}

impl SubTopology {
    /// Processes a batch; the caller commits the effects, or calls [`SubTopology::discard`].
    pub fn process(
        &mut self,
        batch: &mut Batch,
        moment: &Moment,
        view: &dyn StateView,
        formats: &Formats,
    ) -> Result<Effects, Error> {
        batch.sort();
        let last = batch.iter().map(|record| record.timestamp).max();
        let until = last.max(moment.tick.then_some(EventTime(moment.position.acted_at_ms)));
        let until = until.unwrap_or(EventTime(i64::MIN));
        let due = view.due(until)?;
        self.prefetch(batch, &due, view, formats)?;
        let header = journal_header(&moment.position);
        let timers = due.iter().cloned().collect();
        let (effects, encoded) = (Effects::default(), Vec::new());
        let mut run = Run { topology: self, formats, header, until, timers, effects, encoded };
        for record in batch.iter() {
            run.fire_until(record.timestamp)?;
            match decode(&record, &run.topology.sources, formats) {
                Ok((fact, key)) => run.take(&record, fact, key)?,
                Err((reason, error)) => {
                    let at_ms = moment.position.acted_at_ms;
                    let letter = DeadLetter::of(&record, &run.topology.name, reason, error, at_ms);
                    run.effects.dead_letters.push(letter);
                }
            }
        }
        if moment.tick {
            run.fire_until(EventTime(moment.position.acted_at_ms))?;
        }
        let mut effects = run.effects;
        // Every one of them has been fired, for the last record or the tick is as late as the last of them.
        let woken = |timer: Timer| Woken { deadline: self.nodes[timer.1].stage.deadline(&timer.2), timer };
        effects.woken = due.into_iter().map(woken).collect();
        for (index, node) in self.nodes.iter_mut().enumerate() {
            let stage = node.stage.name().to_owned();
            let changes = node.stage.changes().map_err(|error| Error::Encode { stage, error })?;
            effects.changes.extend(changes.into_iter().map(|change| (index, change)));
        }
        Ok(effects)
    }

    /// Forgets the states at hand: after an abort, or when the store was changed by somebody else.
    pub fn discard(&mut self) {
        self.nodes.iter_mut().for_each(|node| node.stage.discard());
    }

    /// Loads every state that the batch or a timer due within it can touch.
    fn prefetch(&mut self, batch: &Batch, due: &[Timer], view: &dyn StateView, formats: &Formats) -> Result<(), Error> {
        let mut entries: Vec<(&[u8], StageIndex)> = due.iter().map(|(_, stage, key)| (&key[..], *stage)).collect();
        for record in batch.iter() {
            if let (Some(source), Some(key)) = (self.sources.get(record.topic), record.key) {
                entries.extend(source.stages.iter().map(|stage| (key, *stage)));
            }
        }
        entries.sort_unstable();
        entries.dedup();
        let wanted = self.not_held(&entries);
        let stored = view.get_many(&wanted)?;
        for ((key, index), stored) in wanted.iter().zip(stored) {
            let stage = &mut self.nodes[*index].stage;
            let loaded = stage.load(key, stored.as_deref(), formats);
            loaded.map_err(|error| Error::Stored { stage: self.nodes[*index].stage.name().to_owned(), error })?;
        }
        Ok(())
    }

    /// The keys, at the stages where they enter and at all that can be reached from there; in the order of keys, then stages.
    fn not_held<'a>(&self, entries: &[(&'a [u8], StageIndex)]) -> Vec<(&'a [u8], StageIndex)> {
        let reached: Vec<Vec<StageIndex>> = (0..self.nodes.len()).map(|stage| self.reached_from(stage)).collect();
        let mut wanted = Vec::with_capacity(entries.len() * 2);
        for same_key in entries.chunk_by(|one, other| one.0 == other.0) {
            let key = same_key[0].0;
            let mut stages: Vec<_> = same_key.iter().flat_map(|(_, stage)| &reached[*stage]).copied().collect();
            stages.sort_unstable();
            stages.dedup();
            stages.retain(|stage| !self.nodes[*stage].stage.holds(key));
            wanted.extend(stages.into_iter().map(|stage| (key, stage)));
        }
        wanted
    }

    /// A stage and those behind it, some more than once.
    fn reached_from(&self, stage: StageIndex) -> Vec<StageIndex> {
        let next = self.nodes[stage].routes.values().flatten().filter_map(|route| match route {
            Route::Stage(next) => Some(*next),
            Route::Topic(_) => None,
        });
        std::iter::once(stage).chain(next.flat_map(|next| self.reached_from(next))).collect()
    }
}

/// One batch on its way.
struct Run<'a> {
    topology: &'a mut SubTopology,
    formats: &'a Formats,
    header: Header,
    /// No deadline after this is fired within the batch.
    until: EventTime,
    /// Notes of the index up to `until`, and the deadlines of held keys as they are now.
    timers: BTreeSet<Timer>,
    effects: Effects,
    /// Grown once; each output is then copied to where it just fits.
    encoded: Vec<u8>,
}

impl Run<'_> {
    fn take(&mut self, record: &Record<'_>, fact: Fact<'_>, key: &[u8]) -> Result<(), Error> {
        let stages = self.topology.sources.get(record.topic).map(|source| &source.stages[..]).unwrap_or_default();
        match *stages {
            [] => Ok(()),
            [stage] => self.step(stage, key, fact, record.timestamp),
            _ => {
                let stages = stages.to_vec();
                stages.iter().try_for_each(|stage| self.step(*stage, key, fact.clone(), record.timestamp))
            }
        }
    }

    fn step(&mut self, stage: StageIndex, key: &[u8], fact: Fact<'_>, at: EventTime) -> Result<(), Error> {
        let Step { emissions, deadline_before, deadline } = self.topology.nodes[stage].stage.step(key, fact, at);
        self.move_timer(stage, key, deadline_before, deadline);
        self.route(stage, key, emissions, at)
    }

    /// Fires deadlines up to and including `until`, each with its own time, in their order.
    fn fire_until(&mut self, until: EventTime) -> Result<(), Error> {
        while let Some((due, stage, key)) = self.timers.pop_first() {
            if due > until {
                self.timers.insert((due, stage, key));
                break;
            }
            let at_stage = &mut self.topology.nodes[stage].stage;
            let deadline = at_stage.deadline(&key);
            if deadline != Some(due) {
                // Woken too early, or no longer wanted.
                self.move_timer(stage, &key, None, deadline.filter(|deadline| *deadline > due));
                continue;
            }
            let Step { emissions, deadline, .. } = at_stage.due(&key, due);
            if deadline.is_some_and(|next| next <= due) {
                return Err(Error::StuckDeadline { stage: at_stage.name().to_owned(), deadline: due });
            }
            self.move_timer(stage, &key, None, deadline);
            self.route(stage, &key, emissions, due)?;
        }
        Ok(())
    }

    fn move_timer(&mut self, stage: StageIndex, key: &[u8], before: Option<EventTime>, now: Option<EventTime>) {
        if now == before {
            return;
        }
        if let Some(before) = before.filter(|before| *before <= self.until) {
            self.timers.remove(&(before, stage, key.to_vec()));
        }
        if let Some(now) = now.filter(|now| *now <= self.until) {
            self.timers.insert((now, stage, key.to_vec()));
        }
    }

    fn route(&mut self, stage: StageIndex, key: &[u8], emissions: Vec<Emission>, at: EventTime) -> Result<(), Error> {
        for Emission { port, fact, rule } in emissions {
            *self.effects.emissions.entry((stage, port)).or_default() += 1;
            if let Some(rule) = rule {
                *self.effects.rules.entry((stage, port, rule)).or_default() += 1;
            }
            let mut fact = Some(fact);
            let count = self.topology.nodes[stage].routes.get(port).map_or(0, Vec::len);
            for index in 0..count {
                let route = self.topology.nodes[stage].routes[port][index].clone();
                // Only who is not the last needs a copy.
                let fact = if index + 1 == count { fact.take() } else { fact.clone() };
                match (route, fact) {
                    (Route::Topic(topic), Some(fact)) => self.output(stage, topic, &fact, at)?,
                    (Route::Stage(next), Some(fact)) => self.step(next, key, fact, at)?,
                    (_, None) => {}
                }
            }
        }
        Ok(())
    }

    fn output(&mut self, stage: StageIndex, topic: Topic, fact: &Fact<'_>, at: EventTime) -> Result<(), Error> {
        self.encoded.clear();
        self.formats.encode_fact(fact, &mut self.encoded).map_err(|error| {
            let stage = self.topology.nodes[stage].stage.name().to_owned();
            Error::Encode { stage, error }
        })?;
        self.effects.outputs.push(NewRecord {
            topic,
            partition: None,
            timestamp: at,
            key: Some(fact.key().as_bytes().to_vec()),
            value: Some(self.encoded.to_vec()),
            headers: vec![self.header.clone()],
        });
        Ok(())
    }
}

/// A fact and its key, or why the record is a dead letter.
fn decode<'a>(
    record: &Record<'a>,
    sources: &BTreeMap<Topic, Source>,
    formats: &Formats,
) -> Result<(Fact<'a>, &'a [u8]), (Reason, String)> {
    let key =
        record.key.ok_or_else(|| (Reason::NoKey, "the record has no key, so it belongs to no state".to_owned()))?;
    let value = record.value.ok_or_else(|| (Reason::NoValue, "a tombstone is no fact".to_owned()))?;
    let Some(source) = sources.get(record.topic) else {
        return Err((Reason::OtherRecord, format!("{} is no source of this sub-topology", record.topic)));
    };
    let fact = formats.decode_fact(source.fact, value).map_err(|error| (reason(&error), error.to_string()))?;
    if fact.key().as_bytes() != key {
        let found = String::from_utf8_lossy(key);
        return Err((Reason::OtherKey, format!("the record's key is `{found}`, the fact's is `{}`", fact.key())));
    }
    Ok((fact, key))
}

/// Why a value could not be read, for its dead letter.
pub fn reason(error: &codec::Error) -> Reason {
    match error {
        codec::Error::Envelope(_) => Reason::NoEnvelope,
        codec::Error::UnknownSchema(_) | codec::Error::NotRegistered(_) | codec::Error::Schema { .. } => {
            Reason::UnknownSchema
        }
        codec::Error::OtherRecord { .. } => Reason::OtherRecord,
        codec::Error::Avro(_) => Reason::Undecodable,
    }
}

/// The header that every record written by one commit carries.
pub fn journal_header(position: &JournalPosition) -> Header {
    Header { name: Arc::from(HEADER), value: Some(position.to_string().into_bytes()) }
}
