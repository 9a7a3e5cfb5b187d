//! A replay and a diff for people at a terminal.

use std::fmt::Write;

use super::Window;
use super::diff::{Change, Diff, Difference, Outcome, What};
use super::report::{Replay, Told};
use super::story::{Message, Step, Story};
use crate::event::words::span;
use crate::event::{IncidentChange, Level, SlackActionKind};

pub use crate::app::decoded::time;

pub fn level_word(level: Level) -> &'static str {
    match level {
        Level::Low => "Low",
        Level::Medium => "Medium",
        Level::High => "High",
        Level::Critical => "Critical",
    }
}

pub fn change_word(change: IncidentChange) -> &'static str {
    match change {
        IncidentChange::Opened => "opened",
        IncidentChange::Escalated => "escalated",
        IncidentChange::AlertsChanged => "alerts changed",
        IncidentChange::SuspectsChanged => "suspects changed",
        IncidentChange::Resolved => "resolved",
        IncidentChange::Reopened => "reopened",
        IncidentChange::Acknowledged => "acknowledged",
        IncidentChange::Unacknowledged => "given back",
        IncidentChange::Unattended => "nobody had it in hand",
        IncidentChange::Assigned => "assigned",
        IncidentChange::Muted => "muted",
        IncidentChange::Unmuted => "no longer muted",
        IncidentChange::Noted => "noted",
    }
}

pub fn kind_word(kind: SlackActionKind) -> &'static str {
    match kind {
        SlackActionKind::PostRoot => "root",
        SlackActionKind::UpdateRoot => "root rewritten",
        SlackActionKind::Reply => "reply",
        SlackActionKind::Log => "log rewritten",
        SlackActionKind::SetGroup => "user group",
    }
}

/// What was replayed, and how.
pub fn head(name: &str, replay: &Replay, window: &Window) -> String {
    let read = &replay.read;
    let order = match replay.order {
        "journal" => "as its journal says",
        _ => "in the order of event time",
    };
    let unreadable = if read.unreadable == 0 { String::new() } else { format!(", {} unreadable", read.unreadable) };
    let others = if read.others == 0 { String::new() } else { format!(", {} other facts", read.others) };
    format!(
        "{name}, {order}, from {} to {}\n{} alerts, {} deploys{others}{unreadable}; before them {} records in {} of warm-up\n",
        time(window.from.0),
        time(window.to.0),
        read.alerts,
        read.deploys,
        read.warm_up,
        span(window.from.since_ms(window.begin)),
    )
}

pub fn replay(name: &str, replay: &Replay, window: &Window) -> String {
    let mut out = head(name, replay, window);
    let Told { incidents, changes_of_duty, roots, replies, rewritings, mentions } = replay.told;
    let duty = if changes_of_duty == 0 { String::new() } else { format!(", {changes_of_duty} changes of duty") };
    _ = writeln!(
        out,
        "{incidents} incidents{duty}, {roots} roots, {replies} replies, {rewritings} rewritings, {mentions} mentions"
    );
    replay.incidents.iter().for_each(|told| story(&mut out, told));
    out
}

fn story(out: &mut String, told: &Story) {
    _ = writeln!(out, "\n{}  {}", told.title(), told.incident);
    if let Some(before) = &told.before {
        _ = writeln!(out, "  before     {} since {}", level_word(before.level), time(told.opened_at_ms));
    }
    // Of one moment the step comes first, then what was said of it.
    let mut messages = told.messages.iter().peekable();
    for step in &told.steps {
        while let Some(message) = messages.next_if(|message| message.at_ms < step.at_ms) {
            say(out, message);
        }
        _ = writeln!(out, "  {}  {}", clock(step.at_ms), step_words(step));
    }
    messages.for_each(|message| say(out, message));
}

fn step_words(step: &Step) -> String {
    let change = change_word(step.change);
    match step.change {
        IncidentChange::Opened | IncidentChange::Escalated | IncidentChange::Reopened => {
            format!("{change}  {}: {}", level_word(step.level), step.reason)
        }
        _ => change.to_owned(),
    }
}

