//! Makes a round of all groups every so often, as long as this process is the one that does.
//!
//! Invariants: a round that fails is told and made again; what it had committed stays. While somebody else makes the rounds nothing is
//! held open here, so that whoever takes over is not fenced by who was before.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::told::Told;
use super::{Groups, GroupsConfig};
use crate::codec::Formats;
use crate::event::GroupOffset;
use crate::log::kafka::Identity;
use crate::mirror::told;
use crate::record::Topic;
use crate::runtime::SchemaSource;

/// Whether this process makes the rounds: the one that has shard 0 of the flow.
pub type Owns = Arc<dyn Fn() -> bool + Send + Sync>;

pub struct KeeperConfig {
    pub groups: GroupsConfig,
    pub every: Duration,
    /// Where states are told, on the target.
    pub topic: Topic,
    pub identity: Identity,
    pub formats: Formats,
    pub schemas: SchemaSource,
    pub owns: Owns,
}

/// Ends when it is stopped, or dropped.
pub struct Keeper {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Keeper {
    /// In the async runtime.
    pub fn start(config: KeeperConfig) -> Self {
        let (stop, stopped) = watch::channel(false);
        Self { stop, task: tokio::spawn(run(config, stopped)) }
    }

    /// The round that is begun is finished, unless a cluster does not answer.
    pub async fn stop(self) {
        let _ = self.stop.send(true);
        if self.task.await.is_err() {
            tracing::error!("carrying groups over has panicked");
        }
    }
}

async fn run(config: KeeperConfig, mut stopped: watch::Receiver<bool>) {
    let mut at_work: Option<(Groups, Told)> = None;
    let mut failed: Option<String> = None;
    loop {
        if !(config.owns)() {
            at_work = None;
        } else {
            let told = stopped.wait_for(|stop| *stop);
            let Some(done) = told::until(told, round(&config, at_work.take())).await else { return };
            at_work = match done {
                Ok(at_work) => {
                    failed = None;
                    Some(at_work)
                }
                Err(error) => {
                    let why = format!("{error:#}");
                    if failed.as_ref() != Some(&why) {
                        tracing::warn!(
                            flow = config.groups.flow,
                            why,
                            "groups are not carried over; it is tried again"
                        );
                    }
                    failed = Some(why);
                    None
                }
            };
        }
        let pause = tokio::time::timeout(config.every, stopped.wait_for(|stop| *stop));
        if pause.await.is_ok() {
            return;
        }
    }
}

async fn round(config: &KeeperConfig, at_work: Option<(Groups, Told)>) -> anyhow::Result<(Groups, Told)> {
    let (groups, told) = match at_work {
        Some(at_work) => at_work,
        None => (Groups::new(config.groups.clone())?, begin(config).await?),
    };
    let findings = groups.round(false).await?;
    Ok((groups, tell(told, findings).await?))
}

async fn begin(config: &KeeperConfig) -> anyhow::Result<Told> {
    let (to, identity, flow) = (config.groups.to.clone(), config.identity.clone(), config.groups.flow.clone());
    let (topic, formats, schemas) = (config.topic.clone(), config.formats.clone(), Arc::clone(&config.schemas));
    tokio::task::spawn_blocking(move || Told::start(&to, &identity, &flow, &topic, (formats, schemas))).await?
}

async fn tell(mut told: Told, findings: Vec<GroupOffset>) -> anyhow::Result<Told> {
    tokio::task::spawn_blocking(move || told.tell(findings).map(|()| told)).await?
}
