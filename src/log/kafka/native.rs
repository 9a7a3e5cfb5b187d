//! The only unsafe code: the few librdkafka calls that the crate does not offer, or offers at a price.
//!
//! - Each partition's own queue, read in batches and without an event and an `Arc` per message, and a bell for all of them:
//!   `rd_kafka_consume_batch_queue` waits until its array is full, so it is only asked for what is there.
//! - A token handed to a client: the crate does it in a poll only, too late for the first call.
//! - Flush, commit and abort of a transaction: the crate's `flush` sleeps 100 ms each time.
//! - Messages that go from a consumer to a producer as they are (`relay.rs`).
//!
//! Invariants: an [`Inlet`] keeps its client alive and its messages within, and each is destroyed exactly once: the functions offered
//! are safe. Nothing here decides what an error means.
#![expect(unsafe_code, reason = "calls into librdkafka, kept in this one module")]

mod relay;

use std::collections::VecDeque;
use std::ffi::{CStr, CString};
use std::os::raw::{c_char, c_void};
use std::ptr::{NonNull, null_mut};
use std::slice;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::client::{Client, ClientContext};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::producer::{BaseProducer, Producer, ProducerContext};
use rdkafka_sys as sys;
use rdkafka_sys::types::{RDKafkaErrorCode, RDKafkaMessage};

pub use relay::{Cargo, Intake, Origin, TopicHandle, relay};

use crate::log::token::Token;
use crate::record::{Batch, EventTime, Headers, Offset, Partition, Record, Topic};

/// Messages taken by one batch call.
const BATCH_MESSAGES: usize = 1024;

fn millis(wait: Duration) -> i32 {
    i32::try_from(wait.as_millis()).unwrap_or(i32::MAX)
}

/// Rung when something has come for whoever waits; one that was rung before the wait ends it at once.
#[derive(Default)]
pub struct Bell {
    rung: Mutex<bool>,
    waiting: Condvar,
}

impl Bell {
    fn ring(&self) {
        *self.rung.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.waiting.notify_all();
    }

    pub fn wait(&self, wait: Duration) {
        let rung = self.rung.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.waiting.wait_timeout_while(rung, wait, |rung| !*rung);
        *waited.unwrap_or_else(PoisonError::into_inner).0 = false;
    }
}

/// librdkafka calls this when a queue that was empty has something.
extern "C" fn ring(_: *mut sys::rd_kafka_t, bell: *mut c_void) {
    // SAFETY: the inlet that asked for the calls keeps the bell, and ends them before it goes.
    unsafe { bell.cast::<Bell>().as_ref() }.inspect(|bell| bell.ring());
}

/// One partition's own queue, taken out of the consumer's; what comes rings the bell.
pub struct Inlet<C: ConsumerContext> {
    queue: NonNull<sys::rd_kafka_queue_t>,
    name: CString,
    partition: i32,
    /// Taken from the queue, in order.
    ahead: VecDeque<Message>,
    _bell: Arc<Bell>,
    consumer: Arc<BaseConsumer<C>>,
}

// SAFETY: librdkafka's queues are internally locked, and a message belongs to who has it.
unsafe impl<C: ConsumerContext> Send for Inlet<C> {}

impl<C: ConsumerContext> Inlet<C> {
    /// Before the partition is assigned, so that nothing goes elsewhere; the queue stays its own from then on.
    pub fn new(consumer: &Arc<BaseConsumer<C>>, topic: &str, partition: i32, bell: &Arc<Bell>) -> Result<Self, String> {
        let name = CString::new(topic).map_err(|error| format!("topic `{topic}`: {error}"))?;
        // SAFETY: client and name are alive during the call; the handle returned is ours to destroy.
        let queue =
            unsafe { sys::rd_kafka_queue_get_partition(consumer.client().native_ptr(), name.as_ptr(), partition) };
        let queue = NonNull::new(queue).ok_or_else(|| format!("{topic}-{partition} has no queue"))?;
        let ringing = Arc::as_ptr(bell).cast_mut().cast();
        // SAFETY: the queue is alive; the bell lives until the calls are ended in `drop`.
        unsafe {
            sys::rd_kafka_queue_forward(queue.as_ptr(), null_mut());
            sys::rd_kafka_queue_cb_event_enable(queue.as_ptr(), Some(ring), ringing);
        }
        let (ahead, consumer) = (VecDeque::new(), consumer.clone());
        Ok(Self { queue, name, partition, ahead, _bell: bell.clone(), consumer })
    }

