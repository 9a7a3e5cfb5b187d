//! The noise report for people at a terminal.

use std::fmt::Write;

use super::measure::{BACK_MS, SOON_MS};
use super::{Effect, Noise, Noisy};
use crate::event::Mention;
use crate::event::words::span;
use crate::replay::text::{level_word, time};
use crate::replay::{Told, Window};

const MISSED_SHOWN: usize = 5;

impl Noise {
    pub fn text(&self, window: &Window) -> String {
        let Told { incidents, mentions, .. } = self.told;
        let mut out = format!(
            "from {} to {}: {} alerts in {} episodes; {incidents} incidents, {} messages, {mentions} mentions\n",
            time(window.from.0),
            time(window.to.0),
            self.alerts,
            self.episodes,
            self.told.messages(),
        );
        out += "acted on: acknowledged, assigned, an action run, or the service deployed or rolled back while the alert fired\n";
        if self.noisy.is_empty() {
            out += "\nno alert was given a level: nothing to report\n";
        }
        (1..).zip(&self.noisy).for_each(|(number, noisy)| one(&mut out, number, noisy));
        out
    }
}

fn one(out: &mut String, number: usize, noisy: &Noisy) {
    let measured = &noisy.measured;
    let mention = match measured.mention {
        Mention::Nobody => "mentions nobody",
        Mention::Owner => "mentions the owner",
        Mention::Sre => "mentions SRE",
        Mention::Here => "mentions all who are active in the channel",
        Mention::Channel => "mentions the whole channel",
    };
    _ = writeln!(
        out,
        "\n{number}. {} of {}: told {}× in {} episodes, at worst {}, {mention}",
        measured.alert,
        measured.service,
        measured.told,
        measured.episodes,
        level_word(measured.worst)
    );
    _ = writeln!(
        out,
        "   ended within {}: {}, came back within {}: {}, end never told: {}, acted on: {}",
        span(SOON_MS),
        measured.ended_soon,
        span(BACK_MS),
        measured.came_back,
        measured.open,
        measured.acted_on
    );
    _ = writeln!(
        out,
        "   took part in {} incidents with {} messages and {} mentions",
        measured.incidents, measured.messages, measured.mentions
    );
    match (&noisy.proposal, &noisy.effect) {
        (Some(proposal), Some(effect)) => {
            _ = writeln!(out, "   proposed: {}; before the other rules of the level operator:", proposal.what);
            *out += &proposal.yaml;
            replayed(out, effect, &measured.service);
        }
        _ => *out += "   nothing to propose\n",
    }
}

fn replayed(out: &mut String, effect: &Effect, service: &str) {
    let Effect { before, after, missed } = effect;
    _ = writeln!(
        out,
        "   replayed, of {service}: incidents {} to {}, messages {} to {}, mentions {} to {}",
        before.incidents,
        after.incidents,
        before.messages(),
        after.messages(),
        before.mentions,
        after.mentions
    );
    if missed.is_empty() {
        *out += "   nothing Critical and no mention would have been missed\n";
    }
    for missed in missed.iter().take(MISSED_SHOWN) {
        _ = writeln!(out, "   would have been missed: {missed}");
    }
    if missed.len() > MISSED_SHOWN {
        _ = writeln!(out, "   …and {} more (--output json has them)", missed.len() - MISSED_SHOWN);
    }
}
