//! Block Kit's limits. Slack answers a breach with one code; which block and why goes beside it.
//!
//! Pictures are fetched by Slack as a message comes: whoever calls says which could be, for nothing is fetched here.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

/// Slack documents no such limit, but refuses more than about this many characters in all.
const TOTAL_CHARS: usize = 13_200;

/// Why blocks are refused: Slack's code, and what is wrong in words.
#[derive(Debug, PartialEq, Eq)]
pub struct Refused {
    pub code: &'static str,
    pub why: String,
}

fn invalid(why: String) -> Refused {
    Refused { code: "invalid_blocks", why }
}

/// Addresses of the pictures in `blocks`.
pub fn pictures(blocks: &Value) -> Vec<String> {
    let blocks = array(blocks).unwrap_or_default();
    let address = |image: &Value| (image["type"] == "image").then(|| image["image_url"].as_str().map(str::to_owned))?;
    let elements = blocks.iter().flat_map(|block| block["elements"].as_array().into_iter().flatten());
    blocks.iter().chain(elements).filter_map(address).collect()
}

fn array(blocks: &Value) -> Result<Vec<Value>, Refused> {
    let blocks = match blocks {
        Value::String(text) => serde_json::from_str(text)
            .map_err(|error| Refused { code: "invalid_blocks_format", why: error.to_string() })?,
        other => other.clone(),
    };
    match blocks {
        Value::Array(blocks) => Ok(blocks),
        _ => Err(Refused { code: "invalid_blocks_format", why: "blocks are no array".to_owned() }),
    }
}

/// Checks `blocks` (an array, or an array as JSON text) and gives them back as an array. `fetched`: pictures that could be.
pub fn check(blocks: &Value, fetched: &BTreeSet<String>) -> Result<Vec<Value>, Refused> {
    let blocks = array(blocks)?;
    if blocks.len() > 50 {
        return Err(invalid(format!("{} blocks, 50 are allowed", blocks.len())));
    }
    let mut ids = BTreeSet::new();
    let mut total = 0;
    for (index, block) in blocks.iter().enumerate() {
        check_block(block, &mut ids).map_err(|why| invalid(format!("block {index}: {why}")))?;
        total += chars(block);
        if pictures(&Value::from(vec![block.clone()])).iter().any(|picture| !fetched.contains(picture)) {
            let place = format!("[json-pointer:/blocks/{index}/image_url]");
            return Err(invalid(format!("[ERROR] downloading image failed {place}")));
        }
    }
    if total > TOTAL_CHARS {
        return Err(Refused { code: "msg_blocks_too_long", why: format!("{total} characters in all") });
    }
    Ok(blocks)
}

fn check_block(block: &Value, ids: &mut BTreeSet<String>) -> Result<(), String> {
    let block = block.as_object().ok_or("no object")?;
    if let Some(id) = bounded(block, "block_id", 255)?
        && !ids.insert(id.to_owned())
    {
        return Err(format!("block_id {id} occurs twice"));
    }
    match block.get("type").and_then(Value::as_str) {
        Some("divider") => Ok(()),
        Some("section") => check_section(block),
        Some("header") => text_of(block.get("text"), &["plain_text"], 150),
        Some("context") => elements(block, 10)?.iter().try_for_each(check_context_element),
        Some("actions") => check_actions(block),
        Some("image") => check_image(block),
        Some(other) => Err(format!("unsupported type {other}")),
        None => Err("no type".to_owned()),
    }
}

fn check_image(image: &Map<String, Value>) -> Result<(), String> {
    let address = bounded(image, "image_url", 3_000)?.ok_or("no image_url")?;
    if !address.starts_with("https://") && !address.starts_with("http://") {
        return Err("image_url is no address of the web".to_owned());
    }
    match bounded(image, "alt_text", 2_000)? {
        None | Some("") => Err("no alt_text".to_owned()),
        Some(_) => Ok(()),
    }
}

