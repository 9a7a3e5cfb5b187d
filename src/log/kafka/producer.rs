//! The transactional producer: drained by hand, its errors sorted into what the caller is to do.
//!
//! librdkafka speaks the old transaction protocol (no KIP-890 part 2): an EndTxn that was delayed and repeated may end a
//! *later* transaction. So a producer that saw a transport error or a time-out inside a transaction is used for no other:
//! [`Transactions::is_suspect`] tells, and the caller renews it. While it is in one it is given up at once (`leftovers`).
//!
//! A coordinator that ends a transaction for being open too long fences its producer as if a newer one had come. So a fence is
//! a twin's doing only if our own transaction cannot have timed out; after a pause (a stopped process, a closed lid) it can, and
//! the caller renews the producer. A twin that lives fences the renewed one at once, and that one stops.

mod leftovers;
mod relay;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use rdkafka::TopicPartitionList;
use rdkafka::client::{ClientContext, DefaultClientContext};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, Message as _, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};

use super::consumer::{denied, is_denied};
use super::native::{self, Cargo, TransactionError};
pub use relay::Delivered;

use crate::log::Error;
use crate::log::client::{Connection, unusable};
use crate::log::token::Login;
use crate::record::{NewRecord, TopicPartition};

/// The coordinator aborts a transaction that takes longer. No longer than the group's session by default.
const TRANSACTION: Duration = Duration::from_secs(10);
/// How long to wait for what a predecessor left open to end.
pub const END: Duration = Duration::from_secs(30);
/// A commit that is still refused after this long is of unknown outcome.
const COMMIT: Duration = Duration::from_secs(15);
const INIT: Duration = Duration::from_secs(20);
const SLICE: Duration = Duration::from_millis(5);

/// What a producer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    /// Records of our own: only failed deliveries are reported.
    Records,
    /// Messages of a consumer too, with the offset of every copy.
    Relay,
}

/// What may not be written any more.
enum Denied {
    Topic(String),
    TransactionalId,
}

#[derive(Default)]
struct Seen {
    /// First failed delivery of the transaction, and the topic.
    delivery: Mutex<Option<(KafkaError, String)>>,
    /// A transport error or time-out came up since the transaction began.
    hazard: AtomicBool,
    denied: Mutex<Option<Denied>>,
    relayed: Mutex<relay::Relayed>,
}

struct TransactionContext(Arc<Seen>);

impl ClientContext for TransactionContext {
    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "kafka producer");
        self.0.hazard.store(true, Ordering::Relaxed);
    }

    /// That a topic may not join the transaction, and which one, stands in a line for the log alone: all deliveries fail as
    /// purged.
    fn log(&self, level: RDKafkaLogLevel, facility: &str, told: &str) {
        DefaultClientContext.log(level, facility, told);
        let Some(topic) = told.split('"').nth(1).filter(|_| facility == "ADDPARTS") else { return };
        let Ok(mut denied) = self.0.denied.lock() else { return };
        if told.contains("Topic authorization failed") {
            denied.get_or_insert_with(|| Denied::Topic(topic.to_owned()));
        } else if told.contains("Transactional Id authorization failed") {
            *denied = Some(Denied::TransactionalId);
        }
    }
}

impl ProducerContext for TransactionContext {
    type DeliveryOpaque = Cargo;

    fn delivery(&self, result: &DeliveryResult<'_>, cargo: Cargo) {
        if let Ok(mut relayed) = self.0.relayed.lock() {
            relayed.report(result, cargo);
        }
        if let (Err((error, record)), Ok(mut first)) = (result, self.0.delivery.lock()) {
            first.get_or_insert_with(|| (error.clone(), record.topic().to_owned()));
        }
    }
}

pub struct Transactions {
    connection: Connection,
    transactional_id: String,
    purpose: Use,
    /// Weight of all that was relayed through this producer.
    relayed: u64,
    /// None once it is given up, until it is renewed.
    producer: Option<BaseProducer<TransactionContext>>,
    login: Login,
    seen: Arc<Seen>,
    began: Option<Began>,
    suspect: bool,
    timed_out: bool,
    /// Something may be open on the broker: all the time but from a commit that was told to the next transaction.
    unsure: bool,
}

/// By two clocks: the steady one stands still while the machine sleeps, the other may be set.
#[derive(Clone, Copy)]
struct Began(Instant, SystemTime);

impl Began {
    fn now() -> Self {
        Self(Instant::now(), SystemTime::now())
    }

