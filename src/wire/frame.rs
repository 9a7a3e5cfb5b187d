//! One request as bytes, and the bytes of its answer: length, header, body. Pure.
//!
//! A request header is of version 2, and an answer's of version 1, where the call's version is flexible; that of ApiVersions' answer
//! is always of version 0 (the codec's [`HeaderVersion`] says so). The client id is what a proxy may route by.
//!
//! A length is checked before memory is given for it. What an answer's arrays claim is not: the codec believes the broker, to which
//! this client has logged in. Bytes that come from third parties through a broker (a member's assignment) are not given to the codec.

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::{RequestHeader, ResponseHeader};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes};
use thiserror::Error;

/// Of one answer: a hundred times the metadata of 10,000 partitions.
pub const ANSWER_BYTES_MAX: usize = 64 << 20;

#[derive(Debug, Error, PartialEq, Eq)]
pub enum FrameError {
    #[error(
        "an answer of {0} bytes is announced, at most {ANSWER_BYTES_MAX} are taken: is this a Kafka listener, and without TLS?"
    )]
    TooLarge(u32),
    #[error("the answer is to request {found}, not to {expected}")]
    Correlation { expected: i32, found: i32 },
    #[error("the answer cannot be read: {0}")]
    Malformed(String),
    #[error("the request cannot be written in version {version}: {why}")]
    Unwritable { version: i16, why: String },
}

/// A whole frame.
pub fn request<Q: Request>(body: &Q, version: i16, correlation: i32, client_id: &str) -> Result<Bytes, FrameError> {
    let unwritable = |error: anyhow::Error| FrameError::Unwritable { version, why: error.to_string() };
    let header = RequestHeader::default()
        .with_request_api_key(Q::KEY)
        .with_request_api_version(version)
        .with_correlation_id(correlation)
        .with_client_id(Some(StrBytes::from_string(client_id.to_owned())));
    let mut frame = BytesMut::new();
    frame.put_i32(0);
    header.encode(&mut frame, Q::header_version(version)).map_err(unwritable)?;
    body.encode(&mut frame, version).map_err(unwritable)?;
    let length = i32::try_from(frame.len() - 4).map_err(|error| unwritable(error.into()))?;
    frame[..4].copy_from_slice(&length.to_be_bytes());
    Ok(frame.freeze())
}

/// How many bytes follow, from the first four of an answer.
pub fn answer_length(prefix: [u8; 4]) -> Result<usize, FrameError> {
    let length = u32::from_be_bytes(prefix);
    match usize::try_from(length) {
        Ok(length) if length <= ANSWER_BYTES_MAX => Ok(length),
        _ => Err(FrameError::TooLarge(length)),
    }
}

/// The body of an answer, without its header.
pub fn answer_body<A: HeaderVersion>(mut frame: Bytes, version: i16, correlation: i32) -> Result<Bytes, FrameError> {
    let header = ResponseHeader::decode(&mut frame, A::header_version(version)).map_err(malformed)?;
    match header.correlation_id {
        found if found == correlation => Ok(frame),
        found => Err(FrameError::Correlation { expected: correlation, found }),
    }
}

/// An answer whose header is taken off.
pub fn answer<A: Decodable>(mut body: Bytes, version: i16) -> Result<A, FrameError> {
    A::decode(&mut body, version).map_err(malformed)
}

fn malformed(error: anyhow::Error) -> FrameError {
    FrameError::Malformed(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use kafka_protocol::messages::{ApiVersionsRequest, ApiVersionsResponse, ListGroupsRequest, ListGroupsResponse};

    #[test]
    fn a_request_is_laid_out_as_the_protocol_guide_says() {
        let classic = request(&ListGroupsRequest::default(), 2, 7, "me").unwrap();
        assert_eq!(&classic[..], [0, 0, 0, 12, 0, 16, 0, 2, 0, 0, 0, 7, 0, 2, b'm', b'e']);
        // Flexible: tagged fields after the header, whose client id stays classic, and after the body.
        let flexible = request(&ListGroupsRequest::default(), 3, 7, "me").unwrap();
        assert_eq!(&flexible[..], [0, 0, 0, 14, 0, 16, 0, 3, 0, 0, 0, 7, 0, 2, b'm', b'e', 0, 0]);
        let unwritable = request(&ListGroupsRequest::default().with_states_filter(vec![StrBytes::default()]), 3, 7, "");
        assert!(matches!(unwritable, Err(FrameError::Unwritable { version: 3, .. })), "{unwritable:?}");
    }

    #[test]
    fn an_answer_is_one_to_this_request_and_of_a_bounded_length() {
        assert_eq!(answer_length([0, 0, 0, 9]), Ok(9));
        assert!(matches!(answer_length(*b"HTTP"), Err(FrameError::TooLarge(_))));
        let frame = Bytes::from_static(&[0, 0, 0, 7, 0, 1, 2]);
        // Of ListGroups 3 the header has tagged fields, of ApiVersions 3 it has none.
        assert_eq!(answer_body::<ListGroupsResponse>(frame.clone(), 3, 7).unwrap(), [1, 2][..]);
        assert_eq!(answer_body::<ApiVersionsResponse>(frame.clone(), 3, 7).unwrap(), [0, 1, 2][..]);
        let other = answer_body::<ApiVersionsResponse>(frame.clone(), 3, 8);
        assert_eq!(other, Err(FrameError::Correlation { expected: 8, found: 7 }));
        assert!(answer_body::<ListGroupsResponse>(frame.slice(..3), 3, 7).is_err());
        assert!(answer::<ListGroupsResponse>(frame.slice(..3), 3).is_err());
        let written = request(&ApiVersionsRequest::default(), 0, 1, "").unwrap();
        assert_eq!(answer_length(*written.first_chunk().unwrap()).unwrap(), written.len() - 4);
    }
}
