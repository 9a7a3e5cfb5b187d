//! What people answer to incidents: clicks in Slack and requests of programs, each a durable fact before it is answered.
//!
//! ```text
//!  POST /slack/interactions ── signature ─┐
//!  Socket Mode ───────────────────────────┤ click ─► may they? ─► topic of responses ─► 200 (or the envelope's ack)
//!  POST /api/v1/incidents/…/responses ────┘ (pure)                      │
//!          bearer token                                                 └─ not in time: 503, and the clicker is told
//! ```
//! Invariants: a click told twice, by Slack or by whoever recorded it, has one id. Nothing is answered with success before it
//! is durable, and everything is answered within Slack's three seconds. What is refused is told to who clicked, alone. Who may
//! is decided here and nowhere later; whether it still makes a difference is the operator's to say, for it knows the incident.
//!
//! What Slack shows: on success nothing, the message itself changes; on a refusal a line that only the clicker sees; if it could
//! not be stored, Slack's own warning at the button, and such a line.

pub mod api;
#[cfg(feature = "runtime")]
mod asking;
pub mod click;
#[cfg(feature = "runtime")]
pub mod desk;
#[cfg(feature = "runtime")]
pub mod doors;
#[cfg(feature = "runtime")]
mod metrics;
pub mod proof;
#[cfg(feature = "runtime")]
pub mod socket;

use sha2::{Digest, Sha256};

/// The same for the same parts.
fn id_of(kind: &str, parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(format!("{}:{part}\n", part.len()));
    }
    format!("{kind}-{}", hex::encode(&hash.finalize()[..16]))
}
