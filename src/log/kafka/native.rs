//! The only unsafe code: the few librdkafka calls that the crate does not offer, or offers at a price.
//!
//! - One queue for all assigned partitions, read without an event and an `Arc` per message. `rd_kafka_consume_batch_queue`
//!   waits until its array is full, so the first message is taken by `rd_kafka_consume_queue` and only the rest in batches.
//! - A token handed to a client: the crate does it in a poll only, too late for the first call.
//! - Flush, commit and abort of a transaction: the crate's `flush` sleeps 100 ms each time.
//!
//! Invariants: a [`Queue`] keeps its client alive, a [`Message`] borrows from its queue, and each is destroyed exactly once:
//! the functions offered are safe. Nothing here decides what an error means.
#![expect(unsafe_code, reason = "calls into librdkafka, kept in this one module")]

use std::ffi::{CStr, CString};
use std::marker::PhantomData;
use std::os::raw::c_char;
use std::ptr::{NonNull, null_mut};
use std::slice;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::client::{Client, ClientContext};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::producer::{BaseProducer, Producer, ProducerContext};
use rdkafka_sys as sys;
use rdkafka_sys::types::{RDKafkaErrorCode, RDKafkaMessage};

use crate::log::token::Token;
use crate::record::{Batch, EventTime, Headers, Offset, Partition, Record, Topic};

/// Messages taken by one batch call.
const BATCH_MESSAGES: usize = 1024;

fn millis(wait: Duration) -> i32 {
    i32::try_from(wait.as_millis()).unwrap_or(i32::MAX)
}

/// An application queue to which partition queues are forwarded.
pub struct Queue<C: ConsumerContext> {
    queue: NonNull<sys::rd_kafka_queue_t>,
    consumer: Arc<BaseConsumer<C>>,
}

// SAFETY: librdkafka's queues are internally locked.
unsafe impl<C: ConsumerContext> Send for Queue<C> {}

impl<C: ConsumerContext> Queue<C> {
    pub fn new(consumer: &Arc<BaseConsumer<C>>) -> Self {
        // SAFETY: the client lives as long as the queue, which holds it.
        let queue = unsafe { sys::rd_kafka_queue_new(consumer.client().native_ptr()) };
        let queue = NonNull::new(queue).expect("librdkafka allocates a queue or aborts");
        Self { queue, consumer: consumer.clone() }
    }

    /// From now on the partition's messages come to this queue, those that wait included.
    pub fn forward(&self, topic: &str, partition: i32) -> Result<(), String> {
        let name = CString::new(topic).map_err(|error| format!("topic `{topic}`: {error}"))?;
        let client = self.consumer.client().native_ptr();
        // SAFETY: client and name are alive during the call.
        let source = unsafe { sys::rd_kafka_queue_get_partition(client, name.as_ptr(), partition) };
        if source.is_null() {
            return Err(format!("{topic}-{partition} has no queue"));
        }
        // SAFETY: both queues are alive; our handle of the source is destroyed once, the forwarding stays.
        unsafe {
            sys::rd_kafka_queue_forward(source, self.queue.as_ptr());
            sys::rd_kafka_queue_destroy(source);
        }
        Ok(())
    }

    /// The next message, or nothing within `wait`.
    pub fn next(&self, wait: Duration) -> Option<Message<'_>> {
        // SAFETY: the queue is alive; a message returned is ours to destroy.
        let message = unsafe { sys::rd_kafka_consume_queue(self.queue.as_ptr(), millis(wait)) };
        NonNull::new(message).map(|message| Message(message, PhantomData))
    }

    /// Up to a thousand of the messages that are there already.
    pub fn ready(&self) -> Vec<Message<'_>> {
        let mut taken: [*mut RDKafkaMessage; BATCH_MESSAGES] = [null_mut(); BATCH_MESSAGES];
        // SAFETY: the array has the length that is told; the first `count` entries are ours to destroy.
        let count =
            unsafe { sys::rd_kafka_consume_batch_queue(self.queue.as_ptr(), 0, taken.as_mut_ptr(), BATCH_MESSAGES) };
        let count = usize::try_from(count).unwrap_or(0);
        let messages = taken[..count].iter().copied().filter_map(NonNull::new);
        messages.map(|message| Message(message, PhantomData)).collect()
    }
}

impl<C: ConsumerContext> Drop for Queue<C> {
    fn drop(&mut self) {
        // SAFETY: created by `rd_kafka_queue_new`, destroyed once, before the client that the queue holds.
        unsafe { sys::rd_kafka_queue_destroy(self.queue.as_ptr()) }
    }
}

/// A message, or an error in a message's place.
pub struct Message<'q>(NonNull<RDKafkaMessage>, PhantomData<&'q ()>);

impl Message<'_> {
    fn raw(&self) -> &RDKafkaMessage {
        // SAFETY: valid until drop.
        unsafe { self.0.as_ref() }
    }

    pub fn error(&self) -> Option<RDKafkaErrorCode> {
        let code = self.raw().err;
        (code != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR).then(|| code.into())
    }

    pub fn topic(&self) -> &str {
        let topic = self.raw().rkt;
        if topic.is_null() {
            return "";
        }
        // SAFETY: librdkafka keeps the topic's name as a C string while the message lives; topic names are ASCII.
        unsafe { CStr::from_ptr(sys::rd_kafka_topic_name(topic)) }.to_str().unwrap_or_default()
    }

    pub fn partition(&self) -> i32 {
        self.raw().partition
    }

    /// Of a message; of an end-of-partition error it is where the next one will be.
    pub fn offset(&self) -> i64 {
        self.raw().offset
    }

    /// Milliseconds; negative if the record carries none.
    fn timestamp(&self) -> i64 {
        let mut kind = sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: both pointers are valid.
        unsafe { sys::rd_kafka_message_timestamp(self.0.as_ptr(), &mut kind) }
    }

    fn key(&self) -> Option<&[u8]> {
        let raw = self.raw();
        bytes(raw.key.cast(), raw.key_len)
    }

    /// The record's value; of an error its text.
    pub fn value(&self) -> Option<&[u8]> {
        let raw = self.raw();
        bytes(raw.payload.cast(), raw.len)
    }

    /// Copies the record into the batch; `topic` is the caller's handle of [`Message::topic`].
    pub fn push_to(&self, batch: &mut Batch, topic: &Topic) {
        batch.push(&Record {
            topic,
            partition: Partition(self.partition()),
            offset: Offset(self.offset()),
            timestamp: EventTime(self.timestamp()),
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

impl Drop for Message<'_> {
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
