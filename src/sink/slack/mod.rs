//! The Slack sink: actions from their topic to Slack, each told once as far as anyone can promise that.
//!
//! ```text
//! actions ──► worker ── intent, offsets ──► outcomes (the journal)
//!               │ ▲                             │ read back on every assignment
//!               ▼ │ answer                      ▼
//!             calls ──► Slack                 ledger: which message shows what, what is in doubt
//! ```
//! [`ledger`], its threads and attempts decide and are pure; [`worker`] and [`client`] do. Slack has no idempotency key,
//! so a post whose answer is lost is looked up by the metadata it carries, in its thread and at top level, and never repeated
//! blindly. A post that Slack takes only after both look-ups is there twice until the janitor removes it, a minute or ten
//! after; so is a rewriting that lands after a newer one put right. What comes later than that stays.
//!
//! Two messages of a thread are rewritten, its root and its log; they differ in nothing but where they are posted and how long they
//! wait: a log leaves half of every burst to what is more urgent. A root that is lost takes its thread with it, so the log is told
//! again in the thread of the new one.
//!
//! So: **effectively once**, which is at least once with doubles that are found and removed; and in the end a root shows the
//! newest version that was told of its incident, and so does its log. Exceptions, each recorded: Slack refused it for good (`rejected`), history
//! may not be read (`unknown`: not repeated, and the incident's next rendering is posted as a root), or a double may not be
//! deleted (`swept` with the error).
//!
//! A rendering is the whole state in one version, never a delta, and one process writes to a message: the one that owns the
//! partition of its incident, which every call that can have an effect proves by a commit of its own.
//!
//! The outcomes topic has as many partitions as the actions topic and must not be compacted: an incident's journal is
//! more than its last record. Its retention bounds how long a message can still be rewritten.
//!
//! What Slack refuses because of its blocks is told with less of them (`form`): without pictures, then as plain text. Its outcome says so.
//!
//! A user group's members are told the same way, without a message: the whole list, again if its answer was lost, and a newer list only
//! after the settle delay of a lost one. What Slack takes later than that stands until the next hand-over.
//!
//! Not here: what a message says (the notify operator), buttons, a second writer to one message, messages that a person
//! deletes and of which nothing more is to be told.

mod attempt;
pub mod call;
#[cfg(feature = "runtime")]
mod calls;
#[cfg(feature = "runtime")]
mod client;
mod errand;
mod form;
mod janitor;
pub mod ledger;
mod memory;
#[cfg(feature = "runtime")]
mod metrics;
mod pace;
#[cfg(feature = "runtime")]
mod records;
#[cfg(feature = "runtime")]
mod start;
#[cfg(test)]
#[cfg(feature = "runtime")]
mod tests;
mod thread;
mod window;
#[cfg(feature = "runtime")]
mod worker;

#[cfg(feature = "runtime")]
pub use self::client::Token;
#[cfg(feature = "runtime")]
pub use self::start::{Error, SlackSink, SlackSinkConfig};
