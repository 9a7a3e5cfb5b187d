//! An iCalendar text (RFC 5545), as PagerDuty, Opsgenie, Grafana OnCall and calendars export it, to turns of duty.
//!
//! ```text
//! lines ─► events ─► recurrences, on local times ─► minus EXDATE, cancelled, overridden ─► turns
//! ```
//! A recurrence is expanded on the clock that hangs on the wall, and only then put into its zone: so a shift that begins at
//! nine begins at nine all year, and one that ends when the next begins leaves no gap in the week that the clocks change. A local
//! time that does not exist is taken an hour later, one that exists twice is the first.
//!
//! Bounded: events, rules, and what all rules together may yield. An event that cannot be read is told and left out, or read in
//! the rotation's zone where its own is unknown; a text that is no whole calendar is refused, for a cut-off download must not end
//! somebody's shift. Not here: VTIMEZONE (its names are looked up in the tz database), RANGE=THISANDFUTURE, alarms.

use std::collections::BTreeSet;

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Span, Timestamp};

use super::lines::{Line, line, unescaped, unfolded};
use super::recurrence::Rule;
use super::{Turn, Window};

const EVENTS_MAX: usize = 10_000;
const RULES_MAX: usize = 100;
/// Of all rules of a calendar, from their beginnings on: periods and occurrences.
const STEPS_MAX: usize = 200_000;

#[derive(Debug, Default)]
pub struct Calendar {
    pub turns: Vec<Turn>,
    /// What could not be read as it was meant.
    pub problems: Vec<String>,
}

/// A time as it is written: on the wall, and where that wall is.
#[derive(Clone, Debug)]
struct Moment {
    local: DateTime,
    zone: TimeZone,
    is_date: bool,
}

#[derive(Debug, Default)]
struct Event {
    uid: String,
    start: Option<Moment>,
    end: Option<Moment>,
    duration: Option<Span>,
    rule: Option<String>,
    rdates: Vec<Moment>,
    exdates: Vec<Moment>,
    /// The occurrence that this one replaces.
    replaces: Option<Moment>,
    cancelled: bool,
    who: Vec<String>,
    summary: String,
    problems: Vec<String>,
}

/// The turns that touch the window; `zone` is where a time without one is meant. The error is why this is no calendar.
pub fn read(text: &str, zone: &TimeZone, window: Window) -> Result<Calendar, String> {
    let events = events(text, zone)?;
    let mut calendar = Calendar::default();
    let replaced: BTreeSet<_> =
        events.iter().filter_map(|event| Some((event.uid.clone(), event.replaces.as_ref()?.instant()?))).collect();
    let (mut rules, mut left) = (0, STEPS_MAX);
    for event in events {
        calendar.problems.extend(event.problems.iter().map(|problem| format!("{}: {problem}", event.named())));
        if event.cancelled {
            continue;
        }
        rules += usize::from(event.rule.is_some());
        if rules > RULES_MAX {
            return Err(format!("it has more than {RULES_MAX} recurring events"));
        }
        match event.turns(&replaced, window, &mut left) {
            Ok(turns) => calendar.turns.extend(turns),
            Err(problem) => calendar.problems.push(format!("{}: left out: {problem}", event.named())),
        }
    }
    Ok(calendar)
}

fn events(text: &str, zone: &TimeZone) -> Result<Vec<Event>, String> {
    let (mut events, mut open, mut whole) = (Vec::new(), Vec::<String>::new(), false);
    for line in unfolded(text).iter().filter_map(|text| line(text)) {
        let component = line.value.trim().to_ascii_uppercase();
        match (line.name.as_str(), open.len()) {
            ("BEGIN", 0) if component != "VCALENDAR" => break,
            ("BEGIN", _) => {
                if component == "VEVENT" && open.len() == 1 {
                    if events.len() == EVENTS_MAX {
                        return Err(format!("it has more than {EVENTS_MAX} events"));
                    }
                    events.push(Event::default());
                }
                open.push(component);
            }
            ("END", _) => {
                if open.pop().as_ref() != Some(&component) {
                    return Err(format!("END:{component} ends nothing; the calendar is damaged"));
                }
                whole |= open.is_empty();
            }
            (_, 2) if open[1] == "VEVENT" => {
                if let Some(event) = events.last_mut() {
                    event.take(&line, zone);
                }
            }
            _ => {}
        }
    }
    match whole && open.is_empty() {
        true => Ok(events),
        false => {
            Err("this is no whole calendar: it must begin with BEGIN:VCALENDAR and end with END:VCALENDAR".to_owned())
        }
    }
}

