//! Mirrors: what a topology may say of them, and what becomes of it on two Kafkas.

#[cfg(feature = "runtime")]
mod audit;
#[cfg(feature = "runtime")]
mod both_ways;
#[cfg(feature = "runtime")]
mod carry;
#[cfg(feature = "runtime")]
mod cases;
mod check;
#[cfg(feature = "runtime")]
mod clusters;
#[cfg(feature = "runtime")]
mod commands;
#[cfg(feature = "runtime")]
mod copy;
#[cfg(feature = "runtime")]
mod exact;
#[cfg(feature = "runtime")]
mod kills;
#[cfg(feature = "runtime")]
mod least_privilege;
#[cfg(feature = "runtime")]
mod pair;
#[cfg(feature = "runtime")]
mod plan;
#[cfg(feature = "runtime")]
mod whole;
