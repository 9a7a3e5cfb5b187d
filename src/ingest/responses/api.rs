//! What a program answers for somebody, as JSON: `{"verb": "snooze", "by": "ann", "for": "1h"}`.

use jiff::{SignedDuration, Timestamp};

use super::super::json::{Node, Refusal, parse};
use super::id_of;
use crate::event::{Response, ResponseVerb};
use crate::record::EventTime;

const TEXT_BYTES_MAX: usize = 256;
const COMMENT_BYTES_MAX: usize = 2_048;
/// Longer quiet is a silence.
const SNOOZE_MS_MAX: i64 = 7 * 24 * 3_600_000;
const FIELDS: [&str; 7] = ["verb", "by", "until", "for", "assignee", "action", "comment"];

/// `key` tells one request apart from another: the same key, the same fact.
pub fn read(
    (service, incident): (&str, &str),
    key: &str,
    body: &[u8],
    received: EventTime,
) -> Result<Response, Refusal> {
    let value = parse(body)?;
    let root = Node::root(&value);
    for (name, field) in root.entries("an answer")? {
        if !FIELDS.contains(&name) {
            return Err(field.refuse("this field is unknown", format!("known are {}", FIELDS.join(", "))));
        }
    }
    for (what, text) in [("service", service), ("incident", incident), ("Idempotency-Key", key)] {
        if text.is_empty() || text.len() > TEXT_BYTES_MAX * 8 {
            return Err(Refusal::new(what, "this is empty or too long", "name it in the path or header"));
        }
    }
    let verb = verb(&root.required("verb")?)?;
    let text = |name: &str, max| root.field(name).map(|node| node.filled(max).map(str::to_owned)).transpose();
    let only = |name: &str, of: ResponseVerb| match root.field(name) {
        Some(field) if verb != of => Err(field.refuse("it does not go with this verb", "leave it out")),
        None if verb == of && name == "action" => root.required(name).map(drop),
        _ => Ok(()),
    };
    only("assignee", ResponseVerb::Assign)?;
    only("action", ResponseVerb::Run)?;
    only("until", ResponseVerb::Snooze)?;
    only("for", ResponseVerb::Snooze)?;
    Ok(Response {
        id: id_of("api", &[service, incident, key]),
        service: service.to_owned(),
        incident_id: Some(incident.to_owned()),
        version: 0,
        verb,
        by: root.required("by")?.filled(TEXT_BYTES_MAX)?.to_owned(),
        by_name: None,
        at_ms: received.0,
        until_ms: (verb == ResponseVerb::Snooze).then(|| until(&root, received)).transpose()?,
        assignee: text("assignee", TEXT_BYTES_MAX)?,
        action: text("action", TEXT_BYTES_MAX)?,
        silence_id: None,
        fingerprints: Vec::new(),
        comment: text("comment", COMMENT_BYTES_MAX)?,
    })
}

fn verb(told: &Node<'_>) -> Result<ResponseVerb, Refusal> {
    match told.string()? {
        "acknowledge" => Ok(ResponseVerb::Acknowledge),
        "unacknowledge" => Ok(ResponseVerb::Unacknowledge),
        "snooze" => Ok(ResponseVerb::Snooze),
        "unsnooze" => Ok(ResponseVerb::Unsnooze),
        "assign" => Ok(ResponseVerb::Assign),
        "run" => Ok(ResponseVerb::Run),
        _ => {
            Err(told
                .refuse("there is no such verb", "write acknowledge, unacknowledge, snooze, unsnooze, assign or run"))
        }
    }
}

fn until(root: &Node<'_>, received: EventTime) -> Result<i64, Refusal> {
    let (until, node) = match (root.field("until"), root.field("for")) {
        (Some(until), None) => {
            let at: Option<Timestamp> = until.string()?.parse().ok();
            (at.map(Timestamp::as_millisecond), until)
        }
        (None, Some(span)) => {
            let span_told: Option<SignedDuration> = span.string()?.parse().ok();
            let ms = span_told.and_then(|span| i64::try_from(span.as_millis()).ok());
            (ms.and_then(|ms| received.0.checked_add(ms)), span)
        }
        (Some(_), Some(both)) => return Err(both.refuse("there is `until` too", "say one of both")),
        (None, None) => return Err(root.refuse("how long is not said", "add \"for\": \"1h\" or \"until\"")),
    };
    let span = until.map(|until| until.saturating_sub(received.0));
    match (until, span) {
        (Some(until), Some(1..=SNOOZE_MS_MAX)) => Ok(until),
        (Some(_), _) => Err(node.refuse("this is not within the next 7 days", "say when, between now and then")),
        _ => Err(node.refuse("this is no time", "write \"1h\", or RFC 3339: \"2026-11-27T12:00:00Z\"")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: EventTime = EventTime(1_795_424_400_000);

    fn told(body: &str) -> Result<Response, String> {
        read(("checkout", "inc-1"), "k1", body.as_bytes(), NOW).map_err(|refusal| refusal.to_string())
    }

    #[test]
    fn an_answer_says_who_and_what_and_its_key_is_its_identity() {
        let snoozed = told(r#"{"verb": "snooze", "by": "ann", "for": "1h30m", "comment": "a deploy"}"#).unwrap();
        assert_eq!((snoozed.verb, snoozed.until_ms), (ResponseVerb::Snooze, Some(NOW.0 + 5_400_000)));
        assert_eq!((&*snoozed.by, snoozed.comment.as_deref()), ("ann", Some("a deploy")));
        let run = told(r#"{"verb": "run", "by": "ci", "action": "rollback"}"#).unwrap();
        assert_eq!((run.id == snoozed.id, run.action.as_deref()), (true, Some("rollback")));
        let other = read(("checkout", "inc-1"), "k2", br#"{"verb": "acknowledge", "by": "ann"}"#, NOW).unwrap();
        assert_ne!(other.id, run.id);
        assert!(told(r#"{"verb": "assign", "by": "ann"}"#).unwrap().assignee.is_none());
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place_and_mend() {
        for (body, said) in [
            ("", "$: the body is empty"),
            ("[]", "$: expected an answer, an object"),
            (r#"{"by": "a"}"#, "$.verb: this field is missing"),
            (r#"{"verb": "silence", "by": "a"}"#, "$.verb: there is no such verb"),
            (r#"{"verb": "acknowledge"}"#, "$.by: this field is missing"),
            (r#"{"verb": "acknowledge", "by": "a", "wow": 1}"#, "$.wow: this field is unknown"),
            (r#"{"verb": "acknowledge", "by": "a", "for": "1h"}"#, "$.for: it does not go with this verb"),
            (r#"{"verb": "run", "by": "a"}"#, "$.action: this field is missing"),
            (r#"{"verb": "snooze", "by": "a"}"#, "$: how long is not said"),
            (r#"{"verb": "snooze", "by": "a", "for": "-1h"}"#, "$.for: this is not within the next 7 days"),
            (r#"{"verb": "snooze", "by": "a", "for": "soon"}"#, "$.for: this is no time"),
            (r#"{"verb": "snooze", "by": "a", "until": "2020-01-01T00:00:00Z"}"#, "$.until: this is not within"),
        ] {
            let refusal = told(body).unwrap_err();
            assert!(refusal.starts_with(said), "{body}: {refusal}");
        }
    }
}
