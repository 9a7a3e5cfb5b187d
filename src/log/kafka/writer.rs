//! A transactional producer alone, for who reads outside any group: the same rules, the same errors.

use super::producer::Transactions;
use super::{HELD_UP, Identity, KafkaReader};
use crate::log::Error;
use crate::log::client::Connection;
use crate::record::{NewRecord, Topic};

/// Order of calls as of [`crate::log::Log`]: `begin`, any `produce`, then `commit` or `abort`; again.
pub struct KafkaWriter {
    transactions: Transactions,
    reader: KafkaReader,
    topics: Vec<Topic>,
}

impl KafkaWriter {
    /// Fences every older producer of this id and ends its open transaction: what that committed can be read afterwards.
    pub fn new(connection: &Connection, identity: &Identity) -> Result<Self, Error> {
        let mut reader = KafkaReader::new(connection, &identity.group)?;
        let held_up = || reader.held_up(&identity.writes, HELD_UP);
        let transactions = Transactions::new(connection, &identity.transactional_id, None, held_up)?;
        let mut writer = Self { transactions, reader, topics: identity.writes.clone() };
        writer.clear()?;
        Ok(writer)
    }

    fn clear(&mut self) -> Result<(), Error> {
        if !self.transactions.is_unsure() {
            return Ok(());
        }
        let held_up = self.reader.held_up(&self.topics, HELD_UP)?;
        self.transactions.clear(&held_up, None)
    }

    /// With a new producer, if what the last transaction wrote may not be whole.
    pub fn begin(&mut self) -> Result<(), Error> {
        if self.transactions.is_suspect() {
            self.renew()?;
        }
        self.transactions.begin()
    }

    pub fn produce(&mut self, record: &NewRecord) -> Result<(), Error> {
        self.transactions.produce(record)
    }

    pub fn commit(&mut self) -> Result<(), Error> {
        self.transactions.commit(None)
    }

    pub fn abort(&mut self) -> Result<(), Error> {
        self.transactions.abort()
    }

    pub fn renew(&mut self) -> Result<(), Error> {
        self.transactions.renew(None, || self.reader.held_up(&self.topics, HELD_UP))?;
        self.clear()
    }
}
