//! Records of an unknown schema and Avro that is cut off, between good ones, through the real application: each becomes a dead letter
//! that says where it lies and why, byte for byte, and its neighbours are processed. Other rubbish is part of every [`crate::harness::load`].

use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use fairlead::event::Fact;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use serde_json::Value;

use super::assert_model_saw;
use crate::harness::load::{Sent, alert};
use crate::harness::site::{PARTITIONS, PATIENCE, Site};

/// A zero, and the id of a schema.
const ENVELOPE_BYTES: usize = 5;

fn good(site: &Site, service: &str, number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
    let fingerprint = format!("alert-{number}");
    site.formats.encode_fact(&Fact::Alert(alert(service, &fingerprint, now_ms, None, 1.0)), &mut bytes).unwrap();
    bytes
}

/// An alert that ends after each of its bytes but the last, and whole ones of schemas that nobody has registered; with the reason
/// that each is to die of, and what is to be said.
fn bad(site: &Site) -> Vec<(Vec<u8>, &'static str, String)> {
    let whole = good(site, "checkout", 0);
    let cut = (0..whole.len()).map(|end| {
        let reason = if end < ENVELOPE_BYTES { "no_envelope" } else { "undecodable" };
        (whole[..end].to_vec(), reason, String::new())
    });
    let unknown = [0, 1_000_000, u32::MAX].map(|id| {
        let bytes = [&[0], &id.to_be_bytes()[..], &whole[ENVELOPE_BYTES..]].concat();
        (bytes, "unknown_schema", id.to_string())
    });
    cut.chain(unknown).collect()
}

fn letters(site: &Site, args: &[&str]) -> Vec<Value> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fairlead"));
    command.arg("dead-letter").args(args).args(["--output", "json", "--topology"]).arg(site.topology_dir());
    let told = command.env("FAIRLEAD_TEST_INSTANCE", "looks").output().unwrap();
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    serde_json::from_slice(&told.stdout).unwrap()
}

#[test]
fn cut_off_avro_and_unknown_schemas_become_letters_with_their_place_and_reason_and_good_neighbours_go_on() {
    let site = Site::new();
    let (bad, topic) = (bad(&site), site.topic("alerts"));
    let producer: ThreadedProducer<DefaultProducerContext> = site.endpoints.connection.producer().create().unwrap();
    let send = |partition: i32, service: &str, value: &[u8]| {
        let record = BaseRecord::to(topic.as_str()).partition(partition).key(service).payload(value);
        producer.send(record).map_err(|(error, _)| error).unwrap();
    };
    // A bad one has even offsets, its good neighbour odd ones.
    for (number, (bytes, ..)) in bad.iter().enumerate() {
        send(0, "checkout", bytes);
        send(0, "checkout", &good(&site, "checkout", number));
    }
    for partition in 1..PARTITIONS {
        let service = format!("service-{partition}");
        send(partition, &service, &good(&site, &service, 0));
    }
    producer.flush(PATIENCE).unwrap();
    let process = site.start("a");
    site.wait_until_all_is_committed();
    process.end();

    let listed = letters(&site, &["list", "--limit", "1000"]);
    assert_eq!(listed.len(), bad.len());
    for (number, (bytes, reason, told)) in bad.iter().enumerate() {
        let id = format!("{topic}/0/{}", 2 * number);
        let letter = listed.iter().find(|letter| letter["id"] == *id).unwrap_or_else(|| panic!("{id} is no letter"));
        assert_eq!((&letter["reason"], &letter["reader"]), (&(*reason).into(), &"oncall".into()), "{bytes:x?}");
        let error = letter["error"].as_str().unwrap();
        assert!(!error.is_empty() && error.contains(told.as_str()), "{error}");
    }
    for number in [0, ENVELOPE_BYTES, bad.len() - 4, bad.len() - 1] {
        let id = format!("{topic}/0/{}", 2 * number);
        let shown = letters(&site, &["show", &id]);
        let place = (&shown[0]["topic"], &shown[0]["partition"], &shown[0]["offset"]);
        assert_eq!(place, (&topic.as_str().into(), &0.into(), &(2 * number).into()));
        assert_eq!(shown[0]["key"]["text"], "checkout");
        assert_eq!(shown[0]["value"]["hex"], hex::encode(&bad[number].0), "{id}: as it was");
    }
    let (alerts, left_firing) = (bad.len() as u64 + 3, PARTITIONS as u64);
    assert_model_saw(&site, Sent { alerts, deploys: 0, rubbish: bad.len() as u64, left_firing });
}
