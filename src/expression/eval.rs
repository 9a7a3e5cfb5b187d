//! What an expression comes to: CEL's values and its logic of what is undecided, without an allocation.

use super::tree::{Constant, Field, Kind, Map, Node};
use super::value::{Outcome, Undecided, Value, double, equal, int};
use crate::event::{Alert, AlertStatus, Labels};

/// What an expression may look at.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    pub alert: &'a Alert<'a>,
    pub repeats: i32,
    pub trend: Trend,
}

/// Where the last values of an episode went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trend {
    Rising,
    Falling,
    None,
}

impl Trend {
    pub const NAMES: [&str; 3] = ["rising", "falling", "none"];

    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }
}

/// Of a node that is a condition; `check` lets no other in such places.
pub fn decide(node: &Node, scope: &Scope<'_>) -> Outcome<bool> {
    match &node.kind {
        Kind::All(nodes) => all(nodes, scope),
        // De Morgan: what one false makes false of all, one true makes true of any.
        Kind::Any(nodes) => any(nodes, scope),
        Kind::Not(of) => decide(of, scope).map(|holds| !holds),
        Kind::Conditional(parts) => {
            let [condition, then, otherwise] = &**parts;
            if decide(condition, scope)? { decide(then, scope) } else { decide(otherwise, scope) }
        }
        Kind::HasField(field) => scope.field(*field).map(|value| value != Value::Null),
        Kind::HasEntry(map, key) => {
            let key = text(key, scope)?;
            Ok(scope.map(*map)?.get(key).is_some())
        }
        Kind::Compare(relation, sides) => {
            let [left, right] = &**sides;
            relation.between(value(left, scope)?, value(right, scope)?)
        }
        Kind::OneOf(of, constants) => {
            let of = value(of, scope)?;
            Ok(constants.iter().any(|constant| equal(of, constant.value())))
        }
        Kind::Part(part, sides) => {
            let [of, sought] = &**sides;
            Ok(part.is_in(text(of, scope)?, text(sought, scope)?))
        }
        Kind::Matches(of, pattern) => pattern.is_in(text(of, scope)?).ok_or(Undecided::TooLong),
        Kind::Constant(Constant::Bool(value)) => Ok(*value),
        _ => Ok(false),
    }
}

fn all(nodes: &[Node], scope: &Scope<'_>) -> Outcome<bool> {
    let mut outcome = Ok(true);
    for node in nodes {
        match decide(node, scope) {
            Ok(false) => return Ok(false),
            Ok(true) => {}
            undecided => outcome = outcome.and(undecided),
        }
    }
    outcome
}

fn any(nodes: &[Node], scope: &Scope<'_>) -> Outcome<bool> {
    let mut outcome = Ok(false);
    for node in nodes {
        match decide(node, scope) {
            Ok(true) => return Ok(true),
            Ok(false) => {}
            undecided => outcome = outcome.and(undecided),
        }
    }
    outcome
}

/// Of any node.
pub fn value<'a>(node: &'a Node, scope: &Scope<'a>) -> Outcome<Value<'a>> {
    Ok(match &node.kind {
        Kind::Constant(constant) => constant.value(),
        Kind::Field(field) => scope.field(*field)?,
        Kind::Entry(map, key) => {
            let key = text(key, scope)?;
            Value::Text(scope.map(*map)?.get(key).ok_or(Undecided::NoEntry(*map))?)
        }
        Kind::Conditional(parts) => {
            let [condition, then, otherwise] = &**parts;
            return value(if decide(condition, scope)? { then } else { otherwise }, scope);
        }
        Kind::Negative(of) => match value(of, scope)? {
            Value::Int(value) => Value::Int(value.checked_neg().ok_or(Undecided::Overflow)?),
            other => Value::Double(-double(other)?),
        },
        Kind::Arithmetic(operation, sides) => {
            let [left, right] = &**sides;
            operation.of(value(left, scope)?, value(right, scope)?)?
        }
        Kind::Size(of) => Value::Int(length(text(of, scope)?.chars().count())),
        Kind::SizeOf(map) => Value::Int(length(scope.map(*map)?.len())),
        Kind::ToDouble(of) => Value::Double(double(value(of, scope)?)?),
        Kind::ToInt(of) => Value::Int(int(value(of, scope)?)?),
        _ => Value::Bool(decide(node, scope)?),
    })
}

fn text<'a>(node: &'a Node, scope: &Scope<'a>) -> Outcome<&'a str> {
    match value(node, scope)? {
        Value::Text(text) => Ok(text),
        _ => Err(Undecided::Null),
    }
}

fn length(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

impl<'a> Scope<'a> {
    fn field(&self, field: Field) -> Outcome<Value<'a>> {
        let alert = self.alert;
        let course = matches!(field, Field::Value | Field::Repeats | Field::Trend);
        if course && alert.status == AlertStatus::Resolved {
            return Err(Undecided::Over);
        }
        let told = |text: &'a Option<crate::event::Text<'a>>| text.as_deref().map_or(Value::Null, Value::Text);
        Ok(match field {
            Field::Source => Value::Text(&alert.source),
            Field::Fingerprint => Value::Text(&alert.fingerprint),
            Field::StartsAtMs => Value::Int(alert.starts_at_ms),
            Field::Service => Value::Text(&alert.service),
            Field::Name => Value::Text(&alert.name),
            Field::Environment => told(&alert.environment),
            Field::Namespace => told(&alert.namespace),
            Field::Value => alert.value.filter(|value| value.is_finite()).map_or(Value::Null, Value::Double),
            Field::GeneratorUrl => told(&alert.generator_url),
            Field::Repeats => Value::Int(self.repeats.into()),
            Field::Trend => Value::Text(self.trend.name()),
        })
    }

    fn map(&self, map: Map) -> Outcome<&'a Labels<'a>> {
        match map {
            Map::Labels => Ok(&self.alert.labels),
            // What they say of a value is told with it.
            Map::Annotations if self.alert.status == AlertStatus::Resolved => Err(Undecided::Over),
            Map::Annotations => Ok(&self.alert.annotations),
        }
    }
}
