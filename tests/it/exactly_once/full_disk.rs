//! The disk of the stores fills up, truly: a process says so, waits, and goes on when there is room; a process that is started
//! meanwhile does the same. What was committed but could not be stored comes from the changelogs.

use super::assert_model_saw;
use crate::harness::disk::SmallDisk;
use crate::harness::load::Load;
use crate::harness::site::{PARTITIONS, Site};

/// Of a memtable for the commits before, and of what is flushed afterwards.
const DISK_MEBIBYTES: u32 = 64;
const FULL: &str = "no space is left on the disk: free some";

/// Fills the disk, and what is given free while stores are closed and opened, until the process has said twice from now on that a
/// store, named by its folder, finds no room.
fn wait_for_the_full_disk(site: &Site, disk: &SmallDisk) {
    let of_a_store = |line: &&str| line.contains(FULL) && line.contains("state/") && line.contains("trying again");
    let told = || site.log_of("a").lines().filter(of_a_store).count();
    let before = told();
    site.wait_for("the full disk to be told", || {
        disk.fill();
        told() > before + 1
    });
}

/// Whether a store that could not be written was opened again and given what it lacked: it was committed before that.
fn is_caught_up(site: &Site) -> bool {
    let log = site.log_of("a");
    let mut after = log.lines().skip_while(|line| !line.contains(FULL));
    after.any(|line| line.contains(" restored ") && !line.contains("records=0 "))
}

#[test]
fn a_full_disk_is_told_and_waited_out_and_nothing_is_lost_or_doubled() {
    let site = Site::new();
    let disk = SmallDisk::mount(&site.home("a").join("state"), DISK_MEBIBYTES);
    // The longest that is remembered, four bytes a letter: the states of many commits are more than a memtable takes.
    let load = Load::start_with(&site, 13, 1, &"🔥".repeat(500));
    let process = site.start("a");
    site.wait_for("every store", || site.log_of("a").matches(" restored ").count() == PARTITIONS as usize);
    wait_for_the_full_disk(&site, &disk);
    let stalled = site.ends(&site.topology.names.journal());
    disk.free();
    site.wait_for("a store to be caught up with its changelog", || is_caught_up(&site));
    site.wait_for("commits after there is room", || site.ends(&site.topology.names.journal()) > stalled);

    process.kill();
    let mut process = site.start("a");
    wait_for_the_full_disk(&site, &disk);
    assert!(process.is_running(), "{}", site.logs());
    disk.free();

    let sent = load.finish();
    site.wait_until_all_is_committed();
    assert!(process.is_running(), "{}", site.logs());
    assert_model_saw(&site, sent);
    process.end();
}
