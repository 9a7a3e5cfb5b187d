//! What rules would have said of recorded series: the detections, and, where a series is labelled, how many were right and how early.
//!
//! A detection is right if its episode and a labelled stretch of its series overlap: a forecast comes before it and is still there when it
//! begins. Of several series everything is counted together: a day's detections are those that a person would have been told that day.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Reason;
use super::csv::{Recorded, Row};
use super::episode::Change;
use super::intake::Dropped;
use super::rule::{Observed, Rule, State};
use crate::record::EventTime;

const DAY_MS: f64 = 86_400_000.0;

#[derive(Debug, Serialize)]
pub struct Report {
    pub series: usize,
    pub samples: usize,
    /// From the first sample of all to the last.
    pub days: f64,
    /// Labelled stretches; `None` if no series has labels.
    pub labelled: Option<usize>,
    pub rules: Vec<Outcome>,
}

/// Of one rule.
#[derive(Debug, Serialize)]
pub struct Outcome {
    pub rule: String,
    /// What a forecast looks out for.
    pub threshold: Option<f64>,
    /// By series, then in the order of time.
    pub detections: Vec<Detection>,
    pub detections_a_day: f64,
    pub dropped: BTreeMap<Dropped, usize>,
    pub judged: Option<Judged>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Detection {
    pub series: String,
    pub began_at_ms: i64,
    /// `None` while it fires or recovers at the end of the series.
    pub ended_at_ms: Option<i64>,
    pub reason: String,
    /// The last while before it began.
    pub sparkline: String,
    pub forecast: Option<Crossing>,
    pub right: Option<bool>,
}

/// What was foreseen as the detection began.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Crossing {
    pub value: f64,
    pub threshold: f64,
    pub at_ms: i64,
}

#[derive(Debug, PartialEq, Serialize)]
pub struct Judged {
    /// Right detections among all; `None` if there are none.
    pub precision: Option<f64>,
    /// Labelled stretches that were detected.
    pub found: usize,
    /// From the first right detection to the beginning of its stretch, on average; negative: it came later.
    pub lead_secs: Option<f64>,
}

/// Counts that can be added up, of one rule.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Tally {
    pub detections: usize,
    /// Of series with labels.
    pub judged: usize,
    pub right: usize,
    pub labelled: usize,
    pub found: usize,
    pub lead_secs: f64,
}

/// What one rule says of one series.
#[derive(Debug)]
pub struct Run {
    pub detections: Vec<Detection>,
    pub dropped: BTreeMap<Dropped, usize>,
    pub tally: Tally,
}

/// First and last time.
type Stretch = (EventTime, EventTime);

pub fn backtest(rules: &[Rule], all: &[Recorded]) -> Report {
    let days = days(all);
    let labelled = all.iter().filter(|one| one.is_labelled()).map(|one| stretches(&one.rows).len());
    Report {
        series: all.len(),
        samples: all.iter().map(|one| one.rows.len()).sum(),
        days,
        labelled: all.iter().any(Recorded::is_labelled).then(|| labelled.sum()),
        rules: rules.iter().map(|rule| outcome(rule, all, days)).collect(),
    }
}

/// From the first sample of all to the last.
pub fn days(all: &[Recorded]) -> f64 {
    let times = || all.iter().flat_map(|one| &one.rows).map(|row| row.sample.at);
    let span = times().min().zip(times().max()).map_or(0, |(first, last)| last.since_ms(first));
    span as f64 / DAY_MS
}

pub fn stretches(rows: &[Row]) -> Vec<Stretch> {
    let runs = rows.chunk_by(|a, b| (a.label == Some(true)) == (b.label == Some(true)));
    let wrong = runs.filter(|run| run[0].label == Some(true));
    wrong.map(|run| (run[0].sample.at, run[run.len() - 1].sample.at)).collect()
}

fn outcome(rule: &Rule, all: &[Recorded], days: f64) -> Outcome {
    let mut outcome = Outcome {
        rule: rule.name.clone(),
        threshold: rule.threshold(),
        detections: Vec::new(),
        detections_a_day: 0.0,
        dropped: BTreeMap::new(),
        judged: None,
    };
    let mut tally = Tally::default();
    for run in all.iter().filter(|one| one.is_for(rule)).map(|one| run(rule, one)) {
        outcome.detections.extend(run.detections);
        run.dropped.into_iter().for_each(|(why, count)| *outcome.dropped.entry(why).or_default() += count);
        tally = tally.and(run.tally);
    }
    outcome.detections_a_day = if days > 0.0 { outcome.detections.len() as f64 / days } else { 0.0 };
    outcome.judged = all.iter().any(Recorded::is_labelled).then(|| tally.judged());
    outcome
}

pub fn run(rule: &Rule, of: &Recorded) -> Run {
    let mut state = State::default();
    let mut detections = Vec::new();
    let mut dropped = BTreeMap::new();
    for row in &of.rows {
        let at = row.sample.at;
        // What would have woken the rule while nothing was told.
        for due in rule.deadline(&state).into_iter().flat_map(|due| [due, due.plus_ms(i64::from(rule.for_secs) * 1000)])
        {
            if due < at {
                let observed = rule.due(&mut state, due);
                note(rule, of, &state, &mut detections, observed, due);
            }
        }
        match rule.observe(&mut state, row.sample) {
            Ok(observed) => note(rule, of, &state, &mut detections, observed, at),
            Err(reason) => *dropped.entry(reason).or_default() += 1,
        }
    }
    let mut tally = Tally { detections: detections.len(), ..Tally::default() };
    if of.is_labelled() {
        tally = judge(&mut detections, &stretches(&of.rows));
    }
    Run { detections, dropped, tally }
}

