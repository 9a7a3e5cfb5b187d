//! Label matchers as Prometheus and Alertmanager write them: `code="503"`, `flag!="UC"`, `pod=~"web-.+"`, `job!~"test.*"`.
//!
//! A missing label is an empty one, and a pattern matches the whole value. A matcher that cannot be read is kept with what is
//! wrong with it and matches nothing, so that all mistakes of a file can be told at once.

use regex_lite::Regex;
use serde::Deserialize;

use crate::event::Labels;

#[derive(Clone, Debug, Deserialize)]
#[serde(from = "String")]
pub struct Matcher {
    text: String,
    label: String,
    test: Test,
}

#[derive(Clone, Debug)]
enum Test {
    Is(String),
    IsNot(String),
    Matches(Pattern),
    MatchesNot(Pattern),
    Unreadable(String),
}

#[derive(Clone, Debug)]
enum Pattern {
    /// `503|504` needs no automaton.
    OneOf(Vec<String>),
    Regex(Regex),
}

impl Pattern {
    fn parse(pattern: &str) -> Result<Self, String> {
        if !pattern.contains(['\\', '.', '+', '*', '?', '(', ')', '[', ']', '{', '}', '^', '$']) {
            return Ok(Pattern::OneOf(pattern.split('|').map(str::to_owned).collect()));
        }
        match Regex::new(&format!("^(?s:{pattern})$")) {
            Ok(regex) => Ok(Pattern::Regex(regex)),
            Err(error) => Err(format!("`{pattern}` is no regular expression: {error}")),
        }
    }

    fn matches(&self, value: &str) -> bool {
        match self {
            Pattern::OneOf(values) => values.iter().any(|one| one == value),
            Pattern::Regex(regex) => regex.is_match(value),
        }
    }
}

impl From<String> for Matcher {
    fn from(text: String) -> Self {
        let (label, test) = match parse(&text) {
            Ok((label, test)) => (label.to_owned(), test),
            Err(problem) => (String::new(), Test::Unreadable(problem)),
        };
        Self { text, label, test }
    }
}

impl Matcher {
    /// As written.
    pub fn text(&self) -> &str {
        &self.text
    }

    pub fn label(&self) -> &str {
        &self.label
    }

    pub fn matches(&self, labels: &Labels<'_>) -> bool {
        self.admits(labels.get(&self.label).unwrap_or_default())
    }

    fn admits(&self, value: &str) -> bool {
        match &self.test {
            Test::Is(expected) => value == expected,
            Test::IsNot(refused) => value != refused,
            Test::Matches(pattern) => pattern.matches(value),
            Test::MatchesNot(pattern) => !pattern.matches(value),
            Test::Unreadable(_) => false,
        }
    }

    pub fn problem(&self) -> Option<String> {
        match &self.test {
            Test::Unreadable(problem) => Some(format!("matcher `{}`: {problem}", self.text)),
            _ if self.text.ends_with("=~\".*\"") => {
                Some(format!("matcher `{}` matches everything: leave it out", self.text))
            }
            _ => None,
        }
    }

    /// Whether whatever passes this matcher passes `other`, as far as can be told without solving patterns.
    pub fn implies(&self, other: &Self) -> bool {
        let same = self.label == other.label;
        same && (self.text == other.text || matches!(&self.test, Test::Is(value) if other.admits(value)))
    }

    /// Whether no value can pass both.
    pub fn contradicts(&self, other: &Self) -> bool {
        self.label == other.label && matches!(&self.test, Test::Is(value) if !other.admits(value))
    }
}

fn parse(text: &str) -> Result<(&str, Test), String> {
    let text = text.trim();
    let end = text.find(['=', '!']).ok_or("has no operator; write label=\"value\", !=, =~ or !~")?;
    let label = text[..end].trim();
    let legal = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
    if label.is_empty() || label.starts_with(|c: char| c.is_ascii_digit()) || !label.chars().all(legal) {
        return Err(format!("`{label}` is no label name"));
    }
    let rest = &text[end..];
    let operator = ["=~", "!~", "!=", "="].into_iter().find(|operator| rest.starts_with(operator));
    let operator = operator.ok_or("`!` alone is no operator; write !=, or !~")?;
    let value = unquote(rest[operator.len()..].trim())?;
    let test = match operator {
        "=" => Test::Is(value),
        "!=" => Test::IsNot(value),
        "=~" => Test::Matches(Pattern::parse(&value)?),
        _ => Test::MatchesNot(Pattern::parse(&value)?),
    };
    Ok((label, test))
}

