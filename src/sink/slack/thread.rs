//! One incident in one channel: its root message, what waits to be told, and the one action that is being told.
//!
//! Invariants: one action at a time, so calls about one message never overtake each other; renderings are told in the
//! order of their versions; nothing is posted twice unless a look-up has said that it is not there. What must survive a
//! crash changes only in [`Thread::remember`], which is given the journal's records, live and after a restart alike.

use std::collections::{BTreeSet, VecDeque};

use super::attempt::{Attempt, Step, Verdict};
use super::call::{Answer, Call, Posted};
use super::pace::Pace;
use crate::event::{Level, SlackAction, SlackActionKind, SlackOutcome, SlackStatus};
use crate::record::{EventTime, Offset};

/// An action and where it came from. No offset: the sink's own repetition of a rendering.
#[derive(Clone, Debug, PartialEq)]
pub struct Queued {
    pub offset: Option<Offset>,
    pub action: SlackAction,
}

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
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Root {
    channel_id: String,
    ts: String,
}

#[derive(Debug, Default)]
pub struct Thread {
    root: Option<Root>,
    /// The newest rendering that is finished, whatever came of it.
    rendered: i32,
    /// The newest version with a finished reply, and those replies.
    replied: (i32, BTreeSet<String>),
    /// An intent without an outcome, from the journal: its call may have happened.
    doubt: Option<SlackOutcome>,
    /// The newest rendering that Slack took, kept for as long as memory allows: it heals a deleted root.
    shown: Option<SlackAction>,
    renderings: VecDeque<Queued>,
    replies: VecDeque<Queued>,
    attempt: Option<Attempt>,
    touched: EventTime,
}

impl Thread {
    pub fn remember(&mut self, outcome: &SlackOutcome) {
        self.touched = self.touched.max(EventTime(outcome.at_ms));
        let is_reply = outcome.kind == SlackActionKind::Reply;
        match outcome.status {
            SlackStatus::Superseded => return,
            SlackStatus::Intended => {
                // A rendering that is to be posted: there is no root, or no longer.
                if !is_reply && outcome.ts.is_none() {
                    self.root = None;
                }
                // No message of this action is older than its first intent.
                let first = self.doubt.as_ref().filter(|doubt| doubt.action_id == outcome.action_id);
                let at_ms = first.map_or(outcome.at_ms, |first| first.at_ms);
                self.doubt = Some(SlackOutcome { at_ms, ..outcome.clone() });
                return;
            }
            SlackStatus::Done | SlackStatus::Rejected | SlackStatus::Unknown => {}
        }
        if self.doubt.as_ref().is_some_and(|doubt| doubt.action_id == outcome.action_id) {
            self.doubt = None;
        }
        // A reply outside a thread has become the root: its own was deleted, or there was none.
        if let (SlackStatus::Done, Some(channel_id), Some(ts)) = (outcome.status, &outcome.channel_id, &outcome.ts)
            && (!is_reply || outcome.thread_ts.is_none())
        {
            self.root = Some(Root { channel_id: channel_id.clone(), ts: ts.clone() });
        }
        if !is_reply {
            self.rendered = self.rendered.max(outcome.version);
            return;
        }
        if outcome.version > self.replied.0 {
            self.replied = (outcome.version, BTreeSet::new());
        }
        self.replied.1.insert(outcome.action_id.clone());
    }

    /// Takes an action in. What it makes needless is settled at once, and so is it itself if it was told before.
    pub fn accept(&mut self, queued: Queued, now: EventTime) -> Settled {
        self.touched = self.touched.max(now);
        if let Some(fresh) = self.attempt.take_if(|attempt| attempt.is_fresh()) {
            self.put_back(fresh.queued);
        }
        if self.is_known(&queued.action) {
            return Settled { outcome: None, finished: queued.offset };
        }
        if queued.action.kind == SlackActionKind::Reply {
            self.replies.push_back(queued);
            return Settled::default();
        }
        self.renderings.push_back(queued);
        self.coalesce(now)
    }

