//! One incident in one channel: what waits to be told, and the one call that is being made.
//!
//! Invariants: one call at a time, so calls about one message never overtake each other; renderings are told in the order of
//! their versions; nothing is posted twice unless look-ups have said that it is not there. Nothing in here outlives a crash
//! but what [`Memory`] reads from the journal.

use std::collections::VecDeque;

use super::attempt::{Attempt, Queued, Verdict};
use super::call::{Answer, Call, Posted};
use super::errand::{Errand, Progress};
use super::memory::{Memory, Rewritten, blank};
use super::pace::Target;
use crate::event::{Level, SlackAction, SlackActionKind, SlackOutcome, SlackStatus};
use crate::record::{EventTime, Offset};

/// What has come of something: a record for the journal, and an action that is finished with it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settled {
    pub outcome: Option<SlackOutcome>,
    pub finished: Option<Offset>,
}

/// The lower, the sooner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    CriticalRoot,
    Terminal,
    Root,
    Reply,
    Update,
    Log,
    Chore,
}

/// The next call of a thread, as far as choosing between threads goes.
#[derive(Clone, Copy, Debug)]
pub struct Next<'a> {
    pub urgency: Urgency,
    /// Since when it waits, and where its action stands.
    pub since: (EventTime, Offset),
    pub not_before: EventTime,
    pub target: Target<'a>,
}

#[derive(Debug, Default)]
pub struct Thread {
    memory: Memory,
    /// Renderings of the root.
    roots: VecDeque<Queued>,
    /// Of the log.
    logs: VecDeque<Queued>,
    replies: VecDeque<Queued>,
    attempt: Option<Attempt>,
    errand: Option<Errand>,
}

impl Thread {
    pub fn remember(&mut self, outcome: &SlackOutcome) {
        self.memory.remember(outcome);
    }

    /// Takes an action in. What it makes needless is settled at once, and so is it itself if it was told before.
    pub fn accept(&mut self, offset: Offset, action: SlackAction, now: EventTime) -> Settled {
        self.memory.touched = self.memory.touched.max(now);
        if let Some(fresh) = self.attempt.take_if(|attempt| attempt.is_fresh()) {
            self.put_back(fresh.queued);
        }
        if self.memory.has_told(&action) || self.is_waiting(&action) {
            return Settled { outcome: None, finished: Some(offset) };
        }
        let kind = action.kind;
        self.queue(kind).push_back(Queued { waiting: Some(offset), offset, action, since: now });
        if Rewritten::by(kind).is_some() { self.coalesce(kind, now) } else { Settled::default() }
    }

    fn queue(&mut self, kind: SlackActionKind) -> &mut VecDeque<Queued> {
        match kind {
            SlackActionKind::PostRoot | SlackActionKind::UpdateRoot | SlackActionKind::SetGroup => &mut self.roots,
            SlackActionKind::Log => &mut self.logs,
            SlackActionKind::Reply => &mut self.replies,
        }
    }

    /// What waits, and what is under way.
    fn queued(&self) -> impl Iterator<Item = &Queued> {
        let under_way = self.attempt.as_ref().map(|attempt| &attempt.queued);
        self.roots.iter().chain(&self.logs).chain(&self.replies).chain(under_way)
    }

    /// It is there already, or a rendering that is newer.
    fn is_waiting(&self, action: &SlackAction) -> bool {
        let which = Rewritten::by(action.kind);
        let newer = |other: &SlackAction| {
            which.is_some() && Rewritten::by(other.kind) == which && other.version >= action.version
        };
        self.queued().any(|Queued { action: other, .. }| other.id == action.id || newer(other))
    }

    fn put_back(&mut self, queued: Queued) {
        self.queue(queued.action.kind).push_front(queued);
    }

    /// The last but one rendering goes if nobody would miss it: a post wakes people, a terminal state must be seen, and
    /// what may have been sent needs its outcome.
    fn coalesce(&mut self, kind: SlackActionKind, now: EventTime) -> Settled {
        let Some(index) = self.queue(kind).len().checked_sub(2) else { return Settled::default() };
        let doubt = self.memory.doubt.as_ref().map(|doubt| doubt.intent.action_id.clone());
        let queue = self.queue(kind);
        let Queued { action, .. } = &queue[index];
        if !action.kind.rewrites() || action.terminal || doubt.as_ref() == Some(&action.id) {
            return Settled::default();
        }
        let Some(Queued { waiting, offset, action, .. }) = queue.remove(index) else { return Settled::default() };
        let outcome = SlackOutcome { status: SlackStatus::Superseded, ..blank(&action, offset, 0, now) };
        self.memory.remember(&outcome);
        Settled { outcome: Some(outcome), finished: waiting }
    }

