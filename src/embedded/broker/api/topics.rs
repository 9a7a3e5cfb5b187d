//! Creating, growing and deleting topics.

use super::text;
use crate::embedded::broker::node::{NODE_ID, Node};
use crate::embedded::broker::settings;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_partitions_response::CreatePartitionsTopicResult;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::create_topics_response::{CreatableTopicConfigs, CreatableTopicResult};
use kafka_protocol::messages::delete_topics_response::DeletableTopicResult;
use kafka_protocol::messages::{
    CreatePartitionsRequest, CreatePartitionsResponse, CreateTopicsRequest, CreateTopicsResponse, DeleteTopicsRequest,
    DeleteTopicsResponse,
};
use std::collections::BTreeMap;

/// An error with words for the client.
type Explained<T> = Result<T, (ResponseError, Option<String>)>;

pub fn check_name(name: &str) -> Result<(), ResponseError> {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let fits = (1..=249).contains(&name.len()) && name != "." && name != "..";
    if fits && name.bytes().all(legal) { Ok(()) } else { Err(ResponseError::InvalidTopicException) }
}

pub fn create(node: &Node, request: CreateTopicsRequest, version: i16) -> CreateTopicsResponse {
    let mut results = Vec::new();
    let mut named: BTreeMap<&str, usize> = BTreeMap::new();
    request.topics.iter().for_each(|topic| *named.entry(&topic.name).or_default() += 1);
    for topic in &request.topics {
        let created = match named[topic.name.as_str()] > 1 {
            true => Err((ResponseError::InvalidRequest, Some("the topic is named twice".to_owned()))),
            false => create_one(node, topic, request.validate_only),
        };
        let result = CreatableTopicResult::default().with_name(topic.name.clone());
        results.push(match created {
            Ok((partitions, configs)) if version >= 5 => {
                result.with_num_partitions(partitions).with_replication_factor(1).with_configs(Some(told(&configs)))
            }
            Ok(_) => result,
            Err((error, message)) => result.with_error_code(error.code()).with_error_message(message.map(text)),
        });
    }
    CreateTopicsResponse::default().with_topics(results)
}

fn create_one(node: &Node, topic: &CreatableTopic, validate_only: bool) -> Explained<(i32, BTreeMap<String, String>)> {
    check_name(&topic.name).map_err(|error| (error, None))?;
    let elsewhere = topic.assignments.iter().any(|assignment| assignment.broker_ids.iter().any(|id| id.0 != NODE_ID));
    if elsewhere {
        return Err((ResponseError::InvalidReplicaAssignment, None));
    }
    if !matches!(topic.replication_factor, -1 | 1) {
        let message = "this is a single node: the replication factor is 1".to_owned();
        return Err((ResponseError::InvalidReplicationFactor, Some(message)));
    }
    let partitions = match (topic.assignments.len(), topic.num_partitions) {
        (0, -1) => node.config.default_partitions,
        (0, partitions) => partitions,
        (assigned, _) => assigned as i32,
    };
    if partitions < 1 {
        return Err((ResponseError::InvalidPartitions, None));
    }
    let configs: BTreeMap<String, String> = topic
        .configs
        .iter()
        .filter_map(|config| Some((config.name.to_string(), config.value.as_ref()?.to_string())))
        .collect();
    settings::check(&configs).map_err(|why| (ResponseError::InvalidConfig, Some(why)))?;
    let mut coordinator = node.coordinator();
    if node.topic(&topic.name).is_ok() {
        let message = format!("topic '{}' already exists", topic.name.as_str());
        return Err((ResponseError::TopicAlreadyExists, Some(message)));
    }
    if !validate_only {
        node.put_topic(&mut coordinator, &topic.name, partitions, configs.clone()).map_err(|error| (error, None))?;
    }
    Ok((partitions, configs))
}

fn told(configs: &BTreeMap<String, String>) -> Vec<CreatableTopicConfigs> {
    let told = settings::KEYS.iter().map(|key| {
        let set = configs.get(key.name);
        CreatableTopicConfigs::default()
            .with_name(text(key.name))
            .with_value(Some(text(set.map_or(key.default, |set| set))))
            .with_config_source(if set.is_some() { super::configs::TOPIC } else { super::configs::DEFAULT })
    });
    told.collect()
}

pub fn delete(node: &Node, request: DeleteTopicsRequest) -> DeleteTopicsResponse {
    let mut coordinator = node.coordinator();
    let responses = request.topic_names.into_iter().map(|name| {
        let deleted = node.delete_topic(&mut coordinator, &name);
        DeletableTopicResult::default().with_name(Some(name)).with_error_code(super::code(&deleted))
    });
    DeleteTopicsResponse::default().with_responses(responses.collect())
}

pub fn create_partitions(node: &Node, request: CreatePartitionsRequest) -> CreatePartitionsResponse {
    let results = request.topics.into_iter().map(|topic| {
        let result = CreatePartitionsTopicResult::default().with_name(topic.name.clone());
        match grow(node, &topic, request.validate_only) {
            Ok(()) => result,
            Err((error, message)) => result.with_error_code(error.code()).with_error_message(message.map(text)),
        }
    });
    CreatePartitionsResponse::default().with_results(results.collect())
}

fn grow(node: &Node, wanted: &CreatePartitionsTopic, validate_only: bool) -> Explained<()> {
    let mut coordinator = node.coordinator();
    let topic = node.topic(&wanted.name).map_err(|error| (error, None))?;
    let has = topic.meta.partitions;
    if wanted.count <= has {
        let message = format!("the topic has {has} partitions already, which cannot become {}", wanted.count);
        return Err((ResponseError::InvalidPartitions, Some(message)));
    }
    if validate_only {
        return Ok(());
    }
    let configs = topic.meta.configs.clone();
    node.put_topic(&mut coordinator, &wanted.name, wanted.count, configs).map_err(|error| (error, None))
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
