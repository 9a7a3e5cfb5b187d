//! The broker's own log: every fact about topics, transactions and committed offsets, in the order it became true.
//!
//! A frame is length, CRC-32C and one JSON [`Entry`](super::meta::Entry). Opening it replays all frames and cuts off an
//! incomplete tail; when it has grown to several times what is still true, it is rewritten and replaced atomically.

use super::meta::{Entry, Meta};
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const FRAME: usize = 8;
/// Below this size rewriting is not worth it.
const REWRITE_FROM: u64 = 4 << 20;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot use the journal {path}: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error("journal {path} holds an entry at byte {position} that this version does not understand: {reason}")]
    Unknown { path: PathBuf, position: u64, reason: serde_json::Error },
}

#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: Arc<File>,
    size: u64,
    rewrite_at: u64,
    sync: bool,
}

impl Journal {
    /// Opens or creates the journal and returns what it says. With `sync`, entries are on disk before they count.
    pub fn open(path: &Path, sync: bool) -> Result<(Journal, Meta), Error> {
        let io = |source| Error::Io { path: path.to_path_buf(), source };
        let bytes = match std::fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(io(error)),
        };
        let (mut meta, mut at) = (Meta::default(), 0);
        while let Some(payload) = frame_at(&bytes, at) {
            let entry: Entry = serde_json::from_slice(payload).map_err(|reason| Error::Unknown {
                path: path.to_path_buf(),
                position: at as u64,
                reason,
            })?;
            meta.apply(entry);
            at += FRAME + payload.len();
        }
        if at < bytes.len() {
            tracing::warn!(journal = %path.display(), dropped_bytes = bytes.len() - at, "incomplete tail cut off");
        }
        let mut journal = rewritten(path, &meta, sync).map_err(io)?;
        journal.rewrite_at = REWRITE_FROM.max(journal.size * 4);
        Ok((journal, meta))
    }

    /// Appends an entry; it counts once this returns. After an error the file is as before.
    pub fn append(&mut self, entry: &Entry) -> io::Result<()> {
        let frame = frame(entry)?;
        let written = self.file.write_all_at(&frame, self.size);
        let written = written.and_then(|()| if self.sync { self.file.sync_data() } else { Ok(()) });
        if let Err(error) = written {
            self.file.set_len(self.size)?;
            return Err(error);
        }
        self.size += frame.len() as u64;
        Ok(())
    }

    /// Replaces the journal by the entries that are still true, if it has grown enough.
    pub fn rewrite_if_large(&mut self, meta: &Meta) -> io::Result<()> {
        if self.size < self.rewrite_at {
            return Ok(());
        }
        *self = rewritten(&self.path, meta, self.sync)?;
        self.rewrite_at = REWRITE_FROM.max(self.size * 4);
        Ok(())
    }

    pub fn file(&self) -> Arc<File> {
        self.file.clone()
    }
}

fn rewritten(path: &Path, meta: &Meta, sync: bool) -> io::Result<Journal> {
    let fresh = path.with_extension("new");
    let mut file = File::create(&fresh)?;
    let mut size = 0;
    for entry in meta.entries() {
        let frame = frame(&entry)?;
        file.write_all(&frame)?;
        size += frame.len() as u64;
    }
    file.sync_data()?;
    std::fs::rename(&fresh, path)?;
    // From here on the old file has no name: whatever fails, entries must go to this one.
    let synced = path.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all());
    if let Err(error) = synced {
        tracing::warn!(journal = %path.display(), %error, "a power failure may bring the journal's last rewriting to nothing");
    }
    Ok(Journal { path: path.to_path_buf(), file: Arc::new(file), size, rewrite_at: REWRITE_FROM, sync })
}

fn frame(entry: &Entry) -> io::Result<Vec<u8>> {
    let mut frame = vec![0; FRAME];
    serde_json::to_writer(&mut frame, entry)?;
    let length = (frame.len() - FRAME) as u32;
    let crc = crc32c::crc32c(&frame[FRAME..]);
    frame[..4].copy_from_slice(&length.to_le_bytes());
    frame[4..FRAME].copy_from_slice(&crc.to_le_bytes());
    Ok(frame)
}

/// The payload of the frame at `at`, if it is whole.
fn frame_at(bytes: &[u8], at: usize) -> Option<&[u8]> {
    let word = |from: usize| Some(u32::from_le_bytes(bytes.get(from..from + 4)?.try_into().ok()?));
    let (length, crc) = (word(at)? as usize, word(at + 4)?);
    let payload = bytes.get(at + FRAME..at + FRAME + length)?;
    (length > 0 && crc32c::crc32c(payload) == crc).then_some(payload)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster(id: &str) -> Entry {
        Entry::Cluster { id: id.into() }
    }

    #[test]
    fn what_was_appended_is_there_again_and_a_cut_tail_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        let (mut journal, _) = Journal::open(&path, false).unwrap();
        journal.append(&cluster("first")).unwrap();
        let kept = journal.size;
        journal.append(&cluster("second")).unwrap();
        drop(journal);
        let whole = std::fs::read(&path).unwrap();
        assert_eq!(Journal::open(&path, false).unwrap().1.cluster_id, "second");
        for cut in kept as usize..whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let (mut journal, meta) = Journal::open(&path, false).unwrap();
            assert_eq!(meta.cluster_id, "first", "cut at {cut}");
            journal.append(&cluster("third")).unwrap();
            assert_eq!(Journal::open(&path, false).unwrap().1.cluster_id, "third");
        }
    }

    #[test]
    fn a_grown_journal_shrinks_to_what_is_true() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        let (mut journal, mut meta) = Journal::open(&path, false).unwrap();
        let filler = "x".repeat(1 << 20);
        for _ in 0..6 {
            let entry = cluster(&filler);
            journal.append(&entry).unwrap();
            meta.apply(entry);
            meta.apply(cluster("now"));
            journal.rewrite_if_large(&meta).unwrap();
        }
        assert!(std::fs::metadata(&path).unwrap().len() < REWRITE_FROM);
        journal.append(&cluster("after")).unwrap();
        assert_eq!(Journal::open(&path, false).unwrap().1.cluster_id, "after");
    }
}
