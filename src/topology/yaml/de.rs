//! serde over [`Node`], reporting *all* problems of a node and not only the first.
//!
//! serde stops at the first error. So a value that cannot be read is reported, skipped, and the whole is read again without
//! it, until nothing new is found; that a skipped value is then missing is a consequence and not told. Unknown fields are
//! reported for every struct, whether or not it denies them.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt::{self, Display};
use std::marker::PhantomData;

use serde::de::value::StrDeserializer;
use serde::de::{
    self, DeserializeOwned, DeserializeSeed, EnumAccess, Expected, IntoDeserializer, MapAccess, SeqAccess, Unexpected,
    VariantAccess, Visitor,
};
use serde::{Deserialize, Deserializer, forward_to_deserialize_any};

use super::super::problem::{At, Problem, suggest};
use super::{Entry, Node, Value};

/// The value of a node, or its problems.
pub fn read<T: DeserializeOwned>(node: &Node, problems: &mut Vec<Problem>) -> Option<T> {
    let before = problems.len();
    salvage(node, problems).filter(|_| problems.len() == before)
}

/// As much of the value as can be read: what is wrong is left out, which may let defaults in, and told.
pub fn salvage<T: DeserializeOwned>(node: &Node, problems: &mut Vec<Problem>) -> Option<T> {
    let reading = Reading::default();
    let value = loop {
        let error = match T::deserialize(Reader { node, reading: &reading }) {
            Ok(value) => break Some(value),
            Err(error) => error,
        };
        let (place, at) = error.place.unwrap_or((node, node.at.clone()));
        if !error.consequence {
            reading.problems.borrow_mut().push(Problem::error(&at, error.message));
        }
        // What was left out and is complained about again can be left out no further.
        if std::ptr::eq(place, node) || !reading.skipped.borrow_mut().insert(place) {
            break None;
        }
    };
    problems.append(&mut reading.problems.into_inner());
    value
}

/// A value and its place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Located<T> {
    pub value: T,
    pub at: At,
}

/// The name of the newtype by which [`Located`] asks for its place.
const LOCATED: &str = "fairlead::Located";

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Located<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct LocatedVisitor<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for LocatedVisitor<T> {
            type Value = Located<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value in a file")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Located<T>, A::Error> {
                let missing = || de::Error::custom("only a node of a file has a place");
                let file: String = parts.next_element()?.ok_or_else(missing)?;
                let line = parts.next_element()?.ok_or_else(missing)?;
                let column = parts.next_element()?.ok_or_else(missing)?;
                let value = parts.next_element()?.ok_or_else(missing)?;
                Ok(Located { value, at: At { file: file.into(), line, column } })
            }
        }
        deserializer.deserialize_newtype_struct(LOCATED, LocatedVisitor(PhantomData))
    }
}

/// What is known about one attempt to read a tree; nodes are told apart by their address.
#[derive(Default)]
struct Reading {
    skipped: RefCell<BTreeSet<*const Node>>,
    problems: RefCell<Vec<Problem>>,
}

impl Reading {
    fn skips(&self, node: &Node) -> bool {
        self.skipped.borrow().contains(&std::ptr::from_ref(node))
    }
}

#[derive(Debug)]
struct Error {
    message: String,
    /// The field, if this is about one that is missing.
    missing: Option<&'static str>,
    /// Another problem, already told, is the cause.
    consequence: bool,
    place: Option<(*const Node, At)>,
}

impl Error {
    fn new(message: String) -> Self {
        Self { message, missing: None, consequence: false, place: None }
    }

    /// The innermost place is the one that counts.
    fn within(mut self, node: &Node, reading: &Reading) -> Self {
        if self.place.is_none() {
            self.consequence =
                self.missing.is_some_and(|field| node.get(field).is_some_and(|value| reading.skips(value)));
            self.place = Some((node, node.at.clone()));
        }
        self
    }
}

impl Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

impl de::Error for Error {
    fn custom<T: Display>(message: T) -> Self {
        Self::new(message.to_string())
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let expected = match &*expected.to_string() {
            "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number, not negative".to_owned(),
            "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number".to_owned(),
            "f32" | "f64" => "a number".to_owned(),
            "a boolean" => "true or false".to_owned(),
            other => other.to_owned(),
        };
        let found = match found {
            Unexpected::Str(text) => format!("`{text}`"),
            Unexpected::Signed(number) => format!("`{number}`"),
            Unexpected::Unsigned(number) => format!("`{number}`"),
            Unexpected::Unit => "nothing".to_owned(),
            Unexpected::Seq => "a list".to_owned(),
            Unexpected::Map => "a mapping".to_owned(),
            other => other.to_string(),
        };
        Self::new(format!("expected {expected}, found {found}"))
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::invalid_type(found, expected)
    }

