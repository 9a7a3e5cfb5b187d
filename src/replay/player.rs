//! Runs a topology over recorded records, and listens to all that it says.
//!
//! Beside its topics it listens to the ports that carry alerts, routed or not: there stands which rule decided. A topic that operators
//! write and others read is fed with what the replay itself wrote on it, but for how runs of actions ended, which only their record
//! tells; where the journal is followed, with what lies recorded on it.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, anyhow};

use super::episode::Episodes;
use super::recorded::{self, Recorded, Topics, Value};
use super::story::Stories;
use super::task::{Task, Waiting};
use super::{Totals, Window};
use crate::codec::Formats;
use crate::event::{Fact, FactKind, RunStatus};
use crate::operator::dependents::Dependents;
use crate::record::{EventTime, NewRecord, Offset, Partition, Topic};
use crate::route;
use crate::topology::driver::{FollowedTask, partition};
use crate::topology::engine::{Effects, Route};
use crate::topology::journal::{Journal, TaskId};
use crate::topology::plan::{SubTopologyPlan, Topology};

/// Records between two looks at the deadlines of all tasks.
const PIECE_RECORDS: usize = 4_000;
/// What operators tell each other comes to rest long before.
const ROUNDS_MAX: usize = 100;

pub struct Player {
    plans: BTreeMap<String, SubTopologyPlan>,
    /// Names of sub-topologies: who writes before who reads.
    order: Vec<String>,
    formats: Formats,
    tasks: BTreeMap<TaskId, Task>,
    inputs: Topics,
    /// Of these what the operators tell each other.
    own: BTreeSet<Topic>,
    /// Records between two looks at the deadlines of all tasks.
    piece_records: usize,
    /// Which facts are listened to; the ports of alerts, and whether what they say goes nowhere.
    heard: BTreeMap<Topic, FactKind>,
    dropped: BTreeSet<Topic>,
    window: Window,
    now: EventTime,
    fed: usize,
    /// Whether the tasks repeat the commits of a journal.
    pub follows_journal: bool,
    pub stories: Stories,
    pub episodes: Episodes,
    pub totals: Totals,
}

impl Player {
    /// `journals`: what the live application committed; followed if all of it was made by this very topology.
    pub fn new(topology: &Topology, mut journals: BTreeMap<TaskId, Vec<Journal>>, window: Window) -> Result<Self> {
        let (formats, states) = topology.shipped_formats()?;
        let mut plans = topology.sub_topologies.clone();
        let dropped = plans.values_mut().flat_map(listen_to_alerts).collect();
        let (inputs, outside, mut tasks) = (recorded::sources(topology), recorded::inputs(topology), BTreeMap::new());
        let own = inputs.keys().filter(|topic| !outside.contains_key(*topic)).cloned().collect();
        let piece_records = if depend_on_each_other(topology) { 1 } else { PIECE_RECORDS };
        let mine = |journal: &Journal| journal.topology == topology.fingerprint;
        let follows_journal = !journals.is_empty() && journals.values().flatten().all(mine);
        for plan in plans.values() {
            for partition in (0..plan.partitions).map(Partition) {
                let id = TaskId { sub_topology: plan.name.clone(), partition };
                let engine =
                    FollowedTask::new(plan, &states).map_err(|name| anyhow!("{name}: its state has no schema"))?;
                let script = follows_journal.then(|| journals.remove(&id).unwrap_or_default());
                tasks.insert(id.clone(), Task::new(id, engine, script));
            }
        }
        let (heard, order) = (heard(&plans), order(&plans));
        let (stories, episodes, totals) = (Stories::new(window.from), Episodes::default(), Totals::default());
        let (now, fed) = (window.begin, 0);
        Ok(Self {
            plans,
            order,
            formats,
            tasks,
            inputs,
            own,
            piece_records,
            heard,
            dropped,
            window,
            now,
            fed,
            follows_journal,
            stories,
            episodes,
            totals,
        })
    }

    pub fn inputs(&self) -> &Topics {
        &self.inputs
    }

    /// Takes a record from outside; what is no input of this topology is left alone.
    pub fn feed(&mut self, record: &Recorded) -> Result<()> {
        if !self.inputs.contains_key(&record.topic) || self.says_itself(record) {
            return Ok(());
        }
        if !self.own.contains(&record.topic) {
            self.count(record);
        }
        let Value::Fact(fact) = &record.value else { return Ok(()) };
        if let Fact::Alert(alert) = fact {
            self.episodes.hear(alert, record.timestamp);
        }
        let mut value = Vec::new();
        self.formats.encode_fact(fact, &mut value)?;
        let Recorded { topic, offset, timestamp, key, .. } = record;
        let by = if self.follows_journal { Some(record.partition) } else { None };
        self.push(topic, by, Waiting { offset: *offset, timestamp: *timestamp, key: key.clone(), value });
        self.now = self.now.max(record.timestamp);
        self.fed += 1;
        if self.fed.is_multiple_of(self.piece_records) {
            self.advance(self.now, false)?;
        }
        Ok(())
    }

    /// What the replay is going to write itself.
    fn says_itself(&self, record: &Recorded) -> bool {
        let by_a_runner =
            matches!(&record.value, Value::Fact(Fact::ActionRun(run)) if run.status != RunStatus::Requested);
        !self.follows_journal && self.own.contains(&record.topic) && !by_a_runner
    }

    fn count(&mut self, record: &Recorded) {
        let told = record.timestamp >= self.window.from;
        match &record.value {
            Value::Fact(Fact::Alert(_)) => self.totals.alerts += u64::from(told),
            Value::Fact(Fact::Deploy(_)) => self.totals.deploys += u64::from(told),
            Value::Fact(_) => self.totals.others += u64::from(told),
            _ => return self.totals.unreadable += u64::from(told),
        }
        self.totals.warm_up += u64::from(!told);
    }

