//! What happens when: computed from a seed and a duration, and from nothing else, so that a seed repeats a run.
//!
//! Rounds follow each other. A round begins one or two disturbances, holds them for some seconds, ends them, and then all that had been
//! sent must be committed: so whatever is begun together is over before the next, and nothing is held for longer than can be awaited.
//! Kinds are drawn like cards: none comes again before all have come. The broker is taken away as soon as it may be again: a member that
//! its group takes for its own twin after an outage joins anew once a minute only (`src/log/kafka/mod.rs`).

use std::fmt;

use serde::Serialize;

use crate::harness::load::Random;

/// A process, by its `engine.instance`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Member {
    /// Never ends: its memory is what is measured.
    A,
    /// Is killed, and has the small disk.
    B,
    /// Comes and goes.
    C,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disturbance {
    Kill(Member),
    Pause(Member),
    Join,
    Leave,
    StopBroker,
    KillBroker,
    /// Of member B, which is killed and finds it so when it starts again.
    FullDisk,
    /// From now on a process's wall clock is so many seconds ahead, or behind if negative.
    Clock(Member, i64),
}

impl fmt::Display for Disturbance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(member) = self.member() {
            write!(f, "{}: ", member.name())?;
        }
        f.write_str(self.kind().words())?;
        if let Disturbance::Clock(_, seconds) = self {
            write!(f, ", now {seconds:+} s")?;
        }
        Ok(())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    ProcessKilled,
    ProcessPaused,
    MemberJoins,
    MemberLeaves,
    BrokerStopped,
    BrokerKilled,
    DiskFull,
    ClockForward,
    ClockBack,
}

impl Kind {
    pub fn words(self) -> &'static str {
        match self {
            Kind::ProcessKilled => "process killed",
            Kind::ProcessPaused => "process paused",
            Kind::MemberJoins => "member joins",
            Kind::MemberLeaves => "member leaves",
            Kind::BrokerStopped => "broker stopped",
            Kind::BrokerKilled => "broker killed",
            Kind::DiskFull => "disk full",
            Kind::ClockForward => "clock forward",
            Kind::ClockBack => "clock back",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Round {
    /// Not before this second of the run.
    pub at_secs: u64,
    pub held_secs: u64,
    pub disturbances: Vec<Disturbance>,
}

impl Member {
    pub fn name(self) -> &'static str {
        match self {
            Member::A => "a",
            Member::B => "b",
            Member::C => "c",
        }
    }
}

impl Disturbance {
    pub fn kind(self) -> Kind {
        match self {
            Disturbance::Kill(_) => Kind::ProcessKilled,
            Disturbance::Pause(_) => Kind::ProcessPaused,
            Disturbance::Join => Kind::MemberJoins,
            Disturbance::Leave => Kind::MemberLeaves,
            Disturbance::StopBroker => Kind::BrokerStopped,
            Disturbance::KillBroker => Kind::BrokerKilled,
            Disturbance::FullDisk => Kind::DiskFull,
            Disturbance::Clock(_, 1..) => Kind::ClockForward,
            Disturbance::Clock(..) => Kind::ClockBack,
        }
    }

