//! Partitions of one task, read abreast: none is read on while another still has older records to come.
//!
//! So a backlog is processed in the order of event time, whatever order the broker sends it in, as Kafka Streams does by default
//! (KIP-695). A partition that was read to the end of its log as of the newest fetch holds nobody up: input that arrives now is handed out
//! as it comes. What cannot be fetched holds the others up for [`AWAITED`] at most, for an alert is worth more than its order.
//!
//! Not here: the order inside what was handed out, which the task's batch has; across tasks there is none.

use std::time::{Duration, Instant};

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::consumer::{MemberContext, judge};
use super::native::Inlet;
use crate::log::Error;
use crate::record::{Batch, EventTime, Offset, TopicPartition};

/// How long the others wait for a partition that brings nothing though its log goes on.
const AWAITED: Duration = Duration::from_secs(5);

pub struct Group {
    pub feeds: Vec<Feed>,
    patience: Patience,
}

impl Group {
    pub fn new(feeds: Vec<Feed>) -> Self {
        Self { feeds, patience: Patience::default() }
    }

    /// Appends what may be handed out now, until the batch has `bytes_max`. What was appended before an error is to be kept.
    pub fn take(&mut self, bytes_max: usize, now: Instant, batch: &mut Batch) -> Result<(), Error> {
        self.feeds.iter_mut().try_for_each(Feed::look)?;
        while batch.bytes() < bytes_max {
            let next = self.patience.allows(oldest(self.feeds.iter().map(|feed| feed.head)), now);
            let Some(next) = next else { break };
            let feed = &mut self.feeds[next];
            feed.take(batch);
            feed.look()?;
        }
        Ok(())
    }
}

/// How long something has waited for a partition without a record.
#[derive(Default)]
struct Patience(Option<Instant>);

impl Patience {
    fn allows(&mut self, (oldest, is_last_word): (Option<usize>, bool), now: Instant) -> Option<usize> {
        if is_last_word {
            self.0 = None;
            return oldest;
        }
        let since = *self.0.get_or_insert(now);
        oldest.filter(|_| now.saturating_duration_since(since) >= AWAITED)
    }
}

/// What a partition has next.
#[derive(Clone, Copy, Debug)]
enum Head {
    Record(EventTime),
    /// Its log goes on, but the record is not here yet.
    Awaited,
    /// Its log ends here, or it is paused.
    Nothing,
}

/// The partition with the oldest record, and whether no other can come to have an older one.
fn oldest(heads: impl Iterator<Item = Head>) -> (Option<usize>, bool) {
    let (mut oldest, mut is_last_word) = (None, true);
    for (index, head) in heads.enumerate() {
        match head {
            Head::Record(at) if oldest.is_none_or(|(_, before)| at < before) => oldest = Some((index, at)),
            Head::Awaited => is_last_word = false,
            Head::Record(_) | Head::Nothing => {}
        }
    }
    (oldest.map(|(index, _)| index), is_last_word)
}

/// One partition.
pub struct Feed {
    pub partition: TopicPartition,
    inlet: Inlet<MemberContext>,
    /// The offset to hand out next. librdkafka's own position moves at the ends of partitions (librdkafka #4844).
    next: Offset,
    at_end: bool,
    paused: bool,
    /// Something has come since the partition was assigned or sought to: what librdkafka says is not of an earlier place.
    heard: bool,
    strayed: bool,
    head: Head,
}

impl Feed {
    pub fn new(partition: TopicPartition, inlet: Inlet<MemberContext>, next: Offset) -> Self {
        let (at_end, paused, heard, strayed) = (false, false, false, false);
        Self { partition, inlet, next, at_end, paused, heard, strayed, head: Head::Awaited }
    }

    pub fn set_paused(&mut self, paused: bool) {
        self.paused = paused;
    }

    pub fn is_paused(&self) -> bool {
        self.paused
    }

    /// Read to the end, and all of it handed out.
    pub fn is_drained(&self) -> bool {
        self.at_end
    }

    /// From here on, once librdkafka has been told too.
    pub fn go_on_from(&mut self, next: Offset) {
        self.inlet.clear();
        (self.next, self.at_end, self.heard, self.strayed) = (next, false, false, false);
    }

    /// Where it goes on.
    pub fn place(&self) -> (TopicPartition, Offset) {
        (self.partition.clone(), self.next)
    }

    /// librdkafka reads on elsewhere, or not at all: where it is to be told to.
    pub fn strayed(&self) -> Option<(TopicPartition, Offset)> {
        self.strayed.then(|| self.place())
    }

    fn look(&mut self) -> Result<(), Error> {
        self.head = if self.paused { Head::Nothing } else { self.head()? };
        Ok(())
    }

