//! The mirrors of a topology with their clusters looked up: what commands plan, apply, compare and watch.

use std::collections::BTreeMap;

use anyhow::{Result, anyhow};

use super::Endpoints;
use crate::clock::Clock;
use crate::codec::{Format, Formats};
use crate::event::FactKind;
use crate::log::kafka::KafkaReader;
use crate::mirror::audit::Work;
use crate::mirror::provision::{Cluster, FlowConfig, KnownNames, OwnTopics};
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
    let names: BTreeMap<_, _> =
        mirrors.iter().map(|(name, mirror)| Ok((&**name, names(&mirrors, name, mirror)?))).collect::<Result<_>>()?;
    let flow = |(name, mirror): (&String, &Mirror)| flow(topology, endpoints, (&mirrors, &names), name, mirror);
    chosen(mirrors.iter().map(flow).collect::<Result<_>>()?, name)
}

/// All of them, or the one of this name.
pub fn chosen(flows: Vec<FlowConfig>, name: Option<&str>) -> Result<Vec<FlowConfig>> {
    let Some(name) = name else { return Ok(flows) };
    let unknown = suggest(name, flows.iter().map(|flow| &*flow.name));
    let flow = flows.into_iter().find(|flow| flow.name == name);
    Ok(vec![flow.ok_or_else(|| anyhow!("there is no mirror `{name}`{unknown}"))?])
}

fn names(mirrors: &Mirrors, name: &str, mirror: &Mirror) -> Result<KnownNames> {
    let renames = |mirror: &Mirror| Renames::of(mirror).map_err(|why| anyhow!("mirrors.{name}: {why}"));
    Ok(match mirror.reverse_of.as_ref().and_then(|forward| mirrors.get(forward)) {
        Some(forward) => KnownNames::of_way_back(renames(forward)?, renames(mirror)?),
        None => KnownNames::fixed(renames(mirror)?),
    })
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
    (mirrors, names): (&Mirrors, &BTreeMap<&str, KnownNames>),
    name: &str,
    mirror: &Mirror,
) -> Result<FlowConfig> {
    let opposite = mirrors.iter().filter(|(_, other)| other.from == mirror.to && other.to == mirror.from);
    Ok(FlowConfig {
        name: name.to_owned(),
        renames: names[name].clone(),
        opposite: opposite.map(|(name, _)| names[&**name].clone()).collect(),
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

/// What the flows are to be audited with that name a topic for it, all the time. Their topics must be there.
pub async fn audits(topology: &Topology, endpoints: &Endpoints, flows: Vec<FlowConfig>) -> Result<Vec<Work>> {
    let mut audits = Vec::new();
    for flow in flows {
        let Some(topic) = flow.mirror.audits.clone() else { continue };
        let kind = FactKind::Audit;
        let subject = value_subject(&Topic::from(&*topic));
        let id = endpoints.registry(PATIENCE)?.register(&subject, kind.schema_json()).await?;
        let mut formats = Formats::default();
        formats.write_fact_with(kind, Format::new(id, kind.schema_json())?);
        let group = topology.names.mirror_audit_group(&flow.name);
        audits.push(Work {
            transactional_id: format!("{group}.{}", endpoints.instance),
            group,
            instance: endpoints.instance.clone(),
            topic,
            formats,
            schemas: schemas(endpoints)?,
            flow,
            clock: Clock::wall(),
        });
    }
    Ok(audits)
}
