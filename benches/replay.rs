//! How fast a replay is: a generated week of alerts and deploys through the shipped topology, from a file.
//!
//! `cargo bench --bench replay -- [ALERTS] [SERVICES] [FILE]` writes the week as `fairlead export` would, replays it once, and prints alerts a
//! second and the CPU that it took. With a FILE the week is kept, for `fairlead replay --file` and `fairlead report noise --file`.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use fairlead::app::source;
use fairlead::event::{Alert, AlertStatus, Deploy, DeployKind, DeployOutcome, Fact, Mention};
use fairlead::record::{EventTime, Offset, Topic};
use fairlead::replay::{self, Recorded, Recording, Source, Value, Window, Writer};
use fairlead::topology::driver::partition;
use fairlead::topology::plan::Topology;

/// As in the program itself.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const WEEK_MS: u64 = 7 * 86_400_000;
/// 2026-11-02T00:00:00Z
const BEGIN_MS: i64 = 1_793_577_600_000;
/// Name, severity, tellings of an episode, minutes between them.
const ALERTS: [(&str, &str, u64, u64); 6] = [
    ("HighErrorRatio", "critical", 6, 5),
    ("LatencyP99High", "high", 4, 5),
    ("PodRestarting", "warning", 2, 3),
    ("CpuThrottled", "info", 8, 15),
    ("QueueGrowing", "warning", 5, 5),
    ("CertificateExpires", "warning", 40, 60),
];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let number = |at: usize, default: u64| arguments.get(at).and_then(|text| text.parse().ok()).unwrap_or(default);
    let (alerts, services) = (number(0, 200_000), number(1, 200));
    let topology = source::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("topology")).expect("the shipped files");
    let topology = topology.topology.expect("the shipped topology compiles");
    let scratch = std::env::temp_dir().join(format!("fairlead-week-{}.jsonl", std::process::id()));
    let file = arguments.get(2).map_or(scratch.as_path(), Path::new);
    let window = Window {
        begin: EventTime(BEGIN_MS),
        from: EventTime(BEGIN_MS),
        to: EventTime(BEGIN_MS + i64::try_from(WEEK_MS).expect("a week is short")),
    };
    write(&topology, file, window, alerts, services);
    let mut source = Source::File(Recording::open(file).expect("the file that was just written"));
    let (began, began_nanos, mut read) = (Instant::now(), cpu_nanos(), 0_u64);
    let replays = replay::replay(&mut source, &[&topology], window, false, &mut |_| read += 1).expect("a replay");
    let (took, nanos) = (began.elapsed().as_secs_f64(), cpu_nanos() - began_nanos);
    let told = replays[0].told;
    println!(
        "week                {} alerts, {} deploys of {services} services",
        replays[0].read.alerts, replays[0].read.deploys
    );
    println!(
        "told                {} incidents, {} messages, {} mentions",
        told.incidents,
        told.messages(),
        told.mentions
    );
    println!(
        "replay              {:.0} alerts/s   ({read} records in {took:.1} s)",
        replays[0].read.alerts as f64 / took
    );
    println!("CPU                 {:.1} µs a record", nanos as f64 / 1_000.0 / read as f64);
    println!("file                {} MiB", std::fs::metadata(file).map_or(0, |file| file.len() >> 20));
    if arguments.get(2).is_none() {
        std::fs::remove_file(file).expect("the file that was just written");
    }
}

/// The same numbers every time.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

