//! Whom a message wakes and where it goes: the mention policy and the channel rules, apart from how a message looks.
//!
//! Invariant: a mention is made of an id in this configuration and of nothing else (but `<!here>` and `<!channel>`), and only for
//! an opening, an escalation, a reopening, an end of quiet, or nobody's having it in hand, of an open incident above level low.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use crate::event::words::suggest;
use crate::event::{Incident, IncidentChange, IncidentState, Level, Mention};
use crate::services::Services;

/// Channel of an incident: the first rule that holds, else the default.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Channels {
    pub default: String,
    #[serde(default)]
    pub rules: Vec<ChannelRule>,
}

/// All that is said must hold; of a list, one.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChannelRule {
    #[serde(default)]
    pub services: Vec<String>,
    /// Names of alerts.
    #[serde(default)]
    pub alerts: Vec<String>,
    /// Teams of the catalogue, or Slack ids as `mentions.owners` says them.
    #[serde(default)]
    pub owners: Vec<String>,
    /// `name=value` of a key by which alerts are grouped.
    #[serde(default)]
    pub groups: Vec<String>,
    #[serde(default)]
    pub environments: Vec<String>,
    pub level_at_least: Option<Level>,
    pub channel: String,
}

/// Slack ids of people (`U…`, `W…`) and user groups (`S…`).
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mentions {
    /// Service to its owner, beside the catalogue. Who has none in either is owned by SRE.
    #[serde(default)]
    pub owners: BTreeMap<String, String>,
    /// What the teams of the catalogue are called in Slack.
    #[serde(default)]
    pub teams: BTreeMap<String, String>,
    pub sre: String,
}

impl Channels {
    pub fn of(&self, incident: &Incident, owner: Option<&str>) -> &str {
        let rule = self.rules.iter().find(|rule| rule.holds(incident, owner));
        rule.map_or(&self.default, |rule| &rule.channel)
    }

    /// `owners`: all there are.
    pub fn problems(&self, owners: &BTreeSet<&str>) -> Vec<String> {
        let mut problems: Vec<_> =
            channel_problem(&self.default).map(|why| format!("channels.default: {why}")).into_iter().collect();
        for (at, rule) in self.rules.iter().enumerate() {
            let place = format!("channels.rules[{at}]");
            problems.extend(channel_problem(&rule.channel).map(|why| format!("{place}: {why}")));
            if rule.lists().iter().all(|(_, names)| names.is_empty()) && rule.level_at_least.is_none() {
                problems.push(format!("{place}: takes every incident: make its channel the default"));
            }
            for owner in rule.owners.iter().filter(|owner| !owners.contains(owner.as_str())) {
                let known = suggest(owner, owners.iter().copied());
                problems.push(format!("{place}.owners: nothing is owned by `{owner}`{known}"));
            }
            for group in rule.groups.iter().filter(|group| !group.contains('=')) {
                problems.push(format!("{place}.groups: `{group}` is no name=value, such as namespace=shop"));
            }
            if self.rules[..at].iter().any(|earlier| rule.implies(earlier)) {
                problems.push(format!("{place}: unreachable, a rule before it takes all its incidents"));
            }
        }
        problems
    }
}

impl ChannelRule {
    fn lists(&self) -> [(Concern, &[String]); 5] {
        [
            (Concern::Service, &self.services),
            (Concern::Alert, &self.alerts),
            (Concern::Owner, &self.owners),
            (Concern::Group, &self.groups),
            (Concern::Environment, &self.environments),
        ]
    }

    fn holds(&self, incident: &Incident, owner: Option<&str>) -> bool {
        let is = |concern, name: &String| match concern {
            Concern::Service => *name == incident.service,
            Concern::Alert => incident.alerts.iter().any(|alert| alert.name == *name),
            Concern::Owner => owner == Some(name),
            Concern::Group => incident.group.contains(name),
            Concern::Environment => incident.environment.as_ref() == Some(name),
        };
        let said =
            |(concern, names): &(Concern, &[String])| names.is_empty() || names.iter().any(|name| is(*concern, name));
        self.lists().iter().all(said) && self.level_at_least.is_none_or(|least| incident.level >= least)
    }

