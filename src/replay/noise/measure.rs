//! How often an alert fired, how soon it ended, whether it came back, and what was told because of it.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::super::Window;
use super::super::episode::{Episode, Episodes};
use super::super::recorded::{Recorded, Value};
use super::super::story::Story;
use crate::event::{Fact, Level, Mention, ResponseVerb};

/// An episode that ends within this ended by itself, for nobody can have mended anything so soon.
pub const SOON_MS: i64 = 10 * 60_000;
/// What fires again within this of its end was not over.
pub const BACK_MS: i64 = 30 * 60_000;

/// One alert of one service, over the window.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Measured {
    pub alert: String,
    pub service: String,
    /// Label that holds the service's name in each of its alerts.
    pub service_label: Option<String>,
    pub episodes: u64,
    /// Tellings that it fires.
    pub told: u64,
    pub ended_soon: u64,
    pub came_back: u64,
    /// Episodes in which somebody answered for the service, or it was deployed or rolled back.
    pub acted_on: u64,
    /// Episodes that nobody told the end of.
    pub open: u64,
    pub worst: Level,
    pub mention: Mention,
    /// What it took part in.
    pub incidents: u64,
    pub messages: u64,
    pub mentions: u64,
}

/// What the alerts, deploys and answers themselves say, beside what was made of them.
#[derive(Default)]
pub struct Ears {
    /// Labels that hold the service, in every alert of this name and service.
    labels: BTreeMap<(String, String), BTreeSet<String>>,
    /// When each service was changed, or somebody took an incident of it in hand.
    acts: BTreeMap<String, BTreeSet<i64>>,
}

impl Ears {
    pub fn hear(&mut self, record: &Recorded) {
        match &record.value {
            Value::Fact(Fact::Alert(alert)) => {
                let holding = alert.labels.iter().filter(|(_, value)| **value == *alert.service);
                let holding: BTreeSet<String> = holding.map(|(name, _)| name.to_string()).collect();
                let key = (alert.name.to_string(), alert.service.to_string());
                match self.labels.get_mut(&key) {
                    Some(known) => known.retain(|name| holding.contains(name)),
                    None => drop(self.labels.insert(key, holding)),
                }
            }
            Value::Fact(Fact::Deploy(deploy)) => {
                self.acts.entry(deploy.service.to_string()).or_default().insert(record.timestamp.0);
            }
            Value::Fact(Fact::Response(response)) if is_act(response.verb) => {
                self.acts.entry(response.service.clone()).or_default().insert(record.timestamp.0);
            }
            _ => {}
        }
    }
}

/// Who wants quiet has not acted.
fn is_act(verb: ResponseVerb) -> bool {
    matches!(verb, ResponseVerb::Acknowledge | ResponseVerb::Assign | ResponseVerb::Run)
}

/// The `top` alerts by the messages that they took part in, then by how often they were told.
pub fn measure(episodes: &Episodes, stories: &[Story], ears: &Ears, window: &Window, top: usize) -> Vec<Measured> {
    let mut by_alert: BTreeMap<(&str, &str), Measured> = BTreeMap::new();
    let mut before: Option<(&str, i64)> = None;
    for (fingerprint, start, episode) in episodes.iter() {
        let came_back = before.is_some_and(|(last, ended)| last == fingerprint && episode.first_ms - ended <= BACK_MS);
        before = episode.ended_ms.map(|ended| (fingerprint, ended));
        if episode.told == 0 || episode.level.is_none() || episode.last_ms < window.from.0 {
            continue;
        }
        let key = (&*episode.name, &*episode.service);
        let measured = by_alert.entry(key).or_insert_with(|| empty(episode, ears));
        count(measured, (start, episode), came_back, ears);
    }
    for story in stories {
        let of_story = story.episodes.iter().filter_map(|(fingerprint, start)| episodes.get(fingerprint, *start));
        let keys: BTreeSet<_> = of_story.map(|episode| (&*episode.name, &*episode.service)).collect();
        for key in keys {
            let Some(measured) = by_alert.get_mut(&key) else { continue };
            measured.incidents += 1;
            measured.messages += story.posts().count() as u64;
            measured.mentions += story.mentions().count() as u64;
        }
    }
    let mut all: Vec<_> = by_alert.into_values().collect();
    all.sort_by(|a, b| (b.messages, b.told, &a.alert, &a.service).cmp(&(a.messages, a.told, &b.alert, &b.service)));
    all.truncate(top);
    all
}

fn empty(episode: &Episode, ears: &Ears) -> Measured {
    let labels = ears.labels.get(&(episode.name.to_string(), episode.service.to_string()));
    let service = episode.service.to_string();
    let label = labels.and_then(|labels| labels.get("service").or(labels.first()));
    Measured {
        alert: episode.name.to_string(),
        service,
        service_label: label.cloned(),
        episodes: 0,
        told: 0,
        ended_soon: 0,
        came_back: 0,
        acted_on: 0,
        open: 0,
        worst: Level::Low,
        mention: Mention::Nobody,
        incidents: 0,
        messages: 0,
        mentions: 0,
    }
}

fn count(measured: &mut Measured, (start, episode): (i64, &Episode), came_back: bool, ears: &Ears) {
    let until = episode.ended_ms.unwrap_or(episode.last_ms);
    let acts = ears.acts.get(&*episode.service);
    let acted_on = acts.is_some_and(|times| times.range(episode.first_ms..=until).next().is_some());
    measured.episodes += 1;
    measured.told += u64::from(episode.told);
    measured.ended_soon +=
        u64::from(episode.ended_ms.is_some_and(|ended| ended - start.max(episode.first_ms) <= SOON_MS));
    measured.came_back += u64::from(came_back);
    measured.acted_on += u64::from(acted_on);
    measured.open += u64::from(episode.ended_ms.is_none());
    measured.worst = measured.worst.max(episode.level.unwrap_or(Level::Low));
    measured.mention = measured.mention.max(episode.mention);
}
