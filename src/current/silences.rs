//! The silences there are, by id, as the log has them: of each id the record with the highest offset.
//!
//! One that has ended is kept for [`RETENTION_MS`], so that people find what was, and is then to be deleted from the topic. Memory is
//! bounded by [`HELD_MAX`]: of more, which only others than fairlead can have written, those that end first are not held.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::matcher::Matcher;
use crate::event::{Fact, Labels, Silence};
use crate::record::{EventTime, Offset};

/// As Alertmanager's `--data.retention` ships.
pub const RETENTION_MS: i64 = 5 * 24 * 60 * 60 * 1_000;
/// Twice as many as are accepted: two processes may accept at once.
const HELD_MAX: usize = 2 * super::SILENCES_MAX;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    Active,
    Pending,
    Expired,
}

impl State {
    pub fn name(self) -> &'static str {
        match self {
            State::Active => "active",
            State::Pending => "pending",
            State::Expired => "expired",
        }
    }
}

#[derive(Clone, Debug)]
pub struct Known {
    pub silence: Silence,
    /// Empty if one of them cannot be read: then it silences nothing.
    matchers: Vec<Matcher>,
    at: Offset,
}

impl Known {
    pub fn state(&self, now: EventTime) -> State {
        match &self.silence {
            silence if silence.ends_at_ms <= now.0 => State::Expired,
            silence if silence.starts_at_ms > now.0 => State::Pending,
            _ => State::Active,
        }
    }

    pub fn matches(&self, labels: &Labels<'_>) -> bool {
        !self.matchers.is_empty() && self.matchers.iter().all(|matcher| matcher.matches(labels))
    }

    pub fn matchers(&self) -> &[Matcher] {
        &self.matchers
    }

    /// Somebody ended it before its time, and not before it began.
    pub fn was_cut_short(&self) -> bool {
        let Silence { starts_at_ms, ends_at_ms, updated_at_ms, .. } = self.silence;
        ends_at_ms <= updated_at_ms && starts_at_ms < ends_at_ms
    }
}

/// Cheap to clone: who matches many alerts does it on a copy.
#[derive(Clone, Debug, Default)]
pub struct Silences(BTreeMap<String, Arc<Known>>);

impl Silences {
    /// What lies at an offset of the topic: a silence, or the end of its record. Answers with what is wrong with its matchers.
    pub fn apply(&mut self, id: &str, silence: Option<Silence>, at: Offset) -> Result<(), String> {
        if self.0.get(id).is_some_and(|known| known.at >= at) {
            return Ok(());
        }
        let Some(silence) = silence else {
            self.0.remove(id);
            return Ok(());
        };
        let read: Result<Vec<_>, _> = silence.matchers.iter().cloned().map(Matcher::new).collect();
        let (matchers, problem) = match read {
            Ok(matchers) => (matchers, Ok(())),
            Err(problem) => (Vec::new(), Err(problem)),
        };
        self.0.insert(id.to_owned(), Arc::new(Known { silence, matchers, at }));
        if self.0.len() > HELD_MAX
            && let Some(first) = self.iter().min_by_key(|known| known.silence.ends_at_ms)
        {
            let first = first.silence.id.clone();
            self.0.remove(&first);
        }
        problem
    }

    pub fn get(&self, id: &str) -> Option<&Known> {
        self.0.get(id).map(Arc::as_ref)
    }

