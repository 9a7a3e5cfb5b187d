//! What broker and registry remember, on disk: one file, one entry a line, a checksum before each. It can be read with `less` and copied
//! with `cp`.
//!
//! An entry is written (and with `sync`, on disk) before it counts, so what was answered survives; what was not answered may or may
//! not be there. A torn last line is cut off at start; a bad line with good ones behind it, or a whole one that says nothing this
//! version knows, stops the start. After a failed write the file is cut back; where that fails too nothing more is written until a
//! restart has read what is really there.

use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Below this size rewriting is not worth it.
const REWRITE_FROM: u64 = 4 << 20;
/// As the first builds called theirs. Now the format's version is in the name.
const UNVERSIONED: &str = "journal";

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error("{path} is of an earlier build, which this one cannot read; remove its directory, or choose another one")]
    Earlier { path: PathBuf },
    #[error("{path} is in use by another process; stop that one, or choose another directory")]
    InUse { path: PathBuf },
    #[error("{path}:{line}: {why}; restore the file from a copy, or cut it off before this line")]
    Damaged { path: PathBuf, line: usize, why: String },
}

#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: Arc<File>,
    /// Bytes of whole lines.
    length: u64,
    rewrite_at: u64,
    sync: bool,
    broken: bool,
    /// Held as long as the journal lives, so that no second process writes to the same directory.
    _lock: File,
}

impl Journal {
    /// Creates or reads the journal `name` in this directory, which from now on belongs to this process.
    pub fn open<E: DeserializeOwned>(dir: &Path, name: &str, sync: bool) -> Result<(Journal, Vec<E>), Error> {
        let (path, earlier) = (dir.join(name), dir.join(UNVERSIONED));
        if earlier.exists() {
            return Err(Error::Earlier { path: earlier });
        }
        let io = |source| Error::Io { path: path.clone(), source };
        std::fs::create_dir_all(dir).map_err(io)?;
        let lock = File::create(dir.join("lock")).map_err(io)?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => Error::InUse { path: dir.to_owned() },
            TryLockError::Error(source) => io(source),
        })?;
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(io)?;
        File::open(dir).and_then(|dir| dir.sync_all()).map_err(io)?; // the file's own name must survive too
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(io)?;
        let (entries, length) = read(&bytes).map_err(|(line, why)| Error::Damaged { path: path.clone(), line, why })?;
        if length < bytes.len() {
            tracing::warn!(path = %path.display(), bytes = bytes.len() - length, "cut off the journal's torn tail");
            file.set_len(length as u64).and_then(|()| file.sync_data()).map_err(io)?;
        }
        let (file, length) = (Arc::new(file), length as u64);
        Ok((Journal { path, file, length, rewrite_at: REWRITE_FROM, sync, broken: false, _lock: lock }, entries))
    }

    /// The entry counts once this returns.
    pub fn append<E: Serialize>(&mut self, entry: &E) -> io::Result<()> {
        if self.broken {
            return Err(io::Error::other("an earlier write failed and could not be undone; restart the process"));
        }
        let line = line(entry);
        let written = self.file.write_all_at(&line, self.length);
        if let Err(error) = written.and_then(|()| self.settle()) {
            self.broken = self.file.set_len(self.length).and_then(|()| self.settle()).is_err();
            return Err(error);
        }
        self.length += line.len() as u64;
        Ok(())
    }

    fn settle(&self) -> io::Result<()> {
        if self.sync { self.file.sync_data() } else { Ok(()) }
    }

    /// Replaces the journal by the entries that are still true, if it has grown enough since the last time.
    pub fn rewrite_if_large<E: Serialize>(&mut self, entries: impl FnOnce() -> Vec<E>) -> io::Result<()> {
        if self.length < self.rewrite_at {
            return Ok(());
        }
        let bytes: Vec<u8> = entries().iter().flat_map(line).collect();
        let fresh = self.path.with_extension("new");
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&fresh)?;
        file.write_all_at(&bytes, 0)?;
        file.sync_data()?;
        std::fs::rename(&fresh, &self.path)?;
        // From here on the old file has no name: whatever fails, entries must go to this one.
        (self.file, self.length, self.broken) = (Arc::new(file), bytes.len() as u64, false);
        self.rewrite_at = REWRITE_FROM.max(self.length * 4);
        self.path.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
    }

    pub fn file(&self) -> Arc<File> {
        self.file.clone()
    }
}

fn line<E: Serialize>(entry: &E) -> Vec<u8> {
    let json = serde_json::to_string(entry).expect("an entry is strings and numbers");
    format!("{:08x} {json}\n", crc32fast::hash(json.as_bytes())).into_bytes()
}

