//! What a process does about offsets: the ranges of its flows and of their opposites are followed, and groups are carried over.
//!
//! Started before the copies, which ask it what is native; the keepers after them, for they ask who has shard 0.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::Duration;

use anyhow::{Context, Result};

use super::{Endpoints, provision, schemas};
use crate::clock::Clock;
use crate::codec::{Format, Formats};
use crate::event::FactKind;
use crate::log::admin::{TopicPlan, ensure_topics};
use crate::log::kafka::Identity;
use crate::mirror::copy::{Copies, IsNative};
use crate::mirror::groups::{Chosen, GroupsConfig, Keeper, KeeperConfig, Names, Opposite};
use crate::mirror::offsets::native::Natives;
use crate::mirror::offsets::{Offsets, OffsetsConfig};
use crate::mirror::provision::FlowConfig;
use crate::mirror::reverse::opposites;
use crate::record::Topic;
use crate::runtime::SchemaSource;
use crate::runtime::store::Memory;
use crate::topology::names::value_subject;
use crate::topology::plan::Topology;

/// How long a registry may take to come up before the start is given up.
const PATIENCE: Duration = Duration::from_secs(60);
/// Of the stores of all flows together.
const MEMORY_BYTES: usize = 32 << 20;

/// By flow.
pub type Followed = Arc<BTreeMap<String, Arc<Offsets>>>;

pub struct Carried {
    pub followed: Followed,
    /// All mirrors of the topology.
    flows: BTreeMap<String, FlowConfig>,
    keepers: Vec<Keeper>,
}

impl Carried {
    /// All flows, or the one of this name, and whichever copy back.
    pub async fn follow(topology: &Topology, endpoints: &Endpoints, only: Option<&str>, clock: &Clock) -> Result<Self> {
        let mut carried = Self { followed: Followed::default(), flows: BTreeMap::new(), keepers: Vec::new() };
        if only.is_none() && topology.settings.mirrors.is_empty() {
            return Ok(carried);
        }
        let flows = provision::flows(topology, endpoints, None)?;
        carried.flows = flows.into_iter().map(|flow| (flow.name.clone(), flow)).collect();
        let memory = Memory::new(MEMORY_BYTES);
        let dir = topology.settings.engine.state_dir.join(topology.names.application()).join("mirrors");
        let mut followed = BTreeMap::new();
        for (name, flow) in &carried.flows {
            let is_wanted = |wanted: &str| name == wanted || carried.opposites(wanted).any(|opposite| opposite == name);
            if !only.is_none_or(is_wanted) {
                continue;
            }
            let place = (dir.join(name), memory.clone());
            let config = config(topology, endpoints, flow, clock, place).await;
            let config = config.with_context(|| format!("mirror {name}"))?;
            followed.insert(name.clone(), Arc::new(Offsets::start(config)?));
        }
        carried.followed = Arc::new(followed);
        Ok(carried)
    }

    /// All mirrors of the topology; what one learns of names is known to all who ask here.
    pub fn flows(&self) -> Vec<FlowConfig> {
        self.flows.values().cloned().collect()
    }

    fn opposites<'a>(&'a self, flow: &'a str) -> impl Iterator<Item = &'a str> {
        opposites(self.flows.iter().map(|(name, flow)| (name.as_str(), &flow.mirror)), flow)
    }