impl Event {
    fn take(&mut self, line: &Line, zone: &TimeZone) {
        match line.name.as_str() {
            "UID" => self.uid.clone_from(&line.value),
            "DTSTART" => self.start = self.moments(line, zone).pop(),
            "DTEND" => self.end = self.moments(line, zone).pop(),
            "DURATION" => match line.value.trim().parse() {
                Ok(span) => self.duration = Some(span),
                Err(_) => self.problems.push(format!("`{}` is no duration", clipped(&line.value))),
            },
            "RRULE" => self.rule = Some(line.value.trim().to_ascii_uppercase()),
            "RDATE" => {
                let moments = self.moments(line, zone);
                self.rdates.extend(moments);
            }
            "EXDATE" => {
                let moments = self.moments(line, zone);
                self.exdates.extend(moments);
            }
            "RECURRENCE-ID" => {
                if line.param("RANGE").is_some() {
                    self.problems
                        .push("a change of all later occurrences (RANGE) is read as one of this alone".to_owned());
                }
                self.replaces = self.moments(line, zone).pop();
            }
            "STATUS" => self.cancelled = line.value.trim().eq_ignore_ascii_case("CANCELLED"),
            "SUMMARY" => self.summary = unescaped(&line.value),
            "ATTENDEE" => self.attendee(line),
            _ => {}
        }
    }

    fn attendee(&mut self, line: &Line) {
        let is = |name: &str, values: &[&str]| {
            line.param(name).is_some_and(|value| values.iter().any(|one| value.eq_ignore_ascii_case(one)))
        };
        if is("CUTYPE", &["ROOM", "RESOURCE", "GROUP"]) || is("PARTSTAT", &["DECLINED"]) || self.who.len() >= 20 {
            return;
        }
        let value = line.value.trim();
        let address =
            value.get(..7).filter(|scheme| scheme.eq_ignore_ascii_case("mailto:")).map_or(value, |_| &value[7..]);
        self.who.push(address.to_owned());
    }

    /// A list of times, those of periods being their beginnings.
    fn moments(&mut self, line: &Line, zone: &TimeZone) -> Vec<Moment> {
        let named = line.param("TZID").map(|name| (name, zone_named(name)));
        if let Some((name, None)) = named {
            self.problems
                .push(format!("`{}` is no zone of the tz database; read in the rotation's own", clipped(name)));
        }
        let zone = named.and_then(|(_, zone)| zone).unwrap_or_else(|| zone.clone());
        let mut moments = Vec::new();
        for value in line.value.split(',').map(|value| value.split('/').next().unwrap_or_default().trim()) {
            match moment(value, &zone) {
                Some(moment) => moments.push(moment),
                None => self.problems.push(format!("{}: `{}` is no time", line.name, clipped(value))),
            }
        }
        moments
    }

    fn named(&self) -> String {
        format!("event `{}`", clipped(if self.summary.is_empty() { &self.uid } else { &self.summary }))
    }

    fn turns(
        &self,
        replaced: &BTreeSet<(String, Timestamp)>,
        window: Window,
        left: &mut usize,
    ) -> Result<Vec<Turn>, String> {
        let start = self.start.as_ref().ok_or("it has no beginning (DTSTART)")?;
        let mut starts = match &self.rule {
            Some(rule) => occurrences(start, rule, window, left)?,
            None => vec![start.clone()],
        };
        starts.extend(self.rdates.iter().cloned());
        let excluded: BTreeSet<_> = self.exdates.iter().filter_map(Moment::instant).collect();
        let mut turns = Vec::new();
        let mut known = BTreeSet::new();
        for begin in starts {
            let Some(instant) = begin.instant() else { continue };
            let is_replaced = self.replaces.is_none() && replaced.contains(&(self.uid.clone(), instant));
            if excluded.contains(&instant) || is_replaced || !known.insert(instant) {
                continue;
            }
            let end = self.end_of(start, &begin).ok_or("its end is out of range")?;
            if end <= instant {
                return Err("it ends before it has begun".to_owned());
            }
            let (starts_at_ms, ends_at_ms) = (instant.as_millisecond(), end.as_millisecond());
            if ends_at_ms > window.from_ms && starts_at_ms < window.until_ms {
                turns.push(Turn { starts_at_ms, ends_at_ms, who: self.who.clone(), text: self.summary.clone() });
            }
        }
        Ok(turns)
    }

