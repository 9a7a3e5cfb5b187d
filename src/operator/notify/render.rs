//! How an incident looks in Slack: one root message that shows how things stand, and short replies for what is notable.
//!
//! The level's colour is an emoji at the head. Slack's coloured bar is to be had only with attachments: legacy, folded away by Slack when
//! they are long, and no place for what matters most.
//!
//! Invariants: every limit of Block Kit is kept by leaving out, and saying how much, never by failing; the sum of all texts is
//! at most [`TOTAL_CHARS_MAX`]. Foreign text goes through [`escaped`]. `verbatim` keeps Slack from reading names and mentions
//! out of plain words. The same incident gives the same bytes on every replay.

use serde_json::{Value, json};

use super::attention;
use super::buttons;
use super::text::{Lines, code, escaped, link, number, time};
use super::trend;
use crate::actions::Actions;
use crate::event::words::span;
use crate::event::{AlertStatus, Incident, IncidentAlert, IncidentState, Level, Suspect};

/// Slack refuses somewhat above 13,000 characters in one message; nowhere is it written.
pub const TOTAL_CHARS_MAX: usize = 12_000;
/// Of one section.
pub const SECTION_CHARS_MAX: usize = 3_000;
const NAME_CHARS: usize = 150;
pub const PROSE_CHARS: usize = 300;
const ALERTS_SHOWN: usize = 10;
const SUSPECTS_SHOWN: usize = 3;

/// A message: notification text, and its blocks as JSON text.
pub struct Message {
    pub text: String,
    pub blocks: String,
}

/// What is known of its service from elsewhere than its alerts.
#[derive(Clone, Copy, Default)]
pub struct Known<'a> {
    /// A team's name or a Slack id.
    pub owner: Option<&'a str>,
    pub runbook: Option<&'a str>,
    pub dashboard: Option<&'a str>,
    /// What can be run for it; `None` if nobody would hear of a click.
    pub actions: Option<&'a Actions>,
    /// Where pictures of trends are to be had.
    pub charts: Option<&'a str>,
}

/// The root, rewritten with every version. The mention is there only in the post itself, for a rewriting wakes nobody.
pub fn root(incident: &Incident, known: Known<'_>, mention: Option<&str>) -> Message {
    let mention = mention.map(|mention| format!("\n{mention} please have a look")).unwrap_or_default();
    let headline = format!("{}{mention}", headline(incident));
    let [runs, helped] = match &incident.attention {
        Some(attention) => [attention::runs(attention), attention::helped(attention)],
        None => Default::default(),
    };
    let mut left = TOTAL_CHARS_MAX;
    let mut blocks = Vec::new();
    // Each part keeps a bound of its own, so this leaves none out; it is the law should those bounds change.
    let mut add = |text: String, block: &dyn Fn(String) -> Value| {
        let fits = left.checked_sub(text.chars().count()).filter(|_| !text.is_empty());
        if let Some(rest) = fits {
            left = rest;
            blocks.push(block(text));
        }
    };
    [headline, standing(incident, known), alerts(incident)].into_iter().for_each(|text| add(text, &section));
    if let Some((words, link)) = known.charts.and_then(|base| trend::picture(incident, base)) {
        add(words, &|words| json!({"type": "image", "image_url": link, "alt_text": words}));
    }
    [suspects(incident), runs, helped].into_iter().for_each(|text| add(text, &section));
    add(footer(incident, known), &context);
    if let Some((block, _)) = known.actions.and_then(|actions| buttons::block(incident, actions, left)) {
        // Above the footer.
        blocks.insert(blocks.len().saturating_sub(1), block);
    }
    Message { text: format!("{}{mention}", notification(incident)), blocks: Value::from(blocks).to_string() }
}

/// A reply in the thread: one line for each notable thing, and the mention, if any.
pub fn reply(lines: &[String], mention: Option<&str>) -> Message {
    let mut text = lines.join("\n");
    if let Some(mention) = mention {
        text = format!("{text}\n{mention} please have a look");
    }
    message(text.clone(), vec![text])
}

pub fn message(text: String, sections: Vec<String>) -> Message {
    let blocks = Value::from(sections.into_iter().map(section).collect::<Vec<_>>()).to_string();
    Message { text, blocks }
}

pub fn escalated(incident: &Incident) -> String {
    let why = escaped(&incident.level_reason, PROSE_CHARS);
    format!("{} *Escalated: {}*: {why}{}", emoji(incident), level(incident.level), trends(incident))
}

pub fn reopened(incident: &Incident) -> String {
    let times = match incident.reopened {
        0 | 1 => String::new(),
        times => format!(", for the {times}. time"),
    };
    format!("{} *Reopened*{times}: {}{}", emoji(incident), firing_names(incident), trends(incident))
}

/// The worst trend that fires, on a line of its own.
fn trends(incident: &Incident) -> String {
    let mut firing = incident.alerts.iter().filter(|alert| alert.status == AlertStatus::Firing);
    let worst = firing.find(|alert| alert.trend.is_some());
    worst.map(|alert| format!("\n{}", said(incident, alert))).unwrap_or_default()
}

