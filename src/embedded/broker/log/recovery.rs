//! Opening a log: every batch is read and its checksum verified, an incomplete tail is cut off, and index, watermarks
//! and producers are rebuilt from what is left.
//!
//! Only the last segment may have a damaged tail (the broker died while writing it). Damage in an earlier one means
//! that the disk lost data it had kept, and stops the start.

use super::Log;
use super::batch::{self, Batch};
use super::producers::Producers;
use super::segment::{self, Segment, Slice};
use crate::embedded::broker::Error;
use crate::embedded::broker::node::now;
use crate::embedded::broker::outage::Outage;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

const SNAPSHOT: &str = "producers.json";

/// The producers as they were when everything before `end` had been appended.
#[derive(Serialize, Deserialize)]
struct Snapshot {
    end: i64,
    producers: Producers,
}

impl Log {
    /// Opens or creates the log in `dir`; records before `start` were deleted by a client.
    pub fn open(dir: &Path, start: i64) -> Result<Log, Error> {
        let io = |source| Error::Log { path: dir.to_path_buf(), source };
        std::fs::create_dir_all(dir).map_err(io)?;
        let bases = bases(dir).map_err(io)?;
        let first = bases.first().copied().unwrap_or(start);
        let reach = bases.last().copied().unwrap_or_default();
        let known = load_snapshot(dir).filter(|snapshot| snapshot.end <= reach);
        let replay_from = known.as_ref().map_or(i64::MIN, |snapshot| snapshot.end);
        let mut log = Log {
            dir: dir.to_path_buf(),
            segments: Vec::new(),
            start: first.max(start),
            next: first,
            producers: known.map(|snapshot| snapshot.producers).unwrap_or_default(),
            passes: Vec::new(),
            unsynced: Vec::new(),
            outage: Outage::default(),
        };
        let mut markers = BTreeSet::new();
        for base in bases {
            let damaged = log.replay(base, base == reach, replay_from, &mut markers).map_err(io)?;
            if let Some(position) = damaged {
                return Err(Error::Damaged { path: segment::path(dir, base), position });
            }
        }
        log.producers.close_admissions();
        log.producers.keep_aborted(&markers);
        log.next = log.next.max(log.start);
        if log.segments.is_empty() {
            log.segments.push(Segment::open(segment::path(dir, log.next), log.next).map_err(io)?);
        }
        Ok(log)
    }

    /// Takes in one segment; says where it is damaged, unless it is the last, which is cut off there. What begins
    /// before `from` the producers know already; `markers` gathers the offsets of transactions' ends.
    fn replay(&mut self, base: i64, last: bool, from: i64, markers: &mut BTreeSet<i64>) -> io::Result<Option<u64>> {
        let mut segment = Segment::open(segment::path(&self.dir, base), base)?;
        if base < self.next {
            // Its records are in the segment before: a compaction that was cut short did not remove it.
            return segment.remove().map(|()| None);
        }
        let end = segment.file.metadata()?.len();
        self.next = base;
        let valid = Slice { file: segment.file.clone(), position: 0, end }.scan(true, |batch, bytes, _| {
            segment.admit(batch);
            self.next = batch.last_offset() + 1;
            if batch.is_control() {
                markers.insert(batch.base_offset);
            }
            if batch.base_offset >= from {
                self.remember(batch, bytes);
            }
            Ok(true)
        })?;
        if valid < end {
            if !last {
                return Ok(Some(valid));
            }
            tracing::warn!(
                segment = %segment.path.display(), dropped_bytes = end - valid, next_offset = self.next,
                "the tail of the log was not completely written; cut off"
            );
            segment.file.set_len(valid)?;
            segment.file.sync_data()?;
        }
        self.segments.push(segment);
        Ok(None)
    }

    fn remember(&mut self, batch: &Batch, bytes: &[u8]) {
        if !batch.is_control() {
            self.producers.appended(batch, now());
        } else if let Some(commit) = batch::marker_commits(bytes) {
            self.producers.ended(batch, commit, now());
        }
    }

    pub(super) fn save_producers(&self) -> io::Result<()> {
        let snapshot = Snapshot { end: self.next, producers: self.producers.clone() };
        let bytes = serde_json::to_vec(&snapshot).map_err(io::Error::other)?;
        let fresh = self.dir.join("producers.json.new");
        let mut file = File::create(&fresh)?;
        file.write_all(&bytes)?;
        file.sync_data()?;
        std::fs::rename(fresh, self.dir.join(SNAPSHOT))
    }
}

