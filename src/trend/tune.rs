//! Which parameters of one rule suit recorded series best: a small grid around those that it has, tried on all of them.
//!
//! | detector | tried |
//! |---|---|
//! | `forecast` | `horizon_secs` times 1/4, 1/2, 2, 4; `seasonal` |
//! | `monotone` | `window_secs` times 1/2, 2, 4; `by` times 1/2, 2 |
//! | `shift` | `sum` times 1/2, 2, 4 |
//! | `same_time` | `period`; `distances` times 1/2, 3/2, 2 |
//! | `baseline` | `over_secs` times 1/4, 4; `points` or `percent` times 1/2, 2 |
//! | `absence` | `after_secs` times 1/2, 2, 4 |
//! | `ensemble` | `at_least`; its members stay as they are |
//! | all | `for_secs` of 0, 300, 900 |
//!
//! Of labelled series the best has the highest F1 of precision and found stretches, then the longest lead time; of others the most
//! detections that are not more than may be told. Always: at most [`TRIED_MAX`] rules; the same series give the same answer. The rule is
//! handled as it was written, so whatever else it says stays. Not here: what is best on series that nobody recorded. The figure of series
//! that were left out comes nearest to that, each judged by what is best for the others.

use std::cmp::Ordering;

use serde::Serialize;
use serde_json::{Value, json};

use super::backtest::{Judged, Tally, days, run};
use super::csv::Recorded;
use super::rule::Rule;

pub const TRIED_MAX: usize = 60;
/// Detections a day of series without labels, unless it is said otherwise.
pub const UNLABELLED_A_DAY: f64 = 1.0;

#[derive(Debug, Serialize)]
pub struct Tuned {
    pub series: usize,
    pub days: f64,
    pub labelled: Option<usize>,
    pub alerts_per_day_max: Option<f64>,
    /// The best first.
    pub tried: Vec<Tried>,
    /// Every series judged by the rule that is best for the others; `None` of one series.
    pub left_out: Option<Figures>,
}

#[derive(Debug, Serialize)]
pub struct Tried {
    /// In what it differs from the rule that was given; empty for that itself.
    pub changed: String,
    /// To be pasted.
    pub rule: String,
    pub figures: Figures,
    /// Whether no more is told than may be.
    pub within: bool,
}

#[derive(Debug, Serialize)]
pub struct Figures {
    pub detections: usize,
    pub detections_a_day: f64,
    pub judged: Option<Judged>,
    /// Of precision and of the part that was found.
    pub f1: Option<f64>,
}

/// A rule of the grid, and what it makes of each series.
struct Candidate {
    changed: String,
    written: Value,
    tallies: Vec<Tally>,
}

/// What `tallies` of candidates are compared by.
#[derive(Clone, Copy)]
struct Contest {
    is_labelled: bool,
    /// Detections on all series together.
    most: f64,
}

/// `written` is a rule as YAML or JSON has it. `step` hears of each of so many runs. Fails if the rule is none.
pub fn tune(
    written: &Value,
    all: &[Recorded],
    most: Option<f64>,
    step: &mut dyn FnMut(usize),
) -> Result<Tuned, String> {
    let mut candidates = Vec::new();
    let grid = grid(written)?;
    let runs = grid.len() * all.len();
    for (changed, written) in grid {
        let rule = read(&written)?;
        let tally = |one: &Recorded| {
            step(runs);
            if one.is_for(&rule) { run(&rule, one).tally } else { Tally::default() }
        };
        let tallies = all.iter().map(tally).collect();
        candidates.push(Candidate { changed, written, tallies });
    }
    let whole = sum(candidates.first().map_or(&[], |first| &first.tallies), None);
    let is_labelled = whole.labelled > 0;
    let days = days(all);
    let most = most.or((!is_labelled).then_some(UNLABELLED_A_DAY));
    let contest = Contest { is_labelled, most: most.map_or(f64::INFINITY, |most| most * days) };
    let figures = |tally: Tally| Figures {
        detections: tally.detections,
        detections_a_day: if days > 0.0 { tally.detections as f64 / days } else { 0.0 },
        judged: is_labelled.then(|| tally.judged()),
        f1: is_labelled.then(|| f1(&tally)),
    };
    let left_out = (all.len() > 1).then(|| figures(left_out(&candidates, all.len(), contest)));
    candidates.sort_by(|a, b| contest.compare(&sum(&a.tallies, None), &sum(&b.tallies, None)));
    let tried = candidates.iter().map(|one| {
        let tally = sum(&one.tallies, None);
        let (changed, rule) = (one.changed.clone(), flow(&one.written));
        Tried { changed, rule, figures: figures(tally), within: contest.is_within(&tally) }
    });
    let labelled = all.iter().any(Recorded::is_labelled).then_some(whole.labelled);
    Ok(Tuned { series: all.len(), days, labelled, alerts_per_day_max: most, tried: tried.collect(), left_out })
}

