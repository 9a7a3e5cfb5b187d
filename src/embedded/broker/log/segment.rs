//! One file of a partition's log: whole batches one after another, named after the offset of the first.
//!
//! The sparse index (one entry about every 4 KiB) lives in memory only; opening a log reads every batch anyway, to
//! check it. Positions in the file only grow; a sealed segment never changes, compaction writes a new file.

use super::batch::{Batch, HEADER};
use bytes::{Bytes, BytesMut};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const INDEX_INTERVAL: u64 = 4096;
/// How much a scan reads at a time.
const SCAN_CHUNK: usize = 1 << 20;

#[derive(Debug)]
pub struct Segment {
    pub base: i64,
    pub path: PathBuf,
    pub file: Arc<File>,
    pub size: u64,
    /// The last offset of the last batch, `base - 1` while it is empty.
    pub last_offset: i64,
    /// The largest timestamp in this segment, `i64::MIN` while it is empty.
    pub max_timestamp: i64,
    /// The timestamp of the first batch, which `segment.ms` counts from.
    pub first_timestamp: Option<i64>,
    index: Vec<Entry>,
}

/// The batch at `position` starts at `offset`; everything before it has timestamps up to `max_timestamp`.
#[derive(Debug, Clone, Copy)]
struct Entry {
    offset: i64,
    position: u64,
    max_timestamp: i64,
}

/// Where records are to be read from. It stays readable when the log is truncated or the file is removed meanwhile.
#[derive(Debug, Clone)]
pub struct Slice {
    pub file: Arc<File>,
    pub position: u64,
    pub end: u64,
}

/// The file of the segment that begins at `base`.
pub fn path(dir: &Path, base: i64) -> PathBuf {
    dir.join(format!("{base:020}.log"))
}

impl Segment {
    /// Opens or creates the file; `admit` what it holds batch by batch afterwards.
    pub fn open(path: PathBuf, base: i64) -> io::Result<Segment> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path)?;
        Ok(Segment {
            base,
            path,
            file: Arc::new(file),
            size: 0,
            last_offset: base - 1,
            max_timestamp: i64::MIN,
            first_timestamp: None,
            index: Vec::new(),
        })
    }

    /// Writes one whole batch at the end. After an error the file is cut back to what it was.
    pub fn append(&mut self, bytes: &[u8], batch: &Batch) -> io::Result<()> {
        if let Err(error) = self.file.write_all_at(bytes, self.size) {
            self.file.set_len(self.size)?;
            return Err(error);
        }
        self.admit(batch);
        Ok(())
    }

    /// Takes note of the next batch of the file.
    pub fn admit(&mut self, batch: &Batch) {
        if self.index.last().is_none_or(|last| self.size - last.position >= INDEX_INTERVAL) {
            let entry = Entry { offset: batch.base_offset, position: self.size, max_timestamp: self.max_timestamp };
            self.index.push(entry);
        }
        self.size += batch.size as u64;
        self.last_offset = batch.last_offset();
        self.max_timestamp = self.max_timestamp.max(batch.max_timestamp);
        self.first_timestamp.get_or_insert(batch.max_timestamp);
    }

    /// A position at or shortly before the batch that holds `offset`.
    pub fn near(&self, offset: i64) -> Slice {
        let after = self.index.partition_point(|entry| entry.offset <= offset);
        self.slice_from(after)
    }

    /// A position at or shortly before the first batch with a timestamp of `timestamp` or later.
    pub fn near_time(&self, timestamp: i64) -> Slice {
        let after = self.index.partition_point(|entry| entry.max_timestamp < timestamp);
        self.slice_from(after)
    }

    pub fn whole(&self) -> Slice {
        Slice { file: self.file.clone(), position: 0, end: self.size }
    }

    fn slice_from(&self, after: usize) -> Slice {
        let position = after.checked_sub(1).map_or(0, |at| self.index[at].position);
        Slice { file: self.file.clone(), position, end: self.size }
    }

    pub fn remove(self) -> io::Result<()> {
        std::fs::remove_file(&self.path)
    }
}

impl Slice {
    /// Reads whole batches that end after `from` and begin before `to`, about `max` bytes but at least one batch.
    pub fn read(&self, from: i64, to: i64, max: usize) -> io::Result<Bytes> {
        let mut read = BytesMut::new();
        // What the index cannot tell, and what was asked for: seldom more than one look at the disk.
        let ahead = max.saturating_add(INDEX_INTERVAL as usize + HEADER).min(SCAN_CHUNK);
        self.scan_by(ahead, false, |batch, bytes, _| {
            let fits = read.is_empty() || read.len() + batch.size <= max;
            let wanted = batch.base_offset < to && fits;
            if wanted && batch.last_offset() >= from {
                read.extend_from_slice(bytes);
            }
            Ok(wanted)
        })?;
        Ok(read.freeze())
    }