    /// As long, on the wall, as the first one; an event of a day without an end lasts that day.
    fn end_of(&self, first: &Moment, begin: &Moment) -> Option<Timestamp> {
        let local = match (&self.end, self.duration) {
            (Some(end), _) if end.zone == first.zone => begin.local.checked_add(first.local.duration_until(end.local)),
            (Some(end), _) => {
                let exact: SignedDuration = first.instant()?.duration_until(end.instant()?);
                return begin.instant()?.checked_add(exact).ok();
            }
            (None, Some(span)) => begin.local.checked_add(span),
            (None, None) if begin.is_date => begin.local.checked_add(Span::new().days(1)),
            (None, None) => Ok(begin.local),
        };
        Moment { local: local.ok()?, ..begin.clone() }.instant()
    }
}

/// The beginnings that a rule gives, up to the end of the window.
fn occurrences(start: &Moment, rule: &str, window: Window, left: &mut usize) -> Result<Vec<Moment>, String> {
    let parts = || rule.split(';').filter_map(|part| part.split_once('='));
    let window_end = Timestamp::from_millisecond(window.until_ms).map_err(|_| "the window is out of range")?;
    let mut last = start.zone.to_datetime(window_end);
    if let Some((_, until)) = parts().find(|(name, _)| *name == "UNTIL") {
        let until = moment(until, &start.zone).ok_or_else(|| format!("`{}` is no time to end at", clipped(until)))?;
        last = last.min(until.last_local(&start.zone).ok_or("its rule ends out of range")?);
    }
    let rule = Rule::read(parts().filter(|(name, _)| *name != "UNTIL"), start.local)?;
    let times = rule.times(start.local, last, left);
    let times = times.ok_or_else(|| format!("the rules of this calendar take more than {STEPS_MAX} steps"))?;
    Ok(times.into_iter().map(|local| Moment { local, ..start.clone() }).collect())
}

impl Moment {
    /// `None`: out of range.
    fn instant(&self) -> Option<Timestamp> {
        self.zone.to_ambiguous_timestamp(self.local).compatible().ok()
    }

    /// The last local time of `zone` that is not after it; a date is over at its end.
    fn last_local(&self, zone: &TimeZone) -> Option<DateTime> {
        match self.is_date {
            true => self.local.checked_add(Span::new().hours(23).minutes(59).seconds(59)).ok(),
            false => Some(zone.to_datetime(self.instant()?)),
        }
    }
}

/// `20261130`, `20261130T090000` on the wall of the zone, or `20261130T080000Z`.
fn moment(value: &str, zone: &TimeZone) -> Option<Moment> {
    if let Ok(date) = Date::strptime("%Y%m%d", value) {
        return Some(Moment { local: date.at(0, 0, 0, 0), zone: zone.clone(), is_date: true });
    }
    let (local, zone) = match value.strip_suffix('Z') {
        Some(utc) => (utc, TimeZone::UTC),
        None => (value, zone.clone()),
    };
    Some(Moment { local: DateTime::strptime("%Y%m%dT%H%M%S", local).ok()?, zone, is_date: false })
}

/// As the tz database names it, or with the prefix that some programs give it: `/mozilla.org/20050126_1/Europe/Berlin`.
fn zone_named(name: &str) -> Option<TimeZone> {
    let parts: Vec<_> = name.trim_matches('/').split('/').collect();
    let ends = (0..parts.len()).map(|from| parts[from..].join("/"));
    ends.take(4).find_map(|name| super::zone(&name))
}

pub(super) fn clipped(text: &str) -> String {
    text.chars().take(60).collect()
}

#[cfg(test)]
mod tests;
