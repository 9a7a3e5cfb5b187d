//! Reading JSON that strangers sent: every step knows where it is, so every refusal names its path, what is wrong and the
//! mend.
//!
//! Invariants: nothing here panics, whatever the bytes; a refusal quotes a bounded piece of its input. What the JSON
//! means is not here.

use serde::Serialize;
use serde_json::{Map, Value};
use thiserror::Error;

use crate::event::Text;

/// Characters of a foreign name or value that a refusal may quote.
const QUOTED: usize = 60;

/// Why a payload, or one element of it, was not taken.
#[derive(Clone, Debug, PartialEq, Eq, Error, Serialize)]
#[error("{path}: {problem}; {mend}")]
pub struct Refusal {
    /// Where in the payload, `$` being its root.
    pub path: String,
    pub problem: String,
    /// What its sender can do about it.
    pub mend: String,
}

impl Refusal {
    pub fn new(path: impl Into<String>, problem: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { path: path.into(), problem: problem.into(), mend: mend.into() }
    }
}

/// Bytes to JSON; nesting is bounded by serde_json itself.
pub fn parse(body: &[u8]) -> Result<Value, Refusal> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Err(Refusal::new("$", "the body is empty", "send the payload as JSON in the request's body"));
    }
    serde_json::from_slice(body).map_err(|error| {
        let problem = format!("this is no JSON: {error}");
        Refusal::new("$", problem, "check quoting and whether the body was cut off")
    })
}

/// A value and the way to it.
#[derive(Clone, Copy, Debug)]
pub struct Node<'a> {
    pub value: &'a Value,
    step: Step<'a>,
}

#[derive(Clone, Copy, Debug)]
enum Step<'a> {
    Root,
    Field(&'a Node<'a>, &'a str),
    Item(&'a Node<'a>, usize),
    Pointer(&'a Node<'a>, &'a str),
}

impl<'a> Node<'a> {
    pub fn root(value: &'a Value) -> Self {
        Self { value, step: Step::Root }
    }

    pub fn path(&self) -> String {
        match self.step {
            Step::Root => "$".to_owned(),
            Step::Item(parent, index) => format!("{}[{index}]", parent.path()),
            Step::Pointer(parent, pointer) => format!("{}{}", parent.path(), shortened(pointer)),
            Step::Field(parent, name) if is_plain(name) => format!("{}.{name}", parent.path()),
            Step::Field(parent, name) => format!("{}[{:?}]", parent.path(), shortened(name)),
        }
    }

    pub fn refuse(&self, problem: impl Into<String>, mend: impl Into<String>) -> Refusal {
        Refusal::new(self.path(), problem, mend)
    }

    /// The field `name`; a null is as good as absent, as in Go's JSON.
    pub fn field<'s>(&'s self, name: &'s str) -> Option<Node<'s>> {
        let value = self.value.get(name).filter(|value| !value.is_null())?;
        Some(Node { value, step: Step::Field(self, name) })
    }

    /// What a JSON pointer points to; a null is as good as absent.
    pub fn at<'s>(&'s self, pointer: &'s str) -> Option<Node<'s>> {
        let value = self.value.pointer(pointer).filter(|value| !value.is_null())?;
        Some(Node { value, step: Step::Pointer(self, pointer) })
    }

    pub fn required<'s>(&'s self, name: &'s str) -> Result<Node<'s>, Refusal> {
        self.field(name).ok_or_else(|| {
            let absent = Node { value: &Value::Null, step: Step::Field(self, name) };
            absent.refuse("this field is missing", format!("add {name:?}"))
        })
    }

    pub fn object(&self, what: &str) -> Result<&'a Map<String, Value>, Refusal> {
        let object = self.value.as_object();
        object
            .ok_or_else(|| self.refuse(format!("expected {what}, an object, found {}", self.found()), "send {…} here"))
    }

    pub fn entries<'s>(&'s self, what: &str) -> Result<impl Iterator<Item = (&'s str, Node<'s>)>, Refusal> {
        let object = self.object(what)?;
        Ok(object.iter().map(|(name, value)| (name.as_str(), Node { value, step: Step::Field(self, name) })))
    }

    pub fn items<'s>(&'s self, what: &str) -> Result<impl ExactSizeIterator<Item = Node<'s>>, Refusal> {
        let items = self.value.as_array();
        let items = items.ok_or_else(|| {
            self.refuse(format!("expected {what}, an array, found {}", self.found()), "send […] here")
        })?;
        Ok(items.iter().enumerate().map(|(index, value)| Node { value, step: Step::Item(self, index) }))
    }

    /// A string of any length.
    pub fn string(&self) -> Result<&'a str, Refusal> {
        self.value.as_str().ok_or_else(|| {
            let mend = match self.value {
                Value::Number(_) | Value::Bool(_) => format!("quote it: \"{}\"", self.value),
                _ => "send a string here".to_owned(),
            };
            self.refuse(format!("expected a string, found {}", self.found()), mend)
        })
    }

    /// A string of at most `max` bytes, without the white space around it.
    pub fn text(&self, max: usize) -> Result<&'a str, Refusal> {
        let text = self.string()?.trim();
        if text.len() > max {
            return Err(
                self.refuse(format!("{} bytes are too long", text.len()), format!("keep it within {max} bytes"))
            );
        }
        Ok(text)
    }

    /// As [`Node::text`], and not empty.
    pub fn filled(&self, max: usize) -> Result<&'a str, Refusal> {
        match self.text(max)? {
            "" => Err(self.refuse("this is empty", "fill it in or leave the payload out")),
            text => Ok(text),
        }
    }

    /// The text in the field `name`; absent and empty are the same.
    pub fn optional_text(&self, name: &str, max: usize) -> Result<Option<Text<'static>>, Refusal> {
        let Some(node) = self.field(name) else { return Ok(None) };
        let text = node.text(max)?;
        Ok((!text.is_empty()).then(|| text.to_owned().into()))
    }

    /// The link in the field `name`. One that does not fit is left out rather than cut: half a link leads nowhere.
    pub fn link(&self, name: &str, max: usize) -> Result<Option<Text<'static>>, Refusal> {
        let link = self.field(name).map(|link| link.string()).transpose()?;
        let link = link.filter(|link| !link.is_empty() && link.len() <= max);
        Ok(link.map(|link| link.to_owned().into()))
    }

    /// What stands here, in words, quoting little of it.
    pub fn found(&self) -> String {
        match self.value {
            Value::Null => "null".to_owned(),
            Value::Bool(value) => format!("the boolean {value}"),
            Value::Number(value) => format!("the number {value}"),
            Value::String(value) => format!("the string {:?}", shortened(value)),
            Value::Array(_) => "an array".to_owned(),
            Value::Object(_) => "an object".to_owned(),
        }
    }
}

