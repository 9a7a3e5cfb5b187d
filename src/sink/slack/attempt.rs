//! One action on its way to Slack: post or rewrite, and after a lost answer look it up before anything else.
//!
//! ```text
//! Post ── no answer ──► LookUp ── found ──► done
//!   ▲                     │ ├──── neither in its thread nor at top level, twice, a settle delay apart ──► Post again, same id
//!   │                     │ └──── refused ──► unknown: recorded, not repeated
//!   └── it is gone, a settle delay long ── Update ── no answer ──► Update again: it says the same
//! Group ── no answer ──► Group again, a settle delay later, before any newer list
//! ```
//! What Slack refuses because of its blocks is told with less of them, at once and in the same place: first without pictures, which Slack
//! fetches from elsewhere and could not, then as plain text.
//! Every call that can have an effect is preceded by an intent of its own, so that whoever may not write the journal any more
//! makes no call. Its `attempt` counts the calls that may have had an effect: a call that surely had none keeps its number.

use super::call::{Answer, Call, Method, Posted};
use super::form::Form;
use super::memory::{Doubt, Memory, Place, blank};
use super::pace::Target;
use crate::event::{SlackAction, SlackActionKind, SlackOutcome};
use crate::record::{EventTime, Offset};

/// An action and where it came from.
#[derive(Clone, Debug, PartialEq)]
pub struct Queued {
    /// None: what Slack showed before is told again, and nobody waits for it to be finished.
    pub waiting: Option<Offset>,
    pub offset: Offset,
    pub action: SlackAction,
    pub since: EventTime,
}

#[derive(Clone, Debug, PartialEq)]
enum Step {
    Post,
    /// `missed`: Slack did not know the message a settle delay ago.
    Update {
        place: Place,
        missed: bool,
    },
    LookUp {
        in_thread: bool,
        cursor: String,
        misses: u8,
    },
    /// A user group's members.
    Group,
}

/// What an answer leads to.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    GoOn,
    Done(Posted),
    /// Done, and there is no message of it.
    Set,
    Rejected(String),
    Unknown(String),
}

#[derive(Clone, Debug)]
pub struct Attempt {
    pub queued: Queued,
    pub number: i32,
    step: Step,
    /// The call that is under way.
    pub in_flight: Option<u64>,
    pub not_before: EventTime,
    /// When this action was first intended: no message of it is older.
    since: Option<EventTime>,
    /// Where a post goes, or went, and where what is rewritten is: in a thread, or at top level.
    thread_ts: Option<String>,
    channel_id: Option<String>,
    /// Calls in a row that came to nothing.
    failures: u32,
    /// How much of it is told, and why not all.
    form: Form,
    refused: Option<String>,
}

impl Attempt {
    pub fn start(queued: Queued, memory: &Memory) -> Self {
        let (kind, root) = (queued.action.kind, memory.root.place.as_ref());
        let rewritten = match kind {
            SlackActionKind::UpdateRoot => root,
            SlackActionKind::Log => memory.log.place.as_ref(),
            SlackActionKind::PostRoot | SlackActionKind::Reply | SlackActionKind::SetGroup => None,
        };
        let step = match rewritten {
            Some(place) => Step::Update { place: place.clone(), missed: false },
            None if kind == SlackActionKind::SetGroup => Step::Group,
            None => Step::Post,
        };
        let thread = root.filter(|_| matches!(kind, SlackActionKind::Reply | SlackActionKind::Log));
        let (thread_ts, channel_id) = (thread.map(|root| root.ts.clone()), root.map(|root| root.channel_id.clone()));
        let not_before = EventTime(i64::MIN);
        let (since, in_flight, failures, form, refused) = (None, None, 0, Form::Whole, None);
        Self { queued, number: 1, step, in_flight, not_before, since, thread_ts, channel_id, failures, form, refused }
    }

    /// After a restart: an intent is durable, its call may have happened, or may still be on its way.
    pub fn resume(queued: Queued, doubt: &Doubt, memory: &Memory, settle_ms: i64, now: EventTime) -> Self {
        let Doubt { intent, first } = doubt;
        let mut attempt = Self::start(queued, memory);
        attempt.number = intent.attempt;
        attempt.since = Some(*first);
        attempt.thread_ts.clone_from(&intent.thread_ts);
        let intended = EventTime(intent.at_ms);
        if attempt.step == Step::Group {
            attempt.number += 1;
            attempt.not_before = intended.max(now).plus_ms(settle_ms);
            return attempt;
        }
        match (&intent.channel_id, &intent.ts) {
            (Some(channel_id), Some(ts)) => {
                let place = Place { channel_id: channel_id.clone(), ts: ts.clone() };
                attempt.step = Step::Update { place, missed: false };
                attempt.number += 1;
                // The lost call may have been made but now, and must not land after this one.
                attempt.not_before = intended.max(now).plus_ms(settle_ms);
            }
            (channel_id, _) => {
                attempt.channel_id = channel_id.clone().or(attempt.channel_id);
                attempt.step = Step::first_look_up(&attempt.thread_ts);
                // What is found early is found; a miss counts only a settle delay from now.
                attempt.not_before = intended.plus_ms(settle_ms);
            }
        }
        attempt
    }

