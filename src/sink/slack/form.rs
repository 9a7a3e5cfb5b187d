//! How much of an action Slack is told: all, or what it takes when it refuses the blocks.
//!
//! Slack fetches the pictures of a message when it takes it, and refuses the whole message if one cannot be had. So pictures go first, and
//! all other blocks, buttons among them, stay as they are; only if those are refused too, plain text is told. Each rewriting begins with
//! all of it anew.

use serde_json::Value;

use super::call::Content;
use crate::event::SlackAction;

/// How much of an action is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Whole,
    NoPictures,
    Text,
}

pub const NO_PICTURES: &str = "told without pictures";
pub const AS_TEXT: &str = "told as plain text";

impl Form {
    pub fn of(self, action: &SlackAction) -> Content {
        let blocks = Some(&action.blocks).filter(|blocks| !blocks.is_empty());
        let blocks = match self {
            Form::Whole => blocks.cloned(),
            Form::NoPictures => blocks.and_then(|blocks| without_pictures(blocks)),
            Form::Text => None,
        };
        Content { text: action.text.clone(), blocks }
    }

    /// The next one that says less of this action.
    pub fn less(self, action: &SlackAction) -> Option<Self> {
        match self {
            Form::Whole if without_pictures(&action.blocks).is_some() => Some(Form::NoPictures),
            Form::Whole | Form::NoPictures => Some(Form::Text),
            Form::Text => None,
        }
    }

    pub fn said(self) -> Option<&'static str> {
        match self {
            Form::Whole => None,
            Form::NoPictures => Some(NO_PICTURES),
            Form::Text => Some(AS_TEXT),
        }
    }
}

/// The other blocks, as they are; `None` if there is no picture, or nothing but pictures.
fn without_pictures(blocks: &str) -> Option<String> {
    let mut blocks: Vec<Value> = serde_json::from_str(blocks).ok()?;
    let all = blocks.len();
    blocks.retain(|block| block["type"] != "image");
    (!blocks.is_empty() && blocks.len() < all).then(|| Value::from(blocks).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pictures_are_left_out_and_the_rest_stays_as_it_was() {
        let blocks = r#"[{"type":"section","b":1,"a":2},{"type":"image","image_url":"u"},{"type":"actions"}]"#;
        assert_eq!(without_pictures(blocks).unwrap(), r#"[{"type":"section","b":1,"a":2},{"type":"actions"}]"#);
        for blocks in ["", "[{", "[]", r#"[{"type":"divider"}]"#, r#"[{"type":"image"}]"#] {
            assert_eq!(without_pictures(blocks), None, "{blocks}");
        }
    }
}
