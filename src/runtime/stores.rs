//! All stores of a process: one directory, one memory budget, and the stores of tasks that have just gone.
//!
//! A parked store stays open, so that a task that comes back, to any worker of the process, costs nothing.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::store::{Error, Memory, Store};
use crate::topology::journal::TaskId;

pub struct Stores {
    dir: PathBuf,
    memory: Memory,
    parked: Mutex<BTreeMap<TaskId, Store>>,
    /// Held while the process lives.
    _lock: File,
}

impl Stores {
    /// Takes the directory for this process alone.
    pub fn open(dir: &Path, memory_bytes_max: usize) -> Result<Self, Error> {
        let io = |error: std::io::Error| Error::io(dir, &error);
        std::fs::create_dir_all(dir).map_err(io)?;
        let lock = File::create(dir.join("lock")).map_err(io)?;
        lock.try_lock().map_err(|_| Error::Locked {
            path: dir.to_owned(),
            why: "another process uses this directory: give each process a state directory of its own".to_owned(),
        })?;
        // The rest is for what is fetched, held decoded and not sent yet.
        let memory = Memory::new(memory_bytes_max / 8 * 3);
        Ok(Self { dir: dir.to_owned(), memory, parked: Mutex::default(), _lock: lock })
    }

    /// The task's store; a damaged one is wiped, for its changelog has everything.
    pub fn take(&self, task: &TaskId, stages: &[String]) -> Result<Store, Error> {
        if let Some(parked) = self.lock().remove(task) {
            return Ok(parked);
        }
        let path = self.dir.join(task.to_string());
        match Store::open(&path, stages, &self.memory) {
            Err(error @ Error::Corrupt { .. }) => {
                tracing::error!(%task, %error, "the store is wiped and restored from its changelog");
                Store::wipe(&path)?;
                Store::open(&path, stages, &self.memory)
            }
            opened => opened,
        }
    }

    pub fn park(&self, task: &TaskId, store: Store) {
        self.lock().insert(task.clone(), store);
    }

    /// Closes a store that must not be believed, and wipes it.
    pub fn wipe(&self, task: &TaskId, store: Store) -> Result<(), Error> {
        drop(store);
        Store::wipe(&self.dir.join(task.to_string()))
    }

    /// Bytes that all open stores use in memory.
    pub fn memory_used(&self) -> usize {
        self.memory.used()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<TaskId, Store>> {
        self.parked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
