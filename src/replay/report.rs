//! A replay from its source to its end: which topologies are fed with which records, and what came of it.

use std::collections::BTreeMap;

use anyhow::Result;
use serde::Serialize;

use super::episode::Episodes;
use super::player::Player;
use super::recorded::{self, Topics, Value};
use super::story::{Stories, Story};
use super::{Source, Window};
use crate::event::{Fact, SlackActionKind};
use crate::topology::plan::Topology;

/// What one topology, or the recorded application, has told.
#[derive(Serialize)]
pub struct Replay {
    pub topology: String,
    /// `journal`, `event_time`, or `recorded`: it was told then, and not replayed.
    pub order: &'static str,
    pub read: Totals,
    pub told: Told,
    pub incidents: Vec<Story>,
    #[serde(skip)]
    pub episodes: Episodes,
}

/// Records of the window; of the warm-up only how many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    pub alerts: u64,
    pub deploys: u64,
    pub others: u64,
    /// What nobody can read, or is no fact of this topology.
    pub unreadable: u64,
    pub warm_up: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Told {
    /// Of which something was told.
    pub incidents: u64,
    /// Roots of rotations: the duty changes hands, or a calendar runs out.
    pub changes_of_duty: u64,
    pub roots: u64,
    pub replies: u64,
    /// Of roots and logs.
    pub rewritings: u64,
    pub mentions: u64,
}

impl Told {
    pub fn of<'a>(stories: impl IntoIterator<Item = &'a Story>) -> Self {
        let mut told = Self::default();
        for story in stories {
            let is_told = u64::from(!story.steps.is_empty() || !story.messages.is_empty());
            match story.rotation {
                Some(_) => told.changes_of_duty += is_told,
                None => told.incidents += is_told,
            }
            told.mentions += story.mentions().count() as u64;
            for message in &story.messages {
                match message.kind {
                    SlackActionKind::PostRoot => told.roots += 1,
                    SlackActionKind::UpdateRoot | SlackActionKind::Log => told.rewritings += 1,
                    SlackActionKind::Reply => told.replies += 1,
                    // No message.
                    SlackActionKind::SetGroup => {}
                }
            }
        }
        told
    }

    pub fn messages(self) -> u64 {
        self.roots + self.replies
    }
}

/// Runs the records of the window through each of the topologies, in one reading. `recorded`: listens to what the first of them was heard
/// to tell, too; that comes last. `read` is called with each record.
pub fn replay(
    source: &mut Source,
    topologies: &[&Topology],
    window: Window,
    recorded: bool,
    read: &mut dyn FnMut(&super::Recorded),
) -> Result<Vec<Replay>> {
    let mut players = Vec::new();
    let mut wanted = Topics::new();
    for topology in topologies {
        source.check(&recorded::required(topology))?;
        wanted.extend(recorded::sources(topology));
        // Two topologies are compared by what they decide, not by how the records came.
        let alone = topologies.len() == 1;
        let journals = if alone { source.journals(topology, &window)? } else { BTreeMap::new() };
        players.push(Player::new(topology, journals, window)?);
    }
    let told = topologies.first().filter(|_| recorded).map(|topology| recorded::told(topology)).unwrap_or_default();
    source.check(&told)?;
    wanted.extend(told.clone());
    let mut was_told = Stories::new(window.from);
    source.each(&wanted, (window.begin, window.to), &mut |record| {
        read(&record);
        if told.contains_key(&record.topic) {
            match &record.value {
                Value::Fact(Fact::Incident(incident)) => was_told.incident(record.timestamp, incident),
                Value::Fact(Fact::SlackAction(action)) => was_told.action(record.timestamp, action),
                _ => {}
            }
        }
        players.iter_mut().try_for_each(|player| player.feed(&record))
    })?;
    let mut replays = Vec::new();
    for (mut player, topology) in players.into_iter().zip(topologies) {
        player.finish()?;
        let order = if player.follows_journal { "journal" } else { "event_time" };
        let incidents = player.stories.told();
        replays.push(Replay {
            topology: topology.fingerprint.clone(),
            order,
            read: player.totals,
            told: Told::of(&incidents),
            incidents,
            episodes: player.episodes,
        });
    }
    if recorded {
        let incidents = was_told.told();
        let (order, read, episodes) = ("recorded", Totals::default(), Episodes::default());
        let topology = String::new();
        replays.push(Replay { topology, order, read, told: Told::of(&incidents), incidents, episodes });
    }
    Ok(replays)
}
