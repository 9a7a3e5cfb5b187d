//! How JSON of any shape is read: which place of it says what. `ingest::json_mapping` does the reading.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What one system sends to `POST /webhooks/json/<name>`: alerts or deploys.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct JsonMapping {
    pub alerts: Option<AlertMapping>,
    pub deploys: Option<DeployMapping>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct AlertMapping {
    /// An array, each element of which is one; without it the body is one.
    pub each: Option<Pointer>,
    /// What tells an alert apart, all together; without it all labels.
    #[serde(default)]
    pub fingerprint: Vec<Said>,
    /// When it is over; without it, once its end has passed.
    pub resolved: Option<Test>,
    /// What is none of fairlead's business.
    pub ignored: Option<Test>,
    /// Without it an alert begins when it is first told, and goes on until it is over.
    pub starts_at: Option<Said>,
    pub ends_at: Option<Said>,
    pub labels: BTreeMap<String, Said>,
    #[serde(default)]
    pub annotations: BTreeMap<String, Said>,
    pub link: Option<Said>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct DeployMapping {
    /// An array, each element of which is one; without it the body is one.
    pub each: Option<Pointer>,
    pub id: Said,
    pub service: Said,
    pub version: Said,
    pub environment: Option<Said>,
    pub revision: Option<Said>,
    pub actor: Option<Said>,
    pub link: Option<Said>,
    pub started_at: Option<Said>,
    pub finished_at: Option<Said>,
    pub running: Option<Test>,
    pub failed: Option<Test>,
    pub rollback: Option<Test>,
    /// What is none of fairlead's business.
    pub ignored: Option<Test>,
}

/// Whether one of these texts stands there.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Test {
    pub at: Pointer,
    pub is: Vec<String>,
}

/// A JSON pointer (RFC 6901).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pointer(String);

/// A text as it stands, or the pointer to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Said {
    At(Pointer),
    Always(String),
}

impl Pointer {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Pointer {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let escapes = text.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
        if text.starts_with('/') && escapes {
            return Ok(Self(text));
        }
        Err(format!(
            "`{text}` is no JSON pointer; write /a/b for b within a, ~1 for a slash and ~0 for a tilde in a name"
        ))
    }
}

impl TryFrom<String> for Said {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text.starts_with('/') { Pointer::try_from(text).map(Said::At) } else { Ok(Said::Always(text)) }
    }
}

impl From<Pointer> for String {
    fn from(Pointer(text): Pointer) -> Self {
        text
    }
}

impl From<Said> for String {
    fn from(said: Said) -> Self {
        match said {
            Said::At(Pointer(text)) | Said::Always(text) => text,
        }
    }
}

impl JsonMapping {
    /// Each with its path in front.
    pub fn problems(&self, name: &str) -> Vec<String> {
        let path = format!("ingest.json.{name}");
        let mut problems = Vec::new();
        let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if name.is_empty() || !name.chars().all(legal) {
            problems.push(format!("{path}: the name is part of the path; write lower-case letters, digits and `-`"));
        }
        if self.alerts.is_some() == self.deploys.is_some() {
            problems.push(format!("{path}: say what it sends, `alerts` or `deploys`, one of them"));
        }
        if let Some(AlertMapping { labels, .. }) = &self.alerts
            && !labels.contains_key("alertname")
        {
            problems.push(format!("{path}.alerts.labels: an alert has a name; say where under `alertname`"));
        }
        let empty = self.tests().into_iter().filter(|(_, test)| test.is.is_empty());
        problems
            .extend(empty.map(|(option, _)| format!("{path}.{option}.is: nothing would do; name the texts that do")));
        problems
    }

    fn tests(&self) -> Vec<(&'static str, &Test)> {
        let alerts = self
            .alerts
            .iter()
            .flat_map(|alerts| [("alerts.resolved", &alerts.resolved), ("alerts.ignored", &alerts.ignored)]);
        let deploys = self.deploys.iter().flat_map(|deploys| {
            [
                ("deploys.running", &deploys.running),
                ("deploys.failed", &deploys.failed),
                ("deploys.rollback", &deploys.rollback),
                ("deploys.ignored", &deploys.ignored),
            ]
        });
        alerts.chain(deploys).filter_map(|(option, test)| Some((option, test.as_ref()?))).collect()
    }
}
