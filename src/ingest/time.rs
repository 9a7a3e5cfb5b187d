//! Times as senders write them: RFC 3339, to milliseconds since the epoch. An offset may lack its colon (`+0000`), as Java and
//! Python write it.
//!
//! Go's zero time (`0001-01-01T00:00:00Z`) means "not set". Years outside of 1970 to 2199 are a sender's mistake, often
//! seconds taken for milliseconds, and are refused rather than carried into every window downstream.

use std::borrow::Cow;

use jiff::Timestamp;
use serde_json::Value;

use super::json::{Node, Refusal};

/// 0001-01-01T00:00:00Z.
const GO_ZERO_MS: i64 = -62_135_596_800_000;
const FIRST_MS: i64 = 0;
/// 2200-01-01T00:00:00Z.
const END_MS: i64 = 7_258_118_400_000;
/// As seconds, in the year 5138; as milliseconds, in March 1973.
const SECONDS_BELOW: f64 = 1e11;
/// Longer than any RFC 3339 time with nanoseconds and offset.
const LONGEST: usize = 64;

/// The time in the field `name`; `None` when it is absent or Go's zero time.
pub fn optional(parent: &Node<'_>, name: &str) -> Result<Option<i64>, Refusal> {
    parent.field(name).map_or(Ok(None), |node| rfc_3339(&node))
}

fn rfc_3339(node: &Node<'_>) -> Result<Option<i64>, Refusal> {
    let text = node.text(LONGEST)?;
    let wrong = |problem| node.refuse(problem, "write it as RFC 3339, for example 2026-11-23T09:00:00.5+09:00");
    let time: Timestamp = with_colon(text).parse().map_err(|_| wrong(format!("{text:?} is no time")))?;
    let ms = time.as_millisecond();
    if ms == GO_ZERO_MS {
        return Ok(None);
    }
    if !(FIRST_MS..END_MS).contains(&ms) {
        return Err(wrong(format!("{text:?} lies outside of the years 1970 to 2199")));
    }
    Ok(Some(ms))
}

/// Milliseconds since the epoch, as a number or its text.
pub fn epoch_ms(node: &Node<'_>) -> Result<i64, Refusal> {
    let told = match node.value.as_i64() {
        Some(number) => Some(number),
        None => node.text(LONGEST)?.parse().ok(),
    };
    told.filter(|ms| (FIRST_MS..END_MS).contains(ms)).ok_or_else(|| {
        node.refuse(format!("{} is no time", node.found()), "write milliseconds since 1970, for example 1795424400000")
    })
}

/// RFC 3339, or seconds or milliseconds since the epoch, whichever it must be; `None` when it is empty or Go's zero time.
pub fn any(node: &Node<'_>) -> Result<Option<i64>, Refusal> {
    let number = match node.value {
        Value::Number(number) => number.as_f64(),
        _ => node.text(LONGEST)?.parse().ok(),
    };
    match number.filter(|number: &f64| number.is_finite()) {
        Some(number) if number.abs() < SECONDS_BELOW => within(node, (number * 1_000.0) as i64).map(Some),
        Some(number) => within(node, number as i64).map(Some),
        None if node.text(LONGEST)?.is_empty() => Ok(None),
        None => rfc_3339(node),
    }
}

fn within(node: &Node<'_>, ms: i64) -> Result<i64, Refusal> {
    if (FIRST_MS..END_MS).contains(&ms) {
        return Ok(ms);
    }
    let mend = "write it as RFC 3339, for example 2026-11-23T09:00:00Z, or as milliseconds since 1970";
    Err(node.refuse(format!("{} lies outside of the years 1970 to 2199", node.found()), mend))
}

/// `…+0930` as `…+09:30`.
fn with_colon(text: &str) -> Cow<'_, str> {
    let Some((time, offset)) = text.len().checked_sub(5).and_then(|at| text.split_at_checked(at)) else {
        return text.into();
    };
    match offset.strip_prefix(['+', '-']) {
        Some(digits) if time.contains('T') && digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            format!("{time}{}:{}", &offset[..3], &offset[3..]).into()
        }
        _ => text.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

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
        assert_eq!(read(json!("2026-11-23T09:00:00.123+0000")), Ok(Some(nine + 123)));
        assert_eq!(read(json!("2026-11-23T05:30:00-0330")), Ok(Some(nine)));
        assert_eq!(read(json!("0001-01-01T00:00:00Z")), Ok(None));
        assert_eq!(read(json!("0001-01-01T09:00:00.000+09:00")), Ok(None));
        assert_eq!(read(Value::Null), Ok(None));
    }

    #[test]
    fn any_time_is_read_as_what_it_must_be() {
        let read = |time: Value| any(&Node::root(&time)).map_err(|refusal| refusal.problem);
        let nine = 1_795_424_400_000;
        for time in [json!(1_795_424_400), json!("1795424400"), json!(nine), json!("2026-11-23T18:00:00+0900")] {
            assert_eq!(read(time.clone()), Ok(Some(nine)), "{time}");
        }
        assert_eq!(read(json!(1_795_424_400.25)), Ok(Some(nine + 250)));
        assert_eq!((read(json!("")), read(json!("0001-01-01T00:00:00Z"))), (Ok(None), Ok(None)));
        for time in [json!(-1), json!(1e300), json!("soon"), json!("inf"), json!("NaN"), json!(true), json!(END_MS)] {
            assert!(read(time.clone()).is_err(), "{time}");
        }
    }

    #[test]
    fn milliseconds_are_a_number_or_its_text() {
        let read = |time: Value| epoch_ms(&Node::root(&time)).map_err(|refusal| refusal.problem);
        assert_eq!((read(json!(1_795_424_400_000_i64)), read(json!(" 0 "))), (Ok(1_795_424_400_000), Ok(0)));
        for time in [json!(-1), json!("soon"), json!(END_MS), json!(1.5), json!([])] {
            assert!(read(time.clone()).is_err(), "{time}");
        }
    }

    #[test]
    fn what_is_no_time_or_of_another_age_is_refused() {
        for text in ["", "yesterday", "2026-13-01T00:00:00Z", "2026-11-23", "2026-11-23T09:00:00", "é0000", "T+0000"] {
            assert!(read(json!(text)).unwrap_err().starts_with("$.t: "), "{text}");
        }
        for text in ["1969-12-31T23:59:59Z", "2200-01-01T00:00:00Z", "58869-01-01T00:00:00Z"] {
            assert!(read(json!(text)).is_err(), "{text}");
        }
        assert!(read(json!(1_795_424_400)).unwrap_err().contains("the number 1795424400"));
        assert_eq!(read(json!("2199-12-31T23:59:59.999Z")), Ok(Some(END_MS - 1)));
    }
}
