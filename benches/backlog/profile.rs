//! Where the CPU of a drain goes: samples of `perf`, sorted by who spends it. By names of threads and functions, so what the compiler
//! has put into its caller counts as the caller's.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};

const PER_SECOND: &str = "499";

pub struct Recording {
    perf: Child,
    data: std::path::PathBuf,
}

impl Recording {
    pub fn start(pid: &str, dir: &Path) -> Result<Self> {
        let data = dir.join("perf.data");
        let perf = Command::new("perf")
            .args(["record", "--quiet", "--freq", PER_SECOND, "--pid", pid, "--output"])
            .arg(&data)
            .stderr(Stdio::null())
            .spawn()
            .context("perf, of the package linux-perf")?;
        Ok(Self { perf, data })
    }

    pub fn finish(mut self) -> Result<Profile> {
        let pid = self.perf.id().to_string();
        ensure!(Command::new("kill").args(["-INT", &pid]).status()?.success(), "perf has ended by itself");
        self.perf.wait()?;
        let told = Command::new("perf")
            .args(["script", "--fields", "comm,ip,sym,dso", "--input"])
            .arg(&self.data)
            .stderr(Stdio::null())
            .output()?;
        let mut samples = BTreeMap::new();
        for line in String::from_utf8_lossy(&told.stdout).lines() {
            *samples.entry(spender(line)).or_default() += 1;
        }
        let all = samples.values().sum();
        ensure!(all > 0, "perf saw nothing: may this user look at processes (kernel.perf_event_paranoid)?");
        Ok(Profile { samples, all })
    }
}

pub struct Profile {
    samples: BTreeMap<&'static str, u64>,
    all: u64,
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shares: Vec<_> = self.samples.iter().collect();
        shares.sort_by_key(|(_, samples)| std::cmp::Reverse(**samples));
        for (name, samples) in shares {
            writeln!(f, "{name:<44} {:>5.1} %", 100.0 * *samples as f64 / self.all as f64)?;
        }
        write!(f, "of {} samples", self.all)
    }
}

/// The first that fits: a name of a thread, which comes first in the line, or a piece of a function's or of its file.
fn spender(line: &str) -> &'static str {
    let line = line.trim_start();
    let begins = |names: &[&str]| names.iter().any(|name| line.starts_with(name));
    let holds = |pieces: &[&str]| pieces.iter().any(|piece| line.contains(piece));
    match () {
        () if begins(&["rocksdb"]) => "RocksDB, flushes and merges behind",
        () if begins(&["rdk:"]) => "librdkafka, its threads",
        () if holds(&["([kernel", "([guest.kernel"]) => "kernel, for the worker",
        () if holds(&["rocksdb"]) => "RocksDB, reads and writes of the worker",
        () if holds(&[" rd_", " rdk", "rdkafka"]) => "librdkafka, in the worker",
        () if holds(&[" mi_", " _mi_", "malloc", "free", "alloc::"]) => "memory allocation",
        () if holds(&["memcpy", "memmove", "memcmp", "memset"]) => "copying and comparing bytes",
        () if holds(&["avro", "serde", "fairlead::codec"]) => "Avro, facts and states",
        () if holds(&["fairlead::operator"]) => "operators",
        () if holds(&["fairlead::"]) => "fairlead, the rest",
        () => "other",
    }
}