    fn is_known(&self, action: &SlackAction) -> bool {
        let under_way = self.attempt.as_ref().map(|attempt| &attempt.queued);
        if self.renderings.iter().chain(&self.replies).chain(under_way).any(|queued| queued.action.id == action.id) {
            return true;
        }
        if self.doubt.as_ref().is_some_and(|doubt| doubt.action_id == action.id) {
            return false;
        }
        match action.kind {
            SlackActionKind::Reply if action.version == self.replied.0 => self.replied.1.contains(&action.id),
            SlackActionKind::Reply => action.version < self.replied.0,
            SlackActionKind::PostRoot | SlackActionKind::UpdateRoot => action.version <= self.rendered,
        }
    }

    fn put_back(&mut self, queued: Queued) {
        match queued.action.kind {
            SlackActionKind::Reply => self.replies.push_front(queued),
            SlackActionKind::PostRoot | SlackActionKind::UpdateRoot => self.renderings.push_front(queued),
        }
    }

    /// The last but one rendering goes if nobody would miss it: a post wakes people, a terminal state must be seen, and
    /// what may have been sent needs its outcome.
    fn coalesce(&mut self, now: EventTime) -> Settled {
        let Some(index) = self.renderings.len().checked_sub(2) else { return Settled::default() };
        let Queued { action, .. } = &self.renderings[index];
        let in_doubt = self.doubt.as_ref().is_some_and(|doubt| doubt.action_id == action.id);
        if action.kind == SlackActionKind::PostRoot || action.terminal || in_doubt {
            return Settled::default();
        }
        let Some(Queued { offset, action }) = self.renderings.remove(index) else { return Settled::default() };
        let outcome = SlackOutcome { status: SlackStatus::Superseded, ..blank(&action, 0, now) };
        Settled { outcome: Some(outcome), finished: offset }
    }

    /// Starts on the next action if none is under way, and says what it needs and when.
    pub fn prepare(
        &mut self,
        known_channel: Option<&str>,
        settle_ms: i64,
        now: EventTime,
    ) -> Option<(Urgency, &Attempt)> {
        if self.attempt.is_none() {
            let queued = self.choose()?;
            let root = self.root.as_ref().map(|root| (root.channel_id.as_str(), root.ts.as_str()));
            self.attempt = Some(match self.doubt.as_ref().filter(|doubt| doubt.action_id == queued.action.id) {
                Some(doubt) => Attempt::resume(queued, doubt, root, settle_ms, now),
                None => Attempt::start(queued, root),
            });
        }
        let attempt = self.attempt.as_mut().filter(|attempt| attempt.in_flight.is_none())?;
        attempt.learn_channel(known_channel);
        Some((urgency(&attempt.queued.action), attempt))
    }

    fn choose(&mut self) -> Option<Queued> {
        if let Some(doubt) = &self.doubt {
            let in_doubt = |queued: &Queued| queued.action.id == doubt.action_id;
            if let Some(index) = self.renderings.iter().position(in_doubt) {
                return self.renderings.remove(index);
            }
            if let Some(index) = self.replies.iter().position(in_doubt) {
                return self.replies.remove(index);
            }
        }
        let first = |queued: &Queued| queued.action.kind == SlackActionKind::PostRoot || queued.action.terminal;
        match self.renderings.front() {
            Some(front) if first(front) || self.replies.is_empty() => self.renderings.pop_front(),
            _ => self.replies.pop_front(),
        }
    }

    /// The call to be made now, and the intent that must be durable before it.
    pub fn begin(&mut self, ticket: u64, now: EventTime) -> Option<(Option<SlackOutcome>, Call)> {
        let (intent, call) = self.attempt.as_mut()?.begin(ticket, now);
        if let Some(intent) = &intent {
            self.remember(intent);
        }
        Some((intent, call))
    }

