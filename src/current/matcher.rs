//! Matchers of silences and filters, as Alertmanager applies them: a label that is not there is the empty text, and a pattern matches
//! the whole value.
//!
//! Patterns are read by `regex-lite`, whose syntax is RE2's but for `\p{…}`, `\Q…\E` and `\C`; what it cannot read is refused, never
//! guessed. A match takes time linear in the value.

use regex_lite::{Regex, RegexBuilder};

use crate::event::{Labels, SilenceMatcher};

/// Of one compiled pattern.
const PATTERN_BYTES_MAX: usize = 256 << 10;

#[derive(Clone, Debug)]
pub struct Matcher {
    told: SilenceMatcher,
    pattern: Option<Pattern>,
}

/// A regular expression that matches whole values.
#[derive(Clone, Debug)]
pub struct Pattern(Regex);

impl Pattern {
    pub fn new(pattern: &str) -> Result<Self, String> {
        let compile = |pattern: &str| RegexBuilder::new(pattern).size_limit(PATTERN_BYTES_MAX).build();
        // Alone first: `a)(b` is none, though it would be one between parentheses.
        let anchored = compile(pattern).and_then(|_| compile(&format!("^(?:{pattern})$")));
        anchored.map(Self).map_err(|error| format!("invalid regular expression {pattern:?}: {error}"))
    }

    pub fn matches(&self, value: &str) -> bool {
        self.0.is_match(value)
    }
}

impl Matcher {
    pub fn new(told: SilenceMatcher) -> Result<Self, String> {
        if told.name.is_empty() {
            return Err("invalid label name \"\"".to_owned());
        }
        let pattern = told.is_regex.then(|| Pattern::new(&told.value)).transpose()?;
        Ok(Self { told, pattern })
    }

    /// As it was told.
    pub fn told(&self) -> &SilenceMatcher {
        &self.told
    }

    pub fn matches(&self, labels: &Labels<'_>) -> bool {
        let value = labels.get(&self.told.name).unwrap_or_default();
        let same = self.pattern.as_ref().map_or(self.told.value == value, |pattern| pattern.matches(value));
        same == self.told.is_equal
    }

    /// Whether it says nothing, as Alertmanager judges that: a negative one always says something.
    pub fn is_idle(&self) -> bool {
        let found = Regex::new(&self.told.value).is_ok_and(|found| found.is_match(""));
        self.told.is_equal && if self.told.is_regex { found } else { self.told.value.is_empty() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn matcher(name: &str, operator: &str, value: &str) -> Result<Matcher, String> {
        let (is_regex, is_equal) = (operator.ends_with('~'), operator.starts_with('='));
        Matcher::new(SilenceMatcher { name: name.to_owned(), value: value.to_owned(), is_regex, is_equal })
    }

    fn matches(operator: &str, pattern: &str, value: &str) -> bool {
        let labels: Labels<'_> = [("a".into(), value.to_owned().into())].into_iter().collect();
        matcher("a", operator, pattern).unwrap().matches(&labels)
    }

    #[test]
    fn values_are_compared_whole_and_a_missing_label_is_empty() {
        assert!(
            matches("=", "x", "x") && !matches("=", "x", "xx") && matches("!=", "x", "y") && !matches("!=", "x", "x")
        );
        assert!(matches("=~", "x|y", "y") && !matches("=~", "x|y", "xy") && matches("!~", "x.*", "yx"));
        assert!(!matches("=~", "a.b", "a\nb"), "a dot is no line's end, as in Alertmanager");
        let none = Labels::default();
        for (operator, value, is) in [("=", "", true), ("=", "x", false), ("!=", "x", true), ("=~", "x?", true)] {
            assert_eq!(matcher("a", operator, value).unwrap().matches(&none), is, "{operator}{value}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_refused_and_what_says_nothing_is_seen() {
        for pattern in ["(", "a)(b", "[z-a]", r"\p{Greek}", "a{1000}{1000}{1000}"] {
            let said = matcher("a", "=~", pattern).unwrap_err();
            assert!(said.starts_with("invalid regular expression"), "{said}");
        }
        assert!(matcher("", "=", "x").is_err());
        for (operator, value, idle) in [
            ("=", "", true),
            ("=", "x", false),
            ("=~", ".*", true),
            ("=~", ".+", false),
            ("!=", "", false),
            ("!~", ".*", false),
        ] {
            assert_eq!(matcher("a", operator, value).unwrap().is_idle(), idle, "{operator}{value}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_pattern_or_refused_but_never_a_panic(pattern in "\\PC{0,60}", value in "\\PC{0,40}") {
            if let Ok(matcher) = matcher("a", "=~", &pattern) {
                let labels: Labels<'_> = [("a".into(), value.into())].into_iter().collect();
                matcher.matches(&labels);
                matcher.is_idle();
            }
        }
    }
}
