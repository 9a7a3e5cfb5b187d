//! Schema compatibility: may this schema follow those, and if not, where and why.
//!
//! One checker for start-up, the registry and the tests, because apache-avro's own is too lax (it lets a reader without
//! null take a nullable field, and an enum without a default take symbols it does not know). The rules are those of
//! Java's `SchemaCompatibility`, which every Confluent-compatible registry applies; a corpus in
//! `tests/it/cases/compat/` holds Java's verdicts and a test holds us to them.
//!
//! Not here: parsing, canonical form, and which level a subject has.
#![deny(clippy::disallowed_methods, clippy::disallowed_types, clippy::disallowed_macros)]

mod rules;
mod shape;

use apache_avro::Schema;
use std::fmt;
use std::str::FromStr;

/// How a subject's schemas must relate to their predecessors; Confluent's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    None,
    Backward,
    BackwardTransitive,
    Forward,
    ForwardTransitive,
    Full,
    FullTransitive,
}

/// A schema that is already registered.
#[derive(Debug, Clone, Copy)]
pub struct Existing<'s> {
    pub version: u32,
    pub schema: &'s Schema,
}

/// One broken promise: which version, which way round, where, why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    pub version: u32,
    pub direction: Direction,
    pub mismatch: Mismatch,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// The new schema cannot read what the version wrote.
    Backward,
    /// The version cannot read what the new schema will write.
    Forward,
}

/// Where and why a reader cannot take what a writer writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// Field names from the root, `[]` for an array's items, `{}` for a map's values.
    pub path: String,
    pub reason: Reason,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// The types do not fit and no promotion leads from one to the other.
    Type {
        reader: String,
        writer: String,
    },
    /// No branch of the reader's union takes what is written.
    Branch(String),
    Name {
        reader: String,
        writer: String,
    },
    /// The reader's field is not written, and has no default.
    Default(String),
    /// The reader's field answers to several of the writer's fields.
    Ambiguous(String),
    /// Symbols that the reader does not know, and has no default for.
    Symbols(Vec<String>),
    Size {
        reader: usize,
        writer: usize,
    },
}

/// Every reason why `reader` cannot take all that `writer` can write; none means that it can.
pub fn mismatches(reader: &Schema, writer: &Schema) -> Vec<Mismatch> {
    rules::mismatches(reader, writer)
}

/// What stands in the way of registering `new` after `existing` (oldest first) at this level; nothing means it may.
pub fn conflicts(level: Level, new: &Schema, existing: &[Existing<'_>]) -> Vec<Conflict> {
    let (backward, forward) = level.directions();
    let first = if level.transitive() { 0 } else { existing.len().saturating_sub(1) };
    let mut found = Vec::new();
    for old in &existing[first..] {
        let mut add = |direction, mismatches: Vec<Mismatch>| {
            found.extend(mismatches.into_iter().map(|mismatch| Conflict { version: old.version, direction, mismatch }));
        };
        if backward {
            add(Direction::Backward, mismatches(new, old.schema));
        }
        if forward {
            add(Direction::Forward, mismatches(old.schema, new));
        }
    }
    found
}

impl Level {
    pub const ALL: [Level; 7] = [
        Level::None,
        Level::Backward,
        Level::BackwardTransitive,
        Level::Forward,
        Level::ForwardTransitive,
        Level::Full,
        Level::FullTransitive,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Level::None => "NONE",
            Level::Backward => "BACKWARD",
            Level::BackwardTransitive => "BACKWARD_TRANSITIVE",
            Level::Forward => "FORWARD",
            Level::ForwardTransitive => "FORWARD_TRANSITIVE",
            Level::Full => "FULL",
            Level::FullTransitive => "FULL_TRANSITIVE",
        }
    }

    fn directions(self) -> (bool, bool) {
        match self {
            Level::None => (false, false),
            Level::Backward | Level::BackwardTransitive => (true, false),
            Level::Forward | Level::ForwardTransitive => (false, true),
            Level::Full | Level::FullTransitive => (true, true),
        }
    }

    fn transitive(self) -> bool {
        matches!(self, Level::BackwardTransitive | Level::ForwardTransitive | Level::FullTransitive)
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "`{0}` is no compatibility level; use one of NONE, BACKWARD, BACKWARD_TRANSITIVE, FORWARD, FORWARD_TRANSITIVE, FULL, FULL_TRANSITIVE"
)]
pub struct UnknownLevel(pub String);

