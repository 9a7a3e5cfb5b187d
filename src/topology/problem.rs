//! What is wrong with a topology file, where, and how to mend it.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;

pub use crate::event::words::suggest;

/// A place in a file; lines and columns count from 1.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct At {
    pub file: Arc<str>,
    pub line: usize,
    pub column: usize,
}

/// Printed as `file:line:column: message`, with `warning: ` before the message of a warning. The message says what is
/// wrong and, after a semicolon, what to do.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Problem {
    #[serde(flatten)]
    pub at: At,
    pub severity: Severity,
    pub message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The topology cannot run.
    Error,
    /// It can, but probably not as meant.
    Warning,
}

impl Problem {
    pub fn error(at: &At, message: impl Into<String>) -> Self {
        Self { at: at.clone(), severity: Severity::Error, message: message.into() }
    }

    pub fn warning(at: &At, message: impl Into<String>) -> Self {
        Self { at: at.clone(), severity: Severity::Warning, message: message.into() }
    }
}

impl At {
    pub fn start_of(file: &str) -> Self {
        Self { file: file.into(), line: 1, column: 1 }
    }
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = if self.severity == Severity::Warning { "warning: " } else { "" };
        write!(f, "{}: {severity}{}", self.at, self.message)
    }
}
