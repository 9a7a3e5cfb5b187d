//! Java's own client and Avro library, against both brokers: a program of its own, and a running fairlead between its records.

use super::client::Cluster;
use super::strangers::run;
use crate::harness::site::Site;

/// The shortest that the embedded broker takes.
const SESSION_MS: u32 = 6_000;

pub fn javas_client_and_its_avro_do_with_fairlead_what_they_do_with_kafka(cluster: &Cluster) {
    let site = Site::on(&cluster.bootstrap, SESSION_MS, "");
    let process = site.start("a");
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/conformance/strangers/JavaClient.java");
    let topics = ["alerts", "deploys", "incidents"].map(|name| site.topic(name).to_string());
    let registry = format!("http://{}", site.registry_address);
    let [alerts, deploys, incidents] = topics.each_ref().map(String::as_str);
    let (told, _) = run("java.sh", &[program, &cluster.bootstrap, &registry, alerts, deploys, incidents], "");
    assert_eq!(
        told,
        "a topic created twice: TopicExistsException\n\
         its retention: 7200000\n\
         its offsets: 4 to 10\n\
         idempotent: 7 keys, each in order: true\n\
         read committed: [committed, committed too]\n\
         read uncommitted: [committed, aborted, committed too]\n\
         offset in the transaction: 13\n\
         a zombie: fenced\n\
         cooperative-sticky: read 40 committed 40\n\
         incident of: checkout open suspects [deploy-7]\n\
         with a field more, to the old reader: evolved null\n\
         the old one, to a new reader: checkout nobody\n"
    );
    process.end();
}
