//! Compaction: of the records with one key only the newest stays.
//!
//! Sealed segments below the first open transaction are rewritten beside themselves, outside the log's lock, and then take the old
//! ones' place one group at a time: a file that is whole and on disk is renamed over the first of them, the others are removed. A
//! crash in between leaves a log that is compacted in part, which is as right as one that is not: groups are replaced in order, so
//! a deletion never disappears before what it deletes.
//!
//! What stays: the newest record of a key; a record without a value for `delete.retention.ms` after the first pass that saw it; the
//! marker of a transaction while any of its records stays; the last batch of a group, if only its header, so that offsets have no
//! hole where a reader could wait for ever. Offsets never change. When deletions were first seen is not written down: after a restart
//! their time begins anew.

use super::batch::{self, Batch};
use super::producers::Producers;
use super::records;
use super::segment::{Segment, Slice};
use super::{Log, Settings};
use sha2::{Digest, Sha256};
use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::io;
use std::path::PathBuf;

/// Bounds the memory of one pass; what has more new keys is finished in the next.
const MAX_KEYS: usize = 1_000_000;

type KeyDigest = [u8; 32];
/// The newest offset of each key.
type Newest = HashMap<KeyDigest, i64>;

/// A pass over one log, prepared under its lock.
#[derive(Debug)]
pub struct Pass {
    dir: PathBuf,
    segments: Vec<(i64, Slice)>,
    producers: Producers,
    /// Everything before was compacted in an earlier pass.
    dirty_from: i64,
    end: i64,
    /// Deletions before were seen for long enough.
    deletions_to: i64,
    segment_bytes: u64,
}

/// Some segments, rewritten into one.
#[derive(Debug)]
pub struct Rewritten {
    bases: Vec<i64>,
    segment: Segment,
}

impl Log {
    /// Prepares a pass if enough is dirty, or anything has been for too long.
    pub fn plan_compaction(&mut self, settings: &Settings, now: i64) -> Option<Pass> {
        let stable = self.stable_end();
        let young = now.saturating_sub(settings.min_compaction_lag_ms);
        let old = |segment: &&Segment| {
            segment.last_offset < stable && (settings.min_compaction_lag_ms == 0 || segment.max_timestamp < young)
        };
        let cleanable: Vec<&Segment> = self.segments[..self.segments.len() - 1].iter().take_while(old).collect();
        let dirty_from = self.passes.last().map_or(0, |(end, _)| *end);
        let dirty = &cleanable[cleanable.partition_point(|segment| segment.base < dirty_from)..];
        let bytes = |segments: &[&Segment]| segments.iter().map(|segment| segment.size).sum::<u64>() as f64;
        let waits_since = dirty.first()?.first_timestamp.unwrap_or(now);
        let overdue = waits_since < now.saturating_sub(settings.max_compaction_lag_ms);
        if !overdue && bytes(dirty) < bytes(&cleanable) * settings.min_cleanable_ratio {
            return None;
        }
        let segments = cleanable.iter().map(|segment| (segment.base, segment.whole())).collect();
        let end = dirty.last()?.last_offset + 1;
        let seen_by = now.saturating_sub(settings.delete_retention_ms);
        let served = self.passes.partition_point(|(_, at)| *at < seen_by);
        // The last of them tells all that the earlier ones do.
        self.passes.drain(..served.saturating_sub(1));
        let deletions_to = self.passes.first().filter(|_| served > 0).map_or(0, |(end, _)| *end);
        let (dir, producers) = (self.dir.clone(), self.producers.clone());
        let segment_bytes = settings.segment_bytes;
        Some(Pass { dir, segments, producers, dirty_from, end, deletions_to, segment_bytes })
    }

    /// Puts a rewritten group in the place of its segments. If these are not there any more, nothing is changed.
    pub fn install(&mut self, done: Rewritten) -> io::Result<()> {
        let Rewritten { bases, mut segment } = done;
        let at = self.segments.partition_point(|old| old.base < segment.base);
        let there = self.segments[at..].iter().map(|old| old.base);
        if !there.take(bases.len()).eq(bases.iter().copied()) {
            return segment.remove();
        }
        let place = self.segments[at].path.clone();
        std::fs::rename(&segment.path, &place)?;
        segment.path = place;
        self.producers.forget_aborted_before(segment.last_offset + 1);
        let old: Vec<Segment> = self.segments.splice(at..at + bases.len(), [segment]).collect();
        File::open(&self.dir)?.sync_all()?;
        // What cannot be removed is removed by the next start.
        old.into_iter().skip(1).try_for_each(Segment::remove)
    }

