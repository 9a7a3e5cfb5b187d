//! Describing and altering configurations: topics can be changed, the broker only tells.

use super::text;
use crate::embedded::broker::node::{NODE_ID, Node};
use crate::embedded::broker::settings::{self, Kind};
use crate::embedded::broker::txn;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResult, DescribeConfigsSynonym,
};
use kafka_protocol::messages::{
    AlterConfigsRequest, AlterConfigsResponse, DescribeConfigsRequest, DescribeConfigsResponse,
    IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse, alter_configs_response,
    incremental_alter_configs_response,
};
use std::collections::BTreeMap;

const TOPIC_RESOURCE: i8 = 2;
const BROKER_RESOURCE: i8 = 4;
/// Where a value comes from.
pub const TOPIC: i8 = 1;
const STATIC_BROKER: i8 = 4;
pub const DEFAULT: i8 = 5;

type Explained<T> = Result<T, (ResponseError, Option<String>)>;
type Configs = BTreeMap<String, String>;

pub fn describe(node: &Node, request: DescribeConfigsRequest) -> DescribeConfigsResponse {
    let results = request.resources.into_iter().map(|resource| {
        let mut result = DescribeConfigsResult::default()
            .with_resource_type(resource.resource_type)
            .with_resource_name(resource.resource_name.clone());
        match describe_one(node, &resource, request.include_synonyms) {
            Ok(configs) => result.configs = configs,
            Err((error, message)) => {
                result.error_code = error.code();
                result.error_message = message.map(text);
            }
        }
        result
    });
    DescribeConfigsResponse::default().with_results(results.collect())
}

fn describe_one(
    node: &Node,
    resource: &DescribeConfigsResource,
    synonyms: bool,
) -> Explained<Vec<DescribeConfigsResourceResult>> {
    let mut told = match resource.resource_type {
        TOPIC_RESOURCE => {
            let topic = node.topic(&resource.resource_name).map_err(|error| (error, None))?;
            settings::KEYS.iter().map(|key| told_topic(key, &topic.meta.configs, synonyms)).collect()
        }
        BROKER_RESOURCE => told_broker(node, &resource.resource_name),
        _ => return Err((ResponseError::InvalidRequest, Some("only topics and brokers are configured".to_owned()))),
    };
    if let Some(keys) = &resource.configuration_keys {
        told.retain(|config| keys.contains(&config.name));
    }
    Ok(told)
}

fn told_topic(key: &settings::Key, configs: &Configs, synonyms: bool) -> DescribeConfigsResourceResult {
    let set = configs.get(key.name);
    let synonym = |value: &str, source| {
        DescribeConfigsSynonym::default().with_name(text(key.name)).with_value(Some(text(value))).with_source(source)
    };
    let mut known = vec![synonym(key.default, DEFAULT)];
    if let Some(set) = set {
        known.insert(0, synonym(set, TOPIC));
    }
    DescribeConfigsResourceResult::default()
        .with_name(text(key.name))
        .with_value(Some(text(set.map_or(key.default, |set| set))))
        .with_config_source(if set.is_some() { TOPIC } else { DEFAULT })
        .with_config_type(match key.kind {
            Kind::Switch => 1,
            Kind::One(_) => 2,
            Kind::Whole(_) => 5,
            Kind::Ratio => 6,
            Kind::Policy | Kind::Free => 7,
        })
        .with_synonyms(if synonyms { known } else { Vec::new() })
}

fn told_broker(node: &Node, name: &str) -> Vec<DescribeConfigsResourceResult> {
    // An empty name asks for the cluster-wide dynamic configuration, of which there is none.
    if name.is_empty() {
        return Vec::new();
    }
    let config = &node.config;
    let told = [
        ("auto.create.topics.enable", config.auto_create_topics.to_string()),
        ("broker.id", NODE_ID.to_string()),
        ("log.dirs", config.data_dir.display().to_string()),
        ("max.connections", config.max_connections.to_string()),
        ("num.partitions", config.default_partitions.to_string()),
        ("socket.request.max.bytes", config.max_request_bytes.to_string()),
        ("transaction.max.timeout.ms", txn::MAX_TIMEOUT_MS.to_string()),
    ];
    let told = told.into_iter().map(|(name, value)| {
        DescribeConfigsResourceResult::default()
            .with_name(text(name))
            .with_value(Some(text(value)))
            .with_read_only(true)
            .with_config_source(STATIC_BROKER)
            .with_config_type(2)
    });
    told.collect()
}

