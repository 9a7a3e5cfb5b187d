//! Describing and altering configurations of topics; a broker has none, and where a value would come from otherwise is not told.

use super::*;
use crate::embedded::broker::settings::{self, Configs, Key, Kind};
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::*;

const TOPIC_RESOURCE: i8 = 2;
const BROKER_RESOURCE: i8 = 4;
// Where a value comes from.
const TOPIC: i8 = 1;
const DEFAULT: i8 = 5;

pub fn source(key: &Key, set: &Configs) -> i8 {
    if set.contains_key(key.name) { TOPIC } else { DEFAULT }
}

pub fn describe(call: &Call, request: DescribeConfigsRequest) -> DescribeConfigsResponse {
    let results = request.resources.into_iter().map(|resource| {
        let described = describe_one(&call.node, &resource);
        let result = DescribeConfigsResult::default().with_resource_type(resource.resource_type);
        let result = result.with_resource_name(resource.resource_name);
        match described {
            Ok(configs) => result.with_configs(configs),
            Err(Denied(error, why)) => result.with_error_code(error.code()).with_error_message(why.map(text)),
        }
    });
    DescribeConfigsResponse::default().with_results(results.collect())
}

fn describe_one(node: &Node, resource: &DescribeConfigsResource) -> Result<Vec<DescribeConfigsResourceResult>, Denied> {
    let mut told: Vec<_> = match resource.resource_type {
        TOPIC_RESOURCE => {
            let topic = node.topic(&resource.resource_name)?;
            let set = &topic.meta.configs;
            settings::effective(set).map(|(key, value)| told(key, value, set)).collect()
        }
        // A broker has nothing to configure.
        BROKER_RESOURCE => Vec::new(),
        _ => return Err(Denied::because(ResponseError::InvalidRequest, "only topics and brokers are configured")),
    };
    if let Some(keys) = &resource.configuration_keys {
        told.retain(|config| keys.contains(&config.name));
    }
    Ok(told)
}

fn told(key: &Key, value: &str, set: &Configs) -> DescribeConfigsResourceResult {
    DescribeConfigsResourceResult::default()
        .with_name(text(key.name))
        .with_value(Some(text(value)))
        .with_config_source(source(key, set))
        .with_config_type(match key.kind {
            Kind::Switch => 1,
            Kind::One(_) => 2,
            Kind::Whole(_) => 5,
            Kind::Ratio => 6,
            Kind::Policy | Kind::Free => 7,
        })
}

/// The older call: what is named is the whole configuration, everything else goes back to its default.
pub fn alter(call: &Call, request: AlterConfigsRequest) -> AlterConfigsResponse {
    let responses = request.resources.into_iter().map(|resource| {
        let (kind, name) = (resource.resource_type, resource.resource_name);
        let altered = alter_one(&call.node, kind, &name, request.validate_only, |configs| {
            let set = resource.configs.iter();
            let set = set.filter_map(|config| Some((config.name.to_string(), config.value.as_ref()?.to_string())));
            *configs = set.collect();
            Ok(())
        });
        let response = alter_configs_response::AlterConfigsResourceResponse::default();
        let response = response.with_resource_type(kind).with_resource_name(name);
        let (code, why) = explained(altered);
        response.with_error_code(code).with_error_message(why)
    });
    AlterConfigsResponse::default().with_responses(responses.collect())
}

pub fn alter_incrementally(call: &Call, request: IncrementalAlterConfigsRequest) -> IncrementalAlterConfigsResponse {
    let responses = request.resources.into_iter().map(|resource| {
        let (kind, name) = (resource.resource_type, resource.resource_name);
        let altered = alter_one(&call.node, kind, &name, request.validate_only, |configs| {
            let mut changes = resource.configs.iter();
            changes.try_for_each(|one| change_one(configs, &one.name, one.config_operation, one.value.as_deref()))
        });
        let response = incremental_alter_configs_response::AlterConfigsResourceResponse::default();
        let response = response.with_resource_type(kind).with_resource_name(name);
        let (code, why) = explained(altered);
        response.with_error_code(code).with_error_message(why)
    });
    IncrementalAlterConfigsResponse::default().with_responses(responses.collect())
}

fn change_one(configs: &mut Configs, name: &str, operation: i8, value: Option<&str>) -> Result<(), Denied> {
    let key = settings::find(name);
    let list = key.is_some_and(|key| matches!(key.kind, Kind::Policy | Kind::Free));
    let current = configs.get(name).map(String::as_str).or(key.map(|key| key.default)).unwrap_or_default();
    let mut parts: Vec<&str> = current.split(',').filter(|part| !part.is_empty()).collect();
    let value = match (operation, value) {
        (0, Some(value)) => Some(value.to_owned()),
        (1, _) => None,
        (2 | 3, Some(value)) if list => {
            parts.retain(|part| !value.split(',').any(|other| other == *part));
            parts.extend(value.split(',').filter(|_| operation == 2));
            Some(parts.join(","))
        }
        _ => {
            return Err(Denied::because(ResponseError::InvalidConfig, format!("{name} cannot be changed in this way")));
        }
    };
    configs.remove(name);
    configs.extend(value.map(|value| (name.to_owned(), value)));
    Ok(())
}

fn alter_one(
    node: &Node,
    kind: i8,
    name: &str,
    validate_only: bool,
    change: impl FnOnce(&mut Configs) -> Result<(), Denied>,
) -> Result<(), Denied> {
    if kind != TOPIC_RESOURCE {
        return Err(Denied::because(ResponseError::InvalidRequest, "only topics can be configured at run time"));
    }
    let mut coordinator = node.coordinator();
    let topic = node.topic(name)?;
    let mut configs = topic.meta.configs.clone();
    change(&mut configs)?;
    settings::check(&configs).map_err(|why| Denied::because(ResponseError::InvalidConfig, why))?;
    if !validate_only {
        node.put_topic(&mut coordinator, name, topic.meta.partitions, configs)?;
    }
    Ok(())
}
