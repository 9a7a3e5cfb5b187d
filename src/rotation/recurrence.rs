//! Recurrence rules of iCalendar (RFC 5545, 3.3.10) on the clock that hangs on the wall: a beginning and a rule in, local times out.
//!
//! Read are FREQ (hourly to yearly), INTERVAL, COUNT, UNTIL, WKST, BYDAY, BYMONTHDAY and BYMONTH: what calendars offer for shifts. A rule that
//! says more is refused with its name, for half a rule would put the wrong person on call. Bounded by its caller's budget of steps, each period and
//! each occurrence being one. There is no crate for it here: the one that is well known (rrule) brings a second calendar library and its time
//! zones, and skips or doubles occurrences when the clocks change.

use jiff::Span;
use jiff::civil::{Date, DateTime, Weekday};

#[derive(Debug)]
pub struct Rule {
    every: Every,
    interval: i64,
    count: Option<u32>,
    week_start: Weekday,
    /// With which of them in the month, zero for each.
    days: Vec<(i8, Weekday)>,
    /// From the end where negative.
    month_days: Vec<i8>,
    months: Vec<i8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Every {
    Hour,
    Day,
    Week,
    Month,
    Year,
}

impl Rule {
    /// Of its parts but UNTIL; `start` is when it begins.
    pub fn read<'a>(parts: impl Iterator<Item = (&'a str, &'a str)>, start: DateTime) -> Result<Self, String> {
        let mut every = None;
        let (interval, count, week_start) = (1, None, Weekday::Monday);
        let mut rule = Self {
            every: Every::Day,
            interval,
            count,
            week_start,
            days: Vec::new(),
            month_days: Vec::new(),
            months: Vec::new(),
        };
        for (name, value) in parts {
            let unread = || format!("`{name}={}` is not read", super::ical::clipped(value));
            match name {
                "FREQ" => every = Some(frequency(value).ok_or_else(unread)?),
                "INTERVAL" => {
                    rule.interval = value.parse().ok().filter(|n| (1..=1_000).contains(n)).ok_or_else(unread)?
                }
                "COUNT" => rule.count = Some(value.parse().map_err(|_| unread())?),
                "WKST" => rule.week_start = weekday(value).ok_or_else(unread)?,
                "BYDAY" => rule.days = list(value, day).ok_or_else(unread)?,
                "BYMONTHDAY" => {
                    let legal = |n: &i8| *n != 0 && (-31..=31).contains(n);
                    rule.month_days = list(value, |one| one.parse().ok().filter(legal)).ok_or_else(unread)?;
                }
                "BYMONTH" => {
                    rule.months =
                        list(value, |one| one.parse().ok().filter(|n| (1..=12).contains(n))).ok_or_else(unread)?;
                }
                // Of the beginning, as some calendars say once more.
                "BYHOUR" if value.parse() == Ok(start.hour()) => {}
                "BYMINUTE" if value.parse() == Ok(start.minute()) => {}
                "BYSECOND" if value.parse() == Ok(start.second()) => {}
                _ => return Err(unread()),
            }
        }
        rule.every = every.ok_or("it does not say how often (FREQ)")?;
        let ordinals = rule.days.iter().any(|(ordinal, _)| *ordinal != 0);
        match rule.every {
            Every::Hour | Every::Day | Every::Week if ordinals => {
                Err("a numbered day goes with months only".to_owned())
            }
            Every::Week if !rule.month_days.is_empty() => Err("BYMONTHDAY does not go with weeks".to_owned()),
            Every::Year if rule.months.is_empty() && !(rule.days.is_empty() && rule.month_days.is_empty()) => {
                Err("days of a year are read with BYMONTH only".to_owned())
            }
            _ => Ok(rule),
        }
    }

