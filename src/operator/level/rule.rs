//! Rules and raises: what one may ask of an alert as a mapping, and what can be wrong with a list of them.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::Deserialize;

use super::condition::Condition;
use super::matcher::Matcher;
use crate::event::{Alert, AlertStatus, Level, Mention};

/// All that is said must hold; what is left out holds for every alert.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct When {
    /// Any of these names (`alertname`).
    pub alerts: Vec<String>,
    /// Any of these environments.
    pub environments: Vec<String>,
    /// Every one of these, on labels, as Prometheus spells them.
    pub matchers: Vec<Matcher>,
    pub value_above: Option<f64>,
    pub value_below: Option<f64>,
    /// Told at least so often in this episode, the first telling included.
    pub repeats_at_least: Option<i32>,
    /// Each of the last tellings (at least two, at most three) was worse than the one before it.
    pub worsening: Option<Worsening>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Worsening {
    /// More is worse: errors, latency.
    Rising,
    /// Less is worse: free space, throughput.
    Falling,
}

/// An alert with what is remembered of its episode.
pub struct Told<'a> {
    pub alert: &'a Alert<'a>,
    pub repeats: i32,
    /// The values of the last tellings, oldest first.
    pub values: &'a [f64],
}

/// The first rule whose `when` holds gives the level, or drops the alert.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    pub name: Arc<str>,
    #[serde(default)]
    pub when: Condition,
    pub level: Option<Level>,
    pub mention: Option<Mention>,
    /// In words, for the people who are told.
    pub reason: Option<String>,
    /// Instead of a level: the alert is no problem, and why.
    pub drop: Option<String>,
}

/// Lifts the mention by one step (nobody, owner, SRE) after the rules have given one.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Raise {
    pub name: Arc<str>,
    pub when: Condition,
    pub reason: String,
}

impl When {
    pub fn holds(&self, told: &Told<'_>) -> bool {
        let alert = told.alert;
        // A resolve is judged by what an alert is, not by how bad it was: its value and trend say nothing any more.
        if alert.status == AlertStatus::Resolved && self.looks_at_course() {
            return false;
        }
        let value = alert.value.filter(|value| value.is_finite());
        one_of(&self.alerts, Some(&alert.name))
            && one_of(&self.environments, alert.environment.as_deref())
            && self.value_above.is_none_or(|above| value.is_some_and(|value| value > above))
            && self.value_below.is_none_or(|below| value.is_some_and(|value| value < below))
            && self.repeats_at_least.is_none_or(|least| told.repeats >= least)
            && self.worsening.is_none_or(|direction| direction.seen_in(told.values))
            && self.matchers.iter().all(|matcher| matcher.matches(&alert.labels))
    }

    /// Whether it depends on more than names and labels.
    pub fn looks_at_course(&self) -> bool {
        self.value_above.is_some()
            || self.value_below.is_some()
            || self.repeats_at_least.is_some()
            || self.worsening.is_some()
    }

    pub fn is_empty(&self) -> bool {
        !self.looks_at_course() && self.alerts.is_empty() && self.environments.is_empty() && self.matchers.is_empty()
    }

    /// Whether whatever this holds for, `other` holds for too, as far as can be told without solving patterns.
    pub fn implies(&self, other: &Self) -> bool {
        let within = |mine: &[String], theirs: &[String]| {
            theirs.is_empty() || !mine.is_empty() && mine.iter().all(|name| theirs.contains(name))
        };
        within(&self.alerts, &other.alerts)
            && within(&self.environments, &other.environments)
            && other.value_above.is_none_or(|theirs| self.value_above.is_some_and(|mine| mine >= theirs))
            && other.value_below.is_none_or(|theirs| self.value_below.is_some_and(|mine| mine <= theirs))
            && other.repeats_at_least.is_none_or(|theirs| self.repeats_at_least.is_some_and(|mine| mine >= theirs))
            && (other.worsening.is_none() || other.worsening == self.worsening)
            && other.matchers.iter().all(|theirs| self.matchers.iter().any(|mine| mine.implies(theirs)))
    }

