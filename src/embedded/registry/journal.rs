//! The registry's memory on disk: one file, one event a line, a checksum before each.
//!
//! An event is written and synced before its answer is given, so what was answered survives any crash; what was not
//! answered may or may not be there, which a client's idempotent retry settles. A torn last line is cut off at start; a
//! bad line with good ones behind it is damage and stops the start. After a failed write the file is cut back; where
//! that or the sync fails nothing more is written until a restart has read what is really there.
//!
//! # Why a file of its own
//! A `_schemas` topic would tie the registry's start to the broker's and buy nothing on one machine. This file is a few
//! kilobytes, can be read with `less`, and is copied with `cp`.

use super::state::Event;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// The format's version is in the name: another format is another file.
const FILE: &str = "registry.v1.journal";

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error("{path}: another registry has it open; stop that one or give this one another data directory")]
    InUse { path: PathBuf },
    #[error(
        "{path}:{line}: {why}, and good lines follow; restore the file from a copy, or cut it off before this line"
    )]
    Damaged { path: PathBuf, line: usize, why: String },
    #[error("an earlier write failed; restart the registry")]
    Broken,
}

#[derive(Debug)]
pub struct Journal {
    file: File,
    path: PathBuf,
    /// Bytes of whole, synced lines.
    length: u64,
    broken: bool,
}

impl Journal {
    /// Creates or reads the journal in this directory, which from now on belongs to this process.
    pub fn open(dir: &Path) -> Result<(Journal, Vec<Event>), Error> {
        fs::create_dir_all(dir).map_err(|source| Error::Io { path: dir.to_owned(), source })?;
        let path = dir.join(FILE);
        let io = |source| Error::Io { path: path.clone(), source };
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(io)?;
        file.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => Error::InUse { path: path.clone() },
            TryLockError::Error(source) => io(source),
        })?;
        File::open(dir).and_then(|dir| dir.sync_all()).map_err(io)?; // the file's own name must survive too
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(io)?;
        let (events, length) = read(&bytes).map_err(|(line, why)| Error::Damaged { path: path.clone(), line, why })?;
        if length < bytes.len() {
            tracing::warn!(path = %path.display(), bytes = bytes.len() - length, "cut off the registry journal's torn tail");
            file.set_len(length as u64).and_then(|()| file.sync_data()).map_err(io)?;
        }
        file.seek(SeekFrom::Start(length as u64)).map_err(io)?;
        Ok((Journal { file, path, length: length as u64, broken: false }, events))
    }

    /// Returns when the event is on disk.
    pub fn append(&mut self, event: &Event) -> Result<(), Error> {
        if self.broken {
            return Err(Error::Broken);
        }
        let line = line(event);
        let written = self.file.write_all(&line);
        if let Err(source) = written.and_then(|()| self.file.sync_data()) {
            self.broken = self.cut_back().is_err();
            return Err(Error::Io { path: self.path.clone(), source });
        }
        self.length += line.len() as u64;
        Ok(())
    }

    fn cut_back(&mut self) -> io::Result<()> {
        self.file.set_len(self.length)?;
        self.file.seek(SeekFrom::Start(self.length))?;
        self.file.sync_data()
    }
}

fn line(event: &Event) -> Vec<u8> {
    let json = serde_json::to_string(event).expect("an event is strings and numbers");
    format!("{:08x} {json}\n", crc32fast::hash(json.as_bytes())).into_bytes()
}

/// The events of all whole lines and their length in bytes, or the number of a bad line that is not the tail.
fn read(bytes: &[u8]) -> Result<(Vec<Event>, usize), (usize, String)> {
    let (mut events, mut length) = (Vec::new(), 0);
    let mut torn: Option<(usize, String)> = None;
    for (index, line) in bytes.split_inclusive(|byte| *byte == b'\n').enumerate() {
        match (event(line), torn.take()) {
            (Ok(_), Some(bad)) => return Err(bad),
            (Ok(event), None) => {
                events.push(event);
                length += line.len();
            }
            (Err(_), Some(first)) => torn = Some(first),
            (Err(why), None) => torn = Some((index + 1, why)),
        }
    }
    Ok((events, length))
}

