//! What people do about an incident, as its messages show it: who has it in hand, why nobody is told, what was run and what came
//! of it, what helped before, and the log.
//!
//! Names, reasons and what a run printed are foreign text like an alert's: escaped, on one line, bounded. A Slack id is shown as
//! code, never as a mention: whoever is written into a root is not called by it.

use super::render::{Message, PROSE_CHARS, SECTION_CHARS_MAX, TOTAL_CHARS_MAX, message};
use super::text::{Lines, code, escaped, time};
use crate::event::{Attention, Helped, Incident, IncidentRun, LogEntry, MuteKind, Muted, RunStatus};

const NAME_CHARS: usize = 80;
const RUNS_SHOWN: usize = 5;
const RUNS_CHARS_MAX: usize = 1_000;
/// Of the log's first line.
const HEAD_CHARS_MAX: usize = 100;
const HELPED_SHOWN: usize = 3;
const HELPED_CHARS_MAX: usize = 1_000;

/// Who has it, and who is told.
pub fn standing(attention: &Attention) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(by) = &attention.acknowledged_by {
        let since = attention.acknowledged_at_ms.map(|at| format!(" since {}", time(at))).unwrap_or_default();
        lines.push(format!("👀 *In hand* {}{since}", escaped(by, NAME_CHARS)));
    }
    if let Some(assignee) = &attention.assignee {
        lines.push(format!("👤 *Assigned to* {}", code(assignee)));
    }
    lines.extend(attention.muted.as_ref().map(muted));
    if attention.escalations > 0 {
        lines.push(format!("⏰ *Escalated* {}×, for nobody had it in hand", attention.escalations));
    }
    lines
}

fn muted(muted: &Muted) -> String {
    let kind = match muted.kind {
        MuteKind::Snoozed => "Snoozed",
        MuteKind::Silenced => "Silenced",
        MuteKind::Maintenance => "Maintenance",
        MuteKind::Symptom => "Symptom",
    };
    let until = muted.until_ms.map(|at| format!(" until {}", time(at))).unwrap_or_default();
    format!("🔕 *{kind}*{until}: {}", escaped(&muted.reason, PROSE_CHARS))
}

/// The last runs of actions, the latest first.
pub fn runs(attention: &Attention) -> String {
    if attention.runs.is_empty() {
        return String::new();
    }
    let mut lines = Lines::new(RUNS_CHARS_MAX);
    lines.push(["*Runs*".to_owned()]);
    for run in attention.runs.iter().rev().take(RUNS_SHOWN) {
        lines.push([run_line(run, true), run_line(run, false)]);
    }
    lines.finish(attention.runs.len().saturating_sub(RUNS_SHOWN))
}

fn run_line(run: &IncidentRun, with_output: bool) -> String {
    let (mark, status) = match run.status {
        RunStatus::Requested => ("⏳", "asked for"),
        RunStatus::Started => ("⏳", "started"),
        RunStatus::Succeeded => ("✅", "succeeded"),
        RunStatus::Failed => ("❌", "failed"),
        RunStatus::Unknown => ("❔", "ended nobody knows how"),
    };
    let (action, by) = (escaped(&run.action, NAME_CHARS), escaped(&run.by, NAME_CHARS));
    let mut line = format!("{mark} *{action}* by {by} {status} {}", time(run.at_ms));
    let output = run.output.as_ref().filter(|_| with_output);
    let said: Vec<_> = run.result.iter().chain(output).map(|text| escaped(text, PROSE_CHARS)).collect();
    if said.iter().any(|text| !text.is_empty()) {
        line += &format!(": {}", said.join(", "));
    }
    line
}

/// What helped the last times.
pub fn helped(attention: &Attention) -> String {
    if attention.helped.is_empty() {
        return String::new();
    }
    let mut lines = Lines::new(HELPED_CHARS_MAX);
    lines.push(["*What helped last time*".to_owned()]);
    for Helped { resolved_at_ms, text, .. } in attention.helped.iter().take(HELPED_SHOWN) {
        lines.push([format!("• {} ({})", escaped(text, PROSE_CHARS), time(*resolved_at_ms))]);
    }
    lines.finish(attention.helped.len().saturating_sub(HELPED_SHOWN))
}

/// How many entries the log has had.
pub fn logged(incident: &Incident) -> i32 {
    let Some(Attention { log, log_omitted, .. }) = &incident.attention else { return 0 };
    log_omitted.saturating_add(i32::try_from(log.len()).unwrap_or(i32::MAX))
}

/// The log as it stands, the oldest entry first; what does not fit is left out from the oldest on, and counted.
pub fn log(incident: &Incident) -> Message {
    let entries = incident.attention.as_ref().map_or(&[][..], |attention| &attention.log);
    let mut left = TOTAL_CHARS_MAX - HEAD_CHARS_MAX;
    let mut shown = Vec::new();
    for line in entries.iter().rev().map(log_line) {
        let Some(rest) = left.checked_sub(line.chars().count() + 1) else { break };
        left = rest;
        shown.push(line);
    }
    let omitted = logged(incident).saturating_sub(i32::try_from(shown.len()).unwrap_or(i32::MAX));
    let head = match omitted {
        0 => "📝 *Log*".to_owned(),
        omitted => format!("📝 *Log*, without its {omitted} oldest entries"),
    };
    let mut sections = vec![head];
    for line in shown.into_iter().rev() {
        match sections.last_mut().filter(|text| text.chars().count() + line.chars().count() < SECTION_CHARS_MAX) {
            Some(text) => *text += &format!("\n{line}"),
            None => sections.push(line),
        }
    }
    let last = entries.last().map(said).unwrap_or_default();
    message(format!("📝 Log: {last}"), sections)
}

fn log_line(entry: &LogEntry) -> String {
    format!("{} {}", time(entry.at_ms), said(entry))
}

fn said(LogEntry { by, text, .. }: &LogEntry) -> String {
    let by = by.as_ref().map(|by| format!("*{}* ", escaped(by, NAME_CHARS))).unwrap_or_default();
    format!("{by}{}", escaped(text, PROSE_CHARS))
}
