//! Why an alert got its level: every rule that was tried, with what it looked at. For `fairlead route test`; the decision itself is
//! made by the operator's own function.

use super::condition::Condition;
use super::rule::{Told, When};
use super::{Judged, Levels, State, Verdict, told};
use crate::event::{Alert, AlertStatus, Level, Mention};
use crate::expression::{Finding, Operand, Undecided};
use crate::record::EventTime;

#[derive(Clone, Debug)]
pub struct Trace {
    /// In their order, up to the one that held.
    pub rules: Vec<Tried>,
    /// Up to the one that held; none are tried where nobody may be mentioned.
    pub raises: Vec<Tried>,
    pub repeats: i32,
    pub trend: &'static str,
    /// `None`: dropped.
    pub level: Option<Level>,
    pub mention: Mention,
    pub reason: String,
}

/// A rule and whether it holds; undecided is not holding.
#[derive(Clone, Debug)]
pub struct Tried {
    pub name: String,
    pub outcome: Result<bool, Undecided>,
    pub findings: Vec<Finding>,
}

impl Levels {
    /// What [`decide`](crate::operator::Operator::decide) would say of this alert, and why.
    pub fn trace(&self, state: &State, alert: &Alert<'_>, at: EventTime) -> Trace {
        let known = state.episode(alert);
        let heard = if alert.status == AlertStatus::Firing { self.hear(known, alert, at) } else { None };
        let told = told(alert, known, heard.as_ref());
        let Judged { rule, verdict } = self.judge(&told);
        let (level, mention, reason, raise) = match verdict {
            Verdict::Level { level, mention, reason, raise } => (Some(level), mention, reason, Some(raise)),
            Verdict::Drop { reason } => (None, Mention::Nobody, reason, None),
        };
        let may_raise = level.is_some_and(|level| super::policy::may_mention(level, alert.status));
        let rules = self.rules.iter().take(rule.map_or(usize::MAX, |at| at + 1));
        let raises = raise.filter(|_| may_raise).map(|raise| raise.map_or(usize::MAX, |at| at + 1));
        let raises = self.raises.iter().take(raises.unwrap_or(0));
        Trace {
            rules: rules.map(|rule| tried(&rule.name, &rule.when, &told)).collect(),
            raises: raises.map(|raise| tried(&raise.name, &raise.when, &told)).collect(),
            repeats: told.repeats,
            trend: told.scope().trend.name(),
            level,
            mention,
            reason,
        }
    }
}

fn tried(name: &str, when: &Condition, told: &Told<'_>) -> Tried {
    let (findings, outcome) = match when {
        Condition::Asked(when) => (when.findings(told), Ok(when.holds(told))),
        Condition::Expression(expression) => expression.explain(&told.scope()),
    };
    Tried { name: name.to_owned(), outcome, findings }
}

impl When {
    /// One finding for each thing that is asked.
    fn findings(&self, told: &Told<'_>) -> Vec<Finding> {
        let alert = told.alert;
        let over = alert.status == AlertStatus::Resolved;
        let one = |text: String, only: When, operand: (&str, String)| {
            let outcome = if over && only.looks_at_course() { Err(Undecided::Over) } else { Ok(only.holds(told)) };
            let operand = Operand { text: operand.0.to_owned(), found: Ok(operand.1) };
            Finding { text, outcome, operands: vec![operand] }
        };
        let nothing = When::default;
        let value = alert.value.map_or_else(|| "null".to_owned(), |value| format!("{value:?}"));
        let mut findings = Vec::new();
        if !self.alerts.is_empty() {
            let only = When { alerts: self.alerts.clone(), ..nothing() };
            findings.push(one(
                format!("alerts: [{}]", self.alerts.join(", ")),
                only,
                ("name", format!("{:?}", alert.name)),
            ));
        }
        if !self.environments.is_empty() {
            let only = When { environments: self.environments.clone(), ..nothing() };
            let found = alert.environment.as_ref().map_or_else(|| "null".to_owned(), |name| format!("{name:?}"));
            findings.push(one(
                format!("environments: [{}]", self.environments.join(", ")),
                only,
                ("environment", found),
            ));
        }
        for matcher in &self.matchers {
            let only = When { matchers: vec![matcher.clone()], ..nothing() };
            let found = format!("{:?}", alert.labels.get(matcher.label()).unwrap_or_default());
            findings.push(one(matcher.text().to_owned(), only, (matcher.label(), found)));
        }
        if let Some(above) = self.value_above {
            let only = When { value_above: Some(above), ..nothing() };
            findings.push(one(format!("value_above: {above}"), only, ("value", value.clone())));
        }
        if let Some(below) = self.value_below {
            let only = When { value_below: Some(below), ..nothing() };
            findings.push(one(format!("value_below: {below}"), only, ("value", value)));
        }
        if let Some(least) = self.repeats_at_least {
            let only = When { repeats_at_least: Some(least), ..nothing() };
            findings.push(one(format!("repeats_at_least: {least}"), only, ("repeats", told.repeats.to_string())));
        }
        if let Some(worsening) = self.worsening {
            let only = When { worsening: Some(worsening), ..nothing() };
            let text = format!("worsening: {}", format!("{worsening:?}").to_lowercase());
            findings.push(one(text, only, ("values", format!("{:?}", told.values))));
        }
        findings
    }
}