fn event(line: &[u8]) -> Result<Event, String> {
    let line = std::str::from_utf8(line).map_err(|_| "no UTF-8".to_owned())?;
    let line = line.strip_suffix('\n').ok_or("the line has no end")?;
    let (sum, json) = line.split_once(' ').ok_or("no checksum")?;
    let sum = u32::from_str_radix(sum, 16).map_err(|_| "no checksum".to_owned())?;
    if sum != crc32fast::hash(json.as_bytes()) {
        return Err("the checksum does not match".to_owned());
    }
    serde_json::from_str(json).map_err(|error| format!("not an event of this version: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deleted(subject: &str) -> Event {
        Event::SubjectDeleted { subject: subject.to_owned() }
    }

    fn reopen(dir: &Path) -> (Journal, Vec<Event>) {
        Journal::open(dir).expect("the journal opens")
    }

    #[test]
    fn what_was_appended_is_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let (mut journal, events) = reopen(dir.path());
        assert_eq!(events, []);
        journal.append(&deleted("a")).unwrap();
        journal.append(&deleted("line\nbreak")).unwrap();
        drop(journal);
        assert_eq!(reopen(dir.path()).1, [deleted("a"), deleted("line\nbreak")]);
    }

    #[test]
    fn a_tail_torn_at_any_byte_is_cut_off_and_written_over() {
        let whole = [line(&deleted("a")), line(&deleted("b"))].concat();
        let first = line(&deleted("a")).len();
        for cut in first..whole.len() {
            let dir = tempfile::tempdir().unwrap();
            fs::write(dir.path().join(FILE), &whole[..cut]).unwrap();
            let (mut journal, events) = reopen(dir.path());
            assert_eq!(events, [deleted("a")], "cut at {cut}");
            journal.append(&deleted("c")).unwrap();
            drop(journal);
            assert_eq!(reopen(dir.path()).1, [deleted("a"), deleted("c")], "cut at {cut}");
        }
    }

    #[test]
    fn a_torn_tail_may_be_any_rubbish() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(FILE), [&line(&deleted("a"))[..], &[0; 700], b"\n\xff\n"].concat()).unwrap();
        assert_eq!(reopen(dir.path()).1, [deleted("a")]);
    }

    #[test]
    fn damage_in_the_middle_stops_the_start() {
        let dir = tempfile::tempdir().unwrap();
        let mut bytes = [line(&deleted("a")), line(&deleted("b")), line(&deleted("c"))].concat();
        let at = line(&deleted("a")).len() + 20;
        bytes[at] ^= 1;
        fs::write(dir.path().join(FILE), &bytes).unwrap();
        let error = Journal::open(dir.path()).unwrap_err();
        assert!(matches!(error, Error::Damaged { line: 2, .. }), "{error}");
        assert_eq!(fs::read(dir.path().join(FILE)).unwrap(), bytes, "and is left as it was");
    }

    #[test]
    fn one_directory_has_one_registry() {
        let dir = tempfile::tempdir().unwrap();
        let first = reopen(dir.path());
        assert!(matches!(Journal::open(dir.path()), Err(Error::InUse { .. })));
        drop(first);
        reopen(dir.path());
    }

    #[test]
    fn after_a_write_that_cannot_be_undone_nothing_more_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let (mut journal, _) = reopen(dir.path());
        journal.append(&deleted("a")).unwrap();
        journal.file = File::open(dir.path().join(FILE)).unwrap(); // read only: neither writes nor cuts
        assert!(matches!(journal.append(&deleted("b")), Err(Error::Io { .. })));
        assert!(matches!(journal.append(&deleted("c")), Err(Error::Broken)));
        drop(journal);
        assert_eq!(reopen(dir.path()).1, [deleted("a")]);
    }
}
