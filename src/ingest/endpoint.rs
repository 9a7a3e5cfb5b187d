//! The doors: which path takes which format under which content type.
//!
//! Two steps, as a server needs them: the headers say the format before any body is read, the format reads the body. Pure,
//! so that everything up to the network is tested without one.

use super::json::shortened;
use super::{
    Reading, Refusal, Rules, alertmanager, cloudevents, datadog, deploys, github, grafana, json_mapping, pagerduty, sns,
};
use crate::record::EventTime;

const JSON: &str = "application/json";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    AlertmanagerWebhook,
    AlertmanagerApi,
    Grafana,
    CloudEvents,
    GitHub,
    PagerDutyAlerts,
    PagerDutyChanges,
    Datadog,
    Sns,
    Json,
    Deploys,
}

/// What a body is, as far as the headers say.
#[derive(Clone, Debug, PartialEq)]
pub enum Format {
    AlertmanagerWebhook,
    AlertmanagerApi,
    Grafana,
    CloudEvents(cloudevents::Mode),
    GitHub(github::Delivery),
    PagerDutyAlert,
    PagerDutyChange,
    Datadog,
    Sns,
    /// By the mapping of this name.
    Json(String),
    Deploys,
}

/// Why a request has none of its endpoint's formats.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoFormat {
    /// By its content type or encoding.
    Media(Refusal),
    /// By other headers.
    Headers(Refusal),
}

impl Endpoint {
    pub const ALL: [Endpoint; 11] = [
        Endpoint::AlertmanagerWebhook,
        Endpoint::AlertmanagerApi,
        Endpoint::Grafana,
        Endpoint::CloudEvents,
        Endpoint::GitHub,
        Endpoint::PagerDutyAlerts,
        Endpoint::PagerDutyChanges,
        Endpoint::Datadog,
        Endpoint::Sns,
        Endpoint::Json,
        Endpoint::Deploys,
    ];

    /// The endpoint that a request to this path means.
    pub fn at(path: &str) -> Option<Self> {
        let means = |endpoint: &Endpoint| match endpoint {
            Endpoint::Json => mapping_of(path).is_some(),
            endpoint => endpoint.path() == path,
        };
        Self::ALL.into_iter().find(means)
    }

    /// As a pattern of paths.
    pub fn path(self) -> &'static str {
        match self {
            Endpoint::AlertmanagerWebhook => "/webhooks/alertmanager",
            Endpoint::AlertmanagerApi => "/api/v2/alerts",
            Endpoint::Grafana => "/webhooks/grafana",
            Endpoint::CloudEvents => "/webhooks/cloudevents",
            Endpoint::GitHub => "/webhooks/github",
            Endpoint::PagerDutyAlerts => "/v2/enqueue",
            Endpoint::PagerDutyChanges => "/v2/change/enqueue",
            Endpoint::Datadog => "/webhooks/datadog",
            Endpoint::Sns => "/webhooks/sns",
            Endpoint::Json => "/webhooks/json/{name}",
            Endpoint::Deploys => "/api/v1/deploys",
        }
    }

    /// `path` is one that means this endpoint; `header` finds a header by its lower-case name.
    pub fn format<'h>(self, path: &str, header: impl Fn(&str) -> Option<&'h str>) -> Result<Format, NoFormat> {
        let encoding = header("content-encoding").unwrap_or("identity");
        if !encoding.eq_ignore_ascii_case("identity") {
            let problem = format!("the body is encoded as {:?}", shortened(encoding));
            return Err(NoFormat::Media(Refusal::new("$", problem, "send it without Content-Encoding")));
        }
        let content_type = header("content-type").unwrap_or_default();
        let media_type = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let format = match (self, &*media_type) {
            (Endpoint::AlertmanagerWebhook, JSON) => Some(Format::AlertmanagerWebhook),
            (Endpoint::AlertmanagerApi, JSON) => Some(Format::AlertmanagerApi),
            (Endpoint::Grafana, JSON) => Some(Format::Grafana),
            (Endpoint::CloudEvents, _) => {
                cloudevents::Mode::of(&media_type, header).map_err(NoFormat::Headers)?.map(Format::CloudEvents)
            }
            (Endpoint::GitHub, JSON) => Some(Format::GitHub(github::Delivery::of(header).map_err(NoFormat::Headers)?)),
            (Endpoint::PagerDutyAlerts, JSON) => Some(Format::PagerDutyAlert),
            (Endpoint::PagerDutyChanges, JSON) => Some(Format::PagerDutyChange),
            (Endpoint::Datadog, JSON) => Some(Format::Datadog),
            // SNS sends JSON, and calls it text.
            (Endpoint::Sns, "text/plain" | JSON) => Some(Format::Sns),
            (Endpoint::Json, JSON) => mapping_of(path).map(|name| Format::Json(name.to_owned())),
            (Endpoint::Deploys, JSON) => Some(Format::Deploys),
            _ => None,
        };
        format.ok_or_else(|| self.other_media(&media_type))
    }

    fn other_media(self, found: &str) -> NoFormat {
        let problem = match found {
            "" => "there is no content type".to_owned(),
            _ => format!("the content type {:?} is not taken here", shortened(found)),
        };
        let mend = match self {
            Endpoint::CloudEvents => {
                "send application/cloudevents+json, application/cloudevents-batch+json or, in binary mode, application/json"
            }
            Endpoint::Sns => "send text/plain, as SNS does",
            Endpoint::Datadog => "in the webhook's settings do not choose to encode as form",
            Endpoint::GitHub => "in the webhook's settings choose the content type application/json",
            _ => "send the header Content-Type: application/json",
        };
        NoFormat::Media(Refusal::new("$", problem, mend))
    }
}

fn mapping_of(path: &str) -> Option<&str> {
    path.strip_prefix("/webhooks/json/").filter(|name| !name.is_empty() && !name.contains('/'))
}

impl Format {
    /// `now` is when the payload was received.
    pub fn read(&self, body: &[u8], rules: &Rules, now: EventTime) -> Result<Reading, Refusal> {
        match self {
            Format::AlertmanagerWebhook => alertmanager::webhook(body, rules, now),
            Format::AlertmanagerApi => alertmanager::api(body, rules, now),
            Format::Grafana => grafana::read(body, rules, now),
            Format::CloudEvents(mode) => cloudevents::read(mode, body, rules, now),
            Format::GitHub(delivery) => github::read(delivery, body, rules, now),
            Format::PagerDutyAlert => pagerduty::alert(body, rules, now),
            Format::PagerDutyChange => pagerduty::change(body, rules, now),
            Format::Datadog => datadog::read(body, rules, now),
            Format::Sns => sns::read(body, rules, now),
            Format::Json(name) => json_mapping::read(name, body, rules, now),
            Format::Deploys => deploys::read(body, rules, now),
        }
    }
}
