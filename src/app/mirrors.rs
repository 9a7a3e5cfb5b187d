//! The mirrors of a topology, ready to run: clusters looked up, the ranges' schema registered, the topic of ranges there.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use tokio::runtime::Handle;

use super::Endpoints;
use super::endpoints::resolve;
use crate::clock::Clock;
use crate::codec::{Format, Formats};
use crate::event::FactKind;
use crate::log::admin::{TopicPlan, ensure_topics};
use crate::log::client::Connection;
use crate::log::{self};
use crate::mirror::Mirror;
use crate::mirror::copy::{Flow, Pair, Pairs};
use crate::mirror::rename::Renames;
use crate::record::Topic;
use crate::topology::names::value_subject;
use crate::topology::plan::Topology;
use crate::wire::Admin;

/// How long a registry may take to come up before the start is given up.
const PATIENCE: Duration = Duration::from_secs(60);

/// All flows, or the one of this name.
pub async fn flows(topology: &Topology, endpoints: &Endpoints, only: Option<&str>, clock: &Clock) -> Result<Vec<Flow>> {
    let mirrors = &topology.settings.mirrors;
    if let Some(only) = only.filter(|only| !mirrors.contains_key(*only)) {
        let known: Vec<_> = mirrors.keys().map(String::as_str).collect();
        bail!("no mirror is called `{only}`; the topology has: {}", known.join(", "));
    }
    let chosen = mirrors.iter().filter(|(name, _)| only.is_none_or(|only| only == *name));
    let mut flows = Vec::new();
    for (name, mirror) in chosen {
        flows.push(flow(topology, endpoints, name, mirror, clock).await.with_context(|| format!("mirror {name}"))?);
    }
    Ok(flows)
}

async fn flow(topology: &Topology, endpoints: &Endpoints, name: &str, mirror: &Mirror, clock: &Clock) -> Result<Flow> {
    let (from, _) = cluster(topology, endpoints, mirror.from.as_deref())?;
    let (to, replication) = cluster(topology, endpoints, mirror.to.as_deref())?;
    let offsets = Topic::from(&*mirror.offsets);
    let json = FactKind::MirrorRange.schema_json();
    let registry = endpoints.registry(PATIENCE)?;
    let id = registry.register(&value_subject(&offsets), json).await?;
    let mut formats = Formats::default();
    formats.write_fact_with(FactKind::MirrorRange, Format::new(id, json)?);
    // All ranges are kept: each is needed to translate the offsets that it covers.
    let keep = [("cleanup.policy", "delete"), ("retention.ms", "-1"), ("retention.bytes", "-1")];
    let config = keep.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let plan = TopicPlan { name: offsets.to_string(), partitions: mirror.shards.into(), replication, config };
    ensure_topics(&to, &[plan]).await?;
    Ok(Flow {
        name: name.to_owned(),
        pairs: pairs(&from, &to, mirror)?,
        from,
        to,
        offsets,
        shards: mirror.shards,
        group: topology.names.mirror_group(name),
        instance: endpoints.instance.clone(),
        rate_bytes_max: mirror.rate_bytes_max,
        refresh: Duration::from_secs(mirror.refresh_secs.into()),
        native: None,
        formats: Arc::new(formats),
        schemas: super::schemas::source(registry),
        clock: clock.clone(),
    })
}

/// How a cluster is reached, and how many replicas topics have there that are created.
fn cluster(topology: &Topology, endpoints: &Endpoints, name: Option<&str>) -> Result<(Connection, Option<i32>)> {
    let Some(name) = name else {
        let replication = topology.settings.kafka.replication_factor.map(i32::from);
        return Ok((endpoints.connection.clone(), replication));
    };
    let named = topology.settings.clusters.get(name);
    let named = named.with_context(|| format!("clusters has no `{name}`"))?;
    let servers = named.bootstrap_servers.as_ref();
    let servers = servers.with_context(|| format!("clusters.{name}.bootstrap_servers is missing"))?;
    let mut connection = Connection::new(&resolve(servers, &format!("clusters.{name}.bootstrap_servers"))?);
    for (property, template) in &named.properties {
        let value = resolve(template, &format!("clusters.{name}.properties.{property}"))?;
        connection.properties.insert(property.clone(), value);
    }
    Ok((connection, named.replication_factor.map(i32::from)))
}

/// Topics that are selected and the copies of which are there.
fn pairs(from: &Connection, to: &Connection, mirror: &Mirror) -> Result<Pairs> {
    let renames = Renames::new(&mirror.topics, &mirror.exclude).map_err(|why| anyhow!(why))?;
    let (from, to, handle) = (Admin::new(from)?, Admin::new(to)?, Handle::current());
    let ask = move |admin: &Admin| {
        let told = handle.block_on(admin.topics(None));
        told.map_err(|error| log::Error::Unavailable(error.to_string()))
    };
    Ok(Arc::new(move || {
        let there: std::collections::BTreeMap<_, _> =
            ask(&to)?.into_iter().map(|topic| (topic.name, topic.partitions.len())).collect();
        let count = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
        let pair = |topic: crate::wire::TopicView| {
            let target = renames.target(&topic.name).filter(|_| !topic.internal)?;
            let to_partitions = count(*there.get(&target)?);
            let (from, to) = (Topic::from(&*topic.name), Topic::from(&*target));
            Some(Pair { from, topic_id: topic.id, partitions: count(topic.partitions.len()), to, to_partitions })
        };
        Ok(ask(&from)?.into_iter().filter_map(pair).collect())
    }))
}
