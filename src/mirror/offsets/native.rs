//! What a reverse mirror asks before it copies: is this record native, or a copy that the opposite flow has written here?
//!
//! Why the answer is certain: the record was read, so what lies before the readable end of its partition is decided, and each copy
//! there was committed together with its range; so the range had been written by then, before the *true* end of the ranges' topic;
//! and the follower, which passes no open transaction, is awaited there. In this order: readable end, true ends, wait. Then all up to that
//! readable end is certain at once, and the next question is asked only for what lies behind it. Memory: the runs of what was read ahead.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::{Offsets, Unknown};
use crate::log::Error;
use crate::log::client::Connection;
use crate::log::kafka::KafkaReader;
use crate::record::TopicPartition;

/// Longer than any transaction of a mirror stays open.
const PATIENCE: Duration = Duration::from_secs(60);
/// Offsets that are answered for at once: a bound on what is kept.
const AHEAD: i64 = 10_000;

pub struct Natives {
    /// Of the opposite flow, whose target is the cluster that is read here.
    offsets: Arc<Offsets>,
    connection: Connection,
    /// A name for quotas and access rules.
    group: String,
    certain: Mutex<Certain>,
}

#[derive(Default)]
struct Certain {
    reader: Option<KafkaReader>,
    /// Of each partition `from..to`, and the runs of copies in it.
    known: BTreeMap<TopicPartition, Stretch>,
}

struct Stretch {
    from: i64,
    to: i64,
    copies: Vec<(i64, i64)>,
}

impl Stretch {
    fn is_native(&self, offset: i64) -> bool {
        let after = self.copies.partition_point(|(first, _)| *first <= offset);
        after.checked_sub(1).is_none_or(|before| offset >= self.copies[before].1)
    }
}

impl Natives {
    /// `connection` is the cluster that is read here.
    pub fn new(offsets: Arc<Offsets>, connection: Connection, group: String) -> Self {
        Self { offsets, connection, group, certain: Mutex::default() }
    }

    /// Of a record that was read, read committed. Waits until it is certain; [`Error::Unavailable`] if that takes too long, to be asked
    /// again, and [`Error::Fatal`] if the ranges are not to be trusted.
    pub fn is_native(&self, partition: &TopicPartition, offset: i64) -> Result<bool, Error> {
        let mut certain = self.certain.lock().unwrap_or_else(PoisonError::into_inner);
        match certain.known.get(partition) {
            Some(stretch) if (stretch.from..stretch.to).contains(&offset) => Ok(stretch.is_native(offset)),
            _ => {
                let stretch = self.ask(&mut certain.reader, partition, offset)?;
                let is_native = stretch.is_native(offset);
                certain.known.insert(partition.clone(), stretch);
                Ok(is_native)
            }
        }
    }

    fn ask(&self, reader: &mut Option<KafkaReader>, partition: &TopicPartition, from: i64) -> Result<Stretch, Error> {
        let reader = match reader {
            Some(reader) => reader,
            none => none.insert(KafkaReader::new(&self.connection, &self.group)?),
        };
        let ends = reader.readable_ends(std::slice::from_ref(partition))?;
        let readable = ends.first().map_or(0, |end| end.0);
        if readable <= from {
            let why = format!("{partition}: offset {from} was read, and the end that is told now is {readable}");
            return Err(Error::Unavailable(why));
        }
        let to = readable.min(from.saturating_add(AHEAD));
        let copies = self.offsets.copies(partition.topic.as_str(), partition.partition.0, (from, to), PATIENCE);
        let copies = copies.map_err(|unknown| match unknown {
            Unknown::Broken(why) => Error::Fatal(why),
            unknown => Error::Unavailable(unknown.to_string()),
        })?;
        Ok(Stretch { from, to, copies })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_in_a_run() {
        let stretch = Stretch { from: 0, to: 20, copies: vec![(3, 5), (5, 6), (9, 12)] };
        let natives: Vec<i64> = (0..20).filter(|offset| stretch.is_native(*offset)).collect();
        assert_eq!(natives, [0, 1, 2, 6, 7, 8, 12, 13, 14, 15, 16, 17, 18, 19]);
        assert!(Stretch { from: 0, to: 2, copies: Vec::new() }.is_native(1));
    }
}
