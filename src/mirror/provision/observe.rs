//! One look at both clusters. The order of the questions matters: starts before ranges, ends after them, so that a flow that copies
//! meanwhile never seems to have lost anything.

use std::collections::{BTreeMap, BTreeSet};

use super::rules::rule;
use super::{Error, Provision};
use crate::mirror::plan::{Config, Ends, Observed, Topic};
use crate::wire::{At, ConfigView, OffsetView, TopicPartition, TopicView};

type Offsets = BTreeMap<TopicPartition, OffsetView>;

impl Provision {
    pub(super) async fn observe(&mut self) -> Result<Observed, Error> {
        let mut source = self.source.topics(None).await.map_err(self.on_source())?;
        let mut target = self.target.topics(None).await.map_err(self.on_target())?;
        source.retain(|topic| !topic.internal);
        target.retain(|topic| !topic.internal);
        self.learn_names(&source, &target);
        let asked: Asked = self.asked(&source, &target);
        let source_configs = self.source.topic_configs(&asked.sources).await.map_err(self.on_source())?;
        let target_configs = self.target.topic_configs(&asked.targets).await.map_err(self.on_target())?;
        let sources = partitions(&source, &asked.sources);
        let source_starts = self.source.offsets(&sources, At::Earliest).await.map_err(self.on_source())?;
        self.read_ranges(&target).await?;
        let committed = At::Latest { committed: true };
        let source_ends = self.source.offsets(&sources, committed).await.map_err(self.on_source())?;
        // A mark may reach the copies' partitions a little after the ranges': what is there is asked for, marked or not.
        let targets = partitions(&target, &asked.targets);
        let all = At::Latest { committed: false };
        let target_ends = self.target.offsets(&targets, all).await.map_err(self.on_target())?;
        let target_starts = self.target.offsets(&targets, At::Earliest).await.map_err(self.on_target())?;
        let mut observed = Observed {
            source: topics(&source, &source_configs, &source_starts, &source_ends),
            target: topics(&target, &target_configs, &target_starts, &target_ends),
            ..Observed::default()
        };
        self.find_strangers(&mut observed, &target).await?;
        self.settle_ends(&mut observed);
        let progress = self.ranges.as_ref().ok_or(Error::Panicked)?.progress().clone();
        (observed.frontiers, observed.writers) = (progress.frontiers, progress.writers);
        if self.config.mirror.acls {
            let rules = |acls: Option<Vec<_>>| acls.map(|acls| acls.iter().map(rule).collect());
            observed.source_rules = rules(self.source.acls().await.map_err(self.on_source())?);
            observed.target_rules = rules(self.target.acls().await.map_err(self.on_target())?);
        }
        Ok(observed)
    }

    /// A way back has its names by what is on its target, the opposite ones theirs by what is on the source.
    fn learn_names(&mut self, source: &[TopicView], target: &[TopicView]) {
        let config = &self.config;
        let names = |topics: &[TopicView]| {
            let names = topics.iter().map(|topic| topic.name.clone());
            names.filter(|name| config.is_for_copies(name)).collect::<Vec<_>>()
        };
        let (source, target) = (names(source), names(target));
        for opposite in &config.opposite {
            opposite.look(source.iter().map(String::as_str));
        }
        self.ambiguous = config.renames.look(target.iter().map(String::as_str));
    }

    /// Of which topics more than the name is of interest.
    fn asked(&self, source: &[TopicView], target: &[TopicView]) -> Asked {
        let config = &self.config;
        let selected = |topic: &&TopicView| config.is_for_copies(&topic.name);
        let named = source.iter().filter(selected);
        let named: Vec<_> =
            named.filter_map(|topic| Some((&topic.name, config.renames.target(&topic.name)?))).collect();
        let mirror = &config.mirror;
        let facts =
            [Some(&mirror.offsets), mirror.audits.as_ref(), mirror.groups.as_ref().map(|groups| &groups.offsets)];
        let wanted: BTreeSet<&str> =
            named.iter().map(|(_, target)| &**target).chain(facts.into_iter().flatten().map(String::as_str)).collect();
        let there = target.iter().filter(|topic| wanted.contains(&*topic.name));
        Asked {
            sources: named.iter().map(|(source, _)| (*source).clone()).collect(),
            targets: there.map(|topic| topic.name.clone()).collect(),
        }
    }

