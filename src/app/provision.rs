//! The mirrors of a topology with their clusters looked up: what commands plan, apply, compare and watch.

use std::collections::BTreeSet;

use anyhow::{Result, anyhow};

use super::Endpoints;
use crate::clock::Clock;
use crate::codec::{Format, Formats};
use crate::event::{Audit, FactKind};
use crate::log::kafka::KafkaReader;
use crate::mirror::audit::{Auditor, Publisher, Wanted, last_audits};
use crate::mirror::provision::{self, Cluster, FlowConfig, OwnTopics, Provision};
use crate::mirror::rename::Renames;
use crate::mirror::{Mirror, Mirrors, reverse};
use crate::record::Topic;
use crate::runtime::SchemaSource;
use crate::topology::names::value_subject;
use crate::topology::plan::Topology;
use crate::topology::problem::suggest;
use crate::topology::settings::Kafka;

/// How long the registry may take to answer before it counts as absent.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(10);

/// All mirrors, or the one of this name.
pub fn flows(topology: &Topology, endpoints: &Endpoints, name: Option<&str>) -> Result<Vec<FlowConfig>> {
    let mirrors = &topology.settings.mirrors;
    anyhow::ensure!(
        !mirrors.is_empty(),
        "the topology has no mirrors; `topology/mirrors/example.yaml` shows what they look like"
    );
    let mirrors = written_out(topology, endpoints)?;
    match name {
        None => mirrors.iter().map(|(name, mirror)| flow(topology, endpoints, &mirrors, name, mirror)).collect(),
        Some(name) => {
            let unknown =
                || anyhow!("there is no mirror `{name}`{}", suggest(name, mirrors.keys().map(String::as_str)));
            Ok(vec![flow(topology, endpoints, &mirrors, name, mirrors.get(name).ok_or_else(unknown)?)?])
        }
    }
}

/// Each with its clusters and names: those of a reverse one are another's. Blocks on Kafka for those alone.
fn written_out(topology: &Topology, endpoints: &Endpoints) -> Result<Mirrors> {
    let (mirrors, own) = (&topology.settings.mirrors, own_topics(topology));
    let mut written = Mirrors::new();
    for (name, mirror) in mirrors {
        let originals = match mirror.reverse_of.as_ref().and_then(|forward| mirrors.get(forward)) {
            Some(forward) => {
                let connection = endpoints.cluster(forward.from.as_deref())?;
                KafkaReader::new(&connection, &topology.names.reader_group())?.topics()?
            }
            None => Vec::new(),
        };
        let originals =
            originals.iter().map(String::as_str).filter(|topic| !topic.starts_with("__") && !own.holds(topic));
        let out = reverse::written_out(mirrors, mirror, originals).map_err(|why| anyhow!("mirrors.{name}: {why}"))?;
        written.insert(name.clone(), out);
    }
    Ok(written)
}

fn flow(
    topology: &Topology,
    endpoints: &Endpoints,
    mirrors: &Mirrors,
    name: &str,
    mirror: &Mirror,
) -> Result<FlowConfig> {
    let renames =
        |mirror: &Mirror| Renames::new(&mirror.topics, &mirror.exclude).map_err(|why| anyhow!("mirrors.{name}: {why}"));
    let opposite = mirrors.values().filter(|other| other.from == mirror.to && other.to == mirror.from);
    Ok(FlowConfig {
        name: name.to_owned(),
        renames: renames(mirror)?,
        opposite: opposite.map(renames).collect::<Result<_>>()?,
        source: cluster(topology, endpoints, mirror.from.as_deref())?,
        target: cluster(topology, endpoints, mirror.to.as_deref())?,
        own: own_topics(topology),
        reader_group: topology.names.reader_group(),
        mirror: mirror.clone(),
    })
}

/// `None`: the application's own.
fn cluster(topology: &Topology, endpoints: &Endpoints, name: Option<&str>) -> Result<Cluster> {
    let settings = &topology.settings;
    let connection = endpoints.cluster(name)?;
    let described = name.map_or(Some(&settings.kafka), |name| settings.clusters.get(name));
    let replication = described.and_then(|kafka: &Kafka| kafka.replication_factor);
    Ok(Cluster {
        name: name.map_or_else(|| connection.bootstrap_servers.clone(), str::to_owned),
        replication: replication.map(i16::try_from).transpose()?,
        connection,
    })
}

/// Everything that the application reads or writes itself, on whichever cluster.
fn own_topics(topology: &Topology) -> OwnTopics {
    let facts = topology.settings.mirrors.values().flat_map(|mirror| {
        let groups = mirror.groups.as_ref().map(|groups| &groups.offsets);
        [Some(&mirror.offsets), mirror.audits.as_ref(), groups].into_iter().flatten().cloned()
    });
    let names = topology.topics.keys().map(ToString::to_string).chain(facts);
    OwnTopics { prefix: topology.names.prefix(), names: names.collect() }
}

/// Where the schemas of ranges and audits are looked up.
pub fn schemas(endpoints: &Endpoints) -> Result<SchemaSource> {
    Ok(super::schemas::source(endpoints.registry(PATIENCE)?))
}

/// Audits of one flow, told on its topic if it names one.
pub struct Audited {
    auditor: Auditor,
    publisher: Option<Publisher>,
}

impl Audited {
    /// Goes on after the last audit that was told.
    pub async fn new(topology: &Topology, endpoints: &Endpoints, flow: FlowConfig) -> Result<Self> {
        let source = schemas(endpoints)?;
        let mut auditor = Auditor::new(flow.clone(), source.clone(), Clock::wall())?;
        let Some(topic) = flow.mirror.audits.clone() else { return Ok(Self { auditor, publisher: None }) };
        // Its topics must be there.
        Provision::new(flow.clone(), source.clone())?.refresh().await?;
        let mut formats = Formats::default();
        let kind = FactKind::Audit;
        let subject = value_subject(&Topic::from(&*topic));
        let id = endpoints.registry(PATIENCE)?.register(&subject, kind.schema_json()).await?;
        formats.write_fact_with(kind, Format::new(id, kind.schema_json())?);
        let transactional_id = format!("{}mirror.{}.audit", topology.names.prefix(), flow.name);
        let started = tokio::task::spawn_blocking(move || {
            // First whoever else audits is fenced: then what is read is all that he told.
            let publisher = Publisher::new(&flow, &topic, formats, &transactional_id)?;
            let last = last_audits(&flow, &topic, flow.mirror.shards.into(), source)?;
            Ok::<_, provision::Error>((publisher, last))
        });
        let (publisher, last) = started.await??;
        auditor.go_on_after(last.into_iter().map(|(partition, audit)| (partition, audit.source_end)).collect());
        Ok(Self { auditor, publisher: Some(publisher) })
    }

    /// What was copied since the last round. `shards`: only ranges in these partitions of their topic.
    pub async fn round(&mut self, shards: Option<BTreeSet<i32>>) -> Result<Vec<Audit>> {
        let audits = self.auditor.round(&Wanted { topic: None, shards }).await?;
        if let Some(mut publisher) = self.publisher.take() {
            let told = audits.clone();
            let published = tokio::task::spawn_blocking(move || publisher.publish(&told).map(|()| publisher));
            self.publisher = Some(published.await??);
        }
        Ok(audits)
    }
}