fn note(rule: &Rule, of: &Recorded, state: &State, detections: &mut Vec<Detection>, observed: Observed, at: EventTime) {
    match observed.change {
        Some(Change::Began) => {
            let reason = observed.reading.reason;
            let forecast = match reason {
                Reason::Crosses { value, threshold, in_ms, .. } => {
                    Some(Crossing { value, threshold, at_ms: at.plus_ms(in_ms).0 })
                }
                _ => None,
            };
            detections.push(Detection {
                series: of.series.clone(),
                began_at_ms: at.0,
                ended_at_ms: None,
                reason: rule.summary(&of.metric(), &reason),
                sparkline: rule.sparkline(state, at),
                forecast,
                right: None,
            });
        }
        Some(Change::Ended) => {
            if let Some(open) = detections.last_mut() {
                open.ended_at_ms = Some(at.0);
            }
        }
        Some(Change::Recovering | Change::Resumed) | None => {}
    }
}

fn judge(detections: &mut [Detection], stretches: &[Stretch]) -> Tally {
    let overlap = |one: &Detection, (from, to): &Stretch| {
        one.began_at_ms <= to.0 && one.ended_at_ms.is_none_or(|ended| ended >= from.0)
    };
    for one in detections.iter_mut() {
        one.right = Some(stretches.iter().any(|stretch| overlap(one, stretch)));
    }
    let first = |stretch: &Stretch| {
        let one = detections.iter().find(|one| overlap(one, stretch))?;
        Some((stretch.0.0 - one.began_at_ms) as f64 / 1000.0)
    };
    let leads: Vec<f64> = stretches.iter().filter_map(first).collect();
    Tally {
        detections: detections.len(),
        judged: detections.len(),
        right: detections.iter().filter(|one| one.right == Some(true)).count(),
        labelled: stretches.len(),
        found: leads.len(),
        lead_secs: leads.iter().sum(),
    }
}

impl Tally {
    pub fn and(self, other: Self) -> Self {
        Self {
            detections: self.detections + other.detections,
            judged: self.judged + other.judged,
            right: self.right + other.right,
            labelled: self.labelled + other.labelled,
            found: self.found + other.found,
            lead_secs: self.lead_secs + other.lead_secs,
        }
    }

    pub fn judged(&self) -> Judged {
        let part = |of: f64, all: usize| (all > 0).then(|| of / all as f64);
        Judged {
            precision: part(self.right as f64, self.judged),
            found: self.found,
            lead_secs: part(self.lead_secs, self.found),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::csv::series;
    use super::*;

    fn rule(yaml: &str) -> Rule {
        serde_saphyr::from_str(yaml).unwrap()
    }

    #[test]
    fn a_forecast_is_judged_by_the_stretch_that_it_foresaw() {
        let rise = |minute: i64| if minute < 300 { minute as f64 } else { 0.0 };
        let lines =
            (0..600).map(|minute| format!("{},{},{}", minute * 60, rise(minute), u8::from(rise(minute) > 250.0)));
        let all = series("disk", &lines.collect::<Vec<_>>().join("\n")).unwrap();
        let forecast = rule("{ name: full, detect: { forecast: { above: 250, horizon_secs: 3600 } } }");
        let report = backtest(&[forecast], &all);
        let outcome = &report.rules[0];
        assert_eq!((report.labelled, outcome.detections.len()), (Some(1), 1));
        let judged = outcome.judged.as_ref().unwrap();
        assert_eq!((judged.precision, judged.found), (Some(1.0), 1));
        assert!((3300.0..=3780.0).contains(&judged.lead_secs.unwrap()), "{judged:?}");
        assert!(outcome.detections[0].ended_at_ms.is_some_and(|at| at > 300 * 60_000));
        let Detection { reason, sparkline, .. } = &outcome.detections[0];
        assert!(reason.starts_with("full 1") && reason.contains(", crosses 250 in about "), "{reason}");
        assert!(sparkline.starts_with('▁') && sparkline.ends_with('█'), "{sparkline}");
    }

    #[test]
    fn absence_is_seen_between_two_samples() {
        let all = series("x", "0,1\n60,1\n4000,1\n4060,1\n6000,1").unwrap();
        let rules = [
            "{ name: gone, detect: { absence: { after_secs: 600 } }, recovering_secs: 30 }",
            "{ name: gone, detect: { absence: { after_secs: 600 } }, for_secs: 300, recovering_secs: 30 }",
        ];
        let report = backtest(&rules.map(rule), &all);
        let began = |outcome: &Outcome| outcome.detections.iter().map(|one| one.began_at_ms / 1000).collect::<Vec<_>>();
        assert_eq!(report.rules.iter().map(began).collect::<Vec<_>>(), [vec![660, 4660], vec![960, 4960]]);
        assert_eq!(report.rules[0].detections[0].reason, "gone not told for 10 min");
        assert_eq!(report.labelled, None);
    }

    #[test]
    fn what_was_wrong_is_counted() {
        let all = series("x", "0,1,0\n60,1,1\n120,2,1\n60,9,0\n180,NaN,0\n240,5,0").unwrap();
        let report = backtest(&[rule("{ name: full, detect: { forecast: { above: 4, horizon_secs: 60 } } }")], &all);
        let outcome = &report.rules[0];
        assert_eq!(
            outcome.dropped.iter().map(|(why, count)| (*why, *count)).collect::<Vec<_>>(),
            [(Dropped::NotANumber, 1), (Dropped::Late, 1)]
        );
        assert_eq!(outcome.judged, Some(Judged { precision: Some(0.0), found: 0, lead_secs: None }));
        assert_eq!(stretches(&all[0].rows), [(EventTime(60_000), EventTime(120_000))]);
    }
}
