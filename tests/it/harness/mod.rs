//! The real parts that integration tests run against, one file each: started on first use, gone with the test process.
pub mod apache;
pub mod disk;
pub mod registry;