/// `"a \"b\""` or a bare word; a bare word has no quotes.
fn unquote(value: &str) -> Result<String, String> {
    let Some(quoted) = value.strip_prefix('"') else {
        return if value.contains('"') { Err("has a quote amid its value".to_owned()) } else { Ok(value.to_owned()) };
    };
    let mut unquoted = String::new();
    let mut chars = quoted.chars();
    while let Some(next) = chars.next() {
        match next {
            '"' if chars.as_str().is_empty() => return Ok(unquoted),
            '"' => return Err("goes on after its closing quote".to_owned()),
            '\\' => match chars.next() {
                Some('n') => unquoted.push('\n'),
                Some(escaped @ ('"' | '\\')) => unquoted.push(escaped),
                // As in a pattern: `\.` keeps its backslash.
                Some(other) => unquoted.extend(['\\', other]),
                None => break,
            },
            other => unquoted.push(other),
        }
    }
    Err("lacks its closing quote".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn matcher(text: &str) -> Matcher {
        Matcher::from(text.to_owned())
    }

    fn passes(text: &str, value: &str) -> bool {
        let labels: Labels<'_> = [("code".into(), value.to_owned().into())].into_iter().collect();
        assert_eq!(matcher(text).problem(), None, "{text}");
        matcher(text).matches(&labels)
    }

    #[test]
    fn values_are_equal_or_match_as_a_whole_and_a_missing_label_is_empty() {
        assert!(passes(r#"code="503""#, "503") && passes("code = 503", "503") && !passes("code=503", "5030"));
        assert!(passes("code!=503", "504") && !passes("code!=503", "503"));
        assert!(passes(r#"code=~"50[34]""#, "504") && !passes(r#"code=~"50[34]""#, "5040"));
        assert!(passes(r#"code=~"503|504""#, "504") && !passes(r#"code=~"503|504""#, "503|504"));
        assert!(passes(r#"code!~"5..""#, "404") && !passes(r#"code!~"5..""#, "500"));
        assert!(passes(r#"code=~"a|b.""#, "a") && !passes(r#"code=~"a|b.""#, "ab"), "both branches are anchored");
        assert!(passes(r#"code=~"a.b""#, "a\nb"), "a dot matches a line's end, as in Prometheus");
        assert!(passes(r#"code=~"a\.b""#, "a.b") && !passes(r#"code=~"a\.b""#, "axb"));
        assert!(passes(r#"code="say \"hi\"""#, r#"say "hi""#));
        let none = Labels::default();
        assert!(matcher(r#"code="""#).matches(&none) && matcher("code!=503").matches(&none));
        assert!(!matcher("code=~.+").matches(&none) && matcher("code=~.*x?").matches(&none));
    }

    #[test]
    fn what_cannot_be_read_says_why_and_matches_nothing() {
        for (text, problem) in [
            ("code", "has no operator"),
            ("=503", "`` is no label name"),
            ("5xx=1", "`5xx` is no label name"),
            ("code!503", "`!` alone is no operator"),
            (r#"code="503"#, "lacks its closing quote"),
            (r#"code="503"x"#, "goes on after its closing quote"),
            (r#"code=5"03""#, "has a quote amid its value"),
            ("code=~50[3", "`50[3` is no regular expression"),
            (r#"code=~".*""#, "matches everything"),
        ] {
            let found = matcher(text).problem().unwrap_or_default();
            assert!(found.contains(problem), "{text}: {found}");
        }
        assert!(!matcher("code").matches(&Labels::default()));
    }

    #[test]
    fn implied_and_contradicting_matchers_are_seen() {
        assert!(
            matcher("code=503").implies(&matcher("code=~5..")) && !matcher("code=~5..").implies(&matcher("code=503"))
        );
        assert!(matcher("code=503").contradicts(&matcher("code=504")) && matcher("a=1").contradicts(&matcher("a!=1")));
        assert!(!matcher("code=503").implies(&matcher("flag=503")) && !matcher("a=1").contradicts(&matcher("b=2")));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused_but_never_a_panic(text in "\\PC{0,40}", value in "\\PC{0,20}") {
            let labels: Labels<'_> = [("a".into(), value.into())].into_iter().collect();
            let read = matcher(&text);
            prop_assert!(read.problem().is_none() || !read.matches(&labels) || text.ends_with("=~\".*\""));
        }

        #[test]
        fn a_plain_value_is_matched_by_itself_in_every_spelling(value in "[a-zA-Z0-9_-]{1,12}", other in "[a-z]{13}") {
            for text in [format!("code={value}"), format!("code=\"{value}\""), format!("code=~\"{value}\"")] {
                prop_assert!(passes(&text, &value) && !passes(&text, &other));
            }
        }
    }
}
