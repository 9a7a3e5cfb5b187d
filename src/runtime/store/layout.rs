//! The keys of a task's store, all in one key space told apart by their first byte.
//!
//! ```text
//! m                                  what the store knows of itself (offsets, sequence, changelog positions, stages)
//! s  key  slot                       a state; those that one record touches lie side by side, mostly in one block
//! t  deadline  slot  key             a timer, in the order of deadlines; no value
//! ```
//! A *slot* is a number that the store gave to a stage's name: a topology whose stages moved or were renamed never reads
//! another stage's state. Numbers are big endian, so that bytes order as they do.

use crate::record::EventTime;
use crate::topology::stage::Key;

pub const META: &[u8] = b"m";
/// Of the keys above. A store of another version is wiped and restored.
pub const VERSION: u16 = 2;
const STATE: u8 = b's';
const TIMER: u8 = b't';

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Slot(pub u16);

pub fn state(slot: Slot, key: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(3 + key.len());
    bytes.push(STATE);
    bytes.extend_from_slice(key);
    bytes.extend_from_slice(&slot.0.to_be_bytes());
    bytes
}

/// Where the states begin, and where they have ended.
pub fn states() -> (Vec<u8>, Vec<u8>) {
    (vec![STATE], vec![STATE + 1])
}

/// As the slot has a fixed length and stands last, no two keys are taken for one another.
pub fn parse_state(bytes: &[u8]) -> Option<(Slot, &[u8])> {
    let (key, slot) = bytes.strip_prefix(&[STATE])?.split_last_chunk::<2>()?;
    Some((Slot(u16::from_be_bytes(*slot)), key))
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
    fn states_of_a_key_lie_side_by_side_and_come_back() {
        let mut keys: Vec<_> = [(2, "a"), (0, "ab"), (1, "a"), (0x6200, "a"), (0, "")]
            .map(|(slot, key)| state(Slot(slot), key.as_bytes()))
            .into();
        keys.sort();
        let parsed: Vec<_> = keys.iter().map(|key| parse_state(key).unwrap()).collect();
        assert_eq!(
            parsed,
            [(0, ""), (1, "a"), (2, "a"), (0x6200, "a"), (0, "ab")].map(|(slot, key)| (Slot(slot), key.as_bytes()))
        );
        let (from, to) = states();
        assert!(keys.iter().all(|key| from <= *key && *key < to));
        assert_eq!(parse_state(b"m"), None);
    }
}
