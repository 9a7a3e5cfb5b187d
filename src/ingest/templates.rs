//! What is pasted into systems that send no format of their own, so that they send one that is taken here.

/// Payload of a webhook of Datadog.
pub const DATADOG: &str = include_str!("templates/datadog.json");
/// ConfigMap of Argo CD's notifications.
pub const ARGO_CD: &str = include_str!("templates/argo-cd.yaml");
