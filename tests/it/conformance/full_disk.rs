//! The embedded broker on a disk that fills up: it refuses, keeps what it acknowledged, and goes on when there is room. What a whole
//! application on it does is in `exactly_once/embedded_full_disk.rs`.

use fairlead::embedded::broker::Broker;

use super::client::{Cluster, values};
use super::start;
use super::wire::{Wire, batch, produce};
use crate::harness::disk::SmallDisk;

const KAFKA_STORAGE_ERROR: i16 = 56;
/// More than the rest of a page, which a file has to itself even if the disk is full.
const VALUE_BYTES: usize = 16 << 10;

/// A producer that is idempotent, so that a gap or a repetition would be refused.
struct Sender {
    wire: Wire,
    topic: String,
    acknowledged: Vec<String>,
}

impl Sender {
    /// Sends the next value; the error if it is refused.
    fn send(&mut self) -> Result<(), i16> {
        let number = self.acknowledged.len();
        let value = format!("{number:0VALUE_BYTES$}");
        match produce(&mut self.wire, None, &self.topic, batch((7, 0, number as i32), false, &[&value])) {
            (0, offset) => {
                assert_eq!(offset, number as i64);
                self.acknowledged.push(value);
                Ok(())
            }
            (error, _) => Err(error),
        }
    }

    fn assert_kept(&self, cluster: &Cluster) {
        assert_eq!(values(&cluster.read_all(&self.topic, 1, "read_committed")), self.acknowledged);
    }
}

fn cluster_of(broker: &Broker) -> Cluster {
    Cluster { bootstrap: broker.addr().to_string() }
}

#[test]
fn what_was_acknowledged_is_kept_over_a_full_disk_and_a_restart_on_it() {
    let mount = tempfile::tempdir().unwrap();
    let disk = SmallDisk::mount(mount.path(), 8);
    let data = mount.path().join("broker");
    let broker = start(&data);
    let cluster = cluster_of(&broker);
    // Small segments, so that beginning a new one meets the full disk as well.
    let topic = cluster.topic(1, &[("segment.bytes", "65536")]);
    let mut sender = Sender { wire: Wire::connect(&cluster), topic, acknowledged: Vec::new() };
    for round in 1..=3 {
        for _ in 0..3 {
            assert_eq!(sender.send(), Ok(()), "round {round}");
        }
        disk.fill();
        assert_eq!(sender.send(), Err(KAFKA_STORAGE_ERROR), "round {round}");
        assert_eq!(sender.send(), Err(KAFKA_STORAGE_ERROR), "the same again");
        sender.assert_kept(&cluster);
        disk.free();
    }
    assert_eq!(sender.send(), Ok(()));
    disk.fill();
    assert_eq!(sender.send(), Err(KAFKA_STORAGE_ERROR));
    broker.stop();

    let broker = start(&data);
    let cluster = cluster_of(&broker);
    sender.assert_kept(&cluster);
    sender.wire = Wire::connect(&cluster);
    assert_eq!(sender.send(), Err(KAFKA_STORAGE_ERROR), "it starts without room, and is read");
    disk.free();
    assert_eq!(sender.send(), Ok(()), "it knows the producer, and where it stopped");
    sender.assert_kept(&cluster);
}
