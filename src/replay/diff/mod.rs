//! What two tellings of the same window differ in: incidents, their levels, mentions and messages, and the rules that decided.
//!
//! Steps and messages are matched by what they are and when: one that was told at another moment vanishes there and appears here. A
//! message that differs in nothing but its incident's id and version is the same.

pub mod pairs;

use std::collections::BTreeMap;

use serde::Serialize;

use super::episode::Episodes;
use super::report::{Replay, Told};
use super::story::{Message, Step, Story};
use super::text::{change_word, kind_word, level_word};
use crate::event::{IncidentChange, Level, SlackActionKind};
use crate::record::EventTime;

#[derive(Serialize)]
pub struct Diff {
    pub before: Side,
    pub after: Side,
    /// Incidents that were told alike.
    pub same: usize,
    /// Incidents that are older than the warm-up: the replay cannot know them.
    pub left_out: usize,
    /// Those that differ, by when they opened.
    pub incidents: Vec<Difference>,
}

#[derive(Clone, Serialize)]
pub struct Side {
    /// As it is shown.
    pub name: String,
    pub told: Told,
    /// Incidents that were Critical at some time.
    pub critical: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    pub outcome: Outcome,
    pub title: String,
    pub opened_at_ms: i64,
    /// Ids of the incident on either side.
    pub before: Option<String>,
    pub after: Option<String>,
    /// What decided, in words, with the rule.
    pub decided_before: String,
    pub decided_after: String,
    pub changes: Vec<Change>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Appears,
    Vanishes,
    Changes,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Change {
    pub at_ms: i64,
    pub what: What,
    pub before: Option<String>,
    pub after: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// Opened, escalated, reopened, resolved: and its level.
    Step(IncidentStep),
    Mention,
    Message,
    /// Of the root.
    Rewriting,
}

/// Changes of an incident that a diff tells; the others show in its messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum IncidentStep {
    Opened,
    Escalated,
    Reopened,
    Resolved,
}

impl Side {
    fn of(name: &str, stories: &[&Story]) -> Self {
        let critical = stories.iter().filter(|story| story.worst() == Level::Critical).count() as u64;
        Self { name: name.to_owned(), told: Told::of(stories.iter().copied()), critical }
    }
}

impl Diff {
    /// Names, and what each told. Of recorded incidents those are left out that opened before `begin`.
    pub fn of((before_name, before): (&str, &Replay), (after_name, after): (&str, &Replay), begin: EventTime) -> Self {
        let known: Vec<Story> =
            before.incidents.iter().filter(|story| story.opened_at_ms >= begin.0).cloned().collect();
        let mut diff = Self {
            before: Side::of(before_name, &known.iter().collect::<Vec<_>>()),
            after: Side::of(after_name, &after.incidents.iter().collect::<Vec<_>>()),
            same: 0,
            left_out: before.incidents.len() - known.len(),
            incidents: Vec::new(),
        };
        for pair in pairs::pairs(&known, &after.incidents) {
            match difference(pair, (&before.episodes, &after.episodes)) {
                Some(difference) => diff.incidents.push(difference),
                None => diff.same += 1,
            }
        }
        diff
    }

    /// Critical incidents and mentions of `before` that are gone, in words.
    pub fn missed(&self) -> Vec<String> {
        let mut missed = Vec::new();
        for difference in &self.incidents {
            let at = |change: &Change| super::text::time(change.at_ms);
            for change in &difference.changes {
                let critical = |told: &Option<String>| told.as_ref().is_some_and(|told| told.starts_with("Critical"));
                if let What::Step(_) = change.what
                    && critical(&change.before)
                    && !difference.changes.iter().any(|other| critical(&other.after))
                {
                    missed.push(format!("Critical of {} at {}", difference.title, at(change)));
                }
                if let (What::Mention, Some(id), None) = (change.what, &change.before, &change.after) {
                    missed.push(format!("mention of {id} for {} at {}", difference.title, at(change)));
                }
            }
        }
        missed
    }
}

fn difference((before, after): pairs::Pair<'_>, episodes: (&Episodes, &Episodes)) -> Option<Difference> {
    let changes = changes(before, after);
    if changes.is_empty() {
        return None;
    }
    let story = before.or(after)?;
    let outcome = match (before, after) {
        (None, _) => Outcome::Appears,
        (_, None) => Outcome::Vanishes,
        _ => Outcome::Changes,
    };
    Some(Difference {
        outcome,
        title: story.title(),
        opened_at_ms: story.opened_at_ms,
        before: before.map(|story| story.incident.clone()),
        after: after.map(|story| story.incident.clone()),
        decided_before: before.map_or_else(|| decided(story, episodes.0), worst_reason),
        decided_after: after.map_or_else(|| decided(story, episodes.1), worst_reason),
        changes,
    })
}