impl FromStr for Level {
    type Err = UnknownLevel;

    fn from_str(name: &str) -> Result<Self, UnknownLevel> {
        let level = Level::ALL.into_iter().find(|level| level.name().eq_ignore_ascii_case(name));
        level.ok_or_else(|| UnknownLevel(name.to_owned()))
    }
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (version, mismatch) = (self.version, &self.mismatch);
        match self.direction {
            Direction::Backward => write!(f, "the new schema cannot read version {version}: {mismatch}"),
            Direction::Forward => write!(f, "version {version} cannot read the new schema: {mismatch}"),
        }
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.reason)
    }
}

impl fmt::Display for Reason {
    /// What is wrong, then after the semicolon how to mend it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Type { reader, writer } => {
                write!(
                    f,
                    "a reader's {reader} cannot take a written {writer}; keep the type, or add a field of another name"
                )
            }
            Reason::Branch(writer) => {
                write!(
                    f,
                    "no branch of the reader's union takes a written {writer}; add that branch to the reader's union"
                )
            }
            Reason::Name { reader, writer } => {
                write!(f, "the reader's {reader} is not the written {writer}; give the reader the alias {writer}")
            }
            Reason::Default(field) => {
                write!(f, "the reader's field {field} is not written and has no default; give it a default")
            }
            Reason::Ambiguous(field) => {
                write!(
                    f,
                    "the reader's field {field} answers to several written fields; take the needless aliases away"
                )
            }
            Reason::Symbols(symbols) => {
                let symbols = symbols.join(", ");
                write!(f, "the reader's enum does not know {symbols}; add them, or give the enum a default")
            }
            Reason::Size { reader, writer } => {
                write!(f, "the reader's fixed has {reader} bytes, the written one {writer}; keep the size")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema(text: &str) -> Schema {
        Schema::parse_str(text).expect("a test schema parses")
    }

    fn record(fields: &str) -> Schema {
        schema(&format!(r#"{{"type":"record","name":"Alert","namespace":"a","fields":[{fields}]}}"#))
    }

    fn reasons(reader: &Schema, writer: &Schema) -> Vec<String> {
        mismatches(reader, writer).iter().map(Mismatch::to_string).collect()
    }

    #[test]
    fn what_apache_avro_lets_through_is_refused() {
        let nullable = schema(r#"["null","int"]"#);
        assert_eq!(
            reasons(&schema(r#""int""#), &nullable),
            ["$: a reader's int cannot take a written null; keep the type, or add a field of another name"]
        );
        assert_eq!(
            reasons(&nullable, &schema(r#"["null","int","string"]"#)),
            ["$: no branch of the reader's union takes a written string; add that branch to the reader's union"]
        );
        let (few, many) =
            (r#"{"type":"enum","name":"E","symbols":["A"]}"#, r#"{"type":"enum","name":"E","symbols":["A","B"]}"#);
        assert_eq!(
            reasons(&schema(few), &schema(many)),
            ["$: the reader's enum does not know B; add them, or give the enum a default"]
        );
    }

    #[test]
    fn what_apache_avro_refuses_needlessly_passes() {
        let renamed = r#"{"type":"record","name":"New","aliases":["Old"],"fields":[]}"#;
        assert_eq!(reasons(&schema(renamed), &schema(r#"{"type":"record","name":"Old","fields":[]}"#)), [""; 0]);
        let decimal =
            |scale: u8| schema(&format!(r#"{{"type":"bytes","logicalType":"decimal","precision":9,"scale":{scale}}}"#));
        assert_eq!(reasons(&decimal(2), &decimal(3)), [""; 0]);
    }

    #[test]
    fn a_path_leads_to_the_field_through_arrays_maps_and_unions() {
        let inner = |ty: &str| {
            record(&format!(
                r#"{{"name":"groups","type":{{"type":"array","items":{{"type":"map","values":["null",
                    {{"type":"record","name":"Group","fields":[{{"name":"size","type":"{ty}"}}]}}]}}}}}}"#
            ))
        };
        assert_eq!(
            reasons(&inner("int"), &inner("string")),
            [
                "Alert.groups[]{}.size: a reader's int cannot take a written string; keep the type, or add a field of another name"
            ]
        );
    }

    #[test]
    fn every_mismatch_is_reported_once_and_in_order() {
        let reader =
            record(r#"{"name":"a","type":"int"},{"name":"b","type":"int"},{"name":"c","type":"int","default":1}"#);
        let writer = record(r#"{"name":"b","type":"string"}"#);
        assert_eq!(
            reasons(&reader, &writer),
            [
                "Alert: the reader's field a is not written and has no default; give it a default",
                "Alert.b: a reader's int cannot take a written string; keep the type, or add a field of another name",
            ]
        );
    }

    #[test]
    fn a_recursive_type_is_compatible_unless_a_step_around_the_circle_is_not() {
        let list = |value: &str| {
            schema(&format!(
                r#"{{"type":"record","name":"List","fields":[{{"name":"value","type":"{value}"}},{{"name":"next","type":["null","List"]}}]}}"#
            ))
        };
        assert_eq!(reasons(&list("long"), &list("int")), [""; 0]);
        assert_eq!(mismatches(&list("int"), &list("long")).len(), 1);
    }

    #[test]
    fn what_was_assumed_inside_a_circle_does_not_outlive_it() {
        // `r.P` cannot read the written P (`bad`), but `s.P` can, so field x passes. Q holds a P, and only `r.P` may take it:
        // y must fail. A checker that remembers "Q is fine" from the time when it still assumed `r.P` lets y pass (Java's does).
        let q = r#"{"type":"record","name":"Q","fields":[{"name":"p","type":["null","P"]}]}"#;
        let p = |bad: &str| {
            format!(
                r#"{{"type":"record","name":"P","namespace":"r","fields":[{{"name":"q","type":{q}}},{{"name":"bad","type":"{bad}"}}]}}"#
            )
        };
        let root = |x: String| {
            schema(&format!(
                r#"{{"type":"record","name":"Root","fields":[{{"name":"x","type":{x}}},{{"name":"y","type":"r.Q"}}]}}"#
            ))
        };
        let reader = root(format!(r#"[{},{{"type":"record","name":"P","namespace":"s","fields":[]}}]"#, p("int")));
        let writer = root(p("string"));
        let paths: Vec<String> = mismatches(&reader, &writer).into_iter().map(|mismatch| mismatch.path).collect();
        assert_eq!(paths, ["Root.y.p.bad"]);
    }

    #[test]
    fn levels_look_the_right_way_and_far_enough() {
        let one = record(r#"{"name":"a","type":"int"}"#);
        let two = record(r#"{"name":"a","type":"int","default":0},{"name":"b","type":"int","default":0}"#);
        let three = record(r#"{"name":"b","type":"int"}"#); // reads two, not one; read by two, not by one
        let existing = [Existing { version: 1, schema: &one }, Existing { version: 2, schema: &two }];
        let found = |level| -> Vec<(u32, Direction)> {
            conflicts(level, &three, &existing).into_iter().map(|c| (c.version, c.direction)).collect()
        };
        assert_eq!(found(Level::None), []);
        assert_eq!(found(Level::Backward), []);
        assert_eq!(found(Level::BackwardTransitive), [(1, Direction::Backward)]);
        assert_eq!(found(Level::Forward), []);
        assert_eq!(found(Level::ForwardTransitive), [(1, Direction::Forward)]);
        assert_eq!(found(Level::Full), []);
        assert_eq!(found(Level::FullTransitive), [(1, Direction::Backward), (1, Direction::Forward)]);
    }

    #[test]
    fn a_level_is_read_in_any_case_and_a_wrong_one_is_named() {
        for level in Level::ALL {
            assert_eq!(level.name().to_lowercase().parse(), Ok(level));
        }
        assert_eq!("SIDEWAYS".parse::<Level>(), Err(UnknownLevel("SIDEWAYS".to_owned())));
    }
}
