//! The real parts that integration tests run against, one file each: started on first use, gone with the test process.

pub mod acls;
pub mod apache;
pub mod disk;
pub mod issuer;
pub mod load;
pub mod process;
pub mod registry;
pub mod site;

use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(120);

/// What is found at last, or the test fails.
pub fn until<T>(what: &str, found: impl FnMut() -> Option<T>) -> T {
    within(PATIENCE, what, found)
}

/// The same, for what takes longer than most.
pub fn within<T>(patience: Duration, what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + patience;
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(Instant::now() < until, "{what} within {patience:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
