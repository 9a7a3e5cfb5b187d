//! What runs without a cluster: the default for trying, developing and small installations.

pub mod broker;
pub mod registry;