fn worst_reason(story: &Story) -> String {
    let first_of_worst = story.all_steps().find(|step| step.level == story.worst());
    first_of_worst.map(told).unwrap_or_default()
}

/// What the side that has no such incident made of its alerts.
fn decided(story: &Story, episodes: &Episodes) -> String {
    let judged = story.episodes.iter().filter_map(|(fingerprint, start)| episodes.get(fingerprint, *start));
    match judged.max_by_key(|episode| (episode.level, episode.dropped > 0)) {
        Some(episode) if episode.level.is_none() && episode.dropped > 0 => format!("dropped: {}", episode.reason),
        Some(episode) => {
            let level = episode.level.map_or("no level", level_word);
            format!("{level}: {}; told within another incident, or not yet", episode.reason)
        }
        None => "not told".to_owned(),
    }
}

fn told(step: &Step) -> String {
    format!("{}: {}", level_word(step.level), step.reason)
}

fn changes(before: Option<&Story>, after: Option<&Story>) -> Vec<Change> {
    let mut changes = Vec::new();
    let steps =
        |story: &Story| by_place(story.steps.iter().filter_map(|step| Some((step.at_ms, kind(step)?, told(step)))));
    compare(before.map(steps), after.map(steps), What::Step, &mut changes);
    let mentions = |story: &Story| by_place(story.mentions().map(|(at, id)| (at, (), id.to_owned())));
    compare(before.map(mentions), after.map(mentions), |()| What::Mention, &mut changes);
    let messages = |story: &Story| {
        let told = |message: &Message| (message.at_ms, message.kind, normal(story, message));
        by_place(story.messages.iter().map(told))
    };
    let what = |kind| if SlackActionKind::rewrites(kind) { What::Rewriting } else { What::Message };
    compare(before.map(messages), after.map(messages), what, &mut changes);
    changes.sort_by_key(|change| (change.at_ms, change.what));
    changes
}

/// By time, kind, and the how-manieth of these it is.
type Places<K> = BTreeMap<(i64, K, usize), String>;

fn by_place<K: Ord + Copy>(told: impl Iterator<Item = (i64, K, String)>) -> Places<K> {
    let mut places = Places::new();
    for (at_ms, kind, text) in told {
        let before = places.range((at_ms, kind, 0)..=(at_ms, kind, usize::MAX)).count();
        places.insert((at_ms, kind, before), text);
    }
    places
}

fn compare<K: Ord + Copy>(
    before: Option<Places<K>>,
    after: Option<Places<K>>,
    what: impl Fn(K) -> What,
    changes: &mut Vec<Change>,
) {
    let (before, mut after) = (before.unwrap_or_default(), after.unwrap_or_default());
    for (place, text) in before {
        let other = after.remove(&place);
        if other.as_ref() != Some(&text) {
            changes.push(Change { at_ms: place.0, what: what(place.1), before: Some(text), after: other });
        }
    }
    let new = |(place, text): ((i64, K, usize), String)| Change {
        at_ms: place.0,
        what: what(place.1),
        before: None,
        after: Some(text),
    };
    changes.extend(after.into_iter().map(new));
}

fn kind(step: &Step) -> Option<IncidentStep> {
    match step.change {
        IncidentChange::Opened => Some(IncidentStep::Opened),
        IncidentChange::Escalated => Some(IncidentStep::Escalated),
        IncidentChange::Reopened => Some(IncidentStep::Reopened),
        IncidentChange::Resolved => Some(IncidentStep::Resolved),
        IncidentChange::AlertsChanged
        | IncidentChange::SuspectsChanged
        | IncidentChange::Acknowledged
        | IncidentChange::Unacknowledged
        | IncidentChange::Unattended
        | IncidentChange::Assigned
        | IncidentChange::Muted
        | IncidentChange::Unmuted
        | IncidentChange::Noted => None,
    }
}

/// The message without its incident's id and version.
fn normal(story: &Story, message: &Message) -> String {
    let text = message.text.replace(&story.incident, "inc-…");
    let mut parts = text.split("version ");
    let first = parts.next().unwrap_or_default().to_owned();
    let text =
        parts.fold(first, |text, part| text + "version …" + part.trim_start_matches(|c: char| c.is_ascii_digit()));
    format!("{} in {}\n{text}", kind_word(message.kind), message.channel)
}

impl IncidentStep {
    pub fn word(self) -> &'static str {
        change_word(match self {
            Self::Opened => IncidentChange::Opened,
            Self::Escalated => IncidentChange::Escalated,
            Self::Reopened => IncidentChange::Reopened,
            Self::Resolved => IncidentChange::Resolved,
        })
    }
}
