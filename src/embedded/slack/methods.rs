//! The methods and their rules, one function each.

use serde_json::{Map, Value, json};

use super::blocks::{self, Refused};
use super::message::{Message, Ts};
use super::workspace::{EventKind, Workspace};

type Answer = Result<Value, Refused>;
type Arguments = Map<String, Value>;

const TEXT_CHARS_MAX: usize = 40_000;
/// Slack says that there is a limit, not which.
const METADATA_BYTES_MAX: usize = 8_000;

pub fn call(workspace: &mut Workspace, method: &str, arguments: &Arguments, now_ms: i64) -> Answer {
    match method {
        "auth.test" => Ok(json!({"user_id": "U0FAIRLEAD", "bot_id": workspace.bot_id, "team": "fake"})),
        "chat.postMessage" => post_message(workspace, arguments, now_ms),
        "chat.update" => update(workspace, arguments, now_ms),
        "chat.delete" => delete(workspace, arguments, now_ms),
        "conversations.history" => history(workspace, arguments),
        "conversations.replies" => replies(workspace, arguments),
        "conversations.list" => list(workspace, arguments),
        "reactions.add" => add_reaction(workspace, arguments),
        "usergroups.users.list" => group_members(workspace, arguments),
        "usergroups.users.update" => set_group(workspace, arguments, now_ms),
        _ => Err(refused("unknown_method")),
    }
}

fn post_message(workspace: &mut Workspace, arguments: &Arguments, now_ms: i64) -> Answer {
    let channel = text(arguments, "channel").and_then(|wanted| workspace.channel_id(wanted));
    let channel = channel.ok_or_else(|| refused("channel_not_found"))?;
    let (text_sent, blocks) = content(workspace, arguments)?;
    let thread = match text(arguments, "thread_ts") {
        None => None,
        Some(wanted) => {
            let wanted: Ts = wanted.parse().map_err(|()| refused("invalid_thread_ts"))?;
            match workspace.channels[&channel].messages.get(&wanted) {
                // A reply is no place for a thread.
                Some(parent) if parent.thread.is_some() => return Err(refused("cannot_reply_to_message")),
                Some(_) => Some(wanted),
                // Deleted: Slack says nothing and posts at top level.
                None => None,
            }
        }
    };
    let message = Message {
        broadcast: thread.is_some() && flag(arguments, "reply_broadcast"),
        bot_id: Some(workspace.bot_id.clone()),
        text: text_sent.unwrap_or_default(),
        blocks: blocks.unwrap_or_default(),
        metadata: metadata(arguments)?.flatten(),
        thread,
        edited: None,
        reactions: Vec::new(),
    };
    let shown = message.clone();
    let ts = workspace.post(&channel, message, now_ms);
    Ok(json!({"channel": channel, "ts": ts.to_string(), "message": shown.to_json(ts, true)}))
}

fn update(workspace: &mut Workspace, arguments: &Arguments, now_ms: i64) -> Answer {
    let (channel, ts) = own_message(workspace, arguments, "cant_update_message")?;
    let (text_sent, blocks) = content(workspace, arguments)?;
    let metadata = metadata(arguments)?;
    let edited = workspace.next_ts(now_ms);
    let messages = workspace.channels.get_mut(&channel).map(|channel| &mut channel.messages);
    let message = messages.and_then(|messages| messages.get_mut(&ts)).ok_or_else(|| refused("message_not_found"))?;
    // Text alone takes the blocks away; blocks alone leave the text.
    message.blocks = blocks.unwrap_or_default();
    if let Some(text) = text_sent {
        message.text = text;
    }
    if let Some(metadata) = metadata {
        message.metadata = metadata;
    }
    message.edited = Some(edited);
    let shown = message.clone();
    workspace.note(now_ms, EventKind::Changed, &channel, ts, &shown.text);
    Ok(json!({
        "channel": channel, "ts": ts.to_string(), "text": shown.text, "message": shown.to_json(ts, true),
    }))
}

fn delete(workspace: &mut Workspace, arguments: &Arguments, now_ms: i64) -> Answer {
    let (channel, ts) = own_message(workspace, arguments, "cant_delete_message")?;
    workspace.remove(&channel, ts, now_ms);
    Ok(json!({"channel": channel, "ts": ts.to_string()}))
}

/// What stands at top level, newest first.
fn history(workspace: &Workspace, arguments: &Arguments) -> Answer {
    let channel = by_id(workspace, arguments)?;
    let window = Window::of(arguments)?;
    let cursor = window.cursor.unwrap_or(Ts(u64::MAX));
    let top = workspace.channels[&channel].top_level().rev();
    let found = top.filter(|(ts, _)| *ts < cursor && window.holds(*ts)).take(window.limit + 1);
    Ok(window.page(found.map(|(ts, message)| (ts, message.to_json(ts, window.with_metadata))).collect()))
}

