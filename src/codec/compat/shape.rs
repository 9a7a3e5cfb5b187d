//! What a schema looks like on the wire: logical types taken off, names resolved, every type a numbered node.
//!
//! A recursive schema is a graph, so pairs of nodes (and not pairs of trees) are what the checker compares.
//! Not here: any rule about compatibility.

use apache_avro::Schema;
use apache_avro::schema::{EnumSchema, FixedSchema, InnerDecimalSchema, Name, RecordSchema, UuidSchema};
use std::collections::BTreeMap;

/// A node's number within its shape; the root is [`ROOT`].
pub(super) type Id = usize;

pub(super) const ROOT: Id = 0;

#[derive(Debug)]
pub(super) struct Shape<'s> {
    nodes: Vec<Node<'s>>,
}

#[derive(Debug, Clone)]
pub(super) enum Node<'s> {
    Primitive(Primitive),
    Array(Id),
    Map(Id),
    Union(Vec<Id>),
    Fixed(&'s FixedSchema),
    Enum(&'s EnumSchema),
    /// The ids are those of the fields' types, in the order of the fields.
    Record(&'s RecordSchema, Vec<Id>),
    /// A name that the schema uses and never defines. Nothing reads it and it reads nothing.
    Undefined(&'s Name),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Primitive {
    Null,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    String,
}

impl<'s> Shape<'s> {
    pub(super) fn of(schema: &'s Schema) -> Self {
        let mut builder = Builder { nodes: Vec::new(), named: BTreeMap::new() };
        builder.add(schema);
        Shape { nodes: builder.nodes }
    }

    pub(super) fn node(&self, id: Id) -> &Node<'s> {
        &self.nodes[id]
    }
}

struct Builder<'s> {
    nodes: Vec<Node<'s>>,
    named: BTreeMap<String, Id>,
}

impl<'s> Builder<'s> {
    fn add(&mut self, schema: &'s Schema) -> Id {
        match schema {
            Schema::Null => self.primitive(Primitive::Null),
            Schema::Boolean => self.primitive(Primitive::Boolean),
            Schema::Int | Schema::Date | Schema::TimeMillis => self.primitive(Primitive::Int),
            Schema::Long
            | Schema::TimeMicros
            | Schema::TimestampMillis
            | Schema::TimestampMicros
            | Schema::TimestampNanos
            | Schema::LocalTimestampMillis
            | Schema::LocalTimestampMicros
            | Schema::LocalTimestampNanos => self.primitive(Primitive::Long),
            Schema::Float => self.primitive(Primitive::Float),
            Schema::Double => self.primitive(Primitive::Double),
            Schema::Bytes | Schema::BigDecimal | Schema::Uuid(UuidSchema::Bytes) => self.primitive(Primitive::Bytes),
            Schema::String | Schema::Uuid(UuidSchema::String) => self.primitive(Primitive::String),
            Schema::Decimal(decimal) => match &decimal.inner {
                InnerDecimalSchema::Bytes => self.primitive(Primitive::Bytes),
                InnerDecimalSchema::Fixed(fixed) => self.named(&fixed.name, Node::Fixed(fixed)),
            },
            Schema::Fixed(fixed) | Schema::Duration(fixed) | Schema::Uuid(UuidSchema::Fixed(fixed)) => {
                self.named(&fixed.name, Node::Fixed(fixed))
            }
            Schema::Enum(symbols) => self.named(&symbols.name, Node::Enum(symbols)),
            Schema::Array(array) => self.around(&array.items, Node::Array),
            Schema::Map(map) => self.around(&map.types, Node::Map),
            Schema::Union(union) => {
                let id = self.push(Node::Union(Vec::new()));
                let branches = union.variants().iter().map(|branch| self.add(branch)).collect();
                self.nodes[id] = Node::Union(branches);
                id
            }
            Schema::Record(record) => {
                let id = self.named(&record.name, Node::Record(record, Vec::new()));
                let fields = record.fields.iter().map(|field| self.add(&field.schema)).collect();
                self.nodes[id] = Node::Record(record, fields);
                id
            }
            Schema::Ref { name } => match self.named.get(name.as_ref()) {
                Some(id) => *id,
                None => self.push(Node::Undefined(name)),
            },
        }
    }

    fn push(&mut self, node: Node<'s>) -> Id {
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    fn primitive(&mut self, primitive: Primitive) -> Id {
        self.push(Node::Primitive(primitive))
    }

    /// The number is given before the inside is walked, so that the inside can refer back to it.
    fn named(&mut self, name: &'s Name, node: Node<'s>) -> Id {
        let id = self.push(node);
        self.named.insert(name.as_ref().to_owned(), id);
        id
    }

    fn around(&mut self, inner: &'s Schema, node: fn(Id) -> Node<'s>) -> Id {
        let id = self.push(Node::Primitive(Primitive::Null)); // keeps the outer number before the inner ones
        let inner = self.add(inner);
        self.nodes[id] = node(inner);
        id
    }
}
