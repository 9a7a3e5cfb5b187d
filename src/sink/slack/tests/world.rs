//! The ledger's surroundings in a test: the stand-in's workspace, a journal, a topic of actions, a clock and a fuse.

use serde_json::{Map, Value};

use crate::embedded::slack::workspace::EventKind;
use crate::embedded::slack::{Control, Fault, Reply, Request, Workspace};
use crate::event::{Level, SlackAction, SlackActionKind, SlackOutcome, SlackStatus};
use crate::record::{EventTime, Offset, Partition};
use crate::sink::slack::call::{Answer, Call};
use crate::sink::slack::ledger::{Ledger, Slots};

const TOKEN: &str = "xoxb-test";
pub const SETTLE_MS: i64 = 10_000;
const TIMEOUT_MS: i64 = 8_000;
const PARTITION: Partition = Partition(0);

/// The sink's surroundings: what survives its death is outside of `ledger`.
pub struct World {
    pub workspace: Workspace,
    pub ledger: Ledger,
    pub actions: Vec<SlackAction>,
    read: usize,
    pub journal: Vec<SlackOutcome>,
    pub committed: Offset,
    pub now: EventTime,
    /// What the topic of actions has lost since: everything before.
    pub forgotten: Offset,
    /// How many steps are left until the sink is killed.
    pub fuse: Option<u32>,
}

/// The process died at a step.
#[derive(Debug)]
pub struct Killed;

impl World {
    pub fn new() -> Self {
        let mut world = Self {
            workspace: Workspace::new(TOKEN, &["oncall", "payments"]),
            ledger: Ledger::new(SETTLE_MS),
            actions: Vec::new(),
            read: 0,
            journal: Vec::new(),
            committed: Offset(0),
            now: EventTime(1_700_000_000_000),
            forgotten: Offset(0),
            fuse: None,
        };
        world.restart();
        world
    }

    pub fn restart(&mut self) {
        self.ledger = Ledger::new(SETTLE_MS);
        self.ledger.open(PARTITION, self.committed);
        self.journal.iter().for_each(|outcome| self.ledger.restore(PARTITION, outcome));
        self.read = usize::try_from(self.committed.0).unwrap();
    }

    pub fn arm(&mut self, method: &str, fault: Fault) {
        self.workspace.control(Control::Arm { method: method.into(), times: 1, fault }, self.now.0).unwrap();
    }

