//! A small Kafka client on the wire protocol: the calls of an administrator that librdkafka's safe binding lacks.
//!
//! - [`frame`] and [`connection`]: bytes of one connection; [`versions`]: what is spoken; [`login`]: TLS and SASL.
//! - [`cluster`]: which broker is to be asked, and again if need be, until a deadline.
//! - [`admin`]: one file a kind of call. All of it is mechanism: what is to be created or committed is decided by others.
//!
//! What always holds: memory is bounded by [`frame::ANSWER_BYTES_MAX`] a connection; whoever drops a call drops its connection with
//! it; a request ends within a bounded time, whatever the brokers do. Records are not produced or consumed here: that is librdkafka's.

pub mod admin;
pub mod cluster;
pub mod connection;
pub mod error;
pub mod frame;
pub mod login;
pub mod versions;
mod views;

pub use admin::Admin;
pub use error::{Error, Refusal};
pub use views::*;
