//! A whole organisation: 1,100 topics and 2,000 members of consumer groups, planned and started. `cargo bench --bench mirror_scale -- --help`.
//!
//! Two real Apache Kafkas on this machine, topics with a few records each, groups whose members have really joined, and the shipped program
//! as a process of its own: `fairlead mirror plan`, `apply`, `run` until every record is copied and every group is carried over, and
//! `run` again, from what the target says. Told are times and the most memory. Not here: throughput (`benches/mirror`).

#[path = "../../tests/it/harness/apache.rs"]
#[allow(dead_code, unused_imports)] // of which tests use more
mod apache;
mod members;
#[path = "../backlog/process.rs"]
#[allow(dead_code)] // likewise
mod process;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use apache::Kafka;
use clap::Parser;
use fairlead::embedded::registry::{Registry, RegistryConfig};
use fairlead::log::client::Connection;
use fairlead::wire::{Admin, NewTopic};
use futures_util::StreamExt as _;
use members::Group;
use process::{Process, cpu_seconds};
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

const RECORDS: usize = 6;
const PATIENCE: Duration = Duration::from_secs(600);

#[derive(Parser)]
struct Args {
    #[arg(long, default_value_t = 1_100)]
    topics: usize,
    /// Of each topic
    #[arg(long, default_value_t = 2)]
    partitions: i32,
    #[arg(long, default_value_t = 200)]
    groups: usize,
    /// Of each group
    #[arg(long, default_value_t = 10)]
    members: usize,
    /// Topics that a group reads
    #[arg(long, default_value_t = 11)]
    reads: usize,
    /// Given by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<()> {
    let args = Args::parse();
    // So that a group's members meet before it is one.
    let old = Kafka::start_own(&["--set", "group.initial.rebalance.delay.ms=1000"]);
    let new = Kafka::start_own(&[]);
    let scratch = tempfile::tempdir()?;
    let registry = Registry::start(RegistryConfig {
        data_dir: scratch.path().join("registry"),
        listen: "127.0.0.1:0".parse()?,
        allow_non_loopback: false,
    })?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let topics: Vec<String> = (0..args.topics).map(|number| format!("team-{}.t{number:04}", number % 40)).collect();
    let groups: Vec<Group> = (0..args.groups).map(|number| group(&args, &topics, number)).collect();
    runtime.block_on(organise(&args, old.bootstrap(), &topics, &groups))?;

    let site = Site { dir: scratch.path(), old: old.bootstrap(), new: new.bootstrap(), registry: registry.url() };
    site.write()?;
    let partitions = args.topics * usize::try_from(args.partitions)?;
    println!(
        "{} topics, {partitions} partitions, {} groups with {} members, {} positions",
        args.topics,
        args.groups,
        args.groups * args.members,
        args.groups * args.reads * usize::try_from(args.partitions)?
    );
    site.command(&format!("plan, {} topics to create", args.topics), &["mirror", "plan", "--output", "json"])?;
    site.command("apply", &["mirror", "apply"])?;
    site.command("plan, nothing left to do", &["mirror", "plan", "--output", "json"])?;
    let records = i64::try_from(partitions * RECORDS)?;
    let positions = args.groups * args.reads * usize::try_from(args.partitions)?;
    site.start(
        "started: copied, and every group carried over",
        &runtime,
        &topics,
        args.partitions,
        records,
        positions,
    )?;
    site.start("started again, nothing to copy", &runtime, &topics, args.partitions, records, positions)?;
    Ok(())
}

fn group(args: &Args, topics: &[String], number: usize) -> Group {
    let reads = (0..args.reads).map(|nth| topics[(number * args.reads + nth) % topics.len()].clone()).collect();
    Group { name: format!("group-{number:03}"), topics: reads, partitions: args.partitions, offset: 3 }
}

/// Topics, their records, and the groups that read them.
async fn organise(args: &Args, bootstrap: &str, topics: &[String], groups: &[Group]) -> Result<()> {
    let admin = Admin::new(&Connection::new(bootstrap))?;
    let new = |name: &String| NewTopic {
        name: name.clone(),
        partitions: args.partitions,
        replication: None,
        configs: BTreeMap::new(),
    };
    let created = admin.create_topics(&topics.iter().map(new).collect::<Vec<_>>(), false).await?;
    let refused = created.values().find_map(|outcome| outcome.as_ref().err());
    ensure!(refused.is_none(), "a topic was refused: {refused:?}");
    let until = Instant::now() + PATIENCE;
    while admin
        .topics(Some(topics))
        .await?
        .iter()
        .flat_map(|topic| &topic.partitions)
        .filter(|one| one.leader.is_some())
        .count()
        < topics.len() * usize::try_from(args.partitions)?
    {
        ensure!(Instant::now() < until, "the topics have no leaders");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let producer: BaseProducer =
        ClientConfig::new().set("bootstrap.servers", bootstrap).set("linger.ms", "50").create()?;
    for topic in topics {
        for number in 0..RECORDS * usize::try_from(args.partitions)? {
            let (key, partition) = (number.to_string(), i32::try_from(number)? % args.partitions);
            let record =
                BaseRecord::to(topic).partition(partition).key(&key).payload("a record of no size to speak of");
            producer.send(record).map_err(|(error, _)| error)?;
        }
        producer.poll(Duration::ZERO);
    }
    producer.flush(PATIENCE)?;
    let joining = groups.iter().map(|group| members::join(bootstrap, group, args.members));
    let mut joining = futures_util::stream::iter(joining).buffer_unordered(8);
    while let Some(joined) = joining.next().await {
        joined?;
    }
    Ok(())
}

struct Site<'a> {
    dir: &'a Path,
    old: &'a str,
    new: &'a str,
    registry: String,
}

