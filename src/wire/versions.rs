//! Which calls are spoken, and in which versions: the broker's range cut to what this client is written for. Pure.
//!
//! The highest version is the one whose fields are all understood here, which may be below the codec's: OffsetCommit and OffsetFetch
//! stop below topic ids, DeleteTopics below topics without a name. The lowest is the one below which a call would do something
//! else than it says, such as creating the topic that it asks for.

use std::collections::BTreeMap;

use kafka_protocol::messages::{ApiKey, ApiVersionsResponse};
use kafka_protocol::protocol::Request;

/// A call, with the lowest and the highest version that is spoken.
struct Call(ApiKey, i16, i16, &'static str);

const CALLS: &[Call] = &[
    Call(ApiKey::ListOffsets, 1, 7, "ListOffsets"),
    // From 4 on, asking does not create.
    Call(ApiKey::Metadata, 4, 13, "Metadata"),
    Call(ApiKey::OffsetCommit, 2, 9, "OffsetCommit"),
    // From 2 on, all partitions of a group can be asked for.
    Call(ApiKey::OffsetFetch, 2, 9, "OffsetFetch"),
    Call(ApiKey::FindCoordinator, 1, 6, "FindCoordinator"),
    Call(ApiKey::DescribeGroups, 0, 6, "DescribeGroups"),
    Call(ApiKey::ListGroups, 0, 5, "ListGroups"),
    Call(ApiKey::SaslHandshake, 1, 1, "SaslHandshake"),
    Call(ApiKey::SaslAuthenticate, 0, 2, "SaslAuthenticate"),
    Call(ApiKey::CreateTopics, 2, 7, "CreateTopics"),
    Call(ApiKey::DeleteTopics, 1, 5, "DeleteTopics"),
    Call(ApiKey::DeleteRecords, 0, 2, "DeleteRecords"),
    Call(ApiKey::DescribeAcls, 1, 3, "DescribeAcls"),
    Call(ApiKey::CreateAcls, 1, 3, "CreateAcls"),
    Call(ApiKey::DescribeConfigs, 1, 4, "DescribeConfigs"),
    Call(ApiKey::CreatePartitions, 0, 3, "CreatePartitions"),
    Call(ApiKey::DeleteGroups, 0, 2, "DeleteGroups"),
    Call(ApiKey::IncrementalAlterConfigs, 0, 1, "IncrementalAlterConfigs"),
    Call(ApiKey::ConsumerGroupDescribe, 0, 1, "ConsumerGroupDescribe"),
    Call(ApiKey::ShareGroupDescribe, 1, 1, "ShareGroupDescribe"),
    Call(ApiKey::DescribeTransactions, 0, 0, "DescribeTransactions"),
    // As librdkafka speaks them, who goes on with the id: below what KIP-890 changed.
    Call(ApiKey::InitProducerId, 0, 4, "InitProducerId"),
    Call(ApiKey::AddPartitionsToTxn, 0, 3, "AddPartitionsToTxn"),
    Call(ApiKey::AddOffsetsToTxn, 0, 3, "AddOffsetsToTxn"),
    Call(ApiKey::EndTxn, 0, 3, "EndTxn"),
];

/// Of one broker: what it serves, as it told when the connection was opened.
#[derive(Debug, Default)]
pub struct Versions(BTreeMap<i16, (i16, i16)>);

/// No version is spoken by both.
#[derive(Debug, PartialEq, Eq)]
pub struct NoVersion {
    pub call: &'static str,
    /// The broker's, if it knows the call.
    pub served: Option<(i16, i16)>,
}

impl Versions {
    pub fn of(told: &ApiVersionsResponse) -> Versions {
        Versions(told.api_keys.iter().map(|api| (api.api_key, (api.min_version, api.max_version))).collect())
    }

    /// The highest version of a call that both speak.
    pub fn pick<Q: Request>(&self) -> Result<i16, NoVersion> {
        let served = self.0.get(&Q::KEY).copied();
        let Some(Call(_, low, high, name)) = CALLS.iter().find(|call| call.0 as i16 == Q::KEY) else {
            return Err(NoVersion { call: "a call that is not in the table", served });
        };
        match served {
            Some((lowest, highest)) if lowest.max(*low) <= highest.min(*high) => Ok(highest.min(*high)),
            _ => Err(NoVersion { call: name, served }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kafka_protocol::messages::api_versions_response::ApiVersion;
    use kafka_protocol::messages::{DeleteTopicsRequest, MetadataRequest, OffsetFetchRequest};
    use kafka_protocol::protocol::Message;

    fn broker(key: ApiKey, low: i16, high: i16) -> Versions {
        let api = ApiVersion::default().with_api_key(key as i16).with_min_version(low).with_max_version(high);
        Versions::of(&ApiVersionsResponse::default().with_api_keys(vec![api]))
    }

    #[test]
    fn the_highest_common_version_is_spoken() {
        for (low, high, spoken) in [(0, 9, Some(9)), (0, 99, Some(13)), (4, 4, Some(4)), (0, 3, None), (14, 20, None)] {
            let picked = broker(ApiKey::Metadata, low, high).pick::<MetadataRequest>();
            assert_eq!(picked.as_ref().ok(), spoken.as_ref(), "{low} to {high}");
            if spoken.is_none() {
                assert_eq!(picked, Err(NoVersion { call: "Metadata", served: Some((low, high)) }));
            }
        }
        // Topic ids are not spoken of where the codec could.
        assert_eq!(broker(ApiKey::DeleteTopics, 1, 6).pick::<DeleteTopicsRequest>(), Ok(5));
        let unknown = broker(ApiKey::Metadata, 0, 9).pick::<OffsetFetchRequest>();
        assert_eq!(unknown, Err(NoVersion { call: "OffsetFetch", served: None }));
    }

    #[test]
    fn the_codec_has_every_version_of_the_table() {
        for Call(key, low, high, name) in CALLS {
            let codec = key.valid_versions();
            assert!(codec.min <= *low && *high <= codec.max, "{name}: {codec:?}");
        }
        assert_eq!(MetadataRequest::VERSIONS.max, 13);
    }
}
