//! A checked expression: every name is resolved, every type fits, every pattern is compiled.

use super::Span;
use super::pattern::Pattern;

#[derive(Clone, Debug)]
pub struct Node {
    pub at: Span,
    pub kind: Kind,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    Constant(Constant),
    Field(Field),
    /// `labels["…"]`
    Entry(Map, Box<Node>),
    HasField(Field),
    HasEntry(Map, Box<Node>),
    Not(Box<Node>),
    Negative(Box<Node>),
    /// `&&` of at least two.
    All(Vec<Node>),
    /// `||` of at least two.
    Any(Vec<Node>),
    /// If, then, else.
    Conditional(Box<[Node; 3]>),
    /// What is constant stands on the right.
    Compare(Relation, Box<[Node; 2]>),
    OneOf(Box<Node>, Vec<Constant>),
    Arithmetic(Operation, Box<[Node; 2]>),
    Part(Part, Box<[Node; 2]>),
    Matches(Box<Node>, Pattern),
    Size(Box<Node>),
    SizeOf(Map),
    ToDouble(Box<Node>),
    ToInt(Box<Node>),
}

/// Where a node stands says nothing about what it says.
impl PartialEq for Node {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind
    }
}

#[derive(Clone, Debug, PartialEq)]
pub enum Constant {
    Null,
    Bool(bool),
    Int(i64),
    Double(f64),
    Text(String),
}

/// What an expression can name and is one value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    Source,
    Fingerprint,
    StartsAtMs,
    Service,
    Name,
    Environment,
    Namespace,
    Value,
    GeneratorUrl,
    Repeats,
    Trend,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Map {
    Labels,
    Annotations,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    Equal,
    Unequal,
    Less,
    AtMost,
    Greater,
    AtLeast,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

/// Where in a text another one is sought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Anywhere,
    Start,
    End,
}

impl Field {
    /// As the fact's schema names it.
    pub fn of_alert(name: &str) -> Option<Self> {
        Some(match name {
            "source" => Field::Source,
            "fingerprint" => Field::Fingerprint,
            "starts_at_ms" => Field::StartsAtMs,
            "service" => Field::Service,
            "name" => Field::Name,
            "environment" => Field::Environment,
            "namespace" => Field::Namespace,
            "value" => Field::Value,
            "generator_url" => Field::GeneratorUrl,
            _ => return None,
        })
    }
}

impl Map {
    pub fn of_alert(name: &str) -> Option<Self> {
        match name {
            "labels" => Some(Map::Labels),
            "annotations" => Some(Map::Annotations),
            _ => None,
        }
    }
}

impl Relation {
    pub fn of(sign: &str) -> Option<Self> {
        Some(match sign {
            "==" => Relation::Equal,
            "!=" => Relation::Unequal,
            "<" => Relation::Less,
            "<=" => Relation::AtMost,
            ">" => Relation::Greater,
            ">=" => Relation::AtLeast,
            _ => return None,
        })
    }

    pub fn is_order(self) -> bool {
        !matches!(self, Relation::Equal | Relation::Unequal)
    }

    /// The same with its sides exchanged.
    pub fn flipped(self) -> Self {
        match self {
            Relation::Less => Relation::Greater,
            Relation::AtMost => Relation::AtLeast,
            Relation::Greater => Relation::Less,
            Relation::AtLeast => Relation::AtMost,
            same => same,
        }
    }
}
