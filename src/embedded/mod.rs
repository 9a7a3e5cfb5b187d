//! Stand-ins in the same binary for what is usually somewhere else, so that trying, developing and testing need nothing
//! installed. Each speaks its original's protocol over loopback and is reached through the ordinary client: there is one path.

pub mod broker;
mod journal;
pub mod registry;
mod server;
pub mod slack;
