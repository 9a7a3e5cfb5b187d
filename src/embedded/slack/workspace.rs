//! The workspace as a state machine: a call and the time in, an answer out.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::clicks::{Ephemeral, Hook};
use super::faults::{Fault, Faults};
use super::message::{Channel, Message, Ts};
use super::{methods, pace, page, render};

/// One call of a method, wherever its arguments came from.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    pub token: Option<&'a str>,
    pub method: &'a str,
    pub arguments: &'a Map<String, Value>,
}

/// What the caller gets to see.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    Answer {
        status: u16,
        retry_after_s: Option<i64>,
        body: Value,
    },
    /// The connection is closed without an answer.
    Drop,
    /// Nothing, for as long as the caller cares to wait.
    Hang,
}

impl Reply {
    fn ok(body: Value) -> Self {
        Reply::Answer { status: 200, retry_after_s: None, body }
    }

    fn error(code: &str) -> Self {
        Self::ok(json!({"ok": false, "error": code}))
    }
}

/// What a test may do to the workspace behind the caller's back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "control", rename_all = "snake_case")]
pub enum Control {
    /// The next `times` calls of the method meet the fault; faults of one method are met in the order they were armed.
    Arm { method: String, times: u32, fault: Fault },
    /// From now on `per_mille` of all calls meet a fault drawn from the seed: the same calls in the same order, the same faults.
    /// Zero ends it.
    Weather { seed: u64, per_mille: u32 },
    /// Removes every root message of a channel, but not the replies.
    DeleteRoots { channel: String },
    /// Removes one message.
    Delete { channel: String, ts: String },
    /// A person writes.
    Say { channel: String, text: String },
    /// From now on these are in a user group.
    Group { group: String, users: Vec<String> },
}

/// What happened in a channel, in order; the newest ten thousand are kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    pub at_ms: i64,
    pub kind: EventKind,
    pub channel: String,
    pub ts: Ts,
    pub text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    Posted,
    Changed,
    Deleted,
}

/// What takes effect later.
#[derive(Debug)]
struct Late {
    due_ms: i64,
    effect: Effect,
}

#[derive(Debug)]
enum Effect {
    Call {
        method: String,
        arguments: Map<String, Value>,
    },
    /// Answered already, under this timestamp.
    Appear {
        channel_id: String,
        ts: Ts,
        message: Message,
    },
}

#[derive(Debug)]
pub struct Workspace {
    token: String,
    pub(super) bot_id: String,
    pub(super) channels: BTreeMap<String, Channel>,
    /// User groups and whom they hold.
    pub(super) groups: BTreeMap<String, Vec<String>>,
    last_ts: Ts,
    events: VecDeque<Event>,
    paces: pace::Paces,
    faults: Faults,
    late: Vec<Late>,
    /// Addresses at which a picture was when it was last asked for.
    pub(super) pictures: BTreeSet<String>,
    pub(super) hooks: Vec<Hook>,
    pub(super) ephemerals: Vec<Ephemeral>,
}

impl Workspace {
    const EVENTS_MAX: usize = 10_000;

    /// Channels by name (without `#`); their ids are `C` and a number counted in the order given.
    pub fn new(token: &str, channels: &[&str]) -> Self {
        let channels = (1..).zip(channels).map(|(number, name)| {
            let name = (*name).to_owned();
            (format!("C{number:08}"), Channel { name, messages: BTreeMap::new() })
        });
        Self {
            token: token.to_owned(),
            bot_id: "B0FAIRLEAD".to_owned(),
            channels: channels.collect(),
            groups: BTreeMap::new(),
            last_ts: Ts::default(),
            events: VecDeque::new(),
            paces: pace::Paces::default(),
            faults: Faults::default(),
            late: Vec::new(),
            pictures: BTreeSet::new(),
            hooks: Vec::new(),
            ephemerals: Vec::new(),
        }
    }

