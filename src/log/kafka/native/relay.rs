//! From a consumer to a producer without a copy: one queue for all partitions of the consumer, and messages whose keys, values and
//! headers librdkafka sends from where they lie.
//!
//! Invariants: a message belongs to the queue's owner until it is relayed, then to the producer until its delivery report hands it back; it is
//! destroyed once, by whoever has it. The producer ends before the consumer that a message came from: whoever owns both declares them in
//! this order ([`crate::log::kafka::KafkaRelay`]).
#![expect(unsafe_code, reason = "calls into librdkafka; part of the one module")]

use std::collections::VecDeque;
use std::ffi::{CStr, CString};
use std::os::raw::c_void;
use std::ptr::{NonNull, null, null_mut};
use std::sync::Arc;

use rdkafka::IntoOpaque;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::producer::{BaseProducer, Producer, ProducerContext};
use rdkafka_sys as sys;
use rdkafka_sys::types::{RDKafkaErrorCode, RDKafkaMessage};

use super::{BATCH_MESSAGES, Bell, Message, bytes, ring};
use crate::record::EventTime;

/// One queue that the messages of all partitions come to; what comes rings the bell. Its bound is that of the consumer as a whole.
pub struct Intake<C: ConsumerContext> {
    queue: NonNull<sys::rd_kafka_queue_t>,
    ahead: VecDeque<Message>,
    _bell: Arc<Bell>,
    consumer: Arc<BaseConsumer<C>>,
}

// SAFETY: librdkafka's queues are internally locked, and a message belongs to who has it.
unsafe impl<C: ConsumerContext> Send for Intake<C> {}

impl<C: ConsumerContext> Intake<C> {
    pub fn new(consumer: &Arc<BaseConsumer<C>>, bell: &Arc<Bell>) -> Result<Self, String> {
        // SAFETY: the client is alive; the handle returned is ours to destroy.
        let queue = unsafe { sys::rd_kafka_queue_new(consumer.client().native_ptr()) };
        let queue = NonNull::new(queue).ok_or_else(|| "the consumer has no queue".to_owned())?;
        // SAFETY: the queue is alive; the bell lives until the calls are ended in `drop`.
        unsafe { sys::rd_kafka_queue_cb_event_enable(queue.as_ptr(), Some(ring), Arc::as_ptr(bell).cast_mut().cast()) };
        Ok(Self { queue, ahead: VecDeque::new(), _bell: bell.clone(), consumer: consumer.clone() })
    }

    /// Before the partition is assigned, so that nothing goes elsewhere.
    pub fn gather(&self, topic: &str, partition: i32) -> Result<(), String> {
        let name = CString::new(topic).map_err(|error| format!("topic `{topic}`: {error}"))?;
        // SAFETY: client, name and both queues are alive; the handle is destroyed once, the forwarding holds what it needs.
        unsafe {
            let own = sys::rd_kafka_queue_get_partition(self.consumer.client().native_ptr(), name.as_ptr(), partition);
            let own = NonNull::new(own).ok_or_else(|| format!("{topic}-{partition} has no queue"))?;
            sys::rd_kafka_queue_forward(own.as_ptr(), self.queue.as_ptr());
            sys::rd_kafka_queue_destroy(own.as_ptr());
        }
        Ok(())
    }

    /// What is next, if it is there.
    pub fn take(&mut self) -> Option<Message> {
        if self.ahead.is_empty() {
            let mut taken: [*mut RDKafkaMessage; BATCH_MESSAGES] = [null_mut(); BATCH_MESSAGES];
            // SAFETY: the array has the length that is told; the first `count` entries are ours to destroy.
            let count = unsafe {
                sys::rd_kafka_consume_batch_queue(self.queue.as_ptr(), 0, taken.as_mut_ptr(), BATCH_MESSAGES)
            };
            let count = usize::try_from(count).unwrap_or(0);
            self.ahead.extend(taken[..count].iter().copied().filter_map(NonNull::new).map(Message));
        }
        self.ahead.pop_front()
    }

