//! Named points at which tests, and a process started with `FAILPOINTS` set, make a step fail or the process die.
//!
//! Armed per thread, so that tests beside one another do not meet each other's faults; otherwise a point costs one read.
//! Actions: `return(unavailable)`, `return(unknown)`, `return(abort)`, `return(full)`, `return(die)`, and `panic`.

use std::cell::Cell;
use std::path::Path;

use super::store;
use crate::log;

thread_local! {
    static ARMED: Cell<bool> = const { Cell::new(false) };
    /// Faults that this thread has met.
    static FIRED: Cell<u32> = const { Cell::new(0) };
}

/// From now on the points of this thread do what `fail` was told.
pub fn arm() {
    ARMED.set(true);
}

/// What `FAILPOINTS` says holds for this process and this thread, for good; without it nothing does.
pub fn arm_by_environment() {
    if std::env::var_os("FAILPOINTS").is_some() {
        std::mem::forget(fail::FailScenario::setup());
        arm();
    }
}

#[cfg(test)]
pub fn fired() -> u32 {
    FIRED.get()
}

/// A point before or after a call of the log.
pub fn log(point: &str) -> Result<(), log::Error> {
    match told(point).as_deref() {
        None => Ok(()),
        Some("abort") => Err(log::Error::Abort(point.to_owned())),
        Some("unknown") => Err(log::Error::UnknownOutcome(point.to_owned())),
        Some(_) => Err(log::Error::Unavailable(point.to_owned())),
    }
}

/// A point within the store.
pub fn store(point: &str, path: &Path) -> Result<(), store::Error> {
    match told(point).as_deref() {
        None => Ok(()),
        Some("full") => Err(store::Error::Full { path: path.to_owned() }),
        Some(_) => Err(store::Error::Io { path: path.to_owned(), why: point.to_owned() }),
    }
}

fn told(point: &str) -> Option<String> {
    if !ARMED.get() {
        return None;
    }
    let told = fail::eval(point, Option::unwrap_or_default)?;
    FIRED.set(FIRED.get() + 1);
    if told == "die" {
        std::process::abort();
    }
    Some(told)
}
