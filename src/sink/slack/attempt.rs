//! One action on its way to Slack: post or rewrite, and after a lost answer look it up before anything else.
//!
//! ```text
//! Post ── no answer ──► LookUp ── found ──► done
//!   ▲                     │ ├──── not there, twice, a settle delay apart ──► Post again, same id, new intent
//!   │                     │ └──── refused ──► unknown: recorded, not repeated
//!   └── root is gone ── Update ── no answer ──► Update again: it says the same
//! ```

use super::call::{Answer, Call, Content, Method, Posted};
use super::pace::Pace;
use super::thread::{Queued, blank};
use crate::event::{SlackAction, SlackActionKind, SlackOutcome};
use crate::record::EventTime;

#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    Post { thread_ts: Option<String> },
    Update { channel_id: String, ts: String },
    LookUp { thread_ts: Option<String>, oldest: EventTime, cursor: String, misses: u8 },
}

/// What an answer leads to.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    GoOn,
    Done(Posted),
    Rejected(String),
    Unknown(String),
}

#[derive(Clone, Debug)]
pub struct Attempt {
    pub queued: Queued,
    pub number: i32,
    pub step: Step,
    /// The call that is under way.
    pub in_flight: Option<u64>,
    pub not_before: EventTime,
    /// An intent for what `step` does is durable.
    intended: bool,
    /// When this action was first intended: no message of it is older.
    since: Option<EventTime>,
    /// Where this message's thread was meant to be.
    thread_ts: Option<String>,
    channel_id: Option<String>,
    /// Calls in a row that came to nothing.
    failures: u32,
    /// Slack refused the blocks.
    plain: bool,
}

/// A slow clock at Slack's side or ours must not hide a message from its look-up.
const CLOCK_SKEW_MS: i64 = 300_000;

impl Attempt {
    /// `root`: channel id and timestamp.
    pub fn start(queued: Queued, root: Option<(&str, &str)>) -> Self {
        let step = match (queued.action.kind, root) {
            (SlackActionKind::UpdateRoot, Some((channel_id, ts))) => {
                Step::Update { channel_id: channel_id.to_owned(), ts: ts.to_owned() }
            }
            (SlackActionKind::Reply, root) => Step::Post { thread_ts: root.map(|(_, ts)| ts.to_owned()) },
            (SlackActionKind::PostRoot | SlackActionKind::UpdateRoot, _) => Step::Post { thread_ts: None },
        };
        Self::at(queued, step, root.map(|(channel_id, _)| channel_id))
    }

    /// After a restart: the intent is durable, its call may have happened, or may still be on its way.
    pub fn resume(
        queued: Queued,
        intent: &SlackOutcome,
        root: Option<(&str, &str)>,
        settle_ms: i64,
        now: EventTime,
    ) -> Self {
        let oldest = EventTime(intent.at_ms);
        let known = intent.channel_id.as_deref().or(root.map(|(channel_id, _)| channel_id));
        // One intent covers every repetition, so the last call may be but a moment old: a rewrite waits from now on, lest that
        // one lands after a newer rendering. A look-up need not: only its second miss counts.
        let (step, called) = match (&intent.channel_id, &intent.ts) {
            (Some(channel_id), Some(ts)) => {
                (Step::Update { channel_id: channel_id.clone(), ts: ts.clone() }, oldest.max(now))
            }
            _ => {
                let thread_ts = intent.thread_ts.clone();
                (Step::LookUp { thread_ts, oldest, cursor: String::new(), misses: 0 }, oldest)
            }
        };
        let mut attempt = Self::at(queued, step, known);
        attempt.thread_ts = intent.thread_ts.clone();
        attempt.number = intent.attempt;
        attempt.not_before = called.plus_ms(settle_ms);
        (attempt.intended, attempt.since) = (true, Some(oldest));
        attempt
    }

    fn at(queued: Queued, step: Step, channel_id: Option<&str>) -> Self {
        Self {
            queued,
            number: 1,
            step,
            in_flight: None,
            not_before: EventTime(i64::MIN),
            intended: false,
            since: None,
            thread_ts: None,
            channel_id: channel_id.map(str::to_owned),
            failures: 0,
            plain: false,
        }
    }