fn check_section(block: &Map<String, Value>) -> Result<(), String> {
    let (text, fields) = (block.get("text"), block.get("fields"));
    if text.is_none() && fields.is_none() {
        return Err("a section needs text or fields".to_owned());
    }
    if text.is_some() {
        text_of(text, &["mrkdwn", "plain_text"], 3_000)?;
    }
    if let Some(fields) = fields {
        let fields = fields.as_array().ok_or("fields are no array")?;
        if fields.is_empty() || fields.len() > 10 {
            return Err(format!("{} fields, 1 to 10 are allowed", fields.len()));
        }
        fields.iter().try_for_each(|field| text_of(Some(field), &["mrkdwn", "plain_text"], 2_000))?;
    }
    block.get("accessory").map_or(Ok(()), check_button)
}

fn check_context_element(element: &Value) -> Result<(), String> {
    match element.get("type").and_then(Value::as_str) {
        Some("image") => check_image(element.as_object().ok_or("no object")?),
        _ => text_of(Some(element), &["mrkdwn", "plain_text"], 3_000),
    }
}

fn check_actions(block: &Map<String, Value>) -> Result<(), String> {
    let mut ids = BTreeSet::new();
    for element in elements(block, 25)? {
        match element["type"].as_str() {
            Some("static_select" | "users_select") => check_select(element)?,
            _ => check_button(element)?,
        }
        if let Some(id) = element["action_id"].as_str()
            && !ids.insert(id)
        {
            return Err(format!("action_id {id} occurs twice"));
        }
    }
    Ok(())
}

fn check_select(element: &Value) -> Result<(), String> {
    let select = element.as_object().ok_or("an element is no object")?;
    bounded(select, "action_id", 255)?.filter(|id| !id.is_empty()).ok_or("a select without action_id")?;
    text_of(select.get("placeholder"), &["plain_text"], 150)?;
    if element["type"] == "users_select" {
        return Ok(());
    }
    let options = select.get("options").and_then(Value::as_array).ok_or("no options")?;
    if !(1..=100).contains(&options.len()) {
        return Err(format!("{} options, 1 to 100 are allowed", options.len()));
    }
    options.iter().try_for_each(|option| {
        let option = option.as_object().ok_or("an option is no object")?;
        bounded(option, "value", 150)?.ok_or("an option without value")?;
        text_of(option.get("text"), &["plain_text"], 75)
    })
}

fn check_confirm(confirm: &Value) -> Result<(), String> {
    for (name, most) in [("title", 100), ("text", 300), ("confirm", 30), ("deny", 30)] {
        let kinds: &[&str] = if name == "text" { &["plain_text", "mrkdwn"] } else { &["plain_text"] };
        text_of(confirm.get(name), kinds, most)?;
    }
    Ok(())
}

fn check_button(element: &Value) -> Result<(), String> {
    let button = element.as_object().ok_or("an element is no object")?;
    if button.get("type").and_then(Value::as_str) != Some("button") {
        return Err("only buttons are supported".to_owned());
    }
    text_of(button.get("text"), &["plain_text"], 75)?;
    bounded(button, "action_id", 255)?;
    bounded(button, "value", 2_000)?;
    bounded(button, "url", 3_000)?;
    button.get("confirm").map_or(Ok(()), check_confirm)
}

fn elements(block: &Map<String, Value>, most: usize) -> Result<&Vec<Value>, String> {
    let elements = block.get("elements").and_then(Value::as_array).ok_or("no elements")?;
    match elements.len() {
        0 => Err("no elements".to_owned()),
        count if count > most => Err(format!("{count} elements, {most} are allowed")),
        _ => Ok(elements),
    }
}

fn text_of(object: Option<&Value>, types: &[&str], most: usize) -> Result<(), String> {
    let object = object.and_then(Value::as_object).ok_or("no text object")?;
    let kind = object.get("type").and_then(Value::as_str).unwrap_or_default();
    if !types.contains(&kind) {
        return Err(format!("text of type {kind:?}, allowed: {}", types.join(", ")));
    }
    match bounded(object, "text", most)? {
        None | Some("") => Err("empty text".to_owned()),
        Some(_) => Ok(()),
    }
}

fn bounded<'a>(object: &'a Map<String, Value>, name: &str, most: usize) -> Result<Option<&'a str>, String> {
    let Some(value) = object.get(name) else { return Ok(None) };
    let text = value.as_str().ok_or_else(|| format!("{name} is no text"))?;
    match text.chars().count() {
        count if count > most => Err(format!("{name} has {count} characters, {most} are allowed")),
        _ => Ok(Some(text)),
    }
}

