//! What is wrong with a topology file, where, and how to mend it.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;

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

/// `; did you mean …?` if a known name is near, else the known names.
pub fn suggest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let mut known: Vec<&str> = known.into_iter().collect();
    known.sort_unstable();
    let near = known.iter().map(|candidate| (distance(name, candidate), *candidate)).min();
    match near {
        Some((distance, candidate)) if distance <= (name.chars().count() / 3).max(1) => {
            format!("; did you mean `{candidate}`?")
        }
        Some(_) if known.len() <= NAMES_LISTED_MAX => format!("; known: {}", known.join(", ")),
        Some(_) => {
            format!("; known: {} and {} more", known[..NAMES_LISTED_MAX].join(", "), known.len() - NAMES_LISTED_MAX)
        }
        None => "; there is nothing that could be named here".to_owned(),
    }
}

const NAMES_LISTED_MAX: usize = 12;

/// How many characters must be inserted, removed, replaced or swapped with their neighbour.
fn distance(a: &str, b: &str) -> usize {
    let [a, b]: [Vec<char>; 2] = [a, b].map(|text| text.chars().collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = replaced.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_near_name_is_suggested_and_far_ones_are_listed() {
        assert_eq!(suggest("alrets", ["alerts", "deploys"]), "; did you mean `alerts`?");
        assert_eq!(suggest("x", ["alerts", "deploys"]), "; known: alerts, deploys");
        assert_eq!(suggest("x", []), "; there is nothing that could be named here");
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("levle", "level"), 1);
    }
}