fn read(written: &Value) -> Result<Rule, String> {
    let rule: Rule = serde_json::from_value(written.clone()).map_err(|problem| format!("the rule: {problem}"))?;
    let problems = rule.problems();
    if problems.is_empty() { Ok(rule) } else { Err(problems.join("\n")) }
}

/// Each series by the rule that is best for the others.
fn left_out(candidates: &[Candidate], count: usize, contest: Contest) -> Tally {
    // The others may tell their part of what all may.
    let contest = Contest { most: contest.most * (count - 1) as f64 / count as f64, ..contest };
    let of = |left: usize| {
        let others = |one: &Candidate| sum(&one.tallies, Some(left));
        // The first of equals, as in the table.
        let best = candidates.iter().min_by(|a, b| contest.compare(&others(a), &others(b)));
        best.map_or(Tally::default(), |best| best.tallies[left])
    };
    (0..count).map(of).fold(Tally::default(), Tally::and)
}

fn sum(tallies: &[Tally], without: Option<usize>) -> Tally {
    let kept = tallies.iter().enumerate().filter(|(at, _)| Some(*at) != without);
    kept.fold(Tally::default(), |sum, (_, tally)| sum.and(*tally))
}

fn f1(tally: &Tally) -> f64 {
    let part = |of: usize, all: usize| if all > 0 { of as f64 / all as f64 } else { 0.0 };
    let (precision, found) = (part(tally.right, tally.judged), part(tally.found, tally.labelled));
    if precision + found > 0.0 { 2.0 * precision * found / (precision + found) } else { 0.0 }
}

impl Contest {
    fn is_within(&self, tally: &Tally) -> bool {
        tally.detections as f64 <= self.most
    }

    /// The better is less. What tells too much loses to all that does not, and the more it tells the more it loses.
    fn compare(&self, a: &Tally, b: &Tally) -> Ordering {
        let fewer = || a.detections.cmp(&b.detections);
        let within = self.is_within(b).cmp(&self.is_within(a));
        if within != Ordering::Equal {
            return within;
        }
        if !self.is_labelled {
            return if self.is_within(a) { fewer().reverse() } else { fewer() };
        }
        let lead = |tally: &Tally| tally.judged().lead_secs.unwrap_or(f64::NEG_INFINITY);
        f1(b).total_cmp(&f1(a)).then_with(|| lead(b).total_cmp(&lead(a))).then_with(fewer)
    }
}

/// What was changed, and the rule; the first is the one that was given.
fn grid(written: &Value) -> Result<Vec<(String, Value)>, String> {
    let mut grid = vec![(String::new(), written.clone())];
    for (path, name, values) in axes(written)? {
        let others = |(changed, rule): &(String, Value)| {
            let with = |value: &Value| {
                let mut rule = rule.clone();
                put(&mut rule, &path, name, value.clone());
                let comma = if changed.is_empty() { "" } else { ", " };
                (format!("{changed}{comma}{name} {}", flow(value)), rule)
            };
            values.iter().map(with).collect::<Vec<_>>()
        };
        let further: Vec<_> = grid.iter().flat_map(others).collect();
        grid.extend(further);
    }
    grid.truncate(TRIED_MAX);
    Ok(grid)
}

