//! People who press buttons: what Slack then sends, where it lets itself be answered, and what only the clicker sees.
//!
//! Rules held: only what is in the message can be pressed, by what it is; an address for answers takes five within half an
//! hour; an answer for the clicker is seen by nobody else. The signature is made as Slack's page says.

use hmac::{Hmac, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

use super::message::Ts;
use super::workspace::Workspace;

const ANSWERS_MAX: u32 = 5;
const ANSWERS_WITHIN_MS: i64 = 30 * 60 * 1_000;

/// Somebody presses a button, or chooses something, in a message.
#[derive(Clone, Debug)]
pub struct Press<'a> {
    /// By id, `#name` or name.
    pub channel: &'a str,
    /// Of the message; without it the newest root.
    pub ts: Option<Ts>,
    pub action_id: &'a str,
    pub user: &'a str,
    /// The value of an option, or the id of a person.
    pub chosen: Option<&'a str>,
}

/// A line that only one person sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ephemeral {
    pub at_ms: i64,
    pub user: String,
    pub text: String,
}

/// An address for answers to one click.
#[derive(Debug)]
pub struct Hook {
    user: String,
    since_ms: i64,
    left: u32,
}

impl Workspace {
    /// With it everything that is sent is signed.
    pub const SIGNING_SECRET: &str = "fake-signing-secret-0123456789";

    /// What Slack would send, as JSON; `hooks` is where its addresses for answers begin.
    pub fn press(&mut self, press: &Press<'_>, hooks: &str, now_ms: i64) -> Result<Value, String> {
        let channel_id = self.channel_id(press.channel).ok_or("there is no such channel")?;
        let messages = &self.channels[&channel_id].messages;
        let newest_root = || messages.iter().rev().find(|(_, message)| message.thread.is_none()).map(|(ts, _)| *ts);
        let ts = press.ts.or_else(newest_root).ok_or("there is no message")?;
        let message = messages.get(&ts).ok_or("there is no such message")?;
        let (block, element) = find(&message.blocks, press.action_id)
            .ok_or_else(|| format!("the message has no element `{}`", press.action_id))?;
        let mut action = json!({
            "type": element["type"], "action_id": press.action_id, "block_id": block.get("block_id").map_or("b1", |id| id.as_str().unwrap_or("b1")),
        });
        match (element["type"].as_str(), press.chosen) {
            (Some("button"), None) => action["value"] = element["value"].clone(),
            (Some("static_select"), Some(value)) => {
                let options = element["options"].as_array().into_iter().flatten();
                let option = options.into_iter().find(|option| option["value"] == value);
                action["selected_option"] = option.ok_or("that is not offered")?.clone();
            }
            (Some("users_select"), Some(user)) => action["selected_user"] = user.into(),
            _ => return Err("a button is pressed, a choice is chosen".to_owned()),
        }
        let shown = message.to_json(ts, false);
        action["action_ts"] = self.next_ts(now_ms).to_string().into();
        let hook = self.hooks.len();
        self.hooks.push(Hook { user: press.user.to_owned(), since_ms: now_ms, left: ANSWERS_MAX });
        Ok(json!({
            "type": "block_actions",
            "team": {"id": "T0FAKE", "domain": "fake"},
            "user": {"id": press.user, "username": press.user.to_lowercase(), "team_id": "T0FAKE"},
            "api_app_id": "A0FAKE",
            "container": {"type": "message", "message_ts": ts.to_string(), "channel_id": channel_id, "is_ephemeral": false},
            "trigger_id": format!("{hook}.1"),
            "channel": {"id": channel_id, "name": self.channels[&channel_id].name},
            "message": shown,
            "response_url": format!("{hooks}{hook}"),
            "actions": [action],
        }))
    }