/// A root and its replies, oldest first.
fn replies(workspace: &Workspace, arguments: &Arguments) -> Answer {
    let channel = by_id(workspace, arguments)?;
    let window = Window::of(arguments)?;
    let root: Ts = required(arguments, "ts")?.parse().map_err(|()| refused("thread_not_found"))?;
    let channel = &workspace.channels[&channel];
    let first = channel.messages.get(&root).ok_or_else(|| refused("thread_not_found"))?;
    let cursor = window.cursor.unwrap_or_default();
    let thread = std::iter::once((root, first)).chain(channel.replies(root));
    // The root comes with every page that is not continued, whatever the window.
    let found = thread.filter(|(ts, _)| *ts > cursor && (*ts == root || window.holds(*ts))).take(window.limit + 1);
    Ok(window.page(found.map(|(ts, message)| (ts, message.to_json(ts, window.with_metadata))).collect()))
}

fn list(workspace: &Workspace, arguments: &Arguments) -> Answer {
    let limit = number(arguments, "limit").unwrap_or(100).clamp(1, 1_000);
    let after = text(arguments, "cursor").unwrap_or_default();
    let mut rest = workspace.channels.iter().filter(|(id, _)| id.as_str() > after);
    let page: Vec<_> = rest.by_ref().take(limit).collect();
    let next = rest.next().and(page.last()).map(|(id, _)| (*id).clone()).unwrap_or_default();
    let channels: Vec<_> = page
        .iter()
        .map(|(id, channel)| json!({"id": id, "name": channel.name, "is_channel": true, "is_member": true}))
        .collect();
    Ok(json!({"channels": channels, "response_metadata": {"next_cursor": next}}))
}

fn add_reaction(workspace: &mut Workspace, arguments: &Arguments) -> Answer {
    let channel = by_id(workspace, arguments)?;
    let ts: Ts = required(arguments, "timestamp")?.parse().map_err(|()| refused("message_not_found"))?;
    let name = required(arguments, "name")?.to_owned();
    let messages = workspace.channels.get_mut(&channel).map(|channel| &mut channel.messages);
    let message = messages.and_then(|messages| messages.get_mut(&ts)).ok_or_else(|| refused("message_not_found"))?;
    if message.reactions.contains(&name) {
        return Err(refused("already_reacted"));
    }
    message.reactions.push(name);
    Ok(json!({}))
}

fn group_members(workspace: &Workspace, arguments: &Arguments) -> Answer {
    let members = workspace.groups.get(required(arguments, "usergroup")?);
    members.map(|users| json!({"users": users})).ok_or_else(|| refused("no_such_subteam"))
}

/// Replaces everybody; nobody is no list. Bots and guests, whose ids look alike, are refused by real Slack too.
fn set_group(workspace: &mut Workspace, arguments: &Arguments, now_ms: i64) -> Answer {
    let group = required(arguments, "usergroup")?.to_owned();
    let users: Vec<_> = text(arguments, "users").unwrap_or_default().split(',').map(str::trim).collect();
    let users: Vec<_> = users.into_iter().filter(|user| !user.is_empty()).map(str::to_owned).collect();
    if !workspace.groups.contains_key(&group) {
        return Err(refused("no_such_subteam"));
    }
    if users.is_empty() {
        return Err(refused("no_users_provided"));
    }
    let is_user = |id: &String| {
        id.len() > 1 && id.starts_with(['U', 'W']) && id.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit())
    };
    if !users.iter().all(is_user) || users.iter().any(|user| user == "U0FAIRLEAD") {
        return Err(refused("invalid_users"));
    }
    workspace.groups.insert(group.clone(), users.clone());
    Ok(json!({"usergroup": {"id": group, "users": users, "user_count": users.len(), "date_update": now_ms / 1_000}}))
}

/// The window and page of a listing.
struct Window {
    oldest: Ts,
    latest: Ts,
    inclusive: bool,
    limit: usize,
    cursor: Option<Ts>,
    with_metadata: bool,
}

