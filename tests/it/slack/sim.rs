//! The sink's ledger, its journal, the wire and the stand-in for Slack on a clock that is only counted: a day takes a second, and a
//! seed decides everything.
//!
//! The turn is the worker's: take in, hear answers, choose, commit, call. Calls are on their way for a while, several at a time,
//! and go on when the process dies. Not here: HTTP, Kafka, threads; those are the sink's other tests.

use std::collections::BTreeMap;

use fairlead::embedded::slack::{Control, Reply, Request, Workspace};
use fairlead::event::{SlackAction, SlackOutcome, SlackStatus};
use fairlead::record::{EventTime, Offset, Partition};
use fairlead::sink::slack::call::{Answer, Call, Method};
use fairlead::sink::slack::ledger::{Ledger, Slots, Work};
use serde_json::{Map, Value};

const TOKEN: &str = "xoxb-sim";
const SETTLE_MS: i64 = 10_000;
const CALL_TIMEOUT_MS: i64 = 8_000;
const COMMIT_MS: i64 = 15;
const PARTITIONS: usize = 4;
const CALLS_MAX: usize = 12;
const CALLS_SPARE: usize = 4;
pub const START: EventTime = EventTime(1_700_000_000_000);

/// splitmix64.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    pub fn ms(&mut self, from: i64, to: i64) -> i64 {
        from + self.below((to - from) as u64) as i64
    }
}

/// Where the process may die.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    BeforeIntent,
    AfterIntent,
    /// Some calls of the turn are made, this one is not.
    BeforeCall,
    AfterCall,
    BeforeOutcome,
    AfterOutcome,
}

struct Died;

enum Event {
    /// A call gets to Slack.
    Arrives(Work),
    /// Its answer gets back.
    Returns(Work, Answer),
}

#[derive(Default)]
struct Log {
    actions: Vec<SlackAction>,
    read: usize,
    committed: usize,
    journal: Vec<SlackOutcome>,
}

/// What happened so far.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    pub deaths: BTreeMap<Step, u64>,
    pub reassigned: u64,
    pub calls: BTreeMap<&'static str, u64>,
    pub answers: BTreeMap<&'static str, u64>,
    /// Doubles and given-up roots that the janitor has deleted.
    pub removed: u64,
}

pub struct Sim {
    pub now: EventTime,
    pub workspace: Workspace,
    pub random: Random,
    pub counts: Counts,
    /// Of a thousand occasions to die.
    pub death_per_mille: u64,
    faults_per_mille: u32,
    ledger: Ledger,
    logs: Vec<Log>,
    to_write: Vec<(usize, SlackOutcome)>,
    wire: BTreeMap<(EventTime, u64), (u64, Event)>,
    sent: u64,
    /// Which process it is; answers to an earlier one's calls are heard by nobody.
    process: u64,
    in_flight: usize,
    /// When each action's message was first at Slack.
    pub shown_at: BTreeMap<String, EventTime>,
}

impl Sim {
    pub fn new(seed: u64, channels: &[String]) -> Self {
        let channels: Vec<_> = channels.iter().map(String::as_str).collect();
        let mut sim = Self {
            now: START,
            workspace: Workspace::new(TOKEN, &channels),
            random: Random(seed),
            counts: Counts::default(),
            death_per_mille: 0,
            faults_per_mille: 0,
            ledger: Ledger::new(SETTLE_MS),
            logs: (0..PARTITIONS).map(|_| Log::default()).collect(),
            to_write: Vec::new(),
            wire: BTreeMap::new(),
            sent: 0,
            process: 0,
            in_flight: 0,
            shown_at: BTreeMap::new(),
        };
        (0..PARTITIONS).for_each(|partition| sim.assign(partition));
        sim
    }

    pub fn tell(&mut self, action: SlackAction) {
        let hash =
            action.incident_id.bytes().fold(0usize, |hash, byte| hash.wrapping_mul(31).wrapping_add(byte.into()));
        self.logs[hash % PARTITIONS].actions.push(action);
    }

    pub fn weather(&mut self, per_mille: u32) {
        self.faults_per_mille = per_mille;
        self.set_weather(per_mille, self.now);
    }

    fn set_weather(&mut self, per_mille: u32, now: EventTime) {
        let seed = self.random.below(u64::MAX);
        self.workspace.control(Control::Weather { seed, per_mille }, now.0).expect("there is always some weather");
    }

    pub fn actions(&self) -> impl Iterator<Item = &SlackAction> {
        self.logs.iter().flat_map(|log| &log.actions)
    }

    pub fn journal(&self) -> impl Iterator<Item = &SlackOutcome> {
        self.logs.iter().flat_map(|log| &log.journal)
    }

