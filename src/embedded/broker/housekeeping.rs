//! What the clock brings: sessions and transactions that run out, fsync, retention and compaction.

use super::node::{Node, now};
use super::partition::Partition;
use super::settings::Settings;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

/// How exact time-outs of sessions and transactions are.
const TICK: Duration = Duration::from_millis(100);

/// What a power failure can lose is not older than this.
const SYNC: Duration = Duration::from_secs(1);

pub async fn run(node: Arc<Node>) {
    let timeouts = repeat(TICK, node.clone(), expire);
    let sync = repeat(SYNC, node.clone(), |node| {
        if let Err(error) = node.sync() {
            tracing::error!(%error, "cannot force the logs to disk");
        }
    });
    let clean = repeat(node.config.housekeeping_every, node.clone(), clean);
    tokio::join!(timeouts, sync, clean);
}

/// Does `work` at every interval, on a thread that may block, never twice at once.
async fn repeat(every: Duration, node: Arc<Node>, work: fn(&Node)) {
    let mut ticks = interval_at(Instant::now() + every, every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let node = node.clone();
        if let Err(error) = tokio::task::spawn_blocking(move || work(&node)).await {
            tracing::error!(%error, "a chore panicked");
        }
    }
}

/// Retention and compaction, one partition at a time.
fn clean(node: &Node) {
    for (name, topic) in node.topics() {
        for (number, partition) in topic.partitions.iter().enumerate() {
            if let Err(error) = clean_one(partition, &topic.settings) {
                tracing::error!(topic = name, partition = number, %error, "cannot clean the log; tried again later");
            }
        }
    }
}

/// The log's lock is only held to look and to put files in place.
fn clean_one(partition: &Partition, settings: &Settings) -> std::io::Result<()> {
    partition.log().retain(settings, now())?;
    if !settings.compacted {
        return Ok(());
    }
    let pass = partition.log().plan_compaction(settings, now());
    let Some(pass) = pass else { return Ok(()) };
    let end = pass.run(|done| partition.log().install(done))?;
    partition.log().compacted(end, now());
    Ok(())
}

fn expire(node: &Node) {
    let mut coordinator = node.coordinator();
    coordinator.expire_groups(now());
    node.finish_decided(&mut coordinator);
    node.abort_overdue(&mut coordinator);
}