impl Window {
    fn of(arguments: &Arguments) -> Result<Self, Refused> {
        let bound = |name, default, code| match text(arguments, name) {
            Some(given) => given.parse().map_err(|()| refused(code)),
            None => Ok(default),
        };
        let cursor = text(arguments, "cursor").filter(|cursor| !cursor.is_empty());
        Ok(Self {
            oldest: bound("oldest", Ts(0), "invalid_ts_oldest")?,
            latest: bound("latest", Ts(u64::MAX), "invalid_ts_latest")?,
            inclusive: flag(arguments, "inclusive"),
            limit: number(arguments, "limit").unwrap_or(100).clamp(1, 999),
            cursor: cursor.map(|cursor| cursor.parse().map_err(|()| refused("invalid_cursor"))).transpose()?,
            with_metadata: flag(arguments, "include_all_metadata"),
        })
    }

    fn holds(&self, ts: Ts) -> bool {
        (self.oldest < ts && ts < self.latest) || (self.inclusive && (ts == self.oldest || ts == self.latest))
    }

    /// `found` has one message more than the page if there is a next page.
    fn page(&self, mut found: Vec<(Ts, Value)>) -> Value {
        let has_more = found.len() > self.limit;
        found.truncate(self.limit);
        let next = found.last().filter(|_| has_more).map(|(ts, _)| ts.to_string()).unwrap_or_default();
        let messages: Vec<_> = found.into_iter().map(|(_, message)| message).collect();
        json!({"messages": messages, "has_more": has_more, "response_metadata": {"next_cursor": next}})
    }
}

fn own_message(workspace: &Workspace, arguments: &Arguments, foreign: &'static str) -> Result<(String, Ts), Refused> {
    let channel = by_id(workspace, arguments)?;
    let ts: Ts = required(arguments, "ts")?.parse().map_err(|()| refused("message_not_found"))?;
    let message = workspace.channels[&channel].messages.get(&ts).ok_or_else(|| refused("message_not_found"))?;
    if message.bot_id.as_ref() != Some(&workspace.bot_id) {
        return Err(refused(foreign));
    }
    Ok((channel, ts))
}

/// Only posting takes names.
fn by_id(workspace: &Workspace, arguments: &Arguments) -> Result<String, Refused> {
    let wanted = text(arguments, "channel").filter(|wanted| workspace.channels.contains_key(*wanted));
    wanted.map(str::to_owned).ok_or_else(|| refused("channel_not_found"))
}

fn content(workspace: &Workspace, arguments: &Arguments) -> Result<(Option<String>, Option<Vec<Value>>), Refused> {
    let blocks = arguments.get("blocks").map(|blocks| blocks::check(blocks, &workspace.pictures)).transpose()?;
    let text = text(arguments, "text").map(|text| text.chars().take(TEXT_CHARS_MAX).collect::<String>());
    if text.as_ref().is_none_or(String::is_empty) && blocks.as_ref().is_none_or(Vec::is_empty) {
        return Err(refused("no_text"));
    }
    Ok((text, blocks))
}

/// `None`: not given, keep what is there. `Some(None)`: given as `{}`, remove it.
fn metadata(arguments: &Arguments) -> Result<Option<Option<Value>>, Refused> {
    let Some(given) = arguments.get("metadata") else { return Ok(None) };
    let given = match given {
        Value::String(text) => serde_json::from_str(text).map_err(|_| refused("invalid_metadata_format"))?,
        other => other.clone(),
    };
    let object = given.as_object().ok_or_else(|| refused("invalid_metadata_format"))?;
    if object.is_empty() {
        return Ok(Some(None));
    }
    let typed = object.get("event_type").is_some_and(Value::is_string);
    if !typed || !object.get("event_payload").is_some_and(Value::is_object) {
        return Err(refused("invalid_metadata_schema"));
    }
    if given.to_string().len() > METADATA_BYTES_MAX {
        return Err(refused("metadata_too_large"));
    }
    Ok(Some(Some(given)))
}

fn refused(code: &'static str) -> Refused {
    Refused { code, why: code.to_owned() }
}

fn text<'a>(arguments: &'a Arguments, name: &str) -> Option<&'a str> {
    arguments.get(name).and_then(Value::as_str)
}

fn required<'a>(arguments: &'a Arguments, name: &str) -> Result<&'a str, Refused> {
    text(arguments, name)
        .ok_or_else(|| Refused { code: "invalid_arguments", why: format!("missing required field: {name}") })
}

fn number(arguments: &Arguments, name: &str) -> Option<usize> {
    match arguments.get(name)? {
        Value::String(text) => text.parse().ok(),
        other => other.as_u64().and_then(|number| usize::try_from(number).ok()),
    }
}

fn flag(arguments: &Arguments, name: &str) -> bool {
    matches!(arguments.get(name), Some(Value::Bool(true))) || matches!(text(arguments, name), Some("true" | "1"))
}
