//! Messages of a consumer on their way through a transaction, and the offset of every copy.
//!
//! A delivery report hands the message back, so that what lies between two reports is all that is kept of it. Reports of one partition
//! come in order; neighbours become one [`Delivered`].

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::{DeliveryResult, Message as _};
use rdkafka::producer::Producer as _;

use super::super::native::{self, Cargo, Message, Origin, TopicHandle};
use super::{SLICE, Transactions, Use};
use crate::log::Error;
use crate::log::client::Connection;
use crate::record::{EventTime, TopicPartition};

/// With reports of all deliveries a flush waits for those that nobody has asked for yet.
const RELAY_SLICE: Duration = Duration::from_millis(1);
const RELAY_SLICES: u32 = 8;

/// Copies of neighbours that became neighbours: offset `source + i` is at `target + i`, for each `i` below `count`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivered {
    pub origin: Origin,
    pub source: i64,
    /// Negative if the broker told none.
    pub target: i64,
    pub count: i64,
}

#[derive(Default)]
pub struct Relayed {
    /// Of messages and records of our own, in all.
    reports: u64,
    delivered: Vec<Delivered>,
    /// Of what was relayed and is reported.
    weight: u64,
}

impl Relayed {
    pub fn report(&mut self, result: &DeliveryResult<'_>, cargo: Cargo) {
        self.reports += 1;
        let Some(message) = cargo.0 else { return };
        self.weight += message.weight() as u64;
        let Ok(copy) = result else { return };
        let (origin, source, target) = (message.origin(), message.offset(), copy.offset());
        match self.delivered.last_mut() {
            Some(last)
                if last.origin == origin
                    && last.source + last.count == source
                    && last.target + last.count == target =>
            {
                last.count += 1;
            }
            _ => self.delivered.push(Delivered { origin, source, target, count: 1 }),
        }
    }
}

pub fn configure(config: &mut ClientConfig) -> &mut ClientConfig {
    config
        // Batches go when they are full, or when a transaction is settled. While the oldest message that waits behind an unanswered request
        // is older than this, librdkafka's thread turns without a pause (a third of all CPU, with 10 ms).
        .set("linger.ms", "50")
        // How much is on its way is bounded by who relays (`Transactions::on_their_way`); what is as large as it may be on the source is not
        // refused here but, if at all, by the target.
        .set("queue.buffering.max.kbytes", "2147483647")
        .set("queue.buffering.max.messages", "10000000")
        .set("message.max.bytes", "1000000000")
        .set("batch.size", "1000000")
}

impl Transactions {
    /// One that can relay.
    pub fn relaying(
        connection: &Connection,
        transactional_id: &str,
        held_up: impl FnOnce() -> Result<Vec<TopicPartition>, Error> + Send,
    ) -> Result<Self, Error> {
        Self::with(connection, transactional_id, Use::Relay, None, held_up)
    }

    pub fn handle(&self, topic: &str) -> Result<TopicHandle, Error> {
        TopicHandle::new(self.producer()?, topic).map_err(Error::Fatal)
    }

    /// Hands a message over as it is; answers what it weighs.
    pub fn relay(&mut self, to: &TopicHandle, partition: i32, message: Message, at: EventTime) -> Result<usize, Error> {
        if self.is_broken() {
            return Err(self.broken("inside the transaction"));
        }
        let weight = message.weight();
        native::relay(self.producer()?, (to, partition), at, message).map_err(|code| match code {
            RDKafkaErrorCode::UnknownPartition | RDKafkaErrorCode::UnknownTopic => {
                Error::Abort(format!("the partition to write to is not there: {code}"))
            }
            code => Error::Abort(format!("a message cannot be relayed: {code}")),
        })?;
        self.relayed += weight as u64;
        Ok(weight)
    }

    /// Bytes that were relayed and are not delivered yet, with what librdkafka needs for them.
    pub fn on_their_way(&self) -> u64 {
        self.seen.relayed.lock().map_or(u64::MAX, |reported| self.relayed - reported.weight)
    }

    /// Everything relayed so far is on the broker, or the transaction is to be aborted.
    pub fn settle(&mut self) -> Result<(), Error> {
        self.drain()
    }

    /// Since the last call.
    pub fn delivered(&mut self) -> Vec<Delivered> {
        self.seen.relayed.lock().map(|mut relayed| std::mem::take(&mut relayed.delivered)).unwrap_or_default()
    }

    /// All reports that are there.
    pub fn serve(&self) {
        loop {
            let before = self.reports();
            self.producer.iter().for_each(|producer| producer.poll(Duration::ZERO)); // serves one event
            if self.reports() == before {
                return;
            }
        }
    }

    fn reports(&self) -> u64 {
        self.seen.relayed.lock().map_or(0, |relayed| relayed.reports)
    }

    /// Polling would turn without a pause for the last millisecond of its time.
    fn pause(&self) {
        std::thread::sleep(RELAY_SLICE);
        self.serve();
    }

    /// Waits a little for deliveries; true when nothing is on its way any more.
    pub(super) fn delivers(&self) -> bool {
        let Some(producer) = &self.producer else { return true };
        if self.purpose != Use::Relay {
            return native::flush(producer, SLICE);
        }
        // While a flush lasts, librdkafka's threads turn without a pause for every partition that waits for an answer. So it is asked for
        // in short, to send what waits for more, and the answers are waited for without it.
        if native::flush(producer, RELAY_SLICE) {
            return true;
        }
        for _ in 0..RELAY_SLICES {
            self.pause();
            if producer.in_flight_count() == 0 {
                return true;
            }
        }
        false
    }

    /// Waits a little for deliveries.
    pub fn wait_for_room(&mut self) -> Result<(), Error> {
        if self.is_broken() {
            return Err(self.broken("inside the transaction"));
        }
        if self.expired() {
            self.suspect = true;
            return Err(Error::Abort(
                "the target takes less than it is sent, for the whole of a transaction's time".into(),
            ));
        }
        // No flush (`delivers`): there is more to come.
        self.pause();
        Ok(())
    }
}
