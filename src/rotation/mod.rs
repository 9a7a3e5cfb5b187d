//! On-call rotations: from a calendar, written in the topology or kept elsewhere, to who is on call when.
//!
//! ```text
//! plan ──────► plan ─┐
//! iCalendar ─► ical ─┴► turns ─► people ─► shifts, with Slack ids ─► the fact `rotation`
//! ```
//! The section `rotations` of a topology's files, and what a calendar says under it. Pure: text and a moment in, shifts out. Time zones
//! come from the database that is compiled in, so every machine says the same. Invariant: shifts are sorted and at most
//! [`SHIFTS_MAX`]; until when they are complete is said with them. Not here: reading files and feeds, who is told what.
#![deny(clippy::disallowed_methods, clippy::disallowed_types, clippy::disallowed_macros)]

pub mod duty;
pub mod ical;
mod lines;
pub mod plan;
mod recurrence;

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use jiff::tz::TimeZoneDatabase;
use serde::Deserialize;

use crate::event::words::{clipped, suggest};
use crate::event::{Rotation, Shift};
use crate::record::EventTime;
use plan::Plan;

/// By name.
pub type Rotations = BTreeMap<String, Rota>;

/// One rotation: where its calendar is, who its people are in Slack, and who is told.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rota {
    /// Exactly one of these three. A file is relative to the topology's directory; an address is a template, for it is a secret.
    pub plan: Option<Plan>,
    pub file: Option<String>,
    pub url: Option<String>,
    /// How often file or feed is read.
    #[serde(default = "five_minutes")]
    pub every_secs: u32,
    /// In which times without a zone are meant.
    #[serde(default = "utc")]
    pub zone: String,
    /// What the calendar calls them (name or mail address) to their Slack ids.
    #[serde(default)]
    pub people: BTreeMap<String, String>,
    /// Where hand-overs are told; without it nowhere.
    pub channel: Option<String>,
    /// The Slack user group that holds who is on call; without it none does.
    pub group: Option<String>,
    /// Whether a hand-over wakes who comes on.
    #[serde(default = "yes")]
    pub mention: bool,
}

fn five_minutes() -> u32 {
    300
}

fn utc() -> String {
    "UTC".to_owned()
}

fn yes() -> bool {
    true
}

/// What a calendar says before anybody is looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    pub starts_at_ms: i64,
    pub ends_at_ms: i64,
    /// Names and addresses, each one person.
    pub who: Vec<String>,
    /// A text in which somebody may be named.
    pub text: String,
}

/// Of which shifts are of interest.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    pub from_ms: i64,
    pub until_ms: i64,
}

const DAY_MS: i64 = 86_400_000;
const DAYS_AHEAD: i64 = 35;
/// Of one rotation; known until the first that is left out.
pub const SHIFTS_MAX: usize = 500;
const NAME_CHARS_MAX: usize = 100;

impl Window {
    pub fn around(now: EventTime) -> Self {
        Self { from_ms: now.plus_ms(-DAY_MS).0, until_ms: now.plus_ms(DAYS_AHEAD * DAY_MS).0 }
    }
}

/// A calendar as it was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    pub rotation: Rotation,
    /// Who or what could not be read as it was meant; the shifts hold what could.
    pub problems: Vec<String>,
}

/// Of the database that is compiled in.
pub fn zone(name: &str) -> Option<TimeZone> {
    TimeZoneDatabase::bundled().get(name).ok()
}

impl Rota {
    /// The shifts around `now`; `ical` is what file or feed holds. The error is why it is no calendar.
    pub fn read(&self, name: &str, ical: Option<&str>, now: EventTime) -> Result<Reading, String> {
        let window = Window::around(now);
        let zone = zone(&self.zone).ok_or_else(|| format!("`{}` is no zone of the tz database", self.zone))?;
        let ical::Calendar { turns, mut problems } = match (&self.plan, ical) {
            (Some(plan), _) => ical::Calendar { turns: plan.turns(&zone, window), problems: Vec::new() },
            (None, Some(text)) => ical::read(text, &zone, window)?,
            (None, None) => return Err("there is no calendar".to_owned()),
        };
        let mut shifts = Vec::new();
        for turn in turns {
            for (person, name) in self.persons(&turn) {
                if person.is_empty() {
                    problems.push(format!("`{name}` has no Slack id; give it under `people`"));
                }
                let (starts_at_ms, ends_at_ms) = (turn.starts_at_ms, turn.ends_at_ms);
                shifts.push(Shift { starts_at_ms, ends_at_ms, person, name });
            }
        }
        shifts.sort();
        shifts.dedup();
        // A feed may end: after its last shift nothing is known. A plan goes on for ever.
        let last = shifts.iter().map(|shift| shift.ends_at_ms).max().unwrap_or(now.0);
        let mut known_until_ms = if self.plan.is_some() { window.until_ms } else { window.until_ms.min(last) };
        if let Some(first_left_out) = shifts.get(SHIFTS_MAX) {
            known_until_ms = known_until_ms.min(first_left_out.starts_at_ms);
            problems.push(format!("more than {SHIFTS_MAX} shifts in {DAYS_AHEAD} days; those after are read later"));
            shifts.truncate(SHIFTS_MAX);
        }
        problems.sort();
        problems.dedup();
        let rotation = Rotation { name: name.to_owned(), read_at_ms: now.0, known_until_ms, shifts };
        Ok(Reading { rotation, problems })
    }