    fn elapsed(self) -> Duration {
        self.0.elapsed().max(self.1.elapsed().unwrap_or_default())
    }
}

impl Transactions {
    /// Fences every older producer of this id, and commits what its last transaction left open if it was committed. `group`: whose offsets
    /// its transactions commit; `held_up`: where something is open, of all partitions that are written to.
    pub fn new(
        connection: &Connection,
        transactional_id: &str,
        group: Option<&str>,
        held_up: impl FnOnce() -> Result<Vec<TopicPartition>, Error> + Send,
    ) -> Result<Self, Error> {
        Self::with(connection, transactional_id, Use::Records, group, held_up)
    }

    fn with(
        connection: &Connection,
        transactional_id: &str,
        purpose: Use,
        group: Option<&str>,
        held_up: impl FnOnce() -> Result<Vec<TopicPartition>, Error> + Send,
    ) -> Result<Self, Error> {
        let is_whole = leftovers::commit_leftovers(connection, transactional_id, group, held_up)?;
        let (producer, login, seen) = create(connection, transactional_id, purpose)?;
        let (connection, transactional_id) = (connection.clone(), transactional_id.to_owned());
        let (began, suspect, timed_out, unsure) = (None, false, false, !is_whole);
        let (producer, relayed) = (Some(producer), 0);
        Ok(Self {
            connection,
            transactional_id,
            purpose,
            relayed,
            producer,
            login,
            seen,
            began,
            suspect,
            timed_out,
            unsure,
        })
    }

    /// As [`Transactions::new`]. What else it left is still to be cleared.
    pub fn renew(
        &mut self,
        group: Option<&str>,
        held_up: impl FnOnce() -> Result<Vec<TopicPartition>, Error> + Send,
    ) -> Result<(), Error> {
        self.give_up();
        *self = Self::with(&self.connection, &self.transactional_id, self.purpose, group, held_up)?;
        Ok(())
    }

    /// Nothing of it reaches a broker any more: what it had begun is aborted by who renews it, or for its age.
    fn give_up(&mut self) {
        self.producer = None;
        (self.suspect, self.unsure) = (true, true);
    }

    fn producer(&self) -> Result<&BaseProducer<TransactionContext>, Error> {
        self.producer.as_ref().ok_or_else(|| Error::UnknownOutcome("the producer is to be renewed".into()))
    }

    /// All that librdkafka has to tell, which waits to be asked for.
    fn hear(&self) {
        let Some(producer) = &self.producer else { return };
        loop {
            let waiting = producer.in_flight_count();
            producer.poll(Duration::ZERO); // serves one event
            if producer.in_flight_count() >= waiting {
                return;
            }
        }
    }

    /// A record whose request broke off passes for stored once a later one of its partition is; it may be lost (`ingest::send`). And
    /// the commit before may not be whole yet.
    fn broken(&mut self, when: &str) -> Error {
        match self.purpose {
            Use::Records => self.give_up(),
            // Handles of its topics are about; who relays throws all of it away.
            Use::Relay => self.suspect = true,
        }
        Error::UnknownOutcome(format!("a connection broke {when}"))
    }

    fn is_broken(&self) -> bool {
        self.seen.hazard.load(Ordering::Relaxed)
    }

    /// The last fence came when our own transaction may have been ended for its age.
    pub fn has_timed_out(&self) -> bool {
        self.timed_out
    }

    /// To be called from time to time, used or not.
    pub fn refresh(&mut self) -> Result<(), Error> {
        match &self.producer {
            Some(producer) => self.login.refresh(producer.client()),
            None => Ok(()),
        }
    }

    /// What the last transaction left may be open after all: to be renewed, and cleared.
    pub fn doubt(&mut self) {
        (self.suspect, self.unsure) = (true, true);
    }

    /// A connection broke since the last commit was begun, which was told: its markers may not have been written yet.
    pub fn broke_after_commit(&self) -> bool {
        if self.began.is_none() {
            self.hear();
        }
        self.began.is_none() && self.is_broken()
    }

    /// To be renewed before the next transaction.
    pub fn is_suspect(&self) -> bool {
        self.suspect || self.broke_after_commit()
    }

    pub fn begin(&mut self) -> Result<(), Error> {
        self.refresh()?;
        self.hear();
        if self.is_broken() && !self.unsure {
            return Err(self.broken("since the last commit"));
        }
        self.seen.hazard.store(false, Ordering::Relaxed);
        self.failed_delivery();
        self.producer()?.begin_transaction().map_err(|error| self.judge_kafka(error))?;
        (self.began, self.unsure) = (Some(Began::now()), true);
        Ok(())
    }

