//! A partition at run time: its log under a lock, and the fetches that wait for it to grow.

use super::log::Log;
use parking_lot::{Mutex, MutexGuard};
use std::sync::Arc;
use tokio::sync::Notify;

#[derive(Debug)]
pub struct Partition {
    log: Mutex<Log>,
    waiting: Mutex<Vec<Waiting>>,
}

#[derive(Debug)]
struct Waiting {
    wake: Arc<Notify>,
    /// Woken only when the last stable offset moves.
    committed_only: bool,
}

impl Partition {
    pub fn new(log: Log) -> Partition {
        Partition { log: Mutex::new(log), waiting: Mutex::default() }
    }

    pub fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock()
    }

    /// For what may add records: readers that wait are told.
    pub fn change<T>(&self, change: impl FnOnce(&mut Log) -> T) -> T {
        let mut log = self.log();
        let stable = log.stable_end();
        let result = change(&mut log);
        let stable_moved = log.stable_end() != stable;
        drop(log);
        self.wake(stable_moved);
        result
    }

    /// Wakes `wake` once, at the next change that its reader can see.
    pub fn wait(&self, wake: &Arc<Notify>, committed_only: bool) {
        let mut waiting = self.waiting.lock();
        // Fetches that timed out have let go of theirs.
        waiting.retain(|one| Arc::strong_count(&one.wake) > 1);
        waiting.push(Waiting { wake: wake.clone(), committed_only });
    }

    fn wake(&self, stable_moved: bool) {
        self.waiting.lock().retain(|one| {
            let sees = stable_moved || !one.committed_only;
            if sees {
                one.wake.notify_one();
            }
            !sees
        });
    }

    /// Wakes every reader: the partition is going away.
    pub fn wake_all(&self) {
        self.wake(true);
    }
}
