//! Memory for states that stay decoded from one batch to the next, shared by all stages of a process.
//!
//! Always: what is counted here is what stages hold; a stage that goes gives its share back. It is an estimate, by the bytes of a state
//! as it is stored. Not here: which states stay, which each stage decides for itself ([`super::stage`]).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// This part of a process' memory is for them.
const PART: u64 = 8;
/// Of a state beside what is in it, and of its key.
const OVERHEAD_BYTES: usize = 256;
/// Decoded, a state takes about so many times what it takes stored.
const DECODED_TIMES: usize = 2;

#[derive(Clone, Debug)]
pub struct Room {
    bytes_max: usize,
    used: Arc<AtomicUsize>,
}

/// What one stage takes of it.
#[derive(Debug)]
pub struct Share {
    room: Room,
    bytes: usize,
}

impl Room {
    pub fn new(bytes_max: usize) -> Self {
        Self { bytes_max, used: Arc::default() }
    }

    /// `memory_bytes_max` is that of the process.
    pub fn within(memory_bytes_max: u64) -> Self {
        Self::new(usize::try_from(memory_bytes_max / PART).unwrap_or(usize::MAX))
    }

    pub fn share(&self) -> Share {
        Share { room: self.clone(), bytes: 0 }
    }
}

impl Share {
    /// More is used than there is, by all together.
    pub fn is_short(&self) -> bool {
        self.room.used.load(Ordering::Relaxed) > self.room.bytes_max
    }

    pub fn take(&mut self, bytes: usize) {
        self.room.used.fetch_add(bytes, Ordering::Relaxed);
        self.bytes += bytes;
    }

    pub fn give(&mut self, bytes: usize) {
        let bytes = bytes.min(self.bytes);
        self.room.used.fetch_sub(bytes, Ordering::Relaxed);
        self.bytes -= bytes;
    }

    pub fn give_all(&mut self) {
        self.give(self.bytes);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.give_all();
    }
}

/// What a state takes decoded, that takes so much stored.
pub fn decoded_bytes(key: &[u8], stored: usize) -> usize {
    OVERHEAD_BYTES + 2 * key.len() + DECODED_TIMES * stored
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stages_take_counts_together_and_is_given_back_when_they_go() {
        let room = Room::new(100);
        let (mut one, mut other) = (room.share(), room.share());
        one.take(60);
        assert!(!one.is_short());
        other.take(60);
        assert!(one.is_short() && other.is_short());
        one.give(1_000);
        assert!(!one.is_short(), "its own 60, not the other's");
        one.take(60);
        drop(other);
        assert!(!one.is_short());
    }
}
