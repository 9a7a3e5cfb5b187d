//! A partition at run time: its log under a lock, and the fetches that wait for it to grow.

use super::log::Log;
use parking_lot::{Mutex, MutexGuard};
use std::sync::Arc;
use tokio::sync::Notify;

#[derive(Debug)]
pub struct Partition {
    log: Mutex<Log>,
    waiting: Mutex<Vec<Arc<Notify>>>,
}

impl Partition {
    pub fn new(log: Log) -> Partition {
        Partition { log: Mutex::new(log), waiting: Mutex::default() }
    }

    pub fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock()
    }

    /// For what may add records: readers that wait look again.
    pub fn change<T>(&self, change: impl FnOnce(&mut Log) -> T) -> T {
        let result = change(&mut self.log());
        self.wake_all();
        result
    }

    /// Wakes `wake` once, at the next change.
    pub fn wait(&self, wake: &Arc<Notify>) {
        let mut waiting = self.waiting.lock();
        // Fetches that timed out have let go of theirs.
        waiting.retain(|one| Arc::strong_count(one) > 1 && !Arc::ptr_eq(one, wake));
        waiting.push(wake.clone());
    }

    pub fn wake_all(&self) {
        self.waiting.lock().drain(..).for_each(|wake| wake.notify_one());
    }
}
