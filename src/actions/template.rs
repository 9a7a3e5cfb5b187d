//! Text in which `${incident.id}` and its like stand for what a run is about, and `${env:NAME}`, `${file:PATH}` for secrets.
//!
//! Invariant: what is put in is encoded for where it goes ([`Encoding`]), so that no name of a service can end a string, a
//! segment of a path or a header. `$${` is a plain `${`.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::event::words::suggest;

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Template {
    source: String,
    pub(super) parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Text(String),
    Field(Field),
    Secret(Secret),
}

/// What can be put in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Field {
    IncidentId,
    Service,
    RunId,
    Action,
    By,
    RequestedAt,
}

/// Where a secret is to be found.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Secret {
    Env(String),
    File(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Within a string of JSON.
    Json,
    /// Within a URL or a header, percent by percent. Secrets are taken as they are: they may be the whole of it.
    Percent,
    /// As it is, in an environment variable.
    Plain,
}

impl Field {
    pub const ALL: [Field; 6] =
        [Field::IncidentId, Field::Service, Field::RunId, Field::Action, Field::By, Field::RequestedAt];

    /// As templates spell it.
    pub fn name(self) -> &'static str {
        match self {
            Field::IncidentId => "incident.id",
            Field::Service => "incident.service",
            Field::RunId => "run.id",
            Field::Action => "run.action",
            Field::By => "run.by",
            Field::RequestedAt => "run.requested_at",
        }
    }
}

impl Template {
    /// Puts in what is asked for. `None`: there is no such secret.
    pub fn fill(
        &self,
        encoding: Encoding,
        field: impl Fn(Field) -> String,
        secret: impl Fn(&Secret) -> Option<String>,
    ) -> Option<String> {
        self.parts.iter().try_fold(String::new(), |mut text, part| {
            match (part, encoding) {
                (Part::Text(plain), _) => text.push_str(plain),
                (Part::Field(name), encoding) => text.push_str(&encoded(&field(*name), encoding)),
                (Part::Secret(place), Encoding::Json) => text.push_str(&encoded(&secret(place)?, Encoding::Json)),
                (Part::Secret(place), _) => text.push_str(&secret(place)?),
            }
            Some(text)
        })
    }

    pub fn secrets(&self) -> impl Iterator<Item = &Secret> {
        self.parts.iter().filter_map(|part| match part {
            Part::Secret(secret) => Some(secret),
            Part::Text(_) | Part::Field(_) => None,
        })
    }
}

fn encoded(text: &str, encoding: Encoding) -> String {
    match encoding {
        Encoding::Json => {
            let quoted = serde_json::Value::from(text).to_string();
            quoted[1..quoted.len() - 1].to_owned()
        }
        Encoding::Percent => text.bytes().fold(String::new(), |mut out, byte| {
            match byte {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
                other => out.push_str(&format!("%{other:02X}")),
            }
            out
        }),
        Encoding::Plain => text.to_owned(),
    }
}

fn part(inside: &str) -> Result<Part, String> {
    match inside.split_once(':') {
        Some(("env", name)) if !name.is_empty() => return Ok(Part::Secret(Secret::Env(name.to_owned()))),
        Some(("file", path)) if !path.is_empty() => return Ok(Part::Secret(Secret::File(path.to_owned()))),
        _ => {}
    }
    let known = Field::ALL.into_iter().find(|field| field.name() == inside);
    known.map(Part::Field).ok_or_else(|| {
        let meant = suggest(inside, Field::ALL.map(Field::name));
        format!("`${{{inside}}}` stands for nothing{meant}; a secret is written `${{env:NAME}}` or `${{file:PATH}}`")
    })
}

impl TryFrom<String> for Template {
    type Error = String;

    fn try_from(source: String) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = &*source;
        while let Some(start) = rest.find("${") {
            if rest[..start].ends_with('$') {
                parts.push(Part::Text(format!("{}{{", &rest[..start]))); // one `$` stays
                rest = &rest[start + 2..];
                continue;
            }
            parts.push(Part::Text(rest[..start].to_owned()));
            let (inside, after) = rest[start + 2..]
                .split_once('}')
                .ok_or_else(|| "`${` without `}`; write `$${` for a plain `${`".to_owned())?;
            parts.push(part(inside)?);
            rest = after;
        }
        parts.push(Part::Text(rest.to_owned()));
        parts.retain(|part| *part != Part::Text(String::new()));
        Ok(Self { source, parts })
    }
}

impl From<Template> for String {
    fn from(template: Template) -> Self {
        template.source
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.source, f)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Secret::Env(name) => write!(f, "${{env:{name}}}"),
            Secret::File(path) => write!(f, "${{file:{path}}}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn filled(text: &str, encoding: Encoding, value: &str) -> String {
        let template = Template::try_from(text.to_owned()).unwrap();
        template.fill(encoding, |_| value.to_owned(), |secret| Some(format!("<{secret}>"))).unwrap()
    }

    #[test]
    fn what_is_put_in_is_encoded_for_its_place_and_secrets_are_named() {
        let hostile = "a\"/..?\r\n{$&é";
        assert_eq!(
            filled("https://x/${incident.service}?k=v", Encoding::Percent, hostile),
            "https://x/a%22%2F..%3F%0D%0A%7B%24%26%C3%A9?k=v"
        );
        assert_eq!(filled("{\"s\":\"${run.by}\"}", Encoding::Json, hostile), "{\"s\":\"a\\\"/..?\\r\\n{$&é\"}");
        assert_eq!(
            filled("Bearer ${env:TOKEN}, $${run.by}", Encoding::Percent, ""),
            "Bearer <${env:TOKEN}>, ${run.by}"
        );
        let template = Template::try_from("${file:/run/x}${run.id}".to_owned()).unwrap();
        assert_eq!(template.secrets().collect::<Vec<_>>(), [&Secret::File("/run/x".to_owned())]);
        assert_eq!(template.fill(Encoding::Plain, |_| String::new(), |_| None), None);
    }

    #[test]
    fn what_stands_for_nothing_is_told_with_what_may_be_meant() {
        let told = |text: &str| Template::try_from(text.to_owned()).unwrap_err();
        let said = told("${incident.servic}");
        assert!(said.contains("stands for nothing") && said.contains("`incident.service`"), "{said}");
        assert!(told("${env:}").contains("env:NAME") && told("${run.by").contains("without `}`"));
    }

    proptest! {
        #[test]
        fn a_body_stays_json_and_a_url_keeps_its_path_whatever_is_put_in(value in any::<String>()) {
            let body: serde_json::Value = serde_json::from_str(&filled(r#"{"a":"${run.by}"}"#, Encoding::Json, &value)).unwrap();
            prop_assert_eq!(body["a"].as_str().unwrap(), value.as_str());
            let url = filled("/a/${run.by}/b", Encoding::Percent, &value);
            prop_assert_eq!(url.matches('/').count(), 3);
            prop_assert!(url.bytes().all(|byte| byte.is_ascii_graphic()));
        }
    }
}
