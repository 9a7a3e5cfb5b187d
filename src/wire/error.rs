//! What can go wrong between this client and a cluster, and which of it passes by itself.
//!
//! Four ways out for a caller: wait ([`Error::Unavailable`]), mend the configuration ([`Error::Unusable`]), grant a right
//! ([`Error::Denied`]), or take the broker's word for it ([`Error::Refused`], [`Error::Unsupported`]). No message carries a secret.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::LazyLock;

use kafka_protocol::error::ResponseError;
use thiserror::Error;

#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Error {
    /// Worth trying again later; it was tried for a while.
    #[error("kafka does not answer: {0}")]
    Unavailable(String),
    /// How to reach the cluster, or how to log in, is wrong: with what to mend.
    #[error("{0}")]
    Unusable(String),
    /// A right is missing.
    #[error("{}", crate::log::denied(operation, resource))]
    Denied { operation: &'static str, resource: String },
    /// The broker will not do it, and will not later.
    #[error("kafka refuses {what}: {refusal}")]
    Refused { what: String, refusal: Refusal },
    /// The broker is too old, or too new, for this call.
    #[error("the broker {broker} does not serve {call}{}", served(.versions))]
    Unsupported {
        broker: String,
        call: &'static str,
        /// The lowest and highest version that the broker serves, if it knows the call at all.
        versions: Option<(i16, i16)>,
    },
}

fn served(versions: &Option<(i16, i16)>) -> String {
    versions.map_or_else(String::new, |(low, high)| {
        format!(" in a version that fairlead speaks (the broker: {low} to {high}); use another version of Kafka")
    })
}

/// A broker's word on one item of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Kafka's error code.
    pub code: i16,
    /// Kafka's name of that code, such as `TOPIC_ALREADY_EXISTS`.
    pub name: &'static str,
    /// The broker's words, or what the code means in general.
    pub message: String,
}

impl Refusal {
    /// `Ok` for code 0.
    pub fn check(code: i16, message: Option<&str>) -> Result<(), Refusal> {
        match ResponseError::try_from_code(code) {
            None => Ok(()),
            Some(_) => Err(Refusal {
                code,
                name: name(code),
                message: message.filter(|message| !message.is_empty()).unwrap_or(meaning(code)).to_owned(),
            }),
        }
    }

    pub fn is(&self, error: ResponseError) -> bool {
        self.code == error.code()
    }

    /// Whether the same request may succeed in a moment, perhaps at another broker.
    pub(super) fn passes(&self) -> bool {
        use ResponseError::*;
        let error = ResponseError::try_from_code(self.code);
        matches!(
            error,
            Some(
                BrokerNotAvailable
                    | ConcurrentTransactions
                    | CoordinatorLoadInProgress
                    | CoordinatorNotAvailable
                    | FencedLeaderEpoch
                    | KafkaStorageError
                    | LeaderNotAvailable
                    | ListenerNotFound
                    | NetworkException
                    | NotController
                    | NotCoordinator
                    | NotLeaderOrFollower
                    | OffsetNotAvailable
                    | ReplicaNotAvailable
                    | RequestTimedOut
                    | ThrottlingQuotaExceeded
                    | UnknownLeaderEpoch
                    | UnstableOffsetCommit
            )
        )
    }

    /// As the failure of a call for `what`, which needs the right to `operation` on `resource`.
    pub(super) fn into_error(self, what: &str, operation: &'static str, resource: &str) -> Error {
        use ResponseError::*;
        match ResponseError::try_from_code(self.code) {
            Some(
                TopicAuthorizationFailed
                | GroupAuthorizationFailed
                | ClusterAuthorizationFailed
                | TransactionalIdAuthorizationFailed,
            ) => Error::Denied { operation, resource: resource.to_owned() },
            _ if self.passes() => Error::Unavailable(format!("{what}: {self}")),
            _ => Error::Refused { what: what.to_owned(), refusal: self },
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.message.trim_end_matches('.'), self.name)
    }
}

fn name(code: i16) -> &'static str {
    /// The codes of Kafka 4.3, and room for those to come.
    static NAMES: LazyLock<BTreeMap<i16, String>> = LazyLock::new(|| {
        let known = (-1..=200).filter_map(|code| Some((code, ResponseError::try_from_code(code)?)));
        known
            .filter(|(_, error)| !matches!(error, ResponseError::Unknown(_)))
            .map(|(code, error)| (code, in_capitals(&error.to_string())))
            .collect()
    });
    NAMES.get(&code).map_or("UNKNOWN_TO_FAIRLEAD", String::as_str)
}

