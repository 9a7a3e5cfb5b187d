//! The naming rule: what a topic may be called, as a template of fields that each have a pattern.
//!
//! ```yaml
//! naming:
//!   template: "{domain}.{dataset}.v{version}"
//!   fields: { domain: "shop|pay", dataset: "[a-z][a-z0-9-]*", version: "[1-9][0-9]*" }
//! ```
//! Copies are held to it whatever line names them, and a line may leave the name to it: its pattern's groups fill the fields of their
//! names, and `fields` the others. Not here: topics that were there before.
#![deny(clippy::disallowed_methods, clippy::disallowed_types, clippy::disallowed_macros)]

use std::collections::BTreeMap;

use regex_lite::{Regex, escape};
use serde::Deserialize;

use super::rename::whole;
use crate::event::words::suggest;

#[derive(Clone, Debug, Deserialize)]
pub struct Naming {
    pub template: String,
    /// By name, what it may be.
    pub fields: BTreeMap<String, String>,
}

/// Compiled.
#[derive(Clone, Debug)]
pub struct Rule {
    naming: Naming,
    whole: Regex,
}

#[derive(Debug, PartialEq)]
enum Part<'a> {
    Text(&'a str),
    Field(&'a str),
}

impl Naming {
    /// All that is wrong with it, each with its path in front.
    pub fn problems(&self) -> Vec<String> {
        let parts = match self.parts() {
            Ok(parts) => parts,
            Err(why) => return vec![format!("naming.template: {why}")],
        };
        let used: Vec<&str> =
            parts.iter().filter_map(|part| if let Part::Field(name) = part { Some(*name) } else { None }).collect();
        let mut problems = Vec::new();
        for name in used.iter().filter(|name| !self.fields.contains_key(**name)) {
            let known = suggest(name, self.fields.keys().map(String::as_str));
            problems.push(format!("naming.template: `{name}` has no pattern under `fields`{known}"));
        }
        if used.is_empty() {
            problems
                .push("naming.template: every topic would have this one name; write fields, as `{domain}`".to_owned());
        }
        for (name, pattern) in &self.fields {
            if let Err(why) = whole(pattern) {
                problems.push(format!("naming.fields.{name}: {why}"));
            }
            if !used.contains(&&**name) {
                problems.push(format!("naming.fields.{name}: the template has no `{{{name}}}`; take it out"));
            }
        }
        problems
    }

    fn parts(&self) -> Result<Vec<Part<'_>>, String> {
        let mut parts = Vec::new();
        let mut rest = &*self.template;
        while let Some(open) = rest.find('{') {
            let (name, after) = rest[open + 1..].split_once('}').ok_or("a `{` is not closed")?;
            if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
                return Err(format!("`{{{name}}}` is no field; its name is letters, digits and `_`"));
            }
            parts.extend([Part::Text(&rest[..open]), Part::Field(name)]);
            rest = after;
        }
        parts.push(Part::Text(rest));
        let text = |part: &Part<'_>| if let Part::Text(text) = part { Some((*text).to_owned()) } else { None };
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        match parts.iter().filter_map(text).find(|text| !text.chars().all(legal)) {
            Some(text) => Err(format!("`{text}` is no part of a topic's name; use letters, digits, `.`, `_`, `-`")),
            None => Ok(parts),
        }
    }

    /// The new name of a line that leaves it to the rule, as a line's `to`: made of its pattern's named groups and of what it fixes.
    pub fn to(&self, groups: &[&str], fixed: &BTreeMap<String, String>) -> Result<String, String> {
        if let Some(unknown) = fixed.keys().find(|name| !self.fields.contains_key(*name)) {
            let known = suggest(unknown, self.fields.keys().map(String::as_str));
            return Err(format!("the naming rule has no field `{unknown}`{known}"));
        }
        let mut to = String::new();
        for part in self.parts()? {
            match part {
                Part::Text(text) => to.push_str(text),
                Part::Field(name) => match fixed.get(name) {
                    Some(_) if groups.contains(&name) => {
                        return Err(format!("`{name}` is a group of the pattern and under `fields`; take one out"));
                    }
                    Some(value) => to.push_str(&self.fitting(name, value)?.replace('$', "$$")),
                    None if groups.contains(&name) => to.push_str(&format!("${{{name}}}")),
                    None => {
                        return Err(format!(
                            "the naming rule asks for `{name}`; name a group of the pattern so, `(?<{name}>…)`, or write it under `fields`"
                        ));
                    }
                },
            }
        }
        Ok(to)
    }

    fn fitting<'v>(&self, field: &str, value: &'v str) -> Result<&'v str, String> {
        let Some(pattern) = self.fields.get(field) else { return Ok(value) };
        if whole(pattern)?.is_match(value) {
            Ok(value)
        } else {
            Err(format!("{field} `{value}` does not match `{pattern}`"))
        }
    }

    pub fn rule(&self) -> Result<Rule, String> {
        let pattern: String = self
            .parts()?
            .into_iter()
            .map(|part| match part {
                Part::Text(text) => escape(text),
                Part::Field(name) => format!("(?:{})", self.fields.get(name).map_or("", String::as_str)),
            })
            .collect();
        Ok(Rule { naming: self.clone(), whole: whole(&pattern)? })
    }
}