    /// What a flow asks before it copies: whether a record is a copy that an opposite one wrote. `None` if there is none.
    pub fn native(&self, flow: &str) -> Option<IsNative> {
        let config = self.flows.get(flow)?;
        let ask = |opposite: &str| {
            let offsets = Arc::clone(self.followed.get(opposite)?);
            Some(Natives::new(offsets, config.source.connection.clone(), config.reader_group.clone()))
        };
        let natives: Vec<Natives> = self.opposites(flow).filter_map(ask).collect();
        if natives.is_empty() {
            return None;
        }
        Some(Arc::new(move |partition, offset| {
            for natives in &natives {
                if !natives.is_native(partition, offset)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }))
    }

    /// Carries groups over, where this process has the first shard of a flow that says so.
    pub async fn keep(
        &mut self,
        topology: &Topology,
        endpoints: &Endpoints,
        clock: &Clock,
        copies: &Arc<Copies>,
    ) -> Result<()> {
        for (name, flow) in &self.flows {
            let (Some(groups), Some(_)) = (&flow.mirror.groups, self.followed.get(name)) else { continue };
            let topic = Topic::from(&*groups.offsets);
            let (formats, schemas) = registered(endpoints, &topic, FactKind::GroupOffset).await?;
            let (copies, of): (Weak<Copies>, String) = (Arc::downgrade(copies), name.clone());
            let identity = Identity {
                group: flow.reader_group.clone(),
                transactional_id: format!("{}.groups", topology.names.mirror_group(name)),
                instance_id: None,
                writes: vec![topic.clone()],
            };
            let chosen = Chosen::new(&groups.include, &groups.exclude)?;
            self.keepers.push(Keeper::start(KeeperConfig {
                groups: self.groups(name, chosen, clock)?,
                every: Duration::from_secs(groups.every_secs.into()),
                topic,
                identity,
                formats,
                schemas,
                owns: Arc::new(move || copies.upgrade().is_some_and(|copies| copies.has_first_shard(&of))),
            }));
        }
        Ok(())
    }

    /// What a round over these groups of a flow needs.
    pub fn groups(&self, flow: &str, chosen: Chosen, clock: &Clock) -> Result<GroupsConfig> {
        let config = self.flows.get(flow).with_context(|| format!("there is no mirror `{flow}`"))?;
        let followed = |flow: &str| self.followed.get(flow).with_context(|| format!("`{flow}` is not followed"));
        let mut opposite = Vec::new();
        for name in self.opposites(flow) {
            opposite.push(Opposite { offsets: Arc::clone(followed(name)?), names: names(&self.flows[name]) });
        }
        Ok(GroupsConfig {
            flow: flow.to_owned(),
            from: config.source.connection.clone(),
            to: config.target.connection.clone(),
            reader: config.reader_group.clone(),
            names: names(config),
            chosen,
            merge: config.mirror.merge,
            offsets: Arc::clone(followed(flow)?),
            opposite,
            clock: clock.clone(),
        })
    }

    pub async fn stop(self) {
        for keeper in self.keepers {
            keeper.stop().await;
        }
    }
}

/// What is fairlead's own is never copied.
fn names(flow: &FlowConfig) -> Names {
    let (renames, own) = (flow.renames.clone(), flow.own.clone());
    Arc::new(move |topic| renames.target(topic).filter(|_| !own.holds(topic)))
}

/// The topic of ranges is there then.
async fn config(
    topology: &Topology,
    endpoints: &Endpoints,
    flow: &FlowConfig,
    clock: &Clock,
    (path, memory): (PathBuf, Memory),
) -> Result<OffsetsConfig> {
    let topic = Topic::from(&*flow.mirror.offsets);
    let (formats, schemas) = readable(endpoints)?;
    // All ranges are kept: each is needed to translate the offsets that it covers.
    let keep = [("cleanup.policy", "delete"), ("retention.ms", "-1"), ("retention.bytes", "-1")];
    let config = keep.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let (partitions, replication) = (flow.mirror.shards.into(), flow.target.replication.map(i32::from));
    ensure_topics(&flow.target.connection, &[TopicPlan { name: topic.to_string(), partitions, replication, config }])
        .await?;
    Ok(OffsetsConfig {
        flow: flow.name.clone(),
        connection: flow.target.connection.clone(),
        group: topology.names.mirror_group(&flow.name),
        topic_id: topic_id(flow, &topic).await?,
        topic,
        path,
        memory,
        formats,
        schemas,
        clock: clock.clone(),
    })
}

async fn topic_id(flow: &FlowConfig, topic: &Topic) -> Result<Option<String>> {
    let admin = crate::wire::Admin::new(&flow.target.connection)?;
    let told = admin.topics(Some(&[topic.to_string()])).await?;
    Ok(told.into_iter().next().and_then(|topic| topic.id))
}

async fn registered(endpoints: &Endpoints, topic: &Topic, kind: FactKind) -> Result<(Formats, SchemaSource)> {
    let client = endpoints.registry(PATIENCE)?;
    let id = client.register(&value_subject(topic), kind.schema_json()).await?;
    let mut formats = Formats::default();
    formats.write_fact_with(kind, Format::new(id, kind.schema_json())?);
    Ok((formats, schemas::source(client)))
}

/// To read facts with, for commands that register nothing: schemas are asked for as they are met.
pub fn readable(endpoints: &Endpoints) -> Result<(Formats, SchemaSource)> {
    Ok((Formats::default(), provision::schemas(endpoints)?))
}
