//! The pure engine alone: decode, level, incident, suspects, encode, over the very mix of `backlog`, without Kafka and RocksDB.
//!
//! `cargo bench --bench engine -- [RECORDS] [KEYS] [BATCH]` prints nanoseconds of CPU a record: what of a drain is fairlead's own code.

#[path = "backlog/mix.rs"]
mod mix;

use std::collections::{BTreeMap, HashMap};

use fairlead::codec::Formats;
use fairlead::event::FactKind;
use fairlead::record::{Batch, EventTime, Headers, Offset, Partition, Record, Topic};
use fairlead::topology::catalog::catalog;
use fairlead::topology::compile::compile;
use fairlead::topology::engine::{Moment, StageIndex, StateError, StateView, Timer};
use fairlead::topology::journal::{JournalPosition, TaskId};
use fairlead::topology::spec::SourceFile;
use fairlead::topology::stage::Key;

/// As in the program itself.
#[cfg(feature = "runtime")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// States by stage, without timers: no deadline passes within the mix.
#[derive(Default)]
struct View([HashMap<Key, Vec<u8>>; 3]);

impl StateView for View {
    fn get_many(&self, keys: &[(&[u8], StageIndex)]) -> Result<Vec<Option<Vec<u8>>>, StateError> {
        Ok(keys.iter().map(|(key, stage)| self.0[*stage].get(*key).cloned()).collect())
    }

    fn due(&self, _: EventTime) -> Result<Vec<Timer>, StateError> {
        Ok(Vec::new())
    }
}

fn main() {
    let numbers: Vec<u64> = std::env::args().skip(1).filter_map(|argument| argument.parse().ok()).collect();
    let argument = |at: usize, default: u64| numbers.get(at).copied().unwrap_or(default);
    let (records, keys, batch_records) = (argument(0, 200_000), argument(1, 100_000), argument(2, 5_000));

    let text = include_str!("backlog/topology/app.yaml").to_owned();
    let compiled = compile(&[SourceFile { name: "benches/backlog/topology/app.yaml".into(), text }], &catalog());
    let topology = compiled.topology.expect("the benchmark's topology compiles");
    let (formats, states) = topology.shipped_formats().expect("the shipped schemas parse");
    let mut engine = topology.sub_topologies["oncall"].instantiate(&states).expect("every state has a format");
    let (mut view, mut took) = (View::default(), 0);
    let (mut outputs, mut bytes, mut changes) = (0, 0, 0);

    for sequence in 0..records / batch_records {
        let mut batch = fill(sequence * batch_records, batch_records, keys, &formats);
        let task = TaskId { sub_topology: "oncall".into(), partition: Partition(0) };
        let position = JournalPosition { task, sequence: 1, acted_at_ms: 0 };
        let began = cpu_nanos();
        let effects = engine.process(&mut batch, &Moment { position, tick: false }, &view, &formats);
        took += cpu_nanos() - began;
        let effects = effects.expect("the mix has no bad record");
        assert!(effects.dead_letters.is_empty(), "{:?}", effects.dead_letters[0]);
        outputs += effects.outputs.len();
        changes += effects.changes.len();
        for (stage, change) in effects.changes {
            bytes += change.state.as_ref().map_or(0, Vec::len);
            match change.state {
                Some(state) => view.0[stage].insert(change.key, state),
                None => view.0[stage].remove(&change.key),
            };
        }
    }
    let count = records / batch_records * batch_records;
    println!("{count} records of {keys} keys, {batch_records} a batch: {} ns of CPU a record", took / count);
    println!("{outputs} outputs, {changes} changed states of {} bytes each", bytes / changes.max(1));
}

/// Of this thread, so that a busy machine does not count.
fn cpu_nanos() -> u64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux tells the time on the CPU");
    stat.split_whitespace().next().and_then(|nanos| nanos.parse().ok()).expect("its first field is nanoseconds")
}

fn fill(first: u64, count: u64, keys: u64, formats: &Formats) -> Batch {
    let topics = BTreeMap::from([
        (FactKind::Alert, Topic::from("bench.alerts.v1")),
        (FactKind::Deploy, Topic::from("bench.deploys.v1")),
    ]);
    let mut batch = Batch::default();
    for number in first..first + count {
        let at_ms = 1_700_000_000_000 + number;
        let (service, round) = mix::service(number, keys);
        let fact = mix::fact(&service, round, at_ms);
        let mut value = Vec::new();
        formats.encode_fact(&fact, &mut value).expect("a fact fits its schema");
        batch.push(&Record {
            topic: &topics[&fact.kind()],
            partition: Partition(0),
            offset: Offset(mix::signed(number)),
            timestamp: EventTime(mix::signed(at_ms)),
            key: Some(service.as_bytes()),
            value: Some(&value),
            headers: Headers::NONE,
        });
    }
    batch
}
