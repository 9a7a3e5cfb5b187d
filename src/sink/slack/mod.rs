//! The Slack sink: actions from their topic to Slack, each told once as far as anyone can promise that.
//!
//! ```text
//! actions ──► worker ── intent, offsets ──► outcomes (the journal)
//!               │ ▲                             │ read back on every assignment
//!               ▼ │ answer                      ▼
//!             calls ──► Slack                 ledger: which message shows what, what is in doubt
//! ```
//! [`ledger`], its threads and attempts decide and are pure; [`worker`] and [`client`] do. Slack has no idempotency key,
//! so a post whose answer is lost is looked up by the metadata it carries, and never repeated blindly. What remains: a
//! post that Slack takes only after both look-ups is there twice; where history may not be read, it is recorded as unknown.
//!
//! The outcomes topic has as many partitions as the actions topic and must not be compacted: an incident's journal is
//! more than its last record. Its retention bounds how long a message can still be rewritten.
//!
//! Not here: what a message says (the notify operator), buttons, a second writer to one message.

mod attempt;
pub mod call;
#[cfg(feature = "runtime")]
mod calls;
#[cfg(feature = "runtime")]
mod client;
pub mod ledger;
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
