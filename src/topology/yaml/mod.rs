//! YAML as a tree in which every node knows its place, so that each complaint about it can say where.
//!
//! A strict, small YAML: one document a file, no anchors, aliases, tags or merges, keys are scalars and unique. Scalars
//! keep their text: whether `1.10` is a number or a name is decided by who reads it ([`read`]), not here.

mod de;

use std::sync::Arc;

use granit_parser::{Event, Parser, ScalarStyle, Span};

pub use de::{Located, read, salvage};

use super::problem::{At, Problem};

#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    pub at: At,
    pub value: Value,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Scalar {
        text: String,
        /// Written without quotes: may be a number, a truth value or nothing.
        plain: bool,
    },
    List(Vec<Node>),
    Map(Vec<Entry>),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// A scalar.
    pub key: Node,
    pub value: Node,
}

impl Entry {
    pub fn name(&self) -> &str {
        match &self.key.value {
            Value::Scalar { text, .. } => text,
            Value::List(_) | Value::Map(_) => "",
        }
    }
}

impl Node {
    /// A mapping without entries, for what was left out.
    pub fn empty(at: At) -> Self {
        Self { at, value: Value::Map(Vec::new()) }
    }

    pub fn entries(&self) -> &[Entry] {
        match &self.value {
            Value::Map(entries) => entries,
            Value::Scalar { .. } | Value::List(_) => &[],
        }
    }

    pub fn get(&self, name: &str) -> Option<&Node> {
        self.entries().iter().find(|entry| entry.name() == name).map(|entry| &entry.value)
    }

    pub fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar { text, plain: true } if matches!(&**text, "" | "~" | "null"))
    }

    /// The node at a path such as `rules[2].when`, or the nearest above it. Keys may have dots of their own.
    pub fn nearest(&self, path: &str) -> &Node {
        let next = match &self.value {
            Value::Scalar { .. } => None,
            Value::List(items) => path.strip_prefix('[').and_then(|rest| {
                let (index, rest) = rest.split_once(']')?;
                Some((items.get(index.parse::<usize>().ok()?)?, rest))
            }),
            Value::Map(entries) => entries.iter().find_map(|entry| {
                let rest = path.strip_prefix(entry.name())?;
                (rest.is_empty() || rest.starts_with(['.', '['])).then_some((&entry.value, rest))
            }),
        };
        next.map_or(self, |(node, rest)| node.nearest(rest.strip_prefix('.').unwrap_or(rest)))
    }

    /// JSON with sorted keys: equal for files that say the same.
    pub fn canonical(&self) -> serde_json::Value {
        match &self.value {
            Value::Scalar { .. } if self.is_null() => serde_json::Value::Null,
            Value::Scalar { text, plain } => de::infer(text, *plain),
            Value::List(items) => items.iter().map(Node::canonical).collect(),
            Value::Map(entries) => {
                let mut sorted: Vec<_> = entries.iter().map(|entry| (entry.name(), entry.value.canonical())).collect();
                sorted.sort_by(|a, b| a.0.cmp(b.0));
                sorted.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
            }
        }
    }
}

/// Reads one file. What can be read is returned even when there are problems.
pub fn parse(file: &str, text: &str, problems: &mut Vec<Problem>) -> Option<Node> {
    let mut builder = Builder { file: file.into(), open: Vec::new(), root: None, problems };
    for next in Parser::new_from_str(text) {
        match next {
            Ok((event, span)) => builder.take(event, span),
            Err(error) => {
                let at = At { file: file.into(), line: error.marker().line(), column: error.marker().col() + 1 };
                builder.problems.push(Problem::error(&at, format!("this is no YAML: {}", error.info())));
                return None;
            }
        }
    }
    builder.root
}

struct Builder<'a> {
    file: Arc<str>,
    open: Vec<Open>,
    root: Option<Node>,
    problems: &'a mut Vec<Problem>,
}

/// A collection whose end has not been seen.
enum Open {
    List { at: At, items: Vec<Node> },
    Map { at: At, entries: Vec<Entry>, key: Option<Node> },
}

