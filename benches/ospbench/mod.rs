//! OSPBench, the Open Stream Processing Benchmark, as a workload that is not ours: its join, its tumbling and its sliding window.
//!
//! ```text
//!  readings ─► flow, speed ──┬─► join ─► lanes ─► change, operators of our trait in fairlead's runtime ─► changes ─┐
//!      │                     └─► benches/peers/streams, Traffic.java and Changes.java ──────────────────► changes ─┤
//!      └─► reference: the definition, in memory ───────────────────────────────────────────────────────────────────┴─► compared
//! ```
//! Of both engines every output of every drain is compared with the reference; what differs ends the program. What was taken from
//! OSPBench, and what had to be decided: benches/README.md.

mod change;
mod engine;
mod facts;
mod join;
mod lanes;
mod readings;
mod reference;
mod topology;

use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use fairlead::event::FactKind;
use rdkafka::producer::Producer;

pub use engine::{ENGINE, run_engine};

use crate::PINNINGS;
use crate::application::Engine;
use crate::load;
use crate::mix::signed;
use crate::outputs::Outputs;
use crate::report::Run;
use crate::site::{Cores, Site};
use crate::turns::Bench;
use crate::workload::Workload;
use facts::{CHANGE, Change, FLOW, SPEED, Twin};
use readings::Told;
use reference::Expected;
use topology::{FLOWS, SPEEDS};

const SEED: u64 = 1;

pub static OSPBENCH: Workload = Workload {
    name: "ospbench",
    inputs: [(FLOWS, FactKind::Own(FLOW)), (SPEEDS, FactKind::Own(SPEED))],
    output: FactKind::Own(CHANGE),
    output_name: "changes.v1",
    topology: include_str!("settings.yaml"),
    fairlead: engine::command,
};

/// A small backlog through both, and nothing measured.
pub fn equality(bench: &Bench) -> Result<()> {
    let site = bench.site(PINNINGS[0], &OSPBENCH)?;
    let expected = feed(bench, &site, bench.args.story_records)?;
    for engine in [Engine::Fairlead, Engine::Streams] {
        let (_, outputs) = bench.drained(&site, engine, 1, i64::MAX)?;
        check(&outputs, &expected, &site)?;
        bench.say(&format!("{} told what the definition says", engine.name()));
    }
    Ok(())
}

/// Turns of both engines on one backlog.
pub fn drains(bench: &Bench, cores: Cores, runs: &mut Vec<Run>) -> Result<()> {
    let site = bench.site(cores, &OSPBENCH)?;
    let expected = feed(bench, &site, bench.args.records)?;
    bench.turns(|number, engine| {
        let (drain, outputs) = bench.drained(&site, engine, number, i64::MAX)?;
        check(&outputs, &expected, &site)?;
        runs.push(Run { engine, cores, number, drain, equality: None });
        Ok(())
    })
}

/// Event times lie ahead of the clock, so that only records close an interval.
fn feed(bench: &Bench, site: &Site, records: u64) -> Result<Expected> {
    let begin_ms = signed(load::now_ms()) / facts::INTERVAL_MS * facts::INTERVAL_MS + 60_000;
    let readings = readings::readings(SEED, usize::try_from(records)?, bench.args.points, begin_ms);
    let last_ms = readings.iter().map(|reading| reading.at_ms).max().context("no records are asked for")?;
    ensure!(
        last_ms - begin_ms < 3_000_000,
        "Kafka takes no records from more than an hour ahead: ask for fewer, or for more points"
    );
    bench.say(&format!("loading {} observations of {} measurement points", readings.len(), bench.args.points));
    let producer = load::producer(site.bootstrap())?;
    for reading in &readings {
        let topic = if matches!(reading.told, Told::Flow { .. }) { FLOWS } else { SPEEDS };
        load::send(&producer, &site.formats, topic, &reading.fact(), u64::try_from(reading.at_ms)?)?;
    }
    producer.flush(Duration::from_secs(120))?;
    Ok(reference::expected(&readings))
}

/// Every change once, each as it must be; the order within a measurement point follows from that of arrival, and is free.
fn check(outputs: &Outputs, expected: &Expected, site: &Site) -> Result<()> {
    let mut told = Expected::new();
    for (key, value) in outputs.values() {
        let fact = site.formats.decode_fact(FactKind::Own(CHANGE), value)?;
        let change = Change::of_fact(&fact).map_err(|kind| anyhow!("a {kind} was told"))?;
        ensure!(change.measurement_id.as_bytes() == key, "the key is not that of {change:?}");
        told.entry(change.measurement_id.clone()).or_default().push(change);
    }
    told.values_mut().for_each(|of_point| of_point.sort_by_key(|change| change.aggregate.timestamp_ms));
    let count = |changes: &Expected| changes.values().map(Vec::len).sum::<usize>();
    for (point, must) in expected {
        let told = told.get(point).map_or(&[][..], Vec::as_slice);
        let at = must.iter().zip(told).take_while(|(must, told)| must == told).count();
        ensure!(
            must == told,
            "NOT EQUAL: {point}, change {at}:\n  must be: {:?}\n  is:      {:?}",
            must.get(at),
            told.get(at)
        );
    }
    ensure!(told.len() == expected.len(), "{} changes were told, {} are right", count(&told), count(expected));
    Ok(())
}
