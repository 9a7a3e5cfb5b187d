//! Whether a task's commits follow one another: sequences without a gap, input ranges that neither overlap nor leave one out.
//!
//! Pure: journal records in, differences out. What the ranges hold is not looked at here.

use std::collections::BTreeMap;

use super::report::{Difference, Kind};
use crate::record::{Offset, Partition, Topic, TopicPartition};
use crate::topology::journal::Journal;

/// Where one task stands after the journal records taken so far.
#[derive(Debug, Default)]
pub struct Coverage {
    /// Sequences of the first commit taken since the journal last began, and of the last; zero: none.
    pub first: i64,
    pub last: i64,
    /// The next offset of each input.
    pub next: BTreeMap<TopicPartition, Offset>,
    /// Input offsets covered.
    pub inputs: i64,
    /// The task was begun anew so often: offsets or journal were removed on purpose.
    pub restarts: u64,
}

/// A difference, and how many records it is about.
pub type Counted = (Difference, u64);

impl Coverage {
    /// Takes the next journal record of the task. `lows` says where the inputs begin that are still kept.
    pub fn take(
        &mut self,
        at: (&TopicPartition, Offset),
        entry: &Journal,
        lows: &BTreeMap<TopicPartition, Offset>,
    ) -> Vec<Counted> {
        let mut found = Vec::new();
        if self.last == 0 {
            self.first = entry.sequence;
        } else if entry.sequence == 1 && self.last > 1 {
            (self.first, self.restarts) = (1, self.restarts + 1);
            self.next.clear();
        } else if entry.sequence != self.last + 1 {
            let kind = if entry.sequence > self.last { Kind::InputLost } else { Kind::InputDoubled };
            let told = (format!("commit {} of {}", self.last + 1, entry.task), format!("commit {}", entry.sequence));
            found.push((difference(kind, at, told), entry.sequence.abs_diff(self.last + 1).max(1)));
        }
        self.last = entry.sequence;
        for range in &entry.inputs {
            let input = TopicPartition::new(&Topic::from(&*range.topic), Partition(range.partition));
            // A task that has just begun reads from the first record that is kept.
            let begins = (self.first == 1).then(|| lows.get(&input)).flatten();
            let expected = self.next.get(&input).or(begins).copied().unwrap_or(Offset(range.from));
            let told = || {
                let found = format!("commit {} of {} begins at {}", entry.sequence, entry.task, range.from);
                (format!("offset {} next", expected.0), found)
            };
            if range.from > expected.0 {
                found.push((difference(Kind::InputLost, (&input, expected), told()), expected.0.abs_diff(range.from)));
            } else if range.from < expected.0 && self.next.contains_key(&input) {
                let count = expected.0.abs_diff(range.from);
                found.push((difference(Kind::InputDoubled, (&input, Offset(range.from)), told()), count));
            }
            self.inputs += range.to - range.from;
            self.next.insert(input, Offset(range.to));
        }
        found
    }

    /// Holds what the group has committed against where the journal stood at that commit.
    pub fn compare(&self, input: &TopicPartition, committed: Offset) -> Option<Counted> {
        let reached = *self.next.get(input)?;
        let told = (format!("the group at {}, as its last commit says", reached.0), format!("at {}", committed.0));
        match committed.cmp(&reached) {
            std::cmp::Ordering::Equal => None,
            std::cmp::Ordering::Greater => {
                Some((difference(Kind::InputLost, (input, reached), told), committed.0.abs_diff(reached.0)))
            }
            std::cmp::Ordering::Less => {
                Some((difference(Kind::InputDoubled, (input, committed), told), committed.0.abs_diff(reached.0)))
            }
        }
    }
}

fn difference(kind: Kind, at: (&TopicPartition, Offset), (expected, found): (String, String)) -> Difference {
    let (place, offset) = at;
    let (topic, partition) = (place.topic.to_string(), place.partition.0);
    Difference { kind, topic, partition, offset: Some(offset.0), expected, found }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::journal::InputRange;

    fn entry(sequence: i64, from: i64, to: i64) -> Journal {
        let input = InputRange { topic: "in".into(), partition: 0, from, to };
        let (task, topology) = ("t/0".to_owned(), "f".to_owned());
        Journal { task, sequence, acted_at_ms: 0, tick: false, inputs: vec![input], outputs: 0, topology }
    }

    fn run(entries: &[(i64, i64, i64)], low: i64, committed: i64) -> (Coverage, Vec<(Kind, u64)>) {
        let place = |topic: &str| TopicPartition::new(&Topic::from(topic), Partition(0));
        let (journal, lows) = (place("journal"), BTreeMap::from([(place("in"), Offset(low))]));
        let (mut coverage, mut found) = (Coverage::default(), Vec::new());
        for (offset, (sequence, from, to)) in (0..).zip(entries) {
            found.extend(coverage.take((&journal, Offset(offset)), &entry(*sequence, *from, *to), &lows));
        }
        found.extend(coverage.compare(&place("in"), Offset(committed)));
        (coverage, found.into_iter().map(|(difference, count)| (difference.kind, count)).collect())
    }

    #[test]
    fn commits_that_follow_one_another_are_sound_wherever_the_journal_begins() {
        assert_eq!(run(&[(1, 0, 4), (2, 4, 9)], 0, 9).1, []);
        let (coverage, found) = run(&[(7, 30, 34), (8, 34, 39)], 0, 39);
        assert_eq!((coverage.first, coverage.last, coverage.inputs, found), (7, 8, 9, vec![]));
        // Retention took records after they were read.
        assert_eq!(run(&[(1, 0, 4), (2, 4, 9)], 6, 9).1, []);
    }

    #[test]
    fn gaps_are_lost_and_overlaps_are_doubled_by_so_many_records() {
        assert_eq!(run(&[(1, 0, 4), (2, 6, 9)], 0, 9).1, [(Kind::InputLost, 2)]);
        assert_eq!(run(&[(1, 0, 4), (2, 1, 9)], 0, 9).1, [(Kind::InputDoubled, 3)]);
        assert_eq!(run(&[(1, 3, 4)], 0, 4).1, [(Kind::InputLost, 3)], "it began behind what is kept");
        assert_eq!(run(&[(1, 0, 4), (3, 4, 9)], 0, 9).1, [(Kind::InputLost, 1)], "a journal record is missing");
        assert_eq!(run(&[(1, 0, 4), (2, 4, 9), (2, 4, 9)], 0, 9).1.len(), 2, "a commit that is there twice");
        assert_eq!(run(&[(1, 0, 4)], 0, 9).1, [(Kind::InputLost, 5)]);
        assert_eq!(run(&[(1, 0, 4)], 0, 1).1, [(Kind::InputDoubled, 3)]);
    }

    #[test]
    fn a_task_that_was_begun_anew_is_checked_from_there_on() {
        let (coverage, found) = run(&[(1, 0, 4), (2, 4, 9), (1, 2, 9)], 2, 9);
        assert_eq!((coverage.restarts, found), (1, vec![]));
    }
}
