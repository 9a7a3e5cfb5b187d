//! Whether one expression holds wherever another does, as far as that is seen by looking: no solver.
//!
//! Sound, not complete: yes is certain; no means not seen. Holding is being true, so nothing is concluded from what is negated, for
//! what is undecided is neither true nor false.

use super::tree::{Constant, Kind, Node, Relation};
use super::value::{Value, equal};

pub fn implies(one: &Node, other: &Node) -> bool {
    match (&one.kind, &other.kind) {
        (Kind::Constant(Constant::Bool(false)), _) | (_, Kind::Constant(Constant::Bool(true))) => true,
        _ if one == other => true,
        (_, Kind::All(others)) => others.iter().all(|other| implies(one, other)),
        (Kind::Any(ones), _) => ones.iter().all(|one| implies(one, other)),
        (Kind::All(ones), _) if ones.iter().any(|one| implies(one, other)) => true,
        (_, Kind::Any(others)) => others.iter().any(|other| implies(one, other)),
        _ => atom_implies(one, other),
    }
}

/// Of two tests of the same thing.
fn atom_implies(one: &Node, other: &Node) -> bool {
    let Some(of) = tested(one) else { return false };
    match (&of.kind, &other.kind) {
        // What compares to something that is not null is there.
        (Kind::Field(field), Kind::HasField(asked)) => return field == asked && !may_be_null(one),
        (Kind::Entry(map, key), Kind::HasEntry(asked, name)) => return map == asked && key == name,
        _ => {}
    }
    if tested(other) != Some(of) {
        return false;
    }
    match &one.kind {
        Kind::OneOf(_, constants) => constants.iter().all(|constant| holds_of(other, constant.value())),
        Kind::Compare(relation, sides) => match &sides[1].kind {
            Kind::Constant(constant) if *relation == Relation::Equal => holds_of(other, constant.value()),
            Kind::Constant(constant) => bound_implies(*relation, constant.value(), other),
            _ => false,
        },
        _ => false,
    }
}

/// Whether it can never hold, for two tests of the same thing exclude each other.
pub fn never_holds(node: &Node) -> bool {
    match &node.kind {
        Kind::Constant(Constant::Bool(value)) => !value,
        Kind::Any(nodes) => nodes.iter().all(never_holds),
        Kind::All(nodes) => nodes.iter().enumerate().any(|(at, one)| {
            never_holds(one) || nodes[..at].iter().any(|other| excludes(one, other) || excludes(other, one))
        }),
        _ => false,
    }
}

fn excludes(one: &Node, other: &Node) -> bool {
    if tested(one).is_none() || tested(one) != tested(other) {
        return false;
    }
    let Kind::Compare(relation, sides) = &one.kind else {
        return matches!(&one.kind, Kind::OneOf(_, constants) if !constants.iter().any(|one| holds_of(other, one.value())));
    };
    let Kind::Constant(bound) = &sides[1].kind else { return false };
    if *relation == Relation::Equal {
        return !holds_of(other, bound.value());
    }
    let Kind::Compare(below, sides) = &other.kind else { return false };
    let Kind::Constant(limit) = &sides[1].kind else { return false };
    let leaves_room = match (relation, below) {
        (Relation::AtLeast, Relation::AtMost) => Relation::AtMost,
        (Relation::Greater | Relation::AtLeast, Relation::Less | Relation::AtMost) => Relation::Less,
        _ => return false,
    };
    leaves_room.between(bound.value(), limit.value()) == Ok(false)
}

/// What a test against constants alone is about.
fn tested(node: &Node) -> Option<&Node> {
    match &node.kind {
        Kind::Compare(_, sides) => matches!(sides[1].kind, Kind::Constant(_)).then_some(&sides[0]),
        Kind::Part(_, sides) => matches!(sides[1].kind, Kind::Constant(_)).then_some(&sides[0]),
        Kind::OneOf(of, _) | Kind::Matches(of, _) => Some(of),
        _ => None,
    }
}

/// A test that null passes too.
fn may_be_null(test: &Node) -> bool {
    match &test.kind {
        Kind::Compare(Relation::Unequal, sides) => sides[1].kind != Kind::Constant(Constant::Null),
        Kind::Compare(Relation::Equal, sides) => sides[1].kind == Kind::Constant(Constant::Null),
        _ => false,
    }
}

/// Whether a test passes for this very value.
fn holds_of(test: &Node, value: Value<'_>) -> bool {
    match &test.kind {
        Kind::Compare(relation, sides) => match &sides[1].kind {
            Kind::Constant(constant) => relation.between(value, constant.value()) == Ok(true),
            _ => false,
        },
        Kind::OneOf(_, constants) => constants.iter().any(|constant| equal(value, constant.value())),
        Kind::Part(part, sides) => match (&sides[1].kind, value) {
            (Kind::Constant(Constant::Text(sought)), Value::Text(text)) => part.is_in(text, sought),
            _ => false,
        },
        Kind::Matches(_, pattern) => matches!(value, Value::Text(text) if pattern.is_in(text) == Some(true)),
        _ => false,
    }
}

/// From a bound on one side to one on the same side, or to being unequal to what lies beyond it.
fn bound_implies(relation: Relation, bound: Value<'_>, other: &Node) -> bool {
    let Kind::Compare(asked, sides) = &other.kind else { return false };
    let Kind::Constant(constant) = &sides[1].kind else { return false };
    let (limit, beyond) =
        (constant.value(), |relation: Relation| relation.between(bound, constant.value()) == Ok(true));
    match (relation, asked) {
        (Relation::Greater, Relation::Greater | Relation::AtLeast | Relation::Unequal) => {
            limit == Value::Null || beyond(Relation::AtLeast)
        }
        (Relation::AtLeast, Relation::AtLeast) => beyond(Relation::AtLeast),
        (Relation::AtLeast, Relation::Greater | Relation::Unequal) => limit == Value::Null || beyond(Relation::Greater),
        (Relation::Less, Relation::Less | Relation::AtMost | Relation::Unequal) => {
            limit == Value::Null || beyond(Relation::AtMost)
        }
        (Relation::AtMost, Relation::AtMost) => beyond(Relation::AtMost),
        (Relation::AtMost, Relation::Less | Relation::Unequal) => limit == Value::Null || beyond(Relation::Less),
        _ => false,
    }
}
