//! What is looked after once the dust has settled: Slack may take a call long after everybody gave it up.
//!
//! - A post that was not found twice was made again: then it may be there twice. The copy that the journal does not name goes.
//! - A root or log that was given up, because Slack did not know it or would not let it be rewritten, may be there after all: it
//!   goes.
//! - A rewriting that was repeated may land after a newer one: what the message shows is told again ([`Passes`] of its slot).
//!
//! Each is seen to twice, a minute and ten minutes after. What lands later than that stays. Where Slack refuses a deletion,
//! the message stays too, and the journal says so. Known from the journal alone, so a crash in between costs one more look.

use std::collections::BTreeMap;

use super::memory::Doubt;
use crate::event::{SlackOutcome, SlackStatus};
use crate::record::EventTime;

const PASSES_MS: [i64; 2] = [60_000, 600_000];

#[derive(Clone, Debug, PartialEq)]
pub enum Chore {
    /// There may be more messages of an action than the one that stays.
    Copies { since: EventTime, thread_ts: Option<String> },
    /// This message may be there, and should not.
    GivenUp,
}

/// An action, and the message that its chore is about.
pub type ChoreKey = (String, String);

#[derive(Debug)]
struct Entry {
    chore: Chore,
    /// What the journal's records of it begin with.
    blank: SlackOutcome,
    passes: Passes,
}

/// When it came up, and when it was last seen to.
#[derive(Clone, Copy, Debug)]
pub struct Passes {
    at: EventTime,
    seen: EventTime,
}

impl Passes {
    pub fn from(at: EventTime) -> Self {
        Self { at, seen: at }
    }

    pub fn seen_at(self, now: EventTime) -> Self {
        Self { seen: self.seen.max(now), ..self }
    }

    /// None: it is over.
    pub fn due(self) -> Option<EventTime> {
        PASSES_MS.iter().map(|pass| self.at.plus_ms(*pass)).find(|due| *due > self.seen)
    }
}

#[derive(Debug, Default)]
pub struct Janitor {
    /// Posts that were made again and have no outcome yet: since when they may be there, and in which thread.
    made_again: BTreeMap<String, (EventTime, Option<String>)>,
    chores: BTreeMap<ChoreKey, Entry>,
}

impl Janitor {
    /// A post that may have had an effect is intended again.
    pub fn made_again(&mut self, before: &Doubt, again: &SlackOutcome) {
        self.made_again.insert(again.action_id.clone(), (before.first, again.thread_ts.clone()));
    }

    /// `ts` is the message that stays.
    pub fn posted(&mut self, ts: &str, outcome: &SlackOutcome) {
        if let Some((since, thread_ts)) = self.made_again.remove(&outcome.action_id) {
            self.add(ts.to_owned(), Chore::Copies { since, thread_ts }, outcome);
        }
    }

    pub fn given_up(&mut self, ts: String, outcome: &SlackOutcome) {
        self.add(ts, Chore::GivenUp, outcome);
    }

    fn add(&mut self, ts: String, chore: Chore, outcome: &SlackOutcome) {
        let key = (outcome.action_id.clone(), ts.clone());
        let blank = SlackOutcome { ts: Some(ts), thread_ts: None, error: None, ..outcome.clone() };
        self.chores.insert(key, Entry { chore, blank, passes: Passes::from(EventTime(outcome.at_ms)) });
    }

    /// This message is one that is rewritten.
    pub fn is_wanted(&mut self, ts: &str) {
        self.chores.retain(|(_, about), entry| about != ts || entry.chore != Chore::GivenUp);
    }

    pub fn swept(&mut self, outcome: &SlackOutcome) {
        let key = (outcome.action_id.clone(), outcome.ts.clone().unwrap_or_default());
        let Some(entry) = self.chores.get_mut(&key) else { return };
        entry.passes.seen = EventTime(outcome.at_ms);
        if entry.passes.due().is_none() {
            self.chores.remove(&key);
        }
    }

    pub fn is_idle(&self) -> bool {
        self.chores.is_empty()
    }

    /// What is to be seen to next, and when.
    pub fn next(&self) -> Option<(EventTime, &ChoreKey, &Chore)> {
        let due = self.chores.iter().filter_map(|(key, entry)| Some((entry.passes.due()?, key, &entry.chore)));
        due.min_by_key(|(due, key, _)| (*due, *key))
    }

    /// A record of this chore, for the journal.
    pub fn record(&self, key: &ChoreKey, status: SlackStatus, now: EventTime) -> Option<SlackOutcome> {
        Some(SlackOutcome { status, at_ms: now.0, ..self.chores.get(key)?.blank.clone() })
    }
}