    /// The end of a partition's log, as of the newest fetch; negative before the first.
    pub fn end(&self, topic: &CStr, partition: i32) -> i64 {
        let (mut low, mut high) = (0, 0);
        let client = self.consumer.client().native_ptr();
        // SAFETY: client and name are alive, both pointers valid; nothing is asked of the broker.
        unsafe { sys::rd_kafka_get_watermark_offsets(client, topic.as_ptr(), partition, &mut low, &mut high) };
        high
    }
}

impl<C: ConsumerContext> Drop for Intake<C> {
    fn drop(&mut self) {
        self.ahead.clear();
        // SAFETY: the handle is destroyed once, before the client that the intake holds; no call comes after the first line.
        unsafe {
            sys::rd_kafka_queue_cb_event_enable(self.queue.as_ptr(), None, null_mut());
            sys::rd_kafka_queue_destroy(self.queue.as_ptr());
        }
    }
}

/// A partition, by librdkafka's own handle of its topic: cheap to compare; the name is looked up once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    topic: usize,
    pub partition: i32,
}

impl Message {
    pub fn origin(&self) -> Origin {
        let raw = self.raw();
        Origin { topic: raw.rkt as usize, partition: raw.partition }
    }

    /// Empty if it is of no topic, as an error of the whole consumer.
    pub fn topic(&self) -> &str {
        let topic = self.raw().rkt;
        if topic.is_null() {
            return "";
        }
        // SAFETY: the topic, and with it its name, lives as long as the message.
        unsafe { CStr::from_ptr(sys::rd_kafka_topic_name(topic)) }.to_str().unwrap_or_default()
    }

    /// Of the leader that has written it, if that was told.
    pub fn epoch(&self) -> Option<i32> {
        // SAFETY: the message is valid.
        let epoch = unsafe { sys::rd_kafka_message_leader_epoch(self.0.as_ptr()) };
        (epoch >= 0).then_some(epoch)
    }

    pub fn header_list(&self) -> Vec<(&[u8], Option<&[u8]>)> {
        let (mut headers, mut list) = (null_mut(), Vec::new());
        // SAFETY: the headers stay owned by the message.
        let found = unsafe { sys::rd_kafka_message_headers(self.0.as_ptr(), &mut headers) };
        if found != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            return list;
        }
        loop {
            let (mut name, mut value, mut length) = (null(), null(), 0);
            // SAFETY: out-pointers are valid; name and value live as long as the headers, which the message keeps.
            let got = unsafe { sys::rd_kafka_header_get_all(headers, list.len(), &mut name, &mut value, &mut length) };
            if got != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                return list;
            }
            // SAFETY: a C string that lives as long as the headers.
            list.push((unsafe { CStr::from_ptr(name) }.to_bytes(), bytes(value.cast(), length)));
        }
    }

    /// Keys, values and what librdkafka keeps of a message: what it weighs while it is on its way.
    pub fn weight(&self) -> usize {
        const OWN: usize = 200;
        OWN + self.raw().len + self.raw().key_len
    }
}

/// What a delivery report brings back: a message that was relayed, or nothing for a record of our own.
pub struct Cargo(pub Option<Message>);

impl IntoOpaque for Cargo {
    fn into_ptr(self) -> *mut c_void {
        self.0.map_or(null_mut(), |message| {
            let raw = message.0.as_ptr().cast();
            std::mem::forget(message);
            raw
        })
    }

    unsafe fn from_ptr(raw: *mut c_void) -> Self {
        Cargo(NonNull::new(raw.cast()).map(Message))
    }
}

/// A topic of a producer; to be dropped before it.
pub struct TopicHandle(NonNull<sys::rd_kafka_topic_t>);

// SAFETY: topics are internally locked.
unsafe impl Send for TopicHandle {}