    /// All until `last`, in their order; `left` is the budget. `None`: it is spent.
    pub fn times(&self, start: DateTime, last: DateTime, left: &mut usize) -> Option<Vec<DateTime>> {
        let mut found = Vec::new();
        for number in 0.. {
            *left = left.checked_sub(1)?;
            let Some((begin, mut times)) = self.period(start, number) else { break };
            if begin > last {
                break;
            }
            times.sort_unstable();
            times.dedup();
            for time in times.into_iter().filter(|time| *time >= start) {
                let is_counted_out = self.count.is_some_and(|count| found.len() >= count as usize);
                if time > last || is_counted_out {
                    return Some(found);
                }
                *left = left.checked_sub(1)?;
                found.push(time);
            }
        }
        Some(found)
    }

    /// The first moment of a period, and what is in it. `None`: out of range.
    fn period(&self, start: DateTime, number: i64) -> Option<(DateTime, Vec<DateTime>)> {
        let (date, by) = (start.date(), number.checked_mul(self.interval)?);
        let at = |date: Date| date.to_datetime(start.time());
        let span = |span: Result<Span, jiff::Error>| span.ok();
        Some(match self.every {
            Every::Hour => {
                let time = start.checked_add(span(Span::new().try_hours(by))?).ok()?;
                (time, Vec::from_iter(Some(time).filter(|time| self.takes(time.date()))))
            }
            Every::Day => {
                let date = date.checked_add(span(Span::new().try_days(by))?).ok()?;
                (at(date), Vec::from_iter(Some(date).filter(|date| self.takes(*date)).map(at)))
            }
            Every::Week => {
                let into = i64::from(date.weekday().since(self.week_start));
                let begin = date.checked_add(span(Span::new().try_days(by.checked_mul(7)? - into))?).ok()?;
                let days = (0..7).filter_map(|day| begin.checked_add(Span::new().days(day)).ok());
                let is_wanted = |day: &Date| match self.days.is_empty() {
                    true => day.weekday() == date.weekday(),
                    false => self.is_on(day.weekday()),
                };
                let days = days.filter(is_wanted).filter(|day| self.is_in_month(*day));
                (begin.to_datetime(jiff::civil::Time::midnight()), days.map(at).collect())
            }
            Every::Month => {
                let first = date.first_of_month().checked_add(span(Span::new().try_months(by))?).ok()?;
                let days = if self.is_in_month(first) { self.in_month(first, date.day()) } else { Vec::new() };
                (first.to_datetime(jiff::civil::Time::midnight()), days.into_iter().map(at).collect())
            }
            Every::Year => {
                let year = i16::try_from(i64::from(date.year()).checked_add(by)?).ok()?;
                let months = if self.months.is_empty() { vec![date.month()] } else { self.months.clone() };
                let firsts = months.into_iter().filter_map(|month| Date::new(year, month, 1).ok());
                let days = firsts.flat_map(|first| self.in_month(first, date.day()));
                (Date::new(year, 1, 1).ok()?.to_datetime(jiff::civil::Time::midnight()), days.map(at).collect())
            }
        })
    }

    /// The days of the month that begins with `first`: by weekday, by number, or that of the beginning.
    fn in_month(&self, first: Date, day: i8) -> Vec<Date> {
        let length = first.days_in_month();
        let all = (1..=length).filter_map(|day| Date::new(first.year(), first.month(), day).ok());
        let is_wanted = |date: &Date| {
            let (from_start, from_end) = ((date.day() - 1) / 7 + 1, -((length - date.day()) / 7 + 1));
            let by_day = self
                .days
                .iter()
                .any(|(ordinal, weekday)| *weekday == date.weekday() && [0, from_start, from_end].contains(ordinal));
            match (self.days.is_empty(), self.month_days.is_empty()) {
                (true, true) => date.day() == day,
                (by_number, by_weekday) => (by_number || by_day) && (by_weekday || self.is_numbered(*date)),
            }
        };
        all.filter(is_wanted).collect()
    }

    fn takes(&self, date: Date) -> bool {
        (self.days.is_empty() || self.is_on(date.weekday()))
            && (self.month_days.is_empty() || self.is_numbered(date))
            && self.is_in_month(date)
    }

