//! Text of a topology file in which `${env:NAME}` and `${file:PATH}` stand for what must not be in such a file.
//!
//! The pure half only knows that something stands there; whoever opens the connection resolves it. `$${` is a plain `${`.

use std::fmt;

use serde::{Deserialize, Serialize};

#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Template {
    source: String,
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Reference(Reference),
}

/// Where a value is to be found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reference {
    Env(String),
    File(String),
}

impl Template {
    /// Puts in what `look_up` finds; its first error is the answer.
    pub fn resolve<E>(&self, look_up: impl Fn(&Reference) -> Result<String, E>) -> Result<String, E> {
        self.parts.iter().try_fold(String::new(), |mut text, part| {
            match part {
                Part::Text(plain) => text.push_str(plain),
                Part::Reference(reference) => text.push_str(&look_up(reference)?),
            }
            Ok(text)
        })
    }

    /// Whether something of it stands elsewhere.
    pub fn refers(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Reference(_)))
    }
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
            parts.push(Part::Reference(match inside.split_once(':') {
                Some(("env", name)) if !name.is_empty() => Reference::Env(name.to_owned()),
                Some(("file", path)) if !path.is_empty() => Reference::File(path.to_owned()),
                _ => {
                    return Err(format!(
                        "`${{{inside}}}` refers to nothing; write `${{env:NAME}}` or `${{file:PATH}}`"
                    ));
                }
            }));
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

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.source)
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.source, f)
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reference::Env(name) => write!(f, "${{env:{name}}}"),
            Reference::File(path) => write!(f, "${{file:{path}}}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(text: &str) -> Result<String, String> {
        let template = Template::try_from(text.to_owned())?;
        template.resolve(|reference| match reference {
            Reference::Env(name) if name == "UNSET" => Err(format!("{reference} is not set")),
            Reference::Env(name) => Ok(name.to_lowercase()),
            Reference::File(path) => Ok(format!("<{path}>")),
        })
    }

    #[test]
    fn references_are_replaced_and_the_rest_stays() {
        assert_eq!(resolved("${env:HOST}:9092,b:${file:/run/port}"), Ok("host:9092,b:</run/port>".into()));
        assert_eq!(resolved("a $${env:X} $ {y}"), Ok("a ${env:X} $ {y}".into()));
        assert_eq!(resolved("${env:UNSET}"), Err("${env:UNSET} is not set".into()));
        assert!(resolved("${HOST}").unwrap_err().contains("refers to nothing"));
        assert!(resolved("${env:HOST").unwrap_err().contains("without `}`"));
    }
}