    pub fn produce(&mut self, record: &NewRecord) -> Result<(), Error> {
        loop {
            let base = BaseRecord::with_opaque_to(record.topic.as_str(), Cargo(None));
            let mut base: BaseRecord<'_, [u8], [u8], Cargo> = base.timestamp(record.timestamp.0);
            (base.partition, base.key) = (record.partition.map(|partition| partition.0), record.key.as_deref());
            base.payload = record.value.as_deref();
            if !record.headers.is_empty() {
                base.headers = Some(record.headers.iter().fold(OwnedHeaders::new(), |headers, header| {
                    headers.insert(Header { key: &header.name, value: header.value.as_deref() })
                }));
            }
            let producer = self.producer()?;
            match producer.send(base) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => producer.poll(SLICE),
                Err((error, _)) => {
                    producer.poll(Duration::ZERO);
                    return Err(self.denied().unwrap_or_else(|| self.judge_kafka(error)));
                }
            }
            if self.is_broken() {
                return Err(self.broken("inside the transaction"));
            }
            if self.expired() {
                return Err(Error::Abort("the producer's queue did not empty within the transaction's time".into()));
            }
        }
    }

    /// Everything produced is on the broker, or the transaction is to be aborted.
    fn drain(&mut self) -> Result<(), Error> {
        loop {
            let empty = self.delivers();
            if empty {
                self.hear();
            } else {
                self.serve();
                self.refresh()?;
            }
            if let Some((error, topic)) = self.failed_delivery() {
                if let Some(denied) = self.denied().or_else(|| self.refusal(&error, &format!("topic {topic}"))) {
                    return Err(denied);
                }
                let told = format!("a record was not delivered to {topic}: {error}");
                let fenced = error.rdkafka_error_code().is_some_and(is_fenced);
                return Err(if fenced { self.fenced(told) } else { Error::Abort(told) });
            }
            if self.is_broken() {
                return Err(self.broken("inside the transaction"));
            }
            if empty {
                return Ok(());
            }
            if self.expired() {
                self.suspect = true;
                return Err(Error::Abort("records were not delivered within the transaction's time".into()));
            }
        }
    }

    /// Of a member, with its offsets; `None`: records alone.
    pub fn commit(&mut self, read: Option<(&TopicPartitionList, &ConsumerGroupMetadata, &str)>) -> Result<(), Error> {
        self.drain()?;
        if let Some((offsets, group, name)) = read.filter(|(offsets, ..)| offsets.count() > 0) {
            let sent = self.producer()?.send_offsets_to_transaction(offsets, group, COMMIT);
            sent.map_err(|error| match error.rdkafka_error_code() {
                Some(RDKafkaErrorCode::GroupAuthorizationFailed) => denied("Read", &format!("group {name}")),
                _ => self.judge_kafka(error),
            })?;
        }
        if self.expired() {
            // The coordinator may have aborted it already, and a late commit was once answered with success (dotnet #1533).
            self.suspect = true;
            return Err(Error::Abort("the transaction took longer than its time".into()));
        }
        let until = Instant::now() + COMMIT;
        let producer = self.producer()?;
        let outcome = loop {
            match native::commit(producer, Duration::from_secs(1)) {
                Err(error) if error.retriable && Instant::now() < until => producer.poll(SLICE),
                outcome => break outcome,
            }
        };
        producer.poll(Duration::ZERO);
        self.suspect |= self.is_broken();
        let outcome = outcome.map_err(|error| self.judge_end(&error));
        (self.began, self.unsure) = (None, outcome.is_err());
        outcome
    }

    pub fn abort(&mut self) -> Result<(), Error> {
        let Some(producer) = self.producer.as_ref().filter(|_| self.began.is_some()) else {
            self.began = None;
            return Ok(());
        };
        let until = Instant::now() + COMMIT;
        loop {
            // Purged messages are told by delivery reports, which the poll serves.
            match native::abort(producer, Duration::from_millis(100)) {
                Ok(()) => break,
                Err(error) if error.retriable && Instant::now() < until => producer.poll(SLICE),
                Err(error) => {
                    let error = self.judge_end(&error);
                    self.began = None;
                    return Err(error);
                }
            }
        }
        self.began = None;
        self.suspect |= self.is_broken();
        Ok(())
    }

    fn expired(&self) -> bool {
        // Kept apart from the coordinator's own clock by a fifth.
        self.began.is_some_and(|began| began.elapsed() > TRANSACTION.mul_f32(0.8))
    }

    fn failed_delivery(&self) -> Option<(KafkaError, String)> {
        self.seen.delivery.lock().ok().and_then(|mut first| first.take())
    }

    fn denied(&self) -> Option<Error> {
        let resource = match self.seen.denied.lock().ok()?.take()? {
            Denied::Topic(topic) => format!("topic {topic}"),
            Denied::TransactionalId => format!("transactional-id {}", self.transactional_id),
        };
        Some(denied("Write", &resource))
    }

    fn judge_kafka(&mut self, error: KafkaError) -> Error {
        if let KafkaError::Transaction(inner) = &error {
            let fenced = is_fenced(inner.code());
            return match (fenced, inner.is_fatal(), inner.txn_requires_abort() || inner.is_retriable()) {
                (true, ..) => self.fenced(error.to_string()),
                (_, false, true) => Error::Abort(error.to_string()),
                _ => Error::UnknownOutcome(error.to_string()),
            };
        }
        match error.rdkafka_error_code() {
            Some(code) if is_fenced(code) => self.fenced(error.to_string()),
            Some(RDKafkaErrorCode::Fatal) => Error::UnknownOutcome(error.to_string()),
            _ => self.refusal(&error, "a topic that it writes").unwrap_or_else(|| Error::Abort(error.to_string())),
        }
    }

    /// If a right is missing: which one, where `topic` was to be written.
    fn refusal(&self, error: &KafkaError, topic: &str) -> Option<Error> {
        match error.rdkafka_error_code()? {
            RDKafkaErrorCode::TopicAuthorizationFailed => Some(denied("Write", topic)),
            RDKafkaErrorCode::TransactionalIdAuthorizationFailed => {
                Some(denied("Write", &format!("transactional-id {}", self.transactional_id)))
            }
            RDKafkaErrorCode::MessageSizeTooLarge => Some(Error::Fatal(format!(
                "{topic} refuses a record or a batch for its size: raise its max.message.bytes to that of where the records come from, at \
                 least to 1048588"
            ))),
            _ if is_denied(error) => Some(Error::Fatal(error.to_string())),
            _ => None,
        }
    }

    fn judge_end(&mut self, error: &TransactionError) -> Error {
        let text = error.text.clone();
        match error {
            _ if is_fenced(error.code) => self.fenced(text),
            TransactionError { fatal: false, requires_abort: true, .. } => Error::Abort(text),
            _ => Error::UnknownOutcome(text),
        }
    }

    fn fenced(&mut self, why: String) -> Error {
        self.timed_out = self.began.is_some_and(|began| began.elapsed() >= TRANSACTION);
        if self.timed_out {
            return Error::UnknownOutcome(format!("the transaction was open for too long and was ended: {why}"));
        }
        Error::Fenced(why)
    }
}

