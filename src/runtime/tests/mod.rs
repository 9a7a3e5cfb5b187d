//! The runtime on a simulated Kafka.

mod ledger;
mod rig;
mod seeds;
