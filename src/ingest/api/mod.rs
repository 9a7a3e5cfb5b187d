//! Alertmanager's API v2, as far as `amtool`, karma and Grafana ask for it: what is known can be read, silences can be made.
//!
//! ```text
//! GET    /api/v2/alerts          ?filter= ?active= ?silenced= ?receiver=       by fingerprint
//! GET    /api/v2/alerts/groups   the same                                      one group a service
//! GET    /api/v2/silences        ?filter=                                      active, pending, expired; what changes next first
//! POST   /api/v2/silences        makes one, or changes the one whose id it bears
//! GET    /api/v2/silence/{id}
//! DELETE /api/v2/silence/{id}    ends it
//! GET    /api/v2/status, /api/v2/receivers
//! ```
//!
//! Contract: `api/v2/openapi.yaml` of Alertmanager 0.25 and later, tried against a real one in `tests/it/ingest/parity.rs`. Differences:
//! there is one receiver, named as the application; `inhibited`, `unprocessed` and `muted` choose nothing, for nothing is that here;
//! an alert that is not told again is gone after five hours, not after `resolve_timeout`; what the specification calls invalid is
//! answered with 400 and words rather than 422; annotations of silences (0.32) are not kept; an id that is none is not found.
//!
//! Everything asks for the bearer token. `POST /api/v2/alerts` is [`crate::ingest::alertmanager`]'s.

pub mod query;
#[cfg(feature = "runtime")]
pub(super) mod serve;
pub mod shown;
pub mod wish;