    /// Whatever it takes, the other takes.
    fn implies(&self, other: &Self) -> bool {
        let within = |mine: &[String], theirs: &[String]| {
            theirs.is_empty() || !mine.is_empty() && mine.iter().all(|name| theirs.contains(name))
        };
        self.lists().iter().zip(other.lists()).all(|((_, mine), (_, theirs))| within(mine, theirs))
            && other.level_at_least.is_none_or(|theirs| self.level_at_least.is_some_and(|mine| mine >= theirs))
    }
}

/// What a list of a rule is about.
#[derive(Clone, Copy)]
enum Concern {
    Service,
    Alert,
    Owner,
    Group,
    Environment,
}

/// Slack's tokens in a text that wake somebody, without their angle brackets. Slack escapes what others write: a bare `<` is
/// fairlead's own.
pub fn tokens_that_wake(text: &str) -> impl Iterator<Item = &str> {
    let tokens = text.split('<').skip(1).filter_map(|rest| rest.split_once('>')).map(|(token, _)| token);
    let everybody = |token: &str| matches!(token.split('|').next(), Some("!channel" | "!here" | "!everyone"));
    tokens.filter(move |token| token.starts_with('@') || token.starts_with("!subteam^") || everybody(token))
}

impl Mentions {
    /// Slack's token for whom this change wakes, if anybody.
    pub fn token(&self, incident: &Incident, services: &Services) -> Option<String> {
        let wakes = matches!(
            incident.change,
            IncidentChange::Opened
                | IncidentChange::Escalated
                | IncidentChange::Reopened
                | IncidentChange::Unattended
                | IncidentChange::Unmuted
        );
        let muted = incident.attention.as_ref().is_some_and(|attention| attention.muted.is_some());
        if !wakes || muted || incident.level == Level::Low || incident.state != IncidentState::Open {
            return None;
        }
        let id = match incident.mention {
            Mention::Nobody => return None,
            Mention::Owner => self.owner(&incident.service, services).unwrap_or(&self.sre),
            Mention::Sre => &self.sre,
            Mention::Here => return Some("<!here>".to_owned()),
            Mention::Channel => return Some("<!channel>".to_owned()),
        };
        match id_problem(id) {
            Some(_) => None,
            None if id.starts_with('S') => Some(format!("<!subteam^{id}>")),
            None => Some(format!("<@{id}>")),
        }
    }

    /// Who owns it, as people call it: a team of the catalogue, or a Slack id.
    pub fn owner_named<'a>(&'a self, service: &str, services: &'a Services) -> Option<&'a str> {
        let catalogued = || services.get(service)?.owner.as_ref();
        self.owners.get(service).or_else(catalogued).map(String::as_str)
    }

    fn owner<'a>(&'a self, service: &str, services: &'a Services) -> Option<&'a String> {
        let catalogued = || services.get(service)?.owner.as_ref();
        self.owners.get(service).or_else(|| catalogued().map(|owner| self.teams.get(owner).unwrap_or(owner)))
    }

    /// Everybody who owns something.
    pub fn all_owners<'a>(&'a self, services: &'a Services) -> BTreeSet<&'a str> {
        let catalogued = services.values().filter_map(|service| service.owner.as_deref());
        self.owners.values().map(String::as_str).chain(catalogued).collect()
    }

    pub fn problems(&self, services: &Services) -> Vec<String> {
        let of = |section: &str, ids: &BTreeMap<String, String>| {
            ids.iter().map(|(name, id)| (format!("mentions.{section}.{name}"), id.clone())).collect::<Vec<_>>()
        };
        let sre = [("mentions.sre".to_owned(), self.sre.clone())];
        let all = of("owners", &self.owners).into_iter().chain(of("teams", &self.teams)).chain(sre);
        let mut problems: Vec<_> =
            all.filter_map(|(place, id)| Some(format!("{place}: {}", id_problem(&id)?))).collect();
        for (name, owner) in services.iter().filter_map(|(name, service)| Some((name, service.owner.as_ref()?))) {
            if self.owners.contains_key(name) {
                problems.push(format!("mentions.owners.{name}: the service catalogue names an owner too; keep one"));
            }
            if !self.teams.contains_key(owner) && id_problem(owner).is_some() {
                problems.push(format!(
                    "services.{name}.owner: `{owner}` is no Slack id and no team; say what it is called in Slack under \
                     `mentions.teams`{}",
                    if self.teams.is_empty() {
                        String::new()
                    } else {
                        suggest(owner, self.teams.keys().map(String::as_str))
                    }
                ));
            }
        }
        problems
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