    /// Nothing was promised to the journal yet, so something more urgent may go first.
    pub fn is_fresh(&self) -> bool {
        !self.intended && self.number == 1
    }

    /// Look-ups want the channel's id, which may be known from elsewhere.
    pub fn learn_channel(&mut self, known: Option<&str>) {
        if self.channel_id.is_none() {
            let given = self.queued.action.channel.as_str();
            self.channel_id = known.or(Some(given).filter(|given| is_channel_id(given))).map(str::to_owned);
        }
    }

    /// What limits the next call.
    pub fn paces(&self) -> Vec<Pace> {
        match &self.step {
            Step::Post { .. } => {
                vec![Pace::Method(Method::PostMessage), Pace::Channel(self.queued.action.channel.clone())]
            }
            Step::Update { .. } => vec![Pace::Method(Method::Update)],
            Step::LookUp { .. } if self.channel_id.is_none() => vec![Pace::Method(Method::List)],
            Step::LookUp { thread_ts: None, .. } => vec![Pace::Method(Method::History)],
            Step::LookUp { thread_ts: Some(_), .. } => vec![Pace::Method(Method::Replies)],
        }
    }

    /// An intent only where the call can have an effect, and only once for each time it may be made.
    pub fn begin(&mut self, ticket: u64, now: EventTime) -> (Option<SlackOutcome>, Call) {
        self.in_flight = Some(ticket);
        let action = &self.queued.action;
        let (call, target) = match &self.step {
            Step::Post { thread_ts } => {
                let (channel, thread_ts) = (action.channel.clone(), thread_ts.clone());
                let target = (self.channel_id.clone(), None, thread_ts.clone());
                let (action_id, content) = (action.id.clone(), content(action, self.plain));
                (Call::Post { channel, thread_ts, action_id, content }, target)
            }
            Step::Update { channel_id, ts } => {
                let target = (Some(channel_id.clone()), Some(ts.clone()), None);
                let (channel_id, ts) = (channel_id.clone(), ts.clone());
                (Call::Update { channel_id, ts, content: content(action, self.plain) }, target)
            }
            Step::LookUp { thread_ts, oldest, cursor, .. } => {
                return (None, self.look_up(thread_ts, *oldest, cursor));
            }
        };
        if std::mem::replace(&mut self.intended, true) {
            return (None, call);
        }
        self.since.get_or_insert(now);
        let (channel_id, ts, thread_ts) = target;
        self.thread_ts.clone_from(&thread_ts);
        (Some(SlackOutcome { channel_id, ts, thread_ts, ..blank(action, self.number, now) }), call)
    }

    fn look_up(&self, thread_ts: &Option<String>, oldest: EventTime, cursor: &str) -> Call {
        let (action, cursor) = (&self.queued.action, cursor.to_owned());
        match &self.channel_id {
            None => Call::FindChannel { name: action.channel.clone(), cursor },
            Some(channel_id) => Call::LookUp {
                channel_id: channel_id.clone(),
                thread_ts: thread_ts.clone(),
                oldest: oldest.plus_ms(-CLOCK_SKEW_MS),
                cursor,
                action_id: action.id.clone(),
            },
        }
    }

    pub fn answered(&mut self, answer: Answer, settle_ms: i64, now: EventTime) -> Verdict {
        self.in_flight = None;
        match answer {
            Answer::RateLimited { wait_ms } => {
                self.not_before = now.plus_ms(wait_ms);
                return Verdict::GoOn;
            }
            Answer::NotSent(_) => {
                self.back_off(now);
                return Verdict::GoOn;
            }
            _ => {}
        }
        match self.step.clone() {
            Step::Post { thread_ts } => self.after_post(answer, thread_ts, settle_ms, now),
            Step::Update { .. } => self.after_update(answer, settle_ms, now),
            Step::LookUp { thread_ts, oldest, misses, .. } => {
                self.after_look_up(answer, (thread_ts, oldest, misses), settle_ms, now)
            }
        }
    }