    /// By id.
    pub fn iter(&self) -> impl Iterator<Item = &Known> {
        self.0.values().map(Arc::as_ref)
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Those in force that match, by id.
    pub fn over<'s>(&'s self, labels: &'s Labels<'_>, now: EventTime) -> impl Iterator<Item = &'s Known> {
        self.iter().filter(move |known| known.state(now) == State::Active && known.matches(labels))
    }

    /// Marks every alert with the silence in force that ends last.
    pub fn mark(&self, facts: &mut [Fact<'_>], now: EventTime) {
        for fact in facts {
            let Fact::Alert(alert) = fact else { continue };
            let last = self.over(&alert.labels, now).map(|known| &known.silence).max_by_key(|one| one.ends_at_ms);
            let last = last.map(|silence| (silence.ends_at_ms, silence.id.clone()));
            (alert.muted_until_ms, alert.muted_by) = last.map(|(until, id)| (until, id.into())).unzip();
        }
    }

    /// Ids of those whose time to be looked at is over too.
    pub fn outdated(&self, now: EventTime) -> Vec<String> {
        let ended = self.iter().filter(|known| known.silence.ends_at_ms.saturating_add(RETENTION_MS) <= now.0);
        ended.map(|known| known.silence.id.clone()).collect()
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::event::SilenceMatcher;

    /// `name=value`, in force from second 10 to second 100.
    pub fn silence(id: &str, name: &str, value: &str) -> Silence {
        let matcher =
            SilenceMatcher { name: name.to_owned(), value: value.to_owned(), is_regex: false, is_equal: true };
        Silence {
            id: id.to_owned(),
            matchers: vec![matcher],
            starts_at_ms: 10_000,
            ends_at_ms: 100_000,
            updated_at_ms: 10_000,
            created_by: "maria".to_owned(),
            comment: "a deploy".to_owned(),
        }
    }

    pub fn known(silences: impl IntoIterator<Item = Silence>) -> Silences {
        let mut known = Silences::default();
        for (silence, at) in silences.into_iter().zip(0..) {
            known.apply(&silence.id.clone(), Some(silence), Offset(at)).unwrap();
        }
        known
    }

    #[test]
    fn the_highest_offset_counts_in_whatever_order_it_is_heard() {
        let mut silences = Silences::default();
        let later = Silence { comment: "later".to_owned(), ..silence("s", "a", "1") };
        silences.apply("s", Some(later), Offset(7)).unwrap();
        silences.apply("s", Some(silence("s", "a", "1")), Offset(6)).unwrap();
        silences.apply("s", None, Offset(5)).unwrap();
        assert_eq!(silences.get("s").unwrap().silence.comment, "later");
        silences.apply("s", None, Offset(8)).unwrap();
        assert!(silences.is_empty());
    }

    #[test]
    fn it_is_in_force_from_its_start_to_before_its_end() {
        let silences = known([silence("s", "a", "1")]);
        let labels: Labels<'_> = [("a".into(), "1".into())].into_iter().collect();
        let over = |ms| silences.over(&labels, EventTime(ms)).count();
        assert_eq!([9_999, 10_000, 99_999, 100_000].map(over), [0, 1, 1, 0]);
        let state = |ms| silences.get("s").unwrap().state(EventTime(ms)).name();
        assert_eq!([9_999, 10_000, 100_000].map(state), ["pending", "active", "expired"]);
        assert_eq!(silences.outdated(EventTime(100_000 + RETENTION_MS)), ["s"]);
        assert!(silences.outdated(EventTime(99_999 + RETENTION_MS)).is_empty());
    }

    #[test]
    fn one_with_a_matcher_that_cannot_be_read_is_shown_and_silences_nothing() {
        let mut silences = Silences::default();
        let mut odd = silence("s", "a", "(");
        odd.matchers[0].is_regex = true;
        assert!(silences.apply("s", Some(odd), Offset(0)).unwrap_err().contains("invalid regular expression"));
        assert_eq!((silences.len(), silences.over(&Labels::default(), EventTime(50_000)).count()), (1, 0));
    }

    #[test]
    fn of_more_than_can_be_held_those_go_that_end_first() {
        let many =
            (0..=HELD_MAX).map(|n| Silence { ends_at_ms: 100_000 + n as i64, ..silence(&n.to_string(), "a", "1") });
        let silences = known(many);
        assert_eq!((silences.len(), silences.get("0").is_none()), (HELD_MAX, true));
    }
}
