//! What is known of the runs of each partition, and what is to be done about a request. Pure.

use std::collections::{BTreeMap, VecDeque};

use crate::event::{ActionRun, RunStatus};
use crate::record::{EventTime, Offset, Partition};

/// A request that is older is not done any more.
pub const HOLDS_MS: i64 = 10 * 60 * 1_000;
/// Runs of a partition that are known for having been; those that have not ended are always.
const KNOWN_MAX: usize = 20_000;

#[derive(Default)]
pub struct Ledger(BTreeMap<Partition, Runs>);

struct Runs {
    known: BTreeMap<String, RunStatus>,
    /// The oldest first.
    order: VecDeque<String>,
    /// Started, and not known to have ended.
    open: BTreeMap<String, ActionRun>,
    waiting: VecDeque<(Offset, ActionRun)>,
    /// The offset to read next.
    next: Offset,
}

impl Ledger {
    /// Of a partition that is read from `next` on.
    pub fn open(&mut self, partition: Partition, next: Offset) {
        let (known, order, open, waiting) = Default::default();
        self.0.insert(partition, Runs { known, order, open, waiting, next });
    }

    pub fn clear(&mut self) {
        self.0.clear();
    }

    pub fn owns(&self, partition: Partition) -> bool {
        self.0.contains_key(&partition)
    }

    /// That a run was told to have started or ended, by whoever.
    pub fn note(&mut self, partition: Partition, run: &ActionRun) {
        let Some(runs) = self.0.get_mut(&partition) else { return };
        if run.status == RunStatus::Requested || runs.has_ended(&run.id) {
            return;
        }
        if runs.known.insert(run.id.clone(), run.status).is_none() {
            runs.order.push_back(run.id.clone());
        }
        match run.status {
            RunStatus::Started => drop(runs.open.insert(run.id.clone(), run.clone())),
            _ => drop(runs.open.remove(&run.id)),
        }
        while runs.order.len() > KNOWN_MAX
            && let Some(oldest) = runs.order.pop_front()
        {
            match runs.open.contains_key(&oldest) {
                true => runs.order.push_back(oldest),
                false => drop(runs.known.remove(&oldest)),
            }
        }
    }

    /// Takes in a record that was read. Answers with a request's end if it is not to be done.
    pub fn accept(
        &mut self,
        partition: Partition,
        offset: Offset,
        run: Option<ActionRun>,
        now: EventTime,
    ) -> Option<ActionRun> {
        let runs = self.0.get_mut(&partition)?;
        runs.next = runs.next.max(Offset(offset.0 + 1));
        let run = run?;
        if run.status != RunStatus::Requested {
            self.note(partition, &run);
            return None;
        }
        let told_twice = runs.known.contains_key(&run.id) || runs.waiting.iter().any(|(_, other)| other.id == run.id);
        if told_twice {
            return None;
        }
        let age = now.since_ms(EventTime(run.at_ms));
        if age > HOLDS_MS {
            let result =
                format!("not done: it was asked for {} min ago; ask again if it is still wanted", age / 60_000);
            let ended = ActionRun { status: RunStatus::Failed, at_ms: now.0, result: Some(result), ..run };
            self.note(partition, &ended);
            return Some(ended);
        }
        runs.waiting.push_back((offset, run));
        None
    }

    /// Up to so many requests, which count as started from here on.
    pub fn choose(&mut self, free: usize, now: EventTime) -> Vec<(Partition, ActionRun)> {
        let mut chosen = Vec::new();
        for (partition, runs) in &mut self.0 {
            while chosen.len() < free
                && let Some((_, run)) = runs.waiting.pop_front()
            {
                chosen.push((*partition, ActionRun { status: RunStatus::Started, at_ms: now.0, ..run }));
            }
        }
        chosen.iter().for_each(|(partition, run)| self.note(*partition, run));
        chosen
    }

    /// Those that were started and of which nobody will say how they ended, but for those that `is_alive` knows.
    pub fn abandoned(&mut self, is_alive: impl Fn(&str) -> bool, now: EventTime) -> Vec<(Partition, ActionRun)> {
        let lost = self.0.iter().flat_map(|(partition, runs)| {
            let lost = runs.open.values().filter(|run| !is_alive(&run.id));
            lost.map(|run| (*partition, unknown(run, now))).collect::<Vec<_>>()
        });
        let lost: Vec<_> = lost.collect();
        lost.iter().for_each(|(partition, run)| self.note(*partition, run));
        lost
    }

    pub fn has_ended(&self, partition: Partition, id: &str) -> bool {
        self.0.get(&partition).is_some_and(|runs| runs.has_ended(id))
    }

