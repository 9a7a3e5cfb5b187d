//! A rule as it is written, and all that it remembers of one series.
//!
//! ```yaml
//! - { name: disk-full, select: 'disk_used_percent{mountpoint="/"}', detect: { forecast: { above: 90, horizon_secs: 14400 } }, for_secs: 300 }
//! - { name: errors, select: http_errors_ratio, as: error ratio, service: checkout, detect: { baseline: { over_secs: 86400, points: 0.05 } } }
//! - { name: odd, detect: { ensemble: { at_least: 2, of: [{ shift: {} }, { unusual: {} }, { same_time: { period: day } }] } } }
//! ```

use serde::{Deserialize, Serialize};

use super::absence::{self, Absence};
use super::baseline::{self, Baseline};
use super::chart::Chart;
use super::episode::{Change, Episode, Phase};
use super::forecast::{self, Forecast};
use super::intake::{Dropped, Intake};
use super::monotone::{self, Monotone};
use super::reason;
use super::same_time::{self, SameTime};
use super::select::Selector;
use super::shift::{self, Shift};
use super::spark::{self, Recent};
use super::unusual::{self, Unusual};
use super::{Reading, Reason, Sample, Unit};
use crate::record::EventTime;

/// Of the states. A state of another version is forgotten: it cannot be read into what it was not made for.
pub const VERSION: i32 = 1;
const MEMBERS_MAX: usize = 8;
const HOUR_SECS: i64 = 3600;

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    pub name: String,
    /// Which series it is for. A rule that is tried on one recorded series needs none.
    #[serde(default)]
    pub select: Option<Selector>,
    /// What its detections are called; without it as the rule.
    #[serde(default)]
    pub alert: Option<String>,
    /// Whose detections are; without it the series' label `service`, else `job`.
    #[serde(default)]
    pub service: Option<String>,
    /// Without it the series' label `environment`, else `env`.
    #[serde(default)]
    pub environment: Option<String>,
    pub detect: Detect,
    /// The series is a counter: its rate a second is looked at.
    #[serde(default)]
    pub counter: bool,
    /// So long it must hold.
    #[serde(default)]
    pub for_secs: u32,
    /// So long it must be well again.
    #[serde(default = "recovering_secs")]
    pub recovering_secs: u32,
    /// What the series is called where people are told; the metric's name made readable if this is not given.
    #[serde(default, rename = "as")]
    pub called: Option<String>,
    /// Of the series; what the metric's name says if this is not given.
    #[serde(default)]
    pub unit: Option<Unit>,
}

fn recovering_secs() -> u32 {
    900
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Detect {
    Forecast(Forecast),
    Monotone(Monotone),
    Shift(Shift),
    SameTime(SameTime),
    Baseline(Baseline),
    Absence(Absence),
    Unusual(Unusual),
    Ensemble(Ensemble),
}

/// As strong as the `at_least`th strongest of its members, and its reason is that of the strongest.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ensemble {
    pub at_least: usize,
    pub of: Vec<Detect>,
}

/// Of one rule and one series. Bounded, whatever comes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    version: i32,
    intake: Intake,
    /// Of each member, or of the one detector.
    memories: Vec<Memory>,
    recent: Recent,
    pub episode: Episode,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Memory {
    Forecast(forecast::State),
    Monotone(monotone::State),
    Shift(shift::State),
    SameTime(same_time::State),
    Baseline(baseline::State),
    Absence(absence::State),
    Unusual(unusual::State),
}

/// What a sample, or a deadline that passed, came to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Observed {
    pub reading: Reading,
    pub change: Option<Change>,
    /// What was looked at: of a counter its rate. `None` without a sample.
    pub value: Option<f64>,
}

/// What a forecast sees coming.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ahead {
    pub threshold: f64,
    /// 0: the series is beyond it.
    pub in_ms: i64,
}

impl Observed {
    pub fn ahead(&self) -> Option<Ahead> {
        match self.reading {
            Reading { reason: Reason::Crosses { threshold, in_ms, .. }, strength } if strength >= 1.0 => {
                Some(Ahead { threshold, in_ms })
            }
            _ => None,
        }
    }
}

impl Rule {
    /// What is wrong with it, each with what to mend.
    pub fn problems(&self) -> Vec<String> {
        let named = (self.name.trim().is_empty()).then(|| "a rule needs a name".to_owned());
        let texts = [
            ("alert", &self.alert),
            ("as", &self.called),
            ("environment", &self.environment),
            ("service", &self.service),
        ];
        let empty = texts.into_iter().filter(|(_, text)| text.as_ref().is_some_and(|text| text.trim().is_empty()));
        let empty = empty.map(|(option, _)| format!("{option} is empty: leave it out, or give it a text"));
        let of_rule = |problem: String| format!("rule `{}`: {problem}", self.name);
        named.into_iter().chain(self.detect.problems().into_iter().chain(empty).map(of_rule)).collect()
    }

