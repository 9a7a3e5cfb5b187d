//! What a hand-over says: who comes on, from whom, until when, who is next.
//!
//! Invariant: names are foreign text, escaped and bounded; a mention is made of a Slack id of the rotation's people and of nothing else.

use jiff::Timestamp;
use serde_json::json;

use super::{State, Why};
use crate::event::words::clipped;
use crate::rotation::Rota;
use crate::rotation::duty::{self, OnCall};

const NAME_CHARS: usize = 60;
/// Of several who are on call at once.
const NAMED_MAX: usize = 8;

pub fn hand_over(state: &State, rota: &Rota, on_call: &[OnCall], at_ms: i64, why: Why) -> String {
    let title = format!("📟 *On call for {}*", escaped(&state.name));
    let before: Vec<_> = state.on_call.iter().filter(|one| !on_call.contains(one)).collect();
    let since = if why == Why::Calendar { " now, for the calendar has changed" } else { "" };
    let next = duty::next_change(&state.shifts, at_ms);
    let mut text = match (on_call, &next) {
        ([], None) => format!("⚠️ *On call for {}*: nobody{since}", escaped(&state.name)),
        ([], Some((at, _))) => format!("⚠️ *On call for {}*: nobody{since}, until {}", escaped(&state.name), time(*at)),
        (_, next) => {
            let who = shown(on_call, |one| named(one, rota.mention && !state.on_call.contains(one)));
            let from = match before.as_slice() {
                [] => String::new(),
                before => format!(", after {}", shown(before.iter().copied(), |one| escaped(&one.name))),
            };
            let until = next.as_ref().map(|(at, _)| format!(", until {}", time(*at))).unwrap_or_default();
            format!("{title}: {who}{from}{since}{until}")
        }
    };
    text += &match next {
        Some((_, then)) if then.is_empty() => "\nNobody comes after that, as far as the calendar says".to_owned(),
        Some((_, then)) => format!("\nNext: {}", shown(&then, |one| escaped(&one.name))),
        None => "\nNobody comes next, as far as the calendar says".to_owned(),
    };
    let without: Vec<_> = on_call.iter().filter(|one| one.person.is_empty()).collect();
    if !without.is_empty() {
        let names = shown(without.iter().copied(), |one| escaped(&one.name));
        text += &format!("\nWithout a Slack id in the topology, and so not mentioned and in no group: {names}");
    }
    if rota.group.is_some() && on_call.iter().all(|one| one.person.is_empty()) {
        text += "\nThe user group keeps whom it holds, for Slack takes no empty one";
    }
    text
}

pub fn runs_out(state: &State) -> String {
    let (name, until) = (escaped(&state.name), time(state.known_until_ms));
    format!("⚠️ *On call for {name}*: the calendar is known until {until} only; plan on, or see why it cannot be read")
}

pub fn blocks(text: &str) -> String {
    json!([{"type": "section", "text": {"type": "mrkdwn", "text": text, "verbatim": true}}]).to_string()
}

fn shown<'a>(all: impl IntoIterator<Item = &'a OnCall>, show: impl Fn(&OnCall) -> String) -> String {
    let mut names: Vec<_> = all.into_iter().map(show).collect();
    let more = names.len().saturating_sub(NAMED_MAX);
    names.truncate(NAMED_MAX);
    if more > 0 {
        names.push(format!("{more} more"));
    }
    names.join(", ")
}

fn named(one: &OnCall, mention: bool) -> String {
    let is_id = one.person.len() > 1
        && one.person.starts_with(['U', 'W'])
        && one.person.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit());
    if mention && is_id { format!("<@{}>", one.person) } else { escaped(&one.name) }
}

/// On one line, and no token of Slack's.
fn escaped(name: &str) -> String {
    let name: String = name.chars().map(|c| if c.is_control() || c.is_whitespace() { ' ' } else { c }).collect();
    clipped(&name, NAME_CHARS).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// In each reader's own zone, in UTC where Slack cannot.
fn time(at_ms: i64) -> String {
    let utc = Timestamp::from_millisecond(at_ms).map(|at| at.strftime("%Y-%m-%d %H:%M UTC").to_string());
    let utc = utc.unwrap_or_else(|_| format!("{at_ms} ms"));
    format!("<!date^{}^{{date_short_pretty}} {{time}}|{utc}>", at_ms.div_euclid(1_000))
}
