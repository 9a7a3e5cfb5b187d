//! What was told of each incident: its steps, and its messages as a person would read them. What a rotation says when the duty changes hands
//! is a story of its own, of one message.
//!
//! Built the same way from what a replay says and from what lies recorded on the topics. A snapshot that is told twice counts once.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::embedded::slack::rendered;
use crate::event::{Incident, IncidentChange, IncidentState, Level, Mention, SlackAction, SlackActionKind};
use crate::operator::notify::tokens_that_wake;
use crate::operator::rotation;
use crate::record::EventTime;

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Story {
    pub incident: String,
    /// Who tells it, if it is no incident but a change of duty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rotation: Option<String>,
    pub service: String,
    pub environment: Option<String>,
    pub group: Vec<String>,
    pub opened_at_ms: i64,
    /// Names of its alerts.
    pub alerts: BTreeSet<String>,
    /// How it stood when the window began, if it was there.
    pub before: Option<Step>,
    pub steps: Vec<Step>,
    pub messages: Vec<Message>,
    /// Fingerprint and start of its alerts.
    #[serde(skip)]
    pub episodes: BTreeSet<(String, i64)>,
}

/// A snapshot.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Step {
    pub at_ms: i64,
    pub version: i32,
    pub change: IncidentChange,
    pub state: IncidentState,
    pub level: Level,
    /// With the rule that decided.
    pub reason: String,
    pub mention: Mention,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Message {
    pub at_ms: i64,
    pub kind: SlackActionKind,
    pub channel: String,
    pub level: Level,
    /// Slack ids, or `channel`, `here`, `everyone`.
    pub mentions: Vec<String>,
    /// As a person would read it.
    pub text: String,
}

#[derive(Clone, Debug)]
pub struct Stories {
    from: EventTime,
    by_incident: BTreeMap<String, Story>,
}

impl Stories {
    /// What is older than `from` is remembered as a standing only.
    pub fn new(from: EventTime) -> Self {
        Self { from, by_incident: BTreeMap::new() }
    }

    pub fn incident(&mut self, at: EventTime, told: &Incident) {
        let story = self.by_incident.entry(told.id.clone()).or_default();
        let last = story.steps.last().or(story.before.as_ref()).map_or(0, |step| step.version);
        if told.version <= last {
            return;
        }
        story.incident.clone_from(&told.id);
        story.service.clone_from(&told.service);
        story.environment.clone_from(&told.environment);
        story.group.clone_from(&told.group);
        story.opened_at_ms = told.opened_at_ms;
        for alert in &told.alerts {
            story.alerts.insert(alert.name.clone());
            story.episodes.insert((alert.fingerprint.clone(), alert.starts_at_ms));
        }
        let step = Step {
            at_ms: at.0,
            version: told.version,
            change: told.change,
            state: told.state,
            level: told.level,
            reason: told.level_reason.clone(),
            mention: told.mention,
        };
        if at < self.from {
            story.before = Some(step);
        } else {
            story.steps.push(step);
        }
    }

    pub fn action(&mut self, at: EventTime, action: &SlackAction) {
        // A user group's members are no message.
        if at < self.from || action.kind == SlackActionKind::SetGroup {
            return;
        }
        let story = self.by_incident.entry(action.incident_id.clone()).or_default();
        story.incident.clone_from(&action.incident_id);
        if let Some(rotation) = rotation::of_root(&action.incident_id) {
            (story.rotation, story.opened_at_ms) = (Some(rotation.to_owned()), action.created_at_ms);
        }
        let blocks: Vec<serde_json::Value> = serde_json::from_str(&action.blocks).unwrap_or_default();
        story.messages.push(Message {
            at_ms: at.0,
            kind: action.kind,
            channel: action.channel.clone(),
            level: action.level,
            mentions: mentions(&action.text),
            text: rendered(&action.text, &blocks),
        });
    }

