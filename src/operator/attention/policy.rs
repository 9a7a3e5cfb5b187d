//! Whom a change of an incident may wake once people have a hand in it: the one place where that is decided, and the proof that an
//! escalation chain cannot wake anybody else.
//!
//! What alerts ask for was given by the rules of levels, under a law of their own. New here are the end of a mute, which asks for what
//! the alerts asked for, and the chain. All of it that is finite is walked with the very function that decides.

use serde::Deserialize;

use super::Attend;
use super::memory::Known;
use crate::event::words::span;
use crate::event::{IncidentChange, IncidentState, Level, Mention};
use crate::record::EventTime;

/// One step of the escalation chain.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Since it opened, or since people are told of it again.
    pub after_secs: u32,
    pub mention: Mention,
}

/// How an incident stands, as far as that decides whom a change of it wakes.
#[derive(Clone, Copy, Debug)]
pub struct Standing {
    pub state: IncidentState,
    pub level: Level,
    pub muted: bool,
    pub acknowledged: bool,
}

/// What is muted, low or resolved wakes nobody; who has it in hand is woken only when it gets worse or comes back.
pub fn mention(change: IncidentChange, standing: Standing, asked: Mention) -> Mention {
    let Standing { state, level, muted, acknowledged } = standing;
    if muted || level == Level::Low || state == IncidentState::Resolved {
        return Mention::Nobody;
    }
    match change {
        IncidentChange::Opened | IncidentChange::Escalated | IncidentChange::Reopened => asked,
        IncidentChange::Unmuted | IncidentChange::Unattended if !acknowledged => asked,
        _ => Mention::Nobody,
    }
}

impl Known {
    pub fn standing(&self) -> Standing {
        Standing {
            state: self.snapshot.state,
            level: self.snapshot.level,
            muted: self.is_muted(),
            acknowledged: self.is_acknowledged(),
        }
    }
}

/// How many ways lead through the chain of a configuration, and how many of them to a mention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ways {
    pub all: usize,
    pub waking: usize,
}

const LEVELS: [Level; 4] = [Level::Low, Level::Medium, Level::High, Level::Critical];
const STATES: [IncidentState; 2] = [IncidentState::Open, IncidentState::Resolved];

impl Attend {
    /// When the next step is due, unless somebody has it in hand.
    pub fn next_step_at(&self, known: &Known) -> Option<EventTime> {
        self.steps(known).next().map(|(due, _)| due)
    }

    /// Those that are due, in their order: several if they came due while all alerts had ended.
    pub fn steps_due(&self, known: &Known, at: EventTime) -> Vec<&Step> {
        self.steps(known).take_while(|(due, _)| *due <= at).map(|(_, step)| step).collect()
    }

    fn steps(&self, known: &Known) -> impl Iterator<Item = (EventTime, &Step)> {
        let waits = self.climbs(known.standing()) && !known.has_ended();
        let taken = if waits { usize::try_from(known.steps).unwrap_or(usize::MAX) } else { usize::MAX };
        let (since, resumed) = (EventTime(known.waits_since_ms), EventTime(known.resumed_at_ms));
        // What came due while all had ended is due once one fires again.
        let due = move |step: &Step| since.plus_ms(i64::from(step.after_secs) * 1_000).max(resumed);
        self.escalation.iter().skip(taken).map(move |step| (due(step), step))
    }

    fn climbs(&self, standing: Standing) -> bool {
        let Standing { state, level, muted, acknowledged } = standing;
        state == IncidentState::Open && !muted && !acknowledged && level >= self.escalation_level_at_least
    }

    /// Nobody took it in hand in time. Several steps at once are one telling, of whom the widest of them wakes.
    pub fn unattended(known: &Known, steps: &[&Step], at: EventTime) -> Known {
        let mut next = known.anew();
        next.steps = next.steps.saturating_add(i32::try_from(steps.len()).unwrap_or(i32::MAX));
        next.judged_at_ms = next.judged_at_ms.max(at.0);
        let waited = span(at.since_ms(EventTime(known.waits_since_ms)));
        let widest = steps.iter().map(|step| step.mention).max().unwrap_or_default();
        let told = match widest {
            Mention::Nobody => "nobody",
            Mention::Owner => "the owner",
            Mention::Sre => "SRE",
            Mention::Here => "who is here",
            Mention::Channel => "the channel",
        };
        next.log(&format!("nobody had it in hand for {waited}: told {told}"), at);
        let attention = next.attention_mut();
        attention.escalations = attention.escalations.saturating_add(1);
        next.snapshot.mention = mention(IncidentChange::Unattended, next.standing(), widest);
        next.told(IncidentChange::Unattended, at)
    }

    /// Every way was walked: of a configuration without problems none that wakes begins at what is low, resolved, muted, or in hand.
    pub fn mention_ways(&self) -> Ways {
        let mut ways = Ways { all: 0, waking: 0 };
        self.walk(|_, standing, mention| {
            ways.all += 1;
            ways.waking += usize::from(self.climbs(standing) && mention != Mention::Nobody);
        });
        ways
    }

    fn walk(&self, mut visit: impl FnMut(&Step, Standing, Mention)) {
        for step in &self.escalation {
            for state in STATES {
                for level in LEVELS {
                    for (muted, acknowledged) in [(false, false), (false, true), (true, false), (true, true)] {
                        let standing = Standing { state, level, muted, acknowledged };
                        visit(step, standing, mention(IncidentChange::Unattended, standing, step.mention));
                    }
                }
            }
        }
    }

    pub fn chain_problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.escalation_level_at_least == Level::Low {
            problems
                .push("escalation_level_at_least: level low never mentions: say medium, high or critical".to_owned());
        }
        for (at, step) in self.escalation.iter().enumerate() {
            let before = at.checked_sub(1).map_or(0, |before| self.escalation[before].after_secs);
            if step.after_secs <= before {
                let later = "must be later than the step before it, and than the opening";
                problems.push(format!("escalation[{at}].after_secs: {later}"));
            }
            if step.mention == Mention::Nobody {
                problems.push(format!("escalation[{at}].mention: a step that tells nobody is none: leave it out"));
            }
        }
        self.walk(|_, standing, mention| {
            let silent = standing.muted
                || standing.acknowledged
                || standing.level == Level::Low
                || standing.state == IncidentState::Resolved;
            if silent && mention != Mention::Nobody {
                problems.push(format!("escalation: would mention {mention:?} though it is {standing:?}"));
            }
        });
        problems
    }
}
