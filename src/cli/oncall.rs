//! `fairlead oncall`: who is on call, now and next, straight from the topology's calendars; no cluster is asked.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Result, anyhow, bail};
use clap::Args;
use jiff::Timestamp;
use serde::Serialize;

use super::output::{Output, print, print_json};
use super::problems;
use crate::app::{place, source};
use crate::clock::Clock;
use crate::ingest::calendars::feed::Fetcher;
use crate::ingest::calendars::read;
use crate::record::EventTime;
use crate::rotation::duty::{self, OnCall};
use crate::rotation::{Reading, Rota, zone};
use crate::topology::problem::suggest;

#[derive(Args)]
pub struct OncallCommand {
    /// Only this rotation
    #[arg(long)]
    rotation: Option<String>,
    /// At this moment instead of now: 2026-12-24T09:00:00Z
    #[arg(long, value_name = "TIME")]
    at: Option<Timestamp>,
    /// Directory of the topology's files
    #[arg(long, default_value = "topology", env = "FAIRLEAD_TOPOLOGY")]
    topology: PathBuf,
    #[arg(long, short, value_enum, default_value_t)]
    output: Output,
}

#[derive(Serialize)]
struct Duty {
    rotation: String,
    on_call: Vec<OnCall>,
    /// Until when; none if nobody is known to come on or go.
    until: Option<Timestamp>,
    next: Vec<OnCall>,
    known_until: Option<Timestamp>,
    problems: Vec<String>,
    #[serde(skip)]
    zone: String,
}

impl OncallCommand {
    pub async fn run(self) -> Result<()> {
        let topology = problems::require(source::load(&self.topology)?)?;
        let rotations = &topology.settings.rotations;
        let names = || rotations.keys().map(String::as_str);
        if let Some(wanted) = self.rotation.as_ref().filter(|wanted| !rotations.contains_key(*wanted)) {
            bail!("there is no rotation `{wanted}`{}", suggest(wanted, names()));
        }
        if rotations.is_empty() {
            bail!("the topology has no rotations; describe one under `rotations`");
        }
        let at = self.at.map_or_else(|| Clock::wall().now(), |at| EventTime(at.as_millisecond()));
        let fetcher = Fetcher::new()?;
        let mut duties = Vec::new();
        for (name, rota) in rotations.iter().filter(|(name, _)| self.rotation.as_ref().is_none_or(|only| only == *name))
        {
            let reading = read(name, Arc::new(rota.clone()), &place(name, rota)?, &fetcher, at).await;
            duties.push(Duty::of(rota, reading.map_err(|why| anyhow!("rotation {name}: {why}"))?, at));
        }
        match self.output {
            Output::Json => print_json(&duties),
            Output::Text => print(&duties.iter().map(Duty::text).collect::<String>()),
        }
    }
}

impl Duty {
    fn of(rota: &Rota, Reading { rotation, problems }: Reading, at: EventTime) -> Self {
        let time = |ms| Timestamp::from_millisecond(ms).ok();
        let (until, next) = duty::next_change(&rotation.shifts, at.0).unzip();
        Self {
            on_call: duty::on_call(&rotation.shifts, at.0),
            until: until.and_then(time),
            next: next.unwrap_or_default(),
            known_until: time(rotation.known_until_ms),
            rotation: rotation.name,
            problems,
            zone: rota.zone.clone(),
        }
    }

    fn text(&self) -> String {
        let on = |zone: &jiff::tz::TimeZone, at: Timestamp| {
            at.to_zoned(zone.clone()).strftime("%a %Y-%m-%d %H:%M %Z").to_string()
        };
        let zone = zone(&self.zone).unwrap_or(jiff::tz::TimeZone::UTC);
        let mut out = format!("{}: {}", self.rotation, named(&self.on_call));
        if let Some(until) = self.until {
            out += &format!(" until {}, then {}", on(&zone, until), named(&self.next));
        }
        out.push('\n');
        self.problems.iter().for_each(|problem| out += &format!("  {problem}\n"));
        out
    }
}

fn named(people: &[OnCall]) -> String {
    let name = |one: &OnCall| match one.person.is_empty() || one.person == one.name {
        true => one.name.clone(),
        false => format!("{} ({})", one.name, one.person),
    };
    if people.is_empty() { "nobody".to_owned() } else { people.iter().map(name).collect::<Vec<_>>().join(", ") }
}
