//! The mirrors of a topology: the ranges' schema registered, the target as the plan wants it, now and from time to time; then copied, followed,
//! carried over and audited, until told to stop.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::runtime::Handle;
use tokio::sync::Mutex;

use super::carried::{Carried, Followed};
use super::{Endpoints, provision};
use crate::clock::Clock;
use crate::codec::{Format, Formats};
use crate::event::FactKind;
use crate::log;
use crate::mirror::audit::{Continuous, Counters};
use crate::mirror::copy::{Copies, Flow, IsNative, Pair, Pairs, topic_ids};
use crate::mirror::provision::{Error, FlowConfig, Provision, Provisioned};
use crate::mirror::told;
use crate::record::Topic;
use crate::topology::names::value_subject;
use crate::topology::plan::Topology;
use crate::wire;

/// How long a registry may take to come up before the start is given up.
const PATIENCE: Duration = Duration::from_secs(60);

/// Flows that run in this process.
pub struct Mirrors {
    carried: Carried,
    copies: Arc<Copies>,
    audits: Vec<Continuous>,
}

impl Mirrors {
    /// All flows, or the one of this name.
    pub async fn start(
        topology: &Topology,
        endpoints: &Endpoints,
        only: Option<&str>,
        clock: &Clock,
        metrics: &prometheus::Registry,
    ) -> Result<Self> {
        let mut carried = Carried::follow(topology, endpoints, only, clock).await?;
        let configs = provision::chosen(carried.flows(), only)?;
        let flows = flows(topology, endpoints, configs.clone(), clock, |flow| carried.native(flow)).await?;
        let copies = Arc::new(Copies::start(flows, metrics).context("the mirrors cannot be started")?);
        carried.keep(topology, endpoints, clock, &copies).await?;
        let counters = Counters::register(metrics)?;
        let audits = provision::audits(topology, endpoints, configs).await?;
        let audits = audits.into_iter().map(|work| Continuous::start(work, &counters)).collect::<Result<_, _>>();
        Ok(Self { carried, copies, audits: audits.context("audits cannot be started")? })
    }

    pub fn ready(&self) -> bool {
        self.copies.ready()
    }

    /// For who tells whether they are ready, and outlives them for a moment.
    pub fn watched(&self) -> Weak<Copies> {
        Arc::downgrade(&self.copies)
    }

    /// Where offsets lie on the other side.
    pub fn followed(&self) -> Followed {
        Arc::clone(&self.carried.followed)
    }

    /// What is begun is committed; what an audit has not told is compared again.
    pub async fn stop(self) -> Result<()> {
        self.copies.tell();
        self.carried.stop().await;
        let (copies, audits) = (self.copies, self.audits);
        let stopped = tokio::task::spawn_blocking(move || {
            drop(audits);
            Arc::into_inner(copies).map_or(Ok(()), |copies| copies.stop().map_err(anyhow::Error::from))
        });
        stopped.await.context("stopping failed")?
    }
}

/// `native` says what a flow asks of records before it copies them, if anything.
pub async fn flows(
    topology: &Topology,
    endpoints: &Endpoints,
    configs: Vec<FlowConfig>,
    clock: &Clock,
    native: impl Fn(&str) -> Option<IsNative>,
) -> Result<Vec<Flow>> {
    let mut flows = Vec::new();
    for config in configs {
        let name = config.name.clone();
        let native = native(&name);
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
    let name = config.name;
    Ok(Flow {
        name: name.clone(),
        pairs: pairs(name.clone(), provision, first, refresh, native.is_some()),
        ids: topic_ids(&config.source.connection)?,
        from: config.source.connection,
        to: config.target.connection,
        offsets,
        shards: mirror.shards,
        group: topology.names.mirror_group(&name),
        instance: endpoints.instance.clone(),
        rate_bytes_max: mirror.rate_bytes_max,
        refresh,
        native,
        formats: Arc::new(formats),
        schemas: super::schemas::source(registry),
        clock: clock.clone(),
    })
}

/// What was seen of a flow's clusters.
struct Look {
    flow: String,
    provision: Provision,
    told: Provisioned,
    at: Instant,
}

/// Every shard asks, and what one was told not long ago is the answer for the others. A look that is begun goes on without who asked.
fn pairs(flow: String, provision: Provision, first: Provisioned, refresh: Duration, tells: bool) -> Pairs {
    let handle = Handle::current();
    let last = Arc::new(Mutex::new(Look { flow, provision, told: first, at: Instant::now() }));
    Arc::new(move |stop| {
        let last = last.clone();
        let look = handle.spawn(async move { last.lock().await.again(refresh / 2).await });
        let told = handle.block_on(told::unless(stop, look))?;
        let told = told.map_err(|_| log::Error::Fatal("looking at the clusters panicked".into()))??;
        if !told.stops.is_empty() {
            let stops: Vec<_> = told.stops.iter().map(ToString::to_string).collect();
            return Err(log::Error::Fatal(stops.join("; ")));
        }
        // What is copied back must be told from copies: else it would go round.
        Ok(told.topics.iter().filter(|topic| tells || !topic.reverse).map(pair).collect())
    })
}

impl Look {
    async fn again(&mut self, old: Duration) -> Result<Provisioned, log::Error> {
        if self.at.elapsed() >= old {
            self.told = self.provision.refresh().await.map_err(judge)?;
            self.at = Instant::now();
            tell(&self.flow, &self.told);
        }
        Ok(self.told.clone())
    }
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
