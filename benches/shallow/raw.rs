//! The shallow copy: batches from Fetch go into Produce with a header of our own, and are never decompressed.
//!
//! One thread fetches ahead (at most two answers), this one produces with five requests in flight, as an idempotent producer may.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use anyhow::{Context, Result, bail, ensure};
use bytes::{Bytes, BytesMut};
use fairlead::wire::frame;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{BrokerId, FetchRequest, InitProducerIdRequest, ProduceRequest, ProducerId, TopicName};
use kafka_protocol::protocol::{Request, StrBytes};

/// The newest versions that name topics.
const FETCH: i16 = 12;
const PRODUCE: i16 = 9;
const FETCH_BYTES: i32 = 8 << 20;
const IN_FLIGHT: usize = 5;

/// Places in a batch of format 2 (KIP-98).
const LENGTH: usize = 8;
const CRC: usize = 17;
const ATTRIBUTES: usize = 21;
const LAST_OFFSET_DELTA: usize = 23;
const PRODUCER_ID: usize = 43;
const PRODUCER_EPOCH: usize = 51;
const BASE_SEQUENCE: usize = 53;
const RECORDS: usize = 57;
const HEADER: usize = 61;

/// How many Produce requests it took.
pub fn copy(bootstrap: &str, source: &str, target: &str, end: i64) -> Result<u64> {
    let (sender, fetched) = sync_channel(2);
    std::thread::scope(|scope| {
        let fetching = scope.spawn(|| fetch(bootstrap, source, end, sender));
        let produced = produce(bootstrap, target, fetched);
        let fetched = fetching.join().map_err(|_| anyhow::anyhow!("the fetching thread panicked"))?;
        // Where both fail, the one has only noticed that the other did.
        produced.and_then(|requests| fetched.map(|()| requests))
    })
}

fn fetch(bootstrap: &str, topic: &str, end: i64, batches: SyncSender<Bytes>) -> Result<()> {
    let mut wire = Wire::to(bootstrap)?;
    let mut next = 0;
    while next < end {
        let partition = FetchPartition::default()
            .with_fetch_offset(next)
            .with_partition_max_bytes(FETCH_BYTES)
            .with_current_leader_epoch(-1)
            .with_log_start_offset(-1);
        let asked = FetchTopic::default().with_topic(name(topic)).with_partitions(vec![partition]);
        let request = FetchRequest::default()
            .with_replica_id(BrokerId(-1))
            .with_max_wait_ms(500)
            .with_min_bytes(1)
            .with_max_bytes(FETCH_BYTES)
            .with_session_epoch(-1)
            .with_topics(vec![asked]);
        wire.ask(&request, FETCH)?;
        let answer = wire.hear::<FetchRequest>(FETCH)?;
        let partition = answer.responses.into_iter().next().and_then(|topic| topic.partitions.into_iter().next());
        let partition = partition.context("no partition in the answer")?;
        ensure!(partition.error_code == 0, "Fetch: error {}", partition.error_code);
        let mut records = partition.records.unwrap_or_default();
        while let Some(batch) = take_batch(&mut records) {
            next = number(&batch, 0) + i64::from(int(&batch, LAST_OFFSET_DELTA)) + 1;
            batches.send(batch).context("nobody produces")?;
        }
    }
    Ok(())
}

/// The next whole batch; a fetch may end in the middle of one.
fn take_batch(records: &mut Bytes) -> Option<Bytes> {
    if records.len() < HEADER {
        return None;
    }
    let length = LENGTH + 4 + usize::try_from(int(records, LENGTH)).ok()?;
    (length <= records.len()).then(|| records.split_to(length))
}