    /// A pass is through.
    pub fn compacted(&mut self, end: i64, now: i64) {
        self.passes.push((end, now));
    }
}

impl Pass {
    /// Rewrites group by group, hands each to `install`, and returns the offset up to which it came.
    pub fn run(&self, mut install: impl FnMut(Rewritten) -> io::Result<()>) -> io::Result<i64> {
        let (newest, end) = self.newest_offsets()?;
        let mut left = &self.segments[..self.segments.partition_point(|(base, _)| *base < end)];
        let mut open = BTreeSet::new();
        while !left.is_empty() {
            let (group, rest) = left.split_at(self.group_size(left));
            install(self.rewrite(group, &newest, &mut open)?)?;
            left = rest;
        }
        Ok(end)
    }

    /// How many segments, at least one, make one new segment that is not larger than a segment may be.
    fn group_size(&self, segments: &[(i64, Slice)]) -> usize {
        let mut bytes = 0;
        let fits = segments.iter().take_while(|(_, slice)| {
            bytes += slice.end;
            bytes <= self.segment_bytes
        });
        fits.count().max(1)
    }

    /// The newest offset of each key in the dirty part, and how far that is known.
    fn newest_offsets(&self) -> io::Result<(Newest, i64)> {
        let mut newest = Newest::new();
        for (base, slice) in self.segments.iter().filter(|(base, _)| *base >= self.dirty_from) {
            if newest.len() >= MAX_KEYS {
                return Ok((newest, *base));
            }
            slice.scan(false, |batch, bytes, _| {
                if batch.is_control() || self.is_aborted(batch) {
                    return Ok(true);
                }
                // What cannot be read supersedes nothing, and stays.
                let Ok(plain) = records::plain(batch, bytes) else { return Ok(true) };
                for record in records::walk(batch, &plain).map_while(Result::ok) {
                    if let Some(key) = record.key {
                        newest.insert(digest(key), record.offset);
                    }
                }
                Ok(true)
            })?;
        }
        Ok((newest, self.end))
    }

    fn is_aborted(&self, batch: &Batch) -> bool {
        batch.is_transactional() && self.producers.is_aborted(batch.producer_id, batch.base_offset)
    }

    /// `open`: producers with records that stay and whose marker is yet to come.
    fn rewrite(&self, group: &[(i64, Slice)], newest: &Newest, open: &mut BTreeSet<i64>) -> io::Result<Rewritten> {
        let bases: Vec<i64> = group.iter().map(|(base, _)| *base).collect();
        let mut fresh = Segment::open(self.dir.join(format!("{:020}.new", bases[0])), bases[0])?;
        fresh.file.set_len(0)?;
        for (nth, (base, slice)) in group.iter().enumerate() {
            let read = slice.scan(true, |batch, bytes, position| {
                let ends_group = nth + 1 == group.len() && position + batch.size as u64 == slice.end;
                let mut kept = self.kept(batch, bytes, newest, open);
                if kept.is_none() && ends_group {
                    kept = Some(records::with_only(batch, bytes, &[])?);
                }
                if let Some(kept) = kept
                    && let Some(batch) = Batch::parse(&kept)
                {
                    fresh.append(&kept, &batch)?;
                }
                Ok(true)
            })?;
            if read < slice.end {
                return Err(io::Error::other(format!(
                    "the segment at {base} is damaged at byte {read}; left as it is"
                )));
            }
        }
        fresh.file.sync_data()?;
        Ok(Rewritten { bases, segment: fresh })
    }

    /// What stays of a batch.
    fn kept(&self, batch: &Batch, bytes: &[u8], newest: &Newest, open: &mut BTreeSet<i64>) -> Option<Vec<u8>> {
        if batch.is_control() {
            let needed = batch::marker_commits(bytes).is_none() || open.remove(&batch.producer_id);
            return needed.then(|| bytes.to_vec());
        }
        if self.is_aborted(batch) {
            return None;
        }
        // What cannot be read is nobody's to remove.
        let kept = self.newest_of(batch, bytes, newest).unwrap_or_else(|_| Some(bytes.to_vec()))?;
        if batch.is_transactional() {
            open.insert(batch.producer_id);
        }
        Some(kept)
    }

