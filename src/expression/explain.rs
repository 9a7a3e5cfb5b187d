//! Why an expression holds or does not: each comparison in it, what it looked at, and what came of it.

use super::Span;
use super::eval::{Scope, decide, value};
use super::tree::{Kind, Node};
use super::value::{Undecided, Value};
use crate::event::words::clipped;

/// Of a text that is shown.
const SHOWN_CHARS: usize = 80;

/// One comparison of an expression.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// As written.
    pub text: String,
    pub outcome: Result<bool, Undecided>,
    pub operands: Vec<Operand>,
}

/// What was looked up for it, as written, and what was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Operand {
    pub text: String,
    pub found: Result<String, Undecided>,
}

pub fn findings(node: &Node, text: &str, scope: &Scope<'_>) -> Vec<Finding> {
    let mut leaves = Vec::new();
    collect(node, &mut leaves, &|node| match &node.kind {
        Kind::All(nodes) | Kind::Any(nodes) => Some(nodes.iter().collect()),
        Kind::Not(of) => Some(vec![of]),
        Kind::Conditional(parts) => Some(parts.iter().collect()),
        _ => None,
    });
    let finding = |leaf: &&Node| {
        let mut looked_up = Vec::new();
        collect(leaf, &mut looked_up, &operands);
        looked_up.retain(|operand| matches!(operand.kind, Kind::Field(_) | Kind::Entry(..) | Kind::SizeOf(_)));
        let operand = |node: &&Node| Operand { text: quoted(node.at, text), found: value(node, scope).map(shown) };
        Finding {
            text: quoted(leaf.at, text),
            outcome: decide(leaf, scope),
            operands: looked_up.iter().map(operand).collect(),
        }
    };
    leaves.iter().map(finding).collect()
}

/// The nodes that have none below them, in the order of the tree.
fn collect<'a>(node: &'a Node, leaves: &mut Vec<&'a Node>, below: &impl Fn(&'a Node) -> Option<Vec<&'a Node>>) {
    match below(node) {
        Some(nodes) => nodes.into_iter().for_each(|node| collect(node, leaves, below)),
        None => leaves.push(node),
    }
}

fn operands(node: &Node) -> Option<Vec<&Node>> {
    match &node.kind {
        Kind::Compare(_, sides) | Kind::Arithmetic(_, sides) | Kind::Part(_, sides) => Some(sides.iter().collect()),
        Kind::OneOf(of, _) | Kind::Matches(of, _) => Some(vec![of]),
        Kind::Negative(of) | Kind::Size(of) | Kind::ToDouble(of) | Kind::ToInt(of) | Kind::Not(of) => Some(vec![of]),
        Kind::Conditional(parts) => Some(parts.iter().collect()),
        Kind::All(nodes) | Kind::Any(nodes) => Some(nodes.iter().collect()),
        _ => None,
    }
}

/// On one line.
fn quoted(at: Span, text: &str) -> String {
    at.text(text).split_whitespace().collect::<Vec<_>>().join(" ")
}

fn shown(value: Value<'_>) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Double(value) => format!("{value:?}"),
        Value::Text(text) => format!("{:?}", clipped(text, SHOWN_CHARS)),
    }
}
