//! Makes the topics that a topology declares exist; changes none that do.
//!
//! A topic with another number of partitions than declared is an error, never repaired here: growing a keyed topic moves
//! keys to other partitions, which is a migration and not a start-up step.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use thiserror::Error;

use super::client::{self, Connection};
use super::reach;
use super::token::Login;

const CALL: Duration = Duration::from_secs(30);
/// How long a broker may take to come up.
const PATIENCE: Duration = Duration::from_secs(30);

/// A topic as it shall be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicPlan {
    pub name: String,
    pub partitions: i32,
    /// `None`: the broker's default.
    pub replication: Option<i32>,
    /// Topic configs (`cleanup.policy`, `retention.ms`, …), set at creation only.
    pub config: BTreeMap<String, String>,
}

#[derive(Debug, Error)]
pub enum Error {
    #[error("kafka does not answer: {0}")]
    Unavailable(KafkaError),
    #[error(transparent)]
    Log(#[from] super::Error),
    #[error(
        "topic {topic} is not there, or not to be seen, and may not be created: {error}; create it yourself and grant what is \
         needed of it, or grant Create on topic {topic} (`fairlead explain --acls` lists all that is needed)"
    )]
    Denied { topic: String, error: RDKafkaErrorCode },
    #[error("topic {topic} cannot be created: {error}")]
    Refused { topic: String, error: RDKafkaErrorCode },
    #[error(
        "topic {topic} has {found} partitions, the topology declares {declared}; set `partitions: {found}` or use a new \
         topic name"
    )]
    Partitions { topic: String, found: usize, declared: i32 },
}

/// Creates what is missing; answers with the names created.
pub async fn ensure_topics(connection: &Connection, plans: &[TopicPlan]) -> Result<Vec<String>, Error> {
    let existing = reach::topics(connection, PATIENCE).await?;
    let mut missing = Vec::new();
    for plan in plans {
        match existing.get(&plan.name) {
            None => missing.push(plan),
            Some(found) if i32::try_from(*found) == Ok(plan.partitions) => {}
            Some(found) => {
                let (topic, declared) = (plan.name.clone(), plan.partitions);
                return Err(Error::Partitions { topic, found: *found, declared });
            }
        }
    }
    let new: Vec<NewTopic<'_>> = missing.iter().map(|plan| new_topic(plan)).collect();
    if new.is_empty() {
        return Ok(Vec::new());
    }
    let admin: AdminClient<DefaultClientContext> =
        connection.client().create().map_err(|error| client::unusable(&error))?;
    Login::new(connection).refresh(admin.inner())?;
    let options = AdminOptions::new().operation_timeout(Some(CALL)).request_timeout(Some(CALL));
    for outcome in admin.create_topics(&new, &options).await.map_err(Error::Unavailable)? {
        match outcome {
            // Another instance that starts at the same time may have been first.
            Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((
                topic,
                error @ (RDKafkaErrorCode::TopicAuthorizationFailed | RDKafkaErrorCode::ClusterAuthorizationFailed),
            )) => return Err(Error::Denied { topic, error }),
            Err((topic, error)) => return Err(Error::Refused { topic, error }),
        }
    }
    Ok(missing.into_iter().map(|plan| plan.name.clone()).collect())
}

fn new_topic(plan: &TopicPlan) -> NewTopic<'_> {
    let replication = TopicReplication::Fixed(plan.replication.unwrap_or(-1));
    let topic = NewTopic::new(&plan.name, plan.partitions, replication);
    plan.config.iter().fold(topic, |topic, (name, value)| topic.set(name, value))
}