    /// The batch with the records that nothing supersedes, `None` if there is none.
    fn newest_of(&self, batch: &Batch, bytes: &[u8], newest: &Newest) -> io::Result<Option<Vec<u8>>> {
        let plain = records::plain(batch, bytes)?;
        let mut records: Vec<_> = records::walk(batch, &plain).collect::<io::Result<_>>()?;
        let all = records.len();
        records.retain(|record| {
            let Some(key) = record.key else { return false };
            let superseded = newest.get(&digest(key)).is_some_and(|newest| *newest > record.offset);
            let served = !record.has_value && record.offset < self.deletions_to;
            !superseded && !served
        });
        match records.len() {
            0 => Ok(None),
            left if left == all => Ok(Some(bytes.to_vec())),
            _ => records::with_only(batch, bytes, &records).map(Some),
        }
    }
}

fn digest(key: &[u8]) -> KeyDigest {
    Sha256::digest(key).into()
}

#[cfg(test)]
mod tests {
    use super::super::batch::tests::records as batch_of;
    use super::*;
    use crate::embedded::broker::log::segment::path;
    use std::path::Path;

    fn settings() -> Settings {
        Settings { compacted: true, segment_bytes: 300, delete_retention_ms: 1_000, ..Settings::default() }
    }

    /// A pass that puts about four segments into one.
    fn merging() -> Settings {
        Settings { segment_bytes: 1_200, ..settings() }
    }

    fn put(log: &mut Log, key: &str, value: Option<&str>, time: i64) {
        let bytes = batch_of((-1, -1, -1), false, &[(Some(key), value, time)]);
        log.append(&bytes, &settings(), 0).unwrap();
    }

    fn compact(log: &mut Log, now: i64) {
        let Some(pass) = log.plan_compaction(&merging(), now) else { return };
        let end = pass.run(|done| log.install(done)).unwrap();
        log.compacted(end, now);
    }

    /// Offset, key and value of every record, in order; markers are `!`.
    fn content(log: &Log) -> Vec<(i64, String, Option<String>)> {
        let mut content = Vec::new();
        for segment in &log.segments {
            let read = segment
                .whole()
                .scan(true, |batch, bytes, _| {
                    if batch.is_control() {
                        content.push((batch.base_offset, "!".to_owned(), None));
                        return Ok(true);
                    }
                    let decoded =
                        kafka_protocol::records::RecordBatchDecoder::decode(&mut bytes::Bytes::copy_from_slice(bytes));
                    let text = |bytes: bytes::Bytes| String::from_utf8(bytes.to_vec()).unwrap();
                    for record in decoded.unwrap().records {
                        content.push((record.offset, record.key.map(text).unwrap(), record.value.map(text)));
                    }
                    Ok(true)
                })
                .unwrap();
            assert_eq!(read, segment.size);
        }
        content
    }

    /// What a reader of the whole log knows at the end.
    fn table(log: &Log) -> std::collections::BTreeMap<String, String> {
        let mut table = std::collections::BTreeMap::new();
        for (_, key, value) in content(log) {
            match value {
                Some(value) => table.insert(key, value),
                None => table.remove(&key),
            };
        }
        table
    }

    fn filled(dir: &Path) -> Log {
        let mut log = Log::open(dir, 0).unwrap();
        for round in 0..20 {
            for key in ["a", "b", "c"] {
                put(&mut log, key, Some(&format!("{key}{round}")), 100);
            }
        }
        put(&mut log, "b", None, 100);
        for round in 0..5 {
            put(&mut log, "filler", Some(&round.to_string()), 100);
        }
        log
    }