/// Characters of everything that is shown, whatever its place.
fn chars(value: &Value) -> usize {
    match value {
        Value::Object(object) => object
            .iter()
            .map(|(name, value)| match value {
                Value::String(text) if name == "text" => text.chars().count(),
                Value::String(_) => 0,
                other => chars(other),
            })
            .sum(),
        Value::Array(values) => values.iter().map(chars).sum(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn section(length: usize) -> Value {
        json!({"type": "section", "text": {"type": "mrkdwn", "text": "x".repeat(length)}})
    }

    fn code(blocks: Value) -> Result<usize, &'static str> {
        check(&blocks, &BTreeSet::new()).map(|blocks| blocks.len()).map_err(|refused| refused.code)
    }

    #[test]
    fn limits_are_inclusive_and_one_more_is_refused() {
        assert_eq!(code(json!([section(3_000)])), Ok(1));
        assert_eq!(code(json!([section(3_001)])), Err("invalid_blocks"));
        assert_eq!(code(Value::Array(vec![json!({"type": "divider"}); 50])), Ok(50));
        assert_eq!(code(Value::Array(vec![json!({"type": "divider"}); 51])), Err("invalid_blocks"));
        assert_eq!(code(Value::Array(vec![section(3_000); 4])), Ok(4));
        assert_eq!(code(Value::Array(vec![section(3_000); 5])), Err("msg_blocks_too_long"));
        let header = |n| json!([{"type": "header", "text": {"type": "plain_text", "text": "h".repeat(n)}}]);
        assert_eq!(code(header(150)), Ok(1));
        assert_eq!(code(header(151)), Err("invalid_blocks"));
    }

    #[test]
    fn what_slack_would_refuse_is_refused() {
        let refused = [
            json!("not json"),
            json!({"type": "divider"}),
            json!([{"type": "sektion"}]),
            json!([{"type": "section"}]),
            json!([section(0)]),
            json!([{"type": "header", "text": {"type": "mrkdwn", "text": "h"}}]),
            json!([{"type": "context", "elements": []}]),
            json!([{"type": "divider", "block_id": "a"}, {"type": "divider", "block_id": "a"}]),
            json!([{"type": "actions", "elements": [
                {"type": "button", "text": {"type": "plain_text", "text": "b".repeat(76)}}]}]),
        ];
        for blocks in refused {
            assert!(check(&blocks, &BTreeSet::new()).is_err(), "{blocks}");
        }
    }

    #[test]
    fn a_picture_needs_words_and_an_address_at_which_it_is() {
        let address = format!("http://127.0.0.1/{}", "x".repeat(2_983));
        let fetched = BTreeSet::from([address.clone()]);
        let refused =
            |image: Value| check(&json!([{"type": "divider"}, image]), &fetched).map_err(|refused| refused.why);
        let image = |address: &str, words: &str| json!({"type": "image", "image_url": address, "alt_text": words});
        assert!(refused(image(&address, &"w".repeat(2_000))).is_ok());
        let element = |address: &str| json!({"type": "context", "elements": [image(address, "w")]});
        assert!(refused(element(&address)).is_ok());
        for (image, why) in [
            (image(&address, ""), "no alt_text"),
            (json!({"type": "image", "image_url": address}), "no alt_text"),
            (json!({"type": "image", "alt_text": "w"}), "no image_url"),
            (image(&address, &"w".repeat(2_001)), "2000 are allowed"),
            (image(&(address.clone() + "x"), "w"), "3000 are allowed"),
            (image("data:image/png;base64,AA", "w"), "no address of the web"),
            (image("http://127.0.0.1/y", "w"), "[ERROR] downloading image failed [json-pointer:/blocks/1/image_url]"),
            (element("http://127.0.0.1/y"), "downloading image failed"),
        ] {
            let said = refused(image).unwrap_err();
            assert!(said.contains(why), "{said}");
        }
    }

    #[test]
    fn blocks_may_come_as_json_text() {
        assert_eq!(code(json!(r#"[{"type":"divider"}]"#)), Ok(1));
    }
}
