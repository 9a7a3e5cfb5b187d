//! Foreign text made fit for Slack: escaped, on one line, bounded after escaping; links, times and numbers.
//!
//! Invariant: nothing that came from outside holds a bare `<`, `>` or `&` after it went through here, so it can neither mention
//! nor forge a token, and nothing is cut inside an entity or a token.

use jiff::Timestamp;

/// Slack's limit for a link's address is 3,000; a longer one here is left out.
const URL_CHARS_MAX: usize = 2_000;

/// At most `chars_max` characters as Slack counts them, escapes included.
pub fn escaped(text: &str, chars_max: usize) -> String {
    let mut out = String::new();
    let mut length = 0;
    let mut blank = true;
    for next in text.chars() {
        let visible = match next {
            c if c.is_whitespace() || c.is_control() => ' ',
            // Direction overrides would let a label rewrite what stands beside it.
            '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}' => continue,
            other => other,
        };
        if visible == ' ' && blank {
            continue;
        }
        blank = visible == ' ';
        let mut buffer = [0; 4];
        let piece = match visible {
            '&' => "&amp;",
            '<' => "&lt;",
            '>' => "&gt;",
            other => other.encode_utf8(&mut buffer),
        };
        let piece_length = piece.chars().count();
        if length + piece_length + 1 > chars_max {
            out.push('…');
            return out;
        }
        out.push_str(piece);
        length += piece_length;
    }
    out.truncate(out.trim_end().len());
    out
}

/// For where Slack reads no mark-up and no entities: what would be escaped elsewhere looks alike here.
pub fn plain(text: &str, chars_max: usize) -> String {
    let alike = text.replace("->", "→").replace('<', "‹").replace('>', "›").replace('&', "＆");
    escaped(&alike, chars_max)
}

/// An id or a word as code; what is no such thing is shown as plain text.
pub fn code(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    match (1..=40).contains(&word.len()) && word.chars().all(plain) {
        true => format!("`{word}`"),
        false => escaped(word, 80),
    }
}

/// `<url|label>`, or `None` when the address is none that a person should click. The label must be escaped already.
pub fn link(url: Option<&str>, label: &str) -> Option<String> {
    let url = url.filter(|url| url.starts_with("https://") || url.starts_with("http://"))?;
    let mut safe = String::new();
    for next in url.chars() {
        match next {
            '&' => safe.push_str("&amp;"),
            '<' | '>' | '|' | '"' | '\\' | '^' | '`' | '{' | '}' => safe.push_str(&format!("%{:02X}", u32::from(next))),
            c if c.is_control() || c.is_whitespace() => return None,
            other => safe.push(other),
        }
    }
    (safe.chars().count() <= URL_CHARS_MAX).then(|| format!("<{safe}|{label}>"))
}

/// Shown in each reader's own time zone, in UTC where Slack cannot.
pub fn time(at_ms: i64) -> String {
    let utc = Timestamp::from_millisecond(at_ms).map(|at| at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string());
    let utc = utc.unwrap_or_else(|_| format!("{at_ms} ms"));
    format!("<!date^{}^{{date_short_pretty}} {{time_secs}}|{utc}>", at_ms.div_euclid(1_000))
}

/// `1,234.5`: grouped, at most three decimals; powers of ten where that would be unreadable.
pub fn number(value: f64) -> String {
    let size = value.abs();
    if !value.is_finite() || size >= 1e15 || (size < 1e-3 && size > 0.0) {
        return format!("{value:.3e}");
    }
    let plain = format!("{size:.3}");
    let plain = plain.trim_end_matches('0').trim_end_matches('.');
    let (whole, decimals) = plain.split_once('.').map_or((plain, None), |(whole, decimals)| (whole, Some(decimals)));
    let mut grouped = String::new();
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    let sign = if value < 0.0 && plain != "0" { "-" } else { "" };
    decimals.map_or_else(|| format!("{sign}{grouped}"), |decimals| format!("{sign}{grouped}.{decimals}"))
}

