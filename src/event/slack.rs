//! What Slack shall be told, and what came of it.
//!
//! A [`SlackAction`] (topic `oncall.slack-actions.v1`) is a whole rendering of one version, never a delta. A
//! [`SlackOutcome`] (topic `oncall.slack-outcomes.v1`) is the sink's journal: an intent is durable before the call, its
//! outcome after it. Both are keyed by incident.

use serde::{Deserialize, Serialize};

use super::alert::Level;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SlackAction {
    /// Deterministic: the same incident, version and kind have the same id on every replay.
    pub id: String,
    pub incident_id: String,
    /// Version of the incident that this renders.
    pub version: i32,
    pub kind: SlackActionKind,
    /// Channel name (`#oncall-payments`) or id, or a user group's.
    pub channel: String,
    pub level: Level,
    /// Fallback and notification text; holds the mention, if any.
    pub text: String,
    /// Block Kit blocks as JSON text.
    pub blocks: String,
    /// The last word on this incident for now (resolved): never coalesced away.
    #[serde(default)]
    pub terminal: bool,
    /// Of a reply: whether it is shown in the channel too.
    #[serde(default)]
    pub broadcast: bool,
    pub created_at_ms: i64,
    /// Of [`SlackActionKind::SetGroup`]: everybody whom the group shall hold.
    #[serde(default)]
    pub users: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SlackActionKind {
    /// The first message of an incident in its channel.
    PostRoot,
    /// Rewrites the root message to this version.
    UpdateRoot,
    /// A message in the root's thread.
    Reply,
    /// The one message in the root's thread that holds the incident's log: posted once, then rewritten to this version.
    Log,
    /// Makes a user group, named in place of the channel, hold these users and nobody else.
    SetGroup,
}

impl SlackActionKind {
    /// Whether it says anew what stands already, instead of adding to it.
    pub fn rewrites(self) -> bool {
        matches!(self, Self::UpdateRoot | Self::Log | Self::SetGroup)
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SlackOutcome {
    pub action_id: String,
    pub incident_id: String,
    pub version: i32,
    pub kind: SlackActionKind,
    pub status: SlackStatus,
    /// Counts the calls of this action that may have had an effect, from 1: a call that surely had none is made again under
    /// the same number.
    #[serde(default = "first_attempt")]
    pub attempt: i32,
    pub channel: String,
    /// Channel id, as Slack answered it.
    pub channel_id: Option<String>,
    /// Timestamp (Slack's message id) of the message posted or rewritten.
    pub ts: Option<String>,
    /// Timestamp of the root of its thread.
    pub thread_ts: Option<String>,
    pub error: Option<String>,
    pub at_ms: i64,
    /// Where in the actions' topic, in the same partition, the action is: what was told can be read again there.
    pub action_offset: Option<i64>,
}

fn first_attempt() -> i32 {
    1
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SlackStatus {
    /// Durable before the call: from here on the call may have happened.
    Intended,
    Done,
    /// Slack said no, for good.
    Rejected,
    /// The call may or may not have had an effect; it is never blindly repeated.
    Unknown,
    /// A newer version of the same message made it needless.
    Superseded,
    /// Durable before the message `ts`, which should not be there, is deleted.
    Removing,
    /// Nothing (more) that should not be there was found, `error` aside. `ts` is the message that the search was about.
    Swept,
}