    fn missing_field(field: &'static str) -> Self {
        Self { missing: Some(field), ..Self::new(format!("`{field}` is missing; add it")) }
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        Self::new(format!("`{variant}` is unknown{}", suggest(variant, expected.iter().copied())))
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Self::new(format!("`{field}` is unknown{}", suggest(field, expected.iter().copied())))
    }
}

#[derive(Clone, Copy)]
struct Reader<'de, 'r> {
    node: &'de Node,
    reading: &'r Reading,
}

impl<'de> Reader<'de, '_> {
    fn located<T>(self, result: Result<T, Error>) -> Result<T, Error> {
        result.map_err(|error| error.within(self.node, self.reading))
    }

    fn any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.node.value {
            Value::Scalar { .. } if self.node.is_null() => visitor.visit_unit(),
            Value::Scalar { text, plain } => match infer(text, *plain) {
                serde_json::Value::Bool(value) => visitor.visit_bool(value),
                serde_json::Value::Number(number) => match (number.as_u64(), number.as_i64(), number.as_f64()) {
                    (Some(number), ..) => visitor.visit_u64(number),
                    (_, Some(number), _) => visitor.visit_i64(number),
                    (.., number) => visitor.visit_f64(number.unwrap_or(f64::NAN)),
                },
                _ => visitor.visit_borrowed_str(text),
            },
            Value::List(items) => visitor.visit_seq(List { items: items.iter(), reading: self.reading }),
            Value::Map(entries) => {
                visitor.visit_map(Map { entries: entries.iter(), value: None, reading: self.reading })
            }
        }
    }

    fn text<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.node.value {
            Value::Scalar { text, .. } if !self.node.is_null() => visitor.visit_borrowed_str(text),
            _ => self.any(visitor),
        }
    }

    fn report_unknown(self, fields: &'static [&'static str]) {
        for entry in self.node.entries() {
            if !fields.contains(&entry.name()) && self.reading.skipped.borrow_mut().insert(&entry.value) {
                let message = format!("`{}` is unknown{}", entry.name(), suggest(entry.name(), fields.iter().copied()));
                self.reading.problems.borrow_mut().push(Problem::error(&entry.key.at, message));
            }
        }
    }
}

impl<'de> Deserializer<'de> for Reader<'de, '_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.located(self.any(visitor))
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.located(self.text(visitor))
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.node.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.report_unknown(fields);
        self.deserialize_any(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, Error> {
        if name == LOCATED {
            visitor.visit_seq(Parts { reader: self, next: 0 })
        } else {
            visitor.visit_newtype_struct(self)
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let variant = match &self.node.value {
            Value::Scalar { .. } => Ok(Variant { name: self, content: None }),
            Value::Map(entries) => match &entries[..] {
                [Entry { key, value }] => {
                    let [name, content] = [key, value].map(|node| Reader { node, reading: self.reading });
                    Ok(Variant { name, content: Some(content) })
                }
                _ => Err(de::Error::custom(format!(
                    "expected one name and its content, found {} entries",
                    entries.len()
                ))),
            },
            Value::List(_) => Err(de::Error::invalid_type(Unexpected::Seq, &"a name")),
        };
        let read = variant.and_then(|variant| visitor.visit_enum(variant));
        // A name that is wrong is told where it stands, but its content goes with it: the whole is left out.
        let whole = |mut error: Error| {
            if let (Value::Map(entries), Some((place, _))) = (&self.node.value, &mut error.place)
                && entries.iter().any(|entry| std::ptr::eq(*place, &raw const entry.key))
            {
                *place = self.node;
            }
            error
        };
        self.located(read.map_err(whole))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char bytes byte_buf unit unit_struct seq tuple tuple_struct
        map ignored_any
    }
}

struct List<'de, 'r> {
    items: std::slice::Iter<'de, Node>,
    reading: &'r Reading,
}

impl<'de> SeqAccess<'de> for List<'de, '_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        let next = self.items.by_ref().find(|item| !self.reading.skips(item));
        next.map(|node| deserialize(node, self.reading, seed)).transpose()
    }
}