    /// What comes to an address for answers; `Err` is Slack's code.
    pub fn answered(&mut self, hook: usize, answer: &Value, now_ms: i64) -> Result<(), &'static str> {
        let hook = self.hooks.get_mut(hook).ok_or("no_such_hook")?;
        if hook.left == 0 || now_ms - hook.since_ms > ANSWERS_WITHIN_MS {
            return Err("used_url");
        }
        let text = answer["text"].as_str().filter(|text| !text.is_empty()).ok_or("no_text")?;
        if answer["response_type"] != "ephemeral" || answer["replace_original"] == true {
            return Err("only answers for the clicker are supported");
        }
        hook.left -= 1;
        self.ephemerals.push(Ephemeral { at_ms: now_ms, user: hook.user.clone(), text: text.to_owned() });
        Ok(())
    }

    pub fn ephemerals(&self) -> &[Ephemeral] {
        &self.ephemerals
    }
}

/// An element of an `actions` block, and the block.
fn find<'b>(blocks: &'b [Value], action_id: &str) -> Option<(&'b Value, &'b Value)> {
    blocks.iter().find_map(|block| {
        let elements = block["elements"].as_array().filter(|_| block["type"] == "actions")?;
        Some((block, elements.iter().find(|element| element["action_id"] == action_id)?))
    })
}

/// The body as a form, and the value of X-Slack-Signature.
pub fn signed(payload: &Value, secret: &str, time_secs: i64) -> (String, String) {
    let body = form_urlencoded::Serializer::new(String::new()).append_pair("payload", &payload.to_string()).finish();
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes keys of any length");
    mac.update(format!("v0:{time_secs}:{body}").as_bytes());
    (body, format!("v0={}", hex::encode(mac.finalize().into_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embedded::slack::{Reply, Request};

    fn workspace() -> Workspace {
        let mut workspace = Workspace::new("xoxb-test", &["oncall"]);
        let select = json!({"type": "static_select", "action_id": "s", "placeholder": {"type": "plain_text", "text": "…"},
            "options": [{"text": {"type": "plain_text", "text": "1 h"}, "value": "3600"}]});
        let button =
            json!({"type": "button", "action_id": "a", "text": {"type": "plain_text", "text": "A"}, "value": "v"});
        let message = json!({"channel": "oncall", "text": "t", "blocks": [{"type": "actions", "block_id": "b", "elements": [button, select]}]});
        let Value::Object(arguments) = message else { panic!("an object") };
        let request = Request { token: Some("xoxb-test"), method: "chat.postMessage", arguments: &arguments };
        let posted = workspace.serve(request, 1_000);
        assert!(matches!(&posted, Reply::Answer { body, .. } if body["ok"] == true), "{posted:?}");
        workspace
    }

    #[test]
    fn only_what_is_there_can_be_pressed_and_a_click_is_answered_five_times_within_half_an_hour() {
        let mut workspace = workspace();
        let press = |action_id, chosen| Press { channel: "#oncall", ts: None, action_id, user: "U1", chosen };
        for (action_id, chosen) in [("gone", None), ("a", Some("x")), ("s", None), ("s", Some("7"))] {
            assert!(workspace.press(&press(action_id, chosen), "http://h/", 2_000).is_err(), "{action_id}");
        }
        let clicked = workspace.press(&press("a", None), "http://h/", 2_000).unwrap();
        assert_eq!((&clicked["actions"][0]["value"], &clicked["response_url"]), (&json!("v"), &json!("http://h/0")));
        let answer = json!({"response_type": "ephemeral", "text": "no"});
        for _ in 0..5 {
            assert_eq!(workspace.answered(0, &answer, 3_000), Ok(()));
        }
        assert_eq!(workspace.answered(0, &answer, 3_000), Err("used_url"));
        assert_eq!(workspace.ephemerals().len(), 5);
        workspace.press(&press("s", Some("3600")), "http://h/", 2_000).unwrap();
        assert_eq!(workspace.answered(1, &answer, 2_000 + ANSWERS_WITHIN_MS + 1), Err("used_url"));
    }
}