    /// A point at which the process may die.
    fn step(&mut self) -> Result<(), Killed> {
        match &mut self.fuse {
            Some(0) => {
                self.fuse = None;
                Err(Killed)
            }
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    pub fn take_in(&mut self) -> Result<(), Killed> {
        while self.read < self.actions.len() {
            let offset = Offset(i64::try_from(self.read).unwrap());
            let superseded = self.ledger.accept(PARTITION, offset, self.actions[self.read].clone(), self.now);
            self.read += 1;
            self.journal.extend(superseded);
        }
        self.committed = self.ledger.committable(PARTITION).unwrap();
        self.step()
    }

    /// No longer than so many milliseconds, if nobody kills it before.
    pub fn run_for(&mut self, ms: i64) {
        let until = self.now.plus_ms(ms);
        assert!(self.run_until(Some(until)).is_ok());
        self.now = self.now.max(until);
    }

    pub fn run_until_killed(&mut self) -> Result<(), Killed> {
        self.run_until(None)
    }

    fn run_until(&mut self, until: Option<EventTime>) -> Result<(), Killed> {
        for _ in 0..10_000 {
            self.take_in()?;
            for (key, offset) in self.ledger.missing(self.now) {
                let place = usize::try_from(offset.0).ok().filter(|_| offset >= self.forgotten);
                let action = place.and_then(|place| self.actions.get(place).cloned());
                self.ledger.supply(&key, offset, action, self.now);
            }
            let Some(work) = self.ledger.choose(Slots { free: 1, spare: 0 }, self.now).pop() else {
                match self.ledger.wake_at(self.now) {
                    Some(at) if until.is_none_or(|until| at <= until) => self.now = at.max(self.now.plus_ms(1)),
                    _ => return Ok(()),
                }
                continue;
            };
            self.step()?;
            self.journal.extend(work.intent.clone());
            self.step()?;
            let answer = self.make(&work.call);
            self.step()?;
            let outcome = self.ledger.answered(&work, answer, self.now);
            self.journal.extend(outcome);
            self.committed = self.ledger.committable(PARTITION).unwrap();
            self.step()?;
        }
        panic!("the sink does not come to rest");
    }

    pub fn run(&mut self) {
        while self.run_until_killed().is_err() {
            self.restart();
        }
    }

    fn make(&mut self, call: &Call) -> Answer {
        let arguments: Map<String, Value> = match call.body() {
            Some(Value::Object(body)) => body,
            _ => call.query().into_iter().map(|(name, value)| (name.to_owned(), Value::String(value))).collect(),
        };
        let request = Request { token: Some(TOKEN), method: call.method().name(), arguments: &arguments };
        self.now = self.now.plus_ms(50);
        match self.workspace.serve(request, self.now.0) {
            Reply::Answer { status, retry_after_s, body } => {
                call.answer(status, retry_after_s, body.to_string().as_bytes())
            }
            Reply::Drop => Answer::Unknown("reset".into()),
            Reply::Hang => {
                self.now = self.now.plus_ms(TIMEOUT_MS);
                Answer::Unknown("timeout".into())
            }
        }
    }

    pub fn tell(&mut self, kind: SlackActionKind, version: i32) -> usize {
        self.tell_of("inc", kind, version, false)
    }

    pub fn tell_of(&mut self, incident: &str, kind: SlackActionKind, version: i32, terminal: bool) -> usize {
        let spelled = match kind {
            SlackActionKind::PostRoot | SlackActionKind::UpdateRoot => "root",
            SlackActionKind::Reply => "reply",
            SlackActionKind::Log => "log",
            SlackActionKind::SetGroup => "group",
        };
        self.actions.push(SlackAction {
            id: format!("{incident}/{version}/{kind:?}"),
            incident_id: incident.into(),
            version,
            kind,
            channel: "#oncall".into(),
            level: Level::High,
            text: format!("{incident} {spelled} {version}"),
            blocks: r#"[{"type":"divider"}]"#.into(),
            terminal,
            broadcast: kind == SlackActionKind::Reply && version % 2 == 0,
            created_at_ms: self.now.0,
            users: Vec::new(),
        });
        self.actions.len() - 1
    }

    pub fn statuses(&self, action: usize) -> Vec<SlackStatus> {
        let id = &self.actions[action].id;
        self.journal.iter().filter(|outcome| outcome.action_id == *id).map(|outcome| outcome.status).collect()
    }

    /// What stands at top level in the channel, and how many replies each has.
    pub fn roots(&mut self) -> Vec<(String, usize)> {
        let messages = self.workspace.messages("oncall", self.now.0);
        let roots = messages.iter().filter(|(_, message)| message.thread.is_none());
        roots
            .map(|(ts, root)| {
                let replies = messages.iter().filter(|(_, message)| message.thread == Some(*ts)).count();
                (root.text.clone(), replies)
            })
            .collect()
    }

    /// The logs of an incident that stand in a thread whose root is there.
    pub fn logs(&mut self, incident: &str) -> Vec<String> {
        let messages = self.workspace.messages("oncall", self.now.0);
        let there = |ts| messages.iter().any(|(other, _)| *other == ts);
        let logs = messages.iter().filter(|(_, message)| message.thread.is_some_and(there));
        let logs = logs.map(|(_, message)| message.text.clone());
        logs.filter(|text| text.starts_with(&format!("{incident} log "))).collect()
    }

    pub fn posted(&mut self, text: &str) -> usize {
        self.workspace.events().filter(|event| event.kind == EventKind::Posted && event.text == text).count()
    }
}
