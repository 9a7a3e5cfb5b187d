//! What the clock brings: sessions and transactions that run out, and fsync. Not here: retention and compaction, which are not done.

use super::Fsync;
use super::node::{Node, now};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval};

/// How exact time-outs of sessions and transactions are.
const TICK: Duration = Duration::from_millis(100);

pub async fn run(node: Arc<Node>) {
    let every = match node.config.fsync {
        Fsync::Every(every) => every,
        // `Always` has nothing left over; `Never` only gets what a stop forces.
        Fsync::Always | Fsync::Never => Duration::MAX,
    };
    let timeouts = repeat(TICK, node.clone(), expire);
    let sync = repeat(every, node.clone(), |node| {
        if let Err(error) = node.sync() {
            tracing::error!(%error, "cannot force the logs to disk");
        }
    });
    tokio::join!(timeouts, sync);
}

/// Does `work` at every interval, on a thread that may block, never twice at once.
async fn repeat(every: Duration, node: Arc<Node>, work: fn(&Node)) {
    if every == Duration::MAX {
        return;
    }
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let node = node.clone();
        if let Err(error) = tokio::task::spawn_blocking(move || work(&node)).await {
            tracing::error!(%error, "a chore panicked");
        }
    }
}

fn expire(node: &Node) {
    let mut coordinator = node.coordinator();
    coordinator.expire_groups(now());
    // A transaction whose markers could not be written because the disk was full.
    let mut result = node.finish_decided(&mut coordinator);
    for id in coordinator.overdue_txns(now()) {
        let Some(fenced) = coordinator.meta().txns.get(&id).map(|txn| txn.fenced()) else { continue };
        tracing::info!(transactional_id = id, "the transaction's time is up; aborted");
        result = result.and(node.end_txn(&mut coordinator, &id, fenced));
    }
    if let Err(error) = result {
        tracing::error!(%error, "a transaction could not be ended; tried again");
    }
}