fn write(topology: &Topology, file: &Path, window: Window, alerts: u64, services: u64) {
    let (mut numbers, mut facts) = (Numbers(4), Vec::new());
    while (facts.len() as u64) < alerts {
        let (name, severity, told, every) = ALERTS[usize::try_from(numbers.below(6)).expect("below six")];
        let service = format!("service-{}", numbers.below(services));
        let starts = BEGIN_MS + millis(numbers.below(WEEK_MS));
        let fingerprint = format!("{:016x}", numbers.below(12) + 1_000 * numbers.below(services));
        for telling in 0..=told {
            let at = starts + millis(telling * every * 60_000);
            let ends = (telling == told).then_some(at);
            facts.push((at, alert(name, severity, &service, &fingerprint, (starts, ends), numbers.below(1_000))));
        }
    }
    for run in 0..services * 20 {
        let at = BEGIN_MS + millis(numbers.below(WEEK_MS));
        facts.push((at, deploy(run, &format!("service-{}", numbers.below(services)), at)));
    }
    facts.retain(|(at, _)| *at < window.to.0);
    facts.sort_by_key(|(at, _)| *at);
    let inputs = replay::inputs(topology);
    let mut writer = Writer::create(file, "bench", &inputs, (window.from, window.to)).expect("a writable file");
    let mut offsets: BTreeMap<_, i64> = BTreeMap::new();
    for (at, fact) in facts {
        let topic =
            Topic::from(if matches!(fact, Fact::Alert(_)) { "oncall.alerts.v1" } else { "delivery.deploys.v1" });
        let partition = partition(fact.key().as_bytes(), topology.topics[&topic].partitions);
        let offset = offsets.entry((topic.clone(), partition)).or_default();
        let (key, headers) = (Some(fact.key().as_bytes().to_vec()), Vec::new());
        let (offset, timestamp, value) =
            (Offset(std::mem::replace(offset, *offset + 1)), EventTime(at), Value::Fact(fact));
        writer.write(&Recorded { topic, partition, offset, timestamp, key, headers, value }).expect("a writable file");
    }
    writer.end().expect("a writable file");
}

fn millis(ms: u64) -> i64 {
    i64::try_from(ms).expect("within a few weeks")
}

fn alert(
    name: &str,
    severity: &str,
    service: &str,
    fingerprint: &str,
    (starts, ends): (i64, Option<i64>),
    value: u64,
) -> Fact<'static> {
    let pair = |name: &str, value: &str| (name.to_owned().into(), value.to_owned().into());
    let labels = [("alertname", name), ("severity", severity), ("service", service), ("environment", "production")];
    let annotations =
        [("summary", "something is wrong, in a sentence of a usual length"), ("runbook_url", "https://runbooks/x")];
    Fact::Alert(Alert {
        source: "alertmanager".into(),
        fingerprint: fingerprint.to_owned().into(),
        starts_at_ms: starts,
        ends_at_ms: ends,
        status: if ends.is_some() { AlertStatus::Resolved } else { AlertStatus::Firing },
        service: service.to_owned().into(),
        name: name.to_owned().into(),
        environment: Some("production".into()),
        namespace: None,
        labels: labels.iter().map(|(name, value)| pair(name, value)).collect(),
        annotations: annotations.iter().map(|(name, value)| pair(name, value)).collect(),
        value: Some(f64::from(u32::try_from(value).expect("below a thousand"))),
        generator_url: None,
        level: None,
        mention: Mention::Nobody,
        level_reason: None,
        episode: None,
        muted_until_ms: None,
        muted_by: None,
    })
}

fn deploy(run: u64, service: &str, at: i64) -> Fact<'static> {
    Fact::Deploy(Deploy {
        id: format!("run-{run}").into(),
        source: "api".into(),
        service: service.to_owned().into(),
        environment: Some("production".into()),
        kind: DeployKind::Deploy,
        outcome: DeployOutcome::Succeeded,
        version: format!("v{run}").into(),
        revision: None,
        actor: None,
        url: None,
        started_at_ms: None,
        finished_at_ms: Some(at),
    })
}

/// Of this thread: on a busy machine the wall says little.
fn cpu_nanos() -> u64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux tells the time on the CPU");
    stat.split_whitespace().next().and_then(|nanos| nanos.parse().ok()).expect("its first field is nanoseconds")
}
