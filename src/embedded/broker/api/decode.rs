//! What a request is decoded from, so that a small frame cannot claim a large memory.
//!
//! The codec allocates what an array's length says before it reads the first element, and an allocation that fails ends
//! the process. Here every length that a frame could not hold is read as one just too large for it, so that the codec
//! allocates little and then runs out of bytes. Lengths and other numbers look alike: requests in which a large number
//! turned out to be no length are decoded a second time, as they are. What an honest request needs in numbers is small
//! too, so they are limited, and strings and records, which stay where they are in the frame, are not.

use super::Refused;
use bytes::{Buf, Bytes, TryGetError};
use kafka_protocol::messages::RequestHeader;
use kafka_protocol::protocol::buf::{ByteBuf, NotEnoughBytesError};
use kafka_protocol::protocol::{Decodable, decode_request_header_from_buffer};

/// Bytes of numbers, lengths included, in one request: enough for 30,000 partitions. In memory they become forty times as much.
const MAX_STRUCTURE: usize = 1 << 20;

pub struct Body {
    frame: Bytes,
    structure_left: usize,
    /// What is still to be read of a smaller length that stands for the one in the frame, last byte first.
    stand_in: Vec<u8>,
    /// How much was taken off the last length, which is right again if bytes (and no elements) follow.
    taken_off: usize,
    has_stand_ins: bool,
}

impl Body {
    pub fn new(frame: Bytes) -> Body {
        Body { frame, structure_left: MAX_STRUCTURE, stand_in: Vec::new(), taken_off: 0, has_stand_ins: false }
    }

    pub fn header(&mut self) -> Result<RequestHeader, Refused> {
        let mut whole = self.frame.clone();
        let decoded = decode_request_header_from_buffer(self).map_err(Refused::Malformed)?;
        match std::mem::take(&mut self.has_stand_ins) {
            true => decode_request_header_from_buffer(&mut whole).map_err(Refused::Malformed),
            false => Ok(decoded),
        }
    }

    pub fn decode<T: Decodable>(&mut self, version: i16) -> Result<T, Refused> {
        let mut whole = self.frame.clone();
        let decoded = T::decode(self, version).map_err(Refused::Malformed)?;
        if !self.has_stand_ins {
            return Ok(decoded);
        }
        drop(decoded);
        T::decode(&mut whole, version).map_err(Refused::Malformed)
    }

    /// The unsigned varint at the start of the frame: its value and how many bytes it has.
    fn varint(&self) -> (usize, usize) {
        let mut value = 0;
        for (at, byte) in self.frame.iter().take(5).enumerate() {
            value |= usize::from(byte & 0x7f) << (7 * at);
            if byte & 0x80 == 0 {
                return (value, at + 1);
            }
        }
        (value, self.frame.len().min(5))
    }
}

impl Buf for Body {
    fn remaining(&self) -> usize {
        self.frame.len().min(self.structure_left)
    }

    fn chunk(&self) -> &[u8] {
        &self.frame[..self.remaining()]
    }

    fn advance(&mut self, count: usize) {
        self.frame.advance(count);
        self.structure_left -= count;
        self.taken_off = 0;
    }

    fn try_get_u8(&mut self) -> Result<u8, TryGetError> {
        if let Some(byte) = self.stand_in.pop() {
            return Ok(byte);
        }
        let available = self.remaining();
        let Some(first) = self.chunk().first().copied() else {
            return Err(TryGetError { requested: 1, available });
        };
        let (value, size) = self.varint();
        // One more than the length is written, and an element has at least one byte.
        let most = available + 2;
        if first & 0x80 == 0 || value <= most {
            self.advance(1);
            return Ok(first);
        }
        self.advance(size.min(available));
        self.taken_off = value - most;
        self.stand_in = vec![(most >> 14) as u8, (most >> 7) as u8 | 0x80];
        Ok(most as u8 | 0x80)
    }