    fn after_post(&mut self, answer: Answer, thread_ts: Option<String>, settle_ms: i64, now: EventTime) -> Verdict {
        match answer {
            Answer::Message(posted) => Verdict::Done(posted),
            Answer::Rejected(code) => self.rejected(code),
            _ => {
                let oldest = self.since.unwrap_or(now);
                self.step = Step::LookUp { thread_ts, oldest, cursor: String::new(), misses: 0 };
                self.not_before = now.plus_ms(settle_ms);
                Verdict::GoOn
            }
        }
    }

    fn after_update(&mut self, answer: Answer, settle_ms: i64, now: EventTime) -> Verdict {
        match answer {
            Answer::Message(posted) => Verdict::Done(posted),
            // The root is gone or out of reach: this rendering becomes a new one.
            Answer::Rejected(code)
                if matches!(code.as_str(), "message_not_found" | "cant_update_message" | "edit_window_closed") =>
            {
                self.post_again();
                Verdict::GoOn
            }
            Answer::Rejected(code) => self.rejected(code),
            // Repeating is harmless, but only after the lost one can no longer overtake.
            _ => {
                self.not_before = now.plus_ms(settle_ms);
                Verdict::GoOn
            }
        }
    }

    fn after_look_up(
        &mut self,
        answer: Answer,
        (thread_ts, oldest, misses): (Option<String>, EventTime, u8),
        settle_ms: i64,
        now: EventTime,
    ) -> Verdict {
        let again = |thread_ts, misses, cursor| Step::LookUp { thread_ts, oldest, cursor, misses };
        match answer {
            Answer::Message(found) => return Verdict::Done(found),
            Answer::Channel(channel_id) => {
                self.channel_id = Some(channel_id);
                self.step = again(thread_ts, misses, String::new());
            }
            Answer::More { cursor } => self.step = again(thread_ts, misses, cursor),
            Answer::Missing if self.channel_id.is_none() => {
                return Verdict::Unknown("outcome unknown, and no such channel to look it up in".to_owned());
            }
            Answer::Missing if misses == 0 => {
                self.step = again(thread_ts, 1, String::new());
                self.not_before = now.plus_ms(settle_ms);
            }
            Answer::Missing => self.post_again(),
            // Its root was deleted: it may be at top level.
            Answer::Rejected(code) if code == "thread_not_found" && thread_ts.is_some() => {
                self.step = again(None, misses, String::new());
            }
            Answer::Rejected(code) => {
                return Verdict::Unknown(format!("outcome unknown, and it cannot be looked up: {code}"));
            }
            Answer::Unknown(_) | Answer::NotSent(_) | Answer::RateLimited { .. } => self.back_off(now),
        }
        Verdict::GoOn
    }

    /// The same action, told anew: it needs an intent of its own.
    fn post_again(&mut self) {
        self.step = Step::Post { thread_ts: self.thread_ts.take() };
        self.intended = false;
        self.number += 1;
        self.not_before = EventTime(i64::MIN);
    }

    /// Better plain text than nothing.
    fn rejected(&mut self, code: String) -> Verdict {
        let about_blocks =
            code.starts_with("invalid_blocks") || code == "msg_blocks_too_long" || code == "block_mismatch";
        if about_blocks && !self.plain {
            self.plain = true;
            return Verdict::GoOn;
        }
        Verdict::Rejected(code)
    }

    fn back_off(&mut self, now: EventTime) {
        self.not_before = now.plus_ms(1_000 << self.failures.min(5));
        self.failures += 1;
    }

    /// Meant for a thread, but at top level.
    pub fn is_stray(&self, message: &Posted) -> bool {
        self.queued.action.kind == SlackActionKind::Reply && message.thread_ts.is_none()
    }
}

fn content(action: &SlackAction, plain: bool) -> Content {
    let blocks = Some(action.blocks.clone()).filter(|blocks| !plain && !blocks.is_empty());
    Content { text: action.text.clone(), blocks }
}

/// `C…`, `G…` or `D…` in capitals and digits; names are lower case.
fn is_channel_id(channel: &str) -> bool {
    channel.len() >= 9
        && channel.starts_with(['C', 'G', 'D'])
        && channel.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit())
}
