//! An engine as a process of its own, pinned to one core, and what the kernel says of it.

use std::fs::OpenOptions;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

const TICKS_PER_SECOND: f64 = 100.0;

/// Killed when it is dropped, and by the kernel when this process ends in whatever way.
pub struct Process {
    child: Child,
    started: Instant,
}

impl Process {
    /// Runs `program`, a command with its arguments, in `dir`; what it says is appended to `engine.log` there.
    pub fn start(core: &str, program: &[String], dir: &Path, environment: &[(&str, &str)]) -> Result<Self> {
        let log = OpenOptions::new().create(true).append(true).open(dir.join("engine.log"))?;
        let started = Instant::now();
        let child = Command::new("taskset")
            .args(["-c", core, "setpriv", "--pdeathsig", "KILL"])
            .args(program)
            .current_dir(dir)
            .envs(environment.iter().copied())
            .stdout(Stdio::from(log.try_clone()?))
            .stderr(Stdio::from(log))
            .spawn()
            .context("taskset and setpriv, of the package util-linux")?;
        Ok(Self { child, started })
    }

    pub fn age(&self) -> Duration {
        self.started.elapsed()
    }

    pub fn pid(&self) -> String {
        self.child.id().to_string()
    }

    pub fn ensure_alive(&mut self) -> Result<()> {
        let ended = self.child.try_wait()?;
        ensure!(ended.is_none(), "the engine ended by itself; see engine.log");
        Ok(())
    }

    pub fn stop(self) -> Result<ExitStatus> {
        self.end("TERM")
    }

    pub fn kill(self) -> Result<ExitStatus> {
        self.end("KILL")
    }

    fn end(mut self, signal: &str) -> Result<ExitStatus> {
        let pid = self.pid();
        ensure!(Command::new("kill").args([&format!("-{signal}"), &pid]).status()?.success(), "no process {pid}");
        Ok(self.child.wait()?)
    }

    /// The most that was resident at once.
    pub fn peak_bytes(&self) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find(|line| line.starts_with("VmHWM")).context("/proc/<pid>/status has no peak")?;
        let kib: u64 = line.split_whitespace().nth(1).context("a number of KiB")?.parse()?;
        Ok(kib * 1024)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail if it has ended, which is well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// User and system time of a process so far, all threads.
pub fn cpu_seconds(pid: &str) -> Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, fields) = stat.rsplit_once(')').context("/proc/<pid>/stat has a name in parentheses")?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let ticks: f64 = fields[11].parse::<f64>()? + fields[12].parse::<f64>()?;
    Ok(ticks / TICKS_PER_SECOND)
}

/// Of a directory on disk, with all below it.
pub fn disk_bytes(dir: &Path) -> Result<u64> {
    let told = Command::new("du").args(["-sb"]).arg(dir).output()?;
    let text = String::from_utf8(told.stdout)?;
    text.split_whitespace().next().context("du prints a number")?.parse().context("a number of bytes")
}