    fn is_on(&self, weekday: Weekday) -> bool {
        self.days.iter().any(|(_, one)| *one == weekday)
    }

    fn is_numbered(&self, date: Date) -> bool {
        self.month_days.contains(&date.day()) || self.month_days.contains(&(date.day() - date.days_in_month() - 1))
    }

    fn is_in_month(&self, date: Date) -> bool {
        self.months.is_empty() || self.months.contains(&date.month())
    }
}

fn frequency(value: &str) -> Option<Every> {
    Some(match value {
        "HOURLY" => Every::Hour,
        "DAILY" => Every::Day,
        "WEEKLY" => Every::Week,
        "MONTHLY" => Every::Month,
        "YEARLY" => Every::Year,
        _ => return None,
    })
}

fn list<T>(value: &str, read: impl Fn(&str) -> Option<T>) -> Option<Vec<T>> {
    value.split(',').take(400).map(|one| read(one.trim())).collect()
}

/// `MO`, `1MO`, `-1FR`.
fn day(value: &str) -> Option<(i8, Weekday)> {
    let at = value.len().checked_sub(2)?;
    let (ordinal, name) = (value.get(..at)?, value.get(at..)?);
    let ordinal =
        if ordinal.is_empty() { 0 } else { ordinal.parse().ok().filter(|n| (-5..=5).contains(n) && *n != 0)? };
    Some((ordinal, weekday(name)?))
}

fn weekday(name: &str) -> Option<Weekday> {
    Some(match name {
        "MO" => Weekday::Monday,
        "TU" => Weekday::Tuesday,
        "WE" => Weekday::Wednesday,
        "TH" => Weekday::Thursday,
        "FR" => Weekday::Friday,
        "SA" => Weekday::Saturday,
        "SU" => Weekday::Sunday,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What python-dateutil 4.0.0 says of these rules from Wednesday 2026-09-30 09:00 on, until the end of 2028: how many, the first
    /// six and the last. Made by `rrulestr(rule, dtstart=…)`.
    const EXPECTED: &str = include_str!("recurrence/dateutil.txt");

    #[test]
    fn rules_recur_as_dateutil_has_it() {
        let (start, last) = ("2026-09-30T09:00".parse().unwrap(), "2028-12-31T23:59".parse().unwrap());
        for line in EXPECTED.lines() {
            let (text, expected) = line.split_once(' ').unwrap();
            let rule = Rule::read(text.split(';').map(|part| part.split_once('=').unwrap()), start).unwrap();
            let times = rule.times(start, last, &mut 100_000).unwrap();
            let shown = |time: &DateTime| time.strftime("%Y%m%dT%H").to_string();
            let ends: Vec<_> = times.iter().take(6).chain(times.last()).map(shown).collect();
            assert_eq!(format!("{} {}", times.len(), ends.join(" ")).trim(), expected, "{text}");
        }
        assert!(EXPECTED.lines().count() > 40);
    }

    #[test]
    fn what_is_not_read_is_named() {
        let start = "2026-09-30T09:00".parse().unwrap();
        let told = |text: &str| Rule::read(text.split(';').filter_map(|part| part.split_once('=')), start).err();
        assert_eq!(told("FREQ=WEEKLY;BYHOUR=9;BYMINUTE=0"), None);
        for (rule, word) in [
            ("INTERVAL=2", "FREQ"),
            ("FREQ=MINUTELY", "FREQ"),
            ("FREQ=DAILY;INTERVAL=0", "INTERVAL=0"),
            ("FREQ=MONTHLY;BYDAY=MO;BYSETPOS=1", "BYSETPOS"),
            ("FREQ=DAILY;BYHOUR=8", "BYHOUR"),
            ("FREQ=WEEKLY;BYDAY=1MO", "numbered"),
            ("FREQ=YEARLY;BYDAY=MO", "BYMONTH"),
            ("FREQ=WEEKLY;BYDAY=Ä", "BYDAY"),
        ] {
            assert!(told(rule).unwrap_or_default().contains(word), "{rule}: {:?}", told(rule));
        }
    }
}
