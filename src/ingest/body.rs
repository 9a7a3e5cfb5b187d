//! Bodies of bounded size, and what is done with the others.
//!
//! Invariants: never more than the limit is held in memory. A body that is refused is read away up to a bound, piece by
//! piece: a server that hangs up on a sender in the middle of its sentence takes the answer from it.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, header};
use http_body_util::BodyExt;
use tokio::time::timeout;

const DISCARDED_BYTES: usize = 32 * 1024 * 1024;
const DISCARDED_FOR: Duration = Duration::from_secs(5);

#[derive(Debug, PartialEq)]
pub(super) enum NoBody {
    TooLarge,
    TooSlow,
    /// The sender went away.
    Broken,
}

/// What the sender says it will send.
pub(super) fn announced(headers: &HeaderMap) -> Option<usize> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

pub(super) async fn collect(body: &mut Body, limit: usize, patience: Duration) -> Result<Vec<u8>, NoBody> {
    timeout(patience, pieces(body, limit)).await.unwrap_or(Err(NoBody::TooSlow))
}

async fn pieces(body: &mut Body, limit: usize) -> Result<Vec<u8>, NoBody> {
    let mut collected = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| NoBody::Broken)?.into_data() else { continue };
        if collected.len() + data.len() > limit {
            return Err(NoBody::TooLarge);
        }
        collected.extend_from_slice(&data);
    }
    Ok(collected)
}

/// Reads the rest of a refused body, unless its sender waits to be asked for it.
pub(super) async fn discard(mut body: Body, headers: &HeaderMap) {
    if headers.contains_key(header::EXPECT) {
        return;
    }
    let reading = async {
        let mut left = DISCARDED_BYTES;
        while let Some(Ok(frame)) = body.frame().await {
            left = left.saturating_sub(frame.data_ref().map_or(0, |data| data.len()));
            if left == 0 {
                return;
            }
        }
    };
    // Whether it came to its end or not, the answer is the same.
    let _ = timeout(DISCARDED_FOR, reading).await;
}
