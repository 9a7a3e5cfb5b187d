//! Opening a log: every batch is read and its checksum verified, an incomplete tail is cut off, and index, watermarks
//! and producers are rebuilt from what is left.
//!
//! Only the last segment may have a damaged tail (the broker died while writing it). Damage in an earlier one means
//! that the disk lost data it had kept, and stops the start.

use super::batch::{self, Batch};
use super::producers::Producers;
use super::segment::{Segment, Slice};
use super::{Error, Log};
use serde::{Deserialize, Serialize};
use std::io;
use std::path::{Path, PathBuf};

const SNAPSHOT: &str = "producers.json";

/// The producers as they were when everything before `end` had been appended.
#[derive(Serialize, Deserialize)]
struct Snapshot<P> {
    end: i64,
    producers: P,
}

impl Log {
    /// Opens or creates the log in `dir`; records before `start` were deleted by a client. With `sync`,
    /// batches are on disk before they count.
    pub fn open(dir: &Path, start: i64, sync: bool) -> Result<Log, Error> {
        let at = |path: &Path| {
            let path = path.to_path_buf();
            move |source| Error::Io { path, source }
        };
        std::fs::create_dir_all(dir).map_err(at(dir))?;
        let mut segments = Vec::new();
        for base in bases(dir).map_err(at(dir))? {
            segments.push(Segment::open(dir, base).map_err(at(dir))?);
        }
        let snapshot = load_snapshot(dir);
        let mut log = Log {
            dir: dir.to_path_buf(),
            segments: Vec::new(),
            start: segments.first().map_or(start, |first| first.base.max(start)),
            next: segments.first().map_or(start, |first| first.base),
            producers: Producers::default(),
            sync,
            unsynced: Vec::new(),
        };
        let count = segments.len();
        let reach = segments.last().map_or(0, |last| last.base);
        let known = snapshot.filter(|snapshot| snapshot.end <= reach);
        let replay_from = known.as_ref().map_or(i64::MIN, |snapshot| snapshot.end);
        log.producers = known.map(|snapshot| snapshot.producers).unwrap_or_default();
        for (nth, segment) in segments.into_iter().enumerate() {
            let path = segment.path.clone();
            log.replay(segment, nth + 1 == count, replay_from).map_err(|error| match error {
                Replay::Io(source) => Error::Io { path, source },
                Replay::Damaged(position) => Error::Damaged { path, position },
            })?;
        }
        log.producers.close_admissions();
        log.next = log.next.max(log.start);
        if log.segments.is_empty() {
            log.segments.push(Segment::open(dir, log.next).map_err(at(dir))?);
        }
        Ok(log)
    }

    fn replay(&mut self, mut segment: Segment, last: bool, replay_from: i64) -> Result<(), Replay> {
        let length = segment.file.metadata().map_err(Replay::Io)?.len();
        let all = Slice { file: segment.file.clone(), position: 0, end: length };
        self.next = self.next.max(segment.base);
        let (valid, damage) = all
            .scan(true, |batch, bytes, _| {
                segment.admit(batch);
                self.next = batch.last_offset() + 1;
                if batch.base_offset >= replay_from {
                    self.remember(batch, bytes);
                }
                Ok(true)
            })
            .map_err(Replay::Io)?;
        if let Some(damage) = damage {
            if !last {
                return Err(Replay::Damaged(valid));
            }
            tracing::warn!(
                segment = %segment.path.display(), ?damage, dropped_bytes = length - valid, next_offset = self.next,
                "the tail of the log was not completely written; cut off"
            );
            segment.file.set_len(valid).and_then(|()| segment.file.sync_data()).map_err(Replay::Io)?;
        }
        self.segments.push(segment);
        Ok(())
    }

    fn remember(&mut self, batch: &Batch, bytes: &[u8]) {
        if !batch.is_control() {
            self.producers.appended(batch);
        } else if let Some(commit) = batch::marker_commits(bytes) {
            self.producers.ended(batch, commit);
        }
    }