/// The entries of all whole lines and their length in bytes, or the number of a bad line that is not the tail.
fn read<E: DeserializeOwned>(bytes: &[u8]) -> Result<(Vec<E>, usize), (usize, String)> {
    let (mut entries, mut length) = (Vec::new(), 0);
    let mut torn = None;
    for (index, line) in bytes.split_inclusive(|byte| *byte == b'\n').enumerate() {
        match (json(line), torn) {
            (Some(_), Some(bad)) => return Err((bad, "the checksum does not match, and good lines follow".to_owned())),
            (Some(json), None) => {
                let unknown = |error| (index + 1, format!("not an entry of this version: {error}"));
                entries.push(serde_json::from_str(json).map_err(unknown)?);
                length += line.len();
            }
            (None, first) => torn = first.or(Some(index + 1)),
        }
    }
    Ok((entries, length))
}

/// What a whole line says.
fn json(line: &[u8]) -> Option<&str> {
    let (sum, json) = std::str::from_utf8(line).ok()?.strip_suffix('\n')?.split_once(' ')?;
    let sum = u32::from_str_radix(sum, 16).ok()?;
    (sum == crc32fast::hash(json.as_bytes())).then_some(json)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const FILE: &str = "a.v1.journal";

    fn open(dir: &Path) -> (Journal, Vec<String>) {
        Journal::open(dir, FILE, true).expect("the journal opens")
    }

    fn lines(entries: &[&str]) -> Vec<u8> {
        entries.iter().flat_map(line).collect()
    }

    #[test]
    fn what_was_appended_is_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let (mut journal, entries) = open(dir.path());
        assert!(entries.is_empty());
        journal.append(&"a").unwrap();
        journal.append(&"line\nbreak").unwrap();
        drop(journal);
        assert_eq!(open(dir.path()).1, ["a", "line\nbreak"]);
    }

    #[test]
    fn a_journal_of_an_earlier_build_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(UNVERSIONED), "topics of old").unwrap();
        let error = Journal::open::<String>(dir.path(), FILE, true).unwrap_err();
        assert!(matches!(error, Error::Earlier { .. }), "{error}");
    }

    #[test]
    fn a_tail_torn_at_any_byte_is_cut_off_and_written_over() {
        let whole = lines(&["a", "b"]);
        for cut in lines(&["a"]).len()..whole.len() {
            let dir = tempfile::tempdir().unwrap();
            fs::write(dir.path().join(FILE), &whole[..cut]).unwrap();
            let (mut journal, entries) = open(dir.path());
            assert_eq!(entries, ["a"], "cut at {cut}");
            journal.append(&"c").unwrap();
            drop(journal);
            assert_eq!(open(dir.path()).1, ["a", "c"], "cut at {cut}");
        }
    }

    #[test]
    fn a_torn_tail_may_be_any_rubbish() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(FILE), [&lines(&["a"])[..], &[0; 700], b"\n\xff\n"].concat()).unwrap();
        assert_eq!(open(dir.path()).1, ["a"]);
    }

    #[test]
    fn damage_in_the_middle_and_an_entry_nobody_knows_stop_the_start() {
        let mut damaged = lines(&["a", "b", "c"]);
        damaged[lines(&["a"]).len() + 10] ^= 1;
        let unknown = [lines(&["a"]), line(&7)].concat();
        for bytes in [damaged, unknown] {
            let dir = tempfile::tempdir().unwrap();
            fs::write(dir.path().join(FILE), &bytes).unwrap();
            let error = Journal::open::<String>(dir.path(), FILE, true).unwrap_err();
            assert!(matches!(error, Error::Damaged { line: 2, .. }), "{error}");
            assert_eq!(fs::read(dir.path().join(FILE)).unwrap(), bytes, "and is left as it was");
        }
    }

    #[test]
    fn one_directory_has_one_owner() {
        let dir = tempfile::tempdir().unwrap();
        let first = open(dir.path());
        assert!(matches!(Journal::open::<String>(dir.path(), FILE, true), Err(Error::InUse { .. })));
        drop(first);
        open(dir.path());
    }

    #[test]
    fn after_a_write_that_cannot_be_undone_nothing_more_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let (mut journal, _) = open(dir.path());
        journal.append(&"a").unwrap();
        let writable = journal.file.clone();
        journal.file = Arc::new(File::open(dir.path().join(FILE)).unwrap()); // read only: neither writes nor cuts
        assert!(journal.append(&"b").is_err());
        journal.file = writable;
        assert!(journal.append(&"c").unwrap_err().to_string().contains("restart"));
        drop(journal);
        assert_eq!(open(dir.path()).1, ["a"]);
    }

    #[test]
    fn a_grown_journal_shrinks_to_what_is_true() {
        let dir = tempfile::tempdir().unwrap();
        let (mut journal, _) = open(dir.path());
        for _ in 0..6 {
            journal.append(&"x".repeat(1 << 20)).unwrap();
            journal.rewrite_if_large(|| vec!["now"]).unwrap();
        }
        assert!(fs::metadata(dir.path().join(FILE)).unwrap().len() < REWRITE_FROM);
        journal.append(&"after").unwrap();
        drop(journal);
        let entries = open(dir.path()).1;
        assert_eq!((entries[0].as_str(), entries.last().unwrap().as_str()), ("now", "after"));
    }
}
