//! Planned windows in which nobody is told of what was to be expected: once, or every week on the clock of a time zone.
//!
//! The time zones are those that this program was built with: a machine's files decide nothing. On the day on which a clock goes
//! forward a time that does not exist is as much later; on the day on which it goes back the first of two is meant.

use jiff::civil::{Date, Weekday};
use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{Timestamp, ToSpan};
use serde::{Deserialize, Deserializer, de};

use crate::event::words::suggest;
use crate::event::{AlertStatus, Incident};
use crate::record::EventTime;

const DAY_MINUTES: i64 = 24 * 60;

/// All that is said must hold.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    pub name: String,
    #[serde(default)]
    services: Vec<String>,
    #[serde(default)]
    environments: Vec<String>,
    /// Names; all that fires must be of them.
    #[serde(default)]
    alerts: Vec<String>,
    from: Option<Moment>,
    to: Option<Moment>,
    weekly: Option<Weekly>,
    pub reason: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Weekly {
    /// On which it begins.
    days: Vec<Day>,
    from: Clock,
    /// On the next day, if that is not later.
    to: Clock,
    zone: Zone,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Day {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Moment(EventTime);

/// Minutes since midnight, up to 24:00.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Clock(i64);

#[derive(Clone, Debug)]
struct Zone(TimeZone);

impl Window {
    pub fn covers(&self, incident: &Incident) -> bool {
        let named = |names: &[String], name: &str| names.iter().any(|one| one == name);
        let environment = incident.environment.as_deref();
        let mut firing = incident.alerts.iter().filter(|alert| alert.status == AlertStatus::Firing);
        (self.services.is_empty() || named(&self.services, &incident.service))
            && (self.environments.is_empty() || environment.is_some_and(|name| named(&self.environments, name)))
            && (self.alerts.is_empty()
                || incident.alerts_omitted == 0 && firing.all(|alert| named(&self.alerts, &alert.name)))
    }

    /// When it ends, if it holds.
    pub fn ends(&self, at: EventTime) -> Option<EventTime> {
        self.around(at).filter(|(from, to)| *from <= at && at < *to).map(|(_, to)| to).max()
    }

    pub fn begins_after(&self, at: EventTime) -> Option<EventTime> {
        self.around(at).map(|(from, _)| from).filter(|from| *from > at).min()
    }

    /// The times it holds, from yesterday until this day next week.
    fn around(&self, at: EventTime) -> impl Iterator<Item = (EventTime, EventTime)> {
        let once = self.from.zip(self.to).map(|(from, to)| (from.0, to.0));
        once.into_iter().chain(self.weekly.iter().flat_map(move |weekly| weekly.around(at)))
    }

    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.name.trim().is_empty() {
            problems.push("name: is empty; people are told it".to_owned());
        }
        match (&self.weekly, self.from, self.to) {
            (None, Some(from), Some(to)) if to <= from => {
                problems.push("to: it ends before it begins, and never holds".to_owned());
            }
            (None, Some(_), Some(_)) | (Some(_), None, None) => {}
            (Some(_), ..) => {
                problems.push("weekly: a window holds once or weekly; leave `from` and `to` out".to_owned())
            }
            (None, ..) => problems.push("say both `from` and `to`, or `weekly`; it never holds".to_owned()),
        }
        problems.extend(self.weekly.iter().flat_map(Weekly::problems).map(|problem| format!("weekly.{problem}")));
        let lists = [("services", &self.services), ("environments", &self.environments), ("alerts", &self.alerts)];
        for (list, names) in lists {
            if names.iter().any(|name| name.trim().is_empty()) {
                problems.push(format!("{list}: an empty name is nobody's, and never holds"));
            }
        }
        problems
    }

    /// It mutes all there is.
    pub fn is_for_everything(&self) -> bool {
        self.services.is_empty() && self.environments.is_empty() && self.alerts.is_empty()
    }
}

impl Weekly {
    fn around(&self, at: EventTime) -> impl Iterator<Item = (EventTime, EventTime)> {
        let today = Timestamp::from_millisecond(at.0).ok().map(|now| self.zone.0.to_datetime(now).date());
        let days =
            today.into_iter().flat_map(|today| (-1..=7).filter_map(move |days| today.checked_add(days.days()).ok()));
        days.filter(|date| self.days.iter().any(|day| day.weekday() == date.weekday())).filter_map(|date| {
            let over_midnight = if self.to <= self.from { DAY_MINUTES } else { 0 };
            Some((self.moment(date, self.from.0)?, self.moment(date, self.to.0 + over_midnight)?))
        })
    }

    fn moment(&self, date: Date, minutes: i64) -> Option<EventTime> {
        let date = date.checked_add((minutes / DAY_MINUTES).days()).ok()?;
        let minutes = minutes % DAY_MINUTES;
        let time = date.at(i8::try_from(minutes / 60).ok()?, i8::try_from(minutes % 60).ok()?, 0, 0);
        let zoned = self.zone.0.to_ambiguous_zoned(time).compatible().ok()?;
        Some(EventTime(zoned.timestamp().as_millisecond()))
    }

    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.days.is_empty() {
            problems.push("days: name one; it never holds".to_owned());
        }
        if self.days.iter().enumerate().any(|(at, day)| self.days[..at].contains(day)) {
            problems.push("days: a day is there twice".to_owned());
        }
        if self.from == self.to {
            problems.push("to: it ends as it begins, and never holds; a whole day is from 00:00 to 24:00".to_owned());
        }
        if self.from.0 == DAY_MINUTES {
            problems.push("from: 24:00 is the next day's 00:00".to_owned());
        }
        problems
    }
}

impl Day {
    fn weekday(self) -> Weekday {
        match self {
            Day::Mon => Weekday::Monday,
            Day::Tue => Weekday::Tuesday,
            Day::Wed => Weekday::Wednesday,
            Day::Thu => Weekday::Thursday,
            Day::Fri => Weekday::Friday,
            Day::Sat => Weekday::Saturday,
            Day::Sun => Weekday::Sunday,
        }
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let wrong = |_| {
            de::Error::custom(format!(
                "`{text}` is no time with its offset, as 2026-12-01T22:00Z or 2026-12-01T22:00+01:00"
            ))
        };
        let parsed: Timestamp = text.parse().map_err(wrong)?;
        Ok(Self(EventTime(parsed.as_millisecond())))
    }
}

impl<'de> Deserialize<'de> for Clock {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let two = |text: &str| (text.len() == 2).then(|| text.parse::<u8>().ok().map(i64::from)).flatten();
        let minutes = text.split_once(':').and_then(|(hours, minutes)| {
            let (hours, minutes) = (two(hours)?, two(minutes)?);
            (minutes < 60 && hours * 60 + minutes <= DAY_MINUTES).then_some(hours * 60 + minutes)
        });
        minutes.map(Self).ok_or_else(|| de::Error::custom(format!("`{text}` is no time of the day, as \"22:00\"")))
    }
}

impl<'de> Deserialize<'de> for Zone {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        let zones = TimeZoneDatabase::bundled();
        zones.get(&name).map(Self).map_err(|_| {
            let known: Vec<_> = zones.available().map(|zone| zone.as_str().to_owned()).collect();
            let near = suggest(&name, known.iter().map(String::as_str));
            de::Error::custom(format!("there is no time zone `{name}`{near}"))
        })
    }
}