    fn try_get_i32(&mut self) -> Result<i32, TryGetError> {
        let mut bytes = [0; 4];
        self.try_copy_to_slice(&mut bytes)?;
        let value = i32::from_be_bytes(bytes);
        let most = self.remaining() + 1;
        match usize::try_from(value) {
            Ok(length) if length > most => {
                self.taken_off = length - most;
                self.has_stand_ins = true;
                Ok(most as i32)
            }
            _ => Ok(value),
        }
    }
}

impl ByteBuf for Body {
    fn peek_bytes(&mut self, range: std::ops::Range<usize>) -> Bytes {
        self.frame.slice(range)
    }

    fn get_bytes(&mut self, size: usize) -> Bytes {
        self.frame.split_to(size)
    }

    fn try_get_bytes(&mut self, size: usize) -> Result<Bytes, NotEnoughBytesError> {
        let size = size + std::mem::take(&mut self.taken_off);
        if size > self.frame.len() { Err(NotEnoughBytesError) } else { Ok(self.frame.split_to(size)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::{BufMut, BytesMut};
    use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
    use kafka_protocol::messages::{FetchRequest, JoinGroupRequest, MetadataRequest, ProduceRequest};
    use kafka_protocol::protocol::{Encodable, StrBytes};

    fn decode<T: Decodable>(frame: impl Into<Bytes>, version: i16) -> Result<T, Refused> {
        Body::new(frame.into()).decode(version)
    }

    fn round_trip<T: Decodable + Encodable + PartialEq + std::fmt::Debug>(request: &T, version: i16) {
        let mut frame = BytesMut::new();
        request.encode(&mut frame, version).unwrap();
        assert_eq!(&decode::<T>(frame, version).unwrap(), request, "version {version}");
    }

    #[test]
    fn a_claim_beyond_the_frame_is_an_error_and_costs_nothing() {
        for claim in [1_000, i32::MAX] {
            let mut frame = BytesMut::new();
            frame.put_i32(claim);
            assert!(decode::<MetadataRequest>(frame, 1).is_err());
        }
        for claim in [&[0xff, 0x07][..], &[0xff, 0xff, 0xff, 0xff, 0x0f], &[0xff; 5], &[0x80, 0x80]] {
            assert!(decode::<MetadataRequest>(claim.to_vec(), 9).is_err());
        }
    }

    #[test]
    fn large_numbers_and_large_records_are_what_they_were() {
        for version in [4, 11] {
            round_trip(&FetchRequest::default().with_max_bytes(i32::MAX).with_min_bytes(1_000_000), version);
        }
        for size in [0, 100, 20_000, 3 << 20, 40 << 20] {
            let records = Bytes::from(vec![0xff; size]);
            let data = PartitionProduceData::default().with_index(i32::MAX).with_records(Some(records));
            let topic = TopicProduceData::default().with_partition_data(vec![data.clone(), data]);
            for version in [3, 9] {
                round_trip(
                    &ProduceRequest::default().with_timeout_ms(i32::MAX).with_topic_data(vec![topic.clone()]),
                    version,
                );
            }
        }
        let reason = StrBytes::from_string("x".repeat(2 << 20));
        round_trip(&JoinGroupRequest::default().with_session_timeout_ms(i32::MAX).with_protocol_type(reason), 6);
    }

    #[test]
    fn a_header_keeps_its_correlation_id_and_the_body_follows() {
        for id in [0, 7, i32::MAX, -1] {
            let mut frame = BytesMut::new();
            let head =
                RequestHeader::default().with_request_api_key(3).with_request_api_version(1).with_correlation_id(id);
            head.encode(&mut frame, 1).unwrap();
            MetadataRequest::default().with_topics(None).encode(&mut frame, 1).unwrap();
            let mut body = Body::new(frame.freeze());
            assert_eq!(body.header().unwrap(), head);
            assert_eq!(body.decode::<MetadataRequest>(1).unwrap().topics, None);
        }
    }

    #[test]
    fn too_much_structure_is_refused() {
        let mut frame = BytesMut::new();
        frame.put_i32(MAX_STRUCTURE as i32);
        frame.put_bytes(0, 4 * MAX_STRUCTURE);
        assert!(decode::<MetadataRequest>(frame, 1).is_err());
    }
}
