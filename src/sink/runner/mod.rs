//! The runner: does what people asked for at the press of a button, each once at most, and says how it ended.
//!
//! ```text
//! action-runs ── requested ──► worker ── started, offsets ──► action-runs
//!      ▲                         │ ▲
//!      │                 execute ▼ │ ended
//!      └── succeeded, failed, ── runs ──► a program, or an HTTP call
//!          unknown
//! ```
//! One turn: poll; take in what came and what ended; choose what starts; commit `started`, results and input offsets in one
//! transaction; only then execute. So `started` is durable before anything is done, and a member that lost its partition
//! cannot commit it: its offsets are refused, and nothing is done. What a run is known by is the topic itself: on every
//! assignment its partition is read from its beginning, which is as long as its retention; people press few buttons.
//!
//! | it dies                  | outside       | topic                 | the successor                                   |
//! |--------------------------|---------------|-----------------------|-------------------------------------------------|
//! | before `started`         | nothing       | requested             | reads the request again, does it                |
//! | after it, nothing done   | nothing       | requested, started    | `unknown`; does nothing                         |
//! | while it is done, or after | all or part | requested, started    | `unknown`; does nothing                         |
//! | after its result         | all of it     | and how it ended      | knows it                                        |
//!
//! A run is done **at most once**, also if its request is told twice; what nobody can know is said. A request that waited for
//! longer than [`ledger::HOLDS_MS`] is not done any more: what was right then may be wrong now.
//!
//! Not here: who may ask (decided before it was a fact), what the thread shows (the operators), retries: people press again.

#[cfg(feature = "runtime")]
mod execute;
pub mod ledger;
#[cfg(feature = "runtime")]
mod metrics;
#[cfg(feature = "runtime")]
mod output;
#[cfg(feature = "runtime")]
mod records;
#[cfg(feature = "runtime")]
mod runs;
#[cfg(feature = "runtime")]
mod start;
#[cfg(feature = "runtime")]
#[cfg(test)]
mod tests;
#[cfg(feature = "runtime")]
mod worker;

#[cfg(feature = "runtime")]
pub use self::start::{Error, Runner, RunnerConfig};
