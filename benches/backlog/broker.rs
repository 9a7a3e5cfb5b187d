//! A real Apache Kafka, pinned to one core, which ends with this process.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};

pub struct Broker {
    script: Child,
    pub bootstrap: String,
    data: PathBuf,
}

impl Broker {
    pub fn start(data: &Path, core: &str) -> Result<Self> {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kafka/start.sh");
        let mut script = Command::new("taskset")
            .args(["-c", core, script])
            .arg(data)
            .args(["--attached", "--scratch"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("taskset, of the package util-linux")?;
        let mut bootstrap = String::new();
        let stdout = script.stdout.take().context("standard output is piped")?;
        BufReader::new(stdout).read_line(&mut bootstrap)?;
        ensure!(!bootstrap.is_empty(), "Apache Kafka did not start; the lines above say why");
        Ok(Self { script, bootstrap: bootstrap.trim().to_owned(), data: data.to_owned() })
    }

    pub fn pid(&self) -> Result<String> {
        Ok(std::fs::read_to_string(self.data.join("broker.pid"))?.trim().to_owned())
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        drop(self.script.stdin.take());
        // It ends by itself once its standard input does.
        let _ = self.script.wait();
    }
}
