//! A rotation written in the topology: people in order, each for so many days, and who stands in when.
//!
//! Turns follow each other without a gap, at the same time on the wall all year. An override takes its time from the turns, and
//! a later one from an earlier one.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use serde::Deserialize;

use super::{Turn, Window};

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// In order; after the last the first comes again.
    pub people: Vec<String>,
    /// The first hand-over on the wall of the zone, `2026-11-30 09:00`.
    pub start: Local,
    /// Of one turn.
    #[serde(default = "week")]
    pub days: u16,
    #[serde(default)]
    pub overrides: Vec<Override>,
}

fn week() -> u16 {
    7
}

/// Somebody stands in.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Override {
    pub from: Local,
    pub to: Local,
    pub person: String,
}

/// A time on the wall, as it is written; what is none is told with its place.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub struct Local {
    text: String,
    time: Option<DateTime>,
}

impl From<String> for Local {
    fn from(text: String) -> Self {
        Self { time: text.parse().ok(), text }
    }
}

impl Local {
    fn problem(&self) -> Option<String> {
        self.time.is_none().then(|| format!("`{}` is no time on the wall; write 2026-11-30 09:00", self.text))
    }

    fn instant(&self, zone: &TimeZone) -> Option<i64> {
        instant(self.time?, zone)
    }
}

pub const OVERRIDES_MAX: usize = 500;

impl Plan {
    /// Each with its path in front.
    pub fn problems(&self, path: &str) -> Vec<String> {
        let mut problems = Vec::new();
        if self.people.is_empty() {
            problems.push(format!("{path}.people: nobody would be on call; name at least one"));
        }
        if !(1..=366).contains(&self.days) {
            problems.push(format!("{path}.days: a turn lasts 1 to 366 days"));
        }
        if self.overrides.len() > OVERRIDES_MAX {
            problems.push(format!("{path}.overrides: at most {OVERRIDES_MAX}; take out those that are over"));
        }
        problems.extend(self.start.problem().map(|why| format!("{path}.start: {why}")));
        for (at, over) in self.overrides.iter().enumerate() {
            let Override { from, to, .. } = over;
            let path = format!("{path}.overrides[{at}]");
            problems.extend(from.problem().map(|why| format!("{path}.from: {why}")));
            problems.extend(to.problem().map(|why| format!("{path}.to: {why}")));
            if from.time.zip(to.time).is_some_and(|(from, to)| to <= from) {
                problems.push(format!("{path}.to: `{}` is not after `{}`", to.text, from.text));
            }
        }
        problems
    }

    /// Everybody whom it names.
    pub fn names(&self) -> impl Iterator<Item = &String> {
        self.people.iter().chain(self.overrides.iter().map(|over| &over.person))
    }

    /// The turns that touch the window.
    pub fn turns(&self, zone: &TimeZone, window: Window) -> Vec<Turn> {
        let mut turns = self.planned(zone, window);
        for over in self.overrides.iter().take(OVERRIDES_MAX) {
            let (Some(from), Some(to)) = (over.from.instant(zone), over.to.instant(zone)) else { continue };
            if to > window.from_ms && from < window.until_ms && to > from {
                turns = turns.iter().flat_map(|turn| without(turn, from, to)).collect();
                turns.push(turn(from, to, &over.person));
            }
        }
        turns
    }

    fn planned(&self, zone: &TimeZone, window: Window) -> Vec<Turn> {
        let Some(start) = self.start.time else { return Vec::new() };
        let days = i64::from(self.days.max(1));
        let begin = |number: i64| {
            let local = start.checked_add(Span::new().try_days(number.checked_mul(days)?).ok()?).ok()?;
            instant(local, zone)
        };
        let first = Timestamp::from_millisecond(window.from_ms).ok().map(|from| zone.to_datetime(from));
        let passed = first.and_then(|first| start.date().until(first.date()).ok()).map_or(0, |span| span.get_days());
        let first = (i64::from(passed) / days - 1).max(0);
        let mut turns = Vec::new();
        for number in first.. {
            let (Some(from), Some(to)) = (begin(number), begin(number + 1)) else { break };
            if from >= window.until_ms {
                break;
            }
            let person =
                usize::try_from(number).ok().and_then(|number| self.people.get(number % self.people.len().max(1)));
            let Some(person) = person else { break };
            if to > window.from_ms {
                turns.push(turn(from, to, person));
            }
        }
        turns
    }
}

fn turn(starts_at_ms: i64, ends_at_ms: i64, person: &str) -> Turn {
    Turn { starts_at_ms, ends_at_ms, who: vec![person.to_owned()], text: String::new() }
}

/// What is left of a turn: nothing, a part, or two.
fn without(turn: &Turn, from: i64, to: i64) -> Vec<Turn> {
    let before = Turn { ends_at_ms: turn.ends_at_ms.min(from), ..turn.clone() };
    let after = Turn { starts_at_ms: turn.starts_at_ms.max(to), ..turn.clone() };
    [before, after].into_iter().filter(|part| part.starts_at_ms < part.ends_at_ms).collect()
}

