//! The turns of a comparison: the story, the drains, and what takes its time with many keys.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::application::{Application, Engine};
use crate::measure::{self, Drain};
use crate::outputs::{Equality, Outputs};
use crate::process::Process;
use crate::report::{AtScale, Run};
use crate::site::{Cores, Peer, Site};
use crate::workload::{ONCALL, Workload};
use crate::{Args, PINNINGS, load, mix, story};

/// Kinds of changes of an incident.
const CHANGES: usize = 6;

pub struct Bench {
    pub args: Args,
    pub peer: Peer,
    pub began: Instant,
}

impl Bench {
    pub fn site(&self, cores: Cores, workload: &'static Workload) -> Result<Site> {
        Site::start(&self.args.scratch, cores, &self.peer, workload)
    }

    pub fn say(&self, what: &str) {
        eprintln!("[{:>5.0} s] {what}", self.began.elapsed().as_secs_f64());
    }

    /// Both engines read the same story at the same time.
    pub fn story(&self) -> Result<Equality> {
        let site = self.site(PINNINGS[0], &ONCALL)?;
        let ours = Application::new(&site, Engine::Fairlead, "fairlead-story")?;
        let theirs = Application::new(&site, Engine::Streams, "streams-story")?;
        let (mut our_process, mut their_process) = (ours.start(&site)?, theirs.start(&site)?);
        let keys = self.args.story_records / story::rounds();
        self.say(&format!("telling both a story of {} rounds of {keys} services", story::rounds()));
        story::tell(&site, keys, &[ours.group(), theirs.group()], &mut [&mut our_process, &mut their_process])?;
        let read = |application: &Application| Outputs::read(site.bootstrap(), &application.output(), i64::MAX);
        let (our_outputs, their_outputs) = (read(&ours)?, read(&theirs)?);
        let equality = our_outputs.compare(&their_outputs, &site.formats);
        let changes = our_outputs.changes(&site.formats);
        self.say(&format!("{equality}: {changes:?}"));
        ensure!(changes.len() == CHANGES, "the story does not lead to every change of an incident that there is");
        our_process.stop()?;
        their_process.stop()?;
        Ok(equality)
    }

    /// Turns of both engines on one backlog, each with an application of its own.
    pub fn drains(&self, cores: Cores, runs: &mut Vec<Run>) -> Result<()> {
        let site = self.site(cores, &ONCALL)?;
        self.say(&format!("loading {} records of {} services", self.args.records, self.args.keys));
        let until_ms = load::backlog(site.bootstrap(), &site.formats, self.args.records, self.args.keys)?;
        let mut before: Option<(usize, Outputs)> = None;
        self.turns(|number, engine| {
            let (drain, outputs) = self.drained(&site, engine, number, mix::signed(until_ms))?;
            let same_turn = before.as_ref().filter(|(of, _)| *of == number);
            let equality = same_turn.map(|(_, other)| other.compare(&outputs, &site.formats));
            if let Some(equality) = &equality {
                ensure!(equality.different_keys == 0, "{equality}");
                self.say(&equality.to_string());
            }
            before = Some((number, outputs));
            runs.push(Run { engine, cores, number, drain, equality });
            Ok(())
        })
    }

    /// Both engines by turns, each time the other one first.
    pub fn turns(&self, mut take: impl FnMut(usize, Engine) -> Result<()>) -> Result<()> {
        let began = Instant::now();
        for number in 1..=self.args.runs {
            // Half of the time for each pinning.
            if number > 1 && began.elapsed() > Duration::from_secs(self.args.drain_minutes * 30) {
                self.say("no time is left for further drains on these cores");
                break;
            }
            let mut engines = [Engine::Fairlead, Engine::Streams];
            if number % 2 == 0 {
                engines.reverse();
            }
            engines.into_iter().try_for_each(|engine| take(number, engine))?;
        }
        Ok(())
    }

    pub fn drained(&self, site: &Site, engine: Engine, number: usize, until_ms: i64) -> Result<(Drain, Outputs)> {
        let application = Application::new(site, engine, &format!("{}-{number}", engine.name()))?;
        let (process, drain) = measure::drain(site, &application)?;
        let name = engine.name();
        self.say(&format!(
            "{name} {number}: {:.0} records/s, engine on core {}",
            drain.whole.rate(),
            site.cores.engine
        ));
        let outputs = Outputs::read(site.bootstrap(), &application.output(), until_ms)?;
        process.stop()?;
        application.remove(site)?;
        Ok((drain, outputs))
    }

    /// One engine on a broker of its own, with many keys.
    pub fn at_scale(&self, engine: Engine) -> Result<AtScale> {
        let Args { scale_keys: keys, ways_back, latency_seconds, .. } = self.args;
        let site = self.site(PINNINGS[0], &ONCALL)?;
        self.say(&format!("loading {keys} services for {}", engine.name()));
        load::backlog(site.bootstrap(), &site.formats, keys, keys)?;
        let application = Application::new(&site, engine, engine.name())?;
        let (mut process, drain) = measure::drain(&site, &application)?;
        self.say(&format!("drained at {:.0} records/s", drain.whole.rate()));
        let mut paced = Vec::new();
        for rate in &self.args.rates {
            let length = Duration::from_secs(latency_seconds);
            let measured = measure::paced(&site, &application, &process, *rate, length)?;
            self.say(&format!("latency at {rate} records/s: p99 {:.1} ms", measured.latency.p99_ms));
            paced.push(measured);
        }
        let state_bytes = application.state_bytes()?;
        let (mut killed_seconds, mut lost_seconds) = (Vec::new(), Vec::new());
        for number in 0..ways_back {
            process.kill()?;
            process = self.back(&site, &application, &format!("killed-{number}"), &mut killed_seconds)?;
        }
        for number in 0..ways_back {
            process.stop()?;
            application.lose_state()?;
            process = self.back(&site, &application, &format!("lost-{number}"), &mut lost_seconds)?;
        }
        let restore_peak_bytes = process.peak_bytes()?;
        process.stop()?;
        Ok(AtScale { engine, keys, drain, state_bytes, paced, killed_seconds, lost_seconds, restore_peak_bytes })
    }

    fn back(&self, site: &Site, application: &Application, name: &str, took: &mut Vec<f64>) -> Result<Process> {
        let (process, seconds) = measure::back(site, application, name)?;
        self.say(&format!("{name}: back after {seconds:.2} s"));
        took.push(seconds);
        Ok(process)
    }
}
