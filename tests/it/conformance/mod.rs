//! One suite for two brokers: every check runs against the embedded broker and against a real Apache Kafka, with the same
//! expectations (`records`, `transactions`, `groups`, `admin`, `wire`, `java`). The embedded broker alone is asked for what it does on a full
//! disk (`full_disk`), by clients that others wrote (`strangers`) and by nobody's friends (`hostile`). What a crash leaves of its log
//! is tried beside it (`src/embedded/broker/log/recovery.rs`).

mod admin;
mod cleaning;
mod client;
mod full_disk;
mod groups;
mod hostile;
mod java;
mod records;
mod samples;
pub mod strangers;
mod transactions;
pub mod wire;

use client::Cluster;
use fairlead::embedded::broker::{Broker, BrokerConfig};
use std::net::SocketAddr;
use std::sync::OnceLock;

fn embedded() -> Cluster {
    static SHARED: OnceLock<Broker> = OnceLock::new();
    let broker = SHARED.get_or_init(|| {
        // A static is never dropped, so the data goes where the build's other scratch data is, and only the last is kept.
        let dir = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("conformance");
        let _ = std::fs::remove_dir_all(&dir);
        start(dir)
    });
    Cluster { bootstrap: broker.addr().to_string() }
}

fn start(dir: impl Into<std::path::PathBuf>) -> Broker {
    let listen = SocketAddr::from(([127, 0, 0, 1], 0));
    Broker::start(BrokerConfig { listen, ..BrokerConfig::new(dir) }).unwrap()
}

fn apache() -> Cluster {
    Cluster { bootstrap: crate::harness::apache::Kafka::shared().to_owned() }
}

macro_rules! conformance {
    ($($room:ident: $($check:ident)*;)*) => {
        mod on_embedded {
            $($(#[test] fn $check() { super::$room::$check(&super::embedded()) })*)*
        }
        mod on_apache {
            $($(#[test] fn $check() { super::$room::$check(&super::apache()) })*)*
        }
    };
}

conformance! {
    records: everything_in_a_record_is_kept
        every_compression_is_read_back
        keyed_records_keep_their_order
        offsets_are_found_by_time
        a_fetch_outside_the_log_is_an_error
        a_record_of_five_megabytes_passes
        twenty_megabytes_are_read_in_order_in_small_fetches
        an_unknown_topic_is_refused;
    transactions: read_committed_sees_only_what_was_committed
        a_plain_record_waits_behind_an_open_transaction
        transactions_interleave_on_one_partition
        a_transaction_covers_several_partitions
        offsets_count_with_the_transaction
        unstable_offsets_are_waited_for
        a_zombie_is_fenced
        an_overdue_transaction_is_aborted
        the_next_holder_of_an_id_aborts_the_last_ones_transaction
        a_hundred_transactions_are_whole;
    groups: a_group_resumes_where_it_committed
        two_members_share_by_range
        two_members_share_by_roundrobin
        two_members_share_by_cooperative_sticky
        a_member_that_falls_silent_is_replaced
        a_static_member_returns_without_a_rebalance;
    admin: a_topic_is_created_once_as_asked
        a_topic_grows_changes_and_goes
        deleted_records_are_out_of_reach
        groups_are_listed_described_and_deleted;
    wire: an_unknown_version_of_api_versions_is_answered_in_version_0
        an_unsupported_version_closes_the_connection
        a_retried_batch_is_recognised
        a_transaction_needs_its_partitions_added
        configurations_change_one_by_one;
    java: javas_client_and_its_avro_do_with_fairlead_what_they_do_with_kafka;
}