    pub fn serve(&mut self, request: Request<'_>, now_ms: i64) -> Reply {
        self.catch_up(now_ms);
        match request.token {
            None => return Reply::error("not_authed"),
            Some(token) if token != self.token => return Reply::error("invalid_auth"),
            Some(_) => {}
        }
        let fault = self.faults.next(request.method);
        if let Some(Fault::RateLimit { retry_after_s }) = fault {
            return rate_limited(retry_after_s);
        }
        if let Err(wait_ms) = self.take_pace(&request, now_ms) {
            return match wait_ms {
                Some(wait_ms) => rate_limited((wait_ms + 999) / 1_000),
                None => Reply::error("unknown_method"),
            };
        }
        let Request { method, arguments, .. } = request;
        match fault {
            None | Some(Fault::RateLimit { .. }) => Reply::ok(self.call(method, arguments, now_ms)),
            Some(Fault::Drop) => {
                self.call(method, arguments, now_ms);
                Reply::Drop
            }
            Some(Fault::Fail) => {
                self.call(method, arguments, now_ms);
                Reply::Answer { status: 500, retry_after_s: None, body: Value::Null }
            }
            Some(Fault::Stall) => {
                self.call(method, arguments, now_ms);
                Reply::Hang
            }
            Some(Fault::Late { delay_ms }) => {
                let (method, arguments) = (method.to_owned(), arguments.clone());
                self.late.push(Late { due_ms: now_ms + delay_ms, effect: Effect::Call { method, arguments } });
                Reply::Drop
            }
            Some(Fault::Lag { delay_ms }) => {
                let body = self.call(method, arguments, now_ms);
                if method == "chat.postMessage" {
                    self.hide(&body, now_ms + delay_ms);
                }
                Reply::ok(body)
            }
            Some(Fault::Orphan) => {
                self.delete_parent(method, arguments, now_ms);
                Reply::ok(self.call(method, arguments, now_ms))
            }
            Some(Fault::Freeze) => Reply::Hang,
            Some(Fault::Refuse { code }) => Reply::error(&code),
        }
    }

    /// Whether there is a picture at an address.
    pub fn has_picture(&mut self, address: String, is_there: bool) {
        if !is_there {
            self.pictures.remove(&address);
        } else if self.pictures.len() < Self::EVENTS_MAX {
            self.pictures.insert(address);
        }
    }

    pub fn control(&mut self, control: Control, now_ms: i64) -> Result<(), String> {
        self.catch_up(now_ms);
        match control {
            Control::Arm { method, times, fault } => self.faults.arm(method, times, fault),
            Control::Weather { seed, per_mille } => self.faults.weather(seed, per_mille),
            Control::Delete { channel, ts } => {
                let id = self.channel_id(&channel).ok_or("no such channel")?;
                let ts = ts.parse().map_err(|()| "no timestamp")?;
                self.remove(&id, ts, now_ms);
            }
            Control::Group { group, users } => drop(self.groups.insert(group, users)),
            Control::DeleteRoots { channel } => {
                let id = self.channel_id(&channel).ok_or("no such channel")?;
                let roots: Vec<_> = self.channels[&id].roots().map(|(ts, _)| ts).collect();
                roots.into_iter().for_each(|ts| self.remove(&id, ts, now_ms));
            }
            Control::Say { channel, text } => {
                let id = self.channel_id(&channel).ok_or("no such channel")?;
                let (blocks, reactions) = (Vec::new(), Vec::new());
                let spoken = Message {
                    bot_id: None,
                    text,
                    blocks,
                    metadata: None,
                    thread: None,
                    broadcast: false,
                    edited: None,
                    reactions,
                };
                self.post(&id, spoken, now_ms);
            }
        }
        Ok(())
    }

    /// Every thread of every channel as text: what a person would see.
    pub fn threads(&mut self, now_ms: i64) -> String {
        self.catch_up(now_ms);
        render::channels(self.channels.values()) + &render::ephemerals(&self.ephemerals)
    }

    /// The same for a browser, with their pictures.
    pub fn page(&mut self, now_ms: i64) -> String {
        self.catch_up(now_ms);
        page::channels(self.channels.values())
    }

    /// The messages of a channel, replies included, oldest first.
    pub fn messages(&mut self, channel: &str, now_ms: i64) -> Vec<(Ts, Message)> {
        self.catch_up(now_ms);
        let id = self.channel_id(channel);
        let channel = id.and_then(|id| self.channels.get(&id));
        channel.into_iter().flat_map(|found| found.messages.iter().map(|(ts, m)| (*ts, m.clone()))).collect()
    }

    /// Whom a user group holds; none of one that is not there.
    pub fn group(&self, id: &str) -> Option<&[String]> {
        self.groups.get(id).map(Vec::as_slice)
    }

    pub fn events(&self) -> impl DoubleEndedIterator<Item = &Event> {
        self.events.iter()
    }