/// The older call: what is named is the whole configuration, everything else goes back to its default.
pub fn alter(node: &Node, request: AlterConfigsRequest) -> AlterConfigsResponse {
    let responses = request.resources.into_iter().map(|resource| {
        let change = |_: &Configs| {
            let set = resource.configs.iter();
            let set = set.filter_map(|config| Some((config.name.to_string(), config.value.as_ref()?.to_string())));
            Ok(set.collect())
        };
        let altered = alter_one(node, (resource.resource_type, &resource.resource_name), request.validate_only, change);
        let (code, message) = outcome(altered);
        alter_configs_response::AlterConfigsResourceResponse::default()
            .with_resource_type(resource.resource_type)
            .with_resource_name(resource.resource_name.clone())
            .with_error_code(code)
            .with_error_message(message)
    });
    AlterConfigsResponse::default().with_responses(responses.collect())
}

pub fn alter_incrementally(node: &Node, request: IncrementalAlterConfigsRequest) -> IncrementalAlterConfigsResponse {
    let responses = request.resources.into_iter().map(|resource| {
        let change = |configs: &Configs| {
            let mut configs = configs.clone();
            for config in &resource.configs {
                change_one(&mut configs, &config.name, config.config_operation, config.value.as_deref())?;
            }
            Ok(configs)
        };
        let altered = alter_one(node, (resource.resource_type, &resource.resource_name), request.validate_only, change);
        let (code, message) = outcome(altered);
        incremental_alter_configs_response::AlterConfigsResourceResponse::default()
            .with_resource_type(resource.resource_type)
            .with_resource_name(resource.resource_name.clone())
            .with_error_code(code)
            .with_error_message(message)
    });
    IncrementalAlterConfigsResponse::default().with_responses(responses.collect())
}

fn change_one(configs: &mut Configs, name: &str, operation: i8, value: Option<&str>) -> Explained<()> {
    let key = settings::find(name);
    let list = key.is_some_and(|key| matches!(key.kind, Kind::Policy | Kind::Free));
    let current = configs.get(name).map(String::as_str).or(key.map(|key| key.default)).unwrap_or_default();
    let mut parts: Vec<&str> = current.split(',').filter(|part| !part.is_empty()).collect();
    match (operation, value) {
        (0, Some(value)) => {
            configs.insert(name.to_owned(), value.to_owned());
        }
        (1, _) => {
            configs.remove(name);
        }
        (2 | 3, Some(value)) if list => {
            parts.retain(|part| !value.split(',').any(|other| other == *part));
            if operation == 2 {
                parts.extend(value.split(','));
            }
            let joined = parts.join(",");
            configs.insert(name.to_owned(), joined);
        }
        _ => return Err((ResponseError::InvalidConfig, Some(format!("{name} cannot be changed in this way")))),
    }
    Ok(())
}

fn alter_one(
    node: &Node,
    resource: (i8, &str),
    validate_only: bool,
    change: impl FnOnce(&Configs) -> Explained<Configs>,
) -> Explained<()> {
    let (kind, name) = resource;
    if kind != TOPIC_RESOURCE {
        let message = "only topics can be configured at run time".to_owned();
        return Err((ResponseError::InvalidRequest, Some(message)));
    }
    let mut coordinator = node.coordinator();
    let topic = node.topic(name).map_err(|error| (error, None))?;
    let configs = change(&topic.meta.configs)?;
    settings::check(&configs).map_err(|why| (ResponseError::InvalidConfig, Some(why)))?;
    if validate_only {
        return Ok(());
    }
    node.put_topic(&mut coordinator, name, topic.meta.partitions, configs).map_err(|error| (error, None))
}

fn outcome(result: Explained<()>) -> (i16, Option<kafka_protocol::protocol::StrBytes>) {
    match result {
        Ok(()) => (0, None),
        Err((error, message)) => (error.code(), message.map(text)),
    }
}
