//! A stand-in for Slack that is stricter than Slack: demo and tests talk to it over HTTP with the client of production.
//!
//! It holds the rules that a sink can break without noticing: rate limits per channel and method, metadata that survives
//! an update unless it is sent as `{}`, blocks that vanish when only text is sent, replies that land at top level because
//! their parent was deleted, Block Kit's limits, pictures that cannot be fetched ([`pictures`]; only from this machine). Faults are switched on by a control call: a test decides what happens to
//! which call, or gives a seed that does. Everything is decided in [`workspace`], which is pure: same calls at the same times,
//! same answers.
//!
//! User groups are made by a control call, for making them is no method that is needed. People press buttons too ([`clicks`]).
//! Not here: events, views, files, users. A channel keeps its newest ten thousand messages.

mod blocks;
mod clicks;
mod faults;
mod message;
mod methods;
mod pace;
mod page;
#[cfg(feature = "runtime")]
mod pictures;
mod render;
#[cfg(feature = "runtime")]
mod server;
#[cfg(feature = "runtime")]
mod socket;
pub mod workspace;

pub use clicks::{Ephemeral, Press, signed};
pub use faults::Fault;
pub use message::Ts;
pub use render::body as rendered;
#[cfg(feature = "runtime")]
pub use server::FakeSlack;
#[cfg(feature = "runtime")]
pub use socket::Sockets;
pub use workspace::{Control, Reply, Request, Workspace};
