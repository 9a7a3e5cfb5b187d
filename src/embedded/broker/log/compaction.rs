//! Compaction: of the records with one key only the newest stays.
//!
//! Sealed segments below the first open transaction are rewritten beside themselves, outside the log's lock, and then
//! take the old ones' place one group at a time. A crash in between leaves a log that is compacted in part, which is
//! as right as one that is not: groups are replaced in order, so a deletion never disappears before what it deletes.
//!
//! What stays: the newest record of a key; a record without a value for `delete.retention.ms` (by its batch's time) and
//! at least until the next pass; the marker of a transaction while any of its records stays. Offsets never change.

use super::batch::{self, Batch};
use super::producers::Producers;
use super::records;
use super::segment::{Segment, Slice};
use super::{Log, Settings};
use sha2::{Digest, Sha256};
use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

/// Bounds the memory of one pass; what has more new keys is finished in the next.
const MAX_KEYS: usize = 1_000_000;

type KeyDigest = [u8; 16];

/// A pass over one log, prepared under its lock.
#[derive(Debug)]
pub struct Pass {
    dir: PathBuf,
    segments: Vec<(i64, Slice)>,
    producers: Producers,
    /// Everything before was compacted in an earlier pass.
    dirty_from: i64,
    end: i64,
    rules: Rules,
    segment_bytes: u64,
}

/// What decides whether a record stays.
#[derive(Debug, Clone, Copy)]
struct Rules {
    /// Deletions before this offset whose batch is older than `deletions_before_time` have served their purpose.
    deletions_before_offset: i64,
    deletions_before_time: i64,
}

/// Some segments, rewritten into one file.
#[derive(Debug)]
pub struct Rewritten {
    bases: Vec<i64>,
    fresh: PathBuf,
    end: i64,
}

impl Log {
    /// Prepares a pass if enough is dirty.
    pub fn plan_compaction(&self, settings: &Settings, now: i64) -> Option<Pass> {
        let stable = self.stable_end();
        let young = now.saturating_sub(settings.min_compaction_lag_ms);
        let sealed = &self.segments[..self.segments.len() - 1];
        let old = |segment: &&Segment| {
            segment.last_offset < stable && (settings.min_compaction_lag_ms == 0 || segment.max_timestamp < young)
        };
        let cleanable: Vec<&Segment> = sealed.iter().take_while(old).collect();
        let bytes = |from: i64| cleanable.iter().filter(|one| one.base >= from).map(|one| one.size).sum::<u64>();
        let (dirty, total) = (bytes(self.compacted_to), bytes(0));
        if dirty == 0 || (dirty as f64) < total as f64 * settings.min_cleanable_ratio {
            return None;
        }
        Some(Pass {
            dir: self.dir.clone(),
            segments: cleanable.iter().map(|segment| (segment.base, segment.whole())).collect(),
            producers: self.producers.clone(),
            dirty_from: self.compacted_to,
            end: cleanable.last().map_or(0, |last| last.last_offset + 1),
            rules: Rules {
                deletions_before_offset: self.compacted_to,
                deletions_before_time: now.saturating_sub(settings.delete_retention_ms),
            },
            segment_bytes: settings.segment_bytes,
        })
    }

    /// Puts a rewritten group in the place of its segments. If these are not there any more, nothing is changed.
    pub fn install(&mut self, done: Rewritten) -> io::Result<()> {
        let first = self.segments.iter().position(|segment| segment.base == done.bases[0]);
        let at = first.filter(|at| {
            let there = self.segments[*at..].iter().map(|segment| segment.base);
            there.take(done.bases.len()).eq(done.bases.iter().copied())
        });
        let Some(at) = at else { return std::fs::remove_file(&done.fresh) };
        std::fs::rename(&done.fresh, &self.segments[at].path)?;
        let mut segment = Segment::open(&self.dir, done.bases[0])?;
        let length = segment.file.metadata()?.len();
        let all = Slice { file: segment.file.clone(), position: 0, end: length };
        all.scan(false, |batch, _, _| {
            segment.admit(batch);
            Ok(true)
        })?;
        // Nothing can fail any more but the removal of what is not needed; a start does it again.
        let old: Vec<Segment> = self.segments.splice(at..at + done.bases.len(), [segment]).collect();
        self.compacted_to = self.compacted_to.max(done.end);
        self.producers.drop_aborted_before(done.end);
        // In order: see the module's word on deletions.
        old.into_iter().skip(1).try_for_each(Segment::remove)
    }
}