    /// Everything before it has been started or ended.
    pub fn committable(&self, partition: Partition) -> Option<Offset> {
        let runs = self.0.get(&partition)?;
        Some(runs.waiting.front().map_or(runs.next, |(offset, _)| *offset))
    }

    pub fn waiting(&self) -> usize {
        self.0.values().map(|runs| runs.waiting.len()).sum()
    }
}

impl Runs {
    fn has_ended(&self, id: &str) -> bool {
        self.known.get(id).is_some_and(|status| *status > RunStatus::Started)
    }
}

pub fn unknown(run: &ActionRun, now: EventTime) -> ActionRun {
    let result = Some("it was started, and nobody knows how it ended".to_owned());
    ActionRun { status: RunStatus::Unknown, at_ms: now.0, result, output: None, ..run.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const P: Partition = Partition(0);
    const NOW: EventTime = EventTime(1_700_000_000_000);

    fn run(id: &str, status: RunStatus) -> ActionRun {
        ActionRun {
            id: id.to_owned(),
            service: "checkout".to_owned(),
            incident_id: "inc-1".to_owned(),
            action: "rollback".to_owned(),
            by: "ann".to_owned(),
            status,
            at_ms: NOW.0,
            result: None,
            output: None,
        }
    }

    fn ledger() -> Ledger {
        let mut ledger = Ledger::default();
        ledger.open(P, Offset(0));
        ledger
    }

    #[test]
    fn a_request_is_started_once_however_often_it_is_told() {
        let mut ledger = ledger();
        for offset in 0..3 {
            assert_eq!(ledger.accept(P, Offset(offset), Some(run("a", RunStatus::Requested)), NOW), None);
        }
        assert_eq!((ledger.waiting(), ledger.committable(P)), (1, Some(Offset(0))));
        let started = ledger.choose(8, NOW);
        assert_eq!(started, [(P, run("a", RunStatus::Started))]);
        assert_eq!((ledger.choose(8, NOW).len(), ledger.committable(P)), (0, Some(Offset(3))));
        ledger.accept(P, Offset(3), Some(run("a", RunStatus::Succeeded)), NOW);
        ledger.accept(P, Offset(4), Some(run("a", RunStatus::Requested)), NOW);
        assert_eq!((ledger.waiting(), ledger.has_ended(P, "a")), (0, true));
    }

    #[test]
    fn what_was_started_by_one_who_is_gone_is_unknown_and_not_done_again() {
        let mut ledger = ledger();
        for (id, status) in [("a", RunStatus::Started), ("b", RunStatus::Started), ("c", RunStatus::Failed)] {
            ledger.note(P, &run(id, status));
        }
        let lost = ledger.abandoned(|id| id == "b", NOW);
        assert_eq!(lost.iter().map(|(_, run)| (&*run.id, run.status)).collect::<Vec<_>>(), [("a", RunStatus::Unknown)]);
        assert!(ledger.abandoned(|id| id == "b", NOW).is_empty());
        for id in ["a", "b", "c"] {
            ledger.accept(P, Offset(9), Some(run(id, RunStatus::Requested)), NOW);
        }
        assert_eq!(ledger.waiting(), 0);
        // An end that comes late does not change what was said.
        ledger.note(P, &run("a", RunStatus::Started));
        assert!(ledger.has_ended(P, "a"));
    }

    #[test]
    fn a_request_that_waited_too_long_is_told_to_be_asked_for_again() {
        let mut ledger = ledger();
        let late = NOW.plus_ms(HOLDS_MS + 1);
        let ended = ledger.accept(P, Offset(0), Some(run("a", RunStatus::Requested)), late).unwrap();
        assert_eq!((ended.status, ledger.waiting()), (RunStatus::Failed, 0));
        assert!(ended.result.unwrap().contains("10 min ago"));
        assert_eq!(ledger.accept(P, Offset(1), Some(run("a", RunStatus::Requested)), NOW), None);
        assert_eq!(ledger.waiting(), 0);
    }

    #[test]
    fn no_more_start_than_there_are_places_and_memory_is_bounded() {
        let mut ledger = ledger();
        for number in 0..5 {
            ledger.accept(P, Offset(number), Some(run(&number.to_string(), RunStatus::Requested)), NOW);
        }
        assert_eq!((ledger.choose(2, NOW).len(), ledger.committable(P)), (2, Some(Offset(2))));
        for number in 0..KNOWN_MAX + 100 {
            ledger.note(P, &run(&format!("n{number}"), RunStatus::Failed));
        }
        let runs = &ledger.0[&P];
        assert!(runs.known.len() <= KNOWN_MAX && runs.order.len() == runs.known.len());
        // Those that still run are not forgotten.
        assert!(runs.known.contains_key("0") && runs.known.contains_key("1"));
    }
}
