//! One series, its rules, and what becomes of them at a sample or a deadline.

use std::sync::Arc;

use super::alert::{self, Said, Telling};
use super::memory::{Memory, Open, Watched};
use super::{Event, Trend};
use crate::event::Sample;
use crate::event::words::span;
use crate::record::EventTime;
use crate::trend;
use crate::trend::episode::{Change, Episode, Phase};
use crate::trend::intake::Dropped;
use crate::trend::rule::{self, Ahead, Observed, Rule};
use crate::trend::series::Series;

pub struct Watch<'a> {
    trend: &'a Trend,
    series: &'a str,
    pub memory: Memory,
    pub told: Vec<Event>,
}

/// When a watched series wants to be looked at without a sample. Some of them may have been told already.
pub fn deadlines(trend: &Trend, memory: &Memory, watched: &Watched) -> impl Iterator<Item = EventTime> {
    let rule = trend.rule_named(&watched.rule);
    let absent = rule.and_then(|rule| rule.deadline(&watched.state)).map(|at| at.plus_ms(memory.lag_ms));
    let open = watched.open.as_ref().map(|open| match rule {
        Some(rule) if rule.sees_absence() => open.told_at.plus_ms(millis(trend.retell_secs)),
        _ => silent_at(trend, memory),
    });
    absent.into_iter().chain(open)
}

pub fn forgotten_at(trend: &Trend, memory: &Memory) -> EventTime {
    memory.heard_at.plus_ms(millis(trend.forget_after_secs))
}

fn silent_at(trend: &Trend, memory: &Memory) -> EventTime {
    memory.heard_at.plus_ms(millis(trend.silent_secs))
}

fn millis(secs: u32) -> i64 {
    i64::from(secs) * 1_000
}

impl<'a> Watch<'a> {
    pub fn of(trend: &'a Trend, series: &'a str, memory: Memory) -> Self {
        Self { trend, series, memory, told: Vec::new() }
    }

