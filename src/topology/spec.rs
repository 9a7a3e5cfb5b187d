//! What the files of a topology say, name by name, before anything is checked against anything else.
//!
//! All files of a directory are one topology: sections may stand in any of them, each once; topics, operators, actions and
//! services may be spread over several, a name once.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::problem::{At, Problem, Severity};
use super::settings::Settings;
use super::yaml::{self, Entry, Located, Node, Value};
use crate::event::FactKind;

/// A file of a topology; the name is what complaints begin with.
#[derive(Clone, Debug)]
pub struct SourceFile {
    pub name: String,
    pub text: String,
}

pub struct Spec {
    /// Where it begins: the place of what is missing.
    pub at: At,
    /// `None` if nothing of them can be read.
    pub settings: Option<Settings>,
    pub topics: Vec<Named<TopicSpec>>,
    pub operators: Vec<Named<OperatorSpec>>,
    /// What operators share: as much of [`SHARED`] as is there.
    pub shared: Vec<Entry>,
}

/// What a name stands for.
pub struct Named<T> {
    pub name: Located<String>,
    /// `None` if it cannot be read: the name is known, and no further complaint is made about it.
    pub spec: Option<T>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct TopicSpec {
    pub fact: FactKind,
    pub partitions: Located<i32>,
    #[serde(default)]
    pub retention_ms: Option<i64>,
    #[serde(default)]
    pub cleanup: Option<Cleanup>,
    /// Kafka's topic configuration, by Kafka's names.
    #[serde(default)]
    pub config: BTreeMap<Located<String>, String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Cleanup {
    Delete,
    Compact,
}

#[derive(Clone, Debug)]
pub struct OperatorSpec {
    pub kind: Option<Located<String>>,
    pub sub_topology: Option<Located<String>>,
    pub inputs: BTreeMap<FactKind, Located<String>>,
    pub outputs: BTreeMap<Located<String>, Option<Located<String>>>,
    /// Read by the operator itself.
    pub config: Node,
}

/// All of an [`OperatorSpec`] that serde reads.
#[derive(Deserialize)]
struct Wiring {
    #[serde(default)]
    kind: Option<Located<String>>,
    #[serde(default)]
    sub_topology: Option<Located<String>>,
    inputs: BTreeMap<FactKind, Located<String>>,
    #[serde(default)]
    outputs: BTreeMap<Located<String>, Option<Located<String>>>,
    #[serde(default, rename = "config")]
    _config: IgnoredAny,
}

/// Reads and merges the files.
pub fn read(files: &[SourceFile], problems: &mut Vec<Problem>) -> Spec {
    let mut merged: Vec<Entry> = Vec::new();
    for file in files {
        let root = yaml::parse(&file.name, &file.text, problems);
        match root {
            Some(Node { value: Value::Map(entries), .. }) => {
                entries.into_iter().for_each(|entry| merge(&mut merged, entry, problems));
            }
            Some(node) if !node.is_null() => {
                problems.push(Problem::error(&node.at, "a topology file is a mapping of sections; begin with one"));
            }
            _ => {}
        }
    }
    let at = files.first().map_or_else(|| At::start_of("topology"), |file| At::start_of(&file.name));
    let root = Node { at, value: Value::Map(merged) };
    Spec {
        at: root.at.clone(),
        shared: SHARED.into_iter().filter_map(|path| shared(&root, path)).collect(),
        settings: settings(&root, problems),
        topics: named(&root, "topics", problems, yaml::read),
        operators: named(&root, "operators", problems, operator),
    }
}

/// Sections that may stand in several files.
const SPREAD: [&str; 6] = ["actions", "clusters", "mirrors", "operators", "services", "topics"];
/// Sections, and options of sections, that are part of the configuration of each operator that asks for them.
const SHARED: [&str; 5] = ["actions", "rotations", "services", "slack.charts", "slack.responses"];

/// By the last word of its path.
fn shared(root: &Node, path: &str) -> Option<Entry> {
    let (section, name) = path.rsplit_once('.').map_or((root, path), |(section, name)| (root.nearest(section), name));
    section.entries().iter().find(|entry| entry.name() == name && !entry.value.is_null()).cloned()
}

/// What an operator calls it.
fn shared_name(path: &str) -> &str {
    path.rsplit_once('.').map_or(path, |(_, name)| name)
}

fn merge(merged: &mut Vec<Entry>, entry: Entry, problems: &mut Vec<Problem>) {
    let known = merged.iter_mut().find(|known| known.name() == entry.name());
    match (known, entry) {
        (None, entry) => merged.push(entry),
        (
            Some(Entry { value: Node { value: Value::Map(known), .. }, key }),
            Entry { value: Node { value: Value::Map(more), .. }, .. },
        ) if matches!(&key.value, Value::Scalar { text, .. } if SPREAD.contains(&&**text)) => {
            for entry in more {
                match known.iter().find(|known| known.name() == entry.name()) {
                    None => known.push(entry),
                    Some(first) => problems.push(twice(first, &entry)),
                }
            }
        }
        (Some(first), entry) => problems.push(twice(first, &entry)),
    }
}

fn twice(first: &Entry, entry: &Entry) -> Problem {
    let message = format!("`{}` is defined twice; the first is at {}", entry.name(), first.key.at);
    Problem::error(&entry.key.at, message)
}

fn settings(root: &Node, problems: &mut Vec<Problem>) -> Option<Settings> {
    let mut settings: Option<Settings> = yaml::salvage(root, problems);
    if let Some(Settings { mirrors, naming, .. }) = &mut settings {
        mirrors.values_mut().for_each(|mirror| mirror.naming = naming.clone());
    }
    for problem in settings.iter().flat_map(Settings::problems) {
        problems.push(at_path(root, problem));
    }
    for warning in settings.iter().flat_map(Settings::warnings) {
        problems.push(Problem { severity: Severity::Warning, ..at_path(root, warning) });
    }
    settings
}

/// A complaint that begins with a path, at the place of that path.
pub fn at_path(node: &Node, problem: String) -> Problem {
    let path = problem.split_once(": ").map_or("", |(path, _)| path);
    Problem::error(&node.nearest(path).at, problem)
}

fn named<T>(
    root: &Node,
    section: &str,
    problems: &mut Vec<Problem>,
    read: impl Fn(&Node, &mut Vec<Problem>) -> Option<T>,
) -> Vec<Named<T>> {
    let node = root.get(section).filter(|node| !node.is_null());
    if let Some(Node { at, value: Value::Scalar { .. } | Value::List(_) }) = node {
        problems.push(Problem::error(at, format!("`{section}` is a mapping from names to what they stand for")));
    }
    let named = node.map_or(&[][..], Node::entries).iter().map(|Entry { key, value }| {
        let spec = read(value, problems);
        let name = yaml::read(key, problems)?;
        Some(Named { name, spec })
    });
    named.collect::<Vec<_>>().into_iter().flatten().collect()
}

impl Spec {
    /// An operator's configuration with the sections that it asks for.
    pub fn config_with(&self, config: &Node, sections: &[&str], problems: &mut Vec<Problem>) -> Node {
        let mut config = config.clone();
        let asked = |entry: &&Entry| sections.iter().any(|path| shared_name(path) == entry.name());
        let shared = self.shared.iter().filter(asked);
        if let Value::Map(entries) = &mut config.value {
            for path in SHARED {
                let is_own = |entry: &&Entry| entry.name() == shared_name(path);
                let message = match path.rsplit_once('.') {
                    Some((section, name)) => format!("`{name}` is an option of `{section}`; write it there"),
                    None => format!("`{path}` is a section of its own; write it at the left, beside `operators`"),
                };
                problems.extend(entries.iter().find(is_own).map(|own| Problem::error(&own.key.at, message)));
                entries.retain(|entry| !is_own(&entry));
            }
            entries.extend(shared.cloned());
        }
        config
    }
}

fn operator(node: &Node, problems: &mut Vec<Problem>) -> Option<OperatorSpec> {
    let Wiring { kind, sub_topology, inputs, outputs, .. } = yaml::read(node, problems)?;
    let config = node.get("config").cloned().unwrap_or_else(|| Node::empty(node.at.clone()));
    Some(OperatorSpec { kind, sub_topology, inputs, outputs, config })
}
