//! What is measured here is what the tests prove: the same brokers, topics and checks, in the same files.

#[path = "../../tests/it/harness/apache.rs"]
pub mod apache;

use std::time::{Duration, Instant};

/// Asks until there is an answer.
pub fn until<T>(what: &str, found: impl FnMut() -> Option<T>) -> T {
    within(Duration::from_secs(120), what, found)
}

pub fn within<T>(patience: Duration, what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + patience;
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(Instant::now() < until, "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