    /// What is next, if it is there.
    pub fn front(&mut self) -> Option<&Message> {
        if self.ahead.is_empty() {
            self.fill();
        }
        self.ahead.front()
    }

    /// Past what is in front.
    pub fn advance(&mut self) {
        self.ahead.pop_front();
    }

    /// After a seek: what was taken before is not what comes next.
    pub fn clear(&mut self) {
        self.ahead.clear();
    }

    /// The end of the log, as of the newest fetch; negative before the first.
    pub fn end(&self) -> Offset {
        let (mut low, mut high) = (0, 0);
        let client = self.consumer.client().native_ptr();
        // SAFETY: client and name are alive, both pointers valid; nothing is asked of the broker.
        unsafe { sys::rd_kafka_get_watermark_offsets(client, self.name.as_ptr(), self.partition, &mut low, &mut high) };
        Offset(high)
    }

    fn fill(&mut self) {
        let mut taken: [*mut RDKafkaMessage; BATCH_MESSAGES] = [null_mut(); BATCH_MESSAGES];
        // SAFETY: the array has the length that is told; the first `count` entries are ours to destroy.
        let count =
            unsafe { sys::rd_kafka_consume_batch_queue(self.queue.as_ptr(), 0, taken.as_mut_ptr(), BATCH_MESSAGES) };
        let count = usize::try_from(count).unwrap_or(0);
        self.ahead.extend(taken[..count].iter().copied().filter_map(NonNull::new).map(Message));
    }
}

impl<C: ConsumerContext> Drop for Inlet<C> {
    fn drop(&mut self) {
        self.ahead.clear();
        // SAFETY: the handle is destroyed once, before the client that the inlet holds; no call comes after the first line.
        unsafe {
            sys::rd_kafka_queue_cb_event_enable(self.queue.as_ptr(), None, null_mut());
            sys::rd_kafka_queue_destroy(self.queue.as_ptr());
        }
    }
}

/// A message, or an error in a message's place.
pub struct Message(NonNull<RDKafkaMessage>);

// SAFETY: nobody else has it, and nothing in it is changed.
unsafe impl Send for Message {}
// SAFETY: as above.
unsafe impl Sync for Message {}

impl Message {
    fn raw(&self) -> &RDKafkaMessage {
        // SAFETY: valid until drop.
        unsafe { self.0.as_ref() }
    }

    pub fn error(&self) -> Option<RDKafkaErrorCode> {
        let code = self.raw().err;
        (code != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR).then(|| code.into())
    }

    /// Of a message; of an end-of-partition error it is where the next one will be.
    pub fn offset(&self) -> i64 {
        self.raw().offset
    }

    /// Milliseconds; negative if the record carries none.
    pub fn timestamp(&self) -> EventTime {
        let mut kind = sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: both pointers are valid.
        EventTime(unsafe { sys::rd_kafka_message_timestamp(self.0.as_ptr(), &mut kind) })
    }

    pub fn key(&self) -> Option<&[u8]> {
        let raw = self.raw();
        bytes(raw.key.cast(), raw.key_len)
    }

    /// The record's value; of an error its text.
    pub fn value(&self) -> Option<&[u8]> {
        let raw = self.raw();
        bytes(raw.payload.cast(), raw.len)
    }

    /// Copies the record into the batch; `topic` is the one of its inlet.
    pub fn push_to(&self, batch: &mut Batch, topic: &Topic) {
        batch.push(&Record {
            topic,
            partition: Partition(self.raw().partition),
            offset: Offset(self.offset()),
            timestamp: self.timestamp(),
            key: self.key(),
            value: self.value(),
            headers: Headers::NONE,
        });
        self.headers(|name, value| batch.push_header_to_last(name, value));
    }