    fn head(&mut self) -> Result<Head, Error> {
        while let Some(message) = self.inlet.front() {
            let (offset, error) = (Offset(message.offset()), message.error());
            if let Some(code) = error {
                let told = String::from_utf8_lossy(message.value().unwrap_or_default()).into_owned();
                self.inlet.advance();
                self.hear(code, offset, &told)?;
            } else if offset < self.next {
                self.inlet.advance(); // was handed out before a seek
            } else {
                (self.at_end, self.heard) = (false, true);
                return Ok(Head::Record(message.timestamp()));
            }
        }
        // One offset more is a transaction's marker, which is never handed out.
        let ends = self.at_end || self.heard && self.inlet.end().0 <= self.next.0 + 1;
        Ok(if ends { Head::Nothing } else { Head::Awaited })
    }

    fn take(&mut self, batch: &mut Batch) {
        if let Some(message) = self.inlet.front() {
            message.push_to(batch, &self.partition.topic);
            self.next = Offset(message.offset() + 1);
            self.inlet.advance();
        }
    }

    fn hear(&mut self, code: RDKafkaErrorCode, offset: Offset, told: &str) -> Result<(), Error> {
        let Self { partition, next, .. } = self;
        match code {
            RDKafkaErrorCode::PartitionEOF => {
                (self.next, self.at_end, self.heard) = ((*next).max(offset), true, true);
                Ok(())
            }
            RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange
                if is_false_alarm(told, *next, self.heard, self.at_end) =>
            {
                tracing::debug!(%partition, told, "kafka consumer");
                self.strayed = true;
                Ok(())
            }
            RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange => {
                let mend = format!(
                    "records that were still to be read are gone (retention or a re-created topic); reset the group's \
                     offset on purpose ({told})"
                );
                Err(Error::OutOfRange { partition: partition.clone(), offset: *next, mend })
            }
            code => {
                tracing::warn!(%partition, ?code, told, "kafka consumer");
                judge(&KafkaError::MessageConsumption(code), partition.topic.as_str(), "")
            }
        }
    }
}

/// The log is said to have been cut off, but not where we are. The end of a partition, taken from its queue in a batch, counts as one more
/// record for librdkafka 2.12: when it pauses a partition, as before a revocation, and a leader comes new, it asks this one behind
/// the end. And what is said before anything has come is of where we were earlier.
fn is_false_alarm(told: &str, next: Offset, heard: bool, at_end: bool) -> bool {
    let asked =
        told.split_once("truncation detected at offset ").and_then(|(_, rest)| rest.split(' ').next()?.parse().ok());
    asked.is_some_and(|asked: i64| !heard || at_end && asked == next.0 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> Head {
        Head::Record(EventTime(ms))
    }

    #[test]
    fn a_log_that_is_cut_off_behind_its_end_is_not() {
        let told = "Partition log truncation detected at offset 51 (leader epoch 0): broker end offset is 50 (offset leader epoch 1). Reset to INVALID.";
        assert!(is_false_alarm(told, Offset(50), true, true));
        assert!(is_false_alarm(told, Offset(7), false, false), "of an earlier place");
        assert!(!is_false_alarm(told, Offset(51), true, false));
        assert!(!is_false_alarm(told, Offset(51), true, true));
        assert!(!is_false_alarm("Broker: Offset out of range", Offset(50), false, true));
    }

    #[test]
    fn the_oldest_record_is_next_and_the_first_of_equals() {
        assert_eq!(oldest([at(3), at(1), at(2), at(1)].into_iter()), (Some(1), true));
        assert_eq!(oldest([Head::Nothing, at(9)].into_iter()), (Some(1), true));
        assert_eq!(oldest([Head::Nothing, Head::Nothing].into_iter()), (None, true));
    }

    #[test]
    fn a_partition_that_is_awaited_may_have_an_older_one() {
        assert_eq!(oldest([at(3), Head::Awaited].into_iter()), (Some(0), false));
        assert_eq!(oldest([Head::Awaited, Head::Nothing].into_iter()), (None, false));
    }

    #[test]
    fn what_is_held_up_goes_on_after_a_while_and_then_without_another_wait() {
        let (mut patience, began) = (Patience::default(), Instant::now());
        let mut next = |heads: [Head; 2], after: Duration| patience.allows(oldest(heads.into_iter()), began + after);
        assert_eq!(next([at(3), Head::Awaited], Duration::ZERO), None);
        assert_eq!(next([at(3), Head::Awaited], AWAITED), Some(0));
        assert_eq!(next([Head::Awaited, Head::Awaited], AWAITED), None);
        assert_eq!(next([at(4), Head::Awaited], AWAITED * 2), Some(0));
        assert_eq!(next([at(5), Head::Nothing], AWAITED * 2), Some(0));
        assert_eq!(next([at(6), Head::Awaited], AWAITED * 2), None, "a new wait");
    }
}
