//! What a topic is called on the other side: by a table, by patterns whose captures the new name is made of, or by the naming rule.
#![deny(clippy::disallowed_methods, clippy::disallowed_types, clippy::disallowed_macros)]

use std::collections::BTreeMap;

use regex_lite::Regex;
use serde::Deserialize;

use super::Mirror;
use super::naming::{self, Naming};

/// One line of a mirror's `topics`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Line")]
pub enum Rename {
    /// This very topic.
    Topic { topic: String, to: String },
    /// Every topic the whole name of which matches; `$1`, `${name}` in `to` are what its groups matched.
    Pattern { pattern: String, to: String },
    /// Every topic the whole name of which matches; its groups, and these fields, fill the naming rule's template.
    ByRule { pattern: String, fields: BTreeMap<String, String> },
}

/// As it is written.
#[derive(Deserialize)]
struct Line {
    topic: Option<String>,
    pattern: Option<String>,
    to: Option<String>,
    fields: Option<BTreeMap<String, String>>,
}

impl TryFrom<Line> for Rename {
    type Error = String;

    fn try_from(Line { topic, pattern, to, fields }: Line) -> Result<Self, String> {
        match (topic, pattern, to, fields) {
            (Some(topic), None, Some(to), None) => Ok(Self::Topic { topic, to }),
            (None, Some(pattern), Some(to), None) => Ok(Self::Pattern { pattern, to }),
            (None, Some(pattern), None, fields) => Ok(Self::ByRule { pattern, fields: fields.unwrap_or_default() }),
            (None, None, ..) => Err("it names nothing to copy; write `topic` or `pattern`".to_owned()),
            (Some(_), Some(_), ..) => Err("`topic` and `pattern` exclude each other; make two lines of it".to_owned()),
            (_, _, Some(_), Some(_)) => {
                Err("`to` and `fields` exclude each other; the fields are the naming rule's".to_owned())
            }
            (Some(_), None, None, _) => {
                Err("its copy has no name; write `to` (`fields` are for a `pattern`)".to_owned())
            }
        }
    }
}

impl Rename {
    /// Under which name, as a line with `to` says it.
    pub fn to(&self, naming: Option<&Naming>) -> Result<String, String> {
        match self {
            Self::Topic { to, .. } | Self::Pattern { to, .. } => Ok(to.clone()),
            Self::ByRule { pattern, fields } => {
                let naming = naming.ok_or("its copies have no name; write `to`, or a section `naming`")?;
                let pattern = whole(pattern)?;
                let groups: Vec<&str> = pattern.capture_names().flatten().collect();
                naming.to(&groups, fields)
            }
        }
    }
}

/// A mirror's `topics` and `exclude`, compiled.
#[derive(Clone, Debug)]
pub struct Renames {
    rules: Vec<Rule>,
    exclude: Vec<Regex>,
    naming: Option<naming::Rule>,
}

#[derive(Clone, Debug)]
enum Rule {
    Topic { topic: String, to: String },
    Pattern { pattern: Regex, to: String },
}

impl Renames {
    /// Of a mirror. Fails with the pattern that is none, and why.
    pub fn of(mirror: &Mirror) -> Result<Self, String> {
        Self::new(&mirror.topics, &mirror.exclude, mirror.naming.as_ref())
    }

    /// From each name to the other.
    pub fn of_table(names: BTreeMap<String, String>) -> Self {
        let rules = names.into_iter().map(|(topic, to)| Rule::Topic { topic, to }).collect();
        Self { rules, exclude: Vec::new(), naming: None }
    }

    pub fn new(topics: &[Rename], exclude: &[String], naming: Option<&Naming>) -> Result<Self, String> {
        let rule = |rename: &Rename| {
            let to = rename.to(naming)?;
            Ok(match rename {
                Rename::Topic { topic, .. } => Rule::Topic { topic: topic.clone(), to },
                Rename::Pattern { pattern, .. } | Rename::ByRule { pattern, .. } => {
                    Rule::Pattern { pattern: whole(pattern)?, to }
                }
            })
        };
        let rules = topics.iter().map(rule).collect::<Result<_, String>>()?;
        let exclude = exclude.iter().map(|pattern| whole(pattern)).collect::<Result<_, _>>()?;
        Ok(Self { rules, exclude, naming: naming.map(Naming::rule).transpose()? })
    }

    /// Whether a copy may be called so, as far as the naming rule goes.
    pub fn follows_rule(&self, target: &str) -> Result<(), String> {
        self.naming.as_ref().map_or(Ok(()), |rule| rule.against(target))
    }

    /// The name of its copy; `None`: it is not copied.
    pub fn target(&self, topic: &str) -> Option<String> {
        if self.exclude.iter().any(|pattern| pattern.is_match(topic)) {
            return None;
        }
        self.rules.iter().find_map(|rule| match rule {
            Rule::Topic { topic: this, to } => (this == topic).then(|| to.clone()),
            Rule::Pattern { pattern, to } => {
                let captures = pattern.captures(topic)?;
                let mut name = String::new();
                captures.expand(to, &mut name);
                Some(name)
            }
        })
    }
}

/// The groups that a new name refers to, as the expansion reads it: `$name` goes as far as letters, digits and `_` do, `$$` is a `$`.
pub fn captures_of(to: &str) -> Vec<String> {
    let mut captures = Vec::new();
    let mut rest = to;
    while let Some(start) = rest.find('$') {
        rest = &rest[start + 1..];
        let part_of_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let (name, after) = match rest.strip_prefix('{') {
            Some(inside) => inside.split_once('}').unwrap_or(("", "")),
            None => rest.split_at(rest.find(|c| !part_of_name(c)).unwrap_or(rest.len())),
        };
        if !name.is_empty() {
            captures.push(name.to_owned());
        }
        rest = rest.strip_prefix('$').unwrap_or(after);
    }
    captures
}

/// A pattern that matches whole names.
pub fn whole(pattern: &str) -> Result<Regex, String> {
    Regex::new(&format!("^(?:{pattern})$")).map_err(|error| format!("`{pattern}` is no pattern: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_rule_that_matches_the_whole_name_makes_the_new_one() {
        let topics = [
            Rename::Topic { topic: "orders".into(), to: "shop.orders.v1".into() },
            Rename::Pattern { pattern: "legacy-(?<domain>[a-z]+)-(.*)".into(), to: "${domain}.$2.v1".into() },
            Rename::Pattern { pattern: "plain.*".into(), to: "$0".into() },
        ];
        let renames = Renames::new(&topics, &["plain-secret".into()], None).unwrap();
        let named = |topic| renames.target(topic);
        assert_eq!(named("orders").as_deref(), Some("shop.orders.v1"));
        assert_eq!(named("legacy-pay-events").as_deref(), Some("pay.events.v1"));
        assert_eq!(named("plain-text").as_deref(), Some("plain-text"));
        assert_eq!((named("plain-secret"), named("my-orders"), named("xlegacy-pay-events")), (None, None, None));
        assert!(Renames::new(&[], &["(".into()], None).unwrap_err().contains("`(`"));
    }
}
