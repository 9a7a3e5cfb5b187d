//! Offsets by time, down to the record inside a batch.

use super::batch::Batch;
use super::{Log, records};
use std::io;

impl Log {
    /// Offset and time of the first record at `timestamp` or later.
    pub fn offset_at(&self, timestamp: i64) -> io::Result<Option<(i64, i64)>> {
        for segment in &self.segments {
            if segment.max_timestamp < timestamp || segment.last_offset < self.start {
                continue;
            }
            let mut found = None;
            segment.near_time(timestamp).scan(false, |batch, bytes, _| {
                if batch.max_timestamp >= timestamp && batch.last_offset() >= self.start {
                    found = self.first_record_at(batch, bytes, timestamp);
                }
                Ok(found.is_none())
            })?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    fn first_record_at(&self, batch: &Batch, bytes: &[u8], timestamp: i64) -> Option<(i64, i64)> {
        if batch.has_broker_time() {
            return Some((batch.base_offset.max(self.start), batch.max_timestamp));
        }
        match records::find(batch, bytes, |record| record.timestamp >= timestamp && record.offset >= self.start) {
            Ok(found) => found,
            // What cannot be looked into is not skipped: its reader begins a little early.
            Err(_) => Some((batch.base_offset.max(self.start), batch.max_timestamp)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::batch::tests::records;
    use super::*;
    use crate::embedded::broker::settings::Settings;

    #[test]
    fn a_time_inside_a_batch_finds_the_record_and_not_the_batch() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = Log::open(dir.path(), 0).unwrap();
        for times in [[10, 20, 30], [25, 40, 35]] {
            let plain: Vec<_> = times.iter().map(|time| (None, Some("v"), *time)).collect();
            log.append(&records((-1, -1, -1), false, &plain), &Settings::default(), 0).unwrap();
        }
        for (asked, expected) in [
            (0, Some((0, 10))),
            (11, Some((1, 20))),
            (30, Some((2, 30))),
            (31, Some((4, 40))),
            (36, Some((4, 40))),
            (41, None),
        ] {
            assert_eq!(log.offset_at(asked).unwrap(), expected, "time {asked}");
        }
    }
}