    /// Reads on in the topic of ranges, as far as it is readable now.
    async fn read_ranges(&mut self, target: &[TopicView]) -> Result<(), Error> {
        let name = self.config.mirror.offsets.clone();
        let partitions = partitions(target, std::slice::from_ref(&name));
        let ends = self.target.offsets(&partitions, At::Latest { committed: true }).await.map_err(self.on_target())?;
        let ends: BTreeMap<i32, i64> = ends.into_iter().map(|((_, number), end)| (number, end.offset)).collect();
        let mut ranges = self.ranges.take().ok_or(Error::Panicked)?;
        let read = tokio::task::spawn_blocking(move || {
            let read = ranges.read_to(&name, &ends);
            (ranges, read)
        });
        let (ranges, read) = read.await.map_err(|_| Error::Panicked)?;
        self.ranges = Some(ranges);
        read
    }

    /// Looks for records on targets that no range speaks of. Found ones may have come with a range since: so ranges are read once more.
    async fn find_strangers(&mut self, observed: &mut Observed, target: &[TopicView]) -> Result<(), Error> {
        let progress = self.ranges.as_ref().ok_or(Error::Panicked)?.progress();
        let copies: BTreeSet<String> =
            observed.source.keys().filter_map(|source| self.config.renames.target(source)).collect();
        let unknown: Vec<_> = copies.into_iter().filter(|copy| !progress.writers.contains_key(copy)).collect();
        for name in unknown {
            let Some(topic) = observed.target.get_mut(&name) else { continue };
            let filled = (0_i32..).zip(&topic.partitions).filter(|(_, ends)| ends.end > ends.start);
            let filled: Vec<_> = filled.map(|(number, ends)| (number, ends.start)).collect();
            if filled.is_empty() {
                continue;
            }
            let partitions: Vec<_> = filled.iter().map(|(number, _)| (name.clone(), *number)).collect();
            let ends =
                self.target.offsets(&partitions, At::Latest { committed: true }).await.map_err(self.on_target())?;
            let mut ranges = self.ranges.take().ok_or(Error::Panicked)?;
            let found = tokio::task::spawn_blocking(move || {
                let mut found = filled.iter().map(|(number, start)| {
                    let end = ends.get(&(name.clone(), *number)).map_or(*start, |end| end.offset);
                    ranges.holds_a_record(&name, *number, *start, end)
                });
                let found = found.try_fold(false, |any, found| Ok::<_, Error>(any || found?));
                (ranges, found)
            });
            let (ranges, found) = found.await.map_err(|_| Error::Panicked)?;
            self.ranges = Some(ranges);
            topic.has_records = found?;
        }
        if observed.target.values().any(|topic| topic.has_records) {
            self.read_ranges(target).await?;
        }
        Ok(())
    }

    /// Whoever has what was there at the last look keeps up.
    fn settle_ends(&mut self, observed: &mut Observed) {
        let mut ends = BTreeMap::new();
        for (name, topic) in &mut observed.source {
            for (number, partition) in (0_i32..).zip(&mut topic.partitions) {
                let key = (name.clone(), number);
                partition.settled = self.ends.get(&key).copied().unwrap_or(partition.end).min(partition.end);
                ends.insert(key, partition.end);
            }
        }
        self.ends = ends;
    }
}

/// Names, of topics that are there.
struct Asked {
    sources: Vec<String>,
    targets: Vec<String>,
}

fn partitions(topics: &[TopicView], names: &[String]) -> Vec<TopicPartition> {
    let names: BTreeSet<_> = names.iter().collect();
    let asked = topics.iter().filter(|topic| names.contains(&topic.name));
    asked.flat_map(|topic| topic.partitions.iter().map(|partition| (topic.name.clone(), partition.number))).collect()
}

fn topics(
    views: &[TopicView],
    configs: &BTreeMap<String, Vec<ConfigView>>,
    starts: &Offsets,
    ends: &Offsets,
) -> BTreeMap<String, Topic> {
    let topic = |view: &TopicView| {
        let ends_of = |number: i32| {
            let at = |offsets: &Offsets| offsets.get(&(view.name.clone(), number)).map_or(0, |view| view.offset);
            let (start, end) = (at(starts), at(ends));
            Ends { start, end: end.max(start), settled: end.max(start) }
        };
        let config = |config: &ConfigView| {
            let value = if config.sensitive { None } else { config.value.clone() };
            (config.name.clone(), Config { value, own: config.own })
        };
        Topic {
            id: view.id.clone(),
            partitions: view.partitions.iter().map(|partition| ends_of(partition.number)).collect(),
            replication: view.partitions.iter().map(|partition| partition.replicas.len()).min().unwrap_or_default(),
            configs: configs.get(&view.name).into_iter().flatten().map(config).collect(),
            has_records: false,
        }
    };
    views.iter().map(|view| (view.name.clone(), topic(view))).collect()
}
