//! The runtime on a simulated Kafka.

mod failpoints;
mod ledger;
mod rig;
mod seeds;
mod stale;
mod wakes;
mod zombies;
