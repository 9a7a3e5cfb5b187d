//! What the journal says about one incident in one channel: where its root and its log are and what they show, what is in doubt,
//! and what the janitor has to see to.
//!
//! Invariant: it changes only in [`Memory::remember`], which is given the journal's records, live and after a restart alike.
//! So a crash at any step leaves what a successor reads, and nothing else.

use std::collections::BTreeSet;

use super::janitor::{Janitor, Passes};
use crate::event::{SlackAction, SlackActionKind, SlackOutcome, SlackStatus};
use crate::record::{EventTime, Offset};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub channel_id: String,
    pub ts: String,
}

/// The two messages of a thread that are rewritten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rewritten {
    Root,
    /// In the root's thread.
    Log,
}

impl Rewritten {
    pub const ALL: [Self; 2] = [Self::Root, Self::Log];

    /// A user group's list has no message and no thread: it stands in the root's place.
    pub fn by(kind: SlackActionKind) -> Option<Self> {
        match kind {
            SlackActionKind::PostRoot | SlackActionKind::UpdateRoot | SlackActionKind::SetGroup => Some(Self::Root),
            SlackActionKind::Log => Some(Self::Log),
            SlackActionKind::Reply => None,
        }
    }
}

/// What is known of one of them.
#[derive(Debug, Default)]
pub struct Slot {
    pub place: Option<Place>,
    /// It does not show what was told last: a reply has become the root, or the log was left behind in another thread.
    owed: bool,
    /// The newest rendering that is finished, whatever came of it.
    rendered: i32,
    /// The newest rendering that a newer one, further on in the topic, has made needless.
    superseded: i32,
    /// The newest rendering that Slack took, and where it can be read again.
    pub shown: Option<Offset>,
    /// A rewriting was repeated, so an older one may land yet.
    late: Option<Passes>,
}

impl Slot {
    /// Slack took a rendering, by a call of that time.
    fn took(&mut self, offset: Option<Offset>, called: EventTime) {
        self.shown = offset.or(self.shown);
        self.late = self.late.map(|late| late.seen_at(called)).filter(|late| late.due().is_some());
    }

    /// What it shows is to be told once more, now.
    pub fn owes(&self, now: EventTime) -> bool {
        self.owed || self.retell_at().is_some_and(|at| at <= now)
    }

    /// The same, now or later.
    pub fn is_idle(&self) -> bool {
        self.late.is_none() && !(self.owed && self.shown.is_some())
    }

    pub fn retell_at(&self) -> Option<EventTime> {
        self.late.and_then(Passes::due)
    }

    /// What it shows cannot be read again.
    fn cannot_retell(&mut self) {
        (self.shown, self.owed, self.late) = (None, false, None);
    }
}

/// An intent without an outcome: its call may have happened, may happen yet, or never.
#[derive(Clone, Debug, PartialEq)]
pub struct Doubt {
    /// The last one; where it was repeated, `first` is the time of the first one.
    pub intent: SlackOutcome,
    pub first: EventTime,
}

impl Doubt {
    pub fn is_of(&self, action: &SlackAction) -> bool {
        self.intent.action_id == action.id
    }

    /// Unknown for journals from before this was noted.
    pub fn offset(&self) -> Option<Offset> {
        self.intent.action_offset.map(Offset)
    }
}

#[derive(Debug, Default)]
pub struct Memory {
    pub root: Slot,
    pub log: Slot,
    /// The newest version with a finished reply, and those replies.
    replied: (i32, BTreeSet<String>),
    pub doubt: Option<Doubt>,
    pub janitor: Janitor,
    pub touched: EventTime,
}

impl Memory {
    pub fn slot(&self, which: Rewritten) -> &Slot {
        match which {
            Rewritten::Root => &self.root,
            Rewritten::Log => &self.log,
        }
    }

    fn slot_mut(&mut self, which: Rewritten) -> &mut Slot {
        match which {
            Rewritten::Root => &mut self.root,
            Rewritten::Log => &mut self.log,
        }
    }

    pub fn remember(&mut self, outcome: &SlackOutcome) {
        self.touched = self.touched.max(EventTime(outcome.at_ms));
        match outcome.status {
            SlackStatus::Superseded => {
                if let Some(which) = Rewritten::by(outcome.kind) {
                    let slot = self.slot_mut(which);
                    slot.superseded = slot.superseded.max(outcome.version);
                }
            }
            SlackStatus::Removing => {}
            SlackStatus::Swept => self.janitor.swept(outcome),
            SlackStatus::Intended => self.intended(outcome),
            SlackStatus::Done | SlackStatus::Rejected | SlackStatus::Unknown => self.finished(outcome),
        }
    }