impl TopicHandle {
    pub fn new<C: ProducerContext>(producer: &BaseProducer<C>, topic: &str) -> Result<Self, String> {
        let name = CString::new(topic).map_err(|error| format!("topic `{topic}`: {error}"))?;
        // SAFETY: client and name are alive; without a configuration the client's own is used; the handle is ours to destroy.
        let handle = unsafe { sys::rd_kafka_topic_new(producer.client().native_ptr(), name.as_ptr(), null_mut()) };
        NonNull::new(handle).map(Self).ok_or_else(|| format!("topic `{topic}` has no handle"))
    }
}

impl Drop for TopicHandle {
    fn drop(&mut self) {
        // SAFETY: destroyed once; its client is still alive.
        unsafe { sys::rd_kafka_topic_destroy(self.0.as_ptr()) }
    }
}

/// Hands a message over as it is: key, value, headers; and the time, where 0 would be now. Its delivery report brings it back; one that is refused is gone.
pub fn relay<C: ProducerContext<DeliveryOpaque = Cargo>>(
    producer: &BaseProducer<C>,
    (to, partition): (&TopicHandle, i32),
    at: EventTime,
    message: Message,
) -> Result<(), RDKafkaErrorCode> {
    use sys::rd_kafka_vtype_t as kind;
    let raw = message.raw();
    let (key, value) = ((raw.key, raw.key_len), (raw.payload, raw.len));
    let mut headers = null_mut();
    // SAFETY: the message is valid; the headers, if there are any, are ours from here on.
    unsafe { sys::rd_kafka_message_detach_headers(message.0.as_ptr(), &mut headers) };
    let mut parts = [empty(); 8];
    parts[0] = empty_as(kind::RD_KAFKA_VTYPE_RKT);
    parts[0].u.rkt = to.0.as_ptr();
    parts[1] = empty_as(kind::RD_KAFKA_VTYPE_PARTITION);
    parts[1].u.i32_ = partition;
    parts[2] = empty_as(kind::RD_KAFKA_VTYPE_KEY);
    parts[2].u.mem = sys::rd_kafka_vu_s__bindgen_ty_1__bindgen_ty_1 { ptr: key.0, size: key.1 };
    parts[3] = empty_as(kind::RD_KAFKA_VTYPE_VALUE);
    parts[3].u.mem = sys::rd_kafka_vu_s__bindgen_ty_1__bindgen_ty_1 { ptr: value.0, size: value.1 };
    parts[4] = empty_as(kind::RD_KAFKA_VTYPE_TIMESTAMP);
    parts[4].u.i64_ = at.0;
    // Without a flag nothing of the value is copied: it stays where it is until the report.
    parts[5] = empty_as(kind::RD_KAFKA_VTYPE_MSGFLAGS);
    parts[5].u.i = 0;
    parts[6] = empty_as(kind::RD_KAFKA_VTYPE_OPAQUE);
    parts[6].u.ptr = Cargo(Some(message)).into_ptr();
    parts[7] = empty_as(kind::RD_KAFKA_VTYPE_HEADERS);
    parts[7].u.headers = headers;
    let count = if headers.is_null() { 7 } else { 8 };
    // SAFETY: client and topic are alive; key and value lie in the message, which the opaque keeps until the report; of the union in each
    // part that variant is set which its kind names.
    let error = unsafe { sys::rd_kafka_produceva(producer.client().native_ptr(), parts.as_ptr(), count) };
    if error.is_null() {
        return Ok(());
    }
    // SAFETY: a call that fails takes nothing: message, headers and error are ours to destroy.
    unsafe {
        let code = sys::rd_kafka_error_code(error).into();
        sys::rd_kafka_error_destroy(error);
        drop(Cargo::from_ptr(parts[6].u.ptr));
        if !headers.is_null() {
            sys::rd_kafka_headers_destroy(headers);
        }
        Err(code)
    }
}

fn empty() -> sys::rd_kafka_vu_t {
    empty_as(sys::rd_kafka_vtype_t::RD_KAFKA_VTYPE_END)
}

fn empty_as(vtype: sys::rd_kafka_vtype_t) -> sys::rd_kafka_vu_t {
    sys::rd_kafka_vu_t { vtype, u: sys::rd_kafka_vu_s__bindgen_ty_1 { ptr: null_mut() } }
}
