//! Retention: whole segments go from the front when they are too old or the log is too large.

use super::{Log, Settings};
use std::io;

/// Producers that were silent this long are forgotten (`producer.id.expiration.ms`).
const PRODUCER_IDLE_MS: i64 = 86_400_000;

/// How many of these segments (size and newest timestamp each, the active one last) are to go.
fn expired(segments: &[(u64, i64)], settings: &Settings, now: i64) -> usize {
    if !settings.deleted {
        return 0;
    }
    let too_old = |newest: i64| settings.retention_ms >= 0 && newest < now.saturating_sub(settings.retention_ms);
    let by_age = segments.iter().take_while(|(size, newest)| *size > 0 && too_old(*newest)).count();
    let mut left: u64 = segments.iter().map(|(size, _)| size).sum();
    let mut by_size = 0;
    // The active segment only goes by age.
    for (size, _) in &segments[..segments.len() - 1] {
        if settings.retention_bytes < 0 || left - size < settings.retention_bytes as u64 {
            break;
        }
        left -= size;
        by_size += 1;
    }
    by_age.max(by_size)
}

impl Log {
    /// Removes what is expired, and forgets producers that have been silent for a day.
    pub fn retain(&mut self, settings: &Settings, now: i64) -> io::Result<()> {
        let seen: Vec<(u64, i64)> = self.segments.iter().map(|one| (one.size, one.max_timestamp)).collect();
        let expired = expired(&seen, settings, now);
        // What a transaction that is still open has written is kept, whatever its age.
        let stable = self.stable_end();
        let expired = self.segments[..expired].iter().take_while(|segment| segment.last_offset < stable).count();
        if expired == self.segments.len() {
            self.roll()?;
        }
        if expired > 0 {
            let start = self.segments[expired].base;
            self.delete_before(start)?;
        }
        self.producers.forget(self.start, now.saturating_sub(PRODUCER_IDLE_MS));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::batch::tests::records;
    use super::*;

    #[test]
    fn age_and_size_count_from_the_front() {
        let by = |retention_ms, retention_bytes| Settings { retention_ms, retention_bytes, ..Settings::default() };
        let segments = [(100, 10), (100, 30), (100, 20), (100, 40)];
        for (settings, now, expected) in [
            (by(10, -1), 20, 0),
            (by(10, -1), 21, 1),
            // The third is old enough, but the second before it is not.
            (by(10, -1), 35, 1),
            (by(10, -1), 51, 4),
            (by(-1, -1), 1_000_000, 0),
            (by(-1, 400), 0, 0),
            (by(-1, 301), 0, 0),
            (by(-1, 300), 0, 1),
            (by(-1, 0), 0, 3),
            (Settings { deleted: false, ..by(0, 0) }, 1_000, 0),
        ] {
            assert_eq!(expired(&segments, &settings, now), expected, "{settings:?} at {now}");
        }
    }

    #[test]
    fn a_log_that_lost_everything_goes_on_at_its_offset_and_knows_its_producers() {
        let dir = tempfile::tempdir().unwrap();
        let settings = Settings { retention_ms: 10, segment_bytes: 100, ..Settings::default() };
        let mut log = Log::open(dir.path(), 0).unwrap();
        for at in 0..5 {
            log.append(&records((9, 0, at), false, &[(None, Some("v"), 100)]), &settings, 0).unwrap();
        }
        log.retain(&settings, 1_000).unwrap();
        assert_eq!((log.start(), log.end(), log.segments.len()), (5, 5, 1));
        for _ in 0..2 {
            assert_eq!(
                log.append(&records((9, 0, 5), false, &[(None, Some("v"), 2)]), &settings, 0).unwrap().base_offset,
                5
            );
            assert!(log.append(&records((9, 0, 9), false, &[(None, Some("v"), 2)]), &settings, 0).is_err());
            drop(log);
            log = Log::open(dir.path(), 0).unwrap();
            assert_eq!((log.start(), log.end()), (5, 6));
        }
    }
}
