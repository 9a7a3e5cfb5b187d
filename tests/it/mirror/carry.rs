//! A flow's ranges followed, and its groups carried over, by the parts that `fairlead run` uses.

use std::collections::BTreeMap;
use std::sync::Arc;

use fairlead::clock::Clock;
use fairlead::codec::Formats;
use fairlead::event::GroupOffset;
use fairlead::mirror::groups::{Chosen, Groups, GroupsConfig, Opposite};
use fairlead::mirror::offsets::{Offsets, OffsetsConfig};
use fairlead::record::Topic;
use fairlead::runtime::SchemaAnswer;
use fairlead::runtime::store::Memory;
use fairlead::wire::{Admin, Committed};

use super::pair::Pairing;

/// Follows the ranges of a flow, in a store of its own.
pub fn follow(pairing: &Pairing, dir: &tempfile::TempDir) -> Arc<Offsets> {
    let config = OffsetsConfig {
        flow: pairing.flow.clone(),
        connection: pairing.target.clone(),
        group: "it.offsets".into(),
        topic: pairing.offsets.clone(),
        topic_id: None,
        path: dir.path().join(&pairing.flow),
        memory: Memory::new(16 << 20),
        formats: Formats::shipped(),
        schemas: Arc::new(|_| SchemaAnswer::NotFound),
        clock: Clock::wall(),
    };
    Arc::new(Offsets::start(config).unwrap())
}

pub struct Carried {
    pub groups: Groups,
    pub runtime: tokio::runtime::Runtime,
    pub source: Admin,
    pub target: Admin,
}

impl Carried {
    pub fn new(pairing: &Pairing, offsets: &Arc<Offsets>, opposite: Option<&Arc<Offsets>>) -> Self {
        let topics: BTreeMap<String, String> =
            pairing.topics.iter().map(|(from, to, _)| (from.to_string(), to.to_string())).collect();
        let config = GroupsConfig {
            flow: pairing.flow.clone(),
            from: pairing.source.clone(),
            to: pairing.target.clone(),
            reader: "it.groups".into(),
            names: Arc::new(move |topic| topics.get(topic).cloned()),
            chosen: Chosen::new(&[format!("{}\\..*", pairing.flow)], &[]).unwrap(),
            merge: false,
            offsets: Arc::clone(offsets),
            opposite: opposite
                .map(|offsets| Opposite {
                    offsets: Arc::clone(offsets),
                    names: Arc::new(|topic| Some(topic.to_owned())),
                })
                .into_iter()
                .collect(),
            clock: Clock::wall(),
        };
        Self {
            groups: Groups::new(config).unwrap(),
            runtime: tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap(),
            source: Admin::new(&pairing.source).unwrap(),
            target: Admin::new(&pairing.target).unwrap(),
        }
    }

    pub fn commit(&self, admin: &Admin, group: &str, place: (&Topic, i32), offset: i64) {
        let committed = Committed { offset, leader_epoch: None, metadata: String::new() };
        let offsets = BTreeMap::from([((place.0.to_string(), place.1), committed)]);
        let outcomes = self.runtime.block_on(admin.commit_group_offsets(group, &offsets)).unwrap();
        outcomes.into_values().for_each(|outcome| outcome.unwrap());
    }

    pub fn round(&self, force: bool) -> Vec<GroupOffset> {
        self.runtime.block_on(self.groups.round(force)).unwrap()
    }

    pub fn committed(&self, admin: &Admin, groups: &[String]) -> BTreeMap<String, i64> {
        let told = self.runtime.block_on(admin.group_offsets(groups)).unwrap();
        told.into_iter().filter_map(|(group, offsets)| Some((group, offsets.into_values().next()?.offset))).collect()
    }
}
