//! What the sink knows and what it does next: actions, answers and time in; calls and journal records out.
//!
//! ```text
//! journal ── restore ──► Thread per (partition, incident, channel) ◄── accept, supply ── actions
//!                            │ choose: the most urgent that their limits let go
//!                            ▼
//!                 intent ► call ► answered ► outcome, finished offsets ► committable
//! ```
//! Pure: it owns no clock, no connection and no thread. Its caller makes what it hands out durable in that order: intents
//! before their calls, outcomes before the offsets they finish. Memory is bounded: by the caller who stops reading while
//! [`Ledger::unfinished`] is high, and here by forgetting idle threads.

use std::collections::{BTreeMap, BTreeSet};

use super::call::{Answer, Call};
use super::pace::{Paces, Target};
use super::thread::{Settled, Thread, Urgency};
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

/// How many calls may begin, and how many of them only where somebody is woken or a terminal state is told: when Slack
/// hangs, what is less urgent does not take every place.
#[derive(Clone, Copy, Debug)]
pub struct Slots {
    pub free: usize,
    pub spare: usize,
}

#[derive(Debug)]
pub struct Ledger {
    settle_ms: i64,
    tickets: u64,
    threads: BTreeMap<ThreadKey, Thread>,
    /// Those with something to do, now or later.
    busy: BTreeSet<ThreadKey>,
    windows: BTreeMap<Partition, Window>,
    paces: Paces,
    /// Channel ids by name, as Slack's answers told them.
    channel_ids: BTreeMap<String, String>,
    /// Something has happened since it was last looked at what is to be done.
    changed: bool,
    wake: Option<EventTime>,
}

impl Ledger {
    const THREADS_MAX: usize = 50_000;
    const CHANNEL_IDS_MAX: usize = 10_000;

    /// `settle_ms`: after so long a call without an answer is taken to have had its effect, or to have none.
    pub fn new(settle_ms: i64) -> Self {
        Self {
            settle_ms,
            tickets: 0,
            threads: BTreeMap::new(),
            busy: BTreeSet::new(),
            windows: BTreeMap::new(),
            paces: Paces::default(),
            channel_ids: BTreeMap::new(),
            changed: true,
            wake: None,
        }
    }

    /// This partition is ours from `start` on; its journal follows by [`Ledger::restore`], then its actions.
    pub fn open(&mut self, partition: Partition, start: Offset) {
        self.close(partition);
        self.changed = true;
        self.windows.insert(partition, Window::from(start));
    }

    pub fn close(&mut self, partition: Partition) {
        self.windows.remove(&partition);
        self.threads.retain(|key, _| key.partition != partition);
        self.busy.retain(|key| key.partition != partition);
    }

    pub fn restore(&mut self, partition: Partition, outcome: &SlackOutcome) {
        let key = ThreadKey { partition, incident_id: outcome.incident_id.clone(), channel: outcome.channel.clone() };
        self.learn_channel(outcome);
        self.thread(&key).remember(outcome);
        self.note(&key);
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
        let settled = self.thread(&key).accept(offset, action, now);
        self.settle(&key, settled)
    }

    /// An action that could not be read is finished once its dead letter is written.
    pub fn skip(&mut self, partition: Partition, offset: Offset) {
        if let Some(window) = self.windows.get_mut(&partition) {
            window.open(offset);
            window.finish(offset);
        }
    }

    /// Actions that have to be read again, from these places; each is then to be supplied.
    pub fn missing(&self, now: EventTime) -> Vec<(ThreadKey, Offset)> {
        if self.is_at_rest(now) {
            return Vec::new();
        }
        let missing = |key: &ThreadKey| {
            let start = self.windows.get(&key.partition)?.start();
            Some((key.clone(), self.threads.get(key)?.missing(start, now)?))
        };
        self.busy.iter().filter_map(missing).collect()
    }

