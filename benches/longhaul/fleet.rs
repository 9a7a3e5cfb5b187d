//! The processes, the broker, the disk and the clocks: what the plan says is done to them here.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use crate::harness::apache::Kafka;
use crate::harness::disk::SmallDisk;
use crate::harness::process::Process;
use crate::harness::site::Site;
use crate::plan::{Disturbance, Member};

/// Of all states of one process, twice while they are merged.
const DISK_MEBIBYTES: u32 = 512;
const FULL: &str = "no space is left on the disk: free some";

pub struct Fleet<'a> {
    site: &'a Site,
    kafka: Kafka,
    processes: BTreeMap<Member, Process>,
    /// Of member B.
    disk: SmallDisk,
    /// The library that bends the clock of a process.
    faketime: String,
}

impl<'a> Fleet<'a> {
    /// Two processes, A and B.
    pub fn start(site: &'a Site, kafka: Kafka) -> Self {
        let disk = SmallDisk::mount(&site.home(Member::B.name()).join("state"), DISK_MEBIBYTES);
        let mut fleet = Self { site, kafka, processes: BTreeMap::new(), disk, faketime: faketime() };
        [Member::A, Member::B, Member::C].iter().for_each(|member| fleet.set_clock(*member, 0));
        [Member::A, Member::B].iter().for_each(|member| fleet.start_process(*member));
        fleet
    }

    pub fn begin(&mut self, disturbance: Disturbance) {
        match disturbance {
            Disturbance::Kill(member) => self.take(member).kill(),
            Disturbance::Pause(member) => self.processes[&member].signal("STOP"),
            Disturbance::Join => self.start_process(Member::C),
            Disturbance::Leave => self.take(Member::C).end(),
            Disturbance::StopBroker => self.kafka.stop(),
            Disturbance::KillBroker => self.kafka.kill(),
            Disturbance::FullDisk => self.fill_disk(),
            Disturbance::Clock(member, seconds) => self.set_clock(member, seconds),
        }
    }

    pub fn end(&mut self, disturbance: Disturbance) {
        match disturbance {
            Disturbance::Kill(member) => self.start_process(member),
            Disturbance::Pause(member) => self.processes[&member].signal("CONT"),
            Disturbance::StopBroker | Disturbance::KillBroker => self.kafka.start(),
            Disturbance::FullDisk => self.disk.free(),
            Disturbance::Join | Disturbance::Leave | Disturbance::Clock(..) => {}
        }
    }

    /// No process has ended by itself.
    pub fn assert_running(&mut self) {
        for (member, process) in &mut self.processes {
            assert!(process.is_running(), "{} has ended by itself\n{}", member.name(), self.site.logs());
        }
    }

    /// The broker's files stay where they are, or go with it.
    pub fn keep_files(&mut self, keep: bool) {
        self.kafka.keep_files(keep);
    }

    pub fn process_id(&self, member: Member) -> u32 {
        self.processes[&member].id()
    }

    fn take(&mut self, member: Member) -> Process {
        self.processes.remove(&member).expect("the plan knows who is there")
    }

    fn start_process(&mut self, member: Member) {
        let clock = self.clock_file(member);
        // What it is told lies in a file that is read anew each second. Of files, and of time that passes, it hears the truth.
        let environment = [
            ("LD_PRELOAD", self.faketime.as_str()),
            ("FAKETIME_TIMESTAMP_FILE", &clock),
            ("FAKETIME_CACHE_DURATION", "1"),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
            ("NO_FAKE_STAT", "1"),
        ];
        let process = self.site.start_with(member.name(), member.name(), &environment);
        self.processes.insert(member, process);
    }

    /// The disk of B is full when it starts: it says so, and waits.
    fn fill_disk(&mut self) {
        self.disk.fill();
        self.take(Member::B).kill();
        let told = || self.site.log_of(Member::B.name()).matches(FULL).count();
        let before = told();
        self.start_process(Member::B);
        self.site.wait_for("the full disk to be told", || {
            self.disk.fill();
            told() > before
        });
    }

    fn clock_file(&self, member: Member) -> String {
        self.site.home(member.name()).with_extension("clock").display().to_string()
    }

    fn set_clock(&self, member: Member, seconds: i64) {
        let (file, new) = (self.clock_file(member), self.clock_file(member) + ".new");
        fs::write(&new, format!("{seconds:+}")).expect("a writable directory");
        fs::rename(new, file).expect("beside it");
    }
}

/// Where it lies, `faketime` knows.
fn faketime() -> String {
    let told = Command::new("faketime").args(["-m", "-f", "+0", "printenv", "LD_PRELOAD"]).output();
    let told = told.expect("clocks are bent by faketime: apt-get install faketime");
    String::from_utf8(told.stdout).expect("a path").trim().to_owned()
}