    pub fn observe(&self, state: &mut State, sample: Sample) -> Result<Observed, Dropped> {
        self.fit(state);
        let taken = state.intake.take(sample, self.counter)?;
        state.recent.add(taken, self.column_ms());
        let reading = |(detect, memory): (&Detect, &mut Memory)| detect.observe(memory, taken);
        let readings = self.detect.members().iter().zip(&mut state.memories).map(reading).collect();
        Ok(Observed { value: Some(taken.value), ..self.conclude(state, readings, taken.at) })
    }

    /// When it wants to be asked although no sample came: when it becomes absent, and when that has held for long enough.
    pub fn deadline(&self, state: &State) -> Option<EventTime> {
        let deadline = |(detect, memory): (&Detect, &Memory)| {
            let (absence, memory) = detect.absence(memory)?;
            absence.deadline(memory)
        };
        let absent = self.detect.members().iter().zip(&state.memories).filter_map(deadline).min()?;
        match state.episode {
            Episode { phase: Phase::Pending, since } => {
                Some(absent.max(since.plus_ms(i64::from(self.for_secs) * 1000)))
            }
            Episode { phase: Phase::Firing, .. } => None,
            _ => Some(absent),
        }
    }

    /// Whether it can say anything of a series that is not told.
    pub fn sees_absence(&self) -> bool {
        self.detect.members().iter().any(|detect| matches!(detect, Detect::Absence(_)))
    }

    pub fn alert(&self) -> &str {
        self.alert.as_deref().unwrap_or(&self.name)
    }

    /// What its deadline says that has passed. Only absence is seen without a sample.
    pub fn due(&self, state: &mut State, at: EventTime) -> Observed {
        self.fit(state);
        let due = |(detect, memory): (&Detect, &Memory)| {
            detect.absence(memory).map_or(Reading::NOTHING, |(absence, memory)| absence.due(memory, at))
        };
        let readings = self.detect.members().iter().zip(&state.memories).map(due).collect();
        self.conclude(state, readings, at)
    }

    /// Why, in words, of a series of this metric: `error ratio 2.1 % -> 7.4 % in 20 min, crosses 10 % in about 9 min`.
    pub fn summary(&self, metric: &str, reason: &Reason) -> String {
        let unit = self.unit.unwrap_or_else(|| Unit::of_metric(metric));
        let named = if metric.is_empty() { &self.name } else { metric };
        let called = self.called.clone().unwrap_or_else(|| reason::readable(named, unit));
        format!("{called} {}", reason.told(unit, self.counter))
    }

    /// What a forecast of it looks out for.
    pub fn threshold(&self) -> Option<f64> {
        let threshold =
            |detect: &Detect| if let Detect::Forecast(forecast) = detect { Some(forecast.threshold()) } else { None };
        self.detect.members().iter().find_map(threshold)
    }

    /// The last while of the series as one line of text, up to that time.
    pub fn sparkline(&self, state: &State, at: EventTime) -> String {
        state.recent.line(at, self.column_ms())
    }

    /// The same for a picture, with the threshold and where a forecast leads; `None` if nothing was ever told.
    pub fn chart(&self, state: &State, at: EventTime, ahead: Option<Ahead>) -> Option<Chart> {
        let threshold = ahead.map(|ahead| ahead.threshold).or_else(|| self.threshold());
        let (cells, column_ms) = state.recent.cells(at, self.column_ms());
        let columns_ahead = ahead.map(|ahead| ahead.in_ms as f64 / column_ms as f64);
        Chart::of(&cells, threshold, columns_ahead)
    }

    fn column_ms(&self) -> i64 {
        (self.detect.while_secs() * 1000 / spark::COLUMNS as i64).max(1)
    }

    /// From 0 to 1, for a benchmark that takes a score a row: what `unusual` has to tell anew.
    pub fn news(&self, state: &State) -> f64 {
        let news = |memory: &Memory| if let Memory::Unusual(memory) = memory { memory.news() } else { 0.0 };
        state.memories.iter().map(news).fold(0.0, f64::max)
    }

