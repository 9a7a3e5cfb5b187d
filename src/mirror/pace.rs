//! A bound on bytes a second: what was taken is owed, and the debt goes down with time.
//!
//! Invariant: over any time longer than a second no more is taken than the rate allows, plus one batch.
#![deny(clippy::disallowed_methods, clippy::disallowed_types, clippy::disallowed_macros)]

use std::time::Duration;

#[derive(Clone, Copy, Debug)]
pub struct Pace {
    bytes_per_second: u64,
    owed: f64,
    /// Since the start of whoever asks.
    at: Duration,
}

impl Pace {
    pub fn new(bytes_per_second: u64) -> Self {
        Self { bytes_per_second: bytes_per_second.max(1), owed: 0.0, at: Duration::ZERO }
    }

    /// So much was taken; how long to take nothing more.
    #[expect(clippy::cast_precision_loss, reason = "bytes in flight are far below 2^52")]
    pub fn took(&mut self, bytes: usize, now: Duration) -> Duration {
        let rate = self.bytes_per_second as f64;
        let paid = now.saturating_sub(self.at).as_secs_f64() * rate;
        self.owed = (self.owed - paid).max(0.0) + bytes as f64;
        self.at = now;
        Duration::from_secs_f64(self.owed / rate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_is_paid_by_waiting() {
        let mut pace = Pace::new(1000);
        assert_eq!(pace.took(500, Duration::from_secs(1)), Duration::from_millis(500));
        assert_eq!(pace.took(500, Duration::from_millis(1250)), Duration::from_millis(750));
        assert_eq!(pace.took(0, Duration::from_secs(2)), Duration::ZERO);
        // Time in which nothing was taken is not saved up.
        assert_eq!(pace.took(1000, Duration::from_secs(99)), Duration::from_secs(1));
    }
}