    /// Where an action is that has to be read again: one whose outcome is in doubt and that comes before `start`, from where
    /// actions are read; or the last rendering, which its message does not show, or may not show for long.
    pub fn missing(&self, start: Offset, now: EventTime) -> Option<Offset> {
        if let Some(doubt) = &self.memory.doubt {
            let offset = doubt.offset().filter(|offset| *offset < start)?;
            return (!self.has(offset)).then_some(offset);
        }
        let Memory { root, log, .. } = &self.memory;
        let root_due = self.roots.is_empty() && root.owes(now);
        // Without a root there is no thread for it.
        let log_due = self.logs.is_empty() && log.owes(now) && root.place.is_some();
        let due = root.shown.filter(|_| root_due).or(log.shown.filter(|_| log_due));
        due.filter(|_| self.attempt.is_none())
    }

    fn has(&self, offset: Offset) -> bool {
        self.queued().any(|queued| queued.offset == offset)
    }

    /// An action that was read again; none if it is gone.
    pub fn supply(&mut self, offset: Offset, action: Option<SlackAction>, now: EventTime) {
        match action {
            // What was a post is now the rewriting of what was posted.
            Some(action) => {
                let kind = match action.kind {
                    SlackActionKind::PostRoot => SlackActionKind::UpdateRoot,
                    kind => kind,
                };
                let queued = Queued { waiting: None, offset, action: SlackAction { kind, ..action }, since: now };
                self.put_back(queued);
            }
            None => self.memory.gone(offset),
        }
    }

