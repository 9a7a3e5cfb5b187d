//! A transactional id: which producer holds it, in which epoch, and what its transaction touches.
//!
//! Pure. The order that makes a transaction atomic is the caller's (`coordinator.rs`): the decision is journalled
//! first, then the markers are written, then the end is journalled; whatever a crash leaves in between is finished at
//! the next start.

use super::meta::TopicPartition;
use crate::embedded::broker::Outcome;
use kafka_protocol::error::ResponseError;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// `transaction.max.timeout.ms`
pub const MAX_TIMEOUT_MS: i32 = 900_000;
/// An epoch from here on is not raised again: the id gets a new producer.
const LAST_EPOCH: i16 = i16::MAX - 1;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Txn {
    pub producer_id: i64,
    pub epoch: i16,
    /// The epoch before a raise that the producer itself asked for: a repeated request is not a second raise.
    pub last_epoch: i16,
    pub timeout_ms: i32,
    pub state: State,
    pub partitions: BTreeSet<TopicPartition>,
    pub groups: BTreeSet<String>,
    pub started: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    Empty,
    Ongoing,
    Ending { commit: bool }, // Decided; markers are being written.
    Ended { commit: bool },
}

/// What `InitProducerId` has to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Init {
    /// Abort the open transaction first (as this value says), then ask again.
    AbortFirst(Txn),
    Become(Txn),
    /// A repeated request: the answer is what already is.
    Stay,
}

impl Txn {
    pub fn new(producer_id: i64, timeout_ms: i32) -> Txn {
        let (partitions, groups) = (BTreeSet::new(), BTreeSet::new());
        let (epoch, last_epoch, state) = (0, -1, State::Empty);
        Txn { producer_id, epoch, last_epoch, timeout_ms, state, partitions, groups, started: 0 }
    }

    /// A producer begins with this id. `claimed` is the producer id and epoch it believes to have, if any;
    /// `fresh_id` serves when the epochs are used up.
    pub fn init(&self, claimed: Option<(i64, i16)>, timeout_ms: i32, fresh_id: i64) -> Outcome<Init> {
        if let Some((producer_id, epoch)) = claimed {
            if producer_id == self.producer_id && epoch == self.last_epoch && epoch != self.epoch {
                return Ok(Init::Stay);
            }
            if (producer_id, epoch) != (self.producer_id, self.epoch) {
                return Err(ResponseError::ProducerFenced);
            }
        }
        match self.state {
            State::Ongoing => return Ok(Init::AbortFirst(self.fenced())),
            State::Ending { .. } => return Err(ResponseError::ConcurrentTransactions),
            State::Empty | State::Ended { .. } => {}
        }
        if self.epoch >= LAST_EPOCH {
            return Ok(Init::Become(Txn::new(fresh_id, timeout_ms)));
        }
        let last_epoch = if claimed.is_some() { self.epoch } else { -1 };
        let raised = Txn::new(self.producer_id, timeout_ms);
        Ok(Init::Become(Txn { epoch: self.epoch + 1, last_epoch, ..raised }))
    }

    /// The open transaction, decided as aborted, under an epoch that its producer does not have.
    pub fn fenced(&self) -> Txn {
        let epoch = self.epoch.saturating_add(1);
        Txn { epoch, last_epoch: -1, state: State::Ending { commit: false }, ..self.clone() }
    }

    /// Whether this producer may act for the id.
    pub fn check(&self, producer_id: i64, epoch: i16) -> Outcome {
        if producer_id != self.producer_id {
            return Err(ResponseError::InvalidProducerIdMapping);
        }
        if epoch != self.epoch {
            return Err(ResponseError::ProducerFenced);
        }
        Ok(())
    }

    /// The transaction with these partitions and groups added, opened if it was not; `None` if it has them already.
    pub fn with(&self, partitions: &[TopicPartition], groups: &[String], now: i64) -> Outcome<Option<Txn>> {
        let mut next = self.clone();
        match self.state {
            State::Ending { .. } => return Err(ResponseError::ConcurrentTransactions),
            State::Ongoing => {}
            State::Empty | State::Ended { .. } => {
                next.state = State::Ongoing;
                next.started = now;
            }
        }
        next.partitions.extend(partitions.iter().cloned());
        next.groups.extend(groups.iter().cloned());
        Ok((next != *self).then_some(next))
    }

