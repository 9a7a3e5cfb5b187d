//! Which incident of one side is which of the other: by identity, else by the alerts that they have in common.
//!
//! An incident's id says its service, its group and its first alert. Under other rules the same trouble may be grouped otherwise, or
//! begin with another alert: then the incidents of one service that share most episodes are one.

use std::collections::BTreeMap;

use crate::replay::Story;

pub type Pair<'a> = (Option<&'a Story>, Option<&'a Story>);

/// Each story once, in the order of when they opened.
pub fn pairs<'a>(before: &'a [Story], after: &'a [Story]) -> Vec<Pair<'a>> {
    let mut left: BTreeMap<&str, &Story> = after.iter().map(|story| (&*story.incident, story)).collect();
    let mut pairs: Vec<Pair<'a>> = Vec::new();
    let mut alone = Vec::new();
    for story in before {
        match left.remove(&*story.incident) {
            Some(same) => pairs.push((Some(story), Some(same))),
            None => alone.push(story),
        }
    }
    for story in alone {
        let near = left.values().filter_map(|other| {
            let shared = other.episodes.intersection(&story.episodes).count();
            let apart = (other.opened_at_ms - story.opened_at_ms).unsigned_abs();
            let same = other.service == story.service && shared > 0;
            same.then_some((shared, std::cmp::Reverse(apart), &*other.incident))
        });
        let nearest = near.max().map(|(.., incident)| incident.to_owned());
        pairs.push((Some(story), nearest.and_then(|incident| left.remove(&*incident))));
    }
    pairs.extend(left.into_values().map(|story| (None, Some(story))));
    let opened = |pair: &Pair<'_>| pair.0.or(pair.1).map(|story| (story.opened_at_ms, story.incident.clone()));
    pairs.sort_by_key(opened);
    pairs
}
