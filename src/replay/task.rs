//! One task of a replay: what waits to be processed, and the batches it is processed in.
//!
//! Invariant: with a script, every commit of the script that has inputs at hand gets exactly them, at the moment when it acted; what no
//! commit took is processed in the end. Without one, records are processed in the order of event time, whatever the pieces they come in.

use std::collections::{BTreeMap, VecDeque};

use crate::codec::Formats;
use crate::record::{Batch, EventTime, Headers, Offset, Record, Topic};
use crate::topology::driver::FollowedTask;
use crate::topology::engine::{Effects, Error, Moment};
use crate::topology::journal::{Journal, JournalPosition, TaskId};

pub struct Task {
    id: TaskId,
    engine: FollowedTask,
    waiting: BTreeMap<Topic, VecDeque<Waiting>>,
    /// The last offset that came of each topic.
    seen: BTreeMap<Topic, Offset>,
    /// Commits to be repeated; `None`: the order of event time.
    script: Option<VecDeque<Journal>>,
}

pub struct Waiting {
    pub offset: Offset,
    pub timestamp: EventTime,
    pub key: Option<Vec<u8>>,
    pub value: Vec<u8>,
}

impl Task {
    pub fn new(id: TaskId, engine: FollowedTask, script: Option<Vec<Journal>>) -> Self {
        let (waiting, seen, script) = (BTreeMap::new(), BTreeMap::new(), script.map(VecDeque::from));
        Self { id, engine, waiting, seen, script }
    }

    pub fn push(&mut self, topic: &Topic, record: Waiting) {
        self.seen.insert(topic.clone(), record.offset);
        self.waiting.entry(topic.clone()).or_default().push_back(record);
    }

    pub fn is_waiting(&self) -> bool {
        self.waiting.values().any(|waiting| !waiting.is_empty())
    }

    /// All that can be done by now; without a script, deadlines up to `until` too. `ended`: nothing more will come.
    pub fn advance(&mut self, until: EventTime, ended: bool, formats: &Formats) -> Result<Vec<Effects>, Error> {
        let mut all = Vec::new();
        while let Some(entry) = self.next_of_script(ended) {
            let mut batch = Batch::default();
            for range in &entry.inputs {
                self.take(&Topic::from(&*range.topic), Offset(range.to), &mut batch);
            }
            all.push(self.act(entry.acted_at_ms, entry.tick, &mut batch, formats)?);
        }
        if self.script.is_none() || ended {
            let mut batch = Batch::default();
            for topic in self.waiting.keys().cloned().collect::<Vec<_>>() {
                self.take(&topic, Offset(i64::MAX), &mut batch);
            }
            all.push(self.act(until.0, true, &mut batch, formats)?);
        }
        Ok(all)
    }

    /// The next commit whose inputs have all come.
    fn next_of_script(&mut self, ended: bool) -> Option<Journal> {
        let script = self.script.as_mut()?;
        let has_come = |topic: &str, to: i64| self.seen.get(&Topic::from(topic)).is_some_and(|seen| seen.0 >= to - 1);
        let ready = script.front()?.inputs.iter().all(|range| ended || has_come(&range.topic, range.to));
        if ready { script.pop_front() } else { None }
    }

    fn take(&mut self, topic: &Topic, to: Offset, batch: &mut Batch) {
        let Some(waiting) = self.waiting.get_mut(topic) else { return };
        while let Some(record) = waiting.pop_front_if(|record| record.offset < to) {
            batch.push(&Record {
                topic,
                partition: self.id.partition,
                offset: record.offset,
                timestamp: record.timestamp,
                key: record.key.as_deref(),
                value: Some(&record.value),
                headers: Headers::NONE,
            });
        }
    }

    fn act(&mut self, acted_at_ms: i64, tick: bool, batch: &mut Batch, formats: &Formats) -> Result<Effects, Error> {
        // Nobody reads where a replayed output was written.
        let position = JournalPosition { task: self.id.clone(), sequence: 0, acted_at_ms };
        self.engine.act(&Moment { position, tick }, batch, formats)
    }
}