fn produce(bootstrap: &str, topic: &str, batches: Receiver<Bytes>) -> Result<u64> {
    let mut wire = Wire::to(bootstrap)?;
    let init = InitProducerIdRequest::default().with_transactional_id(None).with_transaction_timeout_ms(60_000);
    wire.ask(&init.with_producer_id(ProducerId(-1)).with_producer_epoch(-1), 4)?;
    let given = wire.hear::<InitProducerIdRequest>(4)?;
    ensure!(given.error_code == 0, "InitProducerId: error {}", given.error_code);
    let (mut sequence, mut in_flight, mut requests) = (0, 0, 0);
    for batch in batches {
        if in_flight == IN_FLIGHT {
            acknowledged(&mut wire)?;
            in_flight -= 1;
        }
        let (batch, count) = ours(batch, given.producer_id.0, given.producer_epoch, sequence)?;
        sequence = sequence.checked_add(count).unwrap_or(0);
        let data = PartitionProduceData::default().with_index(0).with_records(Some(batch));
        let topic = TopicProduceData::default().with_name(name(topic)).with_partition_data(vec![data]);
        let request = ProduceRequest::default()
            .with_transactional_id(None)
            .with_acks(-1)
            .with_timeout_ms(30_000)
            .with_topic_data(vec![topic]);
        wire.ask(&request, PRODUCE)?;
        in_flight += 1;
        requests += 1;
    }
    for _ in 0..in_flight {
        acknowledged(&mut wire)?;
    }
    Ok(requests)
}

fn acknowledged(wire: &mut Wire) -> Result<()> {
    let answer = wire.hear::<ProduceRequest>(PRODUCE)?;
    let partition = answer.responses.first().and_then(|topic| topic.partition_responses.first());
    match partition {
        Some(partition) if partition.error_code == 0 => Ok(()),
        Some(partition) => bail!("Produce: error {} {:?}", partition.error_code, partition.error_message),
        None => bail!("no partition in the answer"),
    }
}

/// The batch as if we had made it, and how many records it holds. Sequences are its only link to our producer; its offsets are the
/// broker's to give. A batch whose count does not match its offsets (compacted) or that is a transaction's would have to be rewritten.
fn ours(batch: Bytes, producer: i64, epoch: i16, sequence: i32) -> Result<(Bytes, i32)> {
    let count = int(&batch, RECORDS);
    ensure!(int(&batch, LAST_OFFSET_DELTA) + 1 == count, "a compacted batch, which this measurement does not copy");
    ensure!(batch[ATTRIBUTES + 1] & 0b11_0000 == 0, "a batch of a transaction, which this measurement does not copy");
    // The answer's memory is ours alone once its other batches are gone; else this copies.
    let mut batch = BytesMut::from(batch);
    batch[..8].fill(0);
    batch[PRODUCER_ID..PRODUCER_ID + 8].copy_from_slice(&producer.to_be_bytes());
    batch[PRODUCER_EPOCH..PRODUCER_EPOCH + 2].copy_from_slice(&epoch.to_be_bytes());
    batch[BASE_SEQUENCE..BASE_SEQUENCE + 4].copy_from_slice(&sequence.to_be_bytes());
    let crc = crc32c::crc32c(&batch[ATTRIBUTES..]);
    batch[CRC..CRC + 4].copy_from_slice(&crc.to_be_bytes());
    Ok((batch.freeze(), count))
}

fn number(batch: &[u8], at: usize) -> i64 {
    batch[at..at + 8].iter().fold(0, |number, byte| number << 8 | i64::from(*byte))
}

fn int(batch: &[u8], at: usize) -> i32 {
    batch[at..at + 4].iter().fold(0, |number, byte| number << 8 | i32::from(*byte))
}

fn name(topic: &str) -> TopicName {
    TopicName(StrBytes::from_string(topic.to_owned()))
}

/// A connection whose answers come in the order of its requests.
struct Wire {
    stream: TcpStream,
    asked: i32,
    heard: i32,
}

impl Wire {
    fn to(bootstrap: &str) -> Result<Wire> {
        let stream = TcpStream::connect(bootstrap)?;
        stream.set_nodelay(true)?;
        Ok(Wire { stream, asked: 0, heard: 0 })
    }

    fn ask<Q: Request>(&mut self, request: &Q, version: i16) -> Result<()> {
        self.asked += 1;
        self.stream.write_all(&frame::request(request, version, self.asked, "shallow")?)?;
        Ok(())
    }

    fn hear<Q: Request>(&mut self, version: i16) -> Result<Q::Response> {
        self.heard += 1;
        let mut prefix = [0; 4];
        self.stream.read_exact(&mut prefix)?;
        let mut bytes = BytesMut::zeroed(frame::answer_length(prefix)?);
        self.stream.read_exact(&mut bytes)?;
        let body = frame::answer_body::<Q::Response>(bytes.freeze(), version, self.heard)?;
        Ok(frame::answer(body, version)?)
    }
}
