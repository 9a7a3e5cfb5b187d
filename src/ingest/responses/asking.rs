//! What Slack is asked or told because of a click: who is in a user group, a line that only the clicker sees, and where Socket
//! Mode is to be had.
//!
//! Invariants: every call is bounded in time and size. An answer goes only where Slack takes answers: to its own host, or that
//! of the stand-in which takes its place, for the address comes with the click. No token is ever logged.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use reqwest::{RequestBuilder, Url, redirect};
use serde_json::{Value, json};

use crate::sink::slack::Token;

/// Where Slack takes answers to a click.
const HOOKS: &str = "https://hooks.slack.com/";
const ANSWER_BYTES_MAX: usize = 4 << 20;
/// Of the three seconds that there are.
const MEMBERS_WITHIN: Duration = Duration::from_millis(900);
const CALL_WITHIN: Duration = Duration::from_secs(5);
/// How long who is in a group is taken for known.
const MEMBERS_HOLD: Duration = Duration::from_secs(300);

pub struct Asking {
    http: reqwest::Client,
    base: Url,
    hooks: Url,
    /// `None`: nobody is told of incidents, and nobody can be asked for groups.
    token: Option<Token>,
    members: Mutex<BTreeMap<String, (Instant, BTreeSet<String>)>>,
}

impl Asking {
    /// `base_url` is Slack's, or a stand-in's, which then takes answers too.
    pub fn new(base_url: &str, token: Option<Token>) -> Result<Self, String> {
        let base = Url::parse(base_url).map_err(|error| format!("`{base_url}` is no url: {error}"))?;
        let is_slack = base.host_str().is_some_and(|host| host == "slack.com" || host.ends_with(".slack.com"));
        let hooks = if is_slack { Url::parse(HOOKS).map_err(|error| error.to_string())? } else { base.clone() };
        let http = reqwest::Client::builder().timeout(CALL_WITHIN).redirect(redirect::Policy::none()).build();
        Ok(Self { http: http.map_err(|error| error.to_string())?, base, hooks, token, members: Mutex::default() })
    }

    /// Whether somebody is in one of these groups; `Err`: Slack cannot be asked, and why.
    pub async fn is_member(&self, user: &str, groups: &[String]) -> Result<bool, String> {
        let until = tokio::time::Instant::now() + MEMBERS_WITHIN;
        let mut unknown = None;
        for group in groups {
            let members = match self.known(group) {
                Some(members) => Ok(members),
                None => tokio::time::timeout_at(until, self.members(group))
                    .await
                    .unwrap_or_else(|_| Err("Slack did not answer in time".to_owned())),
            };
            match members {
                Ok(members) if members.contains(user) => return Ok(true),
                Ok(_) => {}
                Err(why) => unknown = Some(why),
            }
        }
        unknown.map_or(Ok(false), Err)
    }

    fn known(&self, group: &str) -> Option<BTreeSet<String>> {
        let known = self.members.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(group).filter(|(at, _)| at.elapsed() < MEMBERS_HOLD).map(|(_, members)| members.clone())
    }

    async fn members(&self, group: &str) -> Result<BTreeSet<String>, String> {
        let token = self.token.as_ref().ok_or("there is no token for Slack")?;
        let mut url = self.method("usergroups.users.list");
        url.query_pairs_mut().append_pair("usergroup", group);
        let body = answer(self.http.get(url).bearer_auth(&token.0)).await?;
        let users = body["users"].as_array().ok_or("Slack's answer lacks the users")?;
        let members: BTreeSet<_> = users.iter().filter_map(|user| user.as_str().map(str::to_owned)).collect();
        let mut known = self.members.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(group.to_owned(), (Instant::now(), members.clone()));
        Ok(members)
    }

    /// A line for who clicked, and nobody else.
    pub async fn tell(&self, response_url: &str, text: &str) -> Result<(), String> {
        let url = Url::parse(response_url).map_err(|_| "the click brought no address for an answer".to_owned())?;
        if url.origin() != self.hooks.origin() {
            return Err("the click asks to be answered at a place that is not Slack's".to_owned());
        }
        let body = json!({"response_type": "ephemeral", "replace_original": false, "text": text});
        let sent = self.http.post(url).json(&body).send().await;
        let status = sent.map_err(|error| error.without_url().to_string())?.status();
        if status.is_success() { Ok(()) } else { Err(format!("http status {status}")) }
    }

    /// A fresh address of Socket Mode, good for one connection.
    pub async fn socket(&self, app_token: &Token) -> Result<String, String> {
        let body = answer(self.http.post(self.method("apps.connections.open")).bearer_auth(&app_token.0)).await?;
        body["url"].as_str().map(str::to_owned).ok_or_else(|| "Slack's answer lacks the url".to_owned())
    }

    fn method(&self, name: &str) -> Url {
        let mut url = self.base.clone();
        url.set_path(&format!("{}{name}", self.base.path()));
        url
    }
}

/// The body of an answer that says `ok`; else Slack's code, or what went wrong.
async fn answer(request: RequestBuilder) -> Result<Value, String> {
    let plain = |error: reqwest::Error| error.without_url().to_string();
    let mut response = request.send().await.map_err(plain)?;
    let status = response.status();
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(plain)? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > ANSWER_BYTES_MAX {
            return Err("Slack's answer is too long".to_owned());
        }
    }
    let body: Value = serde_json::from_slice(&bytes).map_err(|_| format!("http status {status}, and no JSON"))?;
    match body["ok"].as_bool() {
        Some(true) => Ok(body),
        _ => Err(body["error"].as_str().map_or_else(|| format!("http status {status}"), str::to_owned)),
    }
}
