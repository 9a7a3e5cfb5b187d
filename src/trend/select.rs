//! Which series a rule is for, as Prometheus selects them: `http_errors_ratio{service="checkout",instance=~"a.*"}`.
//!
//! A label that is not there is the empty text, and a pattern matches the whole value ([`crate::current::Matcher`]). A selector that
//! every series fits is refused, as in Prometheus.

use std::fmt;

use serde::{Deserialize, Deserializer, de};

use super::series::{NAME, Series};
use super::text::{Cursor, is_classic_metric};
use crate::current::Pattern;

#[derive(Clone, Debug)]
pub struct Selector {
    told: String,
    matchers: Vec<Matcher>,
}

#[derive(Clone, Debug)]
struct Matcher {
    label: String,
    value: Value,
    is_equal: bool,
}

#[derive(Clone, Debug)]
enum Value {
    Text(String),
    Pattern(Pattern),
}

impl Selector {
    pub fn parse(told: &str) -> Result<Self, String> {
        let mut cursor = Cursor::new(told);
        let mut matchers = Vec::new();
        let metric = cursor.word(is_classic_metric);
        if !metric.is_empty() {
            matchers.push(Matcher::equal(NAME, metric));
        }
        if cursor.takes("{") {
            while !cursor.takes("}") {
                matchers.push(Matcher::parse(&mut cursor)?);
                if !cursor.takes(",") && !cursor.is_at("}") {
                    return Err(cursor.expected("`,` or `}`"));
                }
            }
        }
        cursor.ends()?;
        if matchers.iter().all(|matcher| matcher.matches("")) {
            return Err(format!("`{told}` selects every series: name a metric, or a label that is not empty"));
        }
        Ok(Self { told: told.to_owned(), matchers })
    }

    /// Whether only series without this label are selected.
    pub fn forbids(&self, label: &str) -> bool {
        let empty =
            |matcher: &Matcher| matcher.is_equal && matches!(&matcher.value, Value::Text(text) if text.is_empty());
        self.matchers.iter().any(|matcher| matcher.label == label && empty(matcher))
    }

    pub fn matches(&self, series: &Series<'_>) -> bool {
        self.matchers.iter().all(|matcher| matcher.matches(series.label(&matcher.label)))
    }
}

impl Matcher {
    fn equal(label: &str, value: &str) -> Self {
        Self { label: label.to_owned(), value: Value::Text(value.to_owned()), is_equal: true }
    }

    fn parse(cursor: &mut Cursor<'_>) -> Result<Self, String> {
        let (name, is_quoted) = cursor.name()?;
        let label = name.to_string();
        let sign = ["=~", "!~", "!=", "="].into_iter().find(|sign| cursor.takes(sign));
        let Some(sign) = sign else {
            // Prometheus 3's way to name a metric.
            return if is_quoted {
                Ok(Self::equal(NAME, &label))
            } else {
                Err(cursor.expected("`=`, `!=`, `=~` or `!~`"))
            };
        };
        let value = cursor.text()?;
        let value =
            if sign.ends_with('~') { Value::Pattern(Pattern::new(&value)?) } else { Value::Text(value.to_string()) };
        Ok(Self { label, value, is_equal: sign.starts_with('=') })
    }

    fn matches(&self, found: &str) -> bool {
        let same = match &self.value {
            Value::Text(text) => text == found,
            Value::Pattern(pattern) => pattern.matches(found),
        };
        same == self.is_equal
    }
}

impl PartialEq for Selector {
    fn eq(&self, other: &Self) -> bool {
        self.told == other.told
    }
}

/// As it was written.
impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.told)
    }
}

impl<'de> Deserialize<'de> for Selector {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERIES: &str = r#"http_errors_ratio{instance="a:80",service="checkout"}"#;

    fn selects(selector: &str) -> bool {
        Selector::parse(selector).unwrap().matches(&Series::parse(SERIES).unwrap())
    }

    #[test]
    fn selects_as_prometheus_does() {
        for selector in [
            "http_errors_ratio",
            r#"http_errors_ratio{service="checkout"}"#,
            r#"{"http_errors_ratio", instance=~"a:.*"}"#,
            r#"{__name__=~"http_.+",service!~"cart|pay"}"#,
            r#"http_errors_ratio{zone="",service!=""}"#,
            r#"{service="checkout",}"#,
        ] {
            assert!(selects(selector), "{selector}");
        }
        for selector in [
            "http_errors",
            r#"http_errors_ratio{service="check"}"#,
            r#"http_errors_ratio{service=~"check"}"#,
            r#"http_errors_ratio{zone!=""}"#,
            r#"{service!="checkout",instance!=""}"#,
        ] {
            assert!(!selects(selector), "{selector}");
        }
    }

    #[test]
    fn what_selects_everything_or_cannot_be_read_is_refused() {
        for (selector, why) in [
            ("", "selects every series"),
            ("{}", "selects every series"),
            (r#"{a=~".*"}"#, "selects every series"),
            (r#"{a!="x"}"#, "selects every series"),
            (r#"up{a=~"("}"#, "invalid regular expression"),
            ("up{a}", "expected `=`"),
            ("rate(up[5m])", "expected the end at character 5"),
            ("up[5m]", "expected the end at character 3"),
        ] {
            let said = Selector::parse(selector).unwrap_err();
            assert!(said.contains(why), "{selector}: {said}");
        }
    }
}
