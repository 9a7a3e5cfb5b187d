//! Conditions over one alert and the course of its episode, in the syntax of [CEL](https://cel.dev).
//!
//! ```text
//! alert.labels["code"] == "503" && (alert.labels["response_flag"] == "UC" || alert.value > 1000.0)
//!
//! text ─► lex ─► parse ─► check (names and types, by the fact's schema) ─► a plain tree ─► eval, explain, imply
//! ```
//!
//! | what | stands for |
//! |---|---|
//! | `alert.<field>` | a field of `schemas/alert.avsc`, but for what rules give it and for how it ends |
//! | `repeats` | how often it was told in this episode, this telling included |
//! | `trend` | `"rising"` or `"falling"` if each of the last two or three values was above, or below, the one before |
//! | | it; else `"none"` |
//! | `== != < <= > >= in ! && \|\| ?: + - * / %` | as in CEL; numbers of both kinds may be compared |
//! | `has(alert.labels.code)`, `"code" in alert.labels` | whether the label is there |
//! | `has(alert.value)`, `alert.value != null` | whether the field is told |
//! | `contains startsWith endsWith matches` | of text; a pattern is a literal in RE2's syntax and is sought anywhere |
//! | `size double int` | of text and labels; numbers from text |
//!
//! Evaluation is total, knows no clock, and takes no memory but what a pattern keeps for itself. What is missing is CEL's
//! error: it makes undecided what depends on it, `&&` and `||` decide nevertheless where the other side suffices, and a
//! condition that stays undecided does not hold. Undecided is an entry that is not there; null where a number or a text is
//! needed (`== null` is decided, and null equals nothing else); a text that is no number, or too long for a pattern; an
//! overflow; a division by zero. So is, **on a resolve**, whatever tells how bad it was (`value`, `annotations`, `repeats`,
//! `trend`): what holds for a resolve holds whatever its course, so that no rule that drops small values swallows the end
//! of an incident. A value that is not finite is null.
//!
//! Cost is bounded by the size of the text ([`TEXT_BYTES_MAX`], [`NODES_MAX`], [`NESTING_MAX`]) and, for patterns, by their
//! compiled size times the length of a text within bounds. Not here of CEL: macros (`exists`, `all`, …), maps, bytes,
//! unsigned numbers, times, the joining of texts; of RE2, classes of Unicode.
//!
//! Why no crate: `cel` 0.15 has no type check, wants every fact as a tree of shared values, and brings a generated parser
//! of many times this module's size with its runtime.
#![deny(clippy::disallowed_methods, clippy::disallowed_types, clippy::disallowed_macros)]

mod check;
mod eval;
mod explain;
mod imply;
mod lex;
mod parse;
mod pattern;
mod tree;
mod value;

use serde::Deserialize;

pub use eval::{Scope, Trend};
pub use explain::{Finding, Operand};
pub use value::Undecided;

use tree::Node;

pub const TEXT_BYTES_MAX: usize = 4_096;
pub const NODES_MAX: usize = 256;
pub const NESTING_MAX: usize = 32;

/// A condition as written. One that cannot be read is kept with what is wrong with it and never holds, so that all mistakes
/// of a file can be told at once.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "String")]
pub struct Expression {
    text: String,
    compiled: Result<Node, Vec<Mistake>>,
}

/// Bytes of the text, from `start` up to `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub start: usize,
    pub end: usize,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Mistake {
    at: Span,
    message: String,
}

impl Span {
    fn of(start: usize, length: usize) -> Self {
        Self { start, end: start + length }
    }

    fn text(self, all: &str) -> &str {
        all.get(self.start..self.end).unwrap_or_default()
    }
}

impl Mistake {
    fn new(at: Span, message: impl Into<String>) -> Self {
        Self { at, message: message.into() }
    }
}

impl From<String> for Expression {
    fn from(text: String) -> Self {
        let compiled = parse::parse(&text).map_err(|mistake| vec![mistake]);
        let compiled = compiled.and_then(|syntax| check::condition(&syntax, &text));
        Self { text, compiled }
    }
}

impl Expression {
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What is wrong with it, each with its line, if there are several, and its column, counted in characters from 1.
    pub fn mistakes(&self) -> Vec<String> {
        let mistakes = self.compiled.as_ref().err().into_iter().flatten();
        let told = mistakes.map(|Mistake { at, message }| {
            let before = &self.text[..at.start.min(self.text.len())];
            let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
            match before.matches('\n').count() {
                0 if !self.text.trim_end().contains('\n') => format!("column {column}: {message}"),
                line => format!("line {}, column {column}: {message}", line + 1),
            }
        });
        told.collect()
    }

    pub fn holds(&self, scope: &Scope<'_>) -> bool {
        self.compiled.as_ref().is_ok_and(|tree| eval::decide(tree, scope) == Ok(true))
    }

    /// Each comparison in it and what became of it, in the order of the text; and of the whole.
    pub fn explain(&self, scope: &Scope<'_>) -> (Vec<Finding>, Result<bool, Undecided>) {
        match &self.compiled {
            Ok(tree) => (explain::findings(tree, &self.text, scope), eval::decide(tree, scope)),
            Err(_) => (Vec::new(), Ok(false)),
        }
    }

    /// Whether it can hold for nothing, as far as that is simply seen.
    pub fn never_holds(&self) -> bool {
        self.compiled.as_ref().is_ok_and(imply::never_holds)
    }

    /// Whether `other` holds for whatever this holds for, as far as that is simply seen.
    pub fn implies(&self, other: &Self) -> bool {
        matches!((&self.compiled, &other.compiled), (Ok(one), Ok(other)) if imply::implies(one, other))
    }
}

#[cfg(test)]
mod tests;