    fn intended(&mut self, outcome: &SlackOutcome) {
        if outcome.kind == SlackActionKind::SetGroup {
            // Its repetition is harmless, and there is no message that could be there twice.
            let first = EventTime(outcome.at_ms);
            self.doubt = Some(Doubt { intent: outcome.clone(), first });
            return;
        }
        let before = self.doubt.take().filter(|doubt| doubt.intent.action_id == outcome.action_id);
        let first = before.as_ref().map_or(EventTime(outcome.at_ms), |before| before.first);
        let which = Rewritten::by(outcome.kind);
        if let Some(before) = before.filter(|before| outcome.attempt > before.intent.attempt) {
            match (&before.intent.ts, &outcome.ts, which) {
                (None, None, _) => self.janitor.made_again(&before, outcome),
                (Some(_), Some(_), Some(which)) => {
                    self.slot_mut(which).late = Some(Passes::from(EventTime(outcome.at_ms)));
                }
                _ => {}
            }
        }
        // A rendering that is to be posted: its message is not there, or no longer.
        if let Some(which) = which.filter(|_| outcome.ts.is_none())
            && let Some(place) = self.slot_mut(which).place.take()
        {
            if outcome.kind != SlackActionKind::PostRoot {
                self.janitor.given_up(place.ts, outcome);
            }
            if which == Rewritten::Root {
                self.leave_log();
            }
        }
        self.doubt = Some(Doubt { intent: outcome.clone(), first });
    }

    fn finished(&mut self, outcome: &SlackOutcome) {
        let doubt = self.doubt.take_if(|doubt| doubt.intent.action_id == outcome.action_id);
        if outcome.status == SlackStatus::Done {
            self.done(outcome, doubt.map_or(EventTime(outcome.at_ms), |doubt| EventTime(doubt.intent.at_ms)));
        }
        if let Some(which) = Rewritten::by(outcome.kind) {
            let slot = self.slot_mut(which);
            slot.rendered = slot.rendered.max(outcome.version);
            // What was refused would be refused again.
            slot.owed &= outcome.status == SlackStatus::Done;
            return;
        }
        if outcome.version > self.replied.0 {
            self.replied = (outcome.version, BTreeSet::new());
        }
        self.replied.1.insert(outcome.action_id.clone());
    }

    fn done(&mut self, outcome: &SlackOutcome, called: EventTime) {
        let (Some(channel_id), Some(ts)) = (&outcome.channel_id, &outcome.ts) else { return };
        self.janitor.posted(ts, outcome);
        let place = Place { channel_id: channel_id.clone(), ts: ts.clone() };
        let which = Rewritten::by(outcome.kind);
        if let Some(which) = which {
            let slot = self.slot_mut(which);
            slot.took(outcome.action_offset.map(Offset), called);
            slot.owed = false;
        }
        // What belongs into a thread and is in none has become the root: its own was deleted, or there was none.
        let stray = which != Some(Rewritten::Root) && outcome.thread_ts.is_none();
        if stray || which == Some(Rewritten::Root) {
            self.set_root(place, stray, outcome);
        } else if which == Some(Rewritten::Log) {
            self.janitor.is_wanted(&place.ts);
            self.log.place = Some(place);
        }
    }

    fn set_root(&mut self, place: Place, stray: bool, outcome: &SlackOutcome) {
        if self.root.place.as_ref().is_none_or(|root| root.ts != place.ts) {
            self.janitor.is_wanted(&place.ts);
            let before = self.root.place.replace(place);
            if let Some(before) = before.filter(|_| stray) {
                self.janitor.given_up(before.ts, outcome);
            }
            self.leave_log();
        }
        self.root.owed = stray;
    }

    /// The thread is another one: there is no log in it yet.
    fn leave_log(&mut self) {
        self.log.place = None;
        self.log.owed = self.log.shown.is_some();
    }

    /// Nothing is there any more at this offset.
    pub fn gone(&mut self, offset: Offset) {
        self.doubt.take_if(|doubt| doubt.offset() == Some(offset));
        for which in Rewritten::ALL {
            let slot = self.slot_mut(which);
            if slot.shown == Some(offset) {
                slot.cannot_retell();
            }
        }
    }

    /// Told before, so that it is not told again.
    pub fn has_told(&self, action: &SlackAction) -> bool {
        if self.doubt.as_ref().is_some_and(|doubt| doubt.is_of(action)) {
            return false;
        }
        let Some(which) = Rewritten::by(action.kind) else {
            return match action.version == self.replied.0 {
                true => self.replied.1.contains(&action.id),
                false => action.version < self.replied.0,
            };
        };
        let slot = self.slot(which);
        let may_be_skipped = action.kind.rewrites() && !action.terminal;
        action.version <= slot.rendered || may_be_skipped && action.version <= slot.superseded
    }
}

/// An outcome of this action that says nothing yet.
pub fn blank(action: &SlackAction, offset: Offset, attempt: i32, now: EventTime) -> SlackOutcome {
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
        action_offset: Some(offset.0),
    }
}
