//! What people are told in words, everywhere the same: bounded texts and names, spans of time, and what may have been meant.

use sha2::{Digest, Sha256};

/// A longer identity is remembered by its hash.
const IDENTITY_BYTES_MAX: usize = 200;

/// Bounded, and never cut: two of different names must not become one.
pub fn identity(name: &str) -> String {
    if name.len() <= IDENTITY_BYTES_MAX { name.to_owned() } else { hex::encode(Sha256::digest(name.as_bytes())) }
}

/// For lists that only have to know a name again.
pub fn short_hash(text: &str) -> i64 {
    let digest = Sha256::digest(text.as_bytes());
    digest.iter().take(8).fold(0, |hash, byte| (hash << 8) | i64::from(*byte))
}

/// At most so many characters, the last an ellipsis where something was cut: what is remembered must be bounded.
pub fn clipped(text: &str, chars_max: usize) -> String {
    match text.char_indices().nth(chars_max) {
        None => text.to_owned(),
        Some(_) => text.chars().take(chars_max.saturating_sub(1)).chain(['…']).collect(),
    }
}

/// `45 s`, `12 min`, `2 h 5 min`, `3 d 4 h`: as exact as people need.
pub fn span(ms: i64) -> String {
    let secs = ms.max(0) / 1_000;
    let two = |large: i64, unit, small: i64, part| match small {
        0 => format!("{large} {unit}"),
        _ => format!("{large} {unit} {small} {part}"),
    };
    match secs {
        0..60 => format!("{secs} s"),
        60..3_600 => format!("{} min", secs / 60),
        3_600..86_400 => two(secs / 3_600, "h", secs % 3_600 / 60, "min"),
        _ => two(secs / 86_400, "d", secs % 86_400 / 3_600, "h"),
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

const NAMES_LISTED_MAX: usize = 16;

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
    fn a_clipped_text_ends_in_an_ellipsis_and_is_cut_between_characters() {
        assert_eq!(clipped("größer", 6), "größer");
        assert_eq!(clipped("größer", 4), "grö…");
        assert_eq!(clipped("", 0), "");
    }

    #[test]
    fn a_span_has_at_most_two_units() {
        let spans = [-5, 59_999, 60_000, 3_599_999, 3_600_000, 7_500_000, 86_400_000, 273_600_000].map(span);
        assert_eq!(spans, ["0 s", "59 s", "1 min", "59 min", "1 h", "2 h 5 min", "1 d", "3 d 4 h"]);
    }

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