    /// Those of which something was told in the window, or that stood open in it; by when they opened.
    pub fn told(self) -> Vec<Story> {
        let in_window = |story: &Story| {
            let open = story.before.as_ref().is_some_and(|step| step.state == IncidentState::Open);
            open || !story.steps.is_empty() || !story.messages.is_empty()
        };
        let mut told: Vec<_> = self.by_incident.into_values().filter(in_window).collect();
        told.sort_by(|a, b| (a.opened_at_ms, &a.service, &a.incident).cmp(&(b.opened_at_ms, &b.service, &b.incident)));
        told
    }
}

impl Story {
    /// Of all that is known of it, the standing before the window first.
    pub fn all_steps(&self) -> impl Iterator<Item = &Step> {
        self.before.iter().chain(&self.steps)
    }

    pub fn worst(&self) -> Level {
        self.all_steps().map(|step| step.level).max().unwrap_or(Level::Low)
    }

    /// `None`: it stands open at the end.
    pub fn resolved_at_ms(&self) -> Option<i64> {
        if self.rotation.is_some() {
            return Some(self.opened_at_ms);
        }
        self.all_steps().last().filter(|step| step.state == IncidentState::Resolved).map(|step| step.at_ms)
    }

    /// New messages; one that is rewritten is none, and a log is no news.
    pub fn posts(&self) -> impl Iterator<Item = &Message> {
        self.messages.iter().filter(|message| !message.kind.rewrites())
    }

    pub fn mentions(&self) -> impl Iterator<Item = (i64, &str)> {
        self.messages.iter().flat_map(|message| message.mentions.iter().map(|id| (message.at_ms, id.as_str())))
    }

    /// `checkout (production)`, with the rest of its group; `rotation sre`.
    pub fn title(&self) -> String {
        if let Some(rotation) = &self.rotation {
            return format!("rotation {rotation}");
        }
        let environment = self.environment.as_ref().map(|name| format!(" ({name})")).unwrap_or_default();
        let told =
            |pair: &&String| self.environment.as_ref().is_none_or(|name| **pair != format!("environment={name}"));
        let group: Vec<&str> = self.group.iter().filter(told).map(String::as_str).collect();
        let group = if group.is_empty() { String::new() } else { format!(" [{}]", group.join(", ")) };
        format!("{}{environment}{group}", self.service)
    }
}

/// Whom a text wakes.
fn mentions(text: &str) -> Vec<String> {
    let id = |token: &str| {
        let token = token.split('|').next().unwrap_or_default();
        let id = token.strip_prefix("!subteam^").or_else(|| token.strip_prefix(['@', '!']));
        id.unwrap_or_default().to_owned()
    };
    tokens_that_wake(text).map(id).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::report::Told;

    #[test]
    fn a_change_of_duty_is_no_incident_and_lasts_for_no_time() {
        let mut stories = Stories::new(EventTime(1_000));
        let incident_id = "handover-sre-eu-60000".to_owned();
        stories.action(
            EventTime(60_005),
            &SlackAction {
                id: format!("{incident_id}-post"),
                incident_id,
                version: 1,
                kind: SlackActionKind::PostRoot,
                channel: "#oncall".into(),
                level: Level::Medium,
                text: "<@U0MARIA> is on call".into(),
                blocks: "[]".into(),
                terminal: true,
                broadcast: false,
                created_at_ms: 60_000,
                users: Vec::new(),
            },
        );
        let told = stories.told();
        let [story] = &told[..] else { panic!("{told:?}") };
        assert_eq!(
            (story.title(), story.opened_at_ms, story.resolved_at_ms()),
            ("rotation sre-eu".into(), 60_000, Some(60_000))
        );
        assert_eq!(Told::of(&told), Told { changes_of_duty: 1, roots: 1, mentions: 1, ..Told::default() });
    }

    #[test]
    fn a_mention_is_a_person_a_group_or_everybody_and_a_date_or_a_link_is_none() {
        let text = "<!subteam^S1|@sre> <@U7>, <!date^5^{time}|12:00> <https://a|b> <!channel> &lt;@U8&gt; <";
        assert_eq!(mentions(text), ["S1", "U7", "channel"]);
    }
}
