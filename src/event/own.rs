//! Facts that do not ship with fairlead: who brings an operator of his own brings the facts that it reads and tells.
//!
//! Such a fact travels as its Avro body, which fits the schema of its kind when an operator gets it: what does not is a dead letter
//! before. The operator reads and writes the body with [`crate::codec::avro`]. Topologies made in code can carry these facts.
//! What is *not* here: names for them in topology files, and evolution: a body is read only under the schema that it is written with.

use std::borrow::Cow;

use super::text::Text;

/// One of somebody's kinds of facts. [`super::FactKind::Own`] points to it.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OwnKind {
    pub name: &'static str,
    /// What the key is: facts meet in one state only if they are keyed by the same.
    pub keyed_by: &'static str,
    /// A record whose first field is a string, the key.
    pub schema_json: &'static str,
}

#[derive(Clone, Debug, PartialEq)]
pub struct OwnFact<'a> {
    pub kind: &'static OwnKind,
    pub key: Text<'a>,
    /// Avro, without an envelope.
    pub body: Cow<'a, [u8]>,
}

impl OwnFact<'_> {
    pub fn into_owned(self) -> OwnFact<'static> {
        OwnFact { kind: self.kind, key: self.key.into_owned(), body: Cow::Owned(self.body.into_owned()) }
    }
}
