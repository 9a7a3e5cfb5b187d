//! What people can press below an open incident: take it in hand or give it back, be left alone for a while, hand it to
//! somebody, and the actions that apply.
//!
//! Each element says what it is about: incident, service and the version that was in sight, so that a click on an old rendering
//! is known for one. Buttons say it in their value; what chooses (a time, a person) has none, and says it in the id of its block.
//! Invariants: every limit of Block Kit is kept by leaving out. No text of an alert is on a button. Not here: who may press it.

use serde_json::{Value, json};

use crate::actions::{Action, Actions};
use crate::event::{AlertStatus, Incident, IncidentState, MuteKind};

/// Slack's bounds.
const ID_CHARS_MAX: usize = 255;
const VALUE_CHARS_MAX: usize = 2_000;
/// More buttons than these are a menu that nobody reads at night.
const ACTIONS_SHOWN: usize = 10;
/// Label, time in words.
const SNOOZES: [(&str, &str); 4] =
    [("30 minutes", "1800"), ("1 hour", "3600"), ("4 hours", "14400"), ("8 hours", "28800")];

/// The block, and how many characters all its texts have; `None` if there is nothing to press, or no room.
pub fn block(incident: &Incident, actions: &Actions, chars_left: usize) -> Option<(Value, usize)> {
    if incident.state != IncidentState::Open {
        return None;
    }
    let about = json!({"incident": incident.id, "service": incident.service, "version": incident.version}).to_string();
    if about.chars().count() > VALUE_CHARS_MAX {
        return None;
    }
    let chooses = about.chars().count() <= ID_CHARS_MAX;
    let mut elements = vec![in_hand(incident, &about)];
    if chooses {
        elements.push(snooze(incident, &about));
        elements.push(json!({
            "type": "users_select", "action_id": "fairlead.assign", "placeholder": plain("Assign to…"),
        }));
    }
    let firing = || {
        let firing = incident.alerts.iter().filter(|alert| alert.status == AlertStatus::Firing);
        firing.map(|alert| alert.name.as_str())
    };
    let environment = incident.environment.as_deref();
    let apply = actions.iter().filter(|(_, action)| action.applies(&incident.service, environment, firing()));
    elements.extend(apply.take(ACTIONS_SHOWN).map(|(name, action)| run(name, action, &about)));
    let mut chars = 0;
    elements.retain(|element| {
        let all = chars + texts(element);
        let fits = all <= chars_left;
        chars = if fits { all } else { chars };
        fits
    });
    let mut block = json!({"type": "actions", "elements": elements});
    if chooses {
        block["block_id"] = about.into();
    }
    let is_empty = block["elements"].as_array().is_none_or(Vec::is_empty);
    (!is_empty).then_some((block, chars))
}

fn in_hand(incident: &Incident, about: &str) -> Value {
    let taken = incident.attention.as_ref().is_some_and(|attention| attention.acknowledged_by.is_some());
    match taken {
        true => button("fairlead.unacknowledge", "Give back", about),
        false => {
            let mut button = button("fairlead.acknowledge", "Acknowledge", about);
            button["style"] = "primary".into();
            button
        }
    }
}

fn snooze(incident: &Incident, about: &str) -> Value {
    let muted = incident.attention.as_ref().and_then(|attention| attention.muted.as_ref());
    if muted.is_some_and(|muted| muted.kind == MuteKind::Snoozed) {
        return button("fairlead.unsnooze", "End snooze", about);
    }
    let options: Vec<_> = SNOOZES.iter().map(|(label, secs)| json!({"text": plain(label), "value": secs})).collect();
    json!({"type": "static_select", "action_id": "fairlead.snooze", "placeholder": plain("Snooze…"), "options": options})
}

fn run(name: &str, action: &Action, about: &str) -> Value {
    let mut button = button(&format!("fairlead.run.{name}"), &action.label, about);
    let question = action.confirm.as_deref().unwrap_or("This is done once, and shown in the thread.");
    button["confirm"] = json!({
        "title": plain(&shortened(&action.label, 100)), "text": plain(&shortened(question, 300)),
        "confirm": plain("Do it"), "deny": plain("No"),
    });
    button
}

fn button(action_id: &str, label: &str, about: &str) -> Value {
    json!({"type": "button", "action_id": action_id, "text": plain(&shortened(label, 75)), "value": about})
}

fn plain(text: &str) -> Value {
    json!({"type": "plain_text", "text": text})
}

fn shortened(text: &str, chars_max: usize) -> String {
    match text.chars().count() > chars_max {
        true => text.chars().take(chars_max - 1).chain(['…']).collect(),
        false => text.to_owned(),
    }
}