    /// What was noted of an incident and what happened to it, by the second.
    pub fn history(&self, incident: &str) -> String {
        let of_incident = |text: &str| text.split([' ', '-']).next() == Some(incident);
        let noted = self.journal().filter(|outcome| outcome.incident_id == incident).map(|outcome| {
            let SlackOutcome { action_id, status, attempt, ts, thread_ts, error, .. } = outcome;
            (outcome.at_ms, format!("{status:?} {action_id} #{attempt} {ts:?} in {thread_ts:?} {error:?}"))
        });
        let happened = self.workspace.events().filter(|event| of_incident(&event.text));
        let happened = happened.map(|event| (event.at_ms, format!("    {:?} {} {}", event.kind, event.ts, event.text)));
        let mut all: Vec<_> = noted.chain(happened).collect();
        all.sort_by_key(|(at, _)| *at);
        all.iter().map(|(at, what)| format!("{:9.2} {what}\n", (at - START.0) as f64 / 1_000.0)).collect()
    }

    /// Actions without an outcome.
    pub fn unfinished(&self) -> usize {
        self.logs.iter().map(|log| log.actions.len() - log.committed).sum()
    }

    /// Until then, or until nothing is left to do.
    pub fn run(&mut self, until: Option<EventTime>) {
        loop {
            if self.turn().is_err() {
                self.start_anew();
                continue;
            }
            let wake = self.ledger.wake_at(self.now).filter(|_| self.in_flight < CALLS_MAX);
            let next = self.wire.keys().next().map(|(at, _)| *at).into_iter().chain(wake).min();
            match (next, until) {
                (Some(next), Some(until)) if next > until => break,
                (Some(next), _) => self.now = self.now.max(next),
                (None, _) => break,
            }
        }
        self.now = until.map_or(self.now, |until| self.now.max(until));
    }

    fn turn(&mut self) -> Result<(), Died> {
        self.take_in();
        self.hear();
        for (key, offset) in self.ledger.missing(self.now) {
            let log = &self.logs[key.partition.0 as usize];
            self.ledger.supply(&key, offset, log.actions.get(offset.0 as usize).cloned(), self.now);
        }
        let slots = Slots { free: CALLS_MAX - self.in_flight, spare: CALLS_SPARE };
        let chosen = self.ledger.choose(slots, self.now);
        self.commit(&chosen)?;
        for work in chosen {
            self.may_die(Step::BeforeCall)?;
            self.in_flight += 1;
            let at = self.now.plus_ms(self.random.ms(20, 150));
            self.send(at, Event::Arrives(work));
            self.may_die(Step::AfterCall)?;
        }
        Ok(())
    }

    fn take_in(&mut self) {
        for (number, log) in self.logs.iter_mut().enumerate() {
            let partition = Partition(number as i32);
            for (offset, action) in log.actions.iter().enumerate().skip(log.read) {
                let superseded = self.ledger.accept(partition, Offset(offset as i64), action.clone(), self.now);
                self.to_write.extend(superseded.map(|outcome| (number, outcome)));
            }
            log.read = log.actions.len();
        }
    }

    /// What has happened on the wire, in order.
    fn hear(&mut self) {
        while let Some(entry) = self.wire.first_entry().filter(|entry| entry.key().0 <= self.now) {
            let ((at, _), (process, event)) = entry.remove_entry();
            match event {
                Event::Arrives(work) => self.arrives(at, process, work),
                Event::Returns(..) if process != self.process => {}
                Event::Returns(work, answer) => {
                    self.in_flight -= 1;
                    *self.counts.answers.entry(kind(&answer)).or_default() += 1;
                    let outcome = self.ledger.answered(&work, answer, self.now);
                    self.to_write.extend(outcome.map(|outcome| (work.key.partition.0 as usize, outcome)));
                }
            }
        }
    }