    /// Slack id and name of everybody whose turn it is; an empty id where `people` knows none.
    fn persons(&self, turn: &Turn) -> Vec<(String, String)> {
        let named = |who: &String| {
            let known = self.people.iter().find(|(name, _)| name.trim().to_lowercase() == who.trim().to_lowercase());
            known
                .map(|(name, id)| (id.clone(), name.clone()))
                .or_else(|| is_person(who).then(|| (who.clone(), who.clone())))
        };
        let in_text = || {
            let text = turn.text.to_lowercase();
            let found = self.people.iter().filter(|(name, _)| holds_word(&text, &name.trim().to_lowercase()));
            found.map(|(name, id)| (id.clone(), name.clone())).collect::<Vec<_>>()
        };
        if turn.who.iter().any(|who| named(who).is_some()) {
            let unknown = |who: &String| (String::new(), clipped(who, NAME_CHARS_MAX));
            return turn.who.iter().map(|who| named(who).unwrap_or_else(|| unknown(who))).collect();
        }
        match in_text() {
            found if !found.is_empty() => found,
            _ => {
                let named = turn.who.first().unwrap_or(&turn.text).trim();
                let named = if named.is_empty() { "somebody without a name" } else { named };
                vec![(String::new(), clipped(named, NAME_CHARS_MAX))]
            }
        }
    }

    /// What no type can say, each with its path in front.
    pub fn problems(&self, name: &str) -> Vec<String> {
        let path = format!("rotations.{name}");
        let mut problems = Vec::new();
        let sources = [self.plan.is_some(), self.file.is_some(), self.url.is_some()];
        if sources.iter().filter(|there| **there).count() != 1 {
            problems.push(format!("{path}: give one of `plan`, `file` and `url`"));
        }
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        if name.len() > 60 || !name.chars().all(is_name) {
            problems.push(format!("{path}: a rotation's name has letters, digits, `-` and `_`, at most 60"));
        }
        if zone(&self.zone).is_none() {
            problems.push(format!("{path}.zone: `{}` is no zone of the tz database; write Europe/Berlin", self.zone));
        }
        if self.every_secs < 10 {
            problems.push(format!("{path}.every_secs: at least 10, or whoever keeps the calendar will refuse it"));
        }
        for (who, id) in self.people.iter().filter(|(_, id)| !is_person(id)) {
            problems.push(format!("{path}.people.{who}: `{id}` is no person's Slack id; write U… or W…"));
        }
        if let Some(group) = self.group.as_ref().filter(|group| !is_id(group, &['S'])) {
            problems.push(format!("{path}.group: `{group}` is no user group's Slack id; write S…"));
        }
        if let Some(channel) = self.channel.as_ref().filter(|channel| !is_channel(channel)) {
            problems
                .push(format!("{path}.channel: `{channel}` is no channel; write #name in lower case, or its id (C…)"));
        }
        if let Some(plan) = &self.plan {
            problems.extend(plan.problems(&format!("{path}.plan")));
            let known = |who: &&String| self.people.contains_key(*who) || is_person(who);
            for who in plan.names().filter(|who| !known(who)) {
                let like = suggest(who, self.people.keys().map(String::as_str));
                problems.push(format!("{path}.people: `{who}` of the plan has no Slack id{like}; add `{who}: U…`"));
            }
        }
        problems
    }
}

/// Of one section: what one of its rotations alone cannot say.
pub fn problems(rotations: &Rotations) -> Vec<String> {
    let mut problems: Vec<_> = rotations.iter().flat_map(|(name, rota)| rota.problems(name)).collect();
    let mut groups = BTreeMap::new();
    for (name, group) in rotations.iter().filter_map(|(name, rota)| Some((name, rota.group.as_ref()?))) {
        if let Some(first) = groups.insert(group, name) {
            problems
                .push(format!("rotations.{name}.group: `{group}` is filled by `{first}` already; each needs its own"));
        }
    }
    problems
}

fn is_person(id: &str) -> bool {
    is_id(id, &['U', 'W'])
}

fn is_id(id: &str, first: &[char]) -> bool {
    id.len() > 1 && id.starts_with(first) && id.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit())
}

fn is_channel(channel: &str) -> bool {
    let is_letter = |c: char| c.is_alphanumeric() && !c.is_uppercase() || matches!(c, '-' | '_');
    match channel.strip_prefix('#') {
        Some(name) => (1..=80).contains(&name.chars().count()) && name.chars().all(is_letter),
        None => is_id(channel, &['C', 'G']),
    }
}

/// With no letter or digit before or after it.
fn holds_word(text: &str, word: &str) -> bool {
    let apart = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric());
    let mut found = text.match_indices(word);
    !word.is_empty()
        && found.any(|(at, _)| apart(text[..at].chars().next_back()) && apart(text[at + word.len()..].chars().next()))
}

#[cfg(test)]
mod tests;