fn bases(dir: &Path) -> io::Result<Vec<i64>> {
    let mut bases = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let path: PathBuf = entry?.path();
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("log") => bases.extend(stem.parse::<i64>().ok()),
            // A compaction or a snapshot that was not finished.
            Some("new") => std::fs::remove_file(&path)?,
            _ => {}
        }
    }
    bases.sort_unstable();
    Ok(bases)
}

fn load_snapshot(dir: &Path) -> Option<Snapshot> {
    let bytes = std::fs::read(dir.join(SNAPSHOT)).ok()?;
    let unreadable = |error: &serde_json::Error| {
        tracing::warn!(dir = %dir.display(), %error, "unreadable producer snapshot; rebuilt from the log");
    };
    serde_json::from_slice(&bytes).inspect_err(unreadable).ok()
}

#[cfg(test)]
mod tests {
    use super::super::Placed;
    use super::super::batch::tests::records;
    use super::*;
    use crate::embedded::broker::settings::Settings;
    use kafka_protocol::error::ResponseError;

    fn append(log: &mut Log, producer: (i64, i16, i32), transactional: bool) -> Result<Placed, ResponseError> {
        let bytes = records(producer, transactional, &[(Some("k"), Some("v"), 5); 3]);
        log.append(&bytes, &Settings { segment_bytes: 500, ..Settings::default() }, 0)
    }

    #[test]
    fn everything_that_was_known_is_known_again() {
        let dir = tempfile::tempdir().unwrap();
        let settings = Settings::default();
        let mut log = Log::open(dir.path(), 0).unwrap();
        for at in 0..20 {
            append(&mut log, (1, 0, at * 3), false).unwrap();
        }
        log.producers.admit(2, 0, 0);
        append(&mut log, (2, 0, 0), true).unwrap();
        log.end_transaction((2, 0), false, &settings, 0).unwrap();
        log.producers.admit(3, 4, 0);
        append(&mut log, (3, 4, 0), true).unwrap();
        assert!(log.segments.len() > 3);
        let (next, stable) = (log.end(), log.stable_end());
        drop(log);

        let mut log = Log::open(dir.path(), 0).unwrap();
        assert_eq!((log.end(), log.stable_end(), log.start()), (next, stable, 0));
        assert_eq!(log.producers.aborted_between(0, next).count(), 1);
        assert_eq!(append(&mut log, (1, 0, 57), false).unwrap().base_offset, 57);
        assert_eq!(log.end(), next, "a duplicate is not appended again");
        assert_eq!(append(&mut log, (3, 4, 3), true), Err(ResponseError::InvalidTxnState));
        assert_eq!(append(&mut log, (1, 0, 63), false), Err(ResponseError::OutOfOrderSequenceNumber));
        assert_eq!(append(&mut log, (1, 0, 60), false).unwrap().base_offset, next);
    }

    #[test]
    fn a_file_cut_anywhere_loses_only_its_last_batch() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = Log::open(dir.path(), 0).unwrap();
        for at in 0..3 {
            append(&mut log, (1, 0, at * 3), false).unwrap();
        }
        let (path, whole) = (log.active().path.clone(), log.active().size);
        drop(log);
        let bytes = std::fs::read(&path).unwrap();
        for keep in [whole - 1, whole - 50, whole * 2 / 3 + 1] {
            std::fs::write(&path, &bytes[..keep as usize]).unwrap();
            let log = Log::open(dir.path(), 0).unwrap();
            assert_eq!(log.end(), 6, "{keep} bytes kept");
            assert_eq!(std::fs::metadata(&path).unwrap().len(), whole * 2 / 3);
        }
    }

    #[test]
    fn damage_before_the_last_segment_stops_the_start() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = Log::open(dir.path(), 0).unwrap();
        for at in 0..20 {
            append(&mut log, (1, 0, at * 3), false).unwrap();
        }
        let path = log.segments[0].path.clone();
        drop(log);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[80] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        let error = Log::open(dir.path(), 0).unwrap_err();
        assert!(matches!(error, Error::Damaged { position: 0, .. }), "{error}");
    }
}
