//! The processes, the broker, the disk and the clocks: what the plan says is done to them here.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::FileExt;
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
    /// What makes a process believe in its clock file.
    wrong_clock: String,
}

impl<'a> Fleet<'a> {
    /// Two processes, A and B.
    pub fn start(site: &'a Site, kafka: Kafka) -> Self {
        let disk = SmallDisk::mount(&site.home(Member::B.name()).join("state"), DISK_MEBIBYTES);
        let mut fleet = Self { site, kafka, processes: BTreeMap::new(), disk, wrong_clock: wrong_clock(site) };
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
        let environment = [("LD_PRELOAD", self.wrong_clock.as_str()), ("WRONG_CLOCK", &clock)];
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
        // Processes have it mapped, so it keeps its length.
        let file = fs::File::options().write(true).create(true).truncate(false).open(self.clock_file(member));
        file.and_then(|file| file.write_all_at(&seconds.to_ne_bytes(), 0)).expect("a writable directory");
    }
}

/// Compiles it: whoever builds fairlead has a C compiler.
fn wrong_clock(site: &Site) -> String {
    let library = site.home("clock.so").display().to_string();
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/longhaul/clock.c");
    let compiled = Command::new("cc").args(["-O2", "-Wall", "-shared", "-fPIC", "-o", &library, source]).status();
    assert!(compiled.is_ok_and(|status| status.success()), "{source} cannot be compiled; the lines above say why");
    library
}
