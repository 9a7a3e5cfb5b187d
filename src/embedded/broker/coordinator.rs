//! Groups and transactions of this node behind one lock: the journal, what it says, and who waits for an answer.
//!
//! Invariant: a fact is in the journal before it is true here, and true here before anybody is told.

use super::group::{Answer, Answers, Group, Waiter};
use super::journal::Journal;
use super::meta::{Entry, Meta};
use kafka_protocol::error::ResponseError;
use std::collections::BTreeMap;
use tokio::sync::oneshot;

#[derive(Debug)]
pub struct Coordinator {
    journal: Journal,
    meta: Meta,
    pub groups: BTreeMap<String, Group>,
    waiting: BTreeMap<Waiter, oneshot::Sender<Answer>>,
    next_waiter: Waiter,
}

impl Coordinator {
    pub fn new(journal: Journal, meta: Meta) -> Coordinator {
        Coordinator { journal, meta, groups: BTreeMap::new(), waiting: BTreeMap::new(), next_waiter: 0 }
    }

    pub fn meta(&self) -> &Meta {
        &self.meta
    }

    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// Makes a fact true. If the journal cannot take it, it is not.
    pub fn record(&mut self, entry: Entry) -> Result<(), ResponseError> {
        self.journal.append(&entry).map_err(|error| {
            tracing::error!(%error, "cannot write to the journal");
            ResponseError::CoordinatorNotAvailable
        })?;
        self.meta.apply(entry);
        if let Err(error) = self.journal.rewrite_if_large(&self.meta) {
            // The old journal is whole and goes on being used.
            tracing::error!(%error, "cannot rewrite the journal");
        }
        Ok(())
    }

    pub fn fresh_producer_id(&mut self) -> Result<i64, ResponseError> {
        let id = self.meta.next_producer_id;
        self.record(Entry::ProducerIds { next: id + 1 })?;
        Ok(id)
    }

    /// Lets a caller wait: the waiter goes into the group, the receiver stays with the caller.
    pub fn wait(&mut self) -> (Waiter, oneshot::Receiver<Answer>) {
        let (sender, receiver) = oneshot::channel();
        self.next_waiter += 1;
        self.waiting.insert(self.next_waiter, sender);
        (self.next_waiter, receiver)
    }

    pub fn answer(&mut self, answers: Answers) {
        for (waiter, answer) in answers {
            if let Some(sender) = self.waiting.remove(&waiter) {
                // Nobody there any more: the client closed its connection, and its session will run out.
                let _ = sender.send(answer);
            }
        }
    }

    /// Ends sessions and phases whose time is up.
    pub fn expire_groups(&mut self, now: i64) {
        let mut answers = Answers::new();
        self.groups.values_mut().for_each(|group| answers.extend(group.expire(now)));
        self.answer(answers);
    }

    pub fn overdue_txns(&self, now: i64) -> Vec<String> {
        let overdue = self.meta.txns.iter().filter(|(_, txn)| txn.is_overdue(now));
        overdue.map(|(id, _)| id.clone()).collect()
    }
}
