//! What becomes of a wish to silence: the facts to be written, or why not. As Alertmanager decides it, in its words.
//!
//! A silence whose matchers or start change becomes another one, and the old one ends: what was silenced when stays to be read. What
//! is written of one id is later each time, by `updated_at_ms`.

use super::matcher::Matcher;
use super::silences::{Known, Silences, State};
use crate::event::{Silence, SilenceMatcher};
use crate::record::EventTime;

/// With those that ended and are still kept.
pub const SILENCES_MAX: usize = 1_000;

/// As it was asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Wish {
    /// Of the one that is to be changed.
    pub id: Option<String>,
    pub matchers: Vec<SilenceMatcher>,
    /// `None`: at once.
    pub starts_at_ms: Option<i64>,
    pub ends_at_ms: i64,
    pub created_by: String,
    pub comment: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    NotFound,
    Invalid(String),
}

impl Refused {
    fn invalid(why: impl Into<String>) -> Self {
        Refused::Invalid(why.into())
    }
}

/// The facts to be written, the one that was wished for first. `fresh_id` is for a new one.
pub fn set(silences: &Silences, wish: Wish, fresh_id: String, now: EventTime) -> Result<Vec<Silence>, Refused> {
    check(&wish, now)?;
    let before = wish.id.as_deref().map(|id| silences.get(id).ok_or(Refused::NotFound)).transpose()?;
    let Wish { matchers, starts_at_ms, ends_at_ms, created_by, comment, .. } = wish;
    let starts_at_ms = starts_at_ms.unwrap_or(now.0);
    let wished = |id: String, starts_at_ms, updated_at_ms| Silence {
        id,
        matchers: matchers.clone(),
        starts_at_ms,
        ends_at_ms,
        updated_at_ms,
        created_by,
        comment,
    };
    if let Some(known) = before
        && known.silence.matchers == matchers
        && keeps_history(known, starts_at_ms, now)
    {
        return Ok(vec![wished(known.silence.id.clone(), starts_at_ms, next_update(known, now))]);
    }
    if silences.len() >= SILENCES_MAX {
        return Err(Refused::invalid(format!(
            "exceeded maximum number of silences: {} (limit: {SILENCES_MAX}); those that ended go after five days",
            silences.len()
        )));
    }
    let fresh = wished(fresh_id, starts_at_ms.max(now.0), now.0);
    let ended = before.and_then(|known| ended(known, now));
    Ok([fresh].into_iter().chain(ended).collect())
}

/// The fact to be written; `None`: it has ended already.
pub fn expire(silences: &Silences, id: &str, now: EventTime) -> Result<Option<Silence>, Refused> {
    Ok(ended(silences.get(id).ok_or(Refused::NotFound)?, now))
}

fn ended(known: &Known, now: EventTime) -> Option<Silence> {
    let starts_at_ms = match known.state(now) {
        State::Expired => return None,
        State::Active => known.silence.starts_at_ms,
        State::Pending => now.0,
    };
    let updated_at_ms = next_update(known, now);
    Some(Silence { starts_at_ms, ends_at_ms: now.0, updated_at_ms, ..known.silence.clone() })
}

fn next_update(known: &Known, now: EventTime) -> i64 {
    now.0.max(known.silence.updated_at_ms + 1)
}

/// Whether the times can change under the same id.
fn keeps_history(known: &Known, starts_at_ms: i64, now: EventTime) -> bool {
    match known.state(now) {
        // Clients send whole seconds back.
        State::Active => known.silence.starts_at_ms.div_euclid(1_000) == starts_at_ms.div_euclid(1_000),
        State::Pending => starts_at_ms >= now.0,
        State::Expired => false,
    }
}