impl Builder<'_> {
    fn take(&mut self, event: Event<'_>, span: Span) {
        let at = At { file: self.file.clone(), line: span.start.line(), column: span.start.col() + 1 };
        if event.tag().is_some() {
            self.problems.push(Problem::error(&at, "tags have no meaning here; leave it out"));
        }
        match event {
            Event::Alias(_) | Event::UnresolvedAlias(_) => {
                self.problems.push(Problem::error(&at, "aliases have no meaning here; write the value out"));
                self.close(Node { at, value: Value::Scalar { text: String::new(), plain: true } });
            }
            Event::Scalar(text, style, ..) => {
                let plain = style == ScalarStyle::Plain;
                self.close(Node { at, value: Value::Scalar { text: text.into_owned(), plain } });
            }
            Event::SequenceStart(..) => self.open.push(Open::List { at, items: Vec::new() }),
            Event::MappingStart(..) => self.open.push(Open::Map { at, entries: Vec::new(), key: None }),
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some(open) = self.open.pop() {
                    self.close(match open {
                        Open::List { at, items } => Node { at, value: Value::List(items) },
                        Open::Map { at, entries, .. } => Node { at, value: Value::Map(entries) },
                    });
                }
            }
            Event::DocumentStart(..) if self.root.is_some() => {
                self.problems.push(Problem::error(&at, "a second document; put it into a file of its own"));
            }
            _ => {}
        }
    }

    /// Puts a finished node where it belongs.
    fn close(&mut self, node: Node) {
        match self.open.last_mut() {
            None => self.root = self.root.take().or(Some(node)),
            Some(Open::List { items, .. }) => items.push(node),
            Some(Open::Map { entries, key, .. }) => match key.take() {
                None if matches!(node.value, Value::Scalar { .. }) => *key = Some(node),
                None => {
                    self.problems.push(Problem::error(&node.at, "a key must be a name"));
                    *key = Some(Node { at: node.at, value: Value::Scalar { text: String::new(), plain: false } });
                }
                Some(key) => {
                    let entry = Entry { key, value: node };
                    match entries.iter().find(|known| known.name() == entry.name()) {
                        None => entries.push(entry),
                        Some(first) => self.problems.push(Problem::error(
                            &entry.key.at,
                            format!("`{}` is defined twice; the first is in line {}", entry.name(), first.key.at.line),
                        )),
                    }
                }
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> (Option<Node>, Vec<String>) {
        let mut problems = Vec::new();
        let node = parse("a.yaml", text, &mut problems);
        (node, problems.iter().map(Problem::to_string).collect())
    }

    #[test]
    fn nodes_know_their_places_and_paths_find_them() {
        let (node, problems) = parsed("rules:\n  - when: x\n  - when: {code: 503}\na.b: {c: 1}\n");
        assert_eq!(problems, Vec::<String>::new());
        let node = node.unwrap();
        let place = |path: &str| (node.nearest(path).at.line, node.nearest(path).at.column);
        assert_eq!(place("rules[1].when.code"), (3, 18));
        assert_eq!(place("rules[1].then"), (3, 5), "the nearest above what is missing");
        assert_eq!(place("rules[9]"), (2, 3));
        assert_eq!(place("a.b.c"), (4, 10));
        assert_eq!(place("elsewhere"), (1, 1));
    }

    #[test]
    fn what_says_the_same_is_canonically_equal() {
        let one = parsed("b: [1, yes, '1']\na: {c: ~}\n").0.unwrap().canonical();
        let other = parsed("a:\n  c: null\nb:\n  - 1\n  - \"yes\"\n  - \"1\"\n").0.unwrap().canonical();
        assert_eq!(one.to_string(), r#"{"a":{"c":null},"b":[1,"yes","1"]}"#);
        assert_eq!(one.to_string(), other.to_string());
    }

    #[test]
    fn all_that_is_not_plain_yaml_is_named_with_its_place() {
        let text = "a: 1\na: 2\nb: &x 3\nc: *x\nd: !!str 4\n---\ne: 5\n";
        assert_eq!(
            parsed(text).1,
            [
                "a.yaml:2:1: `a` is defined twice; the first is in line 1",
                "a.yaml:4:4: aliases have no meaning here; write the value out",
                "a.yaml:5:10: tags have no meaning here; leave it out",
                "a.yaml:6:1: a second document; put it into a file of its own",
            ]
        );
        let (node, problems) = parsed("a: [1, 2\nb: 3\n");
        assert!(node.is_none());
        assert!(problems[0].starts_with("a.yaml:2:") && problems[0].contains("no YAML"), "{problems:?}");
    }
}
