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
    /// In the order asked.
    fn get_many(&self, keys: &[(StageIndex, Key)]) -> Result<Vec<Option<Vec<u8>>>, StateError>;

    /// Timers whose deadline is not after `until`, in their order.
    fn due(&self, until: EventTime) -> Result<Vec<Timer>, StateError>;
}

/// A deadline in the index; ordered by time, then stage, then key.
pub type Timer = (EventTime, StageIndex, Key);

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
    /// How often each port spoke, routed or not.
    pub emissions: BTreeMap<(StageIndex, Port), u64>,
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
        let timers = self.prefetch(batch, until, view, formats)?;
        let header = journal_header(&moment.position);
        let mut run = Run { topology: self, formats, header, until, timers, effects: Effects::default() };
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

    /// Loads every state that the batch or a timer due within it can touch; answers with those timers.
    fn prefetch(
        &mut self,
        batch: &Batch,
        until: EventTime,
        view: &dyn StateView,
        formats: &Formats,
    ) -> Result<BTreeSet<Timer>, Error> {
        let timers: BTreeSet<Timer> = view.due(until)?.into_iter().collect();
        let mut wanted = Vec::new();
        for (_, stage, key) in &timers {
            self.want(*stage, key, &mut wanted);
        }
        for record in batch.iter() {
            if let (Some(source), Some(key)) = (self.sources.get(record.topic), record.key) {
                source.stages.iter().for_each(|stage| self.want(*stage, key, &mut wanted));
            }
        }
        wanted.sort_unstable();
        wanted.dedup();
        let stored = view.get_many(&wanted)?;
        for ((index, key), stored) in wanted.iter().zip(stored) {
            let stage = &mut self.nodes[*index].stage;
            let loaded = stage.load(key, stored.as_deref(), formats);
            loaded.map_err(|error| Error::Stored { stage: self.nodes[*index].stage.name().to_owned(), error })?;
        }
        Ok(timers)
    }

    /// Notes the key at this stage and at all that can be reached from it.
    fn want(&self, stage: StageIndex, key: &[u8], wanted: &mut Vec<(StageIndex, Key)>) {
        let node = &self.nodes[stage];
        if !node.stage.holds(key) {
            wanted.push((stage, key.to_vec()));
        }
        for route in node.routes.values().flatten() {
            if let Route::Stage(next) = route {
                self.want(*next, key, wanted);
            }
        }
    }
}

/// One batch on its way.
struct Run<'a> {
    topology: &'a mut SubTopology,
    formats: &'a Formats,
    header: Header,
    /// No deadline after this is fired within the batch.
    until: EventTime,
    /// Deadlines up to `until`: the stored ones, and those of held keys as they are now.
    timers: BTreeSet<Timer>,
    effects: Effects,
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
            if at_stage.deadline(&key) != Some(due) {
                continue; // moved by a record of this batch
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
        for Emission { port, fact } in emissions {
            *self.effects.emissions.entry((stage, port)).or_default() += 1;
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
        let mut value = Vec::new();
        self.formats.encode_fact(fact, &mut value).map_err(|error| {
            let stage = self.topology.nodes[stage].stage.name().to_owned();
            Error::Encode { stage, error }
        })?;
        self.effects.outputs.push(NewRecord {
            topic,
            partition: None,
            timestamp: at,
            key: Some(fact.key().as_bytes().to_vec()),
            value: Some(value),
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
