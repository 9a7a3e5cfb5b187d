//! What was measured, as a table and as JSON.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::judge::Latency;

#[derive(Serialize)]
pub struct Report {
    pub records: u64,
    pub keys: u64,
    pub drain: Option<Drain>,
    pub latency: Option<Latency>,
    pub state_bytes: u64,
    pub killed_to_ready: Duration,
    pub killed_to_output: Duration,
    pub lost_to_ready: Duration,
    pub lost_to_output: Duration,
    pub restore_peak_bytes: u64,
}

#[derive(Serialize)]
pub struct Drain {
    pub records: u64,
    pub seconds: f64,
    /// Of the engine's process, all threads.
    pub cpu_seconds: f64,
    pub broker_cpu_seconds: f64,
    /// The most that was resident at once.
    pub peak_bytes: u64,
}

impl Report {
    pub fn new(records: u64, keys: u64) -> Self {
        let zero = Duration::ZERO;
        Self {
            records,
            keys,
            drain: None,
            latency: None,
            state_bytes: 0,
            killed_to_ready: zero,
            killed_to_output: zero,
            lost_to_ready: zero,
            lost_to_output: zero,
            restore_peak_bytes: 0,
        }
    }

    pub fn drained(&self) -> String {
        let Some(Drain { records, seconds, cpu_seconds, broker_cpu_seconds, peak_bytes }) = &self.drain else {
            return String::new();
        };
        let (count, million) = (*records as f64, *records as f64 / 1e6);
        [
            format!("drain                    {:>10.0} records/s   ({records} in {seconds:.1} s)", count / seconds),
            format!("engine                   {:>10.2} CPU-s per million records", cpu_seconds / million),
            format!("broker                   {:>10.2} CPU-s per million records", broker_cpu_seconds / million),
            format!("peak memory              {:>10.0} MiB", mib(*peak_bytes)),
        ]
        .join("\n")
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "backlog                  {:>10} records of {} keys", self.records, self.keys)?;
        writeln!(f, "{}", self.drained())?;
        if let Some(Latency { rate, count, p50_ms, p99_ms, p999_ms, max_ms }) = &self.latency {
            write!(f, "latency at {rate:>5} rec/s    p50 {p50_ms:.1} ms   p99 {p99_ms:.1} ms   ")?;
            writeln!(f, "p99.9 {p999_ms:.1} ms   max {max_ms:.1} ms   ({count} measured)")?;
        }
        writeln!(f, "state on disk            {:>10.0} MiB", mib(self.state_bytes))?;
        let way = |ready: Duration, output: Duration| {
            format!("{:>10.2} s to ready, {:.2} s to the first output", ready.as_secs_f64(), output.as_secs_f64())
        };
        writeln!(f, "back after kill -9       {}", way(self.killed_to_ready, self.killed_to_output))?;
        writeln!(f, "back with an empty disk  {}", way(self.lost_to_ready, self.lost_to_output))?;
        write!(f, "peak memory meanwhile    {:>10.0} MiB", mib(self.restore_peak_bytes))
    }
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
