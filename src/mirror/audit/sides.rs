//! The two clusters as an audit reads them: what may be gone, and the records between two offsets.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use crate::event::MirrorRange;
use crate::log::kafka::KafkaReader;
use crate::log::scan::scan;
use crate::mirror::compare::{Comparison, Content, Found, Side};
use crate::mirror::provision::{Cluster, Error, FlowConfig, KnownNames};
use crate::record::{Offset, Partition, Record, Topic, TopicPartition};
use crate::wire::Admin;

pub struct Sides {
    source: Half,
    target: Half,
    opposite: Vec<KnownNames>,
}

struct Half {
    name: &'static str,
    reader: KafkaReader,
    /// Partitions of each topic.
    topics: BTreeMap<String, usize>,
    /// Of those that the flow names whether they are compacted; of others nothing may be asked, perhaps.
    compacted: BTreeMap<String, bool>,
}

impl Sides {
    pub fn new(config: &FlowConfig) -> Result<Self, Error> {
        let half = |name, cluster: &Cluster| {
            let reader = KafkaReader::new(&cluster.connection, &config.reader_group)?;
            Ok::<_, Error>(Half { name, reader, topics: BTreeMap::new(), compacted: BTreeMap::new() })
        };
        let (source, target) = (half("source", &config.source)?, half("target", &config.target)?);
        Ok(Self { source, target, opposite: config.opposite.clone() })
    }

    /// Which topics there are, and which of them are compacted.
    pub async fn look(&mut self, config: &FlowConfig, source: &Admin, target: &Admin) -> Result<(), Error> {
        let target_of = |topic: &str| if config.own.holds(topic) { None } else { config.renames.target(topic) };
        self.source.look(source, &config.source, |topic| target_of(topic).is_some()).await?;
        let copies: BTreeSet<String> = self.source.topics.keys().filter_map(|topic| target_of(topic)).collect();
        self.target.look(target, &config.target, |topic| copies.contains(topic)).await
    }

    /// Whether the flow copies every record of the topic, and not natives alone.
    pub fn copies_all(&self, source: &str, target: &str) -> bool {
        !self.opposite.iter().any(|opposite| opposite.target(target).as_deref() == Some(source))
    }

    /// `range` is any of those that are compared.
    pub fn compare(&mut self, mut comparison: Comparison<'_>, range: &MirrorRange) -> Result<Found, Error> {
        let sides = [
            (&self.source, &range.source_topic, range.source_partition),
            (&self.target, &range.target_topic, range.target_partition),
        ];
        for (half, topic, number) in sides {
            let partitions = half.topics.get(topic).copied().unwrap_or_default();
            if usize::try_from(number).is_ok_and(|number| number >= partitions) {
                return Ok(comparison.gone(&format!("the {} no longer has partition {number} of {topic}", half.name)));
            }
        }
        let between = comparison.source();
        let source = self.source.read(&range.source_topic, range.source_partition, between, |record| {
            comparison.take_source(record.offset.0, content(record));
        })?;
        let between = comparison.target();
        let target = self.target.read(&range.target_topic, range.target_partition, between, |record| {
            comparison.take_target(record.offset.0, content(record));
        })?;
        Ok(comparison.found(source, target))
    }
}

impl Half {
    async fn look(&mut self, admin: &Admin, cluster: &Cluster, named: impl Fn(&str) -> bool) -> Result<(), Error> {
        let failed = |error| Error::Wire { cluster: cluster.name.clone(), error };
        let views = admin.topics(None).await.map_err(failed)?;
        self.topics = views.iter().map(|view| (view.name.clone(), view.partitions.len())).collect();
        let names = views.into_iter().filter(|view| !view.internal && named(&view.name)).map(|view| view.name);
        let names: Vec<_> = names.collect();
        let configs = admin.topic_configs(&names).await.map_err(failed)?;
        let compacts = |configs: &Vec<crate::wire::ConfigView>| {
            let policy = configs.iter().find(|config| config.name == "cleanup.policy");
            policy.and_then(|config| config.value.as_ref()).is_some_and(|policy| policy.contains("compact"))
        };
        self.compacted = configs.into_iter().map(|(name, configs)| (name, compacts(&configs))).collect();
        Ok(())
    }

    fn read(
        &mut self,
        topic: &str,
        number: i32,
        between: Option<(i64, i64)>,
        mut take: impl FnMut(&Record<'_>),
    ) -> Result<Side, Error> {
        let partition = TopicPartition::new(&Topic::from(topic), Partition(number));
        let ends = self.reader.watermarks(&partition)?;
        if let Some((from, to)) = between {
            let (from, to) = (Offset(from).max(ends.low), Offset(to).min(ends.high));
            scan(&mut self.reader, &partition, from, to, |record| {
                take(record);
                ControlFlow::Continue(())
            })?;
        }
        // Retention may have moved it on meanwhile: what it took then counts as gone, too.
        let low = self.reader.watermarks(&partition)?.low.0;
        // What lacks of a topic that the flow names no more may have been compacted away.
        Ok(Side { low, compacts: self.compacted.get(topic).copied().unwrap_or(true) })
    }
}

type Headers<'a> = std::vec::IntoIter<(&'a [u8], Option<&'a [u8]>)>;

fn content<'a>(record: &Record<'a>) -> Content<'a, Headers<'a>> {
    let headers: Vec<_> = record.headers.iter().map(|(name, value)| (name.as_bytes(), value)).collect();
    let Record { key, value, timestamp, .. } = *record;
    Content { key, value, timestamp_ms: timestamp.0, headers: headers.into_iter() }
}
