//! How far a long reading is, on standard error: a line that stays in place on a terminal, elsewhere a line now and then.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use crate::event::Fact;
use crate::replay::{Recorded, Value};

/// Records between two looks at the clock.
const LOOK: u64 = 512;

pub struct Progress {
    began: Instant,
    told: Instant,
    every: Duration,
    on_terminal: bool,
    records: u64,
    alerts: u64,
}

impl Progress {
    pub fn start() -> Self {
        let (now, on_terminal) = (Instant::now(), std::io::stderr().is_terminal());
        let every = Duration::from_secs(if on_terminal { 1 } else { 10 });
        Self { began: now, told: now, every, on_terminal, records: 0, alerts: 0 }
    }

    pub fn read(&mut self, record: &Recorded) {
        self.records += 1;
        self.alerts += u64::from(matches!(record.value, Value::Fact(Fact::Alert(_))));
        if self.records.is_multiple_of(LOOK) && self.told.elapsed() >= self.every {
            self.told = Instant::now();
            let at = crate::app::decoded::time(record.timestamp.0);
            let line = format!("{} records, {} alerts, at {at}", self.records, self.alerts);
            if self.on_terminal { eprint!("\r{line}   ") } else { eprintln!("{line}") }
        }
    }

    /// What it took, as measured by the wall.
    pub fn end(self) {
        let (Self { began, records, alerts, .. }, took) = (&self, self.began.elapsed().as_secs_f64().max(1e-6));
        let begin = if self.on_terminal && self.told > *began { "\r" } else { "" };
        // A count of records is far below 2^52.
        let rate = *alerts as f64 / took;
        let memory = peak_mib().map(|mib| format!(", peak memory {mib} MiB")).unwrap_or_default();
        eprintln!("{begin}{records} records, {alerts} alerts in {took:.1} s: {rate:.0} alerts/s{memory}");
    }
}

/// Steps of one kind, of so many if that is known. Silent if it does not last.
pub struct Steps {
    what: &'static str,
    told: Instant,
    every: Duration,
    on_terminal: bool,
    has_told: bool,
    done: u64,
}

impl Steps {
    pub fn start(what: &'static str) -> Self {
        let on_terminal = std::io::stderr().is_terminal();
        let every = Duration::from_secs(if on_terminal { 1 } else { 10 });
        Self { what, told: Instant::now(), every, on_terminal, has_told: false, done: 0 }
    }

    pub fn step(&mut self, of: Option<usize>) {
        self.done += 1;
        // Where the number is known, a step is long.
        if (of.is_some() || self.done.is_multiple_of(LOOK)) && self.told.elapsed() >= self.every {
            (self.told, self.has_told) = (Instant::now(), true);
            let of = of.map(|of| format!(" of {of}")).unwrap_or_default();
            let line = format!("{}{of} {}", self.done, self.what);
            if self.on_terminal { eprint!("\r{line}   ") } else { eprintln!("{line}") }
        }
    }

    pub fn end(self) {
        if self.has_told && self.on_terminal {
            eprintln!();
        }
    }
}

/// Of this process, as Linux tells it.
fn peak_mib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let kib = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?.trim().strip_suffix("kB")?;
    kib.trim().parse::<u64>().ok().map(|kib| kib / 1024)
}
