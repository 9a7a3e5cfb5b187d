//! The runs that are under way: done on the async runtime, their ends told into a channel that the worker's thread reads.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use super::execute::{Ended, Executor};
use crate::event::ActionRun;
use crate::record::{EventTime, Partition};

pub struct Runs {
    executor: Arc<Executor>,
    handle: Handle,
    send: SyncSender<(String, Ended)>,
    receive: Receiver<(String, Ended)>,
    /// By id.
    running: BTreeMap<String, (Partition, ActionRun, AbortHandle)>,
}

impl Runs {
    pub const MAX: usize = 8;

    pub fn new(executor: Executor, handle: Handle) -> Self {
        // Room for every run under way: an end never waits.
        let (send, receive) = sync_channel(Self::MAX);
        Self { executor: Arc::new(executor), handle, send, receive, running: BTreeMap::new() }
    }

    pub fn free(&self) -> usize {
        Self::MAX - self.running.len()
    }

    pub fn len(&self) -> usize {
        self.running.len()
    }

    pub fn knows(&self, id: &str) -> bool {
        self.running.contains_key(id)
    }

    pub fn start(&mut self, partition: Partition, run: ActionRun) {
        let (executor, send, about) = (self.executor.clone(), self.send.clone(), run.clone());
        let task = self.handle.spawn(async move {
            let ended = executor.execute(&about).await;
            // Nobody listens any more once the worker has died: then nobody knows how it ended.
            let _ = send.try_send((about.id, ended));
        });
        self.running.insert(run.id.clone(), (partition, run, task.abort_handle()));
    }

    /// One that ended within `wait`, if any is under way.
    pub fn ended(&mut self, wait: Duration, now: EventTime) -> Option<(Partition, ActionRun)> {
        while !self.running.is_empty() {
            let (id, ended) = self.receive.recv_timeout(wait).ok()?;
            let Some((partition, run, _)) = self.running.remove(&id) else { continue };
            let Ended { status, result, output } = ended;
            return Some((partition, ActionRun { status, at_ms: now.0, result: Some(result), output, ..run }));
        }
        None
    }

    /// Ends all that are under way, wherever they are; answers with what they were.
    pub fn cancel(&mut self) -> Vec<(Partition, ActionRun)> {
        let running = std::mem::take(&mut self.running);
        // A program's group goes with its task.
        running.values().for_each(|(_, _, task)| task.abort());
        running.into_values().map(|(partition, run, _)| (partition, run)).collect()
    }
}

impl Drop for Runs {
    fn drop(&mut self) {
        drop(self.cancel());
    }
}
