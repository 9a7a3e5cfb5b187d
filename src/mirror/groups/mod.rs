//! Consumer groups carried over: each committed position of the source becomes a committed position of the target, if that is exact.
//!
//! ```text
//! groups, their offsets ─► judge (ranges, ends of both sides) ─► decide ─► commit on the target ─► told, if it changed
//! ```
//!
//! | it dies                      | then                                                             |
//! |------------------------------|------------------------------------------------------------------|
//! | before the commit            | the next round does it                                           |
//! | after it, before it is told  | the next round finds it committed, and tells it                  |
//! | the commit's answer is lost  | the same; the target's own offset decides, never what was meant  |
//!
//! Invariants: an offset is committed only where [`group::decide`] says so, and Kafka itself takes it only while the group is empty. What
//! is told is what was found on the target. A round is one pass over all groups; two processes that both make one commit the same.
//! Not here: the decision (`group.rs`), who makes rounds ([`Keeper`]).

mod judge;
mod keeper;
mod told;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use regex_lite::Regex;

pub use keeper::{Keeper, KeeperConfig};
pub use told::{Told, recorded};

use super::group::{self, Action, Mark, Members, Position, TargetGroup, Why};
use super::offsets::Offsets;
use crate::clock::Clock;
use crate::event::migration::flow_partition;
use crate::event::{GroupOffset, GroupOffsetState};
use crate::log::client::Connection;
use crate::wire::{Admin, At, Committed, GroupKind, GroupView, MemberView, OffsetView};
use judge::{Bounds, Judge};

/// By topic and number.
pub type Place = (String, i32);

/// What a topic of the source is called on the target; `None`: it is not copied.
pub type Names = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// One flow's groups.
#[derive(Clone)]
pub struct GroupsConfig {
    pub flow: String,
    pub from: Connection,
    pub to: Connection,
    /// Only a name, for quotas and access rules.
    pub reader: String,
    pub names: Names,
    pub chosen: Chosen,
    /// Several topics may become one.
    pub merge: bool,
    pub offsets: Arc<Offsets>,
    /// Flows in the opposite direction.
    pub opposite: Vec<Opposite>,
    pub clock: Clock,
}

/// A flow that copies from the target to the source.
#[derive(Clone)]
pub struct Opposite {
    pub offsets: Arc<Offsets>,
    /// Which topics of the target it copies.
    pub names: Names,
}

/// Which groups are carried over.
#[derive(Clone, Debug)]
pub struct Chosen {
    include: Vec<Regex>,
    exclude: Vec<Regex>,
}

impl Chosen {
    /// Patterns of whole names.
    pub fn new(include: &[String], exclude: &[String]) -> Result<Self> {
        let whole = |pattern: &String| {
            Regex::new(&format!("^(?:{pattern})$")).with_context(|| format!("`{pattern}` is no pattern of groups"))
        };
        let include = include.iter().map(whole).collect::<Result<_>>()?;
        Ok(Self { include, exclude: exclude.iter().map(whole).collect::<Result<_>>()? })
    }

    /// Only this one.
    pub fn one(group: &str) -> Result<Self> {
        Self::new(&[regex_lite::escape(group)], &[])
    }

    fn has(&self, group: &str) -> bool {
        let matches = |patterns: &[Regex]| patterns.iter().any(|pattern| pattern.is_match(group));
        matches(&self.include) && !matches(&self.exclude)
    }
}

/// How one group stands with one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub group: String,
    pub source: Place,
    pub source_offset: i64,
    pub target: Place,
    pub action: Action,
}

pub struct Groups {
    config: GroupsConfig,
    source: Admin,
    target: Admin,
    judge: Arc<Mutex<Judge>>,
}

/// What is asked of both clusters before anything is decided.
struct Seen {
    groups: BTreeMap<String, GroupView>,
    positions: BTreeMap<String, BTreeMap<Place, i64>>,
    target_groups: BTreeMap<String, TargetGroup>,
    committed: BTreeMap<String, BTreeMap<Place, Committed>>,
}

impl Groups {
    pub fn new(config: GroupsConfig) -> Result<Self> {
        let (source, target) = (Admin::new(&config.from)?, Admin::new(&config.to)?);
        let judge = Arc::new(Mutex::new(Judge::new(&config)));
        Ok(Self { config, source, target, judge })
    }

