//! Mirrors as processes: a way back takes up what is created later, and who is told to stop does not wait for a source that is silent.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use fairlead::embedded::registry::Registry;
use fairlead::wire::Committed;

use super::clusters::{Clusters, block_on, read};
use crate::harness::apache::Kafka;
use crate::harness::process::Process;
use crate::harness::{registry, until};

struct Home {
    dir: tempfile::TempDir,
    _registry: Registry,
}

impl Home {
    /// A flow `out` and its way back, with all that flows do.
    fn new(clusters: &Clusters) -> Home {
        let dir = tempfile::tempdir().unwrap();
        let registry = registry::start(&dir.path().join("registry"));
        let Clusters { name, source, target } = clusters;
        let of_flow = |flow: &str| {
            format!(
                "    shards: 2\n    refresh_secs: 1\n    offsets: migration.{flow}-{name}.v1\n    audits: migration.audits-{flow}-{name}.v1\n    \
                 groups: {{ include: ['{name}-.*'], every_secs: 1, offsets: migration.groups-{flow}-{name}.v1 }}\n"
            )
        };
        let yaml = format!(
            "application: it-{name}\nkafka: {{ bootstrap_servers: '{target}' }}\nregistry: {{ url: '{}' }}\n\
             engine: {{ instance: '${{env:FAIRLEAD_TEST_INSTANCE}}' }}\nclusters:\n  old: {{ bootstrap_servers: '{source}' }}\nmirrors:\n  \
             out:\n    from: old\n    topics: [{{ pattern: '{name}\\.(.*)', to: 'new-{name}.$1' }}]\n{}  back:\n    reverse_of: out\n{}",
            registry.url(),
            of_flow("out"),
            of_flow("back"),
        );
        std::fs::create_dir(dir.path().join("topology")).unwrap();
        std::fs::write(dir.path().join("topology/app.yaml"), yaml).unwrap();
        Home { dir, _registry: registry }
    }

    fn start(&self, flow: &str) -> Process {
        let home = self.dir.path().join(flow);
        std::fs::create_dir_all(&home).unwrap();
        let topology = self.dir.path().join("topology");
        Process::command(&home, &["mirror", "run", "--flow", flow], &topology, flow, &[("RUST_LOG", "info")])
    }

    /// What a flow that runs logs once it has begun.
    fn runs(&self, flow: &str) {
        until("the mirror runs", || {
            let log = std::fs::read_to_string(self.dir.path().join(flow).join("log")).ok()?;
            (log.matches("the shard copies").count() >= 2).then_some(())
        });
    }
}

/// Of a topic's first partition, in order.
fn values(bootstrap: &str, topic: &str, clusters: &Clusters) -> Vec<String> {
    let all = read(bootstrap, topic, 0, 0, clusters.end(bootstrap, topic, 0));
    all.iter().map(|record| String::from_utf8_lossy(record.value.unwrap()).into_owned()).collect()
}

#[test]
fn a_topic_that_is_created_later_is_copied_both_ways() {
    let clusters = Clusters::new("later");
    clusters.create("first", 1, &[]);
    let home = Home::new(&clusters);
    let out = home.start("out");
    home.runs("out");
    let back = home.start("back");
    home.runs("back");

    clusters.create("later", 1, &[]);
    let (topic, copy) = (clusters.topic("later"), clusters.copy_of("later"));
    clusters.write(&clusters.source, &topic, 1, &["a", "b"], true);
    until("the copy is there", || {
        let there = block_on(clusters.at_target().topics(Some(std::slice::from_ref(&copy)))).unwrap();
        (!there.is_empty() && values(&clusters.target, &copy, &clusters).len() == 2).then_some(())
    });
    clusters.write(&clusters.target, &copy, 1, &["c"], true);
    until("what is native there is copied back", || {
        (values(&clusters.source, &topic, &clusters) == ["a", "b", "c"]).then_some(())
    });
    clusters.write(&clusters.source, &topic, 1, &["d"], true);
    until("it goes on there", || (values(&clusters.target, &copy, &clusters) == ["a", "b", "c", "d"]).then_some(()));

    let group = format!("{}-readers", clusters.name);
    let (end, place) = (clusters.end(&clusters.target, &copy, 0), (copy.clone(), 0));
    let offsets = BTreeMap::from([(place, Committed { offset: end, leader_epoch: None, metadata: String::new() })]);
    block_on(clusters.at_target().commit_group_offsets(&group, &offsets)).unwrap();
    let carried = until("the group goes back", || {
        let all = block_on(clusters.at_source().group_offsets(std::slice::from_ref(&group))).ok()?;
        all.get(&group)?.get(&(topic.clone(), 0)).map(|committed| committed.offset)
    });
    // Behind `d` on the source, which is followed by nothing but the mark of its transaction.
    let last = read(&clusters.source, &topic, 0, 0, clusters.end(&clusters.source, &topic, 0));
    let last = last.iter().last().unwrap().offset.0;
    assert!((last + 1..=clusters.end(&clusters.source, &topic, 0)).contains(&carried), "{carried}, after {last}");
    assert_eq!(values(&clusters.source, &topic, &clusters), ["a", "b", "c", "d"], "nothing goes round");
    back.end();
    out.end();
}

#[test]
fn who_is_told_to_stop_does_not_wait_for_a_source_that_is_silent_or_down() {
    let mut source = Kafka::start_own(&[]);
    let clusters = Clusters { source: source.bootstrap().to_owned(), ..Clusters::new("stops") };
    clusters.create("a", 2, &[]);
    let home = Home::new(&clusters);
    let ends = |after: &dyn Fn()| {
        let out = home.start("out");
        until("the copy is there", || {
            let copy = clusters.copy_of("a");
            block_on(clusters.at_target().topics(Some(&[copy]))).ok()?.pop()
        });
        until("it copies", || {
            clusters.write(&clusters.source, &clusters.topic("a"), 2, &["x"], true);
            let copied = clusters.end(&clusters.target, &clusters.copy_of("a"), 0);
            std::thread::sleep(Duration::from_secs(1));
            (clusters.end(&clusters.target, &clusters.copy_of("a"), 0) > copied).then_some(())
        });
        after();
        let told = Instant::now();
        out.end();
        told.elapsed()
    };
    let up = ends(&|| {});
    // Long enough that everybody waits for an answer.
    let silent = ends(&|| {
        clusters.write(&clusters.source, &clusters.topic("a"), 2, &["y"; 200], true);
        source.freeze();
        std::thread::sleep(Duration::from_secs(4));
    });
    source.thaw();
    let down = std::cell::RefCell::new(&mut source);
    let down = ends(&|| {
        down.borrow_mut().kill();
        std::thread::sleep(Duration::from_secs(4));
    });
    println!("stops within {up:?}; with a silent source {silent:?}, with none {down:?}");
    assert!(silent < up + Duration::from_secs(6) && down < up + Duration::from_secs(6), "{up:?}, {silent:?}, {down:?}");
}
