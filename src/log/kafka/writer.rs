//! A transactional producer alone, for who reads outside any group: the same rules, the same errors.

use super::producer::Transactions;
use crate::log::Error;
use crate::log::client::Connection;
use crate::record::NewRecord;

/// Order of calls as of [`crate::log::Log`]: `begin`, any `produce`, then `commit` or `abort`; again.
pub struct KafkaWriter(Transactions);

impl KafkaWriter {
    /// Fences every older producer of this id and ends its open transaction: what that committed can be read afterwards.
    pub fn new(connection: &Connection, transactional_id: &str) -> Result<Self, Error> {
        Transactions::new(connection, transactional_id).map(Self)
    }

    pub fn begin(&mut self) -> Result<(), Error> {
        self.0.refresh()?;
        self.0.begin()
    }

    pub fn produce(&mut self, record: &NewRecord) -> Result<(), Error> {
        self.0.produce(record)
    }

    pub fn commit(&mut self) -> Result<(), Error> {
        self.0.commit(None)
    }

    pub fn abort(&mut self) -> Result<(), Error> {
        self.0.abort()
    }

    pub fn renew(&mut self) -> Result<(), Error> {
        self.0.renew()
    }

    pub fn must_renew(&self) -> bool {
        self.0.is_suspect()
    }
}
