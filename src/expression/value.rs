//! Values and how they compare and count, as CEL has it; and why something cannot be decided.

use std::cmp::Ordering;
use std::fmt;

use super::tree::{Constant, Map, Operation, Part, Relation};

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Double(f64),
    Text(&'a str),
}

/// Why something cannot be decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Undecided {
    NoEntry(Map),
    Null,
    /// On a resolve.
    Over,
    NoNumber,
    TooLong,
    Overflow,
    DivisionByZero,
}

impl fmt::Display for Undecided {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Undecided::NoEntry(Map::Labels) => "there is no such label",
            Undecided::NoEntry(Map::Annotations) => "there is no such annotation",
            Undecided::Null => "it is null",
            Undecided::Over => "a resolve says nothing of it",
            Undecided::NoNumber => "it is no number",
            Undecided::TooLong => "it is too long for a pattern",
            Undecided::Overflow => "it is out of the range of whole numbers",
            Undecided::DivisionByZero => "it divides by zero",
        })
    }
}

pub type Outcome<T> = Result<T, Undecided>;

impl Constant {
    pub fn value(&self) -> Value<'_> {
        match self {
            Constant::Null => Value::Null,
            Constant::Bool(value) => Value::Bool(*value),
            Constant::Int(value) => Value::Int(*value),
            Constant::Double(value) => Value::Double(*value),
            Constant::Text(text) => Value::Text(text),
        }
    }
}

pub fn double(value: Value<'_>) -> Outcome<f64> {
    match value {
        Value::Double(value) => Ok(value),
        Value::Int(value) => Ok(value as f64),
        Value::Text(text) => text.parse().map_err(|_| Undecided::NoNumber),
        Value::Null | Value::Bool(_) => Err(Undecided::Null),
    }
}

pub fn int(value: Value<'_>) -> Outcome<i64> {
    match value {
        Value::Int(value) => Ok(value),
        // Both bounds are doubles; the upper one is the first beyond.
        Value::Double(value) if (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&value) => {
            Ok(value as i64)
        }
        Value::Double(_) => Err(Undecided::Overflow),
        Value::Text(text) => text.parse().map_err(|_| Undecided::NoNumber),
        Value::Null | Value::Bool(_) => Err(Undecided::Null),
    }
}

/// Null equals null only; numbers are equal as numbers.
pub fn equal(left: Value<'_>, right: Value<'_>) -> bool {
    match (left, right) {
        (Value::Int(_) | Value::Double(_), Value::Int(_) | Value::Double(_)) => {
            order(left, right) == Ok(Some(Ordering::Equal))
        }
        _ => left == right,
    }
}

/// `None`: one is no number at all.
fn order(left: Value<'_>, right: Value<'_>) -> Outcome<Option<Ordering>> {
    Ok(match (left, right) {
        (Value::Int(left), Value::Int(right)) => Some(left.cmp(&right)),
        (Value::Double(left), Value::Double(right)) => left.partial_cmp(&right),
        (Value::Int(left), Value::Double(right)) => exact(left, right),
        (Value::Double(left), Value::Int(right)) => exact(right, left).map(Ordering::reverse),
        (Value::Text(left), Value::Text(right)) => Some(left.cmp(right)),
        _ => return Err(Undecided::Null),
    })
}

/// A whole number against a double, without rounding the whole one.
fn exact(left: i64, right: f64) -> Option<Ordering> {
    match int(Value::Double(right)) {
        Ok(whole) => Some(left.cmp(&whole).then_with(|| 0.0.partial_cmp(&right.fract()).unwrap_or(Ordering::Equal))),
        Err(_) => (left as f64).partial_cmp(&right),
    }
}

impl Relation {
    pub fn between(self, left: Value<'_>, right: Value<'_>) -> Outcome<bool> {
        match self {
            Relation::Equal => return Ok(equal(left, right)),
            Relation::Unequal => return Ok(!equal(left, right)),
            _ => {}
        }
        let order = order(left, right)?;
        Ok(match self {
            Relation::Less => order.is_some_and(Ordering::is_lt),
            Relation::AtMost => order.is_some_and(Ordering::is_le),
            Relation::Greater => order.is_some_and(Ordering::is_gt),
            _ => order.is_some_and(Ordering::is_ge),
        })
    }
}

impl Operation {
    pub fn of<'a>(self, left: Value<'a>, right: Value<'a>) -> Outcome<Value<'a>> {
        let (Value::Int(left), Value::Int(right)) = (left, right) else {
            let (left, right) = (double(left)?, double(right)?);
            return Ok(Value::Double(match self {
                Operation::Add => left + right,
                Operation::Subtract => left - right,
                Operation::Multiply => left * right,
                Operation::Divide | Operation::Remainder => left / right,
            }));
        };
        if right == 0 && matches!(self, Operation::Divide | Operation::Remainder) {
            return Err(Undecided::DivisionByZero);
        }
        let result = match self {
            Operation::Add => left.checked_add(right),
            Operation::Subtract => left.checked_sub(right),
            Operation::Multiply => left.checked_mul(right),
            Operation::Divide => left.checked_div(right),
            Operation::Remainder => left.checked_rem(right),
        };
        result.map(Value::Int).ok_or(Undecided::Overflow)
    }
}

impl Part {
    pub fn is_in(self, text: &str, sought: &str) -> bool {
        match self {
            Part::Anywhere => text.contains(sought),
            Part::Start => text.starts_with(sought),
            Part::End => text.ends_with(sought),
        }
    }
}