/// Lines within a budget of characters. What does not fit is counted, never cut.
pub struct Lines {
    text: String,
    left: usize,
    pub omitted: usize,
}

impl Lines {
    /// A part of the budget is kept for the closing line.
    pub fn new(chars_max: usize) -> Self {
        Self { text: String::new(), left: chars_max.saturating_sub(60), omitted: 0 }
    }

    /// Adds the first of the renderings that fits.
    pub fn push(&mut self, renderings: impl IntoIterator<Item = String>) {
        for line in renderings {
            let length = line.chars().count() + 1;
            if length <= self.left {
                self.left -= length;
                if !self.text.is_empty() {
                    self.text.push('\n');
                }
                self.text.push_str(&line);
                return;
            }
        }
        self.omitted += 1;
    }

    pub fn finish(mut self, omitted_before: usize) -> String {
        let omitted = self.omitted + omitted_before;
        if omitted > 0 {
            self.text.push_str(&format!("\n…and {omitted} more"));
        }
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn foreign_text_is_escaped_on_one_line_and_cut_only_between_entities() {
        assert_eq!(escaped("<!channel> & \n\t\u{202e}<@U1>", 100), "&lt;!channel&gt; &amp; &lt;@U1&gt;");
        assert_eq!(escaped("a<b", 6), "a&lt;…");
        assert_eq!(escaped("a<b", 5), "a…");
        assert_eq!(escaped("  two   words \u{7}", 100), "two words");
    }

    #[test]
    fn plain_text_has_nothing_to_escape() {
        assert_eq!(plain("2 % -> 7 %\n<!here> R&D", 100), "2 % → 7 % ‹!here› R＆D");
        assert_eq!(plain("12345", 5), "1234…");
    }

    #[test]
    fn a_link_is_a_web_address_or_none() {
        assert_eq!(
            link(Some("https://a/?x=1&y=<!channel>|z"), "L").unwrap(),
            "<https://a/?x=1&amp;y=%3C!channel%3E%7Cz|L>"
        );
        assert_eq!(link(Some("javascript:alert(1)"), "L"), None);
        assert_eq!(link(Some("https://a b"), "L"), None);
        assert_eq!(link(Some(&format!("https://{}", "a".repeat(3_000))), "L"), None);
        assert_eq!(link(None, "L"), None);
    }

    #[test]
    fn numbers_and_times_are_readable() {
        let shown = [1_301.0, 0.0, -1_234_567.5, 0.1 + 0.2, 999.0, 1e300, 1e-9].map(number);
        assert_eq!(shown, ["1,301", "0", "-1,234,567.5", "0.3", "999", "1.000e300", "1.000e-9"]);
        assert_eq!(time(1_500), "<!date^1^{date_short_pretty} {time_secs}|1970-01-01 00:00:01 UTC>");
        assert_eq!(time(-1), "<!date^-1^{date_short_pretty} {time_secs}|1969-12-31 23:59:59 UTC>");
        assert!(time(i64::MAX).contains("ms"));
    }

    #[test]
    fn lines_that_do_not_fit_are_counted() {
        let mut lines = Lines::new(70);
        for word in ["12345", "too long to fit here", "678"] {
            lines.push([format!("{word} with a link"), word.to_owned()]);
        }
        assert_eq!(lines.finish(2), "12345\n678\n…and 3 more");
    }

    proptest! {
        #[test]
        fn whatever_comes_in_is_bounded_and_holds_no_bare_angle(text in "\\PC{0,80}|[<>&!@a ]{0,80}", max in 1..60usize) {
            let out = escaped(&text, max);
            prop_assert!(out.chars().count() <= max);
            prop_assert!(!out.contains(['<', '>', '\n']));
            prop_assert_eq!(out.matches('&').count(), ["&amp;", "&lt;", "&gt;"].map(|e| out.matches(e).count()).iter().sum::<usize>());
        }
    }
}
