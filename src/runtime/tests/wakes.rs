//! The lazy index of deadlines: what it is told, when it wakes a key too early, and that the deadline holds all the same.

use super::ledger::{QUIET, QUIET_MS, alert};
use super::rig::{formats, sub_topology};
use crate::codec::Formats;
use crate::event::{Fact, FactKind};
use crate::record::{Batch, EventTime, Headers, NewRecord, Offset, Partition, Record, Topic};
use crate::topology::driver::MemoryView;
use crate::topology::engine::{Effects, Moment, StateView, SubTopology};
use crate::topology::journal::{JournalPosition, TaskId};

struct Task {
    engine: SubTopology,
    view: MemoryView,
    formats: Formats,
}

impl Task {
    fn new() -> Self {
        let (formats, [state, ..]) = formats();
        Self { engine: sub_topology(&state), view: MemoryView::default(), formats }
    }

    fn commit(&mut self, mut batch: Batch, tick_at: Option<i64>) -> Effects {
        let task = TaskId { sub_topology: "ledger".into(), partition: Partition(0) };
        let position = JournalPosition { task, sequence: 1, acted_at_ms: tick_at.unwrap_or_default() };
        let moment = Moment { position, tick: tick_at.is_some() };
        let effects = self.engine.process(&mut batch, &moment, &self.view, &self.formats).unwrap();
        self.view.apply(&effects);
        effects
    }

    fn alert(&mut self, at_ms: i64) -> Effects {
        let (mut batch, mut value) = (Batch::default(), Vec::new());
        self.formats.encode_fact(&Fact::Alert(alert("api", "a", None)), &mut value).unwrap();
        batch.push(&Record {
            topic: &Topic::from("alerts"),
            partition: Partition(0),
            offset: Offset(0),
            timestamp: EventTime(at_ms),
            key: Some(b"api"),
            value: Some(&value),
            headers: Headers::NONE,
        });
        self.commit(batch, None)
    }

    fn tick(&mut self, at_ms: i64) -> Effects {
        self.commit(Batch::default(), Some(at_ms))
    }

    /// Notes of the first stage.
    fn noted(&self) -> Vec<i64> {
        let due = self.view.due(EventTime(i64::MAX)).unwrap();
        due.into_iter().filter(|(_, stage, _)| *stage == 0).map(|(at, ..)| at.0).collect()
    }
}

/// What the first stage told.
fn on_out(effects: &Effects) -> Vec<&NewRecord> {
    effects.outputs.iter().filter(|out| out.topic.as_str() == "out").collect()
}

#[test]
fn a_deadline_that_moves_on_is_noted_once_and_fires_at_its_own_time() {
    let mut task = Task::new();
    task.alert(0);
    for at in [300, 600, 900] {
        let effects = task.alert(at);
        assert!(effects.changes.iter().all(|(_, change)| change.wakes_at.is_none()), "{:?}", effects.changes);
    }
    assert_eq!(task.noted(), [QUIET_MS]);
    // Woken at the first deadline: nothing to say, and Kafka is not troubled.
    assert!(task.tick(QUIET_MS).is_silent());
    assert_eq!(task.noted(), [QUIET_MS + 900]);
    assert!(task.tick(QUIET_MS + 899).is_silent());
    let quiet = task.tick(QUIET_MS + 5_000);
    let [told] = &on_out(&quiet)[..] else { panic!("once: {:?}", quiet.outputs) };
    assert_eq!(told.timestamp, EventTime(QUIET_MS + 900), "at the deadline, not when it was noticed");
    let Fact::Alert(told) = task.formats.decode_fact(FactKind::Alert, told.value.as_deref().unwrap()).unwrap() else {
        panic!("an alert")
    };
    assert_eq!((&*told.fingerprint.0, told.value), (QUIET, Some(4.0)));
    assert_eq!(task.noted(), Vec::<i64>::new());
}

#[test]
fn a_record_far_behind_the_note_fires_the_true_deadline_in_between() {
    let mut task = Task::new();
    task.alert(0);
    task.alert(700);
    // Past the note at 1,000 and the deadline at 1,700, both within one batch.
    let effects = task.alert(9_000);
    let times: Vec<_> = on_out(&effects).iter().map(|out| out.timestamp.0).collect();
    assert_eq!(times, [QUIET_MS + 700, 9_000]);
    assert_eq!(task.noted(), [QUIET_MS + 9_000]);
}
