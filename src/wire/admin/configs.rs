//! Configs of topics: read, and changed one by one (IncrementalAlterConfigs), so that what is not named stays as it is.

use std::collections::BTreeMap;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::DescribeConfigsResourceResult;
use kafka_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::{DescribeConfigsRequest, IncrementalAlterConfigsRequest};

use super::{Admin, Outcomes, Right, text};
use crate::wire::ConfigView;
use crate::wire::cluster::{Patience, Whom};
use crate::wire::error::{Error, Refusal};

/// Each is answered with some 40 configs.
const TOPICS_A_REQUEST: usize = 200;
/// Kafka's numbers.
const TOPIC: i8 = 2;
const SOURCE_TOPIC: i8 = 1;
const SET: i8 = 0;
const DELETE: i8 = 1;

const READ: Right = Right { what: "read the configs of topics", operation: "DescribeConfigs", resource: "topic" };
const CHANGE: Right = Right { what: "change the configs of topics", operation: "AlterConfigs", resource: "topic" };

/// By topic and name; `None` goes back to the default.
pub type Changes = BTreeMap<String, BTreeMap<String, Option<String>>>;

impl Admin {
    /// All configs of each topic, by name, defaults included. A topic that is not there is not in the answer.
    pub async fn topic_configs(&self, names: &[String]) -> Result<BTreeMap<String, Vec<ConfigView>>, Error> {
        let mut configs = BTreeMap::new();
        for names in names.chunks(TOPICS_A_REQUEST) {
            let mut patience = Patience::to(READ.what);
            let mut names = names.to_vec();
            while !names.is_empty() {
                let make = |_| {
                    let resource = |name: &String| {
                        DescribeConfigsResource::default()
                            .with_resource_type(TOPIC)
                            .with_resource_name(text(name))
                            .with_configuration_keys(None)
                    };
                    DescribeConfigsRequest::default().with_resources(names.iter().map(resource).collect())
                };
                let told = self.cluster.insist(Whom::Any, &mut patience, make).await?;
                let mut put_off = Vec::new();
                let mut why = None;
                for result in told.results {
                    let name = result.resource_name.to_string();
                    match Refusal::check(result.error_code, result.error_message.as_deref()) {
                        Ok(()) => {
                            let mut views: Vec<ConfigView> = result.configs.into_iter().map(view).collect();
                            views.sort_by(|a, b| a.name.cmp(&b.name));
                            configs.insert(name, views);
                        }
                        Err(refusal) if refusal.is(ResponseError::UnknownTopicOrPartition) => {}
                        Err(refusal) if refusal.passes() => {
                            put_off.push(name);
                            why = Some(refusal);
                        }
                        Err(refusal) => return Err(READ.error(refusal, &name)),
                    }
                }
                names = put_off;
                if let Some(refusal) = why {
                    patience.after_refusal(&refusal).await?;
                }
            }
        }
        Ok(configs)
    }

    /// Sets, or with `None` deletes, the named configs of each topic.
    pub async fn alter_topic_configs(&self, changes: &Changes, validate_only: bool) -> Result<Outcomes<String>, Error> {
        type Change<'a> = (&'a String, &'a BTreeMap<String, Option<String>>);
        let changes: Vec<Change<'_>> = changes.iter().collect();
        let mut outcomes = BTreeMap::new();
        for batch in changes.chunks(TOPICS_A_REQUEST) {
            let make = |_, batch: &[Change<'_>]| {
                let resource = |(topic, configs): &Change<'_>| {
                    AlterConfigsResource::default()
                        .with_resource_type(TOPIC)
                        .with_resource_name(text(topic))
                        .with_configs(configs.iter().map(|(name, value)| alteration(name, value.as_deref())).collect())
                };
                IncrementalAlterConfigsRequest::default()
                    .with_resources(batch.iter().map(resource).collect())
                    .with_validate_only(validate_only)
            };
            outcomes.extend(
                self.settle(Whom::Controller, CHANGE, batch.to_vec(), make, |answer| {
                    let results = answer.responses.into_iter();
                    results
                        .map(|topic| (topic.resource_name.to_string(), topic.error_code, topic.error_message))
                        .collect()
                })
                .await?,
            );
        }
        Ok(outcomes)
    }
}

fn view(config: DescribeConfigsResourceResult) -> ConfigView {
    ConfigView {
        name: config.name.to_string(),
        value: config.value.map(|value| value.to_string()),
        own: config.config_source == SOURCE_TOPIC,
        sensitive: config.is_sensitive,
        read_only: config.read_only,
    }
}

fn alteration(name: &str, value: Option<&str>) -> AlterableConfig {
    AlterableConfig::default()
        .with_name(text(name))
        .with_config_operation(if value.is_some() { SET } else { DELETE })
        .with_value(value.map(text))
}