fn check(wish: &Wish, now: EventTime) -> Result<(), Refused> {
    if wish.starts_at_ms.is_some_and(|start| start >= wish.ends_at_ms) {
        return Err(Refused::invalid("Failed to create silence: start time must be before end time"));
    }
    if wish.ends_at_ms <= now.0 {
        return Err(Refused::invalid("Failed to create silence: end time can't be in the past"));
    }
    if wish.matchers.is_empty() {
        return Err(Refused::invalid("silence invalid: at least one matcher required"));
    }
    let mut idle = true;
    for (number, matcher) in wish.matchers.iter().enumerate() {
        let invalid = |why| Refused::Invalid(format!("silence invalid: invalid label matcher {number}: {why}"));
        idle &= Matcher::new(matcher.clone()).map_err(invalid)?.is_idle();
    }
    if idle {
        return Err(Refused::invalid("silence invalid: at least one matcher must not match the empty string"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::silences::tests::{known, silence};
    use super::*;

    const NOW: EventTime = EventTime(50_000);

    /// That a silence be as it is.
    fn wish(silence: &Silence) -> Wish {
        let Silence { id, matchers, starts_at_ms, ends_at_ms, created_by, comment, .. } = silence.clone();
        Wish { id: Some(id), matchers, starts_at_ms: Some(starts_at_ms), ends_at_ms, created_by, comment }
    }

    fn told(silences: &Silences, wish: Wish) -> Vec<(String, i64, i64, i64)> {
        let facts = set(silences, wish, "fresh".to_owned(), NOW).unwrap();
        facts.into_iter().map(|fact| (fact.id, fact.starts_at_ms, fact.ends_at_ms, fact.updated_at_ms)).collect()
    }

    #[test]
    fn a_new_one_starts_now_or_later() {
        let new = |starts_at_ms| Wish { id: None, starts_at_ms, ..wish(&silence("", "a", "1")) };
        let none = Silences::default();
        for (wished, starts) in [(Some(40_000), 50_000), (None, 50_000), (Some(60_000), 60_000)] {
            assert_eq!(told(&none, new(wished)), [("fresh".to_owned(), starts, 100_000, 50_000)]);
        }
    }

    #[test]
    fn an_end_can_be_moved_and_what_would_rewrite_history_makes_another_one() {
        let (active, mut pending) = (silence("s", "a", "1"), silence("s", "a", "1"));
        let longer = |silence: &Silence| Wish { ends_at_ms: 200_000, ..wish(silence) };
        let id = |id: &str| id.to_owned();
        let silences = known([active.clone()]);
        assert_eq!(told(&silences, longer(&active)), [(id("s"), 10_000, 200_000, 50_000)]);
        let moved = Wish { starts_at_ms: Some(20_000), ..longer(&active) };
        let replaced = [(id("fresh"), 50_000, 200_000, 50_000), (id("s"), 10_000, 50_000, 50_000)];
        assert_eq!(told(&silences, moved), replaced);
        let others = Wish { matchers: silence("s", "a", "2").matchers, ..longer(&active) };
        assert_eq!(told(&silences, others), replaced);
        pending.starts_at_ms = 70_000;
        let silences = known([pending.clone()]);
        let moved = Wish { starts_at_ms: Some(60_000), ..longer(&pending) };
        assert_eq!(told(&silences, moved), [(id("s"), 60_000, 200_000, 50_000)]);
        let others = Wish { matchers: silence("s", "a", "2").matchers, ..longer(&pending) };
        assert_eq!(told(&silences, others)[1], (id("s"), 50_000, 50_000, 50_000), "it never was in force");
        let expired = Silence { ends_at_ms: 40_000, ..active };
        assert_eq!(told(&known([expired.clone()]), longer(&expired)), [(id("fresh"), 50_000, 200_000, 50_000)]);
    }

    #[test]
    fn it_ends_once_and_each_fact_of_it_is_later() {
        let hasty = Silence { updated_at_ms: 60_000, ..silence("s", "a", "1") };
        let ended = expire(&known([hasty]), "s", NOW).unwrap().unwrap();
        assert_eq!((ended.ends_at_ms, ended.updated_at_ms), (50_000, 60_001));
        assert_eq!(expire(&known([ended]), "s", NOW), Ok(None));
        assert_eq!(expire(&Silences::default(), "s", NOW), Err(Refused::NotFound));
    }

    #[test]
    fn what_cannot_be_meant_is_refused_in_alertmanagers_words() {
        let none = Silences::default();
        let refused = |change: &dyn Fn(&mut Wish)| {
            let mut wish = Wish { id: None, ..wish(&silence("", "a", "1")) };
            change(&mut wish);
            set(&none, wish, "fresh".to_owned(), NOW).unwrap_err()
        };
        let says = |said: Refused, words: &str| {
            assert!(matches!(&said, Refused::Invalid(why) if why.contains(words)), "{said:?}")
        };
        says(refused(&|wish| wish.starts_at_ms = Some(100_000)), "start time must be before end time");
        says(
            refused(&|wish| (wish.starts_at_ms, wish.ends_at_ms) = (Some(1), 49_000)),
            "end time can't be in the past",
        );
        says(refused(&|wish| wish.matchers.clear()), "at least one matcher required");
        says(refused(&|wish| wish.matchers[0].value.clear()), "must not match the empty string");
        says(
            refused(&|wish| (wish.matchers[0].is_regex, wish.matchers[0].value) = (true, "[".to_owned())),
            "label matcher 0",
        );
        assert_eq!(refused(&|wish| wish.id = Some("x".to_owned())), Refused::NotFound);
        let full = known((0..SILENCES_MAX).map(|n| silence(&n.to_string(), "a", "1")));
        let wish = Wish { id: None, ..wish(&silence("", "a", "1")) };
        says(set(&full, wish, "fresh".to_owned(), NOW).unwrap_err(), "exceeded maximum number of silences");
    }
}