    /// Everything has been fed: what is due until the window's end is due, and what the tasks tell each other because of it.
    pub fn finish(&mut self) -> Result<()> {
        for _ in 0..ROUNDS_MAX {
            self.advance(self.window.to.plus_ms(-1), true)?;
            if !self.tasks.values().any(Task::is_waiting) {
                break;
            }
        }
        Ok(())
    }

    /// To every task that reads the topic: the one of this partition, or the one of the key.
    fn push(&mut self, topic: &Topic, by: Option<Partition>, record: Waiting) {
        let readers = self.plans.values().filter(|plan| plan.sources.contains_key(topic));
        let key = record.key.as_deref().unwrap_or_default();
        let ids = readers.map(|plan| {
            let partition = by.unwrap_or_else(|| partition(key, plan.partitions));
            TaskId { sub_topology: plan.name.clone(), partition }
        });
        let mut ids: Vec<_> = ids.collect();
        let last = ids.pop();
        for id in ids {
            if let Some(task) = self.tasks.get_mut(&id) {
                let (key, value) = (record.key.clone(), record.value.clone());
                task.push(topic, Waiting { key, value, ..record });
            }
        }
        if let Some(task) = last.and_then(|id| self.tasks.get_mut(&id)) {
            task.push(topic, record);
        }
    }

    fn advance(&mut self, until: EventTime, ended: bool) -> Result<()> {
        for name in self.order.clone() {
            let ids: Vec<TaskId> = self.tasks.keys().filter(|id| id.sub_topology == name).cloned().collect();
            for id in ids {
                let Some(task) = self.tasks.get_mut(&id) else { continue };
                let effects = task.advance(until, ended, &self.formats);
                for effects in effects.with_context(|| format!("task {id}"))? {
                    self.take(effects)?;
                }
            }
        }
        Ok(())
    }

    fn take(&mut self, effects: Effects) -> Result<()> {
        let told = |letter: &&crate::topology::dead_letter::DeadLetter| letter.timestamp_ms >= self.window.from.0;
        self.totals.unreadable += effects.dead_letters.iter().filter(told).count() as u64;
        for output in effects.outputs {
            if output.timestamp < self.window.to {
                self.hear(&output)?;
            }
            let read = !self.follows_journal && self.own.contains(&output.topic);
            if let (true, NewRecord { topic, timestamp, key, value: Some(value), .. }) = (read, output) {
                let offset = Offset(i64::try_from(self.fed).unwrap_or(i64::MAX));
                self.push(&topic, None, Waiting { offset, timestamp, key, value });
            }
        }
        Ok(())
    }

    fn hear(&mut self, output: &NewRecord) -> Result<()> {
        let Some(kind) = self.heard.get(&output.topic) else { return Ok(()) };
        let at = output.timestamp;
        match self.formats.decode_fact(*kind, output.value.as_deref().unwrap_or_default())? {
            Fact::Alert(alert) => self.episodes.judge(&alert, self.dropped.contains(&output.topic)),
            Fact::Incident(incident) => self.stories.incident(at, &incident),
            Fact::SlackAction(action) => self.stories.action(at, &action),
            _ => {}
        }
        Ok(())
    }
}

/// Whether one service's incident may be another's cause: that is then told before the next record, as it would be live.
fn depend_on_each_other(topology: &Topology) -> bool {
    let dependents = route::operators::<Dependents>(topology);
    dependents.iter().any(|(_, one)| one.services.values().any(|service| !service.depends_on.is_empty()))
}

/// Gives each port that carries alerts a topic `<operator>.<port>`, which no real topic is called; answers with those of ports that lead
/// nowhere.
fn listen_to_alerts(plan: &mut SubTopologyPlan) -> Vec<Topic> {
    let mut dropped = Vec::new();
    for node in &mut plan.nodes {
        for (port, _) in node.ports.iter().filter(|(_, kind)| *kind == FactKind::Alert) {
            let topic = Topic::from(&*format!("{}.{port}", node.name));
            let routes = node.routes.entry(port).or_default();
            if routes.is_empty() {
                dropped.push(topic.clone());
            }
            routes.push(Route::Topic(topic));
        }
    }
    dropped
}

fn heard(plans: &BTreeMap<String, SubTopologyPlan>) -> BTreeMap<Topic, FactKind> {
    let ports = plans.values().flat_map(|plan| &plan.nodes).flat_map(|node| {
        node.ports
            .iter()
            .flat_map(|(port, kind)| node.routes.get(port).into_iter().flatten().map(|route| (route, *kind)))
    });
    let heard = ports.filter_map(|(route, kind)| match (route, kind) {
        (Route::Topic(topic), FactKind::Alert | FactKind::Incident | FactKind::SlackAction) => {
            Some((topic.clone(), kind))
        }
        _ => None,
    });
    heard.collect()
}

/// A topology has no cycles over topics that a replay could not follow: whoever is left over comes last.
fn order(plans: &BTreeMap<String, SubTopologyPlan>) -> Vec<String> {
    let writes = |plan: &SubTopologyPlan, topic: &Topic| {
        let routes = plan.nodes.iter().flat_map(|node| node.routes.values().flatten());
        routes.into_iter().any(|route| *route == Route::Topic(topic.clone()))
    };
    let mut left: Vec<&SubTopologyPlan> = plans.values().collect();
    let mut order = Vec::new();
    while !left.is_empty() {
        let free = left.iter().position(|plan| {
            let others = left.iter().filter(|other| other.name != plan.name);
            !others.into_iter().any(|other| plan.sources.keys().any(|topic| writes(other, topic)))
        });
        order.push(left.remove(free.unwrap_or(0)).name.clone());
    }
    order
}
