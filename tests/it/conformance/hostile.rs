//! What nobody should send: the embedded broker, in a process of its own, is given requests that are broken in every way, and
//! goes on serving in bounded memory. First every version of every request, unbroken: each has its answer.

use super::client::{Cluster, PATIENCE, until, values};
use super::samples::{Sample, samples};
use crate::harness::registry::Client;
use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::ApiVersionsRequest;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestRunner};
use serde_json::json;
use std::cell::RefCell;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A broker that may die without taking the tests along.
struct Victim {
    process: Child,
    cluster: Cluster,
    registry: String,
    _data: tempfile::TempDir,
}

impl Victim {
    fn start() -> Victim {
        let data = tempfile::tempdir().unwrap();
        let mut process = Command::new(env!("CARGO_BIN_EXE_fairlead"))
            .args(["embedded", "--broker", "127.0.0.1:0", "--registry", "127.0.0.1:0", "--data"])
            .arg(data.path())
            .env("RUST_LOG", "off")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines().map_while(Result::ok);
        let told: Vec<String> = lines.take(3).collect();
        let of = |name: &str| {
            let line = told.iter().find_map(|line| line.strip_prefix(name));
            line.unwrap_or_else(|| panic!("no {name} in {told:?}")).trim().to_owned()
        };
        Victim { cluster: Cluster { bootstrap: of("kafka") }, registry: of("registry"), process, _data: data }
    }