    #[test]
    fn the_newest_of_each_key_stays_at_its_offset_also_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = filled(dir.path());
        let (before, end, files) = (table(&log), log.end(), log.segments.len());
        compact(&mut log, 200);
        assert_eq!(table(&log), before);
        let keys: Vec<String> = content(&log).into_iter().map(|(_, key, _)| key).collect();
        assert_eq!(keys.iter().filter(|key| *key == "a").count(), 1);
        assert!(keys.contains(&"b".to_owned()), "the deletion is still to be seen");
        assert!(log.segments.len() < files / 2);
        let kept = content(&log);
        drop(log);
        let log = Log::open(dir.path(), 0).unwrap();
        assert_eq!((content(&log), log.end(), log.start()), (kept, end, 0));
    }

    #[test]
    fn a_deletion_goes_when_it_was_seen_long_enough() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = filled(dir.path());
        compact(&mut log, 200);
        for (now, there) in [(1_200, true), (1_201, false)] {
            for round in 0..60 {
                put(&mut log, "more", Some(&round.to_string()), now);
            }
            compact(&mut log, now);
            assert_eq!(content(&log).iter().any(|(_, key, _)| key == "b"), there, "at {now}");
        }
        assert!(!table(&log).contains_key("b"));
    }

    #[test]
    fn aborted_records_go_with_their_marker_and_open_ones_are_not_touched() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = Log::open(dir.path(), 0).unwrap();
        let transaction = |log: &mut Log, id: i64, value: &str, ends: Option<bool>| {
            log.producers.admit(id, 0, 0);
            let bytes = batch_of((id, 0, 0), true, &[(Some("k"), Some(value), 1)]);
            log.append(&bytes, &settings(), 0).unwrap();
            if let Some(commit) = ends {
                log.end_transaction((id, 0), commit, &settings(), 0).unwrap();
            }
        };
        transaction(&mut log, 1, "committed", Some(true));
        transaction(&mut log, 2, "aborted", Some(false));
        put(&mut log, "x", Some("1"), 1);
        for round in 0..10 {
            put(&mut log, "filler", Some(&round.to_string()), 1);
        }
        let open_from = log.end();
        transaction(&mut log, 3, "open", None);
        for round in 0..10 {
            put(&mut log, "filler", Some(&round.to_string()), 1);
        }
        compact(&mut log, 200);
        let content = content(&log);
        let committed = (0, "k".to_owned(), Some("committed".to_owned()));
        assert_eq!(content[..2], [committed, (1, "!".to_owned(), None)], "the newest value and its marker");
        assert_eq!(content[2].1, "x", "the aborted record and its marker are gone");
        assert_eq!(log.producers.aborted_between(0, 100).count(), 0, "or a reader would skip later records");
        assert_eq!(log.stable_end(), open_from);
        assert_eq!(content.iter().filter(|(offset, ..)| *offset > open_from).count(), 10);
        drop(log);
        assert_eq!(Log::open(dir.path(), 0).unwrap().stable_end(), open_from);
    }

    #[test]
    fn a_crash_between_any_two_steps_keeps_the_meaning() {
        for removed in [None, Some(0), Some(1), Some(2)] {
            let dir = tempfile::tempdir().unwrap();
            let mut log = filled(dir.path());
            let (before, end) = (table(&log), log.end());
            let pass = log.plan_compaction(&merging(), 200).unwrap();
            let mut groups = Vec::new();
            pass.run(|done| {
                groups.push(done);
                Ok(())
            })
            .unwrap();
            assert!(groups.len() > 2 && groups[1].bases.len() > 2, "{groups:?}");
            if let Some(removed) = removed {
                let done = groups.remove(0);
                log.install(done).unwrap();
                // The second group's file is in place, but not all segments it replaces are removed.
                std::fs::rename(&groups[0].segment.path, path(dir.path(), groups[0].bases[0])).unwrap();
                for base in &groups[0].bases[1..=removed] {
                    std::fs::remove_file(path(dir.path(), *base)).unwrap();
                }
            }
            drop(log);
            let mut log = Log::open(dir.path(), 0).unwrap();
            let offsets: Vec<i64> = content(&log).into_iter().map(|(offset, ..)| offset).collect();
            assert!(offsets.is_sorted_by(|one, two| one < two), "{removed:?}: {offsets:?}");
            assert_eq!((table(&log), log.end()), (before.clone(), end), "{removed:?}");
            compact(&mut log, 200);
            assert_eq!((table(&log), log.end()), (before, end), "{removed:?}: compacted again");
            let left = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path());
            let left = left.filter(|path| path.extension().is_some_and(|extension| extension == "log")).count();
            assert_eq!(left, log.segments.len(), "{removed:?}: nothing lies about");
        }
    }

    #[test]
    fn a_damaged_segment_is_left_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = filled(dir.path());
        std::os::unix::fs::FileExt::write_all_at(&*log.segments[1].file, b"?", log.segments[1].size - 3).unwrap();
        let (before, pass) = (log.segments.len(), log.plan_compaction(&merging(), 200).unwrap());
        let error = pass.run(|done| log.install(done)).unwrap_err();
        assert!(error.to_string().contains("damaged"), "{error}");
        assert_eq!(log.segments.len(), before);
    }

    #[test]
    fn retention_that_was_faster_wins() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = filled(dir.path());
        let pass = log.plan_compaction(&merging(), 200).unwrap();
        let mut first = None;
        let gone = log.segments[1].base;
        log.delete_before(gone).unwrap();
        pass.run(|done| {
            first.get_or_insert(done.segment.path.clone());
            log.install(done)
        })
        .unwrap();
        assert_eq!(log.segments[0].base, gone);
        assert!(!first.unwrap().exists());
    }

    #[test]
    fn a_reader_of_any_offset_gets_to_the_end_over_what_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = Log::open(dir.path(), 0).unwrap();
        put(&mut log, "first", Some("v"), 100);
        (0..20).for_each(|_| put(&mut log, "k", Some("v"), 100));
        put(&mut log, "k", None, 100);
        (0..7).for_each(|_| put(&mut log, "last", Some("v"), 100));
        compact(&mut log, 200);
        (0..30).for_each(|_| put(&mut log, "last", Some("v"), 9_000));
        compact(&mut log, 9_000);
        let content = content(&log);
        assert_eq!(content[0].1, "first");
        assert!(content[1..].iter().all(|(_, key, _)| key == "last") && content[1].0 > 50, "{content:?}");
        assert_every_offset_leads_to_the_end(&log);
    }

    #[test]
    fn a_log_of_which_nothing_stays_ends_where_it_did() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = Log::open(dir.path(), 0).unwrap();
        log.producers.admit(1, 0, 0);
        log.append(&batch_of((1, 0, 0), true, &[(Some("k"), Some("v"), 1)]), &settings(), 0).unwrap();
        log.end_transaction((1, 0), false, &settings(), 0).unwrap();
        log.roll().unwrap();
        compact(&mut log, 200);
        assert!(content(&log).iter().all(|(_, key, _)| key == "!"), "{:?}", content(&log));
        assert_every_offset_leads_to_the_end(&log);
        drop(log);
        assert_eq!(Log::open(dir.path(), 0).unwrap().end(), 2);
    }

    fn assert_every_offset_leads_to_the_end(log: &Log) {
        for from in 0..log.end() {
            let mut at = from;
            while at < log.end() {
                let bytes = log.locate(at).unwrap().read(at, log.end(), 1).unwrap();
                let batch = Batch::parse(&bytes).unwrap_or_else(|| panic!("from {from}, at {at}: nothing to read"));
                assert!(batch.last_offset() >= at);
                at = batch.last_offset() + 1;
            }
        }
    }

    #[test]
    fn what_was_aborted_and_is_gone_hides_nothing_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = Log::open(dir.path(), 0).unwrap();
        for sequence in [0, 1] {
            log.producers.admit(1, 0, 0);
            let bytes = batch_of((1, 0, sequence), true, &[(Some("k"), Some("v"), 1)]);
            log.append(&bytes, &settings(), 0).unwrap();
            log.end_transaction((1, 0), sequence == 1, &settings(), 0).unwrap();
        }
        (0..7).for_each(|_| put(&mut log, "filler", Some("v"), 1));
        compact(&mut log, 200);
        assert_eq!(content(&log)[0], (2, "k".to_owned(), Some("v".to_owned())), "the aborted one is gone");
        drop(log);
        let log = Log::open(dir.path(), 0).unwrap();
        assert_eq!(log.producers.aborted_between(0, 100).count(), 0);
        // Without the snapshot, a header that is left of a transaction does not look like one that is open.
        drop(log);
        std::fs::remove_file(dir.path().join("producers.json")).unwrap();
        let log = Log::open(dir.path(), 0).unwrap();
        assert_eq!(log.stable_end(), log.end());
    }
}