    /// Calls `visit` with every batch and its bytes until it says stop (`false`), the end, or damage, and returns the
    /// position where it ended: the end, if nobody said stop and all is well. Checksums are verified if `verify`.
    pub fn scan(&self, verify: bool, visit: impl FnMut(&Batch, &[u8], u64) -> io::Result<bool>) -> io::Result<u64> {
        self.scan_by(SCAN_CHUNK, verify, visit)
    }

    fn scan_by(
        &self,
        ahead: usize,
        verify: bool,
        mut visit: impl FnMut(&Batch, &[u8], u64) -> io::Result<bool>,
    ) -> io::Result<u64> {
        let (mut position, mut chunk, mut at) = (self.position, BytesMut::new(), 0);
        loop {
            let left = (self.end - position) as usize;
            let parsed = Batch::parse(&chunk[at..]);
            let needed = parsed.map_or(HEADER, |batch| batch.size);
            if needed > left {
                return Ok(position);
            }
            if chunk.len() - at < needed {
                chunk = BytesMut::zeroed(left.min(needed.max(ahead)));
                self.file.read_exact_at(&mut chunk, position)?;
                at = 0;
                continue;
            }
            // A header that is there and makes no sense is damage.
            let Some(batch) = parsed else { return Ok(position) };
            let bytes = &chunk[at..at + batch.size];
            if (verify && !batch.intact(bytes)) || !visit(&batch, bytes, position)? {
                return Ok(position);
            }
            at += batch.size;
            position += batch.size as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::batch::{set_offset, tests::records};
    use super::*;

    fn segment(dir: &Path, sizes: &[usize]) -> Segment {
        let mut segment = Segment::open(path(dir, 0), 0).unwrap();
        for (at, size) in sizes.iter().enumerate() {
            let value = "x".repeat(*size);
            let mut bytes = records((-1, -1, -1), false, &[(None, Some(value.as_str()), at as i64 * 10); 2]);
            set_offset(&mut bytes, at as i64 * 2);
            let batch = Batch::parse(&bytes).unwrap();
            segment.append(&bytes, &batch).unwrap();
        }
        segment
    }

    fn offsets(mut bytes: &[u8]) -> Vec<i64> {
        let mut offsets = Vec::new();
        while let Some(batch) = Batch::parse(bytes) {
            assert!(batch.intact(bytes));
            offsets.push(batch.base_offset);
            bytes = &bytes[batch.size..];
        }
        assert!(bytes.is_empty(), "a half batch was read");
        offsets
    }

    #[test]
    fn reads_start_at_the_batch_that_holds_the_offset_and_give_at_least_one() {
        let dir = tempfile::tempdir().unwrap();
        let segment = segment(dir.path(), &[100, 3_000, 20_000, 10, 5_000, 100]);
        for (from, to, max, expected) in [
            (0, 12, 1 << 20, vec![0, 2, 4, 6, 8, 10]),
            (3, 12, 1 << 20, vec![2, 4, 6, 8, 10]),
            (5, 12, 1, vec![4]),
            (6, 12, 300, vec![6]),
            (9, 10, 1 << 20, vec![8]),
            (0, 4, 1 << 20, vec![0, 2]),
            (11, 12, 0, vec![10]),
            (12, 12, 100, vec![]),
        ] {
            let bytes = segment.near(from).read(from, to, max).unwrap();
            assert_eq!(offsets(&bytes), expected, "from {from} to {to} max {max}");
        }
    }

    #[test]
    fn a_cut_or_changed_tail_is_found_at_the_end_of_the_last_whole_batch() {
        let dir = tempfile::tempdir().unwrap();
        let segment = segment(dir.path(), &[100, 100]);
        let first = segment.size / 2;
        for cut in 1..segment.size - first {
            let cut = Slice { end: segment.size - cut, ..segment.whole() };
            assert_eq!(cut.scan(true, |_, _, _| Ok(true)).unwrap(), first);
        }
        segment.file.write_all_at(b"y", segment.size - 20).unwrap();
        assert_eq!(segment.whole().scan(true, |_, _, _| Ok(true)).unwrap(), first);
    }

    #[test]
    fn a_time_lookup_starts_before_the_batch_with_that_time() {
        let dir = tempfile::tempdir().unwrap();
        let segment = segment(dir.path(), &[3_000; 20]);
        for wanted in 0..20i64 {
            let mut found = None;
            let near = segment.near_time(wanted * 10 - 5);
            near.scan(false, |batch, _, _| {
                found = Some(batch.base_offset);
                Ok(batch.max_timestamp < wanted * 10 - 5)
            })
            .unwrap();
            assert_eq!(found, Some(wanted * 2));
            assert!(segment.size - near.position > 3_000);
        }
    }
}
