//! Whether memory is flat: what is resident of one process, second by second, and the line through it.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// When, in minutes from the first on, and how much, in KiB.
pub type Sample = (f64, f64);

/// A thread that looks once a second.
pub struct Watch {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vec<Sample>>,
}

impl Watch {
    pub fn start(pid: u32) -> Watch {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            let (began, mut samples) = (Instant::now(), Vec::new());
            // Should it end, that is told elsewhere.
            while let Some(kib) = kib(pid, "VmRSS:").filter(|_| !stopped.load(Ordering::Relaxed)) {
                samples.push((began.elapsed().as_secs_f64() / 60.0, kib));
                std::thread::sleep(Duration::from_secs(1));
            }
            samples
        });
        Watch { stop, thread }
    }

    pub fn finish(self) -> Vec<Sample> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("it only looks")
    }
}

/// A line of what the kernel says of a process.
pub fn kib(pid: u32, name: &str) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Of the line with the least squares: KiB a minute.
pub fn slope(samples: &[Sample]) -> f64 {
    let count = samples.len().max(1) as f64;
    let mean = |of: fn(&Sample) -> f64| samples.iter().map(of).sum::<f64>() / count;
    let (minute, kib) = (mean(|sample| sample.0), mean(|sample| sample.1));
    let together: f64 = samples.iter().map(|sample| (sample.0 - minute) * (sample.1 - kib)).sum();
    let spread: f64 = samples.iter().map(|sample| (sample.0 - minute).powi(2)).sum();
    if spread > 0.0 { together / spread } else { 0.0 }
}