/// Of an element and all that is in it.
fn texts(value: &Value) -> usize {
    match value {
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| match value {
                Value::String(text) if name == "text" => text.chars().count(),
                other => texts(other),
            })
            .sum(),
        Value::Array(items) => items.iter().map(texts).sum(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Attention, Fact, Muted};
    use crate::operator::script::{self, Line};
    use proptest::prelude::*;

    fn incident() -> Incident {
        let Some((_, Line::Fact(Fact::Incident(incident)))) = script::lines("0:00 incident i v=3 env=production").pop()
        else {
            panic!("the script tells an incident")
        };
        incident
    }

    fn actions() -> Actions {
        let yaml = r#"
restart: { label: Restart, command: [restart], services: [shop], alerts: [Errors] }
rollback: { label: Roll back, command: [rollback], confirm: Really?, environments: [production] }
elsewhere: { label: No, command: [no], services: [search] }
staging: { label: No, command: [no], environments: [staging] }
quiet: { label: No, command: [no], alerts: [Quiet] }
"#;
        serde_saphyr::from_str(yaml).unwrap()
    }

    fn ids(block: &Value) -> Vec<&str> {
        block["elements"].as_array().unwrap().iter().map(|element| element["action_id"].as_str().unwrap()).collect()
    }

    #[test]
    fn an_open_incident_shows_what_can_be_done_and_says_what_it_is_about() {
        let (block, chars) = block(&incident(), &actions(), 12_000).unwrap();
        let all = ["acknowledge", "snooze", "assign", "run.restart", "run.rollback"].map(|id| format!("fairlead.{id}"));
        assert_eq!(ids(&block), all);
        let about = r#"{"incident":"i","service":"shop","version":3}"#;
        assert_eq!((block["block_id"].as_str(), block["elements"][0]["value"].as_str()), (Some(about), Some(about)));
        assert_eq!(block["elements"][4]["confirm"]["text"]["text"], "Really?");
        assert_eq!(chars, texts(&block));
    }

    #[test]
    fn what_was_done_can_be_taken_back_and_what_is_over_has_no_buttons() {
        let muted = Muted { kind: MuteKind::Snoozed, until_ms: None, reason: String::new() };
        let attention =
            Attention { acknowledged_by: Some("Ann".to_owned()), muted: Some(muted), ..Attention::default() };
        let taken = Incident { attention: Some(attention), ..incident() };
        let (shown, _) = block(&taken, &Actions::new(), 12_000).unwrap();
        assert_eq!(ids(&shown), ["fairlead.unacknowledge", "fairlead.unsnooze", "fairlead.assign"]);
        let over = Incident { state: IncidentState::Resolved, ..incident() };
        assert_eq!(block(&over, &actions(), 12_000), None);
    }

    #[test]
    fn what_does_not_fit_is_left_out() {
        let long = |length: usize| Incident { service: "s".repeat(length), ..incident() };
        let (no_choice, _) = block(&long(300), &Actions::new(), 12_000).unwrap();
        assert_eq!((ids(&no_choice), no_choice.get("block_id")), (vec!["fairlead.acknowledge"], None));
        assert_eq!(block(&long(2_000), &actions(), 12_000), None);
        assert_eq!(block(&incident(), &actions(), 5), None);
        let (little, chars) = block(&incident(), &actions(), 40).unwrap();
        assert!(chars <= 40 && ids(&little).len() < 5, "{little}");
    }

    proptest! {
        #[test]
        fn limits_of_block_kit_hold_whatever_the_names(
            service in "\\PC{0,300}", label in "\\PC{1,200}", confirm in "\\PC{1,900}", count in 0..40usize, left in 0..12_000usize,
        ) {
            let one: Action = serde_json::from_value(json!({"label": label, "command": ["x"], "confirm": confirm})).unwrap();
            let actions: Actions = (0..count).map(|number| (format!("a{number}"), one.clone())).collect();
            let Some((block, chars)) = block(&Incident { service, ..incident() }, &actions, left) else { return Ok(()) };
            let elements = block["elements"].as_array().unwrap();
            prop_assert!((1..=25).contains(&elements.len()) && chars <= left && chars == texts(&block));
            let length = |value: &Value| value.as_str().unwrap_or_default().chars().count();
            prop_assert!(length(&block["block_id"]) <= 255);
            for element in elements {
                prop_assert!(length(&element["action_id"]) <= 255 && length(&element["value"]) <= 2_000);
                prop_assert!(length(&element["text"]["text"]) <= 75);
                let confirm = &element["confirm"];
                prop_assert!(length(&confirm["title"]["text"]) <= 100 && length(&confirm["text"]["text"]) <= 300);
            }
        }
    }
}
