//! Whom a message wakes and where it goes: the mention policy and the channel rules, apart from how a message looks.
//!
//! Invariant: a mention is made of an id in this configuration and of nothing else, and only for an opening, an escalation or
//! a reopening of an open incident above level low.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::event::{Incident, IncidentChange, IncidentState, Level, Mention};

/// Channel of an incident: the first rule that holds, else the default.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Channels {
    pub default: String,
    #[serde(default)]
    pub rules: Vec<ChannelRule>,
}

/// All that is said must hold.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChannelRule {
    #[serde(default)]
    pub services: Vec<String>,
    #[serde(default)]
    pub environments: Vec<String>,
    pub level_at_least: Option<Level>,
    pub channel: String,
}

/// Slack ids of people (`U…`, `W…`) and user groups (`S…`).
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mentions {
    /// Service to its owner. Who has none here is owned by SRE.
    #[serde(default)]
    pub owners: BTreeMap<String, String>,
    pub sre: String,
}

impl Channels {
    pub fn of(&self, incident: &Incident) -> &str {
        let rule = self.rules.iter().find(|rule| rule.holds(incident));
        rule.map_or(&self.default, |rule| &rule.channel)
    }

    pub fn problems(&self) -> Vec<String> {
        let mut problems: Vec<_> =
            channel_problem(&self.default).map(|why| format!("channels.default: {why}")).into_iter().collect();
        for (at, rule) in self.rules.iter().enumerate() {
            let place = format!("channels.rules[{at}]");
            problems.extend(channel_problem(&rule.channel).map(|why| format!("{place}: {why}")));
            if rule.services.is_empty() && rule.environments.is_empty() && rule.level_at_least.is_none() {
                problems.push(format!("{place}: takes every incident: make its channel the default"));
            }
            if self.rules[..at].iter().any(|earlier| rule.implies(earlier)) {
                problems.push(format!("{place}: unreachable, a rule before it takes all its incidents"));
            }
        }
        problems
    }
}

impl ChannelRule {
    fn holds(&self, incident: &Incident) -> bool {
        let environment = incident.environment.as_deref();
        (self.services.is_empty() || self.services.contains(&incident.service))
            && (self.environments.is_empty()
                || environment.is_some_and(|name| self.environments.iter().any(|one| one == name)))
            && self.level_at_least.is_none_or(|least| incident.level >= least)
    }

    fn implies(&self, other: &Self) -> bool {
        let within = |mine: &[String], theirs: &[String]| {
            theirs.is_empty() || !mine.is_empty() && mine.iter().all(|name| theirs.contains(name))
        };
        within(&self.services, &other.services)
            && within(&self.environments, &other.environments)
            && other.level_at_least.is_none_or(|theirs| self.level_at_least.is_some_and(|mine| mine >= theirs))
    }
}

impl Mentions {
    /// Slack's token for whom this change wakes, if anybody.
    pub fn token(&self, incident: &Incident) -> Option<String> {
        let wakes =
            matches!(incident.change, IncidentChange::Opened | IncidentChange::Escalated | IncidentChange::Reopened);
        if !wakes || incident.level == Level::Low || incident.state != IncidentState::Open {
            return None;
        }
        let id = match incident.mention {
            Mention::Nobody => return None,
            Mention::Owner => self.owners.get(&incident.service).unwrap_or(&self.sre),
            Mention::Sre => &self.sre,
        };
        match id_problem(id) {
            Some(_) => None,
            None if id.starts_with('S') => Some(format!("<!subteam^{id}>")),
            None => Some(format!("<@{id}>")),
        }
    }

    pub fn problems(&self) -> Vec<String> {
        let owners = self.owners.iter().map(|(service, id)| (format!("mentions.owners.{service}"), id));
        let all = owners.chain([("mentions.sre".to_owned(), &self.sre)]);
        all.filter_map(|(place, id)| Some(format!("{place}: {}", id_problem(id)?))).collect()
    }
}

fn id_problem(id: &str) -> Option<String> {
    let legal = id.len() > 1
        && id.starts_with(['S', 'U', 'W'])
        && id.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit());
    (!legal).then(|| format!("`{id}` is no Slack id; give a user group's (S…) or a person's (U…, W…), not a name"))
}

fn channel_problem(channel: &str) -> Option<String> {
    let is_id =
        |id: &str| id.starts_with(['C', 'G']) && id.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit());
    let is_name = |name: &str| {
        (1..=80).contains(&name.chars().count())
            && name.chars().all(|c| c.is_alphanumeric() && !c.is_uppercase() || matches!(c, '-' | '_'))
    };
    let legal = channel.strip_prefix('#').map_or_else(|| is_id(channel), is_name);
    (!legal).then(|| format!("`{channel}` is no channel; write #name in lower case, or a channel id (C…)"))
}
