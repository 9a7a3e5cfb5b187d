//! Times as senders write them: RFC 3339, to milliseconds since the epoch.
//!
//! Go's zero time (`0001-01-01T00:00:00Z`) means "not set". Years outside of 1970 to 2199 are a sender's mistake, often
//! seconds taken for milliseconds, and are refused rather than carried into every window downstream.

use jiff::Timestamp;

use super::json::{Node, Refusal};

/// 0001-01-01T00:00:00Z.
const GO_ZERO_MS: i64 = -62_135_596_800_000;
const FIRST_MS: i64 = 0;
/// 2200-01-01T00:00:00Z.
const END_MS: i64 = 7_258_118_400_000;
/// Longer than any RFC 3339 time with nanoseconds and offset.
const LONGEST: usize = 64;

/// The time in the field `name`; `None` when it is absent or Go's zero time.
pub fn optional(parent: &Node<'_>, name: &str) -> Result<Option<i64>, Refusal> {
    let Some(node) = parent.field(name) else { return Ok(None) };
    let text = node.text(LONGEST)?;
    let wrong = |problem| node.refuse(problem, "write it as RFC 3339, for example 2026-11-23T09:00:00.5+09:00");
    let time: Timestamp = text.parse().map_err(|_| wrong(format!("{text:?} is no time")))?;
    let ms = time.as_millisecond();
    if ms == GO_ZERO_MS {
        return Ok(None);
    }
    if !(FIRST_MS..END_MS).contains(&ms) {
        return Err(wrong(format!("{text:?} lies outside of the years 1970 to 2199")));
    }
    Ok(Some(ms))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn read(time: Value) -> Result<Option<i64>, String> {
        let value = json!({ "t": time });
        optional(&Node::root(&value), "t").map_err(|refusal| refusal.to_string())
    }

    #[test]
    fn offsets_and_fractions_are_honoured_and_zero_is_not_set() {
        let nine = 1_795_424_400_000; // 2026-11-23T09:00:00Z
        assert_eq!(read(json!("2026-11-23T09:00:00Z")), Ok(Some(nine)));
        assert_eq!(read(json!("2026-11-23T18:00:00+09:00")), Ok(Some(nine)));
        assert_eq!(read(json!("2026-11-23T05:30:00.123456789-03:30")), Ok(Some(nine + 123)));
        assert_eq!(read(json!("0001-01-01T00:00:00Z")), Ok(None));
        assert_eq!(read(json!("0001-01-01T09:00:00.000+09:00")), Ok(None));
        assert_eq!(read(Value::Null), Ok(None));
    }

    #[test]
    fn what_is_no_time_or_of_another_age_is_refused() {
        for text in ["", "yesterday", "2026-13-01T00:00:00Z", "2026-11-23", "2026-11-23T09:00:00"] {
            assert!(read(json!(text)).unwrap_err().starts_with("$.t: "), "{text}");
        }
        for text in ["1969-12-31T23:59:59Z", "2200-01-01T00:00:00Z", "58869-01-01T00:00:00Z"] {
            assert!(read(json!(text)).is_err(), "{text}");
        }
        assert!(read(json!(1_795_424_400)).unwrap_err().contains("the number 1795424400"));
        assert_eq!(read(json!("2199-12-31T23:59:59.999Z")), Ok(Some(END_MS - 1)));
    }
}
