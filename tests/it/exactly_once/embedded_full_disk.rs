//! All that one machine has on one disk, which fills up under load: the embedded broker's logs and the stores.

use std::net::Ipv4Addr;

use fairlead::embedded::broker::{Broker, BrokerConfig};

use super::assert_model_saw;
use crate::harness::disk::SmallDisk;
use crate::harness::load::Load;
use crate::harness::site::Site;

/// The least that the embedded broker takes, as Kafka does by default.
const SESSION_MS: u32 = 6_000;

#[test]
fn an_application_on_the_embedded_broker_waits_out_a_full_disk_and_nothing_is_lost_or_doubled() {
    let mount = tempfile::tempdir().unwrap();
    let disk = SmallDisk::mount(mount.path(), 96);
    let listen = (Ipv4Addr::LOCALHOST, 0).into();
    let broker = Broker::start(BrokerConfig { listen, ..BrokerConfig::new(mount.path().join("broker")) }).unwrap();
    let site = Site::on(&broker.addr().to_string(), SESSION_MS, "");
    std::fs::create_dir_all(site.home("a")).unwrap();
    std::fs::create_dir(mount.path().join("state")).unwrap();
    std::os::unix::fs::symlink(mount.path().join("state"), site.home("a").join("state")).unwrap();

    let load = Load::start(&site, 17, 10);
    let mut process = site.start("a");
    let waits = || site.log_of("a").matches("trying again after a pause").count();
    let commits = || site.ends(&site.topology.names.journal());
    for _ in 0..2 {
        let before = commits();
        site.wait_for("commits", || commits() > before + 5);
        let before = waits();
        site.wait_for("the full disk to be told", || {
            disk.fill();
            waits() > before
        });
        assert!(process.is_running(), "{}", site.logs());
        disk.free();
    }
    let sent = load.finish();
    site.wait_until_all_is_committed();
    assert!(process.is_running(), "{}", site.logs());
    assert_model_saw(&site, sent);
    process.end();
}