    pub(super) fn save_producers(&self) -> io::Result<()> {
        let snapshot = Snapshot { end: self.next, producers: &self.producers };
        let bytes = serde_json::to_vec(&snapshot).map_err(io::Error::other)?;
        let fresh = self.dir.join("producers.json.new");
        std::fs::write(&fresh, bytes)?;
        std::fs::rename(fresh, self.dir.join(SNAPSHOT))
    }
}

enum Replay {
    Io(io::Error),
    Damaged(u64),
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

fn load_snapshot(dir: &Path) -> Option<Snapshot<Producers>> {
    let bytes = std::fs::read(dir.join(SNAPSHOT)).ok()?;
    match serde_json::from_slice(&bytes) {
        Ok(snapshot) => Some(snapshot),
        Err(error) => {
            tracing::warn!(dir = %dir.display(), %error, "unreadable producer snapshot; rebuilt from the log");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::batch::tests::records;
    use super::super::{Placed, Refused};
    use super::*;
    use crate::embedded::broker::settings::Settings;
    use kafka_protocol::error::ResponseError;

    fn append(log: &mut Log, producer: (i64, i16, i32), transactional: bool) -> Result<Placed, Refused> {
        let bytes = records(producer, transactional, &[(Some("k"), Some("v"), 5); 3]);
        log.append(&bytes, &Settings { segment_bytes: 500, ..Settings::default() }, 0)
    }

    #[test]
    fn everything_that_was_known_is_known_again() {
        let dir = tempfile::tempdir().unwrap();
        let settings = Settings::default();
        let mut log = Log::open(dir.path(), 0, false).unwrap();
        for at in 0..20 {
            append(&mut log, (1, 0, at * 3), false).unwrap();
        }
        log.admit(2, 0, 0);
        append(&mut log, (2, 0, 0), true).unwrap();
        log.end_transaction((2, 0), false, &settings, 0).unwrap();
        log.admit(3, 4, 0);
        append(&mut log, (3, 4, 0), true).unwrap();
        assert!(log.segments.len() > 3);
        let (next, stable) = (log.end(), log.stable_end());
        drop(log);

        let mut log = Log::open(dir.path(), 0, false).unwrap();
        assert_eq!((log.end(), log.stable_end(), log.start()), (next, stable, 0));
        assert_eq!(log.producers.aborted_between(0, next).count(), 1);
        assert_eq!(append(&mut log, (1, 0, 57), false).unwrap().base_offset, 57);
        assert_eq!(log.end(), next, "a duplicate is not appended again");
        assert_eq!(append(&mut log, (3, 4, 3), true), Err(Refused::NotAdmitted(3, 4)));
        assert_eq!(append(&mut log, (1, 0, 63), false), Err(ResponseError::OutOfOrderSequenceNumber.into()));
        assert_eq!(append(&mut log, (1, 0, 60), false).unwrap().base_offset, next);
    }

    #[test]
    fn a_file_cut_anywhere_loses_only_its_last_batch() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = Log::open(dir.path(), 0, false).unwrap();
        for at in 0..3 {
            append(&mut log, (1, 0, at * 3), false).unwrap();
        }
        let (path, whole) = (log.active().path.clone(), log.active().size);
        drop(log);
        let bytes = std::fs::read(&path).unwrap();
        for keep in [whole - 1, whole - 50, whole * 2 / 3 + 1] {
            std::fs::write(&path, &bytes[..keep as usize]).unwrap();
            let log = Log::open(dir.path(), 0, false).unwrap();
            assert_eq!(log.end(), 6, "{keep} bytes kept");
            assert_eq!(std::fs::metadata(&path).unwrap().len(), whole * 2 / 3);
        }
    }

    #[test]
    fn damage_before_the_last_segment_stops_the_start() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = Log::open(dir.path(), 0, false).unwrap();
        for at in 0..20 {
            append(&mut log, (1, 0, at * 3), false).unwrap();
        }
        let path = log.segments[0].path.clone();
        drop(log);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[80] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        let error = Log::open(dir.path(), 0, false).unwrap_err();
        assert!(matches!(error, Error::Damaged { position: 0, .. }), "{error}");
    }
}