type Axis = (String, &'static str, Vec<Value>);

/// Where a parameter is, what it is called, and what it may be besides what it is.
fn axes(written: &Value) -> Result<Vec<Axis>, String> {
    let detect = written.get("detect").and_then(Value::as_object).and_then(|detect| detect.iter().next());
    let (kind, parameters) = detect.ok_or("a rule has `detect`, with one detector")?;
    let given = |name: &str| parameters.get(name);
    let number = |name: &str, default: f64| given(name).and_then(Value::as_f64).unwrap_or(default);
    let times = |name: &'static str, default: f64, factors: &[f64]| {
        let value = |factor: &f64| rounded(name, number(name, default) * factor);
        (name, factors.iter().map(value).collect::<Vec<_>>())
    };
    let own: Vec<(&'static str, Vec<Value>)> = match kind.as_str() {
        "forecast" => {
            let seasonal = given("seasonal").and_then(Value::as_bool).unwrap_or(false);
            vec![times("horizon_secs", 0.0, &[0.25, 0.5, 2.0, 4.0]), ("seasonal", vec![json!(!seasonal)])]
        }
        "monotone" => vec![times("window_secs", 0.0, &[0.5, 2.0, 4.0]), times("by", 0.0, &[0.5, 2.0])],
        "shift" => vec![times("sum", 20.0, &[0.5, 2.0, 4.0])],
        "same_time" => {
            let other = if given("period").and_then(Value::as_str) == Some("day") { "week" } else { "day" };
            vec![("period", vec![json!(other)]), times("distances", 6.0, &[0.5, 1.5, 2.0])]
        }
        "baseline" => {
            let by = if given("points").is_some_and(|points| !points.is_null()) { "points" } else { "percent" };
            vec![times("over_secs", 0.0, &[0.25, 4.0]), times(by, 0.0, &[0.5, 2.0])]
        }
        "absence" => vec![times("after_secs", 0.0, &[0.5, 2.0, 4.0])],
        "ensemble" => {
            let (members, own) = (given("of").and_then(Value::as_array).map_or(0, Vec::len), number("at_least", 0.0));
            vec![("at_least", (1..=members).filter(|count| *count as f64 != own).map(|count| json!(count)).collect())]
        }
        _ => Vec::new(),
    };
    let path = format!("/detect/{kind}");
    let held = written.get("for_secs").and_then(Value::as_f64).unwrap_or(0.0);
    let for_secs = [0, 300, 900].into_iter().filter(|secs| f64::from(*secs) != held).map(|secs| json!(secs)).collect();
    let own = own.into_iter().map(|(name, values)| (path.clone(), name, values));
    Ok(own.chain([(String::new(), "for_secs", for_secs)]).collect())
}

/// Seconds are whole, and one at least; nothing has more digits than people write.
fn rounded(name: &str, value: f64) -> Value {
    if name.ends_with("_secs") {
        return json!((value.round() as u64).clamp(1, u64::from(u32::MAX)));
    }
    let value = (value * 1e6).round() / 1e6;
    if value == value.trunc() && value.abs() < 1e15 { json!(value as i64) } else { json!(value) }
}

fn put(rule: &mut Value, path: &str, name: &str, value: Value) {
    if let Some(fields) = rule.pointer_mut(path).and_then(Value::as_object_mut) {
        fields.insert(name.to_owned(), value);
    }
}