    /// Matches the series with every rule. What still watches it keeps its memory, what does not ends. The error is a reason.
    pub fn choose(
        trend: &'a Trend,
        series: &'a str,
        known: Option<&Memory>,
        at: EventTime,
    ) -> Result<Self, &'static str> {
        let parsed = Series::parse(series).map_err(|_| "unreadable")?;
        let mut before = known.map(|known| known.watched.clone()).unwrap_or_default();
        let fits = |rule: &&Rule| rule.select.as_ref().is_some_and(|select| select.matches(&parsed));
        let kept = |rule: &Rule| match before.iter().position(|watched| *watched.rule == *rule.name) {
            Some(place) => before.remove(place),
            None => Watched { rule: Arc::from(&*rule.name), state: rule::State::default(), open: None },
        };
        let watched = trend.rules.iter().filter(fits).map(kept).collect();
        let memory = Memory {
            series: series.to_owned(),
            chosen_by: trend.fingerprint,
            watched,
            ..known.cloned().unwrap_or_default()
        };
        let mut watch = Self::of(trend, series, memory);
        for mut left in before {
            watch.end(&mut left, "its rule is for this series no more", at);
        }
        Ok(watch)
    }

    /// The error is the reason for which no rule took the sample.
    pub fn observe(&mut self, sample: &Sample<'_>, at: EventTime) -> Result<(), &'static str> {
        let taken_at = EventTime(sample.at_ms);
        let mut result = Err("unselected");
        let mut all = std::mem::take(&mut self.memory.watched);
        for watched in &mut all {
            let Some(rule) = self.trend.rule_named(&watched.rule) else { continue };
            let sample = trend::Sample { at: taken_at, value: sample.value };
            match rule.observe(&mut watched.state, sample) {
                Ok(observed) => {
                    result = Ok(());
                    self.tell(rule, watched, &observed, taken_at, at);
                }
                Err(Dropped::FirstOfCounter) => result = Ok(()),
                Err(reason) => result = result.or(Err(reason.name())),
            }
        }
        self.memory.watched = all;
        if result.is_ok() {
            self.memory.heard_at = self.memory.heard_at.max(at);
            self.memory.lag_ms = at.since_ms(taken_at);
            self.memory.woken_at = None;
        }
        result
    }

    /// A deadline of the series has passed.
    pub fn wake(&mut self, at: EventTime) {
        let taken_at = at.plus_ms(-self.memory.lag_ms);
        let silent = silent_at(self.trend, &self.memory) <= at;
        let mut all = std::mem::take(&mut self.memory.watched);
        for watched in &mut all {
            let rule = self.trend.rule_named(&watched.rule);
            match rule.filter(|rule| rule.sees_absence()) {
                Some(rule) if rule.deadline(&watched.state).is_some_and(|due| due <= taken_at) => {
                    let observed = rule.due(&mut watched.state, taken_at);
                    self.tell(rule, watched, &observed, taken_at, at);
                }
                Some(_) => self.retell(watched, taken_at, at),
                None if silent => {
                    watched.state.episode = Episode::default();
                    let why = format!("nothing told for {}", span(millis(self.trend.silent_secs)));
                    self.end(watched, &why, at);
                }
                None => {}
            }
        }
        self.memory.watched = all;
        self.memory.woken_at = Some(at);
    }

    pub fn end_all(&mut self, at: EventTime) {
        let why = format!("nothing told for {}, it is forgotten", span(millis(self.trend.forget_after_secs)));
        let all = std::mem::take(&mut self.memory.watched);
        all.into_iter().for_each(|mut watched| self.end(&mut watched, &why, at));
    }

    fn tell(&mut self, rule: &Rule, watched: &mut Watched, observed: &Observed, taken_at: EventTime, at: EventTime) {
        let lives = matches!(watched.state.episode.phase, Phase::Firing | Phase::Recovering);
        let telling = match observed.change {
            Some(Change::Began) => {
                watched.open = Some(alert::open(rule, self.series, taken_at));
                Telling::Began
            }
            Some(Change::Recovering) => Telling::Recovering,
            Some(Change::Resumed) => Telling::Resumed,
            Some(Change::Ended) => Telling::Ended,
            // The rule is another than the one that began it.
            None if !lives => return self.end(watched, "its rule was changed", at),
            None => Telling::GoesOn,
        };
        let time = millis(self.trend.retell_secs);
        let Some(open) = &mut watched.open else { return };
        if telling != Telling::GoesOn || open.told_at.plus_ms(time) <= at {
            note(open, rule, self.series, observed);
            self.say(watched, telling, observed.ahead(), taken_at, at);
        }
    }

    fn retell(&mut self, watched: &mut Watched, taken_at: EventTime, at: EventTime) {
        let time = millis(self.trend.retell_secs);
        if watched.open.as_ref().is_some_and(|open| open.told_at.plus_ms(time) <= at) {
            self.say(watched, Telling::GoesOn, None, taken_at, at);
        }
    }

    fn end(&mut self, watched: &mut Watched, why: &str, at: EventTime) {
        if let Some(open) = &mut watched.open {
            open.reason = format!("{why}; it was: {}", open.reason);
            self.say(watched, Telling::Cut, None, at.plus_ms(-self.memory.lag_ms), at);
        }
    }

    fn say(
        &mut self,
        watched: &mut Watched,
        telling: Telling,
        ahead: Option<Ahead>,
        taken_at: EventTime,
        at: EventTime,
    ) {
        let Some(open) = &mut watched.open else { return };
        open.told_at = at;
        let rule = self.trend.rule_named(&watched.rule);
        let sparkline = rule.map(|rule| rule.sparkline(&watched.state, taken_at)).unwrap_or_default();
        let chart = rule.and_then(|rule| rule.chart(&watched.state, taken_at, ahead));
        let said =
            Said { telling, taken_at, sparkline, chart, crosses_in_secs: ahead.map(|ahead| ahead.in_ms / 1_000) };
        let alert = alert::told(open, &watched.rule, self.series, said);
        self.told.push(Event::Told(Box::new(alert), watched.rule.clone()));
        if telling.is_end() {
            watched.open = None;
        }
    }
}

/// What is nothing any more leaves the reason for which it was told.
fn note(open: &mut Open, rule: &Rule, series: &str, observed: &Observed) {
    if observed.reading.strength >= 1.0 {
        open.reason = rule.summary(&alert::read(series).metric, &observed.reading.reason);
    }
    open.value = observed.value;
}
