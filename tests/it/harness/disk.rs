//! A disk of a few mebibytes that a test can fill up: a tmpfs, mounted as root or through a sudo that asks no password.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

pub struct SmallDisk(PathBuf);

impl SmallDisk {
    /// On this directory, which is made if need be.
    pub fn mount(dir: &Path, mebibytes: u32) -> SmallDisk {
        std::fs::create_dir_all(dir).expect("a writable directory");
        let options = format!("size={mebibytes}m,mode=777");
        let mounted = as_root(&["mount", "-t", "tmpfs", "-o", &options, "fairlead-test"], dir);
        let told = String::from_utf8_lossy(&mounted.stderr);
        assert!(
            mounted.status.success(),
            "this test mounts a tmpfs: run it as root or with a passwordless sudo: {told}"
        );
        SmallDisk(dir.to_owned())
    }

    /// Until not one more byte is taken.
    pub fn fill(&self) {
        let mut filler = File::options().create(true).append(true).open(self.filler()).expect("one more file");
        let refused = loop {
            if let Err(error) = filler.write_all(&[0; 1 << 12]) {
                break error;
            }
        };
        assert_eq!(refused.kind(), ErrorKind::StorageFull, "{refused}");
    }

    /// What [`SmallDisk::fill`] took is free again.
    pub fn free(&self) {
        std::fs::remove_file(self.filler()).expect("the disk was filled");
    }

    fn filler(&self) -> PathBuf {
        self.0.join("filler")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a process may still have files open. Nothing here may panic, because a test may already do so.
        as_root(&["umount", "--lazy"], &self.0);
    }
}

fn as_root(command: &[&str], dir: &Path) -> Output {
    let is_root = Command::new("id").arg("-u").output().is_ok_and(|id| id.stdout == b"0\n");
    let sudo: &[&str] = if is_root { &[] } else { &["sudo", "-n"] };
    let words = [sudo, command].concat();
    Command::new(words[0]).args(&words[1..]).arg(dir).output().expect("mount and umount can be run")
}
