//! What is proved here is what the tests prove, for longer: the same application, load, broker and disk, in the same files.
#![allow(dead_code, unused_imports)] // of which tests use more, and which hold a few tests of themselves

#[path = "../../tests/it/harness/apache.rs"]
pub mod apache;
#[path = "../../tests/it/harness/disk.rs"]
pub mod disk;
#[path = "../../tests/it/harness/load.rs"]
pub mod load;
#[path = "../../tests/it/harness/process.rs"]
pub mod process;
#[path = "../../tests/it/harness/registry.rs"]
pub mod registry;
#[path = "../../tests/it/harness/site.rs"]
pub mod site;
