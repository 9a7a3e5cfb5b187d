//! A verdict for people: the rules in their order, what each looked at, and what comes of it.

use super::{Rule, Test, Verdict};
use crate::event::{AlertStatus, SlackActionKind};

pub fn verdict(verdict: &Verdict) -> String {
    let alert = &verdict.alert;
    let verb = if alert.status == AlertStatus::Firing { "fires" } else { "is resolved" };
    let value = alert.value.map(|value| format!(", value {value:?}")).unwrap_or_default();
    let mut out = format!("{} of {} {verb}{value}\n", one_line(&alert.name), one_line(&alert.service));
    for levelled in &verdict.levels {
        let trend = if levelled.trend == "none" { String::new() } else { format!(", {}", levelled.trend) };
        if levelled.repeats > 1 {
            out += &format!("  told {} times{trend}\n", levelled.repeats);
        }
        levelled.rules.iter().for_each(|tried| out += &rule("rule", tried));
        levelled.raises.iter().for_each(|tried| out += &rule("raise", tried));
        let level = levelled.level.map_or_else(|| "dropped".to_owned(), |level| format!("{level:?}"));
        let mention = format!("{:?}", levelled.mention).to_lowercase();
        out += &format!("  level     {}: {}\n  mention   {mention}\n", level.to_lowercase(), levelled.reason);
    }
    for incident in &verdict.incidents {
        let group = if incident.group.is_empty() { "no group".to_owned() } else { incident.group.join(", ") };
        let (change, level) = (format!("{:?}", incident.change), format!("{:?}", incident.level));
        out += &format!("  incident  {}, {}, {}\n", change.to_lowercase(), level.to_lowercase(), one_line(&group));
    }
    for message in &verdict.messages {
        let wakes = if message.mentions.is_empty() { "nobody".to_owned() } else { message.mentions.join(" ") };
        let kind = match message.kind {
            SlackActionKind::PostRoot => "new root",
            SlackActionKind::UpdateRoot => "root rewritten",
            SlackActionKind::Reply => "reply",
            SlackActionKind::Log => "log",
            SlackActionKind::SetGroup => "user group",
        };
        out += &format!("  channel   {}, {kind}, wakes {wakes}\n", message.channel);
        out += &format!("  message   {}\n", one_line(&message.text));
    }
    if verdict.messages.is_empty() {
        out += "  message   none at once\n";
    }
    out
}

fn rule(what: &str, rule: &Rule) -> String {
    let mut out = format!("  {what:<5} {} {}\n", mark(rule.holds), rule.name);
    for test in &rule.tests {
        out += &format!("          {} {}{}\n", mark(test.holds), test.test, found(test));
    }
    out
}

/// What stands in the expression itself needs not be said.
fn found(test: &Test) -> String {
    let found = test.found.iter().map(|found| {
        let value = found.value.as_deref().or(found.missing.as_deref()).unwrap_or_default();
        format!("{}: {value}", found.at)
    });
    let found: Vec<_> = found.collect();
    if found.is_empty() { String::new() } else { format!("   ({})", found.join(", ")) }
}

fn mark(holds: Option<bool>) -> char {
    match holds {
        Some(true) => '✓',
        Some(false) => '✗',
        None => '?',
    }
}

/// What strangers say has no control over a terminal.
fn one_line(text: &str) -> String {
    let visible = |c: char| match c {
        '\n' => '⏎',
        c if c.is_control() => ' ',
        c => c,
    };
    text.chars().map(visible).collect()
}