    fn conclude(&self, state: &mut State, mut readings: Vec<Reading>, at: EventTime) -> Observed {
        readings.sort_by(|a, b| b.strength.total_cmp(&a.strength));
        let needed = if let Detect::Ensemble(ensemble) = &self.detect { ensemble.at_least } else { 1 };
        let strength = readings.get(needed.saturating_sub(1)).map_or(0.0, |reading| reading.strength);
        let reason = readings.first().map_or(Reading::NOTHING, |strongest| *strongest).reason;
        let (for_ms, recovering_ms) = (i64::from(self.for_secs) * 1000, i64::from(self.recovering_secs) * 1000);
        let change = state.episode.step(strength, at, for_ms, recovering_ms);
        Observed { reading: Reading { strength, reason }, change, value: None }
    }

    /// A state of another version, or of a rule that was another, is no memory of this one.
    fn fit(&self, state: &mut State) {
        let members = self.detect.members();
        let fits = state.version == VERSION
            && members.len() == state.memories.len()
            && members.iter().zip(&state.memories).all(|(detect, memory)| detect.remembers(memory));
        if !fits {
            let memories = members.iter().filter_map(Detect::memory).collect();
            *state = State { version: VERSION, memories, ..State::default() };
        }
    }
}

impl Detect {
    fn members(&self) -> &[Self] {
        if let Self::Ensemble(ensemble) = self { &ensemble.of } else { std::slice::from_ref(self) }
    }

    fn problems(&self) -> Vec<String> {
        match self {
            Self::Forecast(detector) => detector.problems(),
            Self::Monotone(detector) => detector.problems(),
            Self::Shift(detector) => detector.problems(),
            Self::SameTime(detector) => detector.problems(),
            Self::Baseline(detector) => detector.problems(),
            Self::Absence(detector) => detector.problems(),
            Self::Unusual(_) => Vec::new(),
            Self::Ensemble(Ensemble { at_least, of }) => {
                let mut problems: Vec<String> = of.iter().flat_map(Self::problems).collect();
                if of.len() > MEMBERS_MAX || !(1..=of.len()).contains(at_least) {
                    problems
                        .push(format!("ensemble: at most {MEMBERS_MAX} members, and at_least from 1 to their number"));
                }
                if of.iter().any(|member| matches!(member, Self::Ensemble(_))) {
                    problems.push("ensemble: an ensemble is no member of another: list its members".to_owned());
                }
                problems
            }
        }
    }

    /// What people are shown of the series: what the detector looks at, where that is a while.
    fn while_secs(&self) -> i64 {
        match self {
            Self::Forecast(detector) => detector.horizon_secs.into(),
            Self::Monotone(detector) => detector.window_secs.into(),
            Self::Absence(detector) => 2 * i64::from(detector.after_secs),
            Self::Ensemble(ensemble) => ensemble.of.iter().map(Self::while_secs).max().unwrap_or(HOUR_SECS),
            Self::Shift(_) | Self::SameTime(_) | Self::Baseline(_) | Self::Unusual(_) => HOUR_SECS,
        }
    }

    fn memory(&self) -> Option<Memory> {
        Some(match self {
            Self::Forecast(_) => Memory::Forecast(Default::default()),
            Self::Monotone(_) => Memory::Monotone(Default::default()),
            Self::Shift(_) => Memory::Shift(Default::default()),
            Self::SameTime(_) => Memory::SameTime(Default::default()),
            Self::Baseline(_) => Memory::Baseline(Default::default()),
            Self::Absence(_) => Memory::Absence(Default::default()),
            Self::Unusual(_) => Memory::Unusual(Default::default()),
            Self::Ensemble(_) => return None,
        })
    }

    fn remembers(&self, memory: &Memory) -> bool {
        self.memory().is_some_and(|own| std::mem::discriminant(&own) == std::mem::discriminant(memory))
    }

    fn observe(&self, memory: &mut Memory, sample: Sample) -> Reading {
        match (self, memory) {
            (Self::Forecast(detector), Memory::Forecast(memory)) => detector.observe(memory, sample),
            (Self::Monotone(detector), Memory::Monotone(memory)) => detector.observe(memory, sample),
            (Self::Shift(detector), Memory::Shift(memory)) => detector.observe(memory, sample),
            (Self::SameTime(detector), Memory::SameTime(memory)) => detector.observe(memory, sample),
            (Self::Baseline(detector), Memory::Baseline(memory)) => detector.observe(memory, sample),
            (Self::Absence(detector), Memory::Absence(memory)) => detector.observe(memory, sample.at),
            (Self::Unusual(detector), Memory::Unusual(memory)) => detector.observe(memory, sample),
            _ => Reading::NOTHING,
        }
    }

    fn absence<'a>(&'a self, memory: &'a Memory) -> Option<(&'a Absence, &'a absence::State)> {
        match (self, memory) {
            (Self::Absence(detector), Memory::Absence(memory)) => Some((detector, memory)),
            _ => None,
        }
    }
}
