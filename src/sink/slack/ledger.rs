//! What the sink knows and what it does next: actions, answers and time in; calls and journal records out.
//!
//! ```text
//! journal ── restore ──► Thread per (partition, incident, channel) ◄── accept ── actions
//!                            │ next: the most urgent that its paces let go
//!                            ▼
//!                 intent ► call ► answered ► outcome, finished offsets ► committable
//! ```
//! Pure: it owns no clock, no connection and no thread. Its caller makes what it hands out durable in that order. Memory
//! is bounded: by the caller who stops reading while [`Ledger::unfinished`] is high, and here by forgetting idle threads.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::call::{Answer, Call};
use super::pace::{Pace, Paces};
use super::thread::{Queued, Settled, Thread, Urgency};
use super::window::Window;
use crate::event::{SlackAction, SlackOutcome, SlackStatus};
use crate::record::{EventTime, Offset, Partition};

/// The message that actions are about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ThreadKey {
    pub partition: Partition,
    pub incident_id: String,
    pub channel: String,
}

/// A call to be made once its intent is durable.
#[derive(Clone, Debug, PartialEq)]
pub struct Work {
    pub key: ThreadKey,
    /// Tells its answer from an older call's.
    pub ticket: u64,
    pub intent: Option<SlackOutcome>,
    pub call: Call,
}

#[derive(Debug)]
pub struct Ledger {
    settle_ms: i64,
    tickets: u64,
    threads: BTreeMap<ThreadKey, Thread>,
    /// Those with something to do.
    busy: BTreeSet<ThreadKey>,
    windows: BTreeMap<Partition, Window>,
    paces: Paces,
    /// Channel ids by name, as Slack's answers told them.
    channel_ids: BTreeMap<String, String>,
    /// Whose renderings are kept, the oldest first.
    renderings: VecDeque<ThreadKey>,
}

impl Ledger {
    const THREADS_MAX: usize = 50_000;
    const RENDERINGS_MAX: usize = 1_000;
    const CHANNEL_IDS_MAX: usize = 10_000;

    /// `settle_ms`: after so long a call without an answer either had its effect or will have none.
    pub fn new(settle_ms: i64) -> Self {
        Self {
            settle_ms,
            tickets: 0,
            threads: BTreeMap::new(),
            busy: BTreeSet::new(),
            windows: BTreeMap::new(),
            paces: Paces::default(),
            channel_ids: BTreeMap::new(),
            renderings: VecDeque::new(),
        }
    }

    /// This partition is ours from `start` on; its journal follows by [`Ledger::restore`], then its actions.
    pub fn open(&mut self, partition: Partition, start: Offset) {
        self.close(partition);
        self.windows.insert(partition, Window::from(start));
    }

    pub fn close(&mut self, partition: Partition) {
        self.windows.remove(&partition);
        self.threads.retain(|key, _| key.partition != partition);
        self.busy.retain(|key| key.partition != partition);
        self.renderings.retain(|key| key.partition != partition);
    }

    pub fn restore(&mut self, partition: Partition, outcome: &SlackOutcome) {
        let key = ThreadKey { partition, incident_id: outcome.incident_id.clone(), channel: outcome.channel.clone() };
        self.learn_channel(outcome);
        self.thread(&key).remember(outcome);
    }

    /// Takes an action in; answers with what it has superseded, to be journaled.
    pub fn accept(
        &mut self,
        partition: Partition,
        offset: Offset,
        action: SlackAction,
        now: EventTime,
    ) -> Option<SlackOutcome> {
        let key = ThreadKey { partition, incident_id: action.incident_id.clone(), channel: action.channel.clone() };
        if let Some(window) = self.windows.get_mut(&partition) {
            window.open(offset);
        }
        let settled = self.thread(&key).accept(Queued { offset: Some(offset), action }, now);
        self.settle(&key, settled)
    }

    /// An action that could not be read is finished once its dead letter is written.
    pub fn skip(&mut self, partition: Partition, offset: Offset) {
        if let Some(window) = self.windows.get_mut(&partition) {
            window.open(offset);
            window.finish(offset);
        }
    }

    /// The most urgent call that may go now.
    pub fn next(&mut self, now: EventTime) -> Option<Work> {
        let candidates = self.candidates(now);
        let (_, _, key) = candidates.into_iter().filter(|(at, ..)| *at <= now).min_by_key(|(_, urgency, key)| {
            let first = self.threads.get(key).and_then(Thread::first_offset);
            (*urgency, first, key.clone())
        })?;
        let thread = self.threads.get_mut(&key)?;
        let paces = thread.paces();
        self.tickets += 1;
        let (intent, call) = thread.begin(self.tickets, now)?;
        paces.iter().for_each(|pace| self.paces.take(pace, now));
        Some(Work { key, ticket: self.tickets, intent, call })
    }

