//! The real parts that integration tests run against, one file each: started on first use, gone with the test process.
pub mod acls;
pub mod apache;
pub mod disk;
pub mod issuer;
pub mod registry;