fn instant(local: DateTime, zone: &TimeZone) -> Option<i64> {
    Some(zone.to_ambiguous_timestamp(local).compatible().ok()?.as_millisecond())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::record::EventTime;

    fn berlin() -> TimeZone {
        super::super::zone("Europe/Berlin").unwrap()
    }

    fn at(text: &str) -> EventTime {
        EventTime(text.parse::<Timestamp>().unwrap().as_millisecond())
    }

    fn plan(people: &[&str], start: &str, days: u16) -> Plan {
        let people = people.iter().map(|name| (*name).to_owned()).collect();
        Plan { people, start: start.to_owned().into(), days, overrides: Vec::new() }
    }

    fn shown(turns: &[Turn]) -> Vec<String> {
        let mut turns = turns.to_vec();
        turns.sort_by_key(|turn| turn.starts_at_ms);
        let time = |ms| Timestamp::from_millisecond(ms).unwrap().strftime("%m-%dT%H:%M").to_string();
        turns.iter().map(|t| format!("{}/{} {}", time(t.starts_at_ms), time(t.ends_at_ms), t.who[0])).collect()
    }

    #[test]
    fn hand_over_is_at_the_same_time_on_the_wall_when_the_clocks_change() {
        let turns =
            plan(&["maria", "peter"], "2026-10-12T09:00", 7).turns(&berlin(), Window::around(at("2026-10-20T00:00Z")));
        let first = ["10-12T07:00/10-19T07:00 maria", "10-19T07:00/10-26T08:00 peter", "10-26T08:00/11-02T08:00 maria"];
        assert_eq!(shown(&turns)[..3], first);
    }

    #[test]
    fn before_its_first_hand_over_nobody_is_on_call() {
        let turns = plan(&["maria"], "2026-12-01T09:00", 7).turns(&berlin(), Window::around(at("2026-11-20T00:00Z")));
        assert_eq!(shown(&turns)[0], "12-01T08:00/12-08T08:00 maria");
        assert_eq!(turns.len(), 4);
    }

    #[test]
    fn who_stands_in_takes_the_time_from_the_others() {
        let mut plan = plan(&["maria", "peter"], "2026-11-30T09:00", 7);
        let over = |from: &str, to: &str, person: &str| Override {
            from: from.to_owned().into(),
            to: to.to_owned().into(),
            person: person.to_owned(),
        };
        plan.overrides = vec![
            over("2026-12-01T00:00", "2026-12-03T00:00", "zoe"),
            over("2026-12-02T00:00", "2026-12-02T12:00", "peter"),
        ];
        let turns = plan.turns(&berlin(), Window::around(at("2026-11-30T12:00Z")));
        assert_eq!(
            shown(&turns)[..6],
            [
                "11-30T08:00/11-30T23:00 maria",
                "11-30T23:00/12-01T23:00 zoe",
                "12-01T23:00/12-02T11:00 peter",
                "12-02T11:00/12-02T23:00 zoe",
                "12-02T23:00/12-07T08:00 maria",
                "12-07T08:00/12-14T08:00 peter",
            ]
        );
    }

    #[test]
    fn what_is_wrong_with_it_is_told_with_its_place() {
        let mut wrong = plan(&[], "2026-12-01T09:00", 0);
        let noon = wrong.start.clone();
        wrong.overrides.push(Override { from: noon.clone(), to: noon, person: "x".to_owned() });
        wrong.overrides.push(Override { from: "noon".to_owned().into(), ..wrong.overrides[0].clone() });
        let told = wrong.problems("rotations.a.plan");
        let places: Vec<_> = told.iter().map(|problem| problem.split(':').next().unwrap()).collect();
        let plan = "rotations.a.plan";
        assert_eq!(
            places,
            [
                format!("{plan}.people"),
                format!("{plan}.days"),
                format!("{plan}.overrides[0].to"),
                format!("{plan}.overrides[1].from")
            ]
        );
    }

    proptest! {
        /// Whatever the zone, the period and the moment, DST weeks included: one turn after the other, and no gap between them.
        #[test]
        fn a_plan_has_no_gaps_and_covers_the_window(
            zone in prop::sample::select(vec!["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "America/Sao_Paulo", "UTC"]),
            people in 1..6usize, days in 1..60u16, hour in 0..24i8, now in 1_600_000_000_000..1_900_000_000_000i64,
        ) {
            let names: Vec<_> = (0..people).map(|n| n.to_string()).collect();
            let names: Vec<_> = names.iter().map(String::as_str).collect();
            let plan = plan(&names, &format!("2020-01-06T{hour:02}:30"), days);
            let window = Window::around(EventTime(now));
            let turns = plan.turns(&super::super::zone(zone).unwrap(), window);
            prop_assert!(turns[0].starts_at_ms <= window.from_ms && turns[turns.len() - 1].ends_at_ms >= window.until_ms);
            for pair in turns.windows(2) {
                prop_assert_eq!(pair[0].ends_at_ms, pair[1].starts_at_ms);
                let next = (pair[0].who[0].parse::<usize>().unwrap() + 1) % people;
                prop_assert_eq!(pair[1].who[0].parse::<usize>().unwrap(), next);
            }
        }
    }
}
