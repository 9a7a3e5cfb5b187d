//! One of the janitor's chores being done: look, delete, look again, until nothing is left.
//!
//! A deletion is intended in the journal first, as every call with an effect is; repeating it is harmless. The messages
//! that are the root and the log now are never touched. Whatever else is to be told goes first: then the errand is dropped and begins anew.

use super::attempt::{CLOCK_SKEW_MS, back_off_ms};
use super::call::{Answer, Call, Method};
use super::janitor::{Chore, ChoreKey};
use super::memory::Place;
use super::pace::Target;
use crate::record::EventTime;

#[derive(Clone, Debug, PartialEq)]
enum Step {
    /// In a thread or at top level.
    LookUp {
        thread_ts: Option<String>,
        cursor: String,
    },
    Delete {
        ts: String,
    },
}

impl Step {
    fn look_up(thread_ts: Option<String>) -> Self {
        Step::LookUp { thread_ts, cursor: String::new() }
    }
}

#[derive(Debug)]
pub struct Errand {
    pub key: ChoreKey,
    chore: Chore,
    channel_id: String,
    /// Messages that stay.
    except: Vec<String>,
    step: Step,
    pub in_flight: Option<u64>,
    pub not_before: EventTime,
    failures: u32,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Progress {
    GoOn,
    /// The error, if Slack let something stay.
    Over(Option<String>),
}

impl Errand {
    pub fn start(key: ChoreKey, chore: Chore, root: &Place, log: Option<&Place>, due: EventTime) -> Self {
        let step = match &chore {
            Chore::Copies { thread_ts, .. } => Step::look_up(thread_ts.clone()),
            Chore::GivenUp => Step::Delete { ts: key.1.clone() },
        };
        let except = [Some(root), log].into_iter().flatten().map(|kept| kept.ts.clone());
        let except = except.chain([key.1.clone()]).collect();
        let channel_id = root.channel_id.clone();
        Self { key, chore, channel_id, except, step, in_flight: None, not_before: due, failures: 0 }
    }

    pub fn target(&self) -> Target<'_> {
        Target::of(match &self.step {
            Step::LookUp { thread_ts: Some(_), .. } => Method::Replies,
            Step::LookUp { thread_ts: None, .. } => Method::History,
            Step::Delete { .. } => Method::Delete,
        })
    }

    /// The next call, and which message it deletes.
    pub fn begin(&mut self, ticket: u64) -> (Option<String>, Call) {
        self.in_flight = Some(ticket);
        let channel_id = self.channel_id.clone();
        match &self.step {
            Step::Delete { ts } => (Some(ts.clone()), Call::Delete { channel_id, ts: ts.clone() }),
            Step::LookUp { thread_ts, cursor } => {
                let since = if let Chore::Copies { since, .. } = &self.chore { *since } else { self.not_before };
                let (thread_ts, oldest, cursor) = (thread_ts.clone(), since.plus_ms(-CLOCK_SKEW_MS), cursor.clone());
                let (action_id, except) = (self.key.0.clone(), self.except.clone());
                (None, Call::LookUp { channel_id, thread_ts, oldest, cursor, action_id, except })
            }
        }
    }

    pub fn answered(&mut self, answer: Answer, settle_ms: i64, now: EventTime) -> Progress {
        self.in_flight = None;
        let deletes = matches!(self.step, Step::Delete { .. });
        match answer {
            Answer::RateLimited { wait_ms, .. } => self.not_before = now.plus_ms(wait_ms),
            Answer::NotSent(_) => self.not_before = now.plus_ms(back_off_ms(&mut self.failures)),
            Answer::Unknown(_) => self.not_before = now.plus_ms(settle_ms),
            Answer::Message(_) if deletes => return self.look_again(),
            Answer::Rejected(code) if deletes && code == "message_not_found" => return self.look_again(),
            Answer::Message(found) => self.step = Step::Delete { ts: found.ts },
            Answer::More { cursor } => {
                if let Step::LookUp { cursor: at, .. } = &mut self.step {
                    *at = cursor;
                }
            }
            Answer::Missing if self.is_in_thread() => self.step = Step::look_up(None),
            Answer::Rejected(code) if self.is_in_thread() && code == "thread_not_found" => {
                self.step = Step::look_up(None);
            }
            Answer::Missing | Answer::Channel(_) | Answer::Set => return Progress::Over(None),
            Answer::Rejected(code) => return Progress::Over(Some(code)),
        }
        Progress::GoOn
    }

    fn is_in_thread(&self) -> bool {
        matches!(self.step, Step::LookUp { thread_ts: Some(_), .. })
    }

    /// There may be more than one.
    fn look_again(&mut self) -> Progress {
        let Chore::Copies { thread_ts, .. } = &self.chore else { return Progress::Over(None) };
        self.step = Step::look_up(thread_ts.clone());
        Progress::GoOn
    }
}