impl Pass {
    /// Rewrites group by group and hands each to `install`.
    pub fn run(&self, mut install: impl FnMut(Rewritten) -> io::Result<()>) -> io::Result<()> {
        let (newest, to) = self.newest_offsets()?;
        let mut left = self.segments.as_slice();
        left = &left[..left.partition_point(|(base, _)| *base < to)];
        let mut open = BTreeSet::new();
        while !left.is_empty() {
            let (group, rest) = left.split_at(self.group_size(left));
            let end = rest.first().map_or(to, |(base, _)| *base);
            install(self.rewrite(group, end, &newest, &mut open)?)?;
            left = rest;
        }
        Ok(())
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

    fn rewrite(
        &self,
        group: &[(i64, Slice)],
        end: i64,
        newest: &HashMap<KeyDigest, i64>,
        open: &mut BTreeSet<i64>,
    ) -> io::Result<Rewritten> {
        let fresh = self.dir.join(format!("{:020}.new", group[0].0));
        let mut file = BufWriter::new(File::create(&fresh)?);
        for (_, slice) in group {
            self.clean(slice, newest, open, &mut file)?;
        }
        file.into_inner()?.sync_data()?;
        Ok(Rewritten { bases: group.iter().map(|(base, _)| *base).collect(), fresh, end })
    }

    /// The newest offset of each key in the dirty part, and how far that is known.
    fn newest_offsets(&self) -> io::Result<(HashMap<KeyDigest, i64>, i64)> {
        let mut newest = HashMap::new();
        let mut to = self.end;
        for (base, slice) in &self.segments {
            if *base < self.dirty_from {
                continue;
            }
            if newest.len() >= MAX_KEYS {
                to = *base;
                break;
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
        Ok((newest, to))
    }

    fn is_aborted(&self, batch: &Batch) -> bool {
        batch.is_transactional() && self.producers.is_aborted(batch.producer_id, batch.base_offset)
    }

    /// Writes a segment's batches with the records that stay. `open`: producers with records whose marker is yet to come.
    fn clean(
        &self,
        slice: &Slice,
        newest: &HashMap<KeyDigest, i64>,
        open: &mut BTreeSet<i64>,
        to: &mut impl Write,
    ) -> io::Result<()> {
        slice.scan(false, |batch, bytes, _| {
            if batch.is_control() {
                let needed = batch::marker_commits(bytes).is_none() || open.remove(&batch.producer_id);
                if needed {
                    to.write_all(bytes)?;
                }
            } else if !self.is_aborted(batch)
                && let Some(kept) = keep(batch, bytes, newest, self.rules).unwrap_or_else(|_| Some(bytes.to_vec()))
            {
                if batch.is_transactional() {
                    open.insert(batch.producer_id);
                }
                to.write_all(&kept)?;
            }
            Ok(true)
        })?;
        Ok(())
    }
}

/// The batch with the records that stay, `None` if none does.
fn keep(batch: &Batch, bytes: &[u8], newest: &HashMap<KeyDigest, i64>, rules: Rules) -> io::Result<Option<Vec<u8>>> {
    let plain = records::plain(batch, bytes)?;
    let mut records: Vec<_> = records::walk(batch, &plain).collect::<io::Result<_>>()?;
    let all = records.len();
    records.retain(|record| {
        let Some(key) = record.key else { return false };
        let superseded = newest.get(&digest(key)).is_some_and(|newest| *newest > record.offset);
        let served = !record.has_value
            && record.offset < rules.deletions_before_offset
            && batch.max_timestamp < rules.deletions_before_time;
        !superseded && !served
    });
    match records.len() {
        0 => Ok(None),
        left if left == all => Ok(Some(bytes.to_vec())),
        _ => records::with_only(batch, bytes, &records).map(Some),
    }
}

fn digest(key: &[u8]) -> KeyDigest {
    let mut digest = KeyDigest::default();
    digest.copy_from_slice(&Sha256::digest(key)[..16]);
    digest
}

#[cfg(test)]
mod tests {
    use super::super::batch::tests::records as batch_of;
    use super::*;
    use crate::embedded::broker::log::segment::Damage;
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
        pass.run(|done| log.install(done)).unwrap();
    }

    /// Offset, key and value of every record, in order; markers are `!`.
    fn content(log: &Log) -> Vec<(i64, String, Option<String>)> {
        let mut content = Vec::new();
        for segment in &log.segments {
            let (_, damage): (u64, Option<Damage>) = segment
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
            assert_eq!(damage, None);
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
        let mut log = Log::open(dir, 0, false).unwrap();
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
        let log = Log::open(dir.path(), 0, false).unwrap();
        assert_eq!((content(&log), log.end(), log.start()), (kept, end, 0));
    }

    #[test]
    fn a_deletion_goes_when_it_was_seen_long_enough() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = filled(dir.path());
        compact(&mut log, 200);
        for (now, there) in [(1_100, true), (1_101, false)] {
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
        let mut log = Log::open(dir.path(), 0, false).unwrap();
        let transaction = |log: &mut Log, id: i64, value: &str, ends: Option<bool>| {
            log.admit(id, 0, 0);
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
        assert_eq!(Log::open(dir.path(), 0, false).unwrap().stable_end(), open_from);
    }

    #[test]
    fn a_crash_between_replacing_and_removing_keeps_the_meaning() {
        let dir = tempfile::tempdir().unwrap();
        let log = filled(dir.path());
        let (before, end) = (table(&log), log.end());
        let pass = log.plan_compaction(&merging(), 200).unwrap();
        let mut first = None;
        pass.run(|done| {
            first.get_or_insert(done);
            Ok(())
        })
        .unwrap();
        // The new file is in place, but the segments it replaces were not removed.
        let done = first.unwrap();
        assert!(done.bases.len() > 1);
        std::fs::rename(&done.fresh, dir.path().join(format!("{:020}.log", done.bases[0]))).unwrap();
        drop(log);
        let log = Log::open(dir.path(), 0, false).unwrap();
        assert_eq!((table(&log), log.end()), (before, end));
        let offsets: Vec<i64> = content(&log).into_iter().map(|(offset, ..)| offset).collect();
        assert!(offsets.is_sorted_by(|one, two| one < two), "{offsets:?}");
    }
}
