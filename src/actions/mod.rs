//! Actions: what people may have done at the press of a button. The section `actions` of a topology's files.
//!
//! It belongs to nobody alone: the notify operator shows the buttons, whoever takes clicks asks who may, and the runner does
//! it. Not here: what is done of it, and when; secrets, of which only the places are known ([`template`]).
#![deny(clippy::disallowed_methods, clippy::disallowed_types, clippy::disallowed_macros)]

mod check;
pub mod template;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use template::Template;

/// By name, as facts call them.
pub type Actions = BTreeMap<String, Action>;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Action {
    /// On the button.
    pub label: String,
    /// Incidents of these services only; without any of all.
    #[serde(default)]
    pub services: Vec<String>,
    #[serde(default)]
    pub environments: Vec<String>,
    /// While one of these fires.
    #[serde(default)]
    pub alerts: Vec<String>,
    pub http: Option<Http>,
    /// A program and its arguments as they stand: no shell reads them, and nothing is put in.
    pub command: Option<Vec<String>>,
    /// Of the command, beside what the run is about.
    #[serde(default)]
    pub environment: BTreeMap<String, Template>,
    #[serde(default = "timeout_ms")]
    pub timeout_ms: u32,
    /// Of what it prints or answers, the end.
    #[serde(default = "output_bytes_max")]
    pub output_bytes_max: usize,
    /// Without it whoever may answer to incidents.
    pub allowed: Option<People>,
    /// Asked before; without it a plain question.
    pub confirm: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Http {
    #[serde(default = "post")]
    pub method: String,
    pub url: Template,
    #[serde(default)]
    pub headers: BTreeMap<String, Template>,
    pub body: Option<Template>,
    /// Answers that are a success; without any every 2xx.
    #[serde(default)]
    pub expect: Vec<u16>,
}

/// Who may, by their Slack ids.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct People {
    pub users: Vec<String>,
    pub groups: Vec<String>,
    /// Programs too that bear the token of `ingest`; as far as it is an action.
    pub api: bool,
}

fn timeout_ms() -> u32 {
    30_000
}

fn output_bytes_max() -> usize {
    4_000
}

fn post() -> String {
    "POST".to_owned()
}

impl Action {
    /// Whether it can help with such an incident.
    pub fn applies<'a>(
        &self,
        service: &str,
        environment: Option<&str>,
        mut firing: impl Iterator<Item = &'a str>,
    ) -> bool {
        let among = |names: &[String], name: &str| names.iter().any(|known| known == name);
        self.is_for(service)
            && (self.environments.is_empty() || environment.is_some_and(|name| among(&self.environments, name)))
            && (self.alerts.is_empty() || firing.any(|name| among(&self.alerts, name)))
    }

    pub fn is_for(&self, service: &str) -> bool {
        self.services.is_empty() || self.services.iter().any(|known| known == service)
    }

    /// Every template of it, with its path below the action.
    pub fn templates(&self) -> impl Iterator<Item = (String, &Template)> {
        let http = self.http.iter().flat_map(|http| {
            let headers = http.headers.iter().map(|(name, value)| (format!("http.headers.{name}"), value));
            let body = http.body.iter().map(|body| ("http.body".to_owned(), body));
            [("http.url".to_owned(), &http.url)].into_iter().chain(headers).chain(body)
        });
        http.chain(self.environment.iter().map(|(name, value)| (format!("environment.{name}"), value)))
    }
}

impl People {
    pub fn is_nobody(&self) -> bool {
        self.users.is_empty() && self.groups.is_empty() && !self.api
    }
}
