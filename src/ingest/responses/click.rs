//! A click as Slack tells it (`block_actions`), read into what it answers.
//!
//! Total: whatever the bytes, a click, nothing of ours, or what is wrong. The id is made of where and when Slack says that it
//! was: the same click has the same one, however often it is told.

use serde_json::Value;

use super::super::json::{Node, Refusal, parse};
use super::id_of;
use crate::event::{Response, ResponseVerb};
use crate::record::EventTime;

const ID_BYTES_MAX: usize = 256;
const TEXT_BYTES_MAX: usize = 2_048;
/// As buttons offer at most, and a little more.
const SNOOZE_SECS_MAX: i64 = 86_400;

#[derive(Clone, Debug, PartialEq)]
pub struct Click {
    pub response: Response,
    /// Where the clicker can be answered.
    pub response_url: Option<String>,
    /// The message says already that it is over.
    pub is_over: bool,
}

/// The JSON in the form's field `payload`.
pub fn payload(form: &[u8]) -> Result<Vec<u8>, Refusal> {
    let mut fields = form_urlencoded::parse(form);
    let payload = fields.find(|(name, _)| name == "payload").map(|(_, value)| value.into_owned().into_bytes());
    payload.ok_or_else(|| Refusal::new("$", "the form has no field `payload`", "send what Slack sends"))
}

/// `Ok(None)`: no click on one of our buttons.
pub fn read(payload: &[u8], received: EventTime) -> Result<Option<Click>, Refusal> {
    let value = parse(payload)?;
    let root = Node::root(&value);
    if root.required("type")?.string()? != "block_actions" {
        return Ok(None);
    }
    let actions = root.required("actions")?;
    for action in actions.items("actions")? {
        let action_id = action.required("action_id")?.filled(ID_BYTES_MAX)?;
        if let Some((verb, name)) = verb_of(action_id) {
            return click(&root, &action, verb, name, received).map(Some);
        }
    }
    Ok(None)
}

/// And the action's name.
fn verb_of(action_id: &str) -> Option<(ResponseVerb, Option<&str>)> {
    let verb = match action_id.strip_prefix("fairlead.")? {
        "acknowledge" => ResponseVerb::Acknowledge,
        "unacknowledge" => ResponseVerb::Unacknowledge,
        "snooze" => ResponseVerb::Snooze,
        "unsnooze" => ResponseVerb::Unsnooze,
        "assign" => ResponseVerb::Assign,
        run => return Some((ResponseVerb::Run, Some(run.strip_prefix("run.").filter(|name| !name.is_empty())?))),
    };
    Some((verb, None))
}

fn click(
    root: &Node<'_>,
    action: &Node<'_>,
    verb: ResponseVerb,
    name: Option<&str>,
    received: EventTime,
) -> Result<Click, Refusal> {
    let about = about(action)?;
    let about = Node::root(&about);
    let (user, team) = (root.required("user")?, root.at("/team/id"));
    let by = user.required("id")?.filled(ID_BYTES_MAX)?;
    let at = |pointer| root.at(pointer).map(|node| node.text(ID_BYTES_MAX)).transpose();
    let ids = [
        team.map(|team| team.text(ID_BYTES_MAX)).transpose()?,
        at("/container/channel_id")?,
        at("/container/message_ts")?,
        Some(action.required("action_id")?.filled(ID_BYTES_MAX)?),
        Some(action.required("action_ts")?.filled(ID_BYTES_MAX)?),
        Some(by),
    ];
    let person = user.field("username").or(user.field("name"));
    let text = root.at("/message/text").map(|node| node.string()).transpose()?;
    let response = Response {
        id: id_of("slack", &ids.map(Option::unwrap_or_default)),
        service: about.required("service")?.filled(TEXT_BYTES_MAX)?.to_owned(),
        incident_id: Some(about.required("incident")?.filled(ID_BYTES_MAX)?.to_owned()),
        version: version(&about)?,
        verb,
        by: by.to_owned(),
        by_name: person.map(|node| node.text(ID_BYTES_MAX)).transpose()?.map(str::to_owned),
        at_ms: received.0,
        until_ms: match verb {
            ResponseVerb::Snooze => Some(snoozed_until(action, received)?),
            _ => None,
        },
        assignee: match verb {
            ResponseVerb::Assign => Some(action.required("selected_user")?.filled(ID_BYTES_MAX)?.to_owned()),
            _ => None,
        },
        action: name.map(str::to_owned),
        silence_id: None,
        fingerprints: Vec::new(),
        comment: None,
    };
    let response_url = at_most(root.field("response_url"))?;
    Ok(Click { response, response_url, is_over: text.is_some_and(|text| text.starts_with('✅')) })
}

