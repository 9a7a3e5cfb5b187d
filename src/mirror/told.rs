//! Who waits for a cluster may be told to stop meanwhile: the answer then has as long as one takes that comes at all, and is not waited
//! for any longer. What was asked for may be done or not, as when the process dies; whoever cannot bear that does not ask this way.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)] // it waits, beside modules that must not

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::log::Error;

/// Of an answer, once told to stop.
const LEFT: Duration = Duration::from_secs(1);
const SLICE: Duration = Duration::from_millis(50);

/// `None`: told to stop, and no answer.
pub async fn until<T>(told: impl Future, work: impl Future<Output = T>) -> Option<T> {
    let given_up = async {
        told.await;
        tokio::time::sleep(LEFT).await;
    };
    tokio::select! {
        biased;
        done = work => Some(done),
        () = given_up => None,
    }
}

/// The same, by a flag; without an answer [`Error::Unavailable`].
pub async fn unless<T>(stop: &AtomicBool, work: impl Future<Output = T>) -> Result<T, Error> {
    let told = async {
        while !stop.load(Ordering::Relaxed) {
            tokio::time::sleep(SLICE).await;
        }
    };
    let silent = || Error::Unavailable("told to stop, and a cluster does not answer".to_owned());
    until(told, work).await.ok_or_else(silent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_who_is_told_to_stop_gives_up_and_not_at_once() {
        let (stop, go_on) = (AtomicBool::new(true), AtomicBool::new(false));
        let never = std::future::pending::<()>;
        assert!(matches!(unless(&stop, never()).await, Err(Error::Unavailable(_))));
        assert!(unless(&stop, tokio::time::sleep(LEFT / 4)).await.is_ok());
        assert!(unless(&go_on, tokio::time::sleep(LEFT + LEFT / 4)).await.is_ok());
        assert_eq!(until(never(), async { 1 }).await, Some(1));
    }
}
