//! Consumers of the enriched topic that others wrote, on Apache Kafka beside a running fairlead: Confluent's Python client with its Avro
//! deserializer, kcat, and Kafka's console consumer. The schema gets a field more while they run. Java's client and Avro do the same on
//! both brokers (`conformance::java`).

use crate::conformance::strangers::run;
use crate::harness::apache::{Kafka, tool};
use crate::harness::site::Site;

#[test]
fn incidents_are_read_by_python_kcat_and_kafkas_own_consumer_and_their_schema_grows_meanwhile() {
    let site = Site::new();
    let process = site.start("a");
    let (python, _) = run("python.sh", &[], "");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/consumers/incidents.py");
    let registry = format!("http://{}", site.registry_address);
    let topics = ["alerts", "deploys", "incidents"].map(|name| site.topic(name).to_string());
    let [alerts, deploys, incidents] = topics.each_ref().map(String::as_str);
    let (told, _) = run(python.trim(), &[script, Kafka::shared(), &registry, alerts, deploys, incidents], "");
    assert_eq!(
        told,
        "incident of: checkout open HighErrorRatio suspects ['deploy-7']\n\
         with a field more, to the old reader: evolved False\n\
         the old one, to a new reader: checkout nobody\n\
         fairlead goes on: checkout ['HighErrorRatio', 'Latency']\n"
    );

    let committed = ["-X", "isolation.level=read_committed", "-e", "-f", "%k %h\n"];
    let (read, told) = run("kcat", &[&["-b", Kafka::shared(), "-C", "-t", incidents], &committed[..]].concat(), "");
    let mut lines: Vec<_> = read.lines().collect();
    lines.sort_unstable();
    let [first, second, other] = lines[..] else { panic!("three incidents: {read}{told}") };
    for line in [first, second] {
        assert!(line.starts_with("checkout fairlead-journal=oncall/"), "{line}");
    }
    assert_eq!(other, "evolved ", "fairlead's header is fairlead's alone");

    let printed = ["print.key=true", "print.headers=true", "print.value=false"];
    let mut options = vec!["--bootstrap-server", Kafka::shared(), "--topic", incidents, "--from-beginning"];
    options.extend(["--isolation-level", "read_committed", "--max-messages", "3"]);
    options.extend(printed.iter().flat_map(|property| ["--formatter-property", *property]));
    let read = tool("kafka-console-consumer", &options);
    let of = |key: &str| read.lines().filter(|line| line.ends_with(key)).count();
    assert_eq!((of("\tcheckout"), of("\tevolved")), (2, 1), "{read}");
    process.end();
}
