//! Creating, growing and deleting topics.

use super::*;
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_partitions_response::CreatePartitionsTopicResult;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::create_topics_response::{CreatableTopicConfigs, CreatableTopicResult};
use kafka_protocol::messages::delete_topics_response::DeletableTopicResult;

/// `num.partitions`: for topics created without a number.
const DEFAULT_PARTITIONS: i32 = 1;

fn check_name(name: &str) -> Outcome {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let fits = (1..=249).contains(&name.len()) && name != "." && name != "..";
    if fits && name.bytes().all(legal) { Ok(()) } else { Err(ResponseError::InvalidTopicException) }
}

pub fn create(call: &Call, request: CreateTopicsRequest) -> CreateTopicsResponse {
    let results = request.topics.iter().map(|topic| {
        let result = CreatableTopicResult::default().with_name(topic.name.clone());
        match create_one(&call.node, topic, request.validate_only) {
            Ok((partitions, configs)) if call.version >= 5 => {
                result.with_num_partitions(partitions).with_replication_factor(1).with_configs(Some(told(&configs)))
            }
            Ok(_) => result,
            Err(Denied(error, why)) => result.with_error_code(error.code()).with_error_message(why.map(text)),
        }
    });
    CreateTopicsResponse::default().with_topics(results.collect())
}

fn create_one(node: &Node, topic: &CreatableTopic, validate_only: bool) -> Result<(i32, Configs), Denied> {
    check_name(&topic.name)?;
    let elsewhere = topic.assignments.iter().any(|assignment| assignment.broker_ids.iter().any(|id| id.0 != NODE_ID));
    if elsewhere {
        return Err(ResponseError::InvalidReplicaAssignment.into());
    }
    if !matches!(topic.replication_factor, -1 | 1) {
        let why = "this is a single node: the replication factor is 1";
        return Err(Denied::because(ResponseError::InvalidReplicationFactor, why));
    }
    let partitions = match (topic.assignments.len(), topic.num_partitions) {
        (0, -1) => DEFAULT_PARTITIONS,
        (0, partitions) => partitions,
        (assigned, _) => assigned as i32,
    };
    if partitions < 1 {
        return Err(ResponseError::InvalidPartitions.into());
    }
    let set = topic.configs.iter();
    let configs =
        set.filter_map(|config| Some((config.name.to_string(), config.value.as_ref()?.to_string()))).collect();
    settings::check(&configs).map_err(|why| Denied::because(ResponseError::InvalidConfig, why))?;
    let mut coordinator = node.coordinator();
    if node.topic(&topic.name).is_ok() {
        let why = format!("topic '{}' already exists", topic.name.as_str());
        return Err(Denied::because(ResponseError::TopicAlreadyExists, why));
    }
    if !validate_only {
        node.put_topic(&mut coordinator, &topic.name, partitions, configs.clone())?;
    }
    Ok((partitions, configs))
}

fn told(set: &Configs) -> Vec<CreatableTopicConfigs> {
    let told = settings::effective(set).map(|(key, value)| {
        let told = CreatableTopicConfigs::default().with_name(text(key.name)).with_value(Some(text(value)));
        told.with_config_source(configs::source(key, set))
    });
    told.collect()
}

pub fn delete(call: &Call, request: DeleteTopicsRequest) -> DeleteTopicsResponse {
    let mut coordinator = call.node.coordinator();
    let responses = request.topic_names.into_iter().map(|name| {
        let deleted = call.node.delete_topic(&mut coordinator, &name);
        DeletableTopicResult::default().with_name(Some(name)).with_error_code(code(&deleted))
    });
    DeleteTopicsResponse::default().with_responses(responses.collect())
}

pub fn create_partitions(call: &Call, request: CreatePartitionsRequest) -> CreatePartitionsResponse {
    let results = request.topics.into_iter().map(|topic| {
        let (code, why) = explained(grow(&call.node, &topic, request.validate_only));
        CreatePartitionsTopicResult::default().with_name(topic.name).with_error_code(code).with_error_message(why)
    });
    CreatePartitionsResponse::default().with_results(results.collect())
}

fn grow(node: &Node, wanted: &CreatePartitionsTopic, validate_only: bool) -> Result<(), Denied> {
    let mut coordinator = node.coordinator();
    let topic = node.topic(&wanted.name)?;
    let has = topic.meta.partitions;
    if wanted.count <= has {
        let why = format!("the topic has {has} partitions already, which cannot become {}", wanted.count);
        return Err(Denied::because(ResponseError::InvalidPartitions, why));
    }
    if validate_only {
        return Ok(());
    }
    Ok(node.put_topic(&mut coordinator, &wanted.name, wanted.count, topic.meta.configs.clone())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_kafkas() {
        for good in ["a", "oncall.alerts.v1", "__x", "A-b_c.9", &"x".repeat(249)] {
            assert_eq!(check_name(good), Ok(()), "{good}");
        }
        for bad in ["", ".", "..", "a b", "a/b", "ä", &"x".repeat(250)] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }
}