    /// Nothing was promised to the journal yet, so something more urgent may go first.
    pub fn is_fresh(&self) -> bool {
        self.since.is_none()
    }

    /// Look-ups want the channel's id, which may be known from elsewhere.
    pub fn learn_channel(&mut self, known: Option<&str>) {
        if self.channel_id.is_none() {
            let given = self.queued.action.channel.as_str();
            self.channel_id = known.or(Some(given).filter(|given| is_channel_id(given))).map(str::to_owned);
        }
    }

    /// What limits the next call.
    pub fn target(&self) -> Target<'_> {
        match &self.step {
            Step::Post => Target::post_into(&self.queued.action.channel),
            Step::Update { .. } => Target::of(Method::Update),
            Step::Group => Target::of(Method::SetGroup),
            Step::LookUp { .. } if self.channel_id.is_none() => Target::of(Method::List),
            Step::LookUp { in_thread: false, .. } => Target::of(Method::History),
            Step::LookUp { in_thread: true, .. } => Target::of(Method::Replies),
        }
    }

    /// The next call, and the intent of one that can have an effect.
    pub fn begin(&mut self, ticket: u64, now: EventTime) -> (Option<SlackOutcome>, Call) {
        self.in_flight = Some(ticket);
        let action = &self.queued.action;
        let (call, ts, thread_ts) = match &self.step {
            Step::Post => {
                let (channel, thread_ts) = (action.channel.clone(), self.thread_ts.clone());
                let (action_id, content) = (action.id.clone(), self.form.of(action));
                let broadcast = action.broadcast;
                let call = Call::Post { channel, thread_ts: thread_ts.clone(), broadcast, action_id, content };
                (call, None, thread_ts)
            }
            Step::Update { place: Place { channel_id, ts }, .. } => {
                let (channel_id, content) = (channel_id.clone(), self.form.of(action));
                (Call::Update { channel_id, ts: ts.clone(), content }, Some(ts.clone()), self.thread_ts.clone())
            }
            Step::Group => {
                let (group, users) = (action.channel.clone(), action.users.clone());
                (Call::SetGroup { group, users }, None, None)
            }
            Step::LookUp { in_thread, cursor, .. } => return (None, self.look_up(*in_thread, cursor, now)),
        };
        self.since.get_or_insert(now);
        let channel_id = self.channel_id.clone();
        let blank = blank(action, self.queued.offset, self.number, now);
        (Some(SlackOutcome { channel_id, ts, thread_ts, ..blank }), call)
    }

    fn look_up(&self, in_thread: bool, cursor: &str, now: EventTime) -> Call {
        let (action, cursor) = (&self.queued.action, cursor.to_owned());
        match &self.channel_id {
            None => Call::FindChannel { name: action.channel.clone(), cursor },
            Some(channel_id) => Call::LookUp {
                channel_id: channel_id.clone(),
                thread_ts: self.thread_ts.clone().filter(|_| in_thread),
                oldest: self.since.unwrap_or(now).plus_ms(-CLOCK_SKEW_MS),
                cursor,
                action_id: action.id.clone(),
                // A log may have been the root before: what is looked for is in its thread.
                except: self.thread_ts.iter().cloned().collect(),
            },
        }
    }

    pub fn answered(&mut self, answer: Answer, settle_ms: i64, now: EventTime) -> Verdict {
        self.in_flight = None;
        match answer {
            Answer::RateLimited { wait_ms, .. } => {
                self.not_before = now.plus_ms(wait_ms);
                return Verdict::GoOn;
            }
            Answer::NotSent(_) => {
                self.not_before = now.plus_ms(back_off_ms(&mut self.failures));
                return Verdict::GoOn;
            }
            Answer::Unknown(_) => {}
            _ => self.failures = 0,
        }
        match self.step.clone() {
            Step::Post => self.after_post(answer, settle_ms, now),
            Step::Update { missed, .. } => self.after_update(answer, missed, settle_ms, now),
            Step::LookUp { in_thread, misses, .. } => self.after_look_up(answer, (in_thread, misses), settle_ms, now),
            Step::Group => match answer {
                Answer::Set => Verdict::Set,
                Answer::Rejected(code) => Verdict::Rejected(code),
                // As with a rewriting: the lost one must have landed first.
                _ => {
                    self.number += 1;
                    self.not_before = now.plus_ms(settle_ms);
                    Verdict::GoOn
                }
            },
        }
    }

    fn after_post(&mut self, answer: Answer, settle_ms: i64, now: EventTime) -> Verdict {
        match answer {
            Answer::Message(posted) => Verdict::Done(posted),
            Answer::Rejected(code) => self.rejected(code),
            _ => {
                self.step = Step::first_look_up(&self.thread_ts);
                self.not_before = now.plus_ms(settle_ms);
                Verdict::GoOn
            }
        }
    }

    fn after_update(&mut self, answer: Answer, missed: bool, settle_ms: i64, now: EventTime) -> Verdict {
        match answer {
            Answer::Message(posted) => Verdict::Done(posted),
            // Posted but a moment ago it may not be there yet.
            Answer::Rejected(code) if code == "message_not_found" && !missed => {
                if let Step::Update { missed, .. } = &mut self.step {
                    *missed = true;
                }
                self.not_before = now.plus_ms(settle_ms);
                Verdict::GoOn
            }
            // The message is gone or out of reach: this rendering becomes a new one.
            Answer::Rejected(code)
                if matches!(code.as_str(), "message_not_found" | "cant_update_message" | "edit_window_closed") =>
            {
                self.post_again();
                Verdict::GoOn
            }
            Answer::Rejected(code) => self.rejected(code),
            // Repeating is harmless, but only after the lost one can no longer overtake.
            _ => {
                self.number += 1;
                self.not_before = now.plus_ms(settle_ms);
                Verdict::GoOn
            }
        }
    }

    fn after_look_up(
        &mut self,
        answer: Answer,
        (in_thread, misses): (bool, u8),
        settle_ms: i64,
        now: EventTime,
    ) -> Verdict {
        match answer {
            Answer::Message(found) => return Verdict::Done(found),
            Answer::Channel(channel_id) => {
                self.channel_id = Some(channel_id);
                self.step = Step::LookUp { in_thread, cursor: String::new(), misses };
            }
            Answer::More { cursor } => self.step = Step::LookUp { in_thread, cursor, misses },
            Answer::Missing if self.channel_id.is_none() => {
                return Verdict::Unknown("outcome unknown, and no such channel to look it up in".to_owned());
            }
            // Its root was deleted before it came: then it is at top level.
            Answer::Missing if in_thread => {
                self.step = Step::LookUp { in_thread: false, cursor: String::new(), misses };
            }
            Answer::Rejected(code) if in_thread && code == "thread_not_found" => {
                self.step = Step::LookUp { in_thread: false, cursor: String::new(), misses };
            }
            Answer::Missing if misses == 0 => {
                let in_thread = self.thread_ts.is_some();
                self.step = Step::LookUp { in_thread, cursor: String::new(), misses: 1 };
                self.not_before = now.plus_ms(settle_ms);
            }
            Answer::Missing => self.post_again(),
            Answer::Rejected(code) => {
                return Verdict::Unknown(format!("outcome unknown, and it cannot be looked up: {code}"));
            }
            Answer::Set | Answer::Unknown(_) | Answer::NotSent(_) | Answer::RateLimited { .. } => {
                self.not_before = now.plus_ms(back_off_ms(&mut self.failures));
            }
        }
        Verdict::GoOn
    }

    fn post_again(&mut self) {
        self.step = Step::Post;
        self.number += 1;
        self.not_before = EventTime(i64::MIN);
    }

    /// Better without pictures than without buttons, and better plain text than nothing.
    fn rejected(&mut self, code: String) -> Verdict {
        let about_blocks =
            code.starts_with("invalid_blocks") || code == "msg_blocks_too_long" || code == "block_mismatch";
        match self.form.less(&self.queued.action).filter(|_| about_blocks) {
            Some(form) => {
                (self.form, self.refused) = (form, Some(code));
                Verdict::GoOn
            }
            None => Verdict::Rejected(code),
        }
    }

    /// What was left out so that Slack took it, and what Slack had said.
    pub fn left_out(&self) -> Option<String> {
        let refused = self.refused.as_deref()?;
        Some(format!("{}: {refused}", self.form.said()?))
    }

    /// The message that is rewritten, if one is, and the root of its thread.
    pub fn rewrites(&self) -> Option<(&Place, Option<&String>)> {
        if let Step::Update { place, .. } = &self.step { Some((place, self.thread_ts.as_ref())) } else { None }
    }
}

impl Step {
    fn first_look_up(thread_ts: &Option<String>) -> Self {
        Step::LookUp { in_thread: thread_ts.is_some(), cursor: String::new(), misses: 0 }
    }
}

/// A slow clock at Slack's side or ours must not hide a message from its look-up.
pub const CLOCK_SKEW_MS: i64 = 300_000;

/// How long to wait after one more call that came to nothing: half a minute at most.
pub fn back_off_ms(failures: &mut u32) -> i64 {
    *failures += 1;
    1_000 << (*failures - 1).min(5)
}

/// `C…`, `G…` or `D…` in capitals and digits; names are lower case.
fn is_channel_id(channel: &str) -> bool {
    channel.len() >= 9
        && channel.starts_with(['C', 'G', 'D'])
        && channel.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit())
}
