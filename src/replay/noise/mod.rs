//! Which alerts make noise, and what a rule for each would change: measured, proposed, and replayed.
//!
//! ```text
//! first reading ──► episodes, incidents ──► the noisiest ──► a rule for each
//! second reading ─► the topology with each rule, for the service of its alert alone ──► fewer incidents, messages, mentions; missed?
//! ```
//! What counts as a trace of somebody's acting is, while the alert fired, that an incident of its service was acknowledged, assigned or had an
//! action run, or that the service was deployed or rolled back.

mod measure;
mod propose;
mod text;

use std::collections::BTreeMap;

use anyhow::Result;
use serde::Serialize;

pub use measure::Measured;
pub use propose::Proposal;

use super::diff::Diff;
use super::player::Player;
use super::recorded::{self, Recorded};
use super::report::{Replay, Told};
use super::story::Story;
use super::{Source, Window};
use crate::topology::plan::Topology;
use measure::Ears;

#[derive(Serialize)]
pub struct Noise {
    pub episodes: u64,
    pub alerts: u64,
    pub told: Told,
    /// The noisiest first.
    pub noisy: Vec<Noisy>,
}

#[derive(Serialize)]
pub struct Noisy {
    #[serde(flatten)]
    pub measured: Measured,
    /// `None`: nothing to propose.
    pub proposal: Option<Proposal>,
    pub effect: Option<Effect>,
}

/// Of the service alone: its other services are not touched by the rule.
#[derive(Serialize)]
pub struct Effect {
    pub before: Told,
    pub after: Told,
    /// Critical incidents and mentions that would be gone, in words.
    pub missed: Vec<String>,
}

/// The `top` noisiest. Reads the source twice.
pub fn noise(
    source: &mut Source,
    topology: &Topology,
    window: Window,
    top: usize,
    read: &mut dyn FnMut(&Recorded),
) -> Result<Noise> {
    let inputs = recorded::inputs(topology);
    source.check(&recorded::required(topology))?;
    let (mut base, mut ears) = (Player::new(topology, BTreeMap::new(), window)?, Ears::default());
    source.each(&inputs, (window.begin, window.to), &mut |record| {
        read(&record);
        if record.timestamp >= window.from {
            ears.hear(&record);
        }
        base.feed(&record)
    })?;
    base.finish()?;
    let (alerts, episodes, stories) = (base.totals.alerts, base.episodes, base.stories.told());
    let measured = measure::measure(&episodes, &stories, &ears, &window, top);
    let mut noisy: Vec<_> = measured.into_iter().map(|one| (propose::proposals(&one), one)).collect();
    let effects = effects(source, topology, window, &noisy, &stories, read)?;
    let mut all = Vec::new();
    for ((proposals, measured), effects) in noisy.drain(..).zip(effects) {
        let fit = proposals.into_iter().zip(effects).filter_map(|(proposal, effect)| Some((proposal, effect?)));
        // The first that loses nothing Critical.
        let (proposal, effect) = fit.into_iter().find(|(_, effect)| !effect.loses_critical()).unzip();
        all.push(Noisy { measured, proposal, effect });
    }
    Ok(Noise { episodes: episodes.iter().count() as u64, alerts, told: Told::of(&stories), noisy: all })
}

impl Effect {
    fn loses_critical(&self) -> bool {
        self.missed.iter().any(|missed| missed.starts_with("Critical"))
    }
}

/// Of every proposal of every alert, in their order; `None` where the rule does not fit the others.
fn effects(
    source: &mut Source,
    topology: &Topology,
    window: Window,
    noisy: &[(Vec<Proposal>, Measured)],
    stories: &[Story],
    read: &mut dyn FnMut(&Recorded),
) -> Result<Vec<Vec<Option<Effect>>>> {
    let mut players: Vec<Vec<Option<Player>>> = Vec::new();
    for (proposals, _) in noisy {
        let player = |proposal: &Proposal| {
            let changed = propose::with_rules(topology, proposal)?;
            changed.map(|changed| Player::new(&changed, BTreeMap::new(), window)).transpose()
        };
        players.push(proposals.iter().map(player).collect::<Result<_>>()?);
    }
    if players.iter().flatten().flatten().next().is_some() {
        source.each(&recorded::inputs(topology), (window.begin, window.to), &mut |record| {
            read(&record);
            for ((_, measured), players) in noisy.iter().zip(&mut players) {
                if record.key.as_deref() == Some(measured.service.as_bytes()) {
                    players.iter_mut().flatten().try_for_each(|player| player.feed(&record))?;
                }
            }
            Ok(())
        })?;
    }
    let mut all = Vec::new();
    for ((_, measured), players) in noisy.iter().zip(players) {
        let before: Vec<Story> = stories.iter().filter(|story| story.service == measured.service).cloned().collect();
        let before = replay_of(before);
        let effect = |player: Option<Player>| {
            let Some(mut player) = player else { return Ok(None) };
            player.finish()?;
            let after = replay_of(player.stories.told());
            let missed = Diff::of(("now", &before), ("with the rule", &after), window.begin).missed();
            Ok(Some(Effect { before: before.told, after: after.told, missed }))
        };
        all.push(players.into_iter().map(effect).collect::<Result<Vec<_>>>()?);
    }
    Ok(all)
}

fn replay_of(incidents: Vec<Story>) -> Replay {
    let told = Told::of(&incidents);
    Replay {
        topology: String::new(),
        order: "event_time",
        read: super::Totals::default(),
        told,
        incidents,
        episodes: super::Episodes::default(),
    }
}