    /// One pass over all groups that are chosen. `force` overrules what [`group::decide`] lets it.
    pub async fn round(&self, force: bool) -> Result<Vec<GroupOffset>> {
        let seen = self.look().await?;
        let places: BTreeSet<Place> = seen.positions.values().flat_map(BTreeMap::keys).cloned().collect();
        let bounds = self.bounds(&places).await?;
        let (judge, asked) = (Arc::clone(&self.judge), seen.positions.clone());
        let judged = tokio::task::spawn_blocking(move || {
            judge.lock().unwrap_or_else(PoisonError::into_inner).positions(&asked, &bounds)
        });
        let positions = judged.await.context("judging positions")?;
        let mut findings = Vec::new();
        for (group, positions) in positions? {
            findings.extend(self.commit(&seen, group, positions, force).await?);
        }
        Ok(findings)
    }

    async fn look(&self) -> Result<Seen> {
        let listed = self.source.groups().await?.into_iter();
        let groups: BTreeMap<_, _> = listed
            .filter(|group| self.config.chosen.has(&group.name))
            .map(|group| (group.name.clone(), group))
            .collect();
        // A share group has none to ask for.
        let asked = groups.values().filter(|group| group.kind != GroupKind::Share);
        let names: Vec<String> = asked.map(|group| group.name.clone()).collect();
        let mut positions = BTreeMap::new();
        for (group, offsets) in self.source.group_offsets(&names).await? {
            let copied = offsets.into_iter().filter(|((topic, _), _)| (self.config.names)(topic).is_some());
            let copied: BTreeMap<_, _> = copied.map(|(place, committed)| (place, committed.offset)).collect();
            if !copied.is_empty() {
                positions.insert(group, copied);
            }
        }
        let carried: Vec<String> = positions.keys().cloned().collect();
        let committed = self.target.group_offsets(&carried).await?;
        let target_groups = self.target_groups(&carried).await?;
        Ok(Seen { groups, positions, target_groups, committed })
    }

    /// Only those in which somebody is are asked who.
    async fn target_groups(&self, names: &[String]) -> Result<BTreeMap<String, TargetGroup>> {
        let wanted: BTreeSet<&String> = names.iter().collect();
        let listed = self.target.groups().await?.into_iter().filter(|group| wanted.contains(&group.name));
        let mut groups = BTreeMap::new();
        let mut busy = Vec::new();
        for group in listed {
            if !is_empty(group.state.as_deref()) {
                busy.push(group.name.clone());
            }
            let is_share = group.kind == GroupKind::Share;
            groups.insert(group.name, TargetGroup { members: Members::None, is_share });
        }
        for (name, detail) in self.target.describe_groups(&busy).await? {
            let members: Vec<String> = detail.members.iter().map(told_member).collect();
            // What cannot be listed is there all the same.
            let members = if members.is_empty() { vec![format!("state {}", detail.state)] } else { members };
            if let Some(group) = groups.get_mut(&name).filter(|_| !is_empty(Some(&detail.state))) {
                group.members = Members::Some(members);
            }
        }
        Ok(groups)
    }

    async fn bounds(&self, places: &BTreeSet<Place>) -> Result<BTreeMap<Place, Bounds>> {
        let sources: Vec<Place> = places.iter().cloned().collect();
        let of = |place: &Place| Some(((self.config.names)(&place.0)?, place.1));
        let targets: BTreeMap<Place, Place> =
            sources.iter().filter_map(|place| Some((place.clone(), of(place)?))).collect();
        let there: Vec<Place> = targets.values().cloned().collect::<BTreeSet<_>>().into_iter().collect();
        let readable = At::Latest { committed: true };
        let (source_low, source_end) =
            (self.source.offsets(&sources, At::Earliest).await?, self.source.offsets(&sources, readable).await?);
        let (target_low, target_end) =
            (self.target.offsets(&there, At::Earliest).await?, self.target.offsets(&there, readable).await?);
        let offset = |of: &BTreeMap<Place, OffsetView>, place: &Place| of.get(place).map(|found| found.offset);
        let bounds = targets.into_iter().map(|(source, target)| {
            let of_source = offset(&source_low, &source).zip(offset(&source_end, &source));
            let of_target = offset(&target_low, &target).zip(offset(&target_end, &target));
            (source, Bounds { target, of_source, of_target })
        });
        Ok(bounds.collect())
    }

