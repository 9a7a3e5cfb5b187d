//! When a rule holds: a mapping of what is asked (`{ alerts: […], value_above: 1000 }`) or an expression in CEL's syntax
//! (`'alert.labels["code"] == "503" && alert.value > 1000.0'`).
//!
//! Both look at the same alert and the same memory of its episode. What is missing has its own meaning in each: in a mapping a
//! missing label is an empty one, as in Prometheus; in an expression it makes undecided what depends on it.

use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::rule::{Told, When, Worsening};
use crate::expression::{Expression, Scope, Trend};

#[derive(Clone, Debug)]
pub enum Condition {
    Asked(Box<When>),
    Expression(Expression),
}

impl Default for Condition {
    fn default() -> Self {
        Condition::Asked(Box::default())
    }
}

impl<'de> Deserialize<'de> for Condition {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ConditionVisitor;
        impl<'de> Visitor<'de> for ConditionVisitor {
            type Value = Condition;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an expression in quotes, or a mapping of what is asked")
            }
            fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<Condition, M::Error> {
                When::deserialize(MapAccessDeserializer::new(map)).map(|when| Condition::Asked(Box::new(when)))
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Condition, E> {
                Ok(Condition::Expression(Expression::from(text.to_owned())))
            }
            /// YAML's own `true` and `false` are expressions too.
            fn visit_bool<E: Error>(self, value: bool) -> Result<Condition, E> {
                self.visit_str(if value { "true" } else { "false" })
            }
        }
        deserializer.deserialize_any(ConditionVisitor)
    }
}

impl Condition {
    pub fn holds(&self, told: &Told<'_>) -> bool {
        match self {
            Condition::Asked(when) => when.holds(told),
            Condition::Expression(expression) => expression.holds(&told.scope()),
        }
    }

    /// Holds for every alert, for it asks nothing.
    pub fn is_empty(&self) -> bool {
        match self {
            Condition::Asked(when) => when.is_empty(),
            Condition::Expression(expression) => Expression::from("true".to_owned()).implies(expression),
        }
    }

    /// A mapping that can never hold is an error, among its problems.
    pub fn never_holds(&self) -> bool {
        matches!(self, Condition::Expression(expression) if expression.never_holds())
    }

    /// Whether whatever this holds for, `other` holds for too, as far as that is simply seen.
    pub fn implies(&self, other: &Self) -> bool {
        match (self, other) {
            (Condition::Asked(one), Condition::Asked(other)) => one.implies(other),
            (Condition::Expression(one), Condition::Expression(other)) => one.implies(other),
            _ => other.is_empty(),
        }
    }

    pub fn is_expression(&self) -> bool {
        matches!(self, Condition::Expression(_))
    }

    pub fn problems(&self) -> Vec<String> {
        match self {
            Condition::Asked(when) => when.problems(),
            Condition::Expression(expression) => expression.mistakes(),
        }
    }
}

impl<'a> Told<'a> {
    pub fn scope(&self) -> Scope<'a> {
        let trend = match self.values {
            values if Worsening::Rising.seen_in(values) => Trend::Rising,
            values if Worsening::Falling.seen_in(values) => Trend::Falling,
            _ => Trend::None,
        };
        Scope { alert: self.alert, repeats: self.repeats, trend }
    }
}
