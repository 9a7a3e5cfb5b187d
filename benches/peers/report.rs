//! What was measured, as a table for people and as JSON with every run.

use std::fmt;
use std::process::Command;

use serde::Serialize;

use crate::application::Engine;
use crate::measure::{Drain, Paced};
use crate::outputs::Equality;
use crate::site::Cores;

#[derive(Serialize)]
pub struct Report {
    pub machine: Machine,
    pub equality: Option<Equality>,
    pub drains: Vec<Run>,
    pub at_scale: Vec<AtScale>,
}

#[derive(Serialize)]
pub struct Machine {
    pub cpu: String,
    pub cores: usize,
    pub memory: String,
    pub linux: String,
    pub java: String,
    /// Of this repository.
    pub commit: String,
}

/// One drain of the backlog, by an application that is new.
#[derive(Serialize)]
pub struct Run {
    pub engine: Engine,
    pub cores: Cores,
    pub number: usize,
    pub drain: Drain,
    /// With what the other engine told in the same turn.
    pub equality: Option<Equality>,
}

/// One engine with many keys: what takes its time.
#[derive(Serialize)]
pub struct AtScale {
    pub engine: Engine,
    pub keys: u64,
    pub drain: Drain,
    pub state_bytes: u64,
    pub paced: Vec<Paced>,
    /// From the start of a process to its first output, after kill -9.
    pub killed_seconds: Vec<f64>,
    /// The same with an empty disk.
    pub lost_seconds: Vec<f64>,
    pub restore_peak_bytes: u64,
}

impl Machine {
    pub fn this() -> Self {
        let line = |path: &str, name: &str| {
            let text = std::fs::read_to_string(path).unwrap_or_default();
            let line =
                text.lines().find_map(|line| Some(line.strip_prefix(name)?.split_once(':')?.1.trim().to_owned()));
            line.unwrap_or_else(|| "unknown".to_owned())
        };
        let told = |program: &str, arguments: &[&str]| {
            let output = Command::new(program).args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).output();
            let text = output.map(|output| [output.stdout, output.stderr].concat()).unwrap_or_default();
            String::from_utf8_lossy(&text).lines().next().unwrap_or("unknown").to_owned()
        };
        Self {
            cpu: line("/proc/cpuinfo", "model name"),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            memory: line("/proc/meminfo", "MemTotal"),
            linux: told("uname", &["-r"]),
            java: told("java", &["-version"]),
            commit: told("git", &["describe", "--always", "--dirty"]),
        }
    }
}

/// Engines in columns.
const COLUMNS: [Engine; 3] = [Engine::Fairlead, Engine::Streams, Engine::StreamsTransactional];

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Machine { cpu, cores, memory, linux, java, commit } = &self.machine;
        writeln!(f, "{cpu}, {cores} cores, {memory}; Linux {linux}; {java}; fairlead {commit}")?;
        if let Some(equality) = &self.equality {
            writeln!(f, "story: {equality}")?;
        }
        let mut pinnings: Vec<_> = self.drains.iter().map(|run| run.cores).collect();
        pinnings.dedup();
        for cores in pinnings {
            self.write_drains(f, cores)?;
        }
        if !self.at_scale.is_empty() {
            self.write_at_scale(f)?;
        }
        Ok(())
    }
}

impl Report {
    fn write_drains(&self, f: &mut fmt::Formatter<'_>, cores: Cores) -> fmt::Result {
        let runs: Vec<_> = self.drains.iter().filter(|run| run.cores == cores).collect();
        let most = runs.iter().map(|run| run.drain.whole.records).max().unwrap_or_default();
        writeln!(f, "\ndrain of {most} records, broker on core {}, engine on core {}", cores.broker, cores.engine)?;
        for equality in runs.iter().filter_map(|run| run.equality.as_ref()) {
            writeln!(f, "  {equality}")?;
        }
        write_head(f)?;
        let mut row = |label: &str, value: fn(&Drain) -> f64| {
            write_row(f, label, |engine| {
                runs.iter().filter(|run| run.engine == engine).map(|run| value(&run.drain)).collect()
            })
        };
        row("records/s", |drain| drain.whole.rate())?;
        row("  its later half", |drain| drain.later_half.rate())?;
        row("CPU-s per million records", |drain| drain.whole.cpu_per_million())?;
        row("  its later half", |drain| drain.later_half.cpu_per_million())?;
        row("broker CPU-s per million", |drain| drain.whole.broker_cpu_per_million())?;
        row("peak memory, MiB", |drain| mib(drain.peak_bytes))?;
        row("cold start to output, s", |drain| drain.first_output_seconds)?;
        row("  CPU-s of it", |drain| drain.first_output_cpu_seconds)
    }