pub fn resolved(incident: &Incident) -> String {
    format!("✅ *Resolved* after {}", duration(incident))
}

pub fn unattended(incident: &Incident) -> String {
    // Since when it is open again is nowhere said.
    let since = match incident.reopened {
        0 => format!(" for {}", duration(incident)),
        _ => String::new(),
    };
    let times = match incident.attention.as_ref().map_or(0, |attention| attention.escalations) {
        0 | 1 => String::new(),
        times => format!(", told further for the {times}. time"),
    };
    format!("⏰ *Nobody has it in hand*{since}{times}: {}", firing_names(incident))
}

pub fn unmuted(incident: &Incident) -> String {
    format!("🔔 *No longer muted*: {}", firing_names(incident))
}

pub fn new_top_suspect(suspect: &Suspect) -> String {
    format!("🔎 *New top suspect*: {}", described(suspect, false))
}

fn headline(incident: &Incident) -> String {
    let service = escaped(&incident.service, NAME_CHARS);
    let environment = environment(incident);
    let title = match incident.state {
        IncidentState::Open => level(incident.level),
        IncidentState::Resolved => "Resolved",
    };
    let recovering = if trend::recovers(incident) { " · recovering" } else { "" };
    format!("{} *{title} · {service}{recovering}*{environment}: {}", emoji(incident), firing_names(incident))
}

/// What a phone shows.
fn notification(incident: &Incident) -> String {
    let worst = incident.alerts.first().map(|alert| said(incident, alert)).unwrap_or_default();
    let service = escaped(&incident.service, NAME_CHARS);
    match incident.state {
        IncidentState::Open => {
            let (emoji, level, environment) = (emoji(incident), level(incident.level), environment(incident));
            let recovering = if trend::recovers(incident) { ", recovering" } else { "" };
            format!("{emoji} {level}{recovering}: {service}{environment}: {}: {worst}", firing_names(incident))
        }
        IncidentState::Resolved => {
            format!(
                "✅ Resolved: {service}{} after {}: {}",
                environment(incident),
                duration(incident),
                firing_names(incident)
            )
        }
    }
}

fn environment(incident: &Incident) -> String {
    incident.environment.as_ref().map(|name| format!(" ({})", escaped(name, NAME_CHARS))).unwrap_or_default()
}

/// The names of what fires, or of what fired; each name once.
fn firing_names(incident: &Incident) -> String {
    let open = incident.state == IncidentState::Open;
    let shown = incident.alerts.iter().filter(|alert| !open || alert.status == AlertStatus::Firing);
    let mut names: Vec<&str> = Vec::new();
    for alert in shown {
        if !names.contains(&alert.name.as_str()) {
            names.push(&alert.name);
        }
    }
    match names.as_slice() {
        [] => "no alert".to_owned(),
        [one] => escaped(one, NAME_CHARS),
        [one, two] => format!("{}, {}", escaped(one, NAME_CHARS), escaped(two, NAME_CHARS)),
        [one, two, more @ ..] => {
            format!("{}, {} and {} more", escaped(one, NAME_CHARS), escaped(two, NAME_CHARS), more.len())
        }
    }
}

fn standing(incident: &Incident, known: Known<'_>) -> String {
    let mut lines = Lines::new(2_000);
    let since = time(incident.opened_at_ms);
    lines.push([match incident.resolved_at_ms {
        Some(resolved) => format!("*From* {since} *to* {}, {}", time(resolved), duration(incident)),
        None => format!("*Since* {since}"),
    }]);
    let why = escaped(&incident.level_reason, PROSE_CHARS);
    lines.push([format!("*Level* {}: {why}", level(incident.level))]);
    if let Some(owner) = known.owner {
        lines.push([format!("*Owner* {}", code(owner))]);
    }
    for line in incident.attention.iter().flat_map(attention::standing) {
        lines.push([line]);
    }
    match incident.flaps {
        0 => {}
        1 => lines.push(["🔁 *Flapped* once: went back and forth without being told".to_owned()]),
        flaps => lines.push([format!("🔁 *Flapping*: went back and forth {flaps} times, told once")]),
    }
    let mut history = Vec::new();
    if incident.reopened > 0 {
        history.push(format!("reopened {}×", incident.reopened));
    }
    if !history.is_empty() {
        lines.push([format!("*So far* {}", history.join(", "))]);
    }
    if !incident.group.is_empty() {
        let group: Vec<_> = incident.group.iter().take(5).map(|pair| escaped(pair, NAME_CHARS)).collect();
        lines.push([format!("*Group* {}", group.join(", "))]);
    }
    lines.finish(0)
}

