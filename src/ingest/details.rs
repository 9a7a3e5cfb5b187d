//! Labels and annotations out of what a sender tells freely: custom details, tags, scopes.
//!
//! Unlike a Prometheus such a sender has no notion of labels, so nothing is refused over them: what is too long for a label
//! becomes an annotation, what is too long for that is cut, and what is too many is left out. Identity does not hang on them.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Limits;
use super::json::Node;
use crate::event::Labels;

#[derive(Default)]
pub struct Told {
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
}

impl Told {
    pub fn label(&mut self, name: &str, value: &str) {
        self.labels.insert(name.to_owned(), value.to_owned());
    }

    pub fn annotate(&mut self, name: &str, text: &str) {
        self.annotations.insert(name.to_owned(), text.to_owned());
    }

    /// An object's fields; what is no object is one detail. What was told before stays.
    pub fn take(&mut self, details: &Node<'_>, limits: &Limits) {
        let Some(fields) = details.value.as_object() else {
            let text = details.value.as_str().map_or_else(|| details.value.to_string(), str::to_owned);
            self.annotations.entry("details".to_owned()).or_insert(text);
            return;
        };
        let says = |value: &Value| !value.is_null() && value.as_str().is_none_or(|text| !text.trim().is_empty());
        for (name, value) in fields.iter().filter(|(_, value)| says(value)) {
            match text(value, limits.label_value_bytes_max) {
                Some(text) if !text.starts_with("http") => {
                    self.labels.entry(name.clone()).or_insert(text);
                }
                _ => {
                    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                    self.annotations.entry(name.clone()).or_insert(text);
                }
            }
        }
    }

    /// `name:value, …` as Datadog writes tags; a tag without a value is true.
    pub fn take_tags(&mut self, tags: &str, limits: &Limits) {
        for tag in tags.split(',').map(str::trim).filter(|tag| !tag.is_empty() && *tag != "*") {
            let (name, value) = tag.split_once(':').unwrap_or((tag, "true"));
            if value.len() <= limits.label_value_bytes_max {
                self.labels.entry(name.to_owned()).or_insert_with(|| value.to_owned());
            }
        }
    }

    /// Both within the limits; the first by name are kept, and an alert's name and severity always.
    pub fn within(mut self, limits: &Limits) -> (Labels<'static>, Labels<'static>) {
        let fits = |name: &str| !name.is_empty() && name.len() <= limits.label_name_bytes_max;
        let first = ["alertname", "severity"].map(|name| self.labels.remove_entry(name)).into_iter().flatten();
        let labels = first.chain(self.labels).filter(|(name, value)| fits(name) && !value.is_empty());
        let annotations = self.annotations.into_iter().filter(|(name, text)| fits(name) && !text.is_empty());
        let labels = labels.take(limits.labels_max).map(|(name, value)| (name.into(), value.into()));
        let annotations = annotations
            .take(limits.labels_max)
            .map(|(name, text)| (name.into(), cut(&text, limits.annotation_bytes_max).into()));
        (labels.collect(), annotations.collect())
    }
}

/// A plain value in words, if it is one and within `max` bytes.
pub fn text(value: &Value, max: usize) -> Option<String> {
    let text = match value {
        Value::String(text) => text.trim().to_owned(),
        Value::Number(_) | Value::Bool(_) => value.to_string(),
        Value::Null | Value::Array(_) | Value::Object(_) => return None,
    };
    (1..=max).contains(&text.len()).then_some(text)
}

/// At most `max` bytes of `text`, ending in an ellipsis if that cut it.
pub fn cut(text: &str, max: usize) -> String {
    const MARK: char = '…';
    if text.len() <= max {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(max.saturating_sub(MARK.len_utf8()));
    format!("{}{MARK}", &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn limits() -> Limits {
        Limits {
            labels_max: 3,
            label_name_bytes_max: 20,
            label_value_bytes_max: 8,
            annotation_bytes_max: 20,
            ..Limits::default()
        }
    }

    #[test]
    fn plain_details_are_labels_the_rest_is_annotated_and_all_is_bounded() {
        let value = json!({"zone": "a", "n": 3, "up": false, "none": null, "long": "more than eight bytes, and more than twenty",
                           "link": "http://x", "list": [1], "a name that is longer than it may be": "x", "blank": " "});
        let mut told = Told::default();
        told.label("zone", "b");
        told.label("severity", "info");
        told.take(&Node::root(&value), &limits());
        let (labels, annotations) = told.within(&limits());
        // Of n, up, zone the first by name; the one told before stays.
        assert_eq!(labels.iter().collect::<Vec<_>>(), [("n", "3"), ("severity", "info"), ("up", "false")]);
        let told: Vec<_> = annotations.iter().collect();
        assert_eq!(told, [("link", "http://x"), ("list", "[1]"), ("long", "more than eight b…")]);
    }

    #[test]
    fn tags_are_labels_and_what_is_no_object_is_one_detail() {
        let mut told = Told::default();
        told.take_tags("env:prod, url:a:b,monitor,*,,host:too-long-for-it", &limits());
        told.take(&Node::root(&json!("as text")), &limits());
        let labels: Vec<_> = told.labels.iter().map(|(name, value)| (&**name, &**value)).collect();
        assert_eq!(labels, [("env", "prod"), ("monitor", "true"), ("url", "a:b")]);
        assert_eq!(told.annotations["details"], "as text");
    }
}