    /// The transaction as decided; `None` if just that was decided before (a repeated request).
    pub fn end(&self, commit: bool) -> Outcome<Option<Txn>> {
        match self.state {
            State::Ongoing => Ok(Some(Txn { state: State::Ending { commit }, ..self.clone() })),
            State::Ended { commit: was } if was == commit => Ok(None),
            State::Ending { commit: was } if was == commit => Err(ResponseError::ConcurrentTransactions),
            _ => Err(ResponseError::InvalidTxnState),
        }
    }

    pub fn is_overdue(&self, now: i64) -> bool {
        self.state == State::Ongoing && now - self.started > i64::from(self.timeout_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ongoing() -> Txn {
        Txn::new(7, 1_000).with(&[("t".into(), 0)], &["g".into()], 100).unwrap().unwrap()
    }

    #[test]
    fn a_second_producer_raises_the_epoch_and_fences_the_first() {
        let first = Txn::new(7, 1_000);
        let Init::Become(second) = first.init(None, 1_000, 99).unwrap() else { panic!("no raise") };
        assert_eq!((second.producer_id, second.epoch), (7, 1));
        assert_eq!(second.check(7, 0), Err(ResponseError::ProducerFenced));
        assert_eq!(second.check(8, 1), Err(ResponseError::InvalidProducerIdMapping));
        assert_eq!(second.check(7, 1), Ok(()));
    }

    #[test]
    fn an_open_transaction_is_aborted_under_a_new_epoch_before_the_id_is_given_again() {
        let open = ongoing();
        let Init::AbortFirst(aborting) = open.init(None, 1_000, 99).unwrap() else { panic!("not aborted") };
        assert_eq!((aborting.epoch, aborting.state), (1, State::Ending { commit: false }));
        assert_eq!(aborting.partitions, open.partitions);
        assert_eq!(aborting.init(None, 1_000, 99), Err(ResponseError::ConcurrentTransactions));
    }

    #[test]
    fn a_repeated_raise_is_answered_with_the_first_ones_outcome() {
        let first = Txn::new(7, 1_000);
        let Init::Become(second) = first.init(Some((7, 0)), 1_000, 99).unwrap() else { panic!("no raise") };
        assert_eq!(second.init(Some((7, 0)), 1_000, 99), Ok(Init::Stay));
        assert!(matches!(second.init(Some((7, 1)), 1_000, 99), Ok(Init::Become(third)) if third.epoch == 2));
        let Init::Become(taken) = second.init(None, 1_000, 99).unwrap() else { panic!("no raise") };
        assert_eq!(taken.init(Some((7, 0)), 1_000, 99), Err(ResponseError::ProducerFenced));
    }

    #[test]
    fn used_up_epochs_bring_a_new_producer_id() {
        let last = Txn { epoch: LAST_EPOCH, ..Txn::new(7, 1_000) };
        let Init::Become(next) = last.init(None, 1_000, 99).unwrap() else { panic!("no raise") };
        assert_eq!((next.producer_id, next.epoch), (99, 0));
    }

    #[test]
    fn an_end_may_be_repeated_but_not_reversed() {
        let open = ongoing();
        let ending = open.end(true).unwrap().unwrap();
        assert_eq!(ending.end(true), Err(ResponseError::ConcurrentTransactions));
        let ended = Txn { state: State::Ended { commit: true }, ..ending };
        assert_eq!(ended.end(true), Ok(None));
        assert_eq!(ended.end(false), Err(ResponseError::InvalidTxnState));
        assert_eq!(Txn::new(7, 1_000).end(true), Err(ResponseError::InvalidTxnState));
    }

    #[test]
    fn adding_what_is_there_changes_nothing_and_time_counts_from_the_first() {
        let open = ongoing();
        assert_eq!(open.with(&[("t".into(), 0)], &[], 500), Ok(None));
        assert_eq!(open.with(&[("t".into(), 1)], &[], 500).unwrap().unwrap().started, 100);
        assert!(!open.is_overdue(1_100) && open.is_overdue(1_101));
    }
}
