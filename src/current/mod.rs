//! What is going on now: the alerts that fire, the silences there are, and whom the ones keep from hearing of the others.
//!
//! ```text
//! oncall.alerts.v1 ───► Alerts ───┐
//!                                 ├─► GET /api/v2/…        Silences ─► an alert is marked as it is received
//! oncall.silences.v1 ─► Silences ─┴─► Effects ─► oncall.responses.v1 (silence, unsilence), service by service
//! ```
//!
//! Pure: folds over facts with their places in the log, and decisions with the time handed in. Every process has the whole of it, for
//! it reads every partition. What a reader of `oncall.responses.v1` can rely on:
//!
//! - For every alert that fires under a silence in force there is a `silence` response of its service, or the alert bears that
//!   silence itself (`muted_by`, `muted_until_ms`), whichever process took it in and whenever it died: what is due is derived from
//!   the two topics, and told again by who starts.
//! - A silence that is ended before its time is followed by `unsilence` for every service with such an alert. One that ends by itself
//!   is not: its end was told.
//! - The same may be told more than once, by each process and after a restart, under the same id as long as it covers the same alerts.
//!
//! Not here: reading and writing topics (`ingest::view`), Alertmanager's JSON (`ingest::api`), and what quiet means for an
//! incident, which the operators decide.
#![deny(clippy::disallowed_methods, clippy::disallowed_types, clippy::disallowed_macros)]

mod alerts;
mod change;
mod effects;
mod matcher;
mod silences;

pub use alerts::{Alerts, STALE_MS, Told};
pub use change::{Refused, SILENCES_MAX, Wish, expire, set};
pub use effects::{Due, Effects};
pub use matcher::{Matcher, Pattern};
pub use silences::{Known, RETENTION_MS, Silences, State};