impl Site<'_> {
    fn write(&self) -> Result<()> {
        let topology = self.dir.join("topology");
        std::fs::create_dir_all(&topology)?;
        let Self { old, new, registry, .. } = self;
        let text = format!(
            "application: scale\nkafka: {{ bootstrap_servers: '{new}' }}\nregistry: {{ url: '{registry}' }}\n\
             http: {{ listen: '127.0.0.1:0' }}\nclusters:\n  old: {{ bootstrap_servers: '{old}' }}\n\
             mirrors:\n  to-new:\n    from: old\n    topics: [{{ pattern: '(team-.*)[.](.*)', to: 'shop.$1.$2.v1' }}]\n\
             \x20   groups: {{ include: ['group-.*'], every_secs: 1 }}\n"
        );
        Ok(std::fs::write(topology.join("app.yaml"), text)?)
    }

    fn command(&self, what: &str, args: &[&str]) -> Result<()> {
        let began = Instant::now();
        // Told by `time`, for a child's peak is known only while it lives.
        let done = Command::new("/usr/bin/env")
            .args(["bash", "-c", "\"$@\" > out.txt 2> err.txt & pid=$!; peak=0; while kill -0 $pid 2>/dev/null; do \
                   now=$(awk '/VmHWM/ {print $2}' /proc/$pid/status 2>/dev/null || echo 0); peak=${now:-$peak}; sleep 0.05; done; \
                   wait $pid; code=$?; echo $peak; exit $code", "-", env!("CARGO_BIN_EXE_fairlead")])
            .args(args)
            .current_dir(self.dir)
            .output()?;
        let told = std::fs::read_to_string(self.dir.join("err.txt"))?;
        ensure!(done.status.success(), "{args:?}: {told}");
        let peak: f64 = String::from_utf8(done.stdout)?.trim().parse().unwrap_or_default();
        println!("{what:<46} {:>7.1} s   peak {:>4.0} MiB", began.elapsed().as_secs_f64(), peak / 1024.0);
        Ok(())
    }

    fn start(
        &self,
        what: &str,
        runtime: &tokio::runtime::Runtime,
        topics: &[String],
        partitions: i32,
        records: i64,
        positions: usize,
    ) -> Result<()> {
        let listen = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
        let program = [env!("CARGO_BIN_EXE_fairlead"), "mirror", "run", "--flow", "to-new", "--listen", &listen];
        let program = program.map(str::to_owned);
        let mut process = Process::start("0-1", &program, self.dir, &[])?;
        let began = Instant::now();
        let (mut ready, mut copied, mut carried) = (None, None, None);
        let admin = Admin::new(&Connection::new(self.new))?;
        let copies: Vec<String> = topics.iter().map(|topic| format!("shop.{}.v1", topic)).collect();
        let groups: Vec<String> = runtime
            .block_on(Admin::new(&Connection::new(self.old))?.groups())?
            .into_iter()
            .map(|group| group.name)
            .collect();
        while ready.is_none() || copied.is_none() || carried.is_none() {
            process.ensure_alive()?;
            ensure!(began.elapsed() < PATIENCE, "not done within {PATIENCE:?}; see engine.log");
            std::thread::sleep(Duration::from_millis(200));
            if ready.is_none() && is_ready(&listen) {
                ready = Some(began.elapsed());
            }
            if copied.is_none() && runtime.block_on(written(&admin, &copies, partitions))? >= records {
                copied = Some(began.elapsed());
            }
            let offsets = runtime.block_on(admin.group_offsets(&groups))?;
            if carried.is_none() && offsets.values().map(BTreeMap::len).sum::<usize>() >= positions {
                carried = Some(began.elapsed());
            }
        }
        let seconds = |time: Option<Duration>| time.context("both came").map(|time| time.as_secs_f64());
        println!(
            "{what:<46} {:>7.1} s   ready {:>5.1} s   groups {:>5.1} s   peak {:>4.0} MiB   CPU {:.1} s",
            seconds(copied)?,
            seconds(ready)?,
            seconds(carried)?,
            process.peak_bytes()? as f64 / f64::from(1 << 20),
            cpu_seconds(&process.pid())?
        );
        process.stop()?;
        Ok(())
    }
}

/// Records that lie on the copies, by their ends: at least, for marks of transactions count too.
async fn written(admin: &Admin, copies: &[String], partitions: i32) -> Result<i64> {
    let all: Vec<_> =
        copies.iter().flat_map(|topic| (0..partitions).map(move |number| (topic.clone(), number))).collect();
    let ends = admin.offsets(&all, fairlead::wire::At::Latest { committed: true }).await?;
    Ok(ends.values().map(|end| end.offset.min(i64::try_from(RECORDS).unwrap_or(i64::MAX))).sum())
}

/// Every shard copies, as `/readyz` says.
fn is_ready(listen: &str) -> bool {
    let ask = || {
        let mut stream = std::net::TcpStream::connect(listen)?;
        stream.write_all(b"GET /readyz HTTP/1.0\r\n\r\n")?;
        std::io::read_to_string(stream)
    };
    ask().is_ok_and(|answer: String| answer.lines().next().is_some_and(|status| status.contains(" 200 ")))
}