    /// An answer to another call than the one under way is a dead one's: what it brought is in doubt and looked up.
    pub fn answered(&mut self, ticket: u64, answer: Answer, settle_ms: i64, now: EventTime) -> Settled {
        let Some(mut attempt) = self.attempt.take_if(|attempt| attempt.in_flight == Some(ticket)) else {
            return Settled::default();
        };
        let verdict = attempt.answered(answer, settle_ms, now);
        let (status, message, error) = match verdict {
            Verdict::GoOn => {
                self.attempt = Some(attempt);
                return Settled::default();
            }
            Verdict::Done(message) => (SlackStatus::Done, Some(message), None),
            Verdict::Rejected(code) => (SlackStatus::Rejected, None, Some(code)),
            Verdict::Unknown(why) => (SlackStatus::Unknown, None, Some(why)),
        };
        let stray = message.as_ref().is_some_and(|message| attempt.is_stray(message));
        let outcome = outcome(&attempt, status, message, error, now);
        self.remember(&outcome);
        let Attempt { queued: Queued { offset, action }, .. } = attempt;
        if stray {
            self.heal();
        } else if action.kind != SlackActionKind::Reply && status == SlackStatus::Done {
            self.shown = Some(action);
        }
        Settled { outcome: Some(outcome), finished: offset }
    }

    /// The root is now a message that was meant as a reply: it is to show the incident again. A newer rendering that waits
    /// does it as well.
    fn heal(&mut self) {
        if let Some(action) = self.shown.clone().filter(|_| self.renderings.is_empty()) {
            self.renderings.push_back(Queued { offset: None, action });
        }
    }

    pub fn is_idle(&self) -> bool {
        self.attempt.is_none() && self.renderings.is_empty() && self.replies.is_empty()
    }

    /// Idle, and no post in doubt: forgetting it costs at most a new root.
    pub fn may_be_forgotten(&self) -> bool {
        self.is_idle() && self.doubt.as_ref().is_none_or(|doubt| doubt.ts.is_some())
    }

    pub fn touched(&self) -> EventTime {
        self.touched
    }

    pub fn paces(&self) -> Vec<Pace> {
        self.attempt.as_ref().map(Attempt::paces).unwrap_or_default()
    }

    /// Where in its partition the action under way comes from.
    pub fn first_offset(&self) -> Option<Offset> {
        self.attempt.as_ref().and_then(|attempt| attempt.queued.offset)
    }

    pub fn waiting(&self) -> usize {
        self.renderings.len() + self.replies.len() + usize::from(self.attempt.is_some())
    }

    pub fn forget_rendering(&mut self) {
        self.shown = None;
    }
}

fn urgency(action: &SlackAction) -> Urgency {
    match action.kind {
        SlackActionKind::PostRoot if action.level == Level::Critical => Urgency::CriticalRoot,
        SlackActionKind::PostRoot => Urgency::Root,
        SlackActionKind::UpdateRoot if action.terminal => Urgency::Terminal,
        SlackActionKind::UpdateRoot => Urgency::Update,
        SlackActionKind::Reply => Urgency::Reply,
    }
}

fn outcome(
    attempt: &Attempt,
    status: SlackStatus,
    message: Option<Posted>,
    error: Option<String>,
    now: EventTime,
) -> SlackOutcome {
    let blank = blank(&attempt.queued.action, attempt.number, now);
    match message {
        Some(Posted { channel_id, ts, thread_ts }) => {
            SlackOutcome { status, channel_id: Some(channel_id), ts: Some(ts), thread_ts, error, ..blank }
        }
        None => {
            let ts = if let Step::Update { ts, .. } = &attempt.step { Some(ts.clone()) } else { None };
            SlackOutcome { status, ts, error, ..blank }
        }
    }
}

/// An outcome of this action that says nothing yet.
pub fn blank(action: &SlackAction, attempt: i32, now: EventTime) -> SlackOutcome {
    SlackOutcome {
        action_id: action.id.clone(),
        incident_id: action.incident_id.clone(),
        version: action.version,
        kind: action.kind,
        status: SlackStatus::Intended,
        attempt,
        channel: action.channel.clone(),
        channel_id: None,
        ts: None,
        thread_ts: None,
        error: None,
        at_ms: now.0,
    }
}
