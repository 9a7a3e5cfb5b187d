//! Clients that others wrote, against the embedded broker and registry: kcat (librdkafka 2.0), Confluent's Python client (a current
//! librdkafka), Kafka's own console tools (Java). Java's client is `java`. What each was told is compared, not only its exit code.

use super::client::{Cluster, abort, drain, send};
use crate::harness::apache::unique;
use crate::harness::registry;
use rdkafka::producer::Producer;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// Runs a program to its end, `stdin` given to it, and returns what it printed: standard output, and the messages beside it.
pub fn run(program: &str, args: &[&str], stdin: &str) -> (String, String) {
    let program_path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kafka").join(program);
    let found = if program_path.exists() { program_path } else { program.into() };
    // A client that cannot go on tries for ever.
    let mut child = Command::new("timeout")
        .arg("60")
        .arg(found)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("timeout (coreutils) can be run");
    child.stdin.take().expect("it is piped").write_all(stdin.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let [out, err] = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let mend = "if it is missing: .ci/install build kafka test";
    assert!(output.status.success(), "{program} {args:?} ended with {} ({mend}): {out}{err}", output.status);
    (out, err)
}

fn sorted(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines
}

#[test]
fn kcat_lists_produces_and_consumes_to_the_end() {
    let cluster = super::embedded();
    let (topic, group) = (cluster.topic(2, &[]), unique("kcat"));
    let kcat = |args: &[&str], stdin: &str| run("kcat", &[&["-b", &cluster.bootstrap], args].concat(), stdin);

    let (listed, _) = kcat(&["-L", "-t", &topic], "");
    assert!(listed.contains(&format!("broker 1 at {} (controller)", cluster.bootstrap)), "{listed}");
    assert!(listed.contains(&format!("topic \"{topic}\" with 2 partitions")), "{listed}");

    let mut written = Vec::new();
    for (number, codec) in ["none", "gzip", "snappy", "lz4", "zstd"].into_iter().enumerate() {
        let partition = (number % 2).to_string();
        kcat(
            &["-P", "-t", &topic, "-p", &partition, "-K:", "-H", "from=kcat", "-z", codec],
            &format!("k{number}:{codec}\n"),
        );
        written.push(format!("{partition} {} k{number} {codec} from=kcat", number / 2));
    }
    written.sort();
    let format = ["-e", "-f", "%p %o %k %s %h\n"];
    let (read, told) = kcat(&[&["-C", "-t", topic.as_str()], &format[..]].concat(), "");
    assert_eq!(sorted(&read), written);
    for (partition, end) in [(0, 3), (1, 2)] {
        assert!(told.contains(&format!("Reached end of topic {topic} [{partition}] at offset {end}")), "{told}");
    }
    assert!(!told.contains("ERROR"), "{told}");

    let balanced = ["-G", &group, "-X", "auto.offset.reset=earliest"];
    let (read, told) = kcat(&[&balanced[..], &format[..], &[topic.as_str()]].concat(), "");
    assert_eq!(sorted(&read), written);
    assert!(told.contains(&format!("assigned: {topic} [0], {topic} [1]")), "{told}");
    // What was read is committed: the group begins where it ended.
    assert_eq!(kcat(&[&balanced[..], &format[..], &[topic.as_str()]].concat(), "").0, "");

    let (_, told) = kcat(&["-P", "-t", &topic, "-p", "1", "-X", &format!("transactional.id={group}")], "x\ny\n");
    assert!(told.contains("Transaction successfully committed"), "{told}");
    let committed = ["-C", "-t", &topic, "-p", "1", "-o", "2", "-e", "-X", "isolation.level=read_committed"];
    let (read, told) = kcat(&committed, "");
    assert_eq!(read, "x\ny\n");
    // Two records and the transaction's marker.
    assert!(told.contains("at offset 5: exiting"), "{told}");

    for (time, offset) in [(-2, 0), (-1, 5), (0, 0)] {
        let (found, _) = kcat(&["-Q", "-t", &format!("{topic}:1:{time}")], "");
        assert_eq!(found, format!("{topic} [1] offset {offset}\n"));
    }
}

#[test]
fn confluents_python_client_finds_what_it_expects_and_its_serializer_the_registry() {
    let (python, _) = run("python.sh", &[], "");
    let dir = tempfile::tempdir().unwrap();
    let registry = registry::start(dir.path());
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/conformance/strangers/confluent.py");
    let (told, _) = run(python.trim(), &[script, &super::embedded().bootstrap, &registry.url()], "");
    assert_eq!(
        told,
        "a topic created twice: TOPIC_ALREADY_EXISTS\n\
         its retention: 604800000 True\n\
         the cluster: 1 node\n\
         idempotent: True\n\
         read back in order: True\n\
         read committed: ['committed', 'committed too']\n\
         read uncommitted: ['committed', 'aborted', 'committed too']\n\
         offset in the transaction: 6\n\
         a zombie: _FENCED fatal\n\
         avro: 0000000001 {'service': 'checkout', 'value': 0.5}\n\
         its subject: ['py-avro-value'] 1 1\n\
         an incompatible schema: 409 40901\n\
         group: cooperative-sticky split [0, 1, 2, 3], then one had 4, each record once: True\n\
         group: range split [0, 1, 2, 3], then one had 4, each record once: True\n"
    );
}

/// One of Kafka's own tools on the embedded broker. Its warnings about its own options go to both outputs, so answers are looked for.
fn tool(cluster: &Cluster, name: &str, args: &[&str], stdin: &str) -> String {
    run("tool.sh", &[&[name, "--bootstrap-server", &cluster.bootstrap], args].concat(), stdin).0
}

/// Every line of `wanted` is a line of what was told, blanks counted as one.
fn tells(told: &str, wanted: &[String]) {
    let lines: Vec<String> = told.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    wanted.iter().for_each(|line| assert!(lines.contains(line), "no line {line:?} in:\n{told}"));
}

#[test]
fn kafkas_tools_make_a_topic_configure_fill_and_read_it_and_move_a_group() {
    let cluster = super::embedded();
    let (topic, group) = (unique("tools"), unique("tools"));
    let tool = |name: &str, args: &[&str], stdin: &str| tool(&cluster, name, args, stdin);

    let made = tool(
        "kafka-topics",
        &["--create", "--topic", &topic, "--partitions", "2", "--config", "retention.ms=7200000"],
        "",
    );
    tells(&made, &[format!("Created topic {topic}.")]);
    let changes = ["--alter", "--entity-type", "topics", "--entity-name", &topic, "--add-config", "segment.ms=3600000"];
    tells(&tool("kafka-configs", &changes, ""), &[format!("Completed updating config for topic {topic}.")]);
    let head = format!(
        "Topic: {topic} PartitionCount: 2 ReplicationFactor: 1 Configs: retention.ms=7200000,segment.ms=3600000"
    );
    let partition =
        |number| format!("Topic: {topic} Partition: {number} Leader: 1 Replicas: 1 Isr: 1 Elr: N/A LastKnownElr: N/A");
    tells(&tool("kafka-topics", &["--describe", "--topic", &topic], ""), &[head, partition(0), partition(1)]);

    let keyed = ["--topic", &topic, "--reader-property", "parse.key=true", "--reader-property", "key.separator=:"];
    tool("kafka-console-producer", &keyed, "k1:a\nk2:b\nk1:c\nk3:d\n");
    let all = ["--topic", &topic, "--group", &group, "--from-beginning", "--max-messages", "4"];
    let read = tool("kafka-console-consumer", &[&all[..], &["--formatter-property", "print.key=true"]].concat(), "");
    tells(&read, &["k1 a", "k2 b", "k1 c", "k3 d"].map(str::to_owned));
    assert!(read.find("k1\ta") < read.find("k1\tc"), "out of order: {read}");

    let reset = tool(
        "kafka-consumer-groups",
        &["--reset-offsets", "--group", &group, "--topic", &topic, "--to-earliest", "--execute"],
        "",
    );
    tells(&reset, &[0, 1].map(|partition| format!("{group} {topic} {partition} 0")));
    let described = tool("kafka-consumer-groups", &["--describe", "--group", &group], "");
    let ends: i64 = [0, 1].map(|partition| cluster.watermarks(&topic, partition).1).iter().sum();
    assert_eq!(ends, 4);
    tells(
        &described,
        &[0, 1].map(|partition| {
            let end = cluster.watermarks(&topic, partition).1;
            format!("{group} {topic} {partition} 0 {end} {end} - - -")
        }),
    );
}

#[test]
fn kafkas_tools_produce_in_transactions_read_what_is_committed_and_delete_records() {
    let cluster = super::embedded();
    let topic = cluster.topic(1, &[]);
    let tool = |name: &str, args: &[&str]| tool(&cluster, name, args, "");
    let producer = cluster.transactional(&unique("tools"), &[]);
    producer.begin_transaction().unwrap();
    send(&producer, &topic, 0, "aborted");
    drain(&producer);
    abort(&producer);

    let many = ["--topic", &topic, "--num-records", "200", "--record-size", "10", "--throughput", "-1"];
    let in_transactions = ["--transactional-id", &unique("perf"), "--transaction-duration-ms", "20"];
    let told = tool("kafka-producer-perf-test", &[&many[..], &in_transactions].concat());
    assert!(told.starts_with("200 records sent"), "{told}");
    let told = tool("kafka-verifiable-producer", &["--topic", &topic, "--max-messages", "5", "--value-prefix", "7"]);
    assert_eq!(told.matches("producer_send_success").count(), 5, "{told}");
    assert!(told.contains(r#""sent":5,"acked":5"#), "{told}");

    let committed =
        ["--topic", &topic, "--from-beginning", "--isolation-level", "read_committed", "--max-messages", "205"];
    let read = tool("kafka-console-consumer", &committed);
    let read: Vec<&str> = read.lines().filter(|line| line.len() == 10 || line.starts_with("7.")).collect();
    assert_eq!((read.len(), &read[200..]), (205, &["7.0", "7.1", "7.2", "7.3", "7.4"][..]));

    let folder = tempfile::tempdir().unwrap();
    let wanted = folder.path().join("offsets.json");
    let partition = format!(r#"{{"topic":"{topic}","partition":0,"offset":100}}"#);
    std::fs::write(&wanted, format!(r#"{{"partitions":[{partition}],"version":1}}"#)).unwrap();
    let told = tool("kafka-delete-records", &["--offset-json-file", wanted.to_str().unwrap()]);
    tells(&told, &[format!("partition: {topic}-0 low_watermark: 100")]);
    let end = cluster.watermarks(&topic, 0).1;
    assert!(end > 207, "206 records and their markers: {end}");
    let told = tool("kafka-get-offsets", &["--topic", &topic, "--time", "earliest"]);
    assert_eq!(told, format!("{topic}:0:100\n"));
}