    /// What is late takes effect when its time has come, in the order of the times.
    fn catch_up(&mut self, now_ms: i64) {
        let (mut due, waiting): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.late).into_iter().partition(|late| late.due_ms <= now_ms);
        self.late = waiting;
        due.sort_by_key(|late| late.due_ms);
        for Late { due_ms, effect } in due {
            match effect {
                Effect::Call { method, arguments } => drop(self.call(&method, &arguments, due_ms)),
                Effect::Appear { channel_id, ts, message } => {
                    if let Some(channel) = self.channels.get_mut(&channel_id) {
                        channel.add(ts, message);
                    }
                }
            }
        }
    }

    /// The message that was just posted is not there before `due_ms`.
    fn hide(&mut self, answer: &Value, due_ms: i64) {
        let (Some(channel_id), Some(ts)) = (answer["channel"].as_str(), answer["ts"].as_str()) else { return };
        let Ok(ts) = ts.parse() else { return };
        if let Some(message) = self.channels.get_mut(channel_id).and_then(|channel| channel.messages.remove(&ts)) {
            let effect = Effect::Appear { channel_id: channel_id.to_owned(), ts, message };
            self.late.push(Late { due_ms, effect });
        }
    }

    /// A person deletes the message that is replied to or rewritten.
    fn delete_parent(&mut self, method: &str, arguments: &Map<String, Value>, now_ms: i64) {
        let argument = |name: &str| arguments.get(name).and_then(Value::as_str);
        let parent = match method {
            "chat.postMessage" => argument("thread_ts"),
            "chat.update" => argument("ts"),
            _ => None,
        };
        let channel = argument("channel").and_then(|wanted| self.channel_id(wanted));
        if let (Some(id), Some(ts)) = (channel, parent.and_then(|ts| ts.parse().ok())) {
            self.remove(&id, ts, now_ms);
        }
    }

    /// How often each fault was met, by its name.
    pub fn faults_met(&self) -> &BTreeMap<&'static str, u64> {
        self.faults.met()
    }

    /// `Err(None)`: no such method.
    fn take_pace(&mut self, request: &Request<'_>, now_ms: i64) -> Result<(), Option<i64>> {
        let limit = pace::of_method(request.method).ok_or(None)?;
        if request.method == "chat.postMessage"
            && let Some(id) = request.arguments.get("channel").and_then(Value::as_str).and_then(|c| self.channel_id(c))
        {
            self.paces.take(&id, pace::POSTS_PER_CHANNEL, now_ms).map_err(Some)?;
        }
        self.paces.take(request.method, limit, now_ms).map_err(Some)
    }

    fn call(&mut self, method: &str, arguments: &Map<String, Value>, now_ms: i64) -> Value {
        match methods::call(self, method, arguments, now_ms) {
            Ok(mut body) => {
                body["ok"] = json!(true);
                body
            }
            Err(refused) => {
                json!({"ok": false, "error": refused.code, "response_metadata": {"messages": [refused.why]}})
            }
        }
    }

    /// By id, `#name` or name.
    pub(super) fn channel_id(&self, wanted: &str) -> Option<String> {
        let name = wanted.strip_prefix('#').unwrap_or(wanted);
        let found = self.channels.iter().find(|(id, channel)| *id == wanted || channel.name == name);
        found.map(|(id, _)| id.clone())
    }

    pub(super) fn post(&mut self, channel_id: &str, message: Message, now_ms: i64) -> Ts {
        let ts = self.next_ts(now_ms);
        self.note(now_ms, EventKind::Posted, channel_id, ts, &message.text);
        if let Some(channel) = self.channels.get_mut(channel_id) {
            channel.add(ts, message);
        }
        ts
    }

    pub(super) fn remove(&mut self, channel_id: &str, ts: Ts, now_ms: i64) {
        let Some(channel) = self.channels.get_mut(channel_id) else { return };
        if let Some(gone) = channel.messages.remove(&ts) {
            self.note(now_ms, EventKind::Deleted, channel_id, ts, &gone.text);
        }
    }

    pub(super) fn next_ts(&mut self, now_ms: i64) -> Ts {
        let now = u64::try_from(now_ms).unwrap_or_default() * 1_000;
        self.last_ts = Ts(now.max(self.last_ts.0 + 1));
        self.last_ts
    }

    pub(super) fn note(&mut self, at_ms: i64, kind: EventKind, channel: &str, ts: Ts, text: &str) {
        if self.events.len() == Self::EVENTS_MAX {
            self.events.pop_front();
        }
        self.events.push_back(Event { at_ms, kind, channel: channel.to_owned(), ts, text: text.to_owned() });
    }
}