    /// When there may be something to do if nothing else happens.
    pub fn wake_at(&mut self, now: EventTime) -> Option<EventTime> {
        self.candidates(now).into_iter().map(|(at, ..)| at).min()
    }

    fn candidates(&mut self, now: EventTime) -> Vec<(EventTime, Urgency, ThreadKey)> {
        let mut candidates = Vec::new();
        for key in &self.busy {
            let Some(thread) = self.threads.get_mut(key) else { continue };
            let known = self.channel_ids.get(&key.channel).map(String::as_str);
            let Some((urgency, attempt)) = thread.prepare(known, self.settle_ms, now) else { continue };
            let paces = attempt.paces().into_iter().map(|pace| self.paces.earliest(&pace, now)).max();
            candidates.push((attempt.not_before.max(paces.unwrap_or(now)), urgency, key.clone()));
        }
        candidates
    }

    /// What a call brought; answers with its outcome, to be journaled.
    pub fn answered(
        &mut self,
        Work { key, ticket, call, .. }: &Work,
        answer: Answer,
        now: EventTime,
    ) -> Option<SlackOutcome> {
        if let Answer::RateLimited { wait_ms } = &answer {
            let pace = match call {
                Call::Post { .. } => Pace::Channel(key.channel.clone()),
                other => Pace::Method(other.method()),
            };
            self.paces.block(&pace, now.plus_ms(*wait_ms));
        }
        if let Answer::Channel(id) = &answer {
            self.channel_ids.insert(key.channel.clone(), id.clone());
        }
        let settle_ms = self.settle_ms;
        let settled = self.threads.get_mut(key)?.answered(*ticket, answer, settle_ms, now);
        if let Some(outcome) = settled.outcome.as_ref().filter(|outcome| outcome.status == SlackStatus::Done) {
            self.learn_channel(outcome);
            self.keep_rendering(key);
        }
        self.settle(key, settled)
    }

    pub fn committable(&self, partition: Partition) -> Option<Offset> {
        self.windows.get(&partition).map(Window::committable)
    }

    pub fn unfinished(&self, partition: Partition) -> usize {
        self.windows.get(&partition).map_or(0, Window::unfinished)
    }

    pub fn waiting(&self) -> usize {
        self.busy.iter().filter_map(|key| self.threads.get(key)).map(Thread::waiting).sum()
    }

    fn settle(&mut self, key: &ThreadKey, settled: Settled) -> Option<SlackOutcome> {
        if let (Some(offset), Some(window)) = (settled.finished, self.windows.get_mut(&key.partition)) {
            window.finish(offset);
        }
        match self.threads.get(key).is_none_or(Thread::is_idle) {
            true => self.busy.remove(key),
            false => self.busy.insert(key.clone()),
        };
        settled.outcome
    }

    fn thread(&mut self, key: &ThreadKey) -> &mut Thread {
        if self.threads.len() >= Self::THREADS_MAX && !self.threads.contains_key(key) {
            self.forget_some();
        }
        self.threads.entry(key.clone()).or_default()
    }

    /// A tenth at a time: those that nothing has happened to for longest.
    fn forget_some(&mut self) {
        let mut idle: Vec<_> = self
            .threads
            .iter()
            .filter(|(_, thread)| thread.may_be_forgotten())
            .map(|(key, t)| (t.touched(), key.clone()))
            .collect();
        idle.sort();
        for (_, key) in idle.into_iter().take(Self::THREADS_MAX / 10) {
            self.threads.remove(&key);
        }
    }

    fn keep_rendering(&mut self, key: &ThreadKey) {
        self.renderings.retain(|kept| kept != key);
        self.renderings.push_back(key.clone());
        if self.renderings.len() > Self::RENDERINGS_MAX
            && let Some(thread) = self.renderings.pop_front().and_then(|oldest| self.threads.get_mut(&oldest))
        {
            thread.forget_rendering();
        }
    }

    fn learn_channel(&mut self, outcome: &SlackOutcome) {
        if let Some(id) = &outcome.channel_id
            && (self.channel_ids.len() < Self::CHANNEL_IDS_MAX || self.channel_ids.contains_key(&outcome.channel))
        {
            self.channel_ids.insert(outcome.channel.clone(), id.clone());
        }
    }
}
