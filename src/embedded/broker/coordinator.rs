//! Groups and transactions of this node behind one lock: the journal, what it says, and who waits for an answer.
//!
//! Invariant: a fact is in the journal before it is true here, and true here before anybody is told.

use super::Outcome;
use super::group::{Answer, Answers, Group, Waiter};
use super::meta::{Entry, Meta};
use super::outage::Outage;
use super::txn::Txn;
use crate::embedded::journal::{Error, Journal};
use kafka_protocol::error::ResponseError;
use std::collections::BTreeMap;
use std::path::Path;
use tokio::sync::oneshot;

/// The format's version is in the name: another format is another file.
const JOURNAL: &str = "broker.v1.journal";

#[derive(Debug)]
pub struct Coordinator {
    pub journal: Journal,
    outage: Outage,
    meta: Meta,
    pub groups: BTreeMap<String, Group>,
    waiting: BTreeMap<Waiter, oneshot::Sender<Answer>>,
    next_waiter: Waiter,
}

impl Coordinator {
    pub fn open(dir: &Path) -> Result<Coordinator, Error> {
        let (journal, entries) = Journal::open::<Entry>(dir, JOURNAL, false)?;
        let mut meta = Meta::default();
        entries.into_iter().for_each(|entry| meta.apply(entry));
        let (groups, waiting) = (BTreeMap::new(), BTreeMap::new());
        Ok(Coordinator { journal, outage: Outage::default(), meta, groups, waiting, next_waiter: 0 })
    }

    pub fn meta(&self) -> &Meta {
        &self.meta
    }

    pub fn txn(&self, id: &str) -> Outcome<&Txn> {
        self.meta.txns.get(id).ok_or(ResponseError::InvalidProducerIdMapping)
    }

    /// Makes a fact true. If the journal cannot take it, it is not.
    pub fn record(&mut self, entry: Entry) -> Outcome {
        let written = self.journal.append(&entry);
        self.outage.note("write to the journal", &written);
        written.map_err(|_| ResponseError::CoordinatorNotAvailable)?;
        self.meta.apply(entry);
        if let Err(error) = self.journal.rewrite_if_large(|| self.meta.entries()) {
            tracing::error!(%error, "cannot rewrite the journal, which goes on growing");
        }
        Ok(())
    }

    pub fn fresh_producer_id(&mut self) -> Outcome<i64> {
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
        let answers = self.groups.values_mut().flat_map(|group| group.expire(now)).collect();
        self.answer(answers);
    }
}