/// What is rewritten is only counted; `--output json` has its text.
fn say(out: &mut String, message: &Message) {
    if message.kind.rewrites() {
        return;
    }
    let mentions: String = message.mentions.iter().map(|id| format!("  @{id}")).collect();
    _ = writeln!(out, "  {}  {} in {}{mentions}", clock(message.at_ms), kind_word(message.kind), message.channel);
    for line in message.text.lines() {
        _ = writeln!(out, "    │ {line}");
    }
}

/// Date and time, to the second.
pub fn clock(ms: i64) -> String {
    time(ms.div_euclid(1_000) * 1_000)
}

pub fn diff(diff: &Diff, head: &str) -> String {
    let mut out = format!("{head}\n");
    let width = diff.before.name.len().max(diff.after.name.len()).max(8);
    _ = writeln!(out, "{:12} {:>width$} {:>width$}", "", diff.before.name, diff.after.name);
    let (before, after) = (&diff.before, &diff.after);
    let rows = [
        ("incidents", before.told.incidents, after.told.incidents),
        ("critical", before.critical, after.critical),
        ("roots", before.told.roots, after.told.roots),
        ("replies", before.told.replies, after.told.replies),
        ("rewritings", before.told.rewritings, after.told.rewritings),
        ("mentions", before.told.mentions, after.told.mentions),
    ];
    let duty = [("duty", before.told.changes_of_duty, after.told.changes_of_duty)];
    for (name, one, other) in rows.into_iter().chain(duty.into_iter().filter(|(_, one, other)| one + other > 0)) {
        _ = writeln!(out, "{name:12} {one:>width$} {other:>width$}{}", by(one, other));
    }
    let count = |outcome| diff.incidents.iter().filter(|one| one.outcome == outcome).count();
    let [appear, vanish, change] = [Outcome::Appears, Outcome::Vanishes, Outcome::Changes].map(count);
    _ = writeln!(out, "\n{} incidents alike, {appear} appear, {vanish} vanish, {change} change", diff.same);
    if diff.left_out > 0 {
        _ = writeln!(
            out,
            "{} incidents opened before the warm-up: a replay cannot know them, and opens others when their alerts are told again",
            diff.left_out
        );
    }
    diff.incidents.iter().for_each(|one| difference(&mut out, one));
    out
}

fn by(before: u64, after: u64) -> String {
    match after.cmp(&before) {
        std::cmp::Ordering::Equal => String::new(),
        std::cmp::Ordering::Less => format!("  -{}", before - after),
        std::cmp::Ordering::Greater => format!("  +{}", after - before),
    }
}

fn difference(out: &mut String, difference: &Difference) {
    let outcome = match difference.outcome {
        Outcome::Appears => "appears",
        Outcome::Vanishes => "vanishes",
        Outcome::Changes => "changes",
    };
    let id = difference.before.as_ref().or(difference.after.as_ref()).map_or("", String::as_str);
    _ = writeln!(out, "\n{outcome:8}  {}  opened {}  {id}", difference.title, clock(difference.opened_at_ms));
    _ = writeln!(out, "  before    {}\n  after     {}", difference.decided_before, difference.decided_after);
    let rewritings = difference.changes.iter().filter(|change| change.what == What::Rewriting).count();
    for change in difference.changes.iter().filter(|change| change.what != What::Rewriting) {
        changed(out, change);
    }
    if rewritings > 0 {
        _ = writeln!(out, "  {rewritings} rewritings of the root or its log differ (--output json has them)");
    }
}

fn changed(out: &mut String, change: &Change) {
    let what = match change.what {
        What::Step(step) => step.word(),
        What::Mention => "mention",
        What::Message => "message",
        What::Rewriting => "rewriting",
    };
    _ = writeln!(out, "  {}  {what}", clock(change.at_ms));
    let [before, after] = [&change.before, &change.after].map(|told| told.as_deref().unwrap_or_default());
    for (mark, told, other) in [('-', before, after), ('+', after, before)] {
        // Of two versions only what differs.
        for line in told.lines().filter(|line| !other.lines().any(|same| same == *line)) {
            _ = writeln!(out, "    {mark} {line}");
        }
    }
}