    /// The most memory that it ever had, and ever asked for (which costs nothing until it is used, and ends the process
    /// where it is refused), in MiB.
    fn peaks_mib(&self) -> [u64; 2] {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        ["VmHWM:", "VmPeak:"].map(|name| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("it lives");
            line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
        })
    }

    fn has_grown_little_since(&self, before: [u64; 2]) {
        let now = self.peaks_mib();
        assert!(
            now[0] < before[0] + 500 && now[1] < before[1] + 3_000,
            "MiB used and asked for: {before:?}, then {now:?}"
        );
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.cluster.bootstrap).expect("the broker serves");
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    }

    /// Sends a frame as it is and returns the answer's, or nothing if the connection was closed or nothing came `within`.
    fn send(&self, stream: &mut TcpStream, frame: &[u8], within: Duration) -> Option<Bytes> {
        stream.set_read_timeout(Some(within)).unwrap();
        // It may have closed the connection for what came before.
        stream.write_all(&[&(frame.len() as u32).to_be_bytes(), frame].concat()).ok()?;
        let mut length = [0; 4];
        stream.read_exact(&mut length).ok()?;
        let mut answer = vec![0; u32::from_be_bytes(length) as usize];
        stream.read_exact(&mut answer).ok()?;
        Some(answer.into())
    }

    /// A client that does everything right finds everything in order.
    fn serves(&self) {
        let topic = self.cluster.topic(1, &[]);
        self.cluster.send_all(&topic, 0, &["a", "b"]);
        let read = self.cluster.read_all(&topic, 1, "read_committed");
        assert_eq!(values(&read), ["a", "b"]);
    }

    /// The samples of all that it says it serves, with their lowest and highest version.
    fn served(&self, topic: &str) -> Vec<(Sample, i16, i16)> {
        let mut wire = super::wire::Wire::connect(&self.cluster);
        let keys = wire.call(0, &ApiVersionsRequest::default()).api_keys;
        let mut samples = samples(topic);
        let served = keys.iter().map(|key| {
            let at = samples.iter().position(|sample| sample.key == key.api_key);
            let sample = samples.swap_remove(at.unwrap_or_else(|| panic!("no sample of api {}", key.api_key)));
            // Produce is told from 0 for librdkafka's sake (KAFKA-18659).
            (sample, if key.api_key == 0 { 3 } else { key.min_version }, key.max_version)
        });
        served.collect()
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn every_version_of_every_request_has_its_answer() {
    let broker = Victim::start();
    let topic = broker.cluster.topic(1, &[]);
    broker.cluster.send_all(&topic, 0, &["a"]);
    let mut stream = broker.connect();
    for (sample, low, high) in broker.served(&topic) {
        for version in low..=high {
            let answer = broker.send(&mut stream, &(sample.frame)(version), PATIENCE);
            let answer = answer.unwrap_or_else(|| panic!("api {} version {version} has no answer", sample.key));
            (sample.check)(answer, version);
        }
    }
    broker.serves();
}

/// What is done to a frame at a place of it.
#[derive(Debug, Clone)]
enum Damage {
    Cut,
    Byte(u8),
    Length(u32),
    Varint([u8; 5]),
    Insert(Vec<u8>),
}

fn damage() -> impl Strategy<Value = Damage> {
    let lengths = [0, 1, 0xff, 0xffff, 0x00ff_ffff, 0x7fff_fffe, 0x7fff_ffff, 0x8000_0000, 0xffff_fffe, 0xffff_ffff];
    let varints =
        [[0xff, 0xff, 0xff, 0xff, 0x0f], [0xff, 0xff, 0xff, 0x7f, 0], [0x80, 0x80, 0x80, 0x80, 0x01], [0xff; 5]];
    prop_oneof![
        Just(Damage::Cut),
        any::<u8>().prop_map(Damage::Byte),
        proptest::sample::select(lengths.to_vec()).prop_map(Damage::Length),
        proptest::sample::select(varints.to_vec()).prop_map(Damage::Varint),
        proptest::collection::vec(any::<u8>(), 1..40).prop_map(Damage::Insert),
    ]
}

fn spoil(frame: &mut Vec<u8>, damage: &[(Index, Damage)]) {
    for (place, damage) in damage {
        // The api and its version stay, so that the body is read.
        let at = 4 + place.index(frame.len().max(5) - 4);
        let overwrite = |frame: &mut Vec<u8>, bytes: &[u8]| {
            frame.resize(frame.len().max(at + bytes.len()), 0);
            frame[at..at + bytes.len()].copy_from_slice(bytes);
        };
        match damage {
            Damage::Cut => frame.truncate(at),
            Damage::Byte(byte) => overwrite(frame, &[*byte]),
            Damage::Length(length) => overwrite(frame, &length.to_be_bytes()),
            Damage::Varint(bytes) => overwrite(frame, bytes),
            Damage::Insert(bytes) => {
                drop(frame.splice(at.min(frame.len())..at.min(frame.len()), bytes.iter().copied()))
            }
        }
    }
}

#[test]
fn broken_requests_harm_nobody_else_and_cost_little() {
    let broker = Victim::start();
    let topic = broker.cluster.topic(1, &[]);
    let samples = broker.served(&topic);
    let before = broker.peaks_mib();
    let stream = RefCell::new(broker.connect());
    let config = Config { cases: 2000, failure_persistence: None, max_shrink_iters: 50, ..Config::default() };
    let broken = (any::<Index>(), any::<Index>(), proptest::collection::vec((any::<Index>(), damage()), 1..4));
    let tried = TestRunner::new(config).run(&broken, |(which, version, damage)| {
        let (sample, low, high) = which.get(&samples);
        let version = low + version.index(usize::from((high - low + 1) as u16)) as i16;
        let mut frame = (sample.frame)(version).to_vec();
        spoil(&mut frame, &damage);
        // Some wait for what never comes, as they may.
        if broker.send(&mut stream.borrow_mut(), &frame, Duration::from_millis(5)).is_none() {
            stream.replace(broker.connect());
        }
        Ok(())
    });
    tried.unwrap();
    broker.serves();
    broker.has_grown_little_since(before);
}

#[test]
fn claims_and_noise_harm_nobody_else_and_cost_little() {
    let broker = Victim::start();
    let compacted = broker.cluster.topic(1, &[("cleanup.policy", "compact")]);
    let before = broker.peaks_mib();
    let head = |key: i16, version: i16, flexible: bool| {
        let mut frame = BytesMut::new();
        frame.put_i16(key);
        frame.put_i16(version);
        frame.put_i32(7);
        frame.put_i16(-1);
        if flexible {
            frame.put_u8(0);
        }
        frame
    };
    let array = |claim: i32| [&head(3, 1, false)[..], &claim.to_be_bytes()].concat();
    let compact = |claim: &[u8]| [&head(3, 9, true)[..], claim].concat();
    let mut frames =
        vec![array(i32::MAX), array(0x00ff_ffff), compact(&[0xff, 0xff, 0xff, 0xff, 0x0f]), compact(&[0xff; 5])];
    // Two million topics without a name, and twice as many tagged fields of the header.
    frames.push([array(2 << 20), vec![0; 4 << 20]].concat());
    let mut tagged = head(3, 9, false);
    tagged.put_slice(&[0xff, 0xff, 0xff, 0x01]);
    tagged.put_bytes(0, 8 << 20);
    frames.push(tagged.to_vec());
    for frame in &frames {
        assert_eq!(
            broker.send(&mut broker.connect(), frame, PATIENCE),
            None,
            "an answer to a frame of {} bytes",
            frame.len()
        );
    }

    // Batches that claim more than they hold, to a topic where each is looked into.
    for (name, records) in super::samples::bad_batches() {
        let (code, _) =
            super::wire::produce(&mut super::wire::Wire::connect(&broker.cluster), None, &compacted, records);
        assert!(matches!(code, 2 | 10 | 87), "{name}: error {code}");
    }

    // Frames that are too large, never come, or are no frames; and too many who hold such a connection.
    for begin in [&[0x7f, 0xff, 0xff, 0xff][..], &[0xff; 4], b"GET / HTTP/1.1\r\n\r\n"] {
        let mut stream = broker.connect();
        stream.write_all(begin).unwrap();
        assert_eq!(stream.read(&mut [0]).unwrap_or(0), 0, "{begin:?} was answered");
    }
    let silent = || {
        let mut stream = broker.connect();
        // 90 MB are announced, and do not come.
        stream.write_all(&90_000_000u32.to_be_bytes()).unwrap();
        stream
    };
    let mut held: Vec<TcpStream> = (0..1024).map(|_| silent()).collect();
    until("a connection too many is closed", || {
        let mut stream = silent();
        stream.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
        let told = stream.read(&mut [0]);
        held.push(stream);
        told.map_or_else(|error| error.kind() == ErrorKind::ConnectionReset, |read| read == 0)
    });
    assert!(held.len() < 1100, "{} connections are held", held.len());
    drop(held);
    let hello = [&head(18, 0, false)[..]].concat();
    until("their places are free", || broker.send(&mut broker.connect(), &hello, PATIENCE).is_some());
    broker.serves();
    broker.has_grown_little_since(before);
}

#[test]
fn the_registry_takes_no_harm_from_what_it_is_sent() {
    let broker = Victim::start();
    let before = broker.peaks_mib();
    let client = Client::new(&broker.registry);
    let body = |schema: &str| json!({ "schema": schema });
    let deep = |open: &str, close: &str| body(&format!("{}\"int\"{}", open.repeat(20_000), close.repeat(20_000)));
    let types: Vec<String> =
        (0..20_000).map(|n| format!(r#"{{"type":"fixed","name":"F{n}","size":2147483647}}"#)).collect();
    for (what, body) in [
        ("arrays in arrays", deep(r#"{"type":"array","items":"#, "}")),
        ("unions in unions", deep("[", "]")),
        ("no schema at all", body("}{")),
        ("a number", json!({ "schema": 7 })),
    ] {
        let (status, told) = client.call("POST", "/subjects/hostile/versions", Some(&body)).unwrap();
        assert!((400..500).contains(&status) && told["error_code"].is_number(), "{what}: {status} {told}");
    }
    // Large, and no lie.
    let large =
        client.call("POST", "/subjects/large/versions", Some(&body(&format!("[{}]", types[..10_000].join(",")))));
    assert_eq!(large.unwrap().0, 200);
    let address = broker.registry.trim_start_matches("http://");
    for length in ["999999999999", "18446744073709551616", "-1", "x"] {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(stream, "POST /subjects/a/versions HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\n\r\n{{").unwrap();
        let mut told = String::new();
        let _ = BufReader::new(&stream).read_line(&mut told);
        assert!(told.starts_with("HTTP/1.1 4"), "content-length {length}: {told:?}");
    }
    let (status, subjects) = client.call("GET", "/subjects", None).unwrap();
    assert_eq!((status, subjects), (200, json!(["large"])));
    broker.has_grown_little_since(before);
}
