//! Can this reader take what that writer wrote? Avro's resolution rules, as the Java library applies them.
//!
//! One function ([`Pairs::needs`]) states what one pair of types needs; it never looks further than one step. The
//! decision and the explanation are two walks over it. Because schemas can be recursive, a pair is compatible *unless
//! proven otherwise*: all reachable pairs start as compatible and are struck out until nothing more falls.
//!
//! Invariants: no recursion over the input's depth, every pair visited once per round, same answer in any order.
//! Logical types do not count: `decimal(4,2)` and `decimal(9,3)` over bytes read each other, as in Java.

use super::shape::{Id, Node, Primitive, ROOT, Shape};
use super::{Mismatch, Reason};
use apache_avro::Schema;
use apache_avro::schema::{Aliases, EnumSchema, FixedSchema, Name, RecordField, RecordSchema};
use std::collections::{BTreeMap, BTreeSet};

type Pair = (Id, Id);

/// Every reason why `reader` cannot take all that `writer` can write; none means that it can.
pub(super) fn mismatches(reader: &Schema, writer: &Schema) -> Vec<Mismatch> {
    let pairs = Pairs { reader: Shape::of(reader), writer: Shape::of(writer) };
    let needs = pairs.reachable();
    let refuted = refuted(&needs);
    pairs.explain(&needs, &refuted)
}

struct Pairs<'s> {
    reader: Shape<'s>,
    writer: Shape<'s>,
}

/// What must hold for one pair of types.
#[derive(Debug)]
enum Needs {
    /// No reason of its own against it, and all the inner pairs.
    All(Vec<Reason>, Vec<(Step, Pair)>),
    /// One of the reader's branches; the reason is given when none fits.
    Any(Vec<Pair>, Reason),
}

/// One step of the path from the root to a mismatch.
#[derive(Debug, Clone)]
enum Step {
    Field(String),
    Items,
    Values,
    Same,
}

impl Pairs<'_> {
    fn reachable(&self) -> BTreeMap<Pair, Needs> {
        let mut found = BTreeMap::new();
        let mut todo = vec![(ROOT, ROOT)];
        while let Some(pair) = todo.pop() {
            if found.contains_key(&pair) {
                continue;
            }
            let needs = self.needs(pair);
            match &needs {
                Needs::All(_, inner) => todo.extend(inner.iter().map(|(_, pair)| *pair)),
                Needs::Any(branches, _) => todo.extend(branches),
            }
            found.insert(pair, needs);
        }
        found
    }

    fn needs(&self, (r, w): Pair) -> Needs {
        let (reader, writer) = (self.reader.node(r), self.writer.node(w));
        match (reader, writer) {
            (_, Node::Union(branches)) => all(branches.iter().map(|branch| (Step::Same, (r, *branch))).collect()),
            (Node::Union(branches), _) => {
                Needs::Any(branches.iter().map(|branch| (*branch, w)).collect(), Reason::Branch(describe(writer)))
            }
            (Node::Primitive(to), Node::Primitive(from)) if reads(*to, *from) => all(Vec::new()),
            (Node::Array(to), Node::Array(from)) => all(vec![(Step::Items, (*to, *from))]),
            (Node::Map(to), Node::Map(from)) => all(vec![(Step::Values, (*to, *from))]),
            (Node::Fixed(to), Node::Fixed(from)) => fixed(to, from),
            (Node::Enum(to), Node::Enum(from)) => symbols(to, from),
            (Node::Record(to, to_types), Node::Record(from, from_types)) => record(to, to_types, from, from_types),
            _ => no(Reason::Type { reader: describe(reader), writer: describe(writer) }),
        }
    }

    /// Walks the refuted pairs from the root, each once, and says what is wrong where.
    fn explain(&self, needs: &BTreeMap<Pair, Needs>, refuted: &BTreeSet<Pair>) -> Vec<Mismatch> {
        let mut found = Vec::new();
        let mut seen = BTreeSet::new();
        let mut todo = vec![((ROOT, ROOT), root_name(self.reader.node(ROOT)))];
        while let Some((pair, path)) = todo.pop() {
            if !refuted.contains(&pair) || !seen.insert(pair) {
                continue;
            }
            match &needs[&pair] {
                Needs::All(own, inner) => {
                    found.extend(own.iter().map(|reason| Mismatch { path: path.clone(), reason: reason.clone() }));
                    todo.extend(inner.iter().rev().map(|(step, pair)| (*pair, step.after(&path))));
                }
                // Only a branch that is meant (same kind, same name) is worth explaining further.
                Needs::Any(branches, lacking) => match branches.iter().find(|pair| self.same_kind(**pair)) {
                    Some(meant) => todo.push((*meant, path)),
                    None => found.push(Mismatch { path, reason: lacking.clone() }),
                },
            }
        }
        found
    }

    fn same_kind(&self, (r, w): Pair) -> bool {
        match (self.reader.node(r), self.writer.node(w)) {
            (Node::Array(_), Node::Array(_)) | (Node::Map(_), Node::Map(_)) => true,
            (Node::Record(to, _), Node::Record(from, _)) => named_alike(&to.name, &to.aliases, &from.name),
            (Node::Enum(to), Node::Enum(from)) => named_alike(&to.name, &to.aliases, &from.name),
            (Node::Fixed(to), Node::Fixed(from)) => named_alike(&to.name, &to.aliases, &from.name),
            _ => false,
        }
    }
}