    /// Whom it meets, if not all.
    pub fn member(self) -> Option<Member> {
        match self {
            Disturbance::Kill(member) | Disturbance::Pause(member) | Disturbance::Clock(member, _) => Some(member),
            Disturbance::Join | Disturbance::Leave => Some(Member::C),
            Disturbance::FullDisk => Some(Member::B),
            Disturbance::StopBroker | Disturbance::KillBroker => None,
        }
    }
}

/// Two of the guest, which comes, then goes; two of clocks, which go forward, then back.
const CARDS: [Card; 9] = [
    Card::Kill,
    Card::Pause,
    Card::Guest,
    Card::Guest,
    Card::StopBroker,
    Card::KillBroker,
    Card::FullDisk,
    Card::Clock,
    Card::Clock,
];

#[derive(Clone, Copy, PartialEq)]
enum Card {
    Kill,
    Pause,
    Guest,
    StopBroker,
    KillBroker,
    FullDisk,
    Clock,
}

/// Longer than a session of four seconds, and some longer than the ten that a transaction may take.
const PAUSE_SECS: (u64, u64) = (5, 11);
const AWAY_SECS: (u64, u64) = (0, 6);
const CLOCK_SECS: (u64, u64) = (60, 600);
/// What a round takes beyond the time for which it is held: rebalances, and the start of a broker.
const ROUND_SECS: u64 = 4;
const BROKER_SECS: u64 = 16;
const BROKER_APART_SECS: u64 = 60;

pub fn plan(seed: u64, duration_secs: u64) -> Vec<Round> {
    let mut dealer = Dealer { random: Random(seed), cards: Vec::new(), guest: false, ahead: None, broker_from_secs: 0 };
    let (mut rounds, mut at_secs) = (Vec::new(), 3);
    loop {
        let Some((disturbances, held_secs)) = dealer.deal(at_secs) else {
            at_secs = dealer.broker_from_secs;
            continue;
        };
        let mut until = at_secs + held_secs + ROUND_SECS;
        if disturbances.iter().any(|one| matches!(one, Disturbance::StopBroker | Disturbance::KillBroker)) {
            until += BROKER_SECS;
            dealer.broker_from_secs = until + BROKER_APART_SECS;
        }
        if until > duration_secs {
            return rounds;
        }
        rounds.push(Round { at_secs, held_secs, disturbances });
        at_secs = until;
    }
}

struct Dealer {
    random: Random,
    cards: Vec<Card>,
    /// Whether member C is there.
    guest: bool,
    /// Whose clock went forward last.
    ahead: Option<Member>,
    broker_from_secs: u64,
}

impl Dealer {
    /// What is done together, and for how long; nothing if only the broker is left and may not go yet.
    fn deal(&mut self, at_secs: u64) -> Option<(Vec<Disturbance>, u64)> {
        if self.cards.is_empty() {
            self.cards = CARDS.to_vec();
        }
        let of_broker = |at: &usize| matches!(self.cards[*at], Card::StopBroker | Card::KillBroker);
        let (brokers, others): (Vec<_>, Vec<_>) = (0..self.cards.len()).partition(of_broker);
        let drawn = if at_secs >= self.broker_from_secs && !brokers.is_empty() { brokers } else { others };
        if drawn.is_empty() {
            return None;
        }
        let drawn = drawn[self.random.below(drawn.len() as u64) as usize];
        let card = self.cards.swap_remove(drawn);
        let first = self.disturbance(card);
        let mut all = vec![first];
        // A full disk is waited for until it is told, which nothing else is to hinder; and the guest leaves politely.
        if !matches!(first, Disturbance::FullDisk | Disturbance::Leave) && self.random.below(3) == 0 {
            let companion = if self.random.below(2) == 0 { Card::Kill } else { Card::Pause };
            all.extend(Some(self.disturbance(companion)).filter(|other| other.member() != first.member()));
        }
        let held_secs = all.iter().map(|one| self.held_secs(*one)).max().unwrap_or_default();
        Some((all, held_secs))
    }

    fn disturbance(&mut self, card: Card) -> Disturbance {
        match card {
            Card::Kill if self.guest && self.random.below(3) == 0 => Disturbance::Kill(Member::C),
            Card::Kill => Disturbance::Kill(Member::B),
            Card::Pause => Disturbance::Pause(self.any_of_two()),
            Card::Guest => {
                self.guest = !self.guest;
                if self.guest { Disturbance::Join } else { Disturbance::Leave }
            }
            Card::StopBroker => Disturbance::StopBroker,
            Card::KillBroker => Disturbance::KillBroker,
            Card::FullDisk => Disturbance::FullDisk,
            Card::Clock => {
                let secs = self.between(CLOCK_SECS) as i64;
                match self.ahead.take() {
                    Some(member) => Disturbance::Clock(member, -secs),
                    None => {
                        let member = self.any_of_two();
                        self.ahead = Some(member);
                        Disturbance::Clock(member, secs)
                    }
                }
            }
        }
    }

    fn any_of_two(&mut self) -> Member {
        if self.random.below(2) == 0 { Member::A } else { Member::B }
    }

    fn held_secs(&mut self, disturbance: Disturbance) -> u64 {
        match disturbance {
            Disturbance::Pause(_) => self.between(PAUSE_SECS),
            Disturbance::Kill(_) | Disturbance::StopBroker | Disturbance::KillBroker => self.between(AWAY_SECS),
            Disturbance::FullDisk => 2,
            Disturbance::Join | Disturbance::Leave | Disturbance::Clock(..) => 0,
        }
    }

    fn between(&mut self, (least, most): (u64, u64)) -> u64 {
        least + self.random.below(most - least + 1)
    }
}
