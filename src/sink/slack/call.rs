//! The seven methods of Slack that the sink needs: what is sent, and what an answer means.
//!
//! The one question to an answer is whether the call had an effect: yes, no, or nobody knows. Whatever is not surely a
//! "no" counts as unknown.

use serde_json::{Value, json};

use crate::event::words::clipped;
use crate::record::EventTime;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Method {
    PostMessage,
    Update,
    Delete,
    History,
    Replies,
    List,
    SetGroup,
}

impl Method {
    pub fn name(self) -> &'static str {
        match self {
            Method::PostMessage => "chat.postMessage",
            Method::Update => "chat.update",
            Method::Delete => "chat.delete",
            Method::History => "conversations.history",
            Method::Replies => "conversations.replies",
            Method::List => "conversations.list",
            Method::SetGroup => "usergroups.users.update",
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Content {
    pub text: String,
    /// `None`: Slack refused the blocks, the text has to do.
    pub blocks: Option<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Call {
    Post {
        channel: String,
        thread_ts: Option<String>,
        /// Shown in the channel too.
        broadcast: bool,
        action_id: String,
        content: Content,
    },
    Update {
        channel_id: String,
        ts: String,
        content: Content,
    },
    /// One of this app's own messages.
    Delete {
        channel_id: String,
        ts: String,
    },
    /// Is there a message of this action, posted at `oldest` or later, other than these? At top level, or in a thread.
    LookUp {
        channel_id: String,
        thread_ts: Option<String>,
        oldest: EventTime,
        cursor: String,
        action_id: String,
        except: Vec<String>,
    },
    /// The id behind a channel's name, which look-ups need.
    FindChannel {
        name: String,
        cursor: String,
    },
    /// The group's whole list, so that repeating it changes nothing.
    SetGroup {
        group: String,
        users: Vec<String>,
    },
}

/// Where a message is, or was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Posted {
    pub channel_id: String,
    pub ts: String,
    pub thread_ts: Option<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// Posted, rewritten, deleted or found.
    Message(Posted),
    Channel(String),
    /// The group holds what it shall.
    Set,
    /// Not on this page.
    More {
        cursor: String,
    },
    /// On no page.
    Missing,
    /// No effect, for good: Slack's code.
    Rejected(String),
    /// No effect, and worth trying again: it never arrived, or the sink as a whole is not let in.
    NotSent(String),
    /// No effect. `workspace`: the limit is not this channel's.
    RateLimited {
        wait_ms: i64,
        workspace: bool,
    },
    /// It may have had its effect, or may still have it.
    Unknown(String),
}

/// With this type of metadata every post says which action it is.
const EVENT_TYPE: &str = "fairlead_action";

/// Where Slack does not say how long to wait.
const WAIT_MS: i64 = 30_000;

impl Call {
    pub fn method(&self) -> Method {
        match self {
            Call::Post { .. } => Method::PostMessage,
            Call::Update { .. } => Method::Update,
            Call::Delete { .. } => Method::Delete,
            Call::LookUp { thread_ts: None, .. } => Method::History,
            Call::LookUp { thread_ts: Some(_), .. } => Method::Replies,
            Call::FindChannel { .. } => Method::List,
            Call::SetGroup { .. } => Method::SetGroup,
        }
    }

    /// A call that writes: its arguments are a JSON body.
    pub fn body(&self) -> Option<Value> {
        match self {
            Call::Post { channel, thread_ts, broadcast, action_id, content } => {
                let mut body = content.body();
                body["channel"] = json!(channel);
                // An opaque id and nothing else: any app of the workspace can read it.
                body["metadata"] = json!({"event_type": EVENT_TYPE, "event_payload": {"id": action_id}});
                if let Some(thread_ts) = thread_ts {
                    body["thread_ts"] = json!(thread_ts);
                    body["reply_broadcast"] = json!(broadcast);
                }
                body["unfurl_links"] = json!(false);
                Some(body)
            }
            // Metadata is left out and so stays: the message is found by the action that posted it.
            Call::Update { channel_id, ts, content } => {
                let mut body = content.body();
                body["channel"] = json!(channel_id);
                body["ts"] = json!(ts);
                Some(body)
            }
            Call::Delete { channel_id, ts } => Some(json!({"channel": channel_id, "ts": ts})),
            Call::SetGroup { group, users } => Some(json!({"usergroup": group, "users": users.join(",")})),
            Call::LookUp { .. } | Call::FindChannel { .. } => None,
        }
    }

    /// A call that reads: its arguments go into the URL.
    pub fn query(&self) -> Vec<(&'static str, String)> {
        match self {
            Call::Post { .. } | Call::Update { .. } | Call::Delete { .. } | Call::SetGroup { .. } => Vec::new(),
            Call::LookUp { channel_id, thread_ts, oldest, cursor, .. } => {
                let mut query = vec![
                    ("channel", channel_id.clone()),
                    ("oldest", format!("{}.{:03}000", oldest.0 / 1_000, oldest.0 % 1_000)),
                    ("inclusive", "true".to_owned()),
                    ("include_all_metadata", "true".to_owned()),
                    ("limit", "200".to_owned()),
                    ("cursor", cursor.clone()),
                ];
                query.extend(thread_ts.clone().map(|ts| ("ts", ts)));
                query
            }
            Call::FindChannel { cursor, .. } => vec![
                ("types", "public_channel,private_channel".to_owned()),
                ("exclude_archived", "true".to_owned()),
                ("limit", "1000".to_owned()),
                ("cursor", cursor.clone()),
            ],
        }
    }

    pub fn answer(&self, status: u16, retry_after_s: Option<i64>, body: &[u8]) -> Answer {
        let wait_ms = retry_after_s.map_or(WAIT_MS, |seconds| seconds.saturating_mul(1_000));
        match status {
            200 => {}
            429 => return Answer::RateLimited { wait_ms, workspace: false },
            // Something between us and Slack said no before Slack heard of it.
            300..=407 | 409..=499 => return Answer::NotSent(format!("http status {status}")),
            _ => return Answer::Unknown(format!("http status {status}")),
        }
        let Ok(body) = serde_json::from_slice::<Value>(body) else {
            return Answer::Unknown("the answer is no json".to_owned());
        };
        if body["ok"] == true {
            return self.success(&body).unwrap_or_else(|| Answer::Unknown("the answer lacks a field".to_owned()));
        }
        match body["error"].as_str() {
            Some("ratelimited" | "rate_limited") => Answer::RateLimited { wait_ms, workspace: false },
            Some("message_limit_exceeded") => Answer::RateLimited { wait_ms, workspace: true },
            // Slack documents of these that some of the call may have succeeded.
            Some(code @ ("fatal_error" | "internal_error" | "request_timeout" | "service_unavailable")) => {
                Answer::Unknown(code.to_owned())
            }
            // Not about this message: once the operator has mended it, every action is welcome again.
            Some(
                code @ ("not_authed" | "invalid_auth" | "account_inactive" | "token_revoked" | "token_expired"
                | "org_login_required" | "ekm_access_denied" | "team_added_to_org" | "accesslimited"),
            ) => Answer::NotSent(code.to_owned()),
            Some(code) => Answer::Rejected(explained(code, &body)),
            None => Answer::Unknown("neither ok nor an error".to_owned()),
        }
    }

    /// `None`: the answer lacks what it must have.
    fn success(&self, body: &Value) -> Option<Answer> {
        match self {
            Call::Post { .. } | Call::Update { .. } | Call::Delete { .. } => Some(Answer::Message(Posted {
                channel_id: body["channel"].as_str()?.to_owned(),
                ts: body["ts"].as_str()?.to_owned(),
                thread_ts: body["message"]["thread_ts"].as_str().map(str::to_owned),
            })),
            Call::LookUp { channel_id, action_id, except, .. } => {
                let wanted = |message: &&Value| {
                    let metadata = &message["metadata"];
                    metadata["event_type"] == EVENT_TYPE
                        && metadata["event_payload"]["id"] == action_id.as_str()
                        && !except.iter().any(|ts| message["ts"] == ts.as_str())
                };
                let Some(found) = body["messages"].as_array()?.iter().find(wanted) else {
                    return Some(next_page(body));
                };
                Some(Answer::Message(Posted {
                    channel_id: channel_id.clone(),
                    ts: found["ts"].as_str()?.to_owned(),
                    // A root with replies names itself.
                    thread_ts: found["thread_ts"].as_str().filter(|ts| found["ts"] != *ts).map(str::to_owned),
                }))
            }
            Call::FindChannel { name, .. } => {
                let name = name.trim_start_matches('#');
                match body["channels"].as_array()?.iter().find(|channel| channel["name"] == name) {
                    Some(found) => Some(Answer::Channel(found["id"].as_str()?.to_owned())),
                    None => Some(next_page(body)),
                }
            }
            Call::SetGroup { group, .. } => (body["usergroup"]["id"] == group.as_str()).then_some(Answer::Set),
        }
    }
}

/// Of blocks Slack says beside its code what is wrong with them.
fn explained(code: &str, body: &Value) -> String {
    const CHARS_MAX: usize = 200;
    match body["response_metadata"]["messages"][0].as_str().filter(|_| code.starts_with("invalid_blocks")) {
        Some(why) => format!("{code}: {}", clipped(why, CHARS_MAX)),
        None => code.to_owned(),
    }
}

fn next_page(body: &Value) -> Answer {
    match body["response_metadata"]["next_cursor"].as_str() {
        Some(cursor) if !cursor.is_empty() => Answer::More { cursor: cursor.to_owned() },
        _ => Answer::Missing,
    }
}

impl Content {
    fn body(&self) -> Value {
        let blocks = self.blocks.as_deref().and_then(|blocks| serde_json::from_str::<Value>(blocks).ok());
        match blocks {
            Some(blocks) => json!({"text": self.text, "blocks": blocks}),
            None => json!({"text": self.text}),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn post() -> Call {
        let content = Content { text: "t".into(), blocks: None };
        Call::Post { channel: "#a".into(), thread_ts: None, broadcast: false, action_id: "i".into(), content }
    }

    #[test]
    fn only_a_sure_no_is_a_no() {
        let answer = |status, body: &str| post().answer(status, None, body.as_bytes());
        let error = |code: &str| answer(200, &json!({"ok": false, "error": code}).to_string());
        assert_eq!(error("channel_not_found"), Answer::Rejected("channel_not_found".into()));
        assert_eq!(error("invalid_auth"), Answer::NotSent("invalid_auth".into()));
        assert_eq!(error("ratelimited"), Answer::RateLimited { wait_ms: 30_000, workspace: false });
        assert_eq!(error("message_limit_exceeded"), Answer::RateLimited { wait_ms: 30_000, workspace: true });
        assert_eq!(post().answer(429, Some(7), b""), Answer::RateLimited { wait_ms: 7_000, workspace: false });
        assert!(matches!(answer(403, "blocked by a proxy"), Answer::NotSent(_)));
        let unknown = [error("internal_error"), error("fatal_error"), answer(200, "<html>"), answer(500, "")];
        let unknown = unknown.into_iter().chain([answer(408, ""), answer(200, "{}"), answer(200, r#"{"ok":true}"#)]);
        unknown.for_each(|answer| assert!(matches!(answer, Answer::Unknown(_)), "{answer:?}"));
    }

    #[test]
    fn a_refusal_of_blocks_says_what_is_wrong_with_them() {
        let why = "[ERROR] downloading image failed [json-pointer:/blocks/0/image_url]";
        let refused = |code: &str| {
            let body = json!({"ok": false, "error": code, "response_metadata": {"messages": [why]}});
            post().answer(200, None, body.to_string().as_bytes())
        };
        assert_eq!(refused("invalid_blocks"), Answer::Rejected(format!("invalid_blocks: {why}")));
        assert_eq!(refused("is_archived"), Answer::Rejected("is_archived".into()));
    }

    #[test]
    fn a_look_up_matches_type_and_id_and_ignores_other_apps_metadata() {
        let look_up = Call::LookUp {
            channel_id: "C1".into(),
            thread_ts: None,
            oldest: EventTime(1_700_000_000_042),
            cursor: String::new(),
            action_id: "mine".into(),
            except: vec!["4.1".into()],
        };
        assert!(look_up.query().contains(&("oldest", "1700000000.042000".to_owned())));
        let message = |event: &str, id: Value| json!({"ts": "5.1", "thread_ts": "5.1", "metadata": {"event_type": event, "event_payload": {"id": id}}});
        let page = |messages: Vec<Value>, cursor: &str| {
            let body = json!({"ok": true, "messages": messages, "response_metadata": {"next_cursor": cursor}});
            look_up.answer(200, None, body.to_string().as_bytes())
        };
        let foreign = [message("other", json!("mine")), message(EVENT_TYPE, json!(3)), json!({"ts": "1"})];
        assert_eq!(page(foreign.to_vec(), ""), Answer::Missing);
        assert_eq!(page(foreign.to_vec(), "next"), Answer::More { cursor: "next".into() });
        let found = Posted { channel_id: "C1".into(), ts: "5.1".into(), thread_ts: None };
        let mut excepted = message(EVENT_TYPE, json!("mine"));
        excepted["ts"] = json!("4.1");
        assert_eq!(page(vec![excepted, message(EVENT_TYPE, json!("mine"))], "next"), Answer::Message(found));
    }

    #[test]
    fn blocks_that_are_no_json_are_left_out_rather_than_losing_the_message() {
        let content = Content { text: "t".into(), blocks: Some("[{".into()) };
        assert_eq!(content.body(), json!({"text": "t"}));
    }
}
