//! A stand-in for Slack that is stricter than Slack: demo and tests talk to it over HTTP with the client of production.
//!
//! It holds the rules that a sink can break without noticing: rate limits per channel and method, metadata that survives
//! an update unless it is sent as `{}`, blocks that vanish when only text is sent, replies that land at top level because
//! their parent was deleted, Block Kit's limits. Faults are switched on by a control call, so that a test decides what
//! happens to which call. Everything is decided in [`workspace`], which is pure: same calls at the same times, same answers.
//!
//! Not here: events, interactivity, files, users. A channel keeps its newest ten thousand messages.

mod blocks;
mod message;
mod methods;
mod pace;
mod render;
#[cfg(feature = "runtime")]
mod server;
pub mod workspace;

#[cfg(feature = "runtime")]
pub use server::FakeSlack;
pub use workspace::{Control, Fault, Reply, Request, Workspace};