fn is_fenced(code: RDKafkaErrorCode) -> bool {
    matches!(code, RDKafkaErrorCode::Fenced | RDKafkaErrorCode::InvalidProducerEpoch | RDKafkaErrorCode::ProducerFenced)
}

fn create(
    connection: &Connection,
    transactional_id: &str,
    purpose: Use,
) -> Result<(BaseProducer<TransactionContext>, Login, Arc<Seen>), Error> {
    let mut config = connection.producer();
    config
        .set("transactional.id", transactional_id)
        .set("transaction.timeout.ms", TRANSACTION.as_millis().to_string())
        .set("linger.ms", "2")
        .set("compression.type", "lz4")
        .set("queue.buffering.max.messages", "1000000");
    match purpose {
        // Successes need no report; without this every record's report would have to be served before a commit.
        Use::Records => config.set("delivery.report.only.error", "true"),
        Use::Relay => relay::configure(&mut config),
    };
    let seen = Arc::new(Seen::default());
    let producer: BaseProducer<TransactionContext> =
        config.create_with_context(TransactionContext(seen.clone())).map_err(|error| unusable(&error))?;
    let mut login = Login::new(connection);
    login.refresh(producer.client())?;
    producer.init_transactions(INIT).map_err(|error| match error.rdkafka_error_code() {
        Some(RDKafkaErrorCode::TransactionalIdAuthorizationFailed | RDKafkaErrorCode::ClusterAuthorizationFailed) => {
            denied("Write", &format!("transactional-id {transactional_id}"))
        }
        _ => Error::Unavailable(format!("transactional id {transactional_id}: {error}")),
    })?;
    seen.hazard.store(false, Ordering::Relaxed);
    Ok((producer, login, seen))
}
