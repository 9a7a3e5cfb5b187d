//! What a query asks for: matchers of `filter`, states, a receiver.
//!
//! A filter is one matcher: `alertname="A"`, `code!=503`, `pod=~web.*`, `"a.b"!~"x"`. Quotes may be left out; `\"`, `\\` and `\n` are
//! escapes between them, any other backslash is itself. Total: text in, matchers or words out.

use crate::current::{Known, Matcher, Pattern, Told};
use crate::event::SilenceMatcher;
use crate::ingest::json::shortened;

/// More than any person types.
const FILTERS_MAX: usize = 100;
/// What Go's clients may write for true.
const TRUE: [&str; 10] = ["true", "1", "yes", "ok", "y", "on", "selected", "checked", "t", "enabled"];

#[derive(Debug)]
pub struct Query {
    filters: Vec<Matcher>,
    receiver: Option<Pattern>,
    active: bool,
    silenced: bool,
}

impl Query {
    /// `pairs` as they stand behind the question mark, decoded. What has another name is nobody's.
    pub fn new<'p>(pairs: impl IntoIterator<Item = (&'p str, &'p str)>) -> Result<Self, String> {
        let mut query = Query { filters: Vec::new(), receiver: None, active: true, silenced: true };
        for (name, value) in pairs {
            match name {
                "filter" if query.filters.len() == FILTERS_MAX => {
                    return Err(format!("more than {FILTERS_MAX} filters"));
                }
                "filter" => query.filters.push(Matcher::new(matcher(value)?)?),
                "receiver" => {
                    let pattern = Pattern::new(value);
                    query.receiver = Some(pattern.map_err(|why| format!("failed to parse receiver param: {why}"))?);
                }
                "active" => query.active = is_true(value),
                "silenced" => query.silenced = is_true(value),
                _ => {}
            }
        }
        Ok(query)
    }

    pub fn wants_receiver(&self, name: &str) -> bool {
        self.receiver.as_ref().is_none_or(|pattern| pattern.matches(name))
    }

    pub fn wants_alert(&self, told: &Told, is_silenced: bool) -> bool {
        let state = if is_silenced { self.silenced } else { self.active };
        state && self.filters.iter().all(|filter| filter.matches(&told.alert.labels))
    }

    /// One of its matchers for each filter, written alike.
    pub fn wants_silence(&self, known: &Known) -> bool {
        let has = |filter: &Matcher| known.silence.matchers.contains(filter.told());
        self.filters.iter().all(has)
    }
}

fn is_true(value: &str) -> bool {
    TRUE.iter().any(|word| value.eq_ignore_ascii_case(word))
}

fn matcher(text: &str) -> Result<SilenceMatcher, String> {
    let bad = || format!("bad matcher format: {}", shortened(text));
    let trimmed = text.trim_matches(blank);
    let (name, rest) = match trimmed.strip_prefix('"') {
        Some(quoted) => unquoted(quoted).ok_or_else(bad)?,
        None => {
            let end = trimmed.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':')).ok_or_else(bad)?;
            (trimmed[..end].to_owned(), &trimmed[end..])
        }
    };
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        return Err(bad());
    }
    let rest = rest.trim_start_matches(blank);
    let operators = [("=~", true, true), ("!~", true, false), ("!=", false, false), ("=", false, true)];
    let found = operators.into_iter().find_map(|(operator, is_regex, is_equal)| {
        rest.strip_prefix(operator).map(|value| (value.trim_matches(blank), is_regex, is_equal))
    });
    let (value, is_regex, is_equal) = found.ok_or_else(bad)?;
    let stray = || format!("matcher value contains unescaped double quote: {}", shortened(value));
    let value = match value.strip_prefix('"') {
        Some(quoted) => match unquoted(quoted) {
            Some((value, "")) => value,
            _ => return Err(stray()),
        },
        // A stray quote would end it.
        None => match unquoted(&format!("{value}\"")) {
            Some((value, "")) => value,
            _ => return Err(stray()),
        },
    };
    Ok(SilenceMatcher { name, value, is_regex, is_equal })
}

fn blank(c: char) -> bool {
    c.is_ascii_whitespace()
}

/// What stands before the closing quote, and what behind it.
fn unquoted(quoted: &str) -> Option<(String, &str)> {
    let mut text = String::new();
    let mut chars = quoted.chars();
    while let Some(next) = chars.next() {
        match next {
            '"' => return Some((text, chars.as_str())),
            '\\' => match chars.next()? {
                'n' => text.push('\n'),
                escaped @ ('"' | '\\') => text.push(escaped),
                other => text.extend(['\\', other]),
            },
            other => text.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Result<(String, String, bool, bool), String> {
        matcher(text).map(|m| (m.name, m.value, m.is_regex, m.is_equal))
    }

    #[test]
    fn a_filter_is_read_in_every_spelling() {
        let told =
            |name: &str, value: &str, is_regex, is_equal| Ok((name.to_owned(), value.to_owned(), is_regex, is_equal));
        assert_eq!(read(r#"alertname="A""#), told("alertname", "A", false, true));
        assert_eq!(read(" code != 503 "), told("code", "503", false, false));
        assert_eq!(read("pod=~web.*"), told("pod", "web.*", true, true));
        assert_eq!(read(r#"a!~"x\.\"\\\n""#), told("a", "x\\.\"\\\n", true, false));
        assert_eq!(read("a="), told("a", "", false, true));
        assert_eq!(read(r#"a="""#), told("a", "", false, true));
        assert_eq!(read(r#""a.b"="c""#), told("a.b", "c", false, true));
        assert_eq!(read("a=b,c=d"), told("a", "b,c=d", false, true));
        assert_eq!(read("a==b"), told("a", "=b", false, true));
    }

    #[test]
    fn what_is_no_filter_says_so() {
        for text in ["", "a", "=b", "a!b", "5a=b", "a.b=c", "{}", r#""a="b""#] {
            assert!(read(text).unwrap_err().starts_with("bad matcher format"), "{text}");
        }
        for text in [r#"a="b"#, r#"a=b""#, r#"a=b"c"#, r#"a="b"c"#] {
            assert!(read(text).unwrap_err().contains("unescaped double quote"), "{text}");
        }
        assert!(Query::new([("filter", "a=~(")]).unwrap_err().contains("invalid regular expression"));
        assert!(Query::new([("receiver", "(")]).unwrap_err().starts_with("failed to parse receiver param"));
        assert!(Query::new(std::iter::repeat_n(("filter", "a=b"), FILTERS_MAX + 1)).is_err());
    }

    #[test]
    fn states_are_chosen_as_go_reads_them() {
        let query =
            Query::new([("active", "false"), ("silenced", "T"), ("unprocessed", "x"), ("receiver", "fair.*")]).unwrap();
        assert!((query.active, query.silenced) == (false, true));
        assert!(query.wants_receiver("fairlead") && !query.wants_receiver("a-fairlead"));
    }

    proptest! {
        #[test]
        fn any_text_is_a_filter_or_refused_but_never_a_panic(text in "\\PC{0,60}") {
            let _ = Query::new([("filter", &*text), ("receiver", &*text), ("active", &*text)]);
        }

        #[test]
        fn a_quoted_value_is_read_as_it_was_written(value in "\\PC{0,30}") {
            let quoted: String = value.replace('\\', "\\\\").replace('"', "\\\"");
            prop_assert_eq!(read(&format!("a=\"{quoted}\"")).unwrap().1, value);
        }
    }
}
