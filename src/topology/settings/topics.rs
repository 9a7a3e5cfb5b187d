//! Topics of others that facts are read from. That none of them is one of ours is seen where all topics are known.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::super::yaml::Located;

#[derive(Clone, Debug, Deserialize)]
pub struct SourceTopic {
    pub topic: Located<String>,
    pub format: TopicFormat,
    #[serde(default)]
    pub from: Start,
}

/// What lies on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum TopicFormat {
    /// CDEvents in CloudEvents, by the Kafka protocol binding.
    #[serde(rename = "cloudevents")]
    CloudEvents,
    /// What Alertmanager's event recorder writes as JSON.
    #[serde(rename = "alertmanager-events")]
    AlertmanagerEvents,
    /// Samples as prometheus-kafka-adapter writes them.
    #[serde(rename = "prometheus-json")]
    PrometheusJson,
}

/// Where to begin on a topic that was not read before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Start {
    /// With everything that is still kept.
    Earliest,
    /// With what comes from now on: nobody is called for what is long over.
    #[default]
    Latest,
}

impl TopicFormat {
    /// As it is written in the topology.
    pub fn name(self) -> &'static str {
        match self {
            TopicFormat::CloudEvents => "cloudevents",
            TopicFormat::AlertmanagerEvents => "alertmanager-events",
            TopicFormat::PrometheusJson => "prometheus-json",
        }
    }
}

/// Each with its path in front.
pub fn problems(sources: &[SourceTopic], has_samples: bool) -> Vec<String> {
    let homeless =
        sources.iter().enumerate().filter(|(_, source)| source.format == TopicFormat::PrometheusJson && !has_samples);
    let homeless = homeless.map(|(at, _)| {
        format!(
            "ingest.kafka[{at}].format: samples have nowhere to go; write `samples: oncall.samples.v1` under `ingest`"
        )
    });
    let mut known = BTreeSet::new();
    let twice = sources.iter().enumerate().filter(|(_, source)| !known.insert(&*source.topic.value));
    twice
        .map(|(at, source)| {
            let topic = &source.topic.value;
            format!("ingest.kafka[{at}].topic: `{topic}` is named twice; take one out, a topic has one format")
        })
        .chain(homeless)
        .collect()
}