/// The greatest set of pairs that support each other stays; everything else is refuted.
fn refuted(needs: &BTreeMap<Pair, Needs>) -> BTreeSet<Pair> {
    let mut refuted = BTreeSet::new();
    loop {
        let falls = |needs: &Needs| match needs {
            Needs::All(own, inner) => !own.is_empty() || inner.iter().any(|(_, pair)| refuted.contains(pair)),
            Needs::Any(branches, _) => branches.iter().all(|pair| refuted.contains(pair)),
        };
        let struck: Vec<Pair> = needs
            .iter()
            .filter(|(pair, needs)| !refuted.contains(*pair) && falls(needs))
            .map(|(pair, _)| *pair)
            .collect();
        if struck.is_empty() {
            return refuted;
        }
        refuted.extend(struck);
    }
}

fn all(inner: Vec<(Step, Pair)>) -> Needs {
    Needs::All(Vec::new(), inner)
}

fn no(reason: Reason) -> Needs {
    Needs::All(vec![reason], Vec::new())
}

fn reads(to: Primitive, from: Primitive) -> bool {
    use Primitive::*;
    to == from
        || matches!(
            (to, from),
            (Long | Float | Double, Int) | (Float | Double, Long) | (Double, Float) | (Bytes, String) | (String, Bytes)
        )
}

fn fixed(to: &FixedSchema, from: &FixedSchema) -> Needs {
    let mut own = name_reason(&to.name, &to.aliases, &from.name);
    if to.size != from.size {
        own.push(Reason::Size { reader: to.size, writer: from.size });
    }
    Needs::All(own, Vec::new())
}

fn symbols(to: &EnumSchema, from: &EnumSchema) -> Needs {
    let mut own = name_reason(&to.name, &to.aliases, &from.name);
    let lacking: Vec<String> = from.symbols.iter().filter(|symbol| !to.symbols.contains(symbol)).cloned().collect();
    if !lacking.is_empty() && !to.default.as_ref().is_some_and(|default| to.symbols.contains(default)) {
        own.push(Reason::Symbols(lacking));
    }
    Needs::All(own, Vec::new())
}

fn record(to: &RecordSchema, to_types: &[Id], from: &RecordSchema, from_types: &[Id]) -> Needs {
    let mut own = name_reason(&to.name, &to.aliases, &from.name);
    if !own.is_empty() {
        return Needs::All(own, Vec::new()); // another record: its fields would only add noise
    }
    let mut inner = Vec::new();
    for (field, to_type) in to.fields.iter().zip(to_types) {
        match sources(field, from).as_slice() {
            [] if field.default.is_some() => {}
            [] => own.push(Reason::Default(field.name.clone())),
            [source] => inner.push((Step::Field(field.name.clone()), (*to_type, from_types[*source]))),
            _ => own.push(Reason::Ambiguous(field.name.clone())),
        }
    }
    Needs::All(own, inner)
}

/// The writer's fields that the reader's field answers to, by its name or an alias.
fn sources(field: &RecordField, from: &RecordSchema) -> Vec<usize> {
    let answers = |name: &String| *name == field.name || field.aliases.contains(name);
    from.fields.iter().enumerate().filter(|(_, source)| answers(&source.name)).map(|(index, _)| index).collect()
}

fn name_reason(to: &Name, aliases: &Aliases, from: &Name) -> Vec<Reason> {
    if named_alike(to, aliases, from) {
        return Vec::new();
    }
    vec![Reason::Name { reader: to.to_string(), writer: from.to_string() }]
}

/// As in Java, namespaces may differ when the last part of the name is the same; an alias must match in full.
fn named_alike(to: &Name, aliases: &Aliases, from: &Name) -> bool {
    to.name() == from.name() || aliases.iter().flatten().any(|alias| alias.fully_qualified_name(None).as_ref() == from)
}

impl Step {
    fn after(&self, path: &str) -> String {
        match self {
            Step::Field(name) => format!("{path}.{name}"),
            Step::Items => format!("{path}[]"),
            Step::Values => format!("{path}{{}}"),
            Step::Same => path.to_owned(),
        }
    }
}

fn root_name(node: &Node) -> String {
    match node {
        Node::Record(record, _) => record.name.name().to_owned(),
        _ => "$".to_owned(),
    }
}

fn describe(node: &Node) -> String {
    match node {
        Node::Primitive(primitive) => format!("{primitive:?}").to_lowercase(),
        Node::Array(_) => "array".to_owned(),
        Node::Map(_) => "map".to_owned(),
        Node::Union(_) => "union".to_owned(),
        Node::Fixed(fixed) => format!("fixed {}", fixed.name),
        Node::Enum(symbols) => format!("enum {}", symbols.name),
        Node::Record(record, _) => format!("record {}", record.name),
        Node::Undefined(name) => format!("{name} (never defined)"),
    }
}