    /// None: there is no such record any more.
    pub fn supply(&mut self, key: &ThreadKey, offset: Offset, action: Option<SlackAction>, now: EventTime) {
        if let Some(thread) = self.threads.get_mut(key) {
            thread.supply(offset, action, now);
        }
        self.note(key);
    }

    /// The calls that may go now, the most urgent first.
    pub fn choose(&mut self, slots: Slots, now: EventTime) -> Vec<Work> {
        let mut chosen = Vec::new();
        if slots.free == 0 || self.is_at_rest(now) {
            return chosen;
        }
        let Self { tickets, threads, paces, channel_ids, settle_ms, busy, .. } = self;
        let mut wake = None::<EventTime>;
        let mut wake_at = |at: EventTime| wake = Some(wake.map_or(at, |wake| wake.min(at)));
        let mut ready = Vec::new();
        for key in busy.iter() {
            let Some(thread) = threads.get_mut(key) else { continue };
            thread.retell_at().into_iter().filter(|at| *at > now).for_each(&mut wake_at);
            let known = channel_ids.get(&key.channel).map(String::as_str);
            let Some(next) = thread.prepare(known, *settle_ms, now) else { continue };
            match next.not_before.max(paces.earliest(next.target, now)) {
                at if at > now => wake_at(at),
                _ => ready.push((next.urgency, next.since, key)),
            }
        }
        ready.sort();
        for (urgency, _, key) in ready {
            let left = slots.free - chosen.len();
            if left == 0 {
                break;
            }
            if left <= slots.spare && urgency > Urgency::Terminal {
                continue;
            }
            let Some(thread) = threads.get_mut(key) else { continue };
            let Some(next) = thread.prepare(None, *settle_ms, now) else { continue };
            let at = paces.earliest(next.target, now);
            if at > now {
                wake_at(at);
                continue;
            }
            paces.take(next.target, now);
            *tickets += 1;
            if let Some((intent, call)) = thread.begin(*tickets, now) {
                chosen.push(Work { key: key.clone(), ticket: *tickets, intent, call });
            }
        }
        (self.changed, self.wake) = (false, wake);
        chosen
    }

    fn is_at_rest(&self, now: EventTime) -> bool {
        !self.changed && self.wake.is_none_or(|wake| wake > now)
    }

    /// When there may be something to do if nothing else happens.
    pub fn wake_at(&self, now: EventTime) -> Option<EventTime> {
        if self.changed { Some(now) } else { self.wake }
    }

    /// What a call brought; answers with its outcome, to be journaled.
    pub fn answered(
        &mut self,
        Work { key, ticket, call, .. }: &Work,
        answer: Answer,
        now: EventTime,
    ) -> Option<SlackOutcome> {
        if let Answer::RateLimited { wait_ms, workspace } = &answer {
            let target = match call {
                Call::Post { .. } if !workspace => Target::post_into(&key.channel),
                other => Target::of(other.method()),
            };
            self.paces.block(target, now.plus_ms(*wait_ms), now);
        }
        if let Answer::Channel(id) = &answer {
            self.channel_ids.insert(key.channel.clone(), id.clone());
        }
        let settle_ms = self.settle_ms;
        let settled = self.threads.get_mut(key)?.answered(*ticket, answer, settle_ms, now);
        if let Some(outcome) = settled.outcome.as_ref().filter(|outcome| outcome.status == SlackStatus::Done) {
            self.learn_channel(outcome);
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
        self.note(key);
        settled.outcome
    }

    /// Something has happened to it.
    fn note(&mut self, key: &ThreadKey) {
        self.changed = true;
        match self.threads.get(key).is_none_or(Thread::is_idle) {
            true => self.busy.remove(key),
            false => self.busy.insert(key.clone()),
        };
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

    fn learn_channel(&mut self, outcome: &SlackOutcome) {
        if let Some(id) = &outcome.channel_id
            && (self.channel_ids.len() < Self::CHANNEL_IDS_MAX || self.channel_ids.contains_key(&outcome.channel))
        {
            self.channel_ids.insert(outcome.channel.clone(), id.clone());
        }
    }
}
