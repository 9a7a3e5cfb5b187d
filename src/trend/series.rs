//! The name of a series as one text: what the samples topic is keyed by, and what a rule selects.
//!
//! ```text
//! http_errors_ratio{instance="a:80",service="checkout"}
//! ```
//!
//! Prometheus' own notation, with the labels in the order of their names and without empty ones, so that one series has one text. A name
//! that is no classic one stands quoted between the braces, as Prometheus 3 writes it: `{"http.errors",service="checkout"}`. Not here:
//! which series are wanted ([`super::select`]), and what a sender calls its labels.

use std::fmt;

use super::text::{Cursor, is_classic_label, is_classic_metric, quoted};
use crate::event::{Labels, Text};

/// A text longer than this is no series: what is keyed by it would be larger than what is told.
pub const BYTES_MAX: usize = 4096;
/// The label that carries the metric's name where a sender has only labels.
pub const NAME: &str = "__name__";

#[derive(Clone, Debug, PartialEq)]
pub struct Series<'a> {
    /// May be empty, as in Prometheus.
    pub metric: Text<'a>,
    /// Without [`NAME`]; none is empty.
    pub labels: Labels<'a>,
}

impl<'a> Series<'a> {
    /// Of labels as senders have them. Empty ones are none. Fails if a name is there twice, or if there is nothing.
    pub fn of(labels: impl IntoIterator<Item = (Text<'a>, Text<'a>)>) -> Result<Self, String> {
        let (mut metric, mut kept, mut count) = (Text::default(), Vec::new(), 0);
        for (name, value) in labels.into_iter().filter(|(_, value)| !value.is_empty()) {
            count += 1;
            match &*name {
                NAME if metric.is_empty() => metric = value,
                NAME => return Err("a series with two names".to_owned()),
                "" => return Err("a label without a name".to_owned()),
                _ => kept.push((name, value)),
            }
        }
        kept.sort();
        if let Some(pair) = kept.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(format!("a series with two labels `{}`", pair[0].0));
        }
        if count == 0 {
            return Err("a series without a name and labels".to_owned());
        }
        Ok(Self { metric, labels: kept.into_iter().collect() })
    }

    /// Reads what [`fmt::Display`] writes, with labels in any order and with spaces.
    pub fn parse(text: &'a str) -> Result<Self, String> {
        let mut cursor = Cursor::new(text);
        let mut labels = Vec::new();
        let metric = cursor.word(is_classic_metric);
        if !metric.is_empty() {
            labels.push((Text::from(NAME), Text::from(metric)));
        }
        if cursor.takes("{") {
            while !cursor.takes("}") {
                let (name, is_quoted) = cursor.name()?;
                let pair = if cursor.takes("=") {
                    (name, cursor.text()?)
                } else if is_quoted {
                    (Text::from(NAME), name)
                } else {
                    return Err(cursor.expected("`=`"));
                };
                labels.push(pair);
                if !cursor.takes(",") && !cursor.is_at("}") {
                    return Err(cursor.expected("`,` or `}`"));
                }
            }
        }
        cursor.ends()?;
        Self::of(labels)
    }

    /// The value of a label, the name's among them; empty where there is none.
    pub fn label(&self, name: &str) -> &str {
        if name == NAME { &self.metric } else { self.labels.get(name).unwrap_or_default() }
    }
}

impl fmt::Display for Series<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let classic = is_classic_metric(&self.metric);
        if classic {
            f.write_str(&self.metric)?;
        }
        let named = (!classic && !self.metric.is_empty()).then_some(&*self.metric);
        if named.is_none() && self.labels.is_empty() {
            return Ok(());
        }
        f.write_str("{")?;
        if let Some(name) = named {
            quoted(f, name)?;
        }
        for (at, (name, value)) in self.labels.iter().enumerate() {
            if at > 0 || named.is_some() {
                f.write_str(",")?;
            }
            if is_classic_label(name) {
                f.write_str(name)?
            } else {
                quoted(f, name)?
            }
            f.write_str("=")?;
            quoted(f, value)?;
        }
        f.write_str("}")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(labels: &[(&'static str, &'static str)]) -> Result<String, String> {
        Series::of(labels.iter().map(|(name, value)| (Text::from(*name), Text::from(*value))))
            .map(|all| all.to_string())
    }

    #[test]
    fn one_series_has_one_text_as_prometheus_writes_it() {
        let told = of(&[("service", "checkout"), ("__name__", "up"), ("zone", ""), ("a", "x\"y\\z\n")]).unwrap();
        assert_eq!(told, r#"up{a="x\"y\\z\n",service="checkout"}"#);
        assert_eq!(of(&[("__name__", "up")]).unwrap(), "up");
        assert_eq!(of(&[("a.b", "1"), ("__name__", "http.errors")]).unwrap(), r#"{"http.errors","a.b"="1"}"#);
        assert_eq!(of(&[("a", "1")]).unwrap(), r#"{a="1"}"#);
        for (labels, why) in [
            (&[("a", ""), ("__name__", "")][..], "without a name"),
            (&[("a", "1"), ("a", "2")], "two labels `a`"),
            (&[("__name__", "x"), ("__name__", "y")], "two names"),
            (&[("", "x")], "without a name"),
        ] {
            assert!(of(labels).is_err_and(|said| said.contains(why)), "{labels:?}");
        }
    }

    #[test]
    fn what_people_write_is_read_and_what_is_none_is_refused_with_its_place() {
        let series = Series::parse(r#" up{ b="1", a="2", } "#).unwrap();
        assert_eq!(series.to_string(), r#"up{a="2",b="1"}"#);
        assert_eq!((series.label("a"), series.label("c"), series.label(NAME)), ("2", "", "up"));
        for (text, why) in [
            ("", "without a name"),
            ("up{a}", "expected `=`"),
            ("up{a=1}", "expected a quoted text"),
            ("up{a=\"1\"", "expected"),
            ("up{a=\"1\"} x", "expected the end"),
            ("up{a=\"1\" b=\"2\"}", "expected `,` or `}`"),
            ("up{a=\"\\x\"}", "escape"),
            ("up{\"x\"}", "two names"),
        ] {
            let said = Series::parse(text).unwrap_err();
            assert!(said.contains(why), "{text}: {said}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(labels in prop::collection::btree_map("\\PC{1,8}|[a-z_]{1,8}", any::<String>(), 1..6)) {
            let labels: Vec<_> = labels.into_iter().map(|(name, value)| (Text::from(name), Text::from(value))).collect();
            if let Ok(series) = Series::of(labels) {
                let text = series.to_string();
                prop_assert_eq!(Series::parse(&text).unwrap(), series);
            }
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,60}") {
            if let Ok(series) = Series::parse(&text) {
                let again = series.to_string();
                prop_assert_eq!(Series::parse(&again).unwrap().to_string(), again);
            }
        }
    }
}
