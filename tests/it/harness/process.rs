//! A `fairlead run` of the real binary, and the signals that it is sent.

use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A `fairlead run`. It cannot outlive the thread that started it.
pub struct Process(Child);

impl Process {
    pub fn start(home: &Path, topology: &Path, instance: &str, env: &[(&str, &str)]) -> Process {
        Process::command(home, &["run"], topology, instance, env)
    }

    /// Another command of it, with `--topology`.
    pub fn command(home: &Path, command: &[&str], topology: &Path, instance: &str, env: &[(&str, &str)]) -> Process {
        let log = std::fs::File::options().create(true).append(true).open(home.join("log")).unwrap();
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", env!("CARGO_BIN_EXE_fairlead")])
            .args(command)
            .arg("--topology")
            .arg(topology)
            .current_dir(home)
            .env("FAIRLEAD_TEST_INSTANCE", instance)
            .env("NO_COLOR", "1")
            .envs(env.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        Process(child.unwrap())
    }

    pub fn signal(&self, name: &str) {
        let pid = self.id().to_string();
        let sent = Command::new("kill").arg(format!("-{name}")).arg(pid).status().unwrap();
        assert!(sent.success(), "no process to send {name} to: it has ended by itself");
    }

    pub fn kill(mut self) {
        assert!(self.is_running(), "it has ended by itself");
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    /// Asks it to stop, and waits until it has.
    pub fn end(mut self) {
        self.signal("TERM");
        let status = self.0.wait().unwrap();
        assert!(status.success(), "{status}");
    }

    pub fn id(&self) -> u32 {
        self.0.id()
    }

    pub fn is_running(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Gone already when it was ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
