//! The one integration-test binary, so that RocksDB and librdkafka are linked once.
mod compat;
#[cfg(feature = "runtime")]
mod harness;
mod ingest_formats;