    fn arrives(&mut self, at: EventTime, process: u64, work: Work) {
        let method = work.call.method();
        *self.counts.calls.entry(method.name()).or_default() += 1;
        let arguments: Map<String, Value> = match work.call.body() {
            Some(Value::Object(body)) => body,
            _ => work.call.query().into_iter().map(|(name, value)| (name.to_owned(), Value::String(value))).collect(),
        };
        let request = Request { token: Some(TOKEN), method: method.name(), arguments: &arguments };
        let back = at.plus_ms(self.random.ms(20, 150));
        // If a dead one's late call brought a person to delete the root, nobody could know, and nothing more may be to be told.
        let of_the_dead = process != self.process && self.faults_per_mille > 0;
        if of_the_dead {
            self.set_weather(0, at);
        }
        let reply = self.workspace.serve(request, at.0);
        if of_the_dead {
            self.set_weather(self.faults_per_mille, at);
        }
        let (answer, back) = match reply {
            Reply::Answer { status, retry_after_s, body } => {
                (work.call.answer(status, retry_after_s, body.to_string().as_bytes()), back)
            }
            Reply::Drop => (Answer::Unknown("reset".to_owned()), back),
            Reply::Hang => (Answer::Unknown("timeout".to_owned()), at.plus_ms(CALL_TIMEOUT_MS)),
        };
        if let (Call::Post { action_id, .. }, Answer::Message(_)) = (&work.call, &answer) {
            self.shown_at.entry(action_id.clone()).or_insert(at);
        }
        if method == Method::Delete && matches!(answer, Answer::Message(_)) {
            self.counts.removed += 1;
        }
        self.sent += 1;
        self.wire.insert((back, self.sent), (process, Event::Returns(work, answer)));
    }

    fn send(&mut self, at: EventTime, event: Event) {
        self.sent += 1;
        self.wire.insert((at, self.sent), (self.process, event));
    }

    /// One transaction: outcomes, intents and offsets.
    fn commit(&mut self, chosen: &[Work]) -> Result<(), Died> {
        let intents = chosen.iter().any(|work| work.intent.is_some());
        let outcomes = self.to_write.iter().any(|(_, outcome)| outcome.status != SlackStatus::Superseded);
        let both = [(intents, Step::BeforeIntent), (outcomes, Step::BeforeOutcome)];
        both.into_iter().filter(|(is, _)| *is).try_for_each(|(_, step)| self.may_die(step))?;
        for (number, outcome) in std::mem::take(&mut self.to_write) {
            self.logs[number].journal.push(outcome);
        }
        for work in chosen {
            self.logs[work.key.partition.0 as usize].journal.extend(work.intent.clone());
        }
        for (number, log) in self.logs.iter_mut().enumerate() {
            let committable = self.ledger.committable(Partition(number as i32));
            log.committed = committable.expect("every partition is assigned").0 as usize;
        }
        if intents || outcomes {
            self.now = self.now.plus_ms(COMMIT_MS);
        }
        let both = [(intents, Step::AfterIntent), (outcomes, Step::AfterOutcome)];
        both.into_iter().filter(|(is, _)| *is).try_for_each(|(_, step)| self.may_die(step))
    }

    fn may_die(&mut self, step: Step) -> Result<(), Died> {
        if self.random.below(1_000) >= self.death_per_mille {
            return Ok(());
        }
        *self.counts.deaths.entry(step).or_default() += 1;
        Err(Died)
    }

    /// Another process takes over, at once or after a while. What is on the wire may get lost, or come much later.
    fn start_anew(&mut self) {
        for (at, number) in self.wire.keys().copied().collect::<Vec<_>>() {
            match self.random.below(4) {
                0 => drop(self.wire.remove(&(at, number))),
                1 => {
                    if let Some(event) = self.wire.remove(&(at, number)) {
                        self.wire.insert((at.plus_ms(self.random.ms(0, 60_000)), number), event);
                    }
                }
                _ => {}
            }
        }
        let pause_ms = if self.random.below(4) == 0 { 45_000 } else { 2_000 };
        self.now = self.now.plus_ms(self.random.ms(10, pause_ms));
        self.process += 1;
        self.in_flight = 0;
        self.to_write.clear();
        self.ledger = Ledger::new(SETTLE_MS);
        (0..PARTITIONS).for_each(|partition| self.assign(partition));
    }

    /// A partition goes and comes back; answers to its calls find nobody.
    pub fn reassign(&mut self) {
        let partition = self.random.below(PARTITIONS as u64) as usize;
        self.counts.reassigned += 1;
        self.to_write.retain(|(number, _)| *number != partition);
        self.assign(partition);
    }

    fn assign(&mut self, number: usize) {
        let (partition, log) = (Partition(number as i32), &mut self.logs[number]);
        self.ledger.open(partition, Offset(log.committed as i64));
        log.journal.iter().for_each(|outcome| self.ledger.restore(partition, outcome));
        log.read = log.committed;
    }
}

fn kind(answer: &Answer) -> &'static str {
    match answer {
        Answer::Message(_) | Answer::Channel(_) | Answer::Set | Answer::More { .. } | Answer::Missing => "ok",
        Answer::Rejected(_) => "rejected",
        Answer::NotSent(_) => "not sent",
        Answer::RateLimited { .. } => "rate limited",
        Answer::Unknown(_) => "unknown",
    }
}