    /// Commits what may be, in one request, and tells how all stand.
    async fn commit(
        &self,
        seen: &Seen,
        group: String,
        positions: Vec<(Place, i64, Place, Position)>,
        force: bool,
    ) -> Result<Vec<GroupOffset>> {
        let absent = TargetGroup { members: Members::None, is_share: false };
        let target_group = seen.target_groups.get(&group).unwrap_or(&absent);
        let goes_on = !is_empty(seen.groups.get(&group).and_then(|group| group.state.as_deref()));
        let (mut findings, mut offsets) = (Vec::with_capacity(positions.len()), BTreeMap::new());
        for (source, place, target, position) in positions {
            let key = flow_partition(&self.config.flow, &source.0, source.1);
            let mark = Mark { flow_partition: &key, place };
            let stands = seen.committed.get(&group).and_then(|committed| committed.get(&target));
            let stands =
                stands.map(|stands| group::Committed { offset: stands.offset, metadata: stands.metadata.clone() });
            let action = group::decide(&position, &mark, goes_on, target_group, stands.as_ref(), force);
            if let Action::Commit { offset, .. } = &action {
                let committed = Committed { offset: *offset, leader_epoch: None, metadata: mark.to_string() };
                offsets.insert(target.clone(), committed);
            }
            findings.push(Finding { group: group.clone(), source, source_offset: place, target, action });
        }
        if !offsets.is_empty() {
            let committed = self.target.commit_group_offsets(&group, &offsets).await?;
            for finding in &mut findings {
                match committed.get(&finding.target) {
                    Some(Err(refusal)) => finding.action = Action::Blocked(Why::Refused(refusal.to_string())),
                    Some(Ok(())) => finding.log(&self.config.flow),
                    None => {}
                }
            }
        }
        let now = self.config.clock.now().0;
        Ok(findings.into_iter().map(|finding| finding.fact(&self.config.flow, now)).collect())
    }
}

impl Finding {
    fn log(&self, flow: &str) {
        let Self { group, source: (topic, partition), source_offset, .. } = self;
        if let Action::Commit { offset, rewound: Some(before) } = self.action {
            tracing::warn!(
                flow,
                group,
                topic,
                partition,
                before,
                source_offset,
                offset,
                "the group was rewound on the source, so it is on the target"
            );
        }
    }

    fn fact(self, flow: &str, at_ms: i64) -> GroupOffset {
        let (state, target_offset, reason) = match self.action {
            Action::Stays { offset } | Action::Commit { offset, rewound: None } => {
                (GroupOffsetState::Exact, Some(offset), None)
            }
            Action::Commit { offset, rewound: Some(before) } => {
                let reason = format!("moved back: the group was rewound on the source, from {before}");
                (GroupOffsetState::Exact, Some(offset), Some(reason))
            }
            Action::Waits(why) => (GroupOffsetState::Waiting, None, Some(why.to_string())),
            Action::Blocked(why) => (GroupOffsetState::Blocked, None, Some(why.to_string())),
        };
        GroupOffset {
            group: self.group,
            flow: flow.to_owned(),
            source_topic: self.source.0,
            source_partition: self.source.1,
            source_offset: self.source_offset,
            target_topic: self.target.0,
            target_partition: self.target.1,
            target_offset,
            state,
            reason,
            at_ms,
        }
    }
}

/// `Empty` and `Dead` groups have nobody; of an old broker, which does not tell, somebody may be there.
fn is_empty(state: Option<&str>) -> bool {
    matches!(state, Some("Empty" | "Dead"))
}

fn told_member(member: &MemberView) -> String {
    format!("{} ({})", member.instance_id.as_deref().unwrap_or(&member.client_id), member.host.trim_start_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_chosen_by_their_whole_names() {
        let chosen = Chosen::new(&["shop\\..*".into()], &[".*-test".into()]).unwrap();
        let has = |group| chosen.has(group);
        assert_eq!([has("shop.a"), has("my-shop.a"), has("shop.a-test"), has("shop")], [true, false, false, false]);
        assert!(Chosen::one("a.b").unwrap().has("a.b") && !Chosen::one("a.b").unwrap().has("axb"));
        assert!(Chosen::new(&["(".into()], &[]).unwrap_err().to_string().contains("`(`"));
    }

    #[test]
    fn a_finding_is_told_with_its_reason() {
        let of = |action| {
            let (source, target) = (("old".to_owned(), 1), ("new".to_owned(), 1));
            Finding { group: "g".into(), source, source_offset: 5, target, action }.fact("f", 9)
        };
        let told = |action| {
            let fact = of(action);
            (fact.state, fact.target_offset, fact.reason)
        };
        assert_eq!(told(Action::Stays { offset: 4 }), (GroupOffsetState::Exact, Some(4), None));
        let (state, offset, reason) = told(Action::Commit { offset: 4, rewound: Some(8) });
        assert_eq!((state, offset), (GroupOffsetState::Exact, Some(4)));
        assert!(reason.unwrap().ends_with("from 8"));
        let blocked = told(Action::Blocked(Why::Active(vec!["c (h)".into()])));
        assert_eq!((blocked.0, blocked.1), (GroupOffsetState::Blocked, None));
        assert!(blocked.2.unwrap().ends_with("c (h)"));
    }
}
