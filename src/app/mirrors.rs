//! The mirrors of a topology, ready to run: the ranges' schema registered, the target as the plan wants it, now and from time to time.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::runtime::Handle;

use super::carried::Carried;
use super::{Endpoints, provision};
use crate::clock::Clock;
use crate::codec::{Format, Formats};
use crate::event::FactKind;
use crate::log;
use crate::mirror::copy::{Flow, IsNative, Pair, Pairs};
use crate::mirror::provision::{Error, FlowConfig, Provision, Provisioned};
use crate::record::Topic;
use crate::topology::names::value_subject;
use crate::topology::plan::Topology;
use crate::wire;

/// How long a registry may take to come up before the start is given up.
const PATIENCE: Duration = Duration::from_secs(60);

/// All flows, or the one of this name.
pub async fn flows(
    topology: &Topology,
    endpoints: &Endpoints,
    only: Option<&str>,
    clock: &Clock,
    carried: &Carried,
) -> Result<Vec<Flow>> {
    let mut flows = Vec::new();
    if only.is_none() && topology.settings.mirrors.is_empty() {
        return Ok(flows);
    }
    for config in provision::flows(topology, endpoints, only)? {
        let name = config.name.clone();
        let native = carried.native(&name);
        flows.push(flow(topology, endpoints, config, clock, native).await.with_context(|| format!("mirror {name}"))?);
    }
    Ok(flows)
}

async fn flow(
    topology: &Topology,
    endpoints: &Endpoints,
    config: FlowConfig,
    clock: &Clock,
    native: Option<IsNative>,
) -> Result<Flow> {
    let mirror = config.mirror.clone();
    let offsets = Topic::from(&*mirror.offsets);
    let json = FactKind::MirrorRange.schema_json();
    let registry = endpoints.registry(PATIENCE)?;
    let id = registry.register(&value_subject(&offsets), json).await?;
    let mut formats = Formats::default();
    formats.write_fact_with(FactKind::MirrorRange, Format::new(id, json)?);
    let refresh = Duration::from_secs(mirror.refresh_secs.into());
    let mut provision = Provision::new(config.clone(), provision::schemas(endpoints)?)?;
    // The group of the shards is one of the topic of ranges, which must be there.
    let first = provision.refresh().await?;
    Ok(Flow {
        name: config.name.clone(),
        pairs: pairs(config.name, provision, first, refresh, native.is_some()),
        from: config.source.connection,
        to: config.target.connection,
        offsets,
        shards: mirror.shards,
        names: topology.names.clone(),
        instance: endpoints.instance.clone(),
        rate_bytes_max: mirror.rate_bytes_max,
        refresh,
        native,
        formats: Arc::new(formats),
        schemas: super::schemas::source(registry),
        clock: clock.clone(),
    })
}

/// Every shard asks, and what one was told not long ago is the answer for the others.
fn pairs(flow: String, provision: Provision, first: Provisioned, refresh: Duration, tells: bool) -> Pairs {
    let handle = Handle::current();
    let last = Mutex::new((provision, first, Instant::now()));
    Arc::new(move || {
        let mut last = last.lock().map_err(|_| log::Error::Fatal("looking at the clusters panicked".into()))?;
        let (provision, told, at) = &mut *last;
        if at.elapsed() >= refresh / 2 {
            *told = handle.block_on(provision.refresh()).map_err(judge)?;
            *at = Instant::now();
            tell(&flow, told);
        }
        if !told.stops.is_empty() {
            let stops: Vec<_> = told.stops.iter().map(ToString::to_string).collect();
            return Err(log::Error::Fatal(stops.join("; ")));
        }
        // What is copied back must be told from copies: else it would go round.
        Ok(told.topics.iter().filter(|topic| tells || !topic.reverse).map(pair).collect())
    })
}

fn pair(topic: &crate::mirror::provision::Copied) -> Pair {
    Pair {
        from: Topic::from(&*topic.source),
        topic_id: topic.source_id.clone(),
        partitions: topic.partitions,
        to: Topic::from(&*topic.target),
        to_partitions: topic.target_partitions,
    }
}

fn tell(flow: &str, told: &Provisioned) {
    for step in &told.done {
        tracing::info!(flow, %step, "done on the target");
    }
    for problem in &told.problems {
        tracing::error!(flow, %problem, "this is not copied");
    }
    for refused in &told.refused {
        tracing::error!(flow, refused, "the target refuses");
    }
}

/// Whether asking again may help.
fn judge(error: Error) -> log::Error {
    match error {
        Error::Log(error) => error,
        Error::Wire { error: wire::Error::Unavailable(_), .. } | Error::Unseen(_) => {
            log::Error::Unavailable(error.to_string())
        }
        error => log::Error::Fatal(error.to_string()),
    }
}