    /// Starts on the next thing to do if nothing is under way, and says what it needs and when.
    pub fn prepare(&mut self, known_channel: Option<&str>, settle_ms: i64, now: EventTime) -> Option<Next<'_>> {
        let busy = self.errand.as_ref().is_some_and(|errand| errand.in_flight.is_some());
        if self.attempt.is_none() && !busy {
            self.attempt = self.choose().map(|queued| self.attempt_at(queued, settle_ms, now));
        }
        if self.attempt.is_some() && !busy {
            self.errand = None;
            // What is in doubt holds up its thread, and so is as urgent as anything there.
            let most_urgent = self.queued().map(|queued| urgency(&queued.action)).min();
            let attempt = self.attempt.as_mut().filter(|attempt| attempt.in_flight.is_none())?;
            attempt.learn_channel(known_channel);
            let Queued { action, since, offset, .. } = &attempt.queued;
            let urgency = Some(urgency(action)).filter(|_| attempt.is_fresh()).or(most_urgent)?;
            let since = (*since, *offset);
            let target = match urgency {
                Urgency::Log => attempt.target().patient(),
                _ => attempt.target(),
            };
            return Some(Next { urgency, since, not_before: attempt.not_before, target });
        }
        self.errand = self.errand.take().or_else(|| self.next_errand());
        let errand = self.errand.as_ref().filter(|errand| errand.in_flight.is_none())?;
        let since = (errand.not_before, Offset(0));
        Some(Next { urgency: Urgency::Chore, since, not_before: errand.not_before, target: errand.target() })
    }

    fn attempt_at(&self, queued: Queued, settle_ms: i64, now: EventTime) -> Attempt {
        match self.memory.doubt.as_ref().filter(|doubt| doubt.is_of(&queued.action)) {
            Some(doubt) => Attempt::resume(queued, doubt, &self.memory, settle_ms, now),
            None => Attempt::start(queued, &self.memory),
        }
    }

    fn next_errand(&self) -> Option<Errand> {
        let (due, key, chore) = self.memory.janitor.next()?;
        let Memory { root, log, .. } = &self.memory;
        Some(Errand::start(key.clone(), chore.clone(), root.place.as_ref()?, log.place.as_ref(), due))
    }

    fn choose(&mut self) -> Option<Queued> {
        if let Some(doubt) = &self.memory.doubt {
            for queue in [&mut self.roots, &mut self.logs, &mut self.replies] {
                if let Some(index) = queue.iter().position(|queued| doubt.is_of(&queued.action)) {
                    return queue.remove(index);
                }
            }
            // It is still to be read: until then nobody knows what the other actions would be about.
            doubt.offset().is_none().then_some(())?;
        }
        let first = |queued: &Queued| queued.action.kind == SlackActionKind::PostRoot || queued.action.terminal;
        match self.roots.front() {
            Some(front) if first(front) || self.replies.is_empty() => self.roots.pop_front(),
            _ => self.replies.pop_front().or_else(|| self.logs.pop_front()),
        }
    }

    /// The call to be made now, and the intent that must be durable before it.
    pub fn begin(&mut self, ticket: u64, now: EventTime) -> Option<(Option<SlackOutcome>, Call)> {
        if let Some(attempt) = &mut self.attempt {
            let (intent, call) = attempt.begin(ticket, now);
            if let Some(intent) = &intent {
                self.memory.remember(intent);
            }
            return Some((intent, call));
        }
        let errand = self.errand.as_mut()?;
        let (deletes, call) = errand.begin(ticket);
        let record = self.memory.janitor.record(&errand.key, SlackStatus::Removing, now);
        let intent = deletes.and_then(|ts| Some(SlackOutcome { ts: Some(ts), ..record? }));
        Some((intent, call))
    }

    /// An answer to another call than the one under way is a dead one's: what it brought is in doubt and looked up.
    pub fn answered(&mut self, ticket: u64, answer: Answer, settle_ms: i64, now: EventTime) -> Settled {
        if let Some(errand) = self.errand.take_if(|errand| errand.in_flight == Some(ticket)) {
            return self.errand_answered(errand, answer, settle_ms, now);
        }
        let Some(mut attempt) = self.attempt.take_if(|attempt| attempt.in_flight == Some(ticket)) else {
            return Settled::default();
        };
        let (status, message, error) = match attempt.answered(answer, settle_ms, now) {
            Verdict::GoOn => {
                self.attempt = Some(attempt);
                return Settled::default();
            }
            Verdict::Done(message) => (SlackStatus::Done, Some(message), attempt.left_out()),
            Verdict::Set => (SlackStatus::Done, None, None),
            Verdict::Rejected(code) => (SlackStatus::Rejected, None, Some(code)),
            Verdict::Unknown(why) => (SlackStatus::Unknown, None, Some(why)),
        };
        let outcome = outcome(&attempt, status, message, error, now);
        self.memory.remember(&outcome);
        Settled { outcome: Some(outcome), finished: attempt.queued.waiting }
    }

    fn errand_answered(&mut self, mut errand: Errand, answer: Answer, settle_ms: i64, now: EventTime) -> Settled {
        let error = match errand.answered(answer, settle_ms, now) {
            Progress::GoOn => {
                self.errand = Some(errand);
                return Settled::default();
            }
            Progress::Over(error) => error,
        };
        let swept = self.memory.janitor.record(&errand.key, SlackStatus::Swept, now);
        let swept = swept.map(|swept| SlackOutcome { error, ..swept });
        swept.iter().for_each(|swept| self.memory.remember(swept));
        Settled { outcome: swept, finished: None }
    }

    /// Nothing is to be done, now or later.
    pub fn is_idle(&self) -> bool {
        let Memory { root, log, doubt, janitor, .. } = &self.memory;
        let doubted = doubt.as_ref().is_some_and(|doubt| doubt.offset().is_some());
        let told = root.is_idle() && log.is_idle() && !doubted;
        told && self.waiting() == 0 && self.errand.is_none() && janitor.is_idle()
    }

    /// Forgetting it costs at most a new root.
    pub fn may_be_forgotten(&self) -> bool {
        self.is_idle() && self.memory.doubt.as_ref().is_none_or(|doubt| doubt.intent.ts.is_some())
    }

    pub fn touched(&self) -> EventTime {
        self.memory.touched
    }

    /// When something is to be read again.
    pub fn retell_at(&self) -> Option<EventTime> {
        Rewritten::ALL.into_iter().filter_map(|which| self.memory.slot(which).retell_at()).min()
    }

    pub fn waiting(&self) -> usize {
        self.queued().count()
    }
}

fn urgency(action: &SlackAction) -> Urgency {
    match action.kind {
        SlackActionKind::PostRoot if action.level == Level::Critical => Urgency::CriticalRoot,
        SlackActionKind::PostRoot | SlackActionKind::SetGroup => Urgency::Root,
        SlackActionKind::UpdateRoot if action.terminal => Urgency::Terminal,
        SlackActionKind::UpdateRoot => Urgency::Update,
        SlackActionKind::Reply => Urgency::Reply,
        SlackActionKind::Log => Urgency::Log,
    }
}

fn outcome(
    attempt: &Attempt,
    status: SlackStatus,
    message: Option<Posted>,
    error: Option<String>,
    now: EventTime,
) -> SlackOutcome {
    let Queued { action, offset, .. } = &attempt.queued;
    let blank = blank(action, *offset, attempt.number, now);
    match message {
        Some(Posted { channel_id, ts, thread_ts }) => {
            // Of what is rewritten it is known, and not always answered.
            let thread_ts = thread_ts.or_else(|| attempt.rewrites().and_then(|(_, thread)| thread.cloned()));
            SlackOutcome { status, channel_id: Some(channel_id), ts: Some(ts), thread_ts, error, ..blank }
        }
        None => {
            let ts = attempt.rewrites().map(|(place, _)| place.ts.clone());
            SlackOutcome { status, ts, error, ..blank }
        }
    }
}