/// On one line, as a rule stands in a topology.
fn flow(value: &Value) -> String {
    match value {
        Value::Object(fields) if fields.is_empty() => "{}".to_owned(),
        Value::Object(fields) => {
            let fields: Vec<String> = fields.iter().map(|(name, value)| format!("{name}: {}", flow(value))).collect();
            format!("{{ {} }}", fields.join(", "))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", ")),
        Value::String(text) => {
            let plain = text.starts_with(|c: char| c.is_ascii_alphabetic())
                && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/'))
                && !["true", "false", "null", "yes", "no", "on", "off", "y", "n", "nan", "inf"]
                    .contains(&text.to_ascii_lowercase().as_str());
            if plain { text.clone() } else { value.to_string() }
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::csv::series;
    use super::*;

    fn written(yaml: &str) -> Value {
        serde_saphyr::from_str(yaml).unwrap()
    }

    /// A minute a line; a rise to 250 in the hours that are labelled, or a short spike that is not.
    fn recorded(name: &str, rises: &[i64], spikes: &[i64]) -> Recorded {
        let line = |minute: i64| {
            let risen = rises.iter().any(|at| (*at..at + 60).contains(&minute));
            let value = if risen || spikes.contains(&minute) { 9.0 } else { 1.0 + (minute * 7919 % 11) as f64 / 10.0 };
            format!("{},{value},{}", minute * 60, u8::from(risen))
        };
        series(name, &(0..2000).map(line).collect::<Vec<_>>().join("\n")).unwrap().remove(0)
    }

    #[test]
    fn the_grid_is_small_holds_what_was_given_and_every_rule_in_it_is_one() {
        let rules = [
            ("{ name: a, detect: { forecast: { above: 90, horizon_secs: 3600 } } }", 30),
            ("{ name: a, detect: { monotone: { window_secs: 3600, by: -5 } } }", 36),
            ("{ name: a, detect: { shift: {} } }", 12),
            ("{ name: a, detect: { same_time: { period: week } } }", 24),
            ("{ name: a, detect: { baseline: { over_secs: 3600, percent: 5 } }, for_secs: 60 }", 36),
            ("{ name: a, detect: { absence: { after_secs: 1 } } }", 12),
            ("{ name: a, detect: { unusual: {} }, for_secs: 900 }", 3),
            ("{ name: a, detect: { ensemble: { at_least: 2, of: [{ shift: {} }, { unusual: {} }] } } }", 6),
        ];
        for (rule, count) in rules {
            let rule = written(rule);
            let grid = grid(&rule).unwrap();
            assert_eq!((grid.len(), &grid[0].1), (count, &rule));
            assert!(grid.len() <= TRIED_MAX);
            for (changed, rule) in &grid {
                read(rule).unwrap_or_else(|problem| panic!("{changed}: {problem}"));
                assert_eq!(&written(&flow(rule)), rule, "what is printed is what was tried");
            }
        }
        assert!(grid(&written("{ name: a }")).unwrap_err().contains("`detect`"));
    }

    #[test]
    fn what_holds_longer_than_a_spike_is_best_and_the_answer_is_the_same_again() {
        let all = [
            recorded("a", &[700, 1500], &[400, 1000, 1200]),
            recorded("b", &[900], &[300, 500]),
            recorded("c", &[], &[600]),
        ];
        let rule = written(
            "{ name: high, detect: { forecast: { above: 5, horizon_secs: 1 } }, recovering_secs: 60, as: load }",
        );
        let mut runs = 0;
        let tuned = tune(&rule, &all, None, &mut |_| runs += 1).unwrap();
        assert_eq!((runs, tuned.series, tuned.labelled), (90, 3, Some(3)));
        let best = &tuned.tried[0];
        assert!(best.changed.contains("for_secs 300"), "{}", best.changed);
        assert_eq!((best.figures.f1, best.figures.detections), (Some(1.0), 3));
        assert!(best.rule.starts_with("{ name: high, detect: { forecast: { above: 5, horizon_secs: "), "{}", best.rule);
        assert!(best.rule.contains("as: load") && best.rule.contains("for_secs: 300"));
        let given = tuned.tried.iter().find(|one| one.changed.is_empty()).unwrap();
        assert_eq!(given.figures.judged.as_ref().unwrap().precision, Some(3.0 / 9.0), "six spikes are wrong");
        assert_eq!(tuned.left_out.as_ref().unwrap().f1, Some(1.0));
        let again = tune(&rule, &all, None, &mut |_| ()).unwrap();
        assert_eq!(format!("{again:?}"), format!("{tuned:?}"));
    }

    #[test]
    fn what_is_left_out_is_judged_by_what_suits_the_others() {
        // What is best for the one is silent on the other: rises of ten minutes against rises of an hour.
        let brief = series(
            "brief",
            &(0..2000)
                .map(|minute| {
                    format!("{},{},{}", minute * 60, if minute % 500 < 3 { 9 } else { 1 }, u8::from(minute % 500 < 3))
                })
                .collect::<Vec<_>>()
                .join("\n"),
        )
        .unwrap()
        .remove(0);
        let long = recorded("long", &[700, 1300], &[100, 200, 300, 400, 500, 600]);
        let rule = written("{ name: high, detect: { forecast: { above: 5, horizon_secs: 1 } }, recovering_secs: 60 }");
        let tuned = tune(&rule, &[brief, long], None, &mut |_| ()).unwrap();
        let (inside, outside) = (tuned.tried[0].figures.f1.unwrap(), tuned.left_out.unwrap().f1.unwrap());
        assert!(outside < inside, "{outside} is not below {inside}");
    }

    #[test]
    fn without_labels_the_most_that_may_be_told_is_best() {
        let mut all = [recorded("a", &[700, 1500], &[400, 1000, 1200])];
        all[0].rows.iter_mut().for_each(|row| row.label = None);
        let rule = written("{ name: high, detect: { forecast: { above: 5, horizon_secs: 1 } }, recovering_secs: 60 }");
        // 2000 minutes are 1.39 days.
        let of = |most| tune(&rule, &all, most, &mut |_| ()).unwrap();
        let tuned = of(Some(2.0));
        assert_eq!((tuned.labelled, tuned.tried[0].figures.detections, tuned.tried[0].within), (None, 2, true));
        assert!(tuned.left_out.is_none());
        assert_eq!(of(Some(4.0)).tried[0].figures.detections, 5);
        let none = of(Some(0.5));
        assert!(!none.tried[0].within && none.tried[0].figures.detections == 2, "the least of what is too much");
    }
}