struct Map<'de, 'r> {
    entries: std::slice::Iter<'de, Entry>,
    value: Option<&'de Node>,
    reading: &'r Reading,
}

impl<'de> MapAccess<'de> for Map<'de, '_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        let skips = |node| self.reading.skips(node);
        let Some(entry) = self.entries.by_ref().find(|entry| !skips(&entry.key) && !skips(&entry.value)) else {
            return Ok(None);
        };
        self.value = Some(&entry.value);
        deserialize(&entry.key, self.reading, seed).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        let node = self.value.take().ok_or_else(|| Error::new("a value without its key".to_owned()))?;
        deserialize(node, self.reading, seed)
    }
}

/// What a type refuses after it was read (`try_from`) has this node for its place too.
fn deserialize<'de, T: DeserializeSeed<'de>>(node: &'de Node, reading: &Reading, seed: T) -> Result<T::Value, Error> {
    seed.deserialize(Reader { node, reading }).map_err(|error| error.within(node, reading))
}

struct Variant<'de, 'r> {
    name: Reader<'de, 'r>,
    content: Option<Reader<'de, 'r>>,
}

impl<'de> Variant<'de, '_> {
    fn content(self, expected: &str) -> Result<Self, Error> {
        let missing = || de::Error::invalid_type(Unexpected::UnitVariant, &expected);
        if self.content.is_some() { Ok(self) } else { Err(missing()) }
    }
}

impl<'de, 'r> EnumAccess<'de> for Variant<'de, 'r> {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Error> {
        Ok((seed.deserialize(self.name)?, self))
    }
}

impl<'de> VariantAccess<'de> for Variant<'de, '_> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        match self.content {
            Some(content) if !content.node.is_null() => {
                Err(Error::new("this name has no content; leave it out".to_owned())
                    .within(content.node, content.reading))
            }
            _ => Ok(()),
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Error> {
        match self.content("a name with its content")?.content {
            Some(content) => seed.deserialize(content),
            None => Err(Error::new("the content is missing".to_owned())),
        }
    }

    fn tuple_variant<V: Visitor<'de>>(self, _length: usize, visitor: V) -> Result<V::Value, Error> {
        self.newtype_variant_seed(Visit(visitor, &[]))
    }

    fn struct_variant<V: Visitor<'de>>(self, fields: &'static [&'static str], visitor: V) -> Result<V::Value, Error> {
        self.newtype_variant_seed(Visit(visitor, fields))
    }
}

/// A visitor as a seed: reads a struct, or anything if there are no fields.
struct Visit<V>(V, &'static [&'static str]);

impl<'de, V: Visitor<'de>> DeserializeSeed<'de> for Visit<V> {
    type Value = V::Value;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<V::Value, D::Error> {
        if self.1.is_empty() {
            deserializer.deserialize_any(self.0)
        } else {
            deserializer.deserialize_struct("", self.1, self.0)
        }
    }
}

/// A node's place and then itself, as [`Located`] reads it.
struct Parts<'de, 'r> {
    reader: Reader<'de, 'r>,
    next: usize,
}

impl<'de> SeqAccess<'de> for Parts<'de, '_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        let at = &self.reader.node.at;
        self.next += 1;
        let part = match self.next {
            1 => seed.deserialize(StrDeserializer::<Error>::new(&at.file)),
            2 => seed.deserialize(at.line.into_deserializer()),
            3 => seed.deserialize(at.column.into_deserializer()),
            4 => seed.deserialize(self.reader),
            _ => return Ok(None),
        };
        part.map(Some)
    }
}

/// What a scalar is by itself, in YAML's core schema.
pub(super) fn infer(text: &str, plain: bool) -> serde_json::Value {
    if !plain {
        return text.into();
    }
    match text {
        "true" => true.into(),
        "false" => false.into(),
        _ => number(text).unwrap_or_else(|| text.into()),
    }
}

fn number(text: &str) -> Option<serde_json::Value> {
    if !text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.')) {
        return None; // keeps out what Rust reads as a float: `inf`, `nan`
    }
    text.parse::<u64>().map(Into::into).or_else(|_| text.parse::<i64>().map(Into::into)).ok().or_else(|| {
        let number = text.parse::<f64>().ok().filter(|number| number.is_finite())?;
        serde_json::Number::from_f64(number).map(serde_json::Value::Number)
    })
}
