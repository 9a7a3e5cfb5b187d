//! When two schema texts are the same schema: a normal form that forgets white space, the order of attributes and the
//! long way of writing a plain type, and nothing else. Documentation, aliases and defaults count, as in Confluent's
//! registry. Being too careful here costs a version, being too bold would hand out a wrong schema.

use super::refusal::Refusal;
use apache_avro::Schema;
use serde_json::{Map, Value};

/// A schema text that parsed.
pub struct Text {
    /// As it came, without white space: what is stored and handed out.
    pub compact: String,
    /// What identifies it.
    pub normal: String,
    pub schema: Schema,
}

/// Deeply nested or long texts are cut off here; a client's schemas are far smaller.
const MAX_LENGTH: usize = 512 * 1024;

pub fn read(text: &str) -> Result<Text, Refusal> {
    if text.len() > MAX_LENGTH {
        return Err(Refusal::InvalidSchema(format!("{} bytes, at most {MAX_LENGTH} are taken", text.len())));
    }
    // Confluent's registry also takes a bare type name without quotes.
    let value = serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.trim().to_owned()));
    let compact = value.to_string();
    let schema = Schema::parse_str(&compact).map_err(|error| Refusal::InvalidSchema(error.to_string()))?;
    Ok(Text { normal: normal(&value).to_string(), compact, schema })
}

fn normal(value: &Value) -> Value {
    match value {
        Value::Array(items) => Value::Array(items.iter().map(normal).collect()),
        Value::Object(object) => match (object.len(), object.get("type")) {
            (1, Some(Value::String(plain))) => Value::String(plain.clone()),
            _ => Value::Object(sorted(object)),
        },
        plain => plain.clone(),
    }
}

fn sorted(object: &Map<String, Value>) -> Map<String, Value> {
    let mut keys: Vec<&String> = object.keys().collect();
    keys.sort();
    keys.into_iter()
        .map(|key| (key.clone(), if key == "default" { object[key].clone() } else { normal(&object[key]) }))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normal_of(text: &str) -> String {
        read(text).unwrap_or_else(|refusal| panic!("{text}: {refusal}")).normal
    }

    #[test]
    fn white_space_order_and_long_plain_types_do_not_count() {
        let one = r#"{"type":"record","name":"A","fields":[{"name":"f","type":"int","doc":"d"}]}"#;
        let two = r#"{ "name": "A", "type": "record", "fields": [ {"doc":"d", "name":"f", "type": {"type":"int"}} ] }"#;
        assert_eq!(normal_of(one), normal_of(two));
        assert_eq!(normal_of("string"), normal_of(r#"{"type":"string"}"#));
    }

    #[test]
    fn documentation_defaults_and_the_order_of_fields_count() {
        let a = r#"{"type":"record","name":"A","fields":[{"name":"f","type":"int"},{"name":"g","type":"int"}]}"#;
        let swapped = r#"{"type":"record","name":"A","fields":[{"name":"g","type":"int"},{"name":"f","type":"int"}]}"#;
        let documented =
            r#"{"type":"record","name":"A","doc":"d","fields":[{"name":"f","type":"int"},{"name":"g","type":"int"}]}"#;
        let with_default = r#"{"type":"record","name":"A","fields":[{"name":"f","type":"int"},{"name":"g","type":"int","default":1}]}"#;
        let all = [a, swapped, documented, with_default].map(normal_of);
        for (index, one) in all.iter().enumerate() {
            assert!(!all[index + 1..].contains(one), "{one}");
        }
    }

    #[test]
    fn what_is_no_avro_is_refused() {
        for text in [
            "",
            "{",
            "{}",
            "strin",
            r#"{"type":"record","name":"A"}"#,
            r#"{"type":"record","name":"A","fields":[{"name":"b","type":"B"}]}"#,
        ] {
            assert!(matches!(read(text), Err(Refusal::InvalidSchema(_))), "{text}");
        }
        assert!(matches!(read(&" ".repeat(MAX_LENGTH + 1)), Err(Refusal::InvalidSchema(_))));
    }
}