    pub fn problems(&self) -> Vec<String> {
        let mut problems: Vec<_> = self.matchers.iter().filter_map(Matcher::problem).collect();
        let bounds = [("value_above", self.value_above), ("value_below", self.value_below)];
        for (name, _) in bounds.iter().filter(|(_, bound)| bound.is_some_and(|bound| !bound.is_finite())) {
            problems.push(format!("{name} must be a finite number"));
        }
        if let (Some(above), Some(below)) = (self.value_above, self.value_below)
            && above >= below
        {
            problems.push(format!("no value is above {above} and below {below}: it can never hold"));
        }
        if self.repeats_at_least.is_some_and(|least| least < 2) {
            problems.push("repeats_at_least below 2 holds for every alert: leave it out, or ask for more".to_owned());
        }
        let mut pairs = self.matchers.iter().enumerate();
        if pairs.any(|(at, one)| {
            self.matchers.iter().skip(at + 1).any(|other| one.contradicts(other) || other.contradicts(one))
        }) {
            problems.push("two matchers contradict each other: it can never hold".to_owned());
        }
        problems
    }
}

fn one_of(names: &[String], name: Option<&str>) -> bool {
    names.is_empty() || name.is_some_and(|name| names.iter().any(|one| one == name))
}

impl Worsening {
    pub fn seen_in(self, values: &[f64]) -> bool {
        let worse = |pair: &[f64]| match self {
            Worsening::Rising => pair[1] > pair[0],
            Worsening::Falling => pair[1] < pair[0],
        };
        values.len() >= 2 && values.windows(2).all(worse)
    }
}

impl Rule {
    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        match (&self.level, &self.drop) {
            (None, None) => problems.push("says neither level nor drop".to_owned()),
            (Some(_), Some(_)) => problems.push("says both level and drop: keep one".to_owned()),
            (None, Some(_)) if self.mention.is_some() => problems.push("drops the alert and yet mentions".to_owned()),
            (None, Some(why)) if why.trim().is_empty() => problems.push("drops without a reason: say why".to_owned()),
            _ => {}
        }
        problems
    }
}

/// Everything that is wrong with the rules: where, which rule, what.
pub fn problems(rules: &[Rule], raises: &[Raise]) -> Vec<String> {
    let mut problems = Vec::new();
    let mut names = BTreeSet::new();
    let named = rules.iter().enumerate().map(|(at, rule)| {
        let own = rule.problems();
        (format!("rules[{at}]"), &rule.name, &rule.when, own)
    });
    let raised = raises.iter().enumerate().map(|(at, raise)| {
        let every = raise.when.is_empty().then(|| "raises every alert: say when".to_owned());
        (format!("raises[{at}]"), &raise.name, &raise.when, Vec::from_iter(every))
    });
    for (place, name, when, own) in named.chain(raised) {
        if name.trim().is_empty() {
            problems.push(format!("{place}: the rule has no name"));
        } else if !names.insert(name) {
            problems.push(format!("{place}: rule {name}: the name is taken by an earlier rule"));
        }
        // An expression says its own place within itself.
        let asked = if when.is_expression() { format!("{place}.when") } else { place.clone() };
        problems.extend(when.problems().into_iter().map(|problem| format!("{asked}: rule {name}: {problem}")));
        problems.extend(own.into_iter().map(|problem| format!("{place}: rule {name}: {problem}")));
    }
    problems.extend(covered(rules, |rule, earlier| !rule.when.is_expression() && !earlier.when.is_expression()));
    problems
}

/// Expressions that can never decide anything. That one mapping covers another is an error, for it was always one.
pub fn warnings(rules: &[Rule], raises: &[Raise]) -> Vec<String> {
    let of_rules =
        rules.iter().enumerate().map(|(at, rule)| (format!("rules[{at}].when: rule {}", rule.name), &rule.when));
    let of_raises =
        raises.iter().enumerate().map(|(at, raise)| (format!("raises[{at}].when: rule {}", raise.name), &raise.when));
    let never = of_rules.chain(of_raises).filter(|(_, when)| when.never_holds());
    let never = never.map(|(place, _)| format!("{place}: it can never hold, for its tests exclude each other"));
    never.chain(covered(rules, |rule, earlier| rule.when.is_expression() || earlier.when.is_expression())).collect()
}

fn covered(rules: &[Rule], of: impl Fn(&Rule, &Rule) -> bool) -> Vec<String> {
    let covered = rules.iter().enumerate().filter_map(|(at, rule)| {
        let earlier = rules[..at].iter().find(|earlier| of(rule, earlier) && rule.when.implies(&earlier.when))?;
        Some(format!(
            "rules[{at}]: rule {}: unreachable, rule {} before it takes all its alerts; move it up or remove it",
            rule.name, earlier.name
        ))
    });
    covered.collect()
}
