//! The keys of a task's store, all in one key space told apart by their first byte.
//!
//! ```text
//! m                                  what the store knows of itself (offsets, sequence, changelog positions, stages)
//! s  slot  key                       a state
//! t  deadline  slot  key             a timer, in the order of deadlines; no value
//! ```
//! A *slot* is a number that the store gave to a stage's name: a topology whose stages moved or were renamed never reads
//! another stage's state. Numbers are big endian, so that bytes order as they do.

use crate::record::EventTime;
use crate::topology::stage::Key;

pub const META: &[u8] = b"m";
const STATE: u8 = b's';
const TIMER: u8 = b't';

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Slot(pub u16);

pub fn state(slot: Slot, key: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(3 + key.len());
    bytes.push(STATE);
    bytes.extend_from_slice(&slot.0.to_be_bytes());
    bytes.extend_from_slice(key);
    bytes
}

/// Where the states of a slot begin, and where they have ended.
pub fn states(slot: Slot) -> (Vec<u8>, Vec<u8>) {
    let end = match slot.0.checked_add(1) {
        Some(next) => state(Slot(next), b""),
        None => vec![STATE + 1],
    };
    (state(slot, b""), end)
}

/// The key within a state's bytes.
pub fn state_key(bytes: &[u8]) -> &[u8] {
    bytes.get(3..).unwrap_or_default()
}

pub fn timer(at: EventTime, slot: Slot, key: &[u8]) -> Vec<u8> {
    let mut bytes = timers_from(at);
    bytes.extend_from_slice(&slot.0.to_be_bytes());
    bytes.extend_from_slice(key);
    bytes
}

/// Sorts before every timer of this time and after every earlier one.
pub fn timers_from(at: EventTime) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(32);
    bytes.push(TIMER);
    bytes.extend_from_slice(&(at.0.cast_unsigned() ^ (1 << 63)).to_be_bytes());
    bytes
}

/// Sorts after every timer.
pub fn timers_end() -> Vec<u8> {
    vec![TIMER + 1]
}

pub fn parse_timer(bytes: &[u8]) -> Option<(EventTime, Slot, Key)> {
    let (at, rest) = bytes.strip_prefix(&[TIMER])?.split_first_chunk::<8>()?;
    let (slot, key) = rest.split_first_chunk::<2>()?;
    let at = u64::from_be_bytes(*at) ^ (1 << 63);
    Some((EventTime(at.cast_signed()), Slot(u16::from_be_bytes(*slot)), key.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timers_order_as_their_deadlines_and_come_back() {
        let timers = [
            (EventTime(i64::MIN), Slot(9), b"z".to_vec()),
            (EventTime(-1), Slot(0), b"".to_vec()),
            (EventTime(0), Slot(0), b"b".to_vec()),
            (EventTime(0), Slot(1), b"a".to_vec()),
            (EventTime(i64::MAX), Slot(0), b"a".to_vec()),
        ];
        let keys: Vec<_> = timers.iter().map(|(at, slot, key)| timer(*at, *slot, key)).collect();
        assert!(keys.is_sorted());
        assert!(keys.last() < Some(&timers_end()));
        assert_eq!(keys.iter().map(|key| parse_timer(key).unwrap()).collect::<Vec<_>>(), timers);
        assert_eq!(parse_timer(&state(Slot(0), b"0123456789")), None);
    }

    #[test]
    fn states_of_a_slot_lie_between_its_bounds() {
        let (from, to) = states(Slot(255));
        let inside = state(Slot(255), b"\xff\xff\xff");
        assert!(from <= inside && inside < to && to <= state(Slot(256), b""));
        assert_eq!(state_key(&inside), b"\xff\xff\xff");
        assert!(state(Slot(u16::MAX), b"k") < states(Slot(u16::MAX)).1);
    }
}