    /// Calls `each` with every header, in order.
    fn headers(&self, mut each: impl FnMut(&str, Option<&[u8]>)) {
        let mut headers = null_mut();
        // SAFETY: the headers stay owned by the message.
        let found = unsafe { sys::rd_kafka_message_headers(self.0.as_ptr(), &mut headers) };
        if found != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            return;
        }
        for index in 0.. {
            let (mut name, mut value, mut length): (*const c_char, _, usize) = (std::ptr::null(), std::ptr::null(), 0);
            // SAFETY: out-pointers are valid; name and value live as long as the headers.
            let got = unsafe { sys::rd_kafka_header_get_all(headers, index, &mut name, &mut value, &mut length) };
            if got != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                return;
            }
            // SAFETY: a C string that lives as long as the headers.
            let name = unsafe { CStr::from_ptr(name) }.to_string_lossy();
            each(&name, bytes(value.cast(), length));
        }
    }
}

impl Drop for Message {
    fn drop(&mut self) {
        // SAFETY: taken from a queue, destroyed once.
        unsafe { sys::rd_kafka_message_destroy(self.0.as_ptr()) }
    }
}

fn bytes<'a>(start: *const u8, length: usize) -> Option<&'a [u8]> {
    // SAFETY: librdkafka gives either null or `length` readable bytes that live with the message.
    (!start.is_null()).then(|| unsafe { slice::from_raw_parts(start, length) })
}

/// What librdkafka says of a failed transactional call.
#[derive(Debug)]
pub struct TransactionError {
    pub code: RDKafkaErrorCode,
    pub text: String,
    pub fatal: bool,
    pub retriable: bool,
    pub requires_abort: bool,
}

/// # Safety
/// The pointer is null or an error that the caller owns.
unsafe fn outcome(error: *mut sys::rd_kafka_error_t) -> Result<(), TransactionError> {
    if error.is_null() {
        return Ok(());
    }
    // SAFETY: not null, and ours until destroyed below.
    unsafe {
        let told = TransactionError {
            code: sys::rd_kafka_error_code(error).into(),
            text: CStr::from_ptr(sys::rd_kafka_error_string(error)).to_string_lossy().into_owned(),
            fatal: sys::rd_kafka_error_is_fatal(error) != 0,
            retriable: sys::rd_kafka_error_is_retriable(error) != 0,
            requires_abort: sys::rd_kafka_error_txn_requires_abort(error) != 0,
        };
        sys::rd_kafka_error_destroy(error);
        Err(told)
    }
}

/// Sends what is queued; true when nothing is on its way any more. Delivery errors are served by polling the producer.
pub fn flush<C: ProducerContext>(producer: &BaseProducer<C>, wait: Duration) -> bool {
    // SAFETY: the producer is alive during the call.
    let code = unsafe { sys::rd_kafka_flush(producer.client().native_ptr(), millis(wait)) };
    code == sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR
}

pub fn commit<C: ProducerContext>(producer: &BaseProducer<C>, wait: Duration) -> Result<(), TransactionError> {
    // SAFETY: the producer is alive during the call; the error it returns is ours.
    unsafe { outcome(sys::rd_kafka_commit_transaction(producer.client().native_ptr(), millis(wait))) }
}

pub fn abort<C: ProducerContext>(producer: &BaseProducer<C>, wait: Duration) -> Result<(), TransactionError> {
    // SAFETY: the producer is alive during the call; the error it returns is ours.
    unsafe { outcome(sys::rd_kafka_abort_transaction(producer.client().native_ptr(), millis(wait))) }
}

/// The client logs in with the token from now on, open connections when they must.
pub fn set_token<C: ClientContext>(client: &Client<C>, token: &Token) -> Result<(), String> {
    let text = |text: &str| CString::new(text).map_err(|_| "a token must not hold a zero byte".to_owned());
    let (value, principal) = (text(&token.text)?, text(&token.principal)?);
    let mut why = [0 as c_char; 512];
    // SAFETY: the client is alive, all strings outlive the call and are copied by it; the buffer has the length that is told.
    let code = unsafe {
        sys::rd_kafka_oauthbearer_set_token(
            client.native_ptr(),
            value.as_ptr(),
            token.expires_ms,
            principal.as_ptr(),
            null_mut(),
            0,
            why.as_mut_ptr(),
            why.len(),
        )
    };
    if code == sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
        return Ok(());
    }
    // SAFETY: librdkafka ends it with a zero byte.
    Err(format!("the token cannot be used: {}", unsafe { CStr::from_ptr(why.as_ptr()) }.to_string_lossy()))
}