/// At most [`QUOTED`] characters of `text`.
pub fn shortened(text: &str) -> String {
    match text.char_indices().nth(QUOTED) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

fn is_plain(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= QUOTED
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_refusal_says_where_what_and_how_to_mend_it() {
        let value = json!({"alerts": [{}, {"labels": {"code": 503, "a b": ["x"]}}]});
        let root = Node::root(&value);
        let alerts = root.required("alerts").unwrap();
        let second = alerts.items("alerts").unwrap().nth(1).unwrap();
        let labels = second.required("labels").unwrap();
        let told: Vec<_> =
            labels.entries("labels").unwrap().map(|(_, label)| label.string().unwrap_err().to_string()).collect();
        assert_eq!(
            told,
            [
                r#"$.alerts[1].labels.code: expected a string, found the number 503; quote it: "503""#,
                r#"$.alerts[1].labels["a b"]: expected a string, found an array; send a string here"#,
            ]
        );
        assert_eq!(
            second.required("startsAt").unwrap_err().to_string(),
            r#"$.alerts[1].startsAt: this field is missing; add "startsAt""#
        );
        assert!(labels.items("alerts").is_err_and(|refusal| refusal.problem.contains("an array, found an object")));
    }

    #[test]
    fn bytes_that_are_no_json_are_refused_with_their_position() {
        let refused = |body: &[u8]| parse(body).unwrap_err().problem;
        assert_eq!(refused(b" \n"), "the body is empty");
        assert!(refused(b"{\"a\":\n}").contains("line 2 column 1"));
        assert!(refused(b"\"\xff\"").contains("no JSON"));
        assert!(refused("[".repeat(100_000).as_bytes()).contains("recursion limit"));
    }

    #[test]
    fn what_a_refusal_quotes_is_bounded_and_cut_between_characters() {
        let value = json!({"ü".repeat(10_000): "ö".repeat(10_000)});
        let root = Node::root(&value);
        let (_, node) = root.entries("labels").unwrap().next().unwrap();
        let refusal = node.text(100).unwrap_err();
        assert!(refusal.path.len() < 200 && refusal.to_string().len() < 400);
        assert!(node.found().len() < 200);
    }
}