fn rate_limited(retry_after_s: i64) -> Reply {
    let body = json!({"ok": false, "error": "ratelimited"});
    Reply::Answer { status: 429, retry_after_s: Some(retry_after_s), body }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "xoxb-test";

    fn workspace() -> Workspace {
        Workspace::new(TOKEN, &["oncall", "payments"])
    }

    fn serve(workspace: &mut Workspace, at: i64, method: &str, arguments: Value) -> Reply {
        let Value::Object(arguments) = arguments else { panic!("arguments are an object") };
        workspace.serve(Request { token: Some(TOKEN), method, arguments: &arguments }, at)
    }

    fn ask(workspace: &mut Workspace, at: i64, method: &str, arguments: Value) -> Value {
        match serve(workspace, at, method, arguments) {
            Reply::Answer { body, .. } => body,
            other => panic!("no answer: {other:?}"),
        }
    }

    fn metadata(id: &str) -> Value {
        json!({"event_type": "fairlead_action", "event_payload": {"id": id}})
    }

    #[test]
    fn a_token_is_asked_for() {
        let mut workspace = workspace();
        let arguments = Map::new();
        let mut ask = |token| workspace.serve(Request { token, method: "auth.test", arguments: &arguments }, 0);
        assert_eq!(ask(None), Reply::error("not_authed"));
        assert_eq!(ask(Some("wrong")), Reply::error("invalid_auth"));
        assert!(matches!(ask(Some(TOKEN)), Reply::Answer { status: 200, body, .. } if body["ok"] == true));
    }

    #[test]
    fn posting_takes_names_updating_takes_ids_only() {
        let mut workspace = workspace();
        let posted = ask(&mut workspace, 5_000, "chat.postMessage", json!({"channel": "#oncall", "text": "a"}));
        assert_eq!((&posted["channel"], &posted["ts"]), (&json!("C00000001"), &json!("5.000000")));
        let mut update = |channel: &str, ts: &str| {
            ask(&mut workspace, 6_000, "chat.update", json!({"channel": channel, "ts": ts, "text": "b"}))["error"]
                .clone()
        };
        assert_eq!(update("#oncall", "5.000000"), "channel_not_found");
        assert_eq!(update("C00000001", "9.000000"), "message_not_found");
        assert_eq!(update("C00000002", "5.000000"), "message_not_found");
        assert_eq!(update("C00000001", "5.000000"), Value::Null);
    }

    #[test]
    fn another_ones_message_cannot_be_updated() {
        let mut workspace = workspace();
        workspace.control(Control::Say { channel: "oncall".into(), text: "hi".into() }, 1_000).unwrap();
        let update = json!({"channel": "C00000001", "ts": "1.000000", "text": "b"});
        assert_eq!(ask(&mut workspace, 2_000, "chat.update", update)["error"], "cant_update_message");
    }

    #[test]
    fn text_alone_drops_blocks_and_metadata_stays_until_it_is_sent_empty() {
        let mut workspace = workspace();
        let blocks = json!([{"type": "divider"}]);
        let post = json!({"channel": "oncall", "text": "a", "blocks": blocks, "metadata": metadata("x")});
        ask(&mut workspace, 1_000, "chat.postMessage", post);
        let mut update = |mut arguments: Value| {
            arguments["channel"] = json!("C00000001");
            arguments["ts"] = json!("1.000000");
            ask(&mut workspace, 2_000, "chat.update", arguments)["message"].clone()
        };
        let kept = update(json!({"text": "b", "blocks": blocks}));
        assert_eq!((&kept["blocks"], &kept["metadata"]), (&blocks, &metadata("x")));
        let dropped = update(json!({"text": "c"}));
        assert_eq!((&dropped["blocks"], &dropped["metadata"]), (&Value::Null, &metadata("x")));
        assert!(dropped["edited"].is_object());
        assert_eq!(update(json!({"text": "d", "metadata": {}}))["metadata"], Value::Null);
    }

    #[test]
    fn a_reply_to_a_reply_is_refused_and_one_to_a_deleted_root_lands_at_top_level() {
        let mut workspace = workspace();
        let post = |thread: &str| json!({"channel": "oncall", "text": "r", "thread_ts": thread});
        ask(&mut workspace, 1_000, "chat.postMessage", json!({"channel": "oncall", "text": "root"}));
        let reply = ask(&mut workspace, 2_000, "chat.postMessage", post("1.000000"));
        assert_eq!(reply["message"]["thread_ts"], "1.000000");
        let refused = ask(&mut workspace, 3_000, "chat.postMessage", post("2.000000"));
        assert_eq!(refused["error"], "cannot_reply_to_message");
        workspace.control(Control::DeleteRoots { channel: "oncall".into() }, 4_000).unwrap();
        let stray = ask(&mut workspace, 5_000, "chat.postMessage", post("1.000000"));
        assert_eq!((&stray["ok"], &stray["message"]["thread_ts"]), (&json!(true), &Value::Null));
    }

    #[test]
    fn history_pages_newest_first_without_replies_and_shows_metadata_only_when_asked() {
        let mut workspace = workspace();
        for second in 1..=5 {
            let post = json!({"channel": "oncall", "text": second.to_string(), "metadata": metadata("m")});
            ask(&mut workspace, second * 1_000, "chat.postMessage", post);
        }
        let reply = json!({"channel": "oncall", "text": "reply", "thread_ts": "5.000000"});
        ask(&mut workspace, 6_000, "chat.postMessage", reply);
        let mut texts = Vec::new();
        let mut cursor = String::new();
        loop {
            let page = json!({"channel": "C00000001", "limit": "2", "oldest": "1.5", "cursor": cursor});
            let page = ask(&mut workspace, 9_000, "conversations.history", page);
            let messages = page["messages"].as_array().unwrap().clone();
            assert!(messages.iter().all(|message| message["metadata"].is_null()));
            texts.extend(messages.iter().map(|message| message["text"].as_str().unwrap().to_owned()));
            cursor = page["response_metadata"]["next_cursor"].as_str().unwrap().to_owned();
            if cursor.is_empty() {
                break;
            }
        }
        assert_eq!(texts, ["5", "4", "3", "2"]);
        let replies = json!({"channel": "C00000001", "ts": "5.000000", "include_all_metadata": "true"});
        let replies = ask(&mut workspace, 9_000, "conversations.replies", replies);
        let texts: Vec<_> = replies["messages"].as_array().unwrap().iter().map(|m| &m["text"]).collect();
        assert_eq!(texts, ["5", "reply"]);
        assert_eq!(replies["messages"][0]["metadata"], metadata("m"));
    }

    #[test]
    fn a_sixth_post_at_once_in_a_channel_is_rate_limited_another_channel_is_not() {
        let mut workspace = workspace();
        let post = |workspace: &mut Workspace, channel: &str| {
            serve(workspace, 0, "chat.postMessage", json!({"channel": channel, "text": "a"}))
        };
        let answers: Vec<_> = (0..6).map(|_| post(&mut workspace, "#oncall")).collect();
        assert_eq!(answers[5], rate_limited(1));
        assert!(answers[..5].iter().all(|answer| matches!(answer, Reply::Answer { status: 200, .. })));
        assert!(matches!(post(&mut workspace, "#payments"), Reply::Answer { status: 200, .. }));
    }

    #[test]
    fn faults_meet_their_method_in_order_and_say_whether_the_call_took_effect() {
        let mut workspace = workspace();
        let faults = [
            Fault::Drop,
            Fault::Fail,
            Fault::Late { delay_ms: 5_000 },
            Fault::RateLimit { retry_after_s: 9 },
            Fault::Freeze,
            Fault::Refuse { code: "internal_error".into() },
            Fault::Stall,
            Fault::Lag { delay_ms: 5_000 },
        ];
        for fault in faults {
            let arm = Control::Arm { method: "chat.postMessage".into(), times: 1, fault };
            workspace.control(arm, 0).unwrap();
        }
        let mut post = |at: i64| {
            let reply =
                serve(&mut workspace, at, "chat.postMessage", json!({"channel": "oncall", "text": at.to_string()}));
            (reply, workspace.messages("oncall", at).len())
        };
        assert_eq!(post(1_000), (Reply::Drop, 1));
        assert_eq!(post(2_000), (Reply::Answer { status: 500, retry_after_s: None, body: Value::Null }, 2));
        assert_eq!(post(3_000), (Reply::Drop, 2));
        assert_eq!(post(4_000), (rate_limited(9), 2));
        assert_eq!(post(5_000), (Reply::Hang, 2));
        assert_eq!(post(6_000), (Reply::error("internal_error"), 2));
        // The late one arrived at 8,000, before this one.
        assert_eq!(post(9_000), (Reply::Hang, 4));
        let (answer, there) = post(10_000);
        assert!(matches!(answer, Reply::Answer { status: 200, body, .. } if body["ts"] == "10.000000"));
        assert_eq!(there, 4);
        let texts: Vec<_> = workspace.messages("oncall", 15_000).into_iter().map(|(_, m)| m.text).collect();
        assert_eq!(texts, ["1000", "2000", "3000", "9000", "10000"]);
    }

    #[test]
    fn an_orphaned_reply_lands_at_top_level_and_an_orphaned_rewriting_finds_nothing() {
        let mut workspace = workspace();
        let orphan = |workspace: &mut Workspace, method: &str| {
            let arm = Control::Arm { method: method.into(), times: 1, fault: Fault::Orphan };
            workspace.control(arm, 0).unwrap();
        };
        let post = |thread: Option<&str>| json!({"channel": "oncall", "text": "t", "thread_ts": thread});
        ask(&mut workspace, 1_000, "chat.postMessage", post(None));
        orphan(&mut workspace, "chat.postMessage");
        let stray = ask(&mut workspace, 2_000, "chat.postMessage", post(Some("1.000000")));
        assert_eq!((&stray["ok"], &stray["message"]["thread_ts"]), (&json!(true), &Value::Null));
        orphan(&mut workspace, "chat.update");
        let update = json!({"channel": "C00000001", "ts": "2.000000", "text": "u"});
        assert_eq!(ask(&mut workspace, 3_000, "chat.update", update)["error"], "message_not_found");
        assert!(workspace.messages("oncall", 4_000).is_empty());
    }

    #[test]
    fn a_user_group_is_set_as_a_whole_and_never_emptied() {
        let mut workspace = workspace();
        workspace.control(Control::Group { group: "S0SRE".into(), users: vec!["U0OLD".into()] }, 0).unwrap();
        let mut set = |group: &str, users: &str| {
            let arguments = json!({"usergroup": group, "users": users});
            let answer = ask(&mut workspace, 1_000, "usergroups.users.update", arguments);
            let held = workspace.group("S0SRE").unwrap().join(",");
            (answer["error"].as_str().unwrap_or("ok").to_owned(), held)
        };
        let told = |error: &str, held: &str| (error.to_owned(), held.to_owned());
        assert_eq!(set("S0NONE", "U0MARIA"), told("no_such_subteam", "U0OLD"));
        assert_eq!(set("S0SRE", ""), told("no_users_provided", "U0OLD"));
        assert_eq!(set("S0SRE", "U0MARIA,maria"), told("invalid_users", "U0OLD"));
        assert_eq!(set("S0SRE", "U0FAIRLEAD"), told("invalid_users", "U0OLD"));
        assert_eq!(set("S0SRE", "U0MARIA,U0PETER"), told("ok", "U0MARIA,U0PETER"));
    }

    #[test]
    fn the_weather_is_the_same_for_the_same_seed_and_ends_when_it_is_told() {
        let run = |seed| {
            let mut workspace = workspace();
            workspace.control(Control::Weather { seed, per_mille: 500 }, 0).unwrap();
            let post = json!({"channel": "oncall", "text": "t"});
            let mut replies: Vec<_> =
                (1..200).map(|at| serve(&mut workspace, at * 10_000, "chat.postMessage", post.clone())).collect();
            let met: u64 = workspace.faults_met().values().sum();
            assert!((60..140).contains(&met), "{met} of 200");
            assert!(workspace.faults_met().len() >= 7, "{:?}", workspace.faults_met());
            workspace.control(Control::Weather { seed, per_mille: 0 }, 0).unwrap();
            replies.push(serve(&mut workspace, 9_000_000, "chat.postMessage", post));
            assert!(matches!(replies.last(), Some(Reply::Answer { status: 200, .. })));
            assert_eq!(workspace.faults_met().values().sum::<u64>(), met);
            replies
        };
        assert_eq!(run(1), run(1));
        assert_ne!(run(1), run(2));
    }
}
