//! The doors: which path takes which format under which content type.
//!
//! Two steps, as a server needs them: the headers say the format before any body is read, the format reads the body. Pure,
//! so that everything up to the network is tested without one.

use super::json::shortened;
use super::{Reading, Refusal, Rules, alertmanager, cloudevents, deploys};
use crate::record::EventTime;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    AlertmanagerWebhook,
    AlertmanagerApi,
    CloudEvents,
    Deploys,
}

/// What a body is, as far as the headers say.
#[derive(Clone, Debug, PartialEq)]
pub enum Format {
    AlertmanagerWebhook,
    AlertmanagerApi,
    CloudEvents(cloudevents::Mode),
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
    pub const ALL: [Endpoint; 4] =
        [Endpoint::AlertmanagerWebhook, Endpoint::AlertmanagerApi, Endpoint::CloudEvents, Endpoint::Deploys];

    pub fn path(self) -> &'static str {
        match self {
            Endpoint::AlertmanagerWebhook => "/webhooks/alertmanager",
            Endpoint::AlertmanagerApi => "/api/v2/alerts",
            Endpoint::CloudEvents => "/webhooks/cloudevents",
            Endpoint::Deploys => "/api/v1/deploys",
        }
    }

    /// `header` finds a header by its lower-case name.
    pub fn format<'h>(self, header: impl Fn(&str) -> Option<&'h str>) -> Result<Format, NoFormat> {
        let encoding = header("content-encoding").unwrap_or("identity");
        if !encoding.eq_ignore_ascii_case("identity") {
            let problem = format!("the body is encoded as {:?}", shortened(encoding));
            return Err(NoFormat::Media(Refusal::new("$", problem, "send it without Content-Encoding")));
        }
        let content_type = header("content-type").unwrap_or_default();
        let media_type = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let json = media_type == "application/json";
        match self {
            Endpoint::AlertmanagerWebhook if json => Ok(Format::AlertmanagerWebhook),
            Endpoint::AlertmanagerApi if json => Ok(Format::AlertmanagerApi),
            Endpoint::Deploys if json => Ok(Format::Deploys),
            Endpoint::CloudEvents => match cloudevents::Mode::of(&media_type, header).map_err(NoFormat::Headers)? {
                Some(mode) => Ok(Format::CloudEvents(mode)),
                None => Err(self.other_media(&media_type)),
            },
            _ => Err(self.other_media(&media_type)),
        }
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
            _ => "send the header Content-Type: application/json",
        };
        NoFormat::Media(Refusal::new("$", problem, mend))
    }
}

impl Format {
    /// `now` is when the payload was received.
    pub fn read(&self, body: &[u8], rules: &Rules, now: EventTime) -> Result<Reading, Refusal> {
        match self {
            Format::AlertmanagerWebhook => alertmanager::webhook(body, rules, now),
            Format::AlertmanagerApi => alertmanager::api(body, rules, now),
            Format::CloudEvents(mode) => cloudevents::read(mode, body, rules, now),
            Format::Deploys => deploys::read(body, rules, now),
        }
    }
}