fn at_most(node: Option<Node<'_>>) -> Result<Option<String>, Refusal> {
    Ok(node.map(|node| node.text(TEXT_BYTES_MAX)).transpose()?.map(str::to_owned))
}

/// What the button, or the block of a choice, says that it is about.
fn about(action: &Node<'_>) -> Result<Value, Refusal> {
    let told = match action.field("value") {
        Some(value) => value,
        None => action.required("block_id")?,
    };
    let about = serde_json::from_str(told.text(TEXT_BYTES_MAX * 2)?).ok().filter(Value::is_object);
    about.ok_or_else(|| told.refuse("it does not say which incident", "press a button of a message of fairlead's"))
}

fn version(about: &Node<'_>) -> Result<i32, Refusal> {
    let told = about.required("version")?;
    let version = told.value.as_i64().and_then(|version| i32::try_from(version).ok());
    version.ok_or_else(|| told.refuse("this is no version", "send what the button says"))
}

fn snoozed_until(action: &Node<'_>, received: EventTime) -> Result<i64, Refusal> {
    let chosen = action.required("selected_option")?;
    let told = chosen.required("value")?;
    let secs: Option<i64> = told.string()?.parse().ok().filter(|secs| (1..=SNOOZE_SECS_MAX).contains(secs));
    let secs = secs.ok_or_else(|| told.refuse("this is no time to snooze", "choose one that is offered"))?;
    Ok(received.plus_ms(secs * 1_000).0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    const NOW: EventTime = EventTime(1_795_424_400_123);

    fn block_actions(action: Value) -> Value {
        json!({
            "type": "block_actions",
            "team": {"id": "T1"},
            "user": {"id": "U1", "username": "ann"},
            "container": {"type": "message", "message_ts": "1.000002", "channel_id": "C1"},
            "message": {"ts": "1.000002", "text": "🔴 Critical: checkout"},
            "response_url": "https://hooks.slack.com/actions/T1/1/x",
            "actions": [action],
        })
    }

    fn button(action_id: &str) -> Value {
        let about = r#"{"incident":"inc-1","service":"checkout","version":7}"#;
        json!({"type": "button", "action_id": action_id, "block_id": "b", "value": about, "action_ts": "9.5"})
    }

    fn response(payload: &Value) -> Response {
        read(payload.to_string().as_bytes(), NOW).unwrap().expect("a click").response
    }

    #[test]
    fn every_button_of_ours_is_read_and_the_same_click_has_the_same_id() {
        let acknowledged = response(&block_actions(button("fairlead.acknowledge")));
        assert_eq!(
            (acknowledged.verb, acknowledged.version, acknowledged.at_ms),
            (ResponseVerb::Acknowledge, 7, NOW.0)
        );
        assert_eq!((&*acknowledged.service, acknowledged.incident_id.as_deref()), ("checkout", Some("inc-1")));
        assert_eq!((&*acknowledged.by, acknowledged.by_name.as_deref()), ("U1", Some("ann")));
        let later = read(block_actions(button("fairlead.acknowledge")).to_string().as_bytes(), NOW.plus_ms(9)).unwrap();
        assert_eq!(later.unwrap().response.id, acknowledged.id);
        let run = response(&block_actions(button("fairlead.run.roll-back")));
        assert_eq!((run.verb, run.action.as_deref()), (ResponseVerb::Run, Some("roll-back")));
        let mut others = vec![run.id, acknowledged.id.clone()];
        for (field, value) in
            [("/user/id", "U2"), ("/container/message_ts", "2.0"), ("/team/id", "T2"), ("/actions/0/action_ts", "9.6")]
        {
            let mut other = block_actions(button("fairlead.acknowledge"));
            *other.pointer_mut(field).unwrap() = value.into();
            others.push(response(&other).id);
        }
        others.sort();
        others.dedup();
        assert_eq!(others.len(), 6);
    }

    #[test]
    fn choices_say_what_they_are_about_in_their_block() {
        let block_id = r#"{"incident":"inc-1","service":"checkout","version":7}"#;
        let choice = |action_id: &str, chosen: Value| {
            let mut choice = json!({"action_id": action_id, "block_id": block_id, "action_ts": "9.5"});
            choice.as_object_mut().unwrap().extend(chosen.as_object().unwrap().clone());
            block_actions(choice)
        };
        let snoozed = response(&choice("fairlead.snooze", json!({"selected_option": {"value": "1800"}})));
        assert_eq!((snoozed.verb, snoozed.until_ms), (ResponseVerb::Snooze, Some(NOW.0 + 1_800_000)));
        let assigned = response(&choice("fairlead.assign", json!({"selected_user": "U9"})));
        assert_eq!((assigned.verb, assigned.assignee.as_deref()), (ResponseVerb::Assign, Some("U9")));
        for value in ["0", "-5", "99999999999999999999", "86401", "soon"] {
            let wrong = choice("fairlead.snooze", json!({"selected_option": {"value": value}}));
            let refusal = read(wrong.to_string().as_bytes(), NOW).unwrap_err();
            assert_eq!(refusal.path, "$.actions[0].selected_option.value", "{refusal}");
        }
    }

    #[test]
    fn what_is_none_of_ours_is_no_click_and_what_is_broken_is_refused() {
        for payload in [
            json!({"type": "view_submission"}),
            block_actions(button("other.app")),
            block_actions(button("fairlead.run.")),
            block_actions(button("fairlead.explode")),
        ] {
            assert_eq!(read(payload.to_string().as_bytes(), NOW), Ok(None), "{payload}");
        }
        let mut nameless = block_actions(button("fairlead.acknowledge"));
        nameless["actions"][0]["value"] = "7".into();
        for broken in [json!({}), json!({"type": "block_actions"}), nameless, json!([]), Value::Null] {
            assert!(read(broken.to_string().as_bytes(), NOW).is_err(), "{broken}");
        }
        assert!(payload(b"payload=%7B%7D&x=1").is_ok_and(|payload| payload == b"{}"));
        assert!(payload(b"").is_err() && payload(b"{}").is_err() && read(b"\xff", NOW).is_err());
    }

    proptest! {
        #[test]
        fn nothing_whatever_makes_it_panic(place in 0..20usize, junk in any::<Option<i64>>(), text in ".{0,40}", bytes in any::<Vec<u8>>()) {
            let _ = payload(&bytes).and_then(|payload| read(&payload, NOW).map(drop));
            let mut payload = block_actions(button("fairlead.snooze"));
            let pointers = ["/type", "/team", "/user", "/user/id", "/container", "/message", "/message/text", "/actions",
                "/actions/0", "/actions/0/action_id", "/actions/0/value", "/actions/0/block_id", "/actions/0/action_ts",
                "/response_url"];
            if let Some(found) = payload.pointer_mut(pointers[place % pointers.len()]) {
                *found = junk.map_or_else(|| Value::from(text), Value::from);
            }
            let payload = payload.to_string();
            let _ = read(payload.as_bytes(), EventTime(i64::MAX));
            for end in 0..payload.len() {
                let _ = read(&payload.as_bytes()[..end], NOW);
            }
        }
    }
}