/// `TopicAlreadyExists` as Kafka writes it: `TOPIC_ALREADY_EXISTS`.
fn in_capitals(name: &str) -> String {
    let mut capitals = String::with_capacity(name.len() + 8);
    for letter in name.trim_end_matches("Exception").chars() {
        if letter.is_ascii_uppercase() && !capitals.is_empty() {
            capitals.push('_');
        }
        capitals.push(letter.to_ascii_uppercase());
    }
    match name {
        // The two whose names in Kafka do end so.
        "InvalidTopicException" | "NetworkException" => capitals + "_EXCEPTION",
        _ => capitals,
    }
}

/// What is said where a broker sends a code without words: of the codes that this client meets.
fn meaning(code: i16) -> &'static str {
    use ResponseError::*;
    match ResponseError::try_from_code(code) {
        Some(UnknownTopicOrPartition) => "there is no such topic or partition, or it may not be seen",
        Some(TopicAuthorizationFailed) => "access to the topic is denied",
        Some(GroupAuthorizationFailed) => "access to the group is denied",
        Some(ClusterAuthorizationFailed) => "access to the cluster is denied",
        Some(UnknownMemberId) => "the group has members, which alone may commit",
        Some(IllegalGeneration) => "the group is of another generation",
        Some(NonEmptyGroup) => "the group has members",
        Some(GroupIdNotFound) => "there is no such group",
        Some(InvalidGroupId) => "that is no name for a group",
        Some(OffsetMetadataTooLarge) => "the metadata of the offset is larger than offset.metadata.max.bytes",
        Some(OffsetOutOfRange) => "the partition does not have this offset",
        Some(InvalidTopicException) => "that is no name for a topic",
        Some(PolicyViolation) => "a policy of the broker forbids it",
        Some(CoordinatorLoadInProgress) => "the coordinator is reading its state",
        Some(CoordinatorNotAvailable) => "there is no coordinator yet",
        Some(NotCoordinator) => "the coordinator has moved",
        Some(NotController) => "the controller has moved",
        Some(NotLeaderOrFollower) => "the leader has moved",
        Some(LeaderNotAvailable) => "the partition has no leader",
        Some(RequestTimedOut) => "the broker could not do it in time",
        Some(UnstableOffsetCommit) => "a transaction is about to commit offsets",
        _ => "no reason is told",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(error: ResponseError) -> Refusal {
        Refusal::check(error.code(), None).unwrap_err()
    }

    #[test]
    fn codes_have_the_names_of_kafkas_protocol_guide() {
        for (code, told) in [
            (-1, "UNKNOWN_SERVER_ERROR"),
            (3, "UNKNOWN_TOPIC_OR_PARTITION"),
            (13, "NETWORK_EXCEPTION"),
            (14, "COORDINATOR_LOAD_IN_PROGRESS"),
            (17, "INVALID_TOPIC_EXCEPTION"),
            (36, "TOPIC_ALREADY_EXISTS"),
            (44, "POLICY_VIOLATION"),
            (54, "SECURITY_DISABLED"),
            (88, "UNSTABLE_OFFSET_COMMIT"),
            (999, "UNKNOWN_TO_FAIRLEAD"),
        ] {
            assert_eq!(name(code), told);
        }
        assert_eq!(Refusal::check(0, None), Ok(()));
    }

    #[test]
    fn a_missing_right_is_named_and_what_passes_is_no_refusal() {
        let error = |refused| refusal(refused).into_error("topic a", "Describe", "topic a");
        let denied = error(ResponseError::TopicAuthorizationFailed);
        assert!(denied.to_string().starts_with("kafka denies Describe on topic a; grant it"), "{denied}");
        assert!(matches!(error(ResponseError::NotController), Error::Unavailable(_)));
        assert!(matches!(error(ResponseError::InvalidConfig), Error::Refused { .. }));
    }

    #[test]
    fn a_brokers_words_come_first() {
        let told = Refusal::check(44, Some("at most 10 partitions")).unwrap_err();
        assert_eq!(told.to_string(), "at most 10 partitions (POLICY_VIOLATION)");
        assert_eq!(Refusal::check(25, Some("")).unwrap_err().message, "the group has members, which alone may commit");
    }
}