impl Rule {
    /// What a name has against it.
    pub fn against(&self, name: &str) -> Result<(), String> {
        if self.whole.is_match(name) {
            return Ok(());
        }
        let fields: Vec<_> = self.naming.fields.iter().map(|(name, pattern)| format!("{name} `{pattern}`")).collect();
        Err(format!("`{name}` does not follow the naming rule `{}` ({})", self.naming.template, fields.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn naming(yaml: &str) -> Naming {
        serde_saphyr::from_str(yaml).unwrap()
    }

    fn shipped() -> Naming {
        naming(
            r#"{ template: "{domain}.{dataset}.v{version}", fields: { domain: "shop|pay", dataset: "[a-z][a-z0-9-]*", version: "[1-9][0-9]*" } }"#,
        )
    }

    #[test]
    fn names_follow_it_or_are_told_with_the_rule() {
        assert_eq!(shipped().problems(), Vec::<String>::new());
        let rule = shipped().rule().unwrap();
        assert_eq!(rule.against("shop.orders.v1"), Ok(()));
        for wrong in ["shop.orders.v0", "shopxorders.v1", "stock.orders.v1", "shop.orders.v1.x", "Shop.orders.v1"] {
            let told = rule.against(wrong).unwrap_err();
            assert!(told.contains("`{domain}.{dataset}.v{version}`") && told.contains("domain `shop|pay`"), "{told}");
        }
    }

    #[test]
    fn a_name_is_made_of_groups_and_of_what_is_fixed() {
        let fixed = |pairs: &[(&str, &str)]| pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        let made = shipped().to(&["domain", "dataset"], &fixed(&[("version", "1")]));
        assert_eq!(made.as_deref(), Ok("${domain}.${dataset}.v1"));
        for (groups, pairs, why) in [
            (&["domain"][..], &[("version", "1")][..], "asks for `dataset`"),
            (&["domain", "dataset"], &[("version", "0")], "version `0` does not match"),
            (&["domain", "dataset", "version"], &[("version", "1")], "take one out"),
            (&["domain", "dataset"], &[("versoin", "1")], "did you mean `version`?"),
        ] {
            let told = shipped().to(groups, &fixed(pairs)).unwrap_err();
            assert!(told.contains(why), "{told}");
        }
    }

    #[test]
    fn every_mistake_of_a_rule_is_told() {
        for (yaml, expected) in [
            (r#"{ template: "{a", fields: {} }"#, &["naming.template: a `{` is not closed"][..]),
            (r#"{ template: "{a b}", fields: {} }"#, &["naming.template: `{a b}` is no field"]),
            (r#"{ template: "{a}/x", fields: { a: x } }"#, &["naming.template: `/x` is no part"]),
            (
                r#"{ template: "x", fields: { a: "(" } }"#,
                &["naming.template: every topic", "naming.fields.a: `(`", "naming.fields.a: the template"],
            ),
            (
                r#"{ template: "{domian}", fields: { domain: x } }"#,
                &[
                    "naming.template: `domian` has no pattern under `fields`; did you mean `domain`?",
                    "naming.fields.domain: the template",
                ],
            ),
        ] {
            let told = naming(yaml).problems();
            assert_eq!(told.len(), expected.len(), "{told:?}");
            assert!(told.iter().zip(expected).all(|(told, expected)| told.starts_with(expected)), "{told:?}");
        }
    }
}
