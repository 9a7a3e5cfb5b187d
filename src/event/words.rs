//! What facts say to people in words, everywhere the same: bounded texts and spans of time.

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
}
