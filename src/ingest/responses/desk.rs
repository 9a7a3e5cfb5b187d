//! The one place where an answer is judged and made durable, by whichever door it came.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use prometheus::Registry;
use thiserror::Error;
use tokio::sync::Semaphore;

use super::super::json::Refusal;
use super::super::send::{self, Sender, Sending, Stored};
use super::asking::Asking;
use super::click::{self, Click};
use super::metrics::Metrics;
use crate::actions::{Actions, People};
use crate::clock::Clock;
use crate::codec::Formats;
use crate::event::{Fact, Response, ResponseVerb};
use crate::sink::slack::Token;

/// Slack takes a click for lost after three seconds: what is not durable by then is told to have failed.
const WITHIN: Duration = Duration::from_millis(2_300);
/// After so long, and at most a second in which it does not look, librdkafka gives up: what was told to have failed is not stored
/// later.
pub const STORED_WITHIN: Duration = Duration::from_millis(1_000);
/// Clicks whose doubles are known for doubles.
const RECENT_MAX: usize = 1_000;
/// Lines to clickers that are on their way; more are left unsaid.
const TELLING_MAX: usize = 16;

#[derive(Debug, Error)]
pub enum Error {
    #[error(transparent)]
    Kafka(#[from] send::Error),
    #[error("the metrics of answers cannot be registered: {0}")]
    Metrics(#[from] prometheus::Error),
    #[error("slack.url: {0}")]
    Url(String),
}

pub struct DeskConfig {
    pub sending: Sending,
    pub clock: Clock,
    /// Who may acknowledge, snooze and assign; `None`: everybody.
    pub responders: Option<People>,
    pub actions: Actions,
    /// `https://slack.com/api/`, or a stand-in's.
    pub slack_url: String,
    pub token: Option<Token>,
}

pub struct Desk {
    sender: Sender,
    clock: Clock,
    responders: Option<People>,
    actions: Actions,
    asking: Arc<Asking>,
    metrics: Metrics,
    telling: Arc<Semaphore>,
    recent: Mutex<VecDeque<Recent>>,
}

/// What was asked for lately, of which a second time makes no difference.
struct Recent {
    what: Same,
    by: String,
    at: Instant,
}

type Same = (Option<String>, ResponseVerb, Option<String>, i32);

struct Before {
    by: String,
    secs: u64,
}

/// What came of an answer.
#[derive(Debug)]
pub enum Taken {
    Stored(Stored),
    /// No button of ours.
    Ignored,
    /// Why they may not, in words for them.
    Refused(String),
    /// It is not durable, as far as is known.
    Failed(String),
}

impl Desk {
    pub fn new(config: DeskConfig, formats: Arc<Formats>, registry: &Registry) -> Result<Self, Error> {
        Ok(Self {
            sender: Sender::new(config.sending, formats)?,
            clock: config.clock,
            responders: config.responders,
            actions: config.actions,
            asking: Arc::new(Asking::new(&config.slack_url, config.token).map_err(Error::Url)?),
            metrics: Metrics::register(registry)?,
            telling: Arc::new(Semaphore::new(TELLING_MAX)),
            recent: Mutex::default(),
        })
    }

    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    pub(super) fn asking(&self) -> &Asking {
        &self.asking
    }

    /// A click, as JSON, that is proven to be Slack's.
    pub async fn click(&self, door: &'static str, payload: &[u8]) -> Result<Taken, Refusal> {
        let began = Instant::now();
        let read = click::read(payload, self.clock.now()).inspect_err(|_| self.count(door, "refused", began))?;
        let Some(Click { response, response_url, is_over }) = read else {
            self.count(door, "ignored", began);
            return Ok(Taken::Ignored);
        };
        let judged = tokio::time::timeout(WITHIN, self.judge_and_store(&response)).await;
        let late = || (Taken::Failed("Kafka did not answer in time".to_owned()), None);
        let (taken, before) = judged.unwrap_or_else(|_| late());
        if matches!(taken, Taken::Failed(_)) {
            self.forget(&response);
        }
        self.note(door, &response, &taken, began);
        let line = line(&response, &taken, before, is_over);
        if let (Some(line), Some(url)) = (line, response_url) {
            self.tell(url, line);
        }
        Ok(taken)
    }

    /// And who did the same lately.
    async fn judge_and_store(&self, response: &Response) -> (Taken, Option<Before>) {
        if let Err(why) = self.may(response).await {
            return (Taken::Refused(why), None);
        }
        match self.done_before(response) {
            // A second press on the same rendering: of a quick action its first run may be over already.
            Some(Before { by, secs }) if response.verb == ResponseVerb::Run => {
                let why =
                    format!("<@{by}> asked for it {secs} s ago; press again once the message shows how that ended");
                (Taken::Refused(why), None)
            }
            before => (self.store(response).await, before),
        }
    }

    /// What a program answers, which bears the token.
    pub async fn of_program(&self, response: &Response) -> Taken {
        let began = Instant::now();
        let taken = match self.may_program(response) {
            Err(why) => Taken::Refused(why),
            Ok(()) => self.store(response).await,
        };
        self.note("api", response, &taken, began);
        taken
    }

    async fn store(&self, response: &Response) -> Taken {
        let fact = Fact::Response(response.clone());
        match self.sender.send([&fact], self.clock.now()).await {
            Ok(mut stored) if !stored.is_empty() => Taken::Stored(stored.swap_remove(0)),
            Ok(_) => Taken::Failed("nothing was stored".to_owned()),
            Err(error) => Taken::Failed(error.to_string()),
        }
    }

    async fn may(&self, response: &Response) -> Result<(), String> {
        let people = match &response.action {
            None => self.responders.as_ref(),
            Some(name) => {
                let action = self.actions.get(name).filter(|action| action.is_for(&response.service));
                let action = action.ok_or_else(|| format!("there is no action `{name}` for this service any more"))?;
                action.allowed.as_ref().or(self.responders.as_ref())
            }
        };
        let Some(people) = people else { return Ok(()) };
        if people.users.contains(&response.by) {
            return Ok(());
        }
        match self.asking.is_member(&response.by, &people.groups).await {
            Ok(true) => Ok(()),
            Ok(false) => Err("you are not among those who may".to_owned()),
            Err(why) => {
                tracing::warn!(
                    user = response.by,
                    why,
                    "slack could not be asked who is in a group, so a click was refused"
                );
                Err(format!("Slack could not be asked whether you are among those who may ({why}); try again"))
            }
        }
    }

    fn may_program(&self, response: &Response) -> Result<(), String> {
        let Some(name) = &response.action else { return Ok(()) };
        let action = self.actions.get(name).filter(|action| action.is_for(&response.service));
        match action.map(|action| action.allowed.as_ref().is_some_and(|people| people.api)) {
            None => Err(format!("there is no action `{name}` for this service")),
            Some(false) => {
                Err(format!("programs may not ask for `{name}`; write `allowed: {{ api: true }}` in its action"))
            }
            Some(true) => Ok(()),
        }
    }

    /// Who asked for the very same lately, by the same rendering; else it is remembered.
    fn done_before(&self, response: &Response) -> Option<Before> {
        if !matches!(
            response.verb,
            ResponseVerb::Acknowledge | ResponseVerb::Unacknowledge | ResponseVerb::Unsnooze | ResponseVerb::Run
        ) {
            return None;
        }
        let what = same(response);
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(before) = recent.iter().find(|before| before.what == what) {
            return Some(Before { by: before.by.clone(), secs: before.at.elapsed().as_secs() });
        }
        if recent.len() == RECENT_MAX {
            recent.pop_front();
        }
        recent.push_back(Recent { what, by: response.by.clone(), at: Instant::now() });
        None
    }

    fn forget(&self, response: &Response) {
        let what = same(response);
        self.recent.lock().unwrap_or_else(PoisonError::into_inner).retain(|recent| recent.what != what);
    }

    fn tell(&self, response_url: String, line: String) {
        let Ok(place) = self.telling.clone().try_acquire_owned() else { return };
        let asking = self.asking.clone();
        tokio::spawn(async move {
            if let Err(error) = asking.tell(&response_url, &line).await {
                tracing::warn!(error, "who clicked could not be told");
            }
            drop(place);
        });
    }

    fn note(&self, door: &'static str, response: &Response, taken: &Taken, began: Instant) {
        let Response { by, service, incident_id, .. } = response;
        let (what, incident) = (what(response), incident_id.as_deref().unwrap_or_default());
        match taken {
            Taken::Refused(why) => tracing::warn!(by, service, incident, what, why, "an answer was refused"),
            Taken::Failed(error) => tracing::error!(by, service, incident, what, error, "an answer was not stored"),
            Taken::Stored(_) | Taken::Ignored => tracing::info!(by, service, incident, what, "an answer was stored"),
        }
        let outcome = match taken {
            Taken::Stored(_) => "accepted",
            Taken::Ignored => "ignored",
            Taken::Refused(_) => "refused",
            Taken::Failed(_) => "failed",
        };
        self.count(door, outcome, began);
    }

    pub(super) fn count(&self, door: &'static str, outcome: &'static str, began: Instant) {
        self.metrics.count(door, outcome, began.elapsed().as_secs_f64());
    }
}

/// What who clicked is told beside the change of the message.
fn line(response: &Response, taken: &Taken, before: Option<Before>, is_over: bool) -> Option<String> {
    let what = what(response);
    match taken {
        Taken::Stored(_) if is_over => {
            Some(format!("{what}: recorded, but this incident is over: nothing is done about it any more."))
        }
        Taken::Stored(_) => {
            let Before { by, secs } = before?;
            Some(format!("{what}: <@{by}> did that {secs} s ago. Once more makes no difference."))
        }
        Taken::Refused(why) => Some(format!("{what}: not done, {why}.")),
        Taken::Failed(_) => Some(format!(
            "{what}: this could not be recorded, so take it for not done. Press again in a moment; twice does no harm."
        )),
        Taken::Ignored => None,
    }
}

/// Equal for presses of which the second makes no difference.
fn same(response: &Response) -> Same {
    (response.incident_id.clone(), response.verb, response.action.clone(), response.version)
}

fn what(response: &Response) -> String {
    match (response.verb, &response.action) {
        (ResponseVerb::Run, Some(name)) => format!("Run `{name}`"),
        (verb, _) => format!("{verb:?}"),
    }
}