fn alerts(incident: &Incident) -> String {
    let firing = incident.alerts.iter().filter(|alert| alert.status == AlertStatus::Firing).count();
    if incident.alerts.is_empty() {
        return String::new();
    }
    let mut lines = Lines::new(SECTION_CHARS_MAX);
    lines.push([match firing {
        0 => format!("*Alerts* {} resolved", incident.alerts.len()),
        _ => format!("*Alerts* {firing} firing, {} resolved", incident.alerts.len() - firing),
    }]);
    for alert in incident.alerts.iter().take(ALERTS_SHOWN) {
        lines.push([alert_line(incident, alert, true), alert_line(incident, alert, false)]);
    }
    let hidden = incident.alerts.len().saturating_sub(ALERTS_SHOWN);
    lines.finish(hidden + usize::try_from(incident.alerts_omitted).unwrap_or(0))
}

/// What an alert says, and behind a trend how it looks and which deploy it follows.
fn said(incident: &Incident, alert: &IncidentAlert) -> String {
    let shown = alert.trend.as_ref().map(|shown| trend::line(shown, alert, incident.suspects.first()));
    escaped(&alert.summary, PROSE_CHARS) + &shown.unwrap_or_default()
}

fn alert_line(incident: &Incident, alert: &IncidentAlert, linked: bool) -> String {
    let mark = if alert.status == AlertStatus::Firing { level_emoji(alert.level) } else { "✅" };
    let name = escaped(&alert.name, NAME_CHARS);
    let name = link(alert.generator_url.as_deref().filter(|_| linked), &name).unwrap_or(name);
    let mut line = format!("{mark} {name}");
    if alert.summary != alert.name || alert.trend.is_some() {
        line += &format!(": {}", said(incident, alert));
    }
    // The words of a trend have it in its unit.
    if let Some(value) = alert.value.filter(|_| alert.trend.is_none()) {
        line += &format!(" (value {})", number(value));
    }
    if alert.repeats > 1 {
        line += &format!(", told {}×", alert.repeats);
    }
    if trend::is_recovering(alert) {
        line += "  *recovering*";
    }
    line
}

fn suspects(incident: &Incident) -> String {
    if incident.suspects.is_empty() {
        return String::new();
    }
    let mut lines = Lines::new(2_500);
    lines.push(["*Suspects*".to_owned()]);
    for (at, suspect) in incident.suspects.iter().take(SUSPECTS_SHOWN).enumerate() {
        let numbered = |linked| format!("{}. {}", at + 1, described(suspect, linked));
        lines.push([numbered(true), numbered(false)]);
    }
    lines.finish(incident.suspects.len().saturating_sub(SUSPECTS_SHOWN))
}

fn described(suspect: &Suspect, linked: bool) -> String {
    let version = escaped(&suspect.version, NAME_CHARS);
    let version = link(suspect.url.as_deref().filter(|_| linked), &version).unwrap_or(version);
    let mut by = String::new();
    if let Some(revision) = &suspect.revision {
        by += &format!(" at {}", escaped(&revision.chars().take(12).collect::<String>(), 40));
    }
    if let Some(actor) = &suspect.actor {
        by += &format!(" by {}", escaped(actor, 60));
    }
    let reasons: Vec<_> = suspect.reasons.iter().take(6).map(|reason| escaped(reason, 120)).collect();
    format!("*{version}*{by}, score {}: {}", suspect.score, reasons.join(", "))
}

fn footer(incident: &Incident, known: Known<'_>) -> String {
    let mut lines = Lines::new(2_000);
    let links =
        [(&incident.runbook_url, known.runbook, "Runbook"), (&incident.dashboard_url, known.dashboard, "Dashboard")];
    for (told, known, label) in links {
        // What an alert says is nearer to it than what is known of the service; a link too long for the footer is no link.
        let found = [told.as_deref(), known].into_iter().find_map(|url| link(url, label));
        found.into_iter().for_each(|link| lines.push([link]));
    }
    lines.push([format!("{} · version {}", escaped(&incident.id, 80), incident.version)]);
    // A link too long for the footer is no alert left out.
    lines.omitted = 0;
    lines.finish(0)
}

fn duration(incident: &Incident) -> String {
    span(incident.resolved_at_ms.unwrap_or(incident.changed_at_ms).saturating_sub(incident.opened_at_ms))
}

fn emoji(incident: &Incident) -> &'static str {
    match incident.state {
        IncidentState::Open => level_emoji(incident.level),
        IncidentState::Resolved => "✅",
    }
}

fn level_emoji(level: Level) -> &'static str {
    match level {
        Level::Low => "⚪",
        Level::Medium => "🟡",
        Level::High => "🟠",
        Level::Critical => "🔴",
    }
}

fn level(level: Level) -> &'static str {
    match level {
        Level::Low => "Low",
        Level::Medium => "Medium",
        Level::High => "High",
        Level::Critical => "Critical",
    }
}

fn section(text: String) -> Value {
    json!({"type": "section", "text": {"type": "mrkdwn", "text": text, "verbatim": true}})
}

fn context(text: String) -> Value {
    json!({"type": "context", "elements": [{"type": "mrkdwn", "text": text, "verbatim": true}]})
}
