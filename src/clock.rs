//! What time it is: asked only at the edges, and passed from there as event time.
//!
//! One concrete type instead of a trait: the wall clock, the same clock running faster (the demo replays a night in less
//! than a minute), or one that tests set.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::record::EventTime;

#[derive(Clone, Debug)]
pub struct Clock(Kind);

#[derive(Clone, Debug)]
enum Kind {
    Wall,
    Compressed { begin: EventTime, began: Instant, speed: u32 },
    Set(Arc<AtomicI64>),
}

impl Clock {
    pub fn wall() -> Self {
        Self(Kind::Wall)
    }

    /// Starts at `begin` and runs `speed` times as fast as the wall clock.
    pub fn compressed(begin: EventTime, speed: u32) -> Self {
        Self(Kind::Compressed { begin, began: Instant::now(), speed: speed.max(1) })
    }

    /// Stands still until [`Clock::set`]. Clones share the time.
    pub fn at(time: EventTime) -> Self {
        Self(Kind::Set(Arc::new(AtomicI64::new(time.0))))
    }

    /// Sets a clock made by [`Clock::at`]; another one goes on by itself.
    pub fn set(&self, time: EventTime) {
        if let Kind::Set(now) = &self.0 {
            now.store(time.0, Ordering::SeqCst);
        }
    }

    pub fn now(&self) -> EventTime {
        match &self.0 {
            Kind::Wall => EventTime(millis(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())),
            Kind::Compressed { begin, began, speed } => begin.plus_ms(millis(began.elapsed() * *speed)),
            Kind::Set(now) => EventTime(now.load(Ordering::SeqCst)),
        }
    }

    /// Real time since some moment in the past, never going back: for intervals. Of a set clock: the time it shows.
    pub fn elapsed(&self) -> Duration {
        static STARTED: LazyLock<Instant> = LazyLock::new(Instant::now);
        match &self.0 {
            Kind::Wall | Kind::Compressed { .. } => STARTED.elapsed(),
            Kind::Set(now) => Duration::from_millis(u64::try_from(now.load(Ordering::SeqCst)).unwrap_or(0)),
        }
    }

    /// Waits in real time; a set clock moves on instead.
    pub fn sleep(&self, duration: Duration) {
        match &self.0 {
            Kind::Wall | Kind::Compressed { .. } => std::thread::sleep(duration),
            Kind::Set(now) => drop(now.fetch_add(millis(duration), Ordering::SeqCst)),
        }
    }

    /// How long to wait in real time until this clock shows `time`. A set clock answers zero once it is there, else a
    /// moment after which to ask again.
    pub fn until(&self, time: EventTime) -> Duration {
        let left = Duration::from_millis(u64::try_from(time.since_ms(self.now())).unwrap_or(0));
        match &self.0 {
            Kind::Wall => left,
            Kind::Compressed { speed, .. } => left / *speed,
            Kind::Set(_) => left.min(Duration::from_millis(1)),
        }
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_clock_is_shared_by_its_clones() {
        let clock = Clock::at(EventTime(5));
        clock.clone().set(EventTime(9));
        assert_eq!(clock.now(), EventTime(9));
        assert_eq!(clock.until(EventTime(9)), Duration::ZERO);
    }

    #[test]
    fn a_compressed_clock_waits_a_fraction() {
        let clock = Clock::compressed(EventTime(1_000_000), 100);
        let wait = clock.until(EventTime(1_100_000));
        assert!(wait <= Duration::from_secs(1), "100 seconds at speed 100 are one: {wait:?}");
        assert!(clock.now() >= EventTime(1_000_000));
    }
}