    fn write_at_scale(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\nwith {} keys", self.at_scale[0].keys)?;
        write_head(f)?;
        let mut row = |label: &str, values: &dyn Fn(&AtScale) -> Vec<f64>| {
            write_row(f, label, |engine| {
                self.at_scale.iter().filter(|scale| scale.engine == engine).flat_map(values).collect()
            })
        };
        row("drain, records/s", &|scale| vec![scale.drain.whole.rate()])?;
        row("CPU-s per million records", &|scale| vec![scale.drain.whole.cpu_per_million()])?;
        row("peak memory, MiB", &|scale| vec![mib(scale.drain.peak_bytes)])?;
        row("state flushed to disk, MiB", &|scale| vec![mib(scale.state_bytes)])?;
        for (at, paced) in self.at_scale[0].paced.iter().enumerate() {
            let rate = paced.latency.rate;
            let mut paced = |label: &str, value: fn(&Paced) -> f64| {
                row(label, &|scale| scale.paced.get(at).map(value).into_iter().collect())
            };
            paced(&format!("p50 at {rate}/s, ms"), |paced| paced.latency.p50_ms)?;
            paced("p99, ms", |paced| paced.latency.p99_ms)?;
            paced("p99.9, ms", |paced| paced.latency.p999_ms)?;
            paced("share of a core", |paced| paced.cpu_share)?;
            paced("broker's share of a core", |paced| paced.broker_cpu_share)?;
        }
        row("back after kill -9, s", &|scale| scale.killed_seconds.clone())?;
        row("back with an empty disk, s", &|scale| scale.lost_seconds.clone())?;
        row("peak memory meanwhile, MiB", &|scale| vec![mib(scale.restore_peak_bytes)])
    }
}

impl fmt::Display for Equality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { keys, outputs, different_keys, first_difference } = self;
        match first_difference {
            None => write!(f, "both told the same {outputs} incidents of {keys} services"),
            Some(first) => write!(f, "NOT EQUAL: {different_keys} of {keys} services differ; first {first}"),
        }
    }
}

fn write_head(f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "{:28}", "")?;
    COLUMNS.iter().try_for_each(|engine| write!(f, "{:>24}", engine.name()))?;
    writeln!(f, "{:>20}", "fairlead/streams")
}

/// Median, least and most of each engine, and the ratio of the medians.
fn write_row(f: &mut fmt::Formatter<'_>, label: &str, values: impl Fn(Engine) -> Vec<f64>) -> fmt::Result {
    write!(f, "{label:28}")?;
    for engine in COLUMNS {
        let values = values(engine);
        let cell = match (median(&values), &values[..]) {
            (None, _) => String::new(),
            (Some(median), [_]) => number(median),
            (Some(median), _) => {
                let least = values.iter().copied().fold(f64::INFINITY, f64::min);
                let most = values.iter().copied().fold(0.0, f64::max);
                format!("{} ({} to {})", number(median), number(least), number(most))
            }
        };
        write!(f, "{cell:>24}")?;
    }
    match (median(&values(Engine::Fairlead)), median(&values(Engine::Streams))) {
        (Some(ours), Some(theirs)) if theirs > 0.0 => writeln!(f, "{:>20.2}", ours / theirs),
        _ => writeln!(f),
    }
}

fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.get(sorted.len() / 2)?;
    let lower = sorted[(sorted.len() - 1) / 2];
    Some((lower + middle) / 2.0)
}

/// Three digits, as far as there are so many behind the noise.
fn number(value: f64) -> String {
    match value {
        100.0.. => format!("{value:.0}"),
        10.0..100.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
